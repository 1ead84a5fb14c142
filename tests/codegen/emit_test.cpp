#include <doctest/doctest.h>

#include <bit>
#include <cfloat>
#include <cstdio>
#include <ctime>

#include "compiler/codegen/emit.h"
#include "compiler/ops/transcendentals.h"
#include "compiler/support/error.h"
#include "tests/codegen/random_kernels.h"

using namespace moru;
using namespace moru::test;

namespace {

struct Configuration {
  std::string target;
  int vector_bytes;
};

// Everything this processor can run: wide and narrow vectors, with masks and without, with fma and without.
std::vector<Configuration> configurations() {
  const Target host = Target::host();
  std::vector<Configuration> list = {{host.text(), 0}};
  if (const Target narrow = Target::host_for_bf16(); narrow.has_bf16) list.insert(list.end(), {{narrow.text(), 16}, {narrow.text(), 32}, {narrow.text(), 64}});
  if (host.level == "x86-64-v4") list.insert(list.end(), {{"x86-64-v4", 16}, {"x86-64-v4", 32}, {"x86-64-v4", 64}});
  if (host.level == "x86-64-v4" || host.level == "x86-64-v3") list.insert(list.end(), {{"x86-64-v3", 16}, {"x86-64-v3", 32}, {"x86-64-v3", 64}});
  if (host.is_x86()) list.push_back({"x86-64-v2", 16});
  return list;
}

KernelModule module_of(std::vector<Kernel> kernels) {
  KernelModule module;
  module.symbols = {"n", "batch", "time", "workers"};
  module.kernels = std::move(kernels);
  return module;
}

void check_everywhere(const KernelModule& module, const std::vector<Symbols>& sizes, uint64_t seed, bool special = true) {
  std::vector<std::unique_ptr<Expectation>> expectations;
  for (const Symbols& symbols : sizes) {
    for (const Kernel& kernel : module.kernels) {
      expectations.push_back(std::make_unique<Expectation>(module, kernel, symbols, seed, special));
    }
  }
  for (const Configuration& configuration : configurations()) {
    EmitOptions options;
    options.vector_bytes = configuration.vector_bytes;
    CAPTURE(configuration.target);
    CAPTURE(configuration.vector_bytes);
    const auto code = jit_compile(module, Target::parse(configuration.target), options);
    for (const auto& expectation : expectations) {
      const std::string different = expectation->compare(*code);
      CHECK_MESSAGE(different.empty(), different << "\n" << expectation->text());
      if (!different.empty()) return;
    }
  }
}

const Symbols small_sizes = {{"n", 1}, {"batch", 1}, {"time", 1}, {"workers", 1}};

}  // namespace

TEST_CASE("random kernels give the interpreter's bits at every vector width and touch nothing around their buffers") {
  // MORU_SEED=number repeats one run; otherwise every day has its own seeds, so that the space is walked over time.
  const char* given = std::getenv("MORU_SEED");
  const uint64_t seed = given ? std::strtoull(given, nullptr, 10) : static_cast<uint64_t>(std::time(nullptr) / 86400);
  MESSAGE("MORU_SEED=" << seed);
  for (uint64_t round = 0; round < 2; ++round) {
    Random random(seed + round);
    std::vector<Kernel> kernels;
    for (int i = 0; i < 16; ++i) kernels.push_back(KernelMaker("entry_" + std::to_string(i), random.bits(), false).make());
    check_everywhere(module_of(kernels), {KernelMaker::random_symbols(random), KernelMaker::random_symbols(random)}, seed + round);
  }
}

TEST_CASE("f64 contractions and fma give the interpreter's bits where the target has fma") {
  Random random(7);
  std::vector<Kernel> kernels;
  for (int i = 0; i < 16; ++i) kernels.push_back(KernelMaker("entry_" + std::to_string(i), random.bits(), true).make());
  const KernelModule module = module_of(kernels);
  const auto code = jit_compile(module, Target::host());
  for (const Kernel& kernel : module.kernels) {
    CHECK(Expectation(module, kernel, {{"n", 33}, {"batch", 7}, {"time", 3}, {"workers", 3}}, 5).compare(*code) == "");
  }
}

