#include "compiler/passes/block_attention.h"

#include <algorithm>

#include "compiler/compile.h"
#include "compiler/passes/expand.h"
#include "compiler/pipeline.h"
#include "tests/e2e/whole_models.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

constexpr int64_t small_cache = 1024;  // bytes: what the tests' models outgrow

int count_loops(const Graph& graph) {
  int count = 0;
  for (const Node& node : graph.nodes) {
    count += node.op->name == "scan";
    for (const Graph& body : node.bodies) count += count_loops(body);
  }
  return count;
}

WholeModel self_attention(std::string name, std::string layer, Attributes attributes) {
  return {std::move(name), [layer = std::move(layer), attributes = std::move(attributes)] {
            ModelBuilder m("m");
            const Tensor x = m.input("x", {70, 6}), masked = m.layer("Masking")(x);
            const Tensor h = m.layer(layer, attributes)({masked, masked});
            return m.build({m.call(layers::dense(2, {.name = "out"}), m.layer("GlobalMaxPooling1D")(h))});
          }};
}

std::vector<WholeModel> attention_models() {
  std::vector<WholeModel> list;
  list.push_back(self_attention("heads", "MultiHeadAttention", {{"num_heads", 3}, {"key_dim", 4}, {"use_causal_mask", true}}));
  list.push_back(self_attention("dropout", "MultiHeadAttention", {{"num_heads", 2}, {"key_dim", 4}, {"dropout", 0.3}}));
  list.push_back(self_attention("one_head", "MultiHeadAttention", {{"num_heads", 1}, {"key_dim", 4}}));
  list.push_back(self_attention("groups", "GroupedQueryAttention",
                                {{"head_dim", 3}, {"num_query_heads", 4}, {"num_key_value_heads", 2}, {"use_causal_mask", true}}));
  list.push_back(self_attention("plain", "Attention", {{"use_scale", true}, {"use_causal_mask", true}}));
  list.push_back({"two_axes", [] {  // softmax over both, the scores reshaped around it
                    ModelBuilder m("m");
                    const Tensor x = m.input("x", {9, 5, 6});
                    const Tensor h = m.layer("MultiHeadAttention", {{"num_heads", 2}, {"key_dim", 4}, {"attention_axes", std::vector<int64_t>{1, 2}}})({x, x});
                    return m.build({m.call(layers::dense(1, {.name = "out"}), m.layer("GlobalAveragePooling2D")(h))});
                  }});
  list.push_back({"cross", [] {
                    ModelBuilder m("m");
                    const Tensor x = m.input("x", {64, 5}), y = m.input("y", {11, 7});
                    const Tensor h = m.layer("MultiHeadAttention", {{"num_heads", 2}, {"key_dim", 3}, {"value_dim", 4}})({x, y});
                    return m.build({m.call(layers::dense(1, {.name = "out"}), m.call(layers::lstm(3), h))});
                  }});
  return list;
}

}  // namespace

TEST_CASE("block_attention: a head at a time, and of it blocks of queries and what is left over") {
  const std::string text = R"(entry f {
    %0 = input "q": f32[batch, 2, 70, 4]
    %1 = input "k": f32[batch, 2, 9, 4]
    %2 = input "v": f32[batch, 2, 9, 3]
    %3 = input "hidden": bool[batch, 1, 70, 9]
    %4: f32[batch, 2, 70, 9] = contract(%0, %1) {spec="abTC,abSC->abTS"}
    %5: f32[] = fill() {dtype="f32", shape=[], value=-1e+09}
    %6: f32[batch, 2, 70, 9] = select(%3, %5, %4)
    %7: f32[batch, 2, 70, 9] = softmax(%6) {axis=-1}
    %8: f32[batch, 2, 70, 3] = contract(%7, %2) {spec="abTS,abSC->abTC"}
    result "y" = %8
  })";
  const Graph before = expand(parse_graph(text));
  Graph after = before;
  block_attention(after, small_cache);
  verify_graph(after, "block_attention");
  check_same_values(before, after);
  REQUIRE(std::ranges::count_if(after.nodes, [](const Node& node) { return node.op->name == "scan"; }) == 1);
  const Node& heads = *std::ranges::find_if(after.nodes, [](const Node& node) { return node.op->name == "scan"; });
  CHECK(graph_text(after).find("[batch, 2, 70, 9]") == std::string::npos);
  CHECK(heads.attributes.boolean("recompute"));
  const Graph& head = heads.bodies[0];
  const Node& blocks = *std::ranges::find_if(head.nodes, [](const Node& node) { return node.op->name == "scan"; });
  CHECK(blocks.attributes.boolean("recompute"));
  CHECK(blocks.bodies[0].type(blocks.bodies[0].inputs[0].value).shape == Shape{Dim::symbol("batch"), 1, 24, 4});
  CHECK(graph_text(head).find("f32[batch, 1, 22, 9]") != std::string::npos);  // 70 = 2 * 24 + 22
  Graph large = before;
  block_attention(large, int64_t{1} << 20);
  CHECK(graph_text(large) == graph_text(before));
}

