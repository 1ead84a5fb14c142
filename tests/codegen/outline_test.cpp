#include "compiler/codegen/outline.h"

#include <doctest/doctest.h>

#include "tests/codegen/kernel_run.h"

using namespace moru;
using namespace moru::test;

namespace {

KernelModule module_of(const std::vector<std::string>& kernels) {
  KernelModule module;
  module.symbols = {"batch", "workers"};
  for (const std::string& text : kernels) module.kernels.push_back(parse_kernel(text));
  return module;
}

// How many functions the kernels become; native code must give the interpreter's bits whatever that number is.
size_t functions_of(const KernelModule& module) {
  const auto code = jit_compile(module, Target::host());
  for (const int64_t batch : {1, 5, 32, 70}) {
    for (const Kernel& kernel : module.kernels) {
      const Expectation expectation(module, kernel, {{"batch", batch}, {"workers", 3}}, 1);
      const std::string different = expectation.compare(*code);
      CHECK_MESSAGE(different.empty(), different << "\n" << expectation.text());
    }
  }
  return outline_functions(module).functions.size();
}

}  // namespace

TEST_CASE("outline: a contraction over the batch, over a chunk of it and inside a loop over time is one function") {
  const KernelModule module = module_of({R"(kernel "whole" {
    buffer "x": f32[20*batch]
    buffer "w": f32[600]
    buffer "y": f32[30*batch]
    contract f32 rows (i: batch) columns (j: 30) depth (k: 20) a "x"[20*i + k] b "w"[30*k + j] { "y"[30*i + j] = max(acc, 0) }
  })",
                                         R"(kernel "chunks" {
    buffer "in": f32[60*batch + 7]
    buffer "weight": f32[600]
    buffer "out": f32[90*batch + 5]
    parallel c: ceil(batch, 32) {
      for t: 3 {
        contract f32 rows (a: -max(-32, -batch + 32*c)) columns (b: 30) depth (d: 20) a "in"[20*batch*t + 640*c + 20*a + d + 7] b "weight"[30*d + b] {
          "out"[30*batch*t + 960*c + 30*a + b + 5] = max(acc, 0)
        }
      }
    }
  })"});
  CHECK(functions_of(module) == 1);
  const Outline outline = outline_functions(module);
  for (const auto& [statement, call] : outline.calls) {
    CHECK(call.buffers.size() == 3);
    CHECK(call.parameters.size() == outline.functions[0].parameters.size());
  }
}

TEST_CASE("outline: what constants decide stays apart: other columns, other operations, other types") {
  const auto text = [](const char* entry, const char* columns, const char* dtype, const char* value) {
    return std::string("kernel \"") + entry + "\" {\n  buffer \"x\": " + dtype +
           "[20*batch]\n  buffer \"w\": " + dtype + "[800]\n  buffer \"y\": " + dtype + "[40*batch]\n  contract " +
           dtype + " rows (i: batch) columns (j: " + columns +
           ") depth (k: 20) a \"x\"[20*i + k] b \"w\"[40*k + j] { \"y\"[40*i + j] = " + value + " }\n}";
  };
  CHECK(functions_of(module_of({text("a", "30", "f32", "acc"), text("b", "31", "f32", "acc"),
                                text("c", "30", "f32", "neg(acc)"), text("d", "30", "f64", "acc")})) == 4);
  CHECK(functions_of(module_of({text("a", "30", "f32", "acc"), text("b", "30", "f32", "acc")})) == 1);
}

TEST_CASE(
    "outline: loops over whole vectors and transposes of any size are one function each where there are several") {
  const auto text = [](const char* entry, int64_t elements) {
    const std::string n = std::to_string(elements);
    return std::string("kernel \"") + entry + "\" {\n  buffer \"x\": f32[" + n + "]\n  buffer \"y\": f32[" + n +
           "]\n  vector i: " + n + " {\n    \"y\"[i] = (load \"x\"[i] * 0.5)\n  }\n  transpose (8, " +
           std::to_string(elements / 8) + ") from \"x\"[0] stride (" + std::to_string(elements / 8) +
           ") to \"y\"[0] stride (8)\n}";
  };
  const KernelModule several = module_of({text("a", 128), text("b", 640), text("c", 4096)});
  CHECK(functions_of(several) == 2);
  // One alone keeps its constants, by which its loop is unrolled.
  const KernelModule one = module_of({text("a", 640)});
  CHECK(functions_of(one) == 2);
  for (const OutlinedFunction& function : outline_functions(one).functions) CHECK(function.parameters.empty());
  // A length that leaves a part of a vector is not made one of many.
  CHECK(functions_of(module_of({text("a", 648), text("b", 1000)})) == 3);
}

TEST_CASE("outline: with strides over time that differ, or depend on the batch, it is still one function") {
  const auto text = [](const std::string& entry, const std::string& rows, const std::string& stride) {
    return "kernel \"" + entry + "\" {\n  buffer \"x\": f32[3*" + stride + " + 64*batch]\n  buffer \"w\": f32[64]\n" +
           "  buffer \"y\": f32[24*batch]\n  contract f32 rows (t: 3, i: " + rows +
           ") columns (j: 8) depth (k: 8) a \"x\"[" + stride +
           "*t + 8*i + k] b \"w\"[8*k + j] { \"y\"[8*batch*t + 8*i + j] = acc }\n}";
  };
  CHECK(functions_of(module_of({text("a", "-max(-4, -batch)", "1024"), text("b", "-max(-4, -batch)", "2048")})) == 1);
  CHECK(functions_of(module_of({text("a", "batch", "8*batch"), text("b", "batch", "16*batch")})) <= 2);
}

TEST_CASE("outline: a batch that may be one keeps a tile of its own where weights are large") {
  const auto text = [](const std::string& entry, const std::string& rows) {
    return "kernel \"" + entry +
           "\" {\n  buffer \"x\": f32[128*batch]\n  buffer \"w\": f32[16384]\n  buffer \"y\": f32[128*batch]\n" +
           "  contract f32 rows (i: " + rows +
           ") columns (j: 128) depth (k: 128) a \"x\"[128*i + k] b \"w\"[128*k + j] { \"y\"[128*i + j] = acc }\n}";
  };
  CHECK(functions_of(module_of({text("whole", "batch"), text("chunk", "-max(-32, -batch)")})) == 2);
}
