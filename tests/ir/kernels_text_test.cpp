#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "compiler/ir/expr_types.h"
#include "compiler/ir/kernels.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

Dim d(const char* text) { return Dim::parse(text); }

bool equal_accesses(const Access& a, const Access& b) {
  return a.buffer == b.buffer && a.offset == b.offset && equal_exprs(a.dynamic, b.dynamic);
}
bool equal_stores(const Store& a, const Store& b) {
  return equal_accesses(a.access, b.access) && equal_exprs(a.value, b.value) && a.accumulate == b.accumulate;
}
bool equal_axes(const std::vector<ContractionAxis>& a, const std::vector<ContractionAxis>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x.var == y.var && x.extent == y.extent; });
}

bool equal_blocks(const Block& a, const Block& b);
bool equal_nodes(const Store& a, const Store& b) { return equal_stores(a, b); }
bool equal_nodes(const Reduce& a, const Reduce& b) {
  return a.var == b.var && a.extent == b.extent && a.op == b.op && equal_exprs(a.value, b.value) &&
         equal_accesses(a.target, b.target) && a.accumulate == b.accumulate;
}
bool equal_nodes(const For& a, const For& b) {
  return a.var == b.var && a.extent == b.extent && a.kind == b.kind && equal_blocks(a.body, b.body);
}
bool equal_nodes(const Contraction& a, const Contraction& b) {
  return equal_axes(a.rows, b.rows) && equal_axes(a.columns, b.columns) && equal_axes(a.depth, b.depth) &&
         a.type == b.type && equal_accesses(a.a, b.a) && equal_accesses(a.b, b.b) && equal_exprs(a.init, b.init) &&
         std::equal(a.epilogue.begin(), a.epilogue.end(), b.epilogue.begin(), b.epilogue.end(), equal_stores);
}
bool equal_nodes(const Transpose& a, const Transpose& b) {
  return a.rows == b.rows && a.columns == b.columns && equal_accesses(a.from, b.from) && equal_accesses(a.to, b.to) &&
         a.from_stride == b.from_stride && a.to_stride == b.to_stride;
}
bool equal_blocks(const Block& a, const Block& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Statement& x, const Statement& y) {
    if (x.node.index() != y.node.index() || x.origin != y.origin) return false;
    return std::visit(
        [&](const auto& node) { return equal_nodes(node, std::get<std::decay_t<decltype(node)>>(y.node)); }, x.node);
  });
}
bool equal_kernels(const Kernel& a, const Kernel& b) {
  return a.entry == b.entry && equal_blocks(a.body, b.body) &&
         std::equal(a.buffers.begin(), a.buffers.end(), b.buffers.begin(), b.buffers.end(),
                    [](const Buffer& x, const Buffer& y) {
                      return x.name == y.name && x.dtype == y.dtype && x.elements == y.elements && x.slot == y.slot;
                    });
}

void check_round_trip(const Kernel& kernel) {
  const std::string text = kernel_text(kernel);
  CAPTURE(text);
  Kernel parsed;
  REQUIRE_NOTHROW(parsed = parse_kernel(text));
  CHECK(equal_kernels(kernel, parsed));
  CHECK(kernel_text(parsed) == text);
}

Kernel kernel_with(Expr value, DType type = DType::f32) {
  Kernel kernel{.entry = "test", .buffers = {{"x", DType::f32, d("batch"), 0}, {"y", type, d("batch"), 1}}, .body = {}};
  kernel.body.push_back({Store{{1, 0, nullptr}, std::move(value), false}, "node"});
  return kernel;
}

}  // namespace