TEST_CASE("block_attention: scores that others read, or of which as much comes from elsewhere, stay as they are") {
  const WholeModel shown{"shown", [] {
                           ModelBuilder m("m");
                           const Tensor x = m.input("x", {70, 6});
                           const LayerCall heads = m.layer("MultiHeadAttention", {{"num_heads", 2}, {"key_dim", 4}, {"return_attention_scores", true}});
                           std::vector<Tensor> outputs;
                           for (const Tensor& h : heads.call_all({x, x})) outputs.push_back(m.call(layers::dense(1), h));
                           return m.build(outputs);
                         },
                         {"mean_squared_error", "mean_squared_error"}};
  const Module module = training_module(shown, {.stop_after = "block_attention", .attention_bytes = small_cache});
  for (const char* entry : {"train_step", "predict"}) CHECK(count_loops(*module.find_entry(entry)) == 0);

  const auto with_bias = [](const char* type) {
    Graph graph = parse_graph(std::string(R"(entry f {
      %0 = input "q": f32[batch, 70, 4]
      %1 = input "k": f32[batch, 9, 4]
      %2 = input "bias": )") + type + R"(
      %3: f32[batch, 70, 9] = contract(%0, %1) {spec="aTC,aSC->aTS"}
      %4: f32[batch, 70, 9] = add(%3, %2)
      %5: f32[batch, 70, 9] = softmax(%4) {axis=-1}
      %6: f32[batch, 70, 4] = contract(%5, %1) {spec="aTS,aSC->aTC"}
      result "y" = %6
    })");
    graph = expand(graph);
    const Graph before = graph;
    block_attention(graph, small_cache);
    check_same_values(before, graph);
    return count_loops(graph);
  };
  CHECK(with_bias("f32[batch, 70, 9]") == 0);
  CHECK(with_bias("f32[batch, 70, 1]") == 1);
  CHECK(with_bias("f32[9]") == 1);
}

TEST_CASE("block_attention: predictions and training steps are what they are without it, and lower to the same") {
  for (const WholeModel& whole : attention_models()) {
    CAPTURE(whole.name);
    const Module plain = training_module(whole, {.stop_after = "drop_dead_3", .attention_bytes = int64_t{1} << 30}),
                 blocked = training_module(whole, {.stop_after = "tile_batch", .attention_bytes = small_cache});
    CHECK(count_loops(*plain.find_entry("predict")) < count_loops(*blocked.find_entry("predict")));
    CHECK(count_loops(*plain.find_entry("train_step")) + 2 <= count_loops(*blocked.find_entry("train_step")));
    Slots before = random_slots(plain, {{"batch", 3}}, 8);
    before.try_emplace("seed", make_tensor(DType::i64, {}));
    Slots after = before;
    for (const char* entry : {"predict", "train_step"}) {
      interpret_entry(plain, entry, before, {.numbers = Numbers::all_f64});
      interpret_entry(blocked, entry, after, {.numbers = Numbers::all_f64});
    }
    for (const auto& [name, tensor] : before) {
      const std::string apart = far_apart(after.at(name), tensor, 1e-11);
      CHECK_MESSAGE(apart.empty(), name << apart);
    }
    const LoweredModule lowered(blocked, {32});
    Slots slots = random_slots(lowered.module, {{"batch", 3}}, 8);
    slots.try_emplace("seed", make_tensor(DType::i64, {}));
    for (const char* entry : {"predict", "train_step"}) check_entry(lowered, entry, slots, {{"batch", 3}}, 3e-5);
  }
}

TEST_CASE("block_attention: memory does not grow with the square of the length") {
  const auto bytes_of = [](int64_t length, bool blocks) {
    ModelBuilder m("m");
    const Tensor x = m.input("x", {length, 32});
    const Tensor h = m.layer("MultiHeadAttention", {{"num_heads", 4}, {"key_dim", 8}})({x, x});
    Model model = m.build({m.call(layers::dense(1, {.name = "out"}), m.layer("GlobalAveragePooling1D")(h))});
    TrainingSpec training;
    training.optimizer.op = "adam";
    training.losses = {{"mean_squared_error", {}, "mean_squared_error"}};
    PipelineOptions options;
    options.training = &training;
    if (!blocks) options.disable = {"block_attention"};
    const Lowered lowered = run_pipeline(model, options);
    int64_t most = 0;
    for (const MemoryPlan& plan : lowered.plans)
      most = std::max(most, plan.total_bytes.evaluate([](std::string_view) { return int64_t{1}; }));
    return most;
  };
  CHECK(bytes_of(1024, false) > 2 * int64_t{4} * 1024 * 1024 * 4);
  CHECK(bytes_of(1024, true) < 4 << 20);
  CHECK(bytes_of(4096, true) < int64_t{4} * bytes_of(1024, true));
}