TEST_CASE("every operation gives the interpreter's bits on every pair of awkward values") {
  const float floats[] = {0.0f, -0.0f, 1.0f, -1.5f, 2.5f, INFINITY, -INFINITY, NAN, 1e-42f, -3e38f, 2147483520.0f, 2147483648.0f, -2147483904.0f, 0.5f, 3e9f, -0.5f};
  const int64_t integers[] = {0, 1, -1, 2, -7, 31, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 63, 12345678901, 3, -2, 65536, 5};
  constexpr int64_t count = 16;
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64}) {
    Kernel kernel;
    kernel.entry = "entry";
    const Dim i = Dim::symbol("i"), first = floor_div(i, Dim(count)), second = modulo(i, Dim(count));
    kernel.buffers = {{"a", dtype, count, -1}};
    const Expr a = expr::load(kernel.buffers[0], 0, first), b = expr::load(kernel.buffers[0], 0, second);
    const auto add = [&](const Expr& value) {
      const auto id = static_cast<BufferId>(kernel.buffers.size());
      kernel.buffers.push_back({"y" + std::to_string(id), value->type, count * count, -1});
      kernel.body.push_back({For{"i", count * count, ForKind::vector, {{Store{{id, i, nullptr}, value, false}, ""}}}, ""});
    };
    for (ExprOp op : {ExprOp::add, ExprOp::sub, ExprOp::mul, ExprOp::div, ExprOp::min, ExprOp::max, ExprOp::equal, ExprOp::not_equal, ExprOp::less, ExprOp::less_equal}) add(expr::binary(op, a, b));
    for (ExprOp op : {ExprOp::neg, ExprOp::abs}) add(expr::unary(op, a));
    for (DType to : {DType::f32, DType::f64, DType::i32, DType::i64, DType::boolean}) add(expr::convert(a, to));
    if (dtype == DType::f32) add(expr::convert(a, DType::bf16));
    if (dtype == DType::f32) add(expr::convert(expr::convert(a, DType::bf16), DType::f32));
    if (is_float(dtype)) {
      for (ExprOp op : {ExprOp::sqrt, ExprOp::round, ExprOp::floor, ExprOp::ceil}) add(expr::unary(op, a));
      for (ExprOp op : {ExprOp::min, ExprOp::max}) {
        for (double limit : {0.0, -0.0, 1.0, -2.5}) add(expr::binary(op, a, expr::constant(limit, dtype)));
        for (double limit : {0.0, -0.0, 1.0, -2.5}) add(expr::binary(op, expr::constant(limit, dtype), a));
      }
      // Known to fit, so that only NaN needs care.
      const Expr clamped = expr::binary(ExprOp::max, expr::binary(ExprOp::min, a, expr::constant(88.0, dtype)), expr::constant(-88.0, dtype));
      for (DType to : {DType::i32, DType::i64}) add(expr::convert(clamped, to));
      if (dtype == DType::f32) add(expr::fma(a, b, a));
    } else {
      const Expr shift = expr::binary(ExprOp::bit_and, b, expr::integer(dtype == DType::i32 ? 31 : 63, dtype));
      for (ExprOp op : {ExprOp::shl, ExprOp::shr, ExprOp::sar}) add(expr::binary(op, a, shift));
      for (ExprOp op : {ExprOp::bit_and, ExprOp::bit_or, ExprOp::bit_xor, ExprOp::mul_high_unsigned}) add(expr::binary(op, a, b));
    }
    const KernelModule module = module_of({kernel});
    const auto fill = [&](const KernelMemory& memory) {
      for (int64_t at = 0; at < count; ++at) {
        if (dtype == DType::f32) static_cast<float*>(memory.pointers[0])[at] = floats[at];
        if (dtype == DType::f64) static_cast<double*>(memory.pointers[0])[at] = static_cast<double>(floats[at]);
        if (dtype == DType::i32) static_cast<int32_t*>(memory.pointers[0])[at] = static_cast<int32_t>(integers[at]);
        if (dtype == DType::i64) static_cast<int64_t*>(memory.pointers[0])[at] = integers[at];
      }
    };
    const KernelMemory expected(kernel, small_sizes, 1);
    fill(expected);
    interpret_kernel(kernel, expected.pointers, small_sizes);
    for (const Configuration& configuration : configurations()) {
      EmitOptions options;
      options.vector_bytes = configuration.vector_bytes;
      const KernelMemory native(kernel, small_sizes, 1);
      fill(native);
      const auto code = jit_compile(module, Target::parse(configuration.target), options);
      run_native(code->find_entry("entry"), module, kernel, small_sizes, native);
      const std::string different = difference(kernel, native, expected);
      CHECK_MESSAGE(different.empty(), dtype_name(dtype) << " on " << configuration.target << ": " << different);
    }
  }
}

