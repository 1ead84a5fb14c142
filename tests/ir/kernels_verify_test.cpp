#include <doctest/doctest.h>

#include "compiler/ir/access_overlap.h"
#include "compiler/ir/kernels.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

const char* const buffers = R"(kernel "k" {
  buffer "x": f32[64*batch*time + 64*batch] slot 0
  buffer "y": f32[64*batch] slot 1
  buffer "w": f32[64*64] slot 2
  buffer "ids": i64[batch] slot 3
  buffer "flag": bool[batch] slot 4
  buffer "d": f64[batch] slot 5
  buffer "s": f32[workers*64]
)";

void accepts(const std::string& body) {
  CAPTURE(body);
  CHECK_NOTHROW(verify_kernel(parse_kernel(buffers + body + "\n}"), "the test"));
}
void refuses(const std::string& body, const char* message) {
  CAPTURE(body);
  CHECK_THROWS_WITH_AS(verify_kernel(parse_kernel(buffers + body + "\n}"), "a pass"), doctest::Contains(message),
                       InternalError);
}
Dim d(const char* text) { return Dim::parse(text); }

}  // namespace

TEST_CASE("kernels_verify: an error names the pass, the kernel, the statement and its origin") {
  refuses(
      R"(for i: batch { "y"[i] = load "d"[i] @ "dense_1" })",
      R"(after a pass: kernel 'k': "y"[i] = ... (from 'dense_1'): a value of type f64 is stored into "y", which is f32)");
}

TEST_CASE("kernels_verify: variables are used inside of their loops only") {
  accepts(R"(for i: batch { for j: 64 { "y"[64*i + j] = 0 } })");
  refuses(R"(for i: batch { "y"[i] = 0 } "y"[i] = 0)", "uses the variable 'i' outside of its loop");
  refuses(R"(for i: batch { for i: 64 { "y"[i] = 0 } })", "'i' is in scope already");
  refuses(R"(for batch: 3 { "y"[batch] = 0 })", "has the name of a symbol");
  refuses(R"("s"[worker] = 0)", "uses 'worker' outside of a parallel loop");
  refuses(R"(reduce add k: 64 into "y"[k] { load "x"[k] })", "uses the variable 'k' outside of its loop");
  refuses(R"(for j: 4 { "y"[j] = 0 } for i: j { "y"[i] = 0 })", "uses the variable 'j' outside");
}

TEST_CASE("kernels_verify: types fit") {
  refuses(R"("flag"[0] += true)", "a boolean cannot be accumulated");
  refuses(R"(reduce max k: batch into "flag"[0] { load "flag"[k] })", "a boolean cannot be reduced");
  refuses(R"("y"[0] = acc)", "acc is used outside of a contraction's epilogue");
  refuses(R"("y"[0 - 1] = 0)", "an address is negative");
  refuses(R"(transpose (batch, 64) from "d"[0] stride (64) to "y"[0] stride (batch))", "changes the type");
  // A tree made by hand.
  Kernel kernel = parse_kernel(std::string(buffers) + "}");
  ExprNode node;
  node.op = ExprOp::add;
  node.type = DType::i32;
  node.args = {expr::constant(1.0), expr::constant(2.0)};
  kernel.body.push_back({Store{{1, 0, nullptr}, std::make_shared<const ExprNode>(node), false}, ""});
  CHECK_THROWS_WITH_AS(verify_kernel(kernel, "x"), doctest::Contains("add is said to be i32 but is f32"),
                       InternalError);
  ExprNode third;
  third.number = 1.0 / 3.0;
  kernel.body = {{Store{{1, 0, nullptr}, std::make_shared<const ExprNode>(third), false}, ""}};
  CHECK_THROWS_WITH_AS(verify_kernel(kernel, "x"), doctest::Contains("not exactly an f32"), InternalError);
  kernel.body = {{Store{{99, 0, nullptr}, expr::constant(0.0), false}, ""}};
  CHECK_THROWS_WITH_AS(verify_kernel(kernel, "x"), doctest::Contains("there is no buffer 99"), InternalError);
}

TEST_CASE("kernels_verify: iterations of a vector loop do not meet") {
  accepts(R"(vector i: batch { "y"[i] = (load "y"[i] * 2) })");
  accepts(R"(vector j: 64 { "y"[j] = load "y"[j + 64] })");
  accepts(R"(vector j: 64 { "y"[2*j] = load "y"[2*j + 1] })");
  accepts(R"(for t: time { for i: batch { vector j: 64 {
            "x"[64*batch*t + 64*batch + 64*i + j] = load "x"[64*batch*t + 64*i + j] } } })");
  accepts(R"(vector j: 64 { "y"[j] = 1  "y"[j] += 2 })");
  accepts(R"(for i: batch { vector j: 64 { "y"[64*i + j] = 1 } vector j: 64 { "y"[64*i + j] += load "w"[j] } })");
  refuses(R"(vector j: 64 { "y"[j] = load "y"[j + 1] })", "iterations of the vector loop over 'j' may meet");
  refuses(R"(vector j: 64 { "y"[j + 3] = 1  "y"[j] = 2 })", "may meet");
  refuses(R"(vector j: batch { "y"[j] = load "y"[j + 64] })", "may meet");
  refuses(R"(vector j: 64 { "y"[j] = load "y"[0] })", "may meet");
  refuses(R"(vector j: batch { "y"[j] = load "y"[0; load "ids"[j]] })", "may meet");
  refuses(R"(vector j: 64 { "y"[3] += load "w"[j] })", "adds every iteration to one element");
  refuses(R"(vector j: 64 { for k: 3 { "y"[j] = 0 } })", "a vector loop holds stores only");
}