TEST_CASE("kernels_text: every kind of statement parses back to an equal tree") {
  Kernel kernel;
  kernel.entry = "train_step";
  kernel.buffers = {{"x", DType::f32, d("12*batch"), 0},
                    {"w", DType::f32, d("768"), 1},
                    {"b", DType::f32, d("64"), 2},
                    {"odd \"name\"\\\n", DType::f32, d("64*batch"), -1},
                    {"ids", DType::i64, d("max(batch, 4)"), 3},
                    {"mask", DType::boolean, d("batch"), -1},
                    {"twin", DType::f32, d("batch"), -1},
                    {"twin", DType::f32, d("batch"), -1}};
  Contraction contraction;
  contraction.rows = {{"i", d("batch")}};
  contraction.columns = {{"g", 4}, {"j", 16}};
  contraction.depth = {{"k", 12}};
  contraction.a = {0, d("12*i + k"), nullptr};
  contraction.b = {1, d("64*k + 16*g + j"), nullptr};
  contraction.init = expr::load(kernel.buffers[2], 2, d("16*g + j"));
  const Expr acc = expr::accumulator(DType::f32);
  contraction.epilogue.push_back(
      {{3, d("64*i + 16*g + j"), nullptr}, expr::binary(ExprOp::max, acc, expr::constant(0.0)), false});
  contraction.epilogue.push_back({{3, d("64*i + 16*g + j"), nullptr}, acc * acc, true});
  kernel.body.push_back({contraction, "dense_1"});

  For outer{"c", d("ceil(batch, 16)"), ForKind::parallel, {}};
  For inner{"i", d("batch - 16*c"), ForKind::serial, {}};
  For vector{"j", 64, ForKind::vector, {}};
  const Expr id = expr::load(kernel.buffers[4], 4, d("i"));
  vector.body.push_back({Store{{3, d("64*i + j"), nullptr}, expr::load(kernel.buffers[3], 3, d("j"), id), true}, "e"});
  vector.body.push_back({Store{{5, d("j"), nullptr}, expr::binary(ExprOp::less, expr::index(d("j")), id), false}, ""});
  inner.body.push_back({vector, ""});
  Reduce reduce{"k", d("64*batch"), ReduceOp::max, expr::load(kernel.buffers[3], 3, d("k")), {6, d("i"), nullptr},
                true};
  inner.body.push_back({reduce, "max_1"});
  reduce.accumulate = false;
  reduce.op = ReduceOp::min;
  reduce.target.buffer = 7;
  inner.body.push_back({reduce, ""});
  outer.body.push_back({inner, "loop \"inner\""});
  kernel.body.push_back({outer, ""});
  kernel.body.push_back(
      {Transpose{d("batch"), 64, {3, 0, nullptr}, {6, d("max(0, batch - 1)"), nullptr}, 64, d("batch")}, "transpose"});
  check_round_trip(kernel);
}

TEST_CASE("kernels_text: numbers keep every bit") {
  for (double value : {0.1, -0.0, 1.0 / 3.0, 1e-45, 3.4028234663852886e38, -1.5, 1e300, 5e-324,
                       std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                       std::numeric_limits<double>::quiet_NaN()}) {
    CAPTURE(value);
    check_round_trip(kernel_with(expr::constant(value, DType::f32)));
    check_round_trip(kernel_with(expr::constant(value, DType::f64), DType::f64));
  }
  for (int64_t value : {INT64_MIN, int64_t{-1}, int64_t{0}, INT64_MAX}) {
    check_round_trip(kernel_with(expr::integer(value, DType::i64), DType::i64));
    check_round_trip(kernel_with(expr::integer(value, DType::i32), DType::i32));
    check_round_trip(kernel_with(expr::integer(value, DType::boolean), DType::boolean));
  }
}

TEST_CASE("kernels_text: every operation parses back, and nothing is folded on the way") {
  const Buffer buffer{"x", DType::f32, d("batch"), 0};
  const Expr x = expr::load(buffer, 0, 0);
  const Expr i = expr::bitcast(x, DType::i32);
  const Expr c = expr::binary(ExprOp::less, x, expr::constant(1.0));
  for (ExprOp op : {ExprOp::neg, ExprOp::abs, ExprOp::sqrt, ExprOp::round, ExprOp::floor, ExprOp::ceil})
    check_round_trip(kernel_with(expr::unary(op, x)));
  for (ExprOp op : {ExprOp::add, ExprOp::sub, ExprOp::mul, ExprOp::div, ExprOp::min, ExprOp::max})
    check_round_trip(kernel_with(expr::binary(op, x, expr::constant(3.0))));
  for (ExprOp op : {ExprOp::bit_and, ExprOp::bit_or, ExprOp::bit_xor, ExprOp::shl, ExprOp::shr, ExprOp::sar,
                    ExprOp::mul_high_unsigned})
    check_round_trip(kernel_with(expr::binary(op, i, expr::integer(3)), DType::i32));
  for (ExprOp op : {ExprOp::equal, ExprOp::not_equal, ExprOp::less, ExprOp::less_equal})
    check_round_trip(kernel_with(expr::binary(op, x, expr::constant(3.0)), DType::boolean));
  for (ExprOp op : {ExprOp::logical_and, ExprOp::logical_or})
    check_round_trip(kernel_with(expr::binary(op, c, expr::unary(ExprOp::logical_not, c)), DType::boolean));
  check_round_trip(kernel_with(expr::fma(x, expr::constant(2.0), x)));
  check_round_trip(kernel_with(expr::select(c, x, expr::constant(2.0))));
  for (DType type : {DType::f64, DType::i32, DType::i64, DType::boolean})
    check_round_trip(kernel_with(expr::convert(x, type), type));

  // 1 + 2, written by hand, stays a sum.
  ExprNode sum;
  sum.op = ExprOp::add;
  sum.args = {expr::constant(1.0), expr::constant(2.0)};
  check_round_trip(kernel_with(std::make_shared<const ExprNode>(sum)));
}