TEST_CASE("reductions of every length fold in the fixed order, along rows and down columns") {
  std::vector<Kernel> kernels;
  for (const char* op : {"add", "max", "min"}) {
    for (const char* type : {"f32", "f64", "i32"}) {
      const std::string name = "kernel entry_" + std::to_string(kernels.size()) + " {\n";
      const std::string t = type;
      kernels.push_back(parse_kernel(name + "  buffer \"x\": " + t + "[n*21]\n  buffer \"s\": " + t + "[21]\n  buffer \"c\": " + t + "[21]\n" +
                                     "  for j: 21 { reduce " + op + " k: n into \"s\"[j] { load \"x\"[n*j + k] } }\n" +
                                     "  for j: 21 { reduce " + op + " k: n accumulate into \"c\"[j] { load \"x\"[21*k + j] } }\n}\n"));
    }
  }
  std::vector<Symbols> lengths;
  for (int64_t length = 1; length <= 70; ++length) {
    lengths.push_back(small_sizes);
    lengths.back()["n"] = length;
  }
  check_everywhere(module_of(kernels), lengths, 17, false);
}

TEST_CASE("contractions of every awkward size give the interpreter's bits") {
  std::vector<Kernel> kernels;
  const auto add = [&](const std::string& rows, int64_t columns, int64_t depth, bool gradient, const std::string& type) {
    const std::string n = std::to_string(columns), k = std::to_string(depth);
    const std::string a = gradient ? "(" + rows + ")*k + i" : k + "*i + k";
    kernels.push_back(parse_kernel("kernel entry_" + std::to_string(kernels.size()) + " {\n  buffer \"a\": " + type + "[" + k + "*(" + rows + ")]\n" +
                                   "  buffer \"b\": " + type + "[" + k + "*" + n + "]\n  buffer \"bias\": f32[" + n + "]\n  buffer \"y\": f32[" + n + "*(" + rows +
                                   ")]\n  contract f32 rows (i: " + rows + ") columns (j: " + n + ") depth (k: " + k + ") a \"a\"[" + a +
                                   "] b \"b\"[" + n + "*k + j] init load \"bias\"[j] {\n    \"y\"[" + n + "*i + j] = max(acc, 0)\n  }\n}\n"));
  };
  for (int64_t columns : {1, 5, 11, 12, 16, 33, 64, 75, 256}) {
    for (int64_t depth : {1, 5, 12, 64}) add("n", columns, depth, (columns + depth) % 2 == 0, "f32");
    for (int64_t rows : {1, 2, 5, 6, 7, 31, 32, 33}) add(std::to_string(rows), columns, 12, rows % 2 == 1, "f32");
    for (int64_t depth : {1, 2, 5, 12, 64}) add("n", columns, depth, (columns + depth) % 2 == 1, "bf16");
    for (int64_t rows : {1, 7, 32}) add(std::to_string(rows), columns, 13, rows % 2 == 1, "bf16");
  }
  std::vector<Symbols> sizes;
  for (int64_t rows : {1, 2, 5, 6, 7, 31, 32, 33}) {
    sizes.push_back(small_sizes);
    sizes.back()["n"] = rows;
  }
  check_everywhere(module_of(kernels), sizes, 11, false);
}

