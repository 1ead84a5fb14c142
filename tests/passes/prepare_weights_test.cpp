#include "compiler/passes/prepare_weights.h"

#include <doctest/doctest.h>

#include "compiler/interpret/reference.h"

namespace moru {
namespace {

Module parsed(const char* text) {
  Module module = parse_module(text);
  verify_module(module, "parsing");
  return module;
}

HostTensor tensor(std::vector<int64_t> shape, std::vector<double> data) { return {DType::f32, std::move(shape), std::move(data)}; }

const char* const dense = R"(module {
  slot input "x": f32[batch, 2]
  slot output "y": f32[batch, 3]
  slot parameter "kernel": f32[3, 2]
  slot parameter "scale": f32[3]
  entry predict {
    %0 = input "x": f32[batch, 2]
    %1 = input "kernel": f32[3, 2]
    %2 = input "scale": f32[3]
    %3: f32[2, 3] = pack(%1) {permutation=(1, 0)}  # dense
    %4: f32[batch, 3] = contract(%0, %3) {spec="ab,bc->ac"}  # dense
    %5: f32[3] = exp(%2)  # norm
    %6: f32[batch, 3] = mul(%4, %5)  # norm
    result "y" = %6
  }
})";

TEST_CASE("prepare_weights: what depends on parameters alone is computed by prepare") {
  Module module = parsed(dense);
  std::map<std::string, HostTensor> slots = {{"x", tensor({2, 2}, {1, 2, 3, 4})},
                                             {"kernel", tensor({3, 2}, {1, 0, 0, 1, 1, 1})},
                                             {"scale", tensor({3}, {0, 1, -1})}};
  std::map<std::string, HostTensor> plain = slots;
  const InterpretOptions options{.symbols = {{"batch", 2}}};
  interpret_entry(module, "predict", plain, options);

  prepare_weights(module);
  verify_module(module, "prepare_weights");
  const Graph* prepare = module.find_entry("prepare");
  REQUIRE(prepare != nullptr);
  CHECK(prepare->nodes.size() == 2);
  CHECK(prepare->results.size() == 2);
  CHECK(module.find_entry("predict")->nodes.size() == 2);
  for (const GraphResult& result : prepare->results) CHECK(module.find_slot(result.slot)->kind == SlotKind::derived);
  interpret_entry(module, "prepare", slots, options);
  interpret_entry(module, "predict", slots, options);
  CHECK(slots.at("y").data == plain.at("y").data);
}

TEST_CASE("prepare_weights: two entries that need the same value share its slot") {
  Module module = parsed(dense);
  module.slots.push_back({.name = "e", .kind = SlotKind::output, .type = module.find_slot("y")->type});
  Graph evaluate = *module.find_entry("predict");
  evaluate.name = "evaluate";
  evaluate.results[0].slot = "e";
  module.entries.push_back(evaluate);
  prepare_weights(module);
  verify_module(module, "prepare_weights");
  CHECK(module.find_entry("prepare")->results.size() == 2);
}

TEST_CASE("prepare_weights: state that the entry replaces, views and sizes of the batch stay") {
  Module module = parsed(R"(module {
    slot input "x": f32[batch, 2]
    slot output "y": f32[batch, 2]
    slot layer_state "last": f32[2]
    slot parameter "kernel": f32[1, 2]
    entry predict {
      %0 = input "x": f32[batch, 2]
      %1 = input "last": f32[2]
      %2 = input "kernel": f32[1, 2]
      %3: f32[2] = exp(%1)
      %4: f32[2] = reshape(%2) {shape=[2]}
      %5: f32[batch, 2] = broadcast_to(%4) {shape=[batch, 2]}
      %6: f32[batch, 2] = exp(%5)
      %7: f32[batch, 2] = add(%0, %6)
      %8: f32[batch, 2] = add(%7, %3)
      result "y" = %8
      result "last" = %3
    }
  })");
  prepare_weights(module);
  CHECK(module.find_entry("prepare") == nullptr);
}

TEST_CASE("prepare_weights: what depends on a size of the inputs stays, though its own size is known") {
  Module module = parsed(R"(module {
    slot input "x": f32[batch, time]
    slot output "y": f32[batch, time]
    slot parameter "table": f32[8]
    entry predict {
      %0 = input "x": f32[batch, time]
      %1 = input "table": f32[8]
      %2: f32[1] = slice(%1) {axis=0, begin=[time - 1], size=[1]}
      %3: f32[1] = exp(%2)
      %4: f32[] = dim_value() {dim=[time], dtype="f32"}
      %5: f32[8] = mul(%1, %4)
      %6: f32[] = reduce_sum(%5) {axes=(0), keep_dims=false}
      %7: f32[batch, time] = add(%0, %3)
      %8: f32[batch, time] = mul(%7, %6)
      result "y" = %8
    }
  })");
  prepare_weights(module);
  CHECK(module.find_entry("prepare") == nullptr);
}

}  // namespace
}  // namespace moru