TEST_CASE("kernels_verify: chunks of a parallel loop write apart") {
  accepts(R"(parallel c: ceil(batch, 16) { for i: min(16, batch - 16*c) { "y"[16*c + i] += 1 } })");
  accepts(R"(parallel c: 8 { vector j: 64 { "s"[64*worker + j] = 0 } })");
  refuses(R"(parallel c: 8 { vector j: 64 { "y"[j] += load "x"[64*c + j] } })",
          "every chunk of a parallel loop writes");
  refuses(R"(parallel c: 8 { parallel e: 8 { "y"[8*c + e] = 0 } })", "a parallel loop is inside of another");
}

TEST_CASE("kernels_verify: a contraction's operands and epilogue keep the rules") {
  auto contraction = [](const std::string& a, const std::string& b, const std::string& epilogue) {
    return "for t: time { contract f32 rows (i: batch) columns (j: 64) depth (k: 64) a " + a + " b " + b + " {" +
           epilogue + "} }";
  };
  const std::string a = R"("x"[64*batch*t + 64*i + k])", b = R"("w"[64*k + j])";
  accepts(contraction(a, b, R"( "y"[64*i + j] = acc )"));
  // The next time step of the buffer that a reads.
  accepts(contraction(a, b, R"( "x"[64*batch*t + 64*batch + 64*i + j] = max(acc, 0) )"));
  refuses(contraction(a, b, R"( "x"[64*batch*t + 64*i + j] = acc )"), "which may be what the operand");
  refuses(contraction(a, b, R"( "x"[64*batch*t + 32*batch + 64*i + j] = acc )"), "which may be what the operand");
  refuses(contraction(R"("x"[64*i + j])", b, R"( "y"[64*i + j] = acc )"), "a depends on a column variable");
  refuses(contraction(a, R"("w"[64*k + j + i])", R"( "y"[64*i + j] = acc )"), "b depends on a row variable");
  refuses(contraction(a, R"("w"[64*j + k])", R"( "y"[64*i + j] = acc )"), "stride 1 along the last column axis");
  refuses(contraction(a, b, R"( "y"[64*i + k] = acc )"), "uses the variable 'k' outside");
  refuses(contraction(a, b, R"( "y"[j] = acc )"), "writes one element from several points");
  refuses(contraction(R"("d"[k])", b, R"( "y"[64*i + j] = acc )"), "an operand is not of the contraction's type");
  // Two halves of one row: a reads one, the epilogue writes the other.
  accepts(R"(contract f32 rows (i: batch) columns (j: 32) depth (k: 32) a "x"[64*i + k] b "w"[64*k + j] {
            "x"[64*i + 32 + j] = acc })");
  // Tiles of the batch.
  accepts(R"(for c: ceil(batch, 16) { contract f32 rows (i: min(16, batch - 16*c)) columns (j: 64) depth (k: 64)
            a "x"[1024*c + 64*i + k] b "w"[64*k + j] { "x"[64*batch + 1024*c + 64*i + j] = acc } })");
}

TEST_CASE("access_overlap: proofs hold and refuse to guess") {
  const LoopRange i{"i", d("batch")}, j{"j", 64};
  const LoopRange both[] = {i, j};
  CHECK(provably_not_negative(d("batch - 1"), {}));
  CHECK_FALSE(provably_not_negative(d("batch - 2"), {}));
  CHECK_FALSE(provably_not_negative(d("i - 1"), {&i, 1}));  // a loop variable may be 0
  CHECK(provably_not_negative(d("max(batch - 3, 0)"), {}));
  CHECK(provably_not_negative(d("batch - min(batch, 16)"), {}));
  CHECK_FALSE(provably_not_negative(d("min(batch, 16) - batch"), {}));
  CHECK(provably_disjoint(d("64*i + j"), d("64*batch + 64*i + j"), both, {}));
  CHECK_FALSE(provably_disjoint(d("64*i + j"), d("63*batch + 64*i + j"), both, {}));
  CHECK(provably_disjoint(d("128*i + j"), d("128*i + 64 + j"), both, {}));
  CHECK_FALSE(provably_disjoint(d("128*i + j"), d("128*i + 63 + j"), both, {}));
  CHECK_FALSE(provably_disjoint(d("floor(i, 2)"), d("floor(i, 2) + 1"), both, {}));
}