TEST_CASE("large weights give the same bits for one row, which has a tile of its own, and for many") {
  Kernel kernel = parse_kernel(R"(kernel entry {
    buffer "x": f32[300*n]
    buffer "w": f32[78300]
    buffer "y": f32[261*n]
    contract f32 rows (i: n) columns (j: 261) depth (k: 300) a "x"[300*i + k] b "w"[261*k + j] { "y"[261*i + j] = acc }
  })");
  // An epilogue that is too long to be repeated for every vector of a tile.
  Contraction& contraction = std::get<Contraction>(kernel.body[0].node);
  contraction.epilogue[0].value = tanh_expr(sigmoid_expr(contraction.epilogue[0].value));
  std::vector<Symbols> sizes;
  for (int64_t rows : {1, 2, 9}) {
    sizes.push_back(small_sizes);
    sizes.back()["n"] = rows;
  }
  check_everywhere(module_of({kernel}), sizes, 13, false);
}

TEST_CASE("a prefix that cannot begin a C name is refused") {
  EmitOptions options;
  for (const char* prefix : {"", "1st_", "a-b_", "a b"}) {
    options.prefix = prefix;
    CHECK_THROWS_WITH_AS(emit_objects(module_of({}), Target::host(), options), doctest::Contains("prefix"), CompileError);
  }
}

TEST_CASE("a loop over nothing does nothing, whatever the extents say") {
  const Kernel kernel = parse_kernel(R"(kernel entry {
    buffer "x": f32[n]
    buffer "s": f32[1]
    buffer "y": f32[16]
    vector i: n - 5 { "x"[i] = 1 }
    reduce max k: n - 5 into "s"[0] { load "x"[k] }
    contract f32 rows (i: n - 5) columns (j: 4) depth (k: 3) a "x"[i + k] b "y"[j + k] { "x"[i + j] = acc }
    contract f32 rows (i: 2) columns (j: 4) depth (k: n - 5) a "x"[i + k] b "x"[j + k] { "y"[4*i + j] = acc }
  })");
  check_everywhere(module_of({kernel}), {{{"n", 5}, {"batch", 1}, {"time", 1}, {"workers", 1}}, {{"n", 2}, {"batch", 1}, {"time", 1}, {"workers", 1}}}, 3);
}

TEST_CASE("a store sees what an earlier store of the same iteration wrote, even through a shared expression") {
  Kernel kernel;
  kernel.entry = "entry";
  kernel.buffers = {{"x", DType::f32, 37, -1}, {"y", DType::f32, 37, -1}, {"z", DType::f32, 37, -1}};
  const Dim i = Dim::symbol("i");
  const Expr x = expr::load(kernel.buffers[0], 0, i);
  const Expr doubled = x * 2.0;
  const Block stores = {{Store{{1, i, nullptr}, doubled, false}, ""}, {Store{{0, i, nullptr}, x + 1.0, false}, ""}, {Store{{2, i, nullptr}, doubled, false}, ""}};
  kernel.body = {{For{"i", 37, ForKind::vector, stores}, ""}};
  check_everywhere(module_of({kernel}), {small_sizes}, 1);
  // The same in the epilogue of a contraction.
  const std::vector<Store> epilogue = {std::get<Store>(stores[0].node), std::get<Store>(stores[1].node), std::get<Store>(stores[2].node)};
  Contraction contraction{{}, {{"i", 37}}, {{"k", 3}}, DType::f32, {3, Dim::symbol("k"), nullptr}, {4, 37 * Dim::symbol("k") + i, nullptr}, nullptr, epilogue};
  kernel.buffers.push_back({"a", DType::f32, 3, -1});
  kernel.buffers.push_back({"b", DType::f32, 111, -1});
  kernel.body = {{contraction, ""}};
  check_everywhere(module_of({kernel}), {small_sizes}, 1);
}

