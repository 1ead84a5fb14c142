#include "compiler/passes/share_loops.h"

#include "tests/passes/kernel_pass_case.h"

using namespace moru;

namespace {

Kernel shared(const Kernel& kernel) {
  Kernel after = kernel;
  share_loops(after);
  verify_kernel(after, "share_loops");
  return after;
}

}  // namespace

TEST_CASE("share_loops: a long update of weights is cut into pieces, the last one shorter") {
  const Kernel kernel = parse_kernel(R"(kernel "train_step" {
  buffer "weight": f32[50000] slot 0
  buffer "gradient": f32[50000] slot 1
  vector i: 50000 @ "weight" {
    "weight"[i] = (load "weight"[i] - (load "gradient"[i] * 0.5))
    "gradient"[i] = load "weight"[i]
  }
})");
  const Kernel after = shared(kernel);
  CHECK(count(kernel_text(after), "parallel piece0: 4 ") == 1);
  check_same_slots(kernel, after, {1});
}

TEST_CASE("share_loops: loops over the batch are shared where they are long, and give nothing away where it is empty") {
  const Kernel kernel = parse_kernel(R"(kernel "predict" {
  buffer "x": f32[1000*batch] slot 0
  buffer "y": f32[1000*batch] slot 1
  vector i: 1000*batch @ "relu" {
    "y"[i] = max(load "x"[i], 0)
  }
})");
  const Kernel after = shared(kernel);
  CHECK(count(kernel_text(after), "parallel") == 1);
  check_same_slots(kernel, after, {0, 1, 16, 17, 40});
}

TEST_CASE("share_loops: transposes are shared by their rows") {
  const Kernel kernel = parse_kernel(R"(kernel "predict" {
  buffer "x": f32[84000] slot 0
  buffer "y": f32[84000] slot 1
  transpose (300, 280) from "x"[0] stride (280) to "y"[0] stride (300)
})");
  const Kernel after = shared(kernel);
  CHECK(count(kernel_text(after), "parallel piece0: 7 ") == 1);
  check_same_slots(kernel, after, {1});
}

TEST_CASE("share_loops: short loops, serial ones and what is parallel already stay as they are") {
  const Kernel kernel = parse_kernel(R"(kernel "predict" {
  buffer "x": f32[40000] slot 0
  buffer "y": f32[40000] slot 1
  vector i: 16384 {
    "y"[i] = load "x"[i]
  }
  for j: 40000 {
    "y"[0] += load "x"[j]
  }
  parallel p: 2 {
    vector k: 20000 {
      "x"[20000*p + k] = 1
    }
  }
  transpose (8, 5000) from "x"[0] stride (5000) to "y"[0] stride (8)
})");
  CHECK(kernel_text(shared(kernel)) == kernel_text(kernel));
}