TEST_CASE("kernels_text: the text of a DAG is as long as the DAG") {
  const Buffer buffer{"x", DType::f32, d("batch"), 0};
  Expr e = expr::load(buffer, 0, 0);
  for (int level = 0; level < 200; ++level) e = e * e + e;  // a tree of 3^200 leaves
  const Kernel kernel = kernel_with(e);
  CHECK(kernel_text(kernel).size() < 20000);
  check_round_trip(kernel);
}

TEST_CASE("kernels_text: a chain of five hundred operations neither nests the text nor the parser") {
  const Buffer buffer{"x", DType::f32, d("batch"), 0};
  Expr e = expr::load(buffer, 0, 0);
  for (int level = 0; level < 500; ++level) e = expr::unary(ExprOp::sqrt, e);
  check_round_trip(kernel_with(e));
}

const char* const header_example = R"(
    kernel "predict" {
      buffer "x": f32[12*batch] slot 0
      buffer "w": f32[768] slot 1
      buffer "b": f32[64] slot 2
      buffer "t0": f32[64*batch]
      buffer "t1": f32[64*batch]
      buffer "s": f32[batch]
      buffer "y": f32[batch]
      contract f32 rows (i: batch) columns (j: 64) depth (k: 12) a "x"[12*i + k] b "w"[64*k + j] init load "b"[j] {
        "t0"[64*i + j] = max(acc, 0)   // a rectified layer
      }
      for i: batch @ "softmax_1" {
        let %0 = load "t0"[64*i]
        "y"[i] += (%0 * %0) @ "square_1"
        reduce add k: 64 into "s"[i] { load "t0"[64*i + k] }
      }
      transpose (batch, 64) from "t0"[0] stride (64) to "t1"[0] stride (batch)
    })";

TEST_CASE("kernels_text: the example in the header parses") {
  const Kernel kernel = parse_kernel(header_example);
  CHECK(kernel.body.size() == 3);
  CHECK(kernel.body[1].origin == "softmax_1");
  CHECK_NOTHROW(verify_kernel(kernel, "the test"));
  check_round_trip(kernel);
}

TEST_CASE("kernels_text: a wrong text is refused with its line") {
  const std::string head = "kernel \"k\" {\n  buffer \"x\": f32[4] slot 0\n  ";
  auto refuses = [&](const std::string& body, const char* message) {
    CAPTURE(body);
    CHECK_THROWS_WITH_AS(parse_kernel(head + body), doctest::Contains(message), CompileError);
  };
  refuses("\"x\"[0] = foo(1)\n}", "line 3 of the kernel text: there is no operation 'foo'");
  refuses("\"z\"[0] = 1\n}", "there is no buffer \"z\"");
  refuses("\"x\"[0] = %3\n}", "there is no %3");
  refuses("\"x\"[0] = add(1, i32(2))\n}", "there is no operation 'add'");
  refuses("\"x\"[0] = (1 + i32(2))\n}", "add cannot be applied to (f32, i32)");
  refuses("\"x\"[0] = 1\n", "expected a statement");
  refuses("\"x\"[0 = 1\n}", "dimension");
  refuses("\"x\"[0] = fma(1, 2)\n}", "fma cannot be applied to (f32, f32)");
  refuses("\"x\"[0] = " + std::string(100000, '(') + "\n}", "nested too deeply");
  CHECK_THROWS_AS(parse_kernel(""), CompileError);
  CHECK_THROWS_AS(parse_kernel("kernel \"k\" {} rest"), CompileError);
}

TEST_CASE("kernels_text: damaged texts are parsed or refused, nothing else") {
  const std::string original = header_example;
  std::mt19937 random(11);
  const std::string alphabet = "(){}[]\"%@;:,+-*/=0129abijk_ \n";
  int parsed = 0, refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = original;
    for (size_t damage = 1 + random() % 3; damage > 0; --damage) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(at, 1 + random() % 8);
          break;
        default:
          text.insert(at, original.substr(random() % original.size(), random() % 20));
      }
    }
    try {
      const Kernel kernel = parse_kernel(text);
      ++parsed;
      if (kernel_text(parse_kernel(kernel_text(kernel))) != kernel_text(kernel)) FAIL(text);
    } catch (const CompileError&) {
      ++refused;
    }
  }
  CHECK(parsed > 100);
  CHECK(refused > 10000);
}