TEST_CASE("slots stand before the arena in the call, whether the entry uses them or not") {
  KernelModule module = module_of({parse_kernel(R"(kernel entry {
    buffer "input": f32[8] slot 2
    buffer "scratch": f32[8]
    buffer "output": f32[8] slot 5
    vector i: 8 { "scratch"[i] = (load "input"[i] * 2) }
    vector i: 8 { "output"[i] = (load "scratch"[i] + 1) }
  })")});
  module.slot_count = 9;
  const auto code = jit_compile(module, Target::host());
  CHECK(Expectation(module, module.kernels[0], small_sizes, 1).compare(*code) == "");
  module.slot_count = 5;
  CHECK_THROWS_WITH_AS(jit_compile(module, Target::host()), doctest::Contains("slot"), InternalError);
}

namespace {

/// Operands of a multiply-add: any bits, few significant ones, or an addend that brings the sum onto the middle between two
/// floats, next to it, or among the subnormal ones.
void draw_operands(Random& random, float& a, float& b, float& c) {
  const auto any = [&] { return std::bit_cast<float>(static_cast<uint32_t>(random.bits())); };
  const auto few_bits = [&](int low, int high) {
    const double significand = static_cast<double>(random.between(-4099, 4099)) + (random.chance(30) ? 0x1p-11 : 0);
    return static_cast<float>(std::ldexp(significand, static_cast<int>(random.between(low, high))));
  };
  const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, FLT_MIN, -FLT_MIN, FLT_MAX, -FLT_MAX, FLT_TRUE_MIN, 1.0f, -1.0f};
  switch (random.between(0, 5)) {
    case 0: a = any(), b = any(), c = any(); return;
    case 1: a = few_bits(-30, 20), b = few_bits(-30, 20), c = few_bits(-30, 20); return;
    case 2: a = few_bits(-80, -50), b = few_bits(-80, -50), c = few_bits(-80, -50); return;
    case 3: {
      const auto one = [&] { return random.chance(50) ? special[random.between(0, 11)] : few_bits(-20, 20); };
      a = one(), b = one(), c = one();
      return;
    }
    default: {
      // a * b is half of c's last place, or by 2^-2k less of it, so that the sum lies on the middle of two floats or next to it.
      c = random.chance(50) ? std::bit_cast<float>(static_cast<uint32_t>(random.between(0, 0x01ffffff))) : std::abs(few_bits(-10, 10));
      const double half = (static_cast<double>(std::nextafter(c, INFINITY)) - static_cast<double>(c)) / 2;
      const float off = random.chance(20) ? 0 : std::ldexp(1.0f, -static_cast<int>(random.between(10, 23)));
      a = std::ldexp(1 + off, -70);
      b = static_cast<float>(std::ldexp(half, 70)) * (1 - off);
      if (random.chance(50)) b = -b;
      if (random.chance(50)) a = -a, c = -c;
    }
  }
}

}  // namespace

TEST_CASE("f32 fma without the instruction is std::fma on any values, halfway cases, underflow and infinities included") {
  if (!Target::host().is_x86()) return;
  constexpr int count = 65536 + 7;  // vectors, and what is left of them
  const std::string n = std::to_string(count);
  const Kernel kernel = parse_kernel("kernel entry {\n  buffer \"a\": f32[" + n + "]\n  buffer \"b\": f32[" + n + "]\n  buffer \"c\": f32[" + n +
                                     "]\n  buffer \"y\": f32[" + n + "]\n  vector i: " + n +
                                     " { \"y\"[i] = fma(load \"a\"[i], load \"b\"[i], load \"c\"[i]) }\n}\n");
  const KernelModule module = module_of({kernel});
  const auto code = jit_compile(module, Target::parse("x86-64-v2"));
  const KernelMemory memory(kernel, {}, 1);
  Random random(3);
  const auto at = [&](size_t buffer, int i) -> float& { return static_cast<float*>(memory.pointers[buffer])[i]; };
  int rounded_twice = 0, subnormal = 0, infinite = 0, not_numbers = 0;
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < count; ++i) draw_operands(random, at(0, i), at(1, i), at(2, i));
    run_native(code->find_entry("entry"), module, kernel, small_sizes, memory);
    for (int i = 0; i < count; ++i) {
      const float a = at(0, i), b = at(1, i), c = at(2, i), y = at(3, i), expected = std::fma(a, b, c);
      const bool same = std::isnan(expected) ? std::isnan(y) : std::bit_cast<uint32_t>(y) == std::bit_cast<uint32_t>(expected);
      REQUIRE_MESSAGE(same, "fma(" << a << ", " << b << ", " << c << ") = " << expected << ", not " << y);
      const double sum = static_cast<double>(a) * static_cast<double>(b) + static_cast<double>(c);
      rounded_twice += !std::isnan(expected) && static_cast<float>(sum) != expected;
      subnormal += std::fpclassify(expected) == FP_SUBNORMAL;
      infinite += std::isinf(expected);
      not_numbers += std::isnan(expected);
    }
  }
  // The values are of all kinds, and a double's sum alone would not do.
  CHECK(rounded_twice > 1000);
  CHECK(subnormal > 1000);
  CHECK(infinite > 1000);
  CHECK(not_numbers > 1000);
}

TEST_CASE("f64 fma is refused where the target lacks it, with what to do") {
  const KernelModule module = module_of({parse_kernel(R"(kernel entry {
    buffer "a": f64[4]
    vector i: 4 { "a"[i] = fma(load "a"[i], load "a"[i], load "a"[i]) }
  })")});
  CHECK_THROWS_WITH_AS(emit_objects(module, Target::parse("x86-64-v2")), doctest::Contains("f64 fma needs a target with fma"), CompileError);
}

TEST_CASE("equal loops become one function, whatever their buffers and variables are called") {
  const KernelModule module = module_of({parse_kernel(R"(kernel first {
    buffer "x": f32[16*n]
    buffer "y": f32[16*n]
    for i: n { vector j: 16 { "y"[16*i + j] = (load "x"[16*i + j] * 2) } }
    for a: n { vector b: 16 { "x"[16*a + b] = (load "y"[16*a + b] * 2) } }
  })"), parse_kernel(R"(kernel second {
    buffer "p": f32[16*batch]
    buffer "q": f32[16*batch]
    for r: batch { vector c: 16 { "q"[16*r + c] = (load "p"[16*r + c] * 2) } }
    for r: batch { vector c: 16 { "q"[16*r + c] = (load "p"[16*r + c] * 3) } }
  })")});
  const std::string text = emit_llvm_ir(module, Target::host());
  CHECK(text.find("@moru_kernel_1(") != std::string::npos);
  CHECK(text.find("@moru_kernel_2(") == std::string::npos);
}

TEST_CASE("generated code fuses no multiplication with an addition and asks for no symbol") {
  const KernelModule module = module_of({parse_kernel(R"(kernel entry {
    buffer "x": f32[64]
    buffer "y": f32[64]
    vector i: 64 { "y"[i] = ((load "x"[i] * load "x"[i]) + round(load "y"[i])) }
  })")});
  for (const char* target : {"x86-64-v4", "x86-64-v3", "x86-64-v2", "aarch64"}) {
    const std::string text = emit_assembly(module, Target::parse(target));
    CAPTURE(target);
    for (const char* fused : {"vfmadd", "fmla", "fmadd"}) CHECK(text.find(fused) == std::string::npos);
    for (const char* call : {"roundeven", "memcpy", "memset"}) CHECK(text.find(call) == std::string::npos);
  }
}

TEST_CASE("a contraction's innermost loop multiplies no index, whatever the strides of its operands") {
  const KernelModule module = module_of({parse_kernel(R"(kernel "k" {
    buffer "x": f32[24*batch + 8*n]
    buffer "w": f32[600]
    buffer "y": f32[512]
    contract f32 rows (i: 16) columns (j: 24) depth (k: batch) a "x"[i + 24*k + 8*n] b "w"[j + 24*k] { "y"[24*i + j] = acc }
  })")});
  const std::string text = emit_assembly(module, Target::parse("x86-64-v4"));
  // Every loop that multiplies and adds: from its label to the jump back.
  size_t loops = 0;
  for (size_t label = text.find("\n.LBB"); label != std::string::npos; label = text.find("\n.LBB", label + 1)) {
    const std::string name = text.substr(label + 1, text.find(':', label) - label - 1);
    const size_t end = std::min(text.find("\n.LBB", label + 1), text.size());
    const std::string body = text.substr(label, end - label);
    if (body.find("vfmadd") == std::string::npos || body.find("\t" + name + "\n") == std::string::npos) continue;
    ++loops;
    CHECK_MESSAGE(body.find("imul") == std::string::npos, body);
    CHECK_MESSAGE(body.find("\tshl") == std::string::npos, body);
  }
  CHECK(loops > 0);
}

TEST_CASE("contractions whose operands share a buffer, or whose depth has several axes, give the interpreter's bits") {
  const KernelModule module = module_of({parse_kernel(R"(kernel "gram" {
    buffer "x": f32[40*batch]
    buffer "y": f32[1600]
    contract f32 rows (i: 40) columns (j: 40) depth (k: batch) a "x"[i + 40*k] b "x"[j + 40*k] { "y"[40*i + j] = acc }
  })"),
                                         parse_kernel(R"(kernel "steps" {
    buffer "x": f32[100*batch]
    buffer "w": f32[400]
    buffer "y": f32[20*batch]
    contract f32 rows (i: batch) columns (j: 20) depth (t: 4, k: 5) a "x"[100*i + 25*t + k] b "w"[100*t + 20*k + j] { "y"[20*i + j] += acc }
  })")});
  check_everywhere(module, {{{"n", 1}, {"batch", 1}, {"time", 1}, {"workers", 1}}, {{"n", 1}, {"batch", 37}, {"time", 1}, {"workers", 1}}}, 3);
}

TEST_CASE("contractions of bf16 go by pairs of the innermost axis of their depth, merged or not, of whatever strides") {
  std::vector<Kernel> kernels;
  for (const char* statement : {
           R"(contract f32 rows (i: n) columns (j: 20) depth (t: 4, k: 5) a "x"[100*i + 25*t + k] b "w"[100*t + 20*k + j] { "y"[20*i + j] += acc })",
           R"(contract f32 rows (i: n) columns (j: 20) depth (t: 4, k: 6) a "x"[24*i + 6*t + k] b "w"[120*t + 20*k + j] { "y"[20*i + j] = acc })",
           R"(contract f32 rows (i: n) columns (j: 20) depth (t: 3, k: batch) a "x"[batch*t + 60*i + k] b "w"[20*batch*t + 20*k + j] { "y"[20*i + j] = acc })",
           R"(contract f32 rows (i: n) columns (j: 3) depth (k: 7) a "x"[n*k + i] b "w"[3*k + j] { "y"[3*i + j] = acc })",
       }) {
    kernels.push_back(parse_kernel("kernel entry_" + std::to_string(kernels.size()) +
                                   " {\n  buffer \"x\": bf16[100*n + 3*batch]\n  buffer \"w\": bf16[500 + 60*batch]\n  buffer \"y\": f32[20*n]\n  " + statement + "\n}\n"));
  }
  std::vector<Symbols> sizes;
  for (int64_t batch : {1, 2, 5, 18}) {
    sizes.push_back(small_sizes);
    sizes.back()["n"] = 3 * batch + 1;
    sizes.back()["batch"] = batch;
  }
  check_everywhere(module_of(kernels), sizes, 23, false);
}
