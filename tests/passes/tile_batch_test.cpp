#include "compiler/passes/tile_batch.h"

#include "compiler/pipeline.h"
#include "runtime/thread_pool.h"
#include "tests/e2e/whole_models.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

// Models whose residuals are too large for the cache, with everything a training step may hold.
std::vector<WholeModel> large_models() {
  using namespace layers;
  std::vector<WholeModel> list;
  list.push_back({"lstm_dropout",
                  [] {
                    ModelBuilder m("m");
                    Tensor h = m.call(lstm(24, {.return_sequences = true}), m.input("x", {24, 3}));
                    h = m.call(dropout(0.25), h);
                    h = m.call(lstm(16), h);
                    return m.build({m.call(dense(2, {.name = "out"}), h)});
                  },
                  {"mean_squared_error"},
                  {"mae"}});
  list.push_back({"embedding_gru",
                  [] {
                    ModelBuilder m("m");
                    Tensor h = m.call(embedding(9, 8), m.input("x", {20}, DType::i32));
                    h = m.call(bidirectional(gru(16, {.return_sequences = true})), h);
                    return m.build(
                        {m.call(dense(3, {.activation = "softmax", .name = "class"}), m.call(flatten(), h))});
                  },
                  {"categorical_crossentropy"}});
  list.push_back(
      {"wide_mlp", [] {
         ModelBuilder m("m");
         Tensor x = m.input("x", {8});
         Tensor h = m.call(
             dense(256, {.activation = "gelu", .activity_regularizer = Attributes{{"class", "L2"}, {"l2", 0.001}}}), x);
         for (int branch = 0; branch < 8; ++branch) {
           Tensor other = x;
           for (int i = 0; i < 2; ++i) other = m.call(dropout(0.1), m.call(dense(96, {.activation = "tanh"}), other));
           h = m.call(concatenate(), {h, other});
         }
         return m.build({m.call(dense(1, {.name = "out"}), h)});
       }});
  return list;
}

const Node* find_tile(const Module& module) {
  for (const Node& node : module.find_entry("train_step")->nodes)
    if (node.op->name == "tile") return &node;
  return nullptr;
}

}  // namespace

TEST_CASE(
    "tile_batch: a step over chunks of the batch gives the gradients of the whole batch, the short last chunk "
    "included") {
  for (const WholeModel& whole : large_models())
    for (bool weighted : {false, true}) {
      CAPTURE(whole.name);
      TrainingSpec training = training_of(whole);
      training.sample_weight = weighted;
      const Module plain = training_module(whole, {.training = &training, .stop_after = "drop_dead_3"}),
                   tiled = training_module(whole, {.training = &training, .stop_after = "tile_batch"});
      const Node* tile = find_tile(tiled);
      REQUIRE(tile);
      const int64_t chunk = tile->attributes.integer("chunk");
      CHECK(chunk % 32 == 0);
      for (int64_t batch : {int64_t{1}, chunk - 1, chunk, chunk + 1}) {
        CAPTURE(batch);
        Slots before = random_slots(plain, {{"batch", batch}}, 5);
        before["seed"] = make_tensor(DType::i64, {}, 77);
        Slots after = before;
        const InterpretOptions in_f64{.numbers = Numbers::all_f64};
        interpret_entry(plain, "train_step", before, in_f64);
        interpret_entry(tiled, "train_step", after, in_f64);
        for (const auto& [name, tensor] : before) {
          const std::string apart = far_apart(after.at(name), tensor, 1e-11);
          CHECK_MESSAGE(apart.empty(), whole.name << " " << name << apart);
        }
      }
    }
}

TEST_CASE("tile_batch: natively the same bits as interpreted, with one worker and with several") {
  for (const WholeModel& whole : large_models()) {
    CAPTURE(whole.name);
    const LoweredModule lowered(training_module(whole, {.stop_after = "tile_batch"}), {32});
    const int64_t chunk = find_tile(lowered.module)->attributes.integer("chunk");
    for (int64_t batch : {int64_t{1}, int64_t{17}, chunk + 3}) {
      Slots slots = random_slots(lowered.module, {{"batch", batch}}, 5);
      slots["seed"] = make_tensor(DType::i64, {}, 77);
      check_entry(lowered, "train_step", slots, {{"batch", batch}}, 3e-5);
    }
    // Enough chunks that several partitions have several, the last one short.
    for (int64_t batch : {3 * chunk + 5, 9 * chunk + 1}) {
      Slots slots = random_slots(lowered.module, {{"batch", batch}}, 6);
      for (const Slot& slot : lowered.module.slots)
        if (!slots.count(slot.name) && slot.type.shape.empty())
          slots[slot.name] = make_tensor(slot.type.dtype, {}, slot.initial);
      const size_t k = lowered.index_of("train_step");
      const Kernel& kernel = lowered.kernels.kernels[k];
      auto run = [&](int threads, Placement placement) {
        auto memory = std::make_unique<KernelMemoryOf>(lowered.module, kernel, lowered.plans[k], slots,
                                                       Symbols{{"batch", batch}, {"workers", threads}}, placement);
        auto pool = ThreadPool::create(threads);
        REQUIRE(pool.ok());
        memory->run(lowered.codes[0]->find_entry("train_step"), lowered.kernels, ThreadPool::parallel_for_callback,
                    pool->get());
        CHECK(memory->overrun() == "");
        return memory;
      };
      const auto one = run(1, Placement::apart);
      for (int threads : {2, 3, 4})
        for (Placement placement : {Placement::apart, Placement::planned}) {
          const std::string where = placement == Placement::planned ? "in the arena" : "apart";
          CHECK_MESSAGE(run(threads, placement)->difference(*one) == "", threads << " threads, buffers " << where);
        }
    }
  }
}

TEST_CASE("tile_batch: a step that stays in the cache anyway, and one that mixes samples, are left alone") {
  using namespace layers;
  WholeModel small{"small", [] {
                     ModelBuilder m("m");
                     return m.build({m.call(dense(1, {.name = "out"}), m.call(dense(8), m.input("x", {4})))});
                   }};
  CHECK(find_tile(training_module(small, {.stop_after = "tile_batch"})) == nullptr);

  // Every sample minus the mean of the batch: wide enough to be tiled otherwise.
  Graph graph = parse_graph(R"(entry train_step {
    %0 = input "x": f32[batch, 4096]
    %1: f32[4096] = reduce_sum(%0) {axes=(0), keep_dims=false}
    %2: f32[batch, 4096] = sub(%0, %1)
    %3: f32[batch, 4096] = tanh(%2)
    %4: f32[] = reduce_sum(%3) {axes=(0, 1), keep_dims=false}
    result "loss" = %4
  })");
  verify_graph(graph, "parsing");
  const std::string before = graph_text(graph);
  tile_batch(graph);
  CHECK(graph_text(graph) == before);
}

TEST_CASE("tile_batch: other entries are left alone") {
  Graph graph = parse_graph(R"(entry prepare {
    %0 = input "x": f32[batch, 4096]
    %1: f32[batch, 4096] = tanh(%0)
    %2: f32[] = reduce_sum(%1) {axes=(0, 1), keep_dims=false}
    result "loss" = %2
  })");
  const std::string before = graph_text(graph);
  tile_batch(graph);
  CHECK(graph_text(graph) == before);
  graph.name = "train_step";
  tile_batch(graph);
  verify_graph(graph, "tile_batch");
  CHECK(graph_text(graph).find("tile(") != std::string::npos);
}

TEST_CASE("tile_batch: weights that outweigh what a chunk stores are not read and summed once for every chunk") {
  Graph graph = parse_graph(R"(entry train_step {
    %0 = input "x": f32[batch, 4096]
    %1 = input "w": f32[4096, 2048]
    %2: f32[batch, 2048] = contract(%0, %1) {spec="ab,bc->ac"}
    %3: f32[] = reduce_sum(%2) {axes=(0, 1), keep_dims=false}
    result "loss" = %3
  })");
  const std::string before = graph_text(graph);
  tile_batch(graph);
  CHECK(graph_text(graph) == before);
}

TEST_CASE("tile_batch: predictions leave the chunks row by row") {
  Graph graph = parse_graph(R"(entry predict {
    %0 = input "x": f32[batch, 64]
    %1 = input "w": f32[64, 2048]
    %2: f32[batch, 2048] = contract(%0, %1) {spec="ab,bc->ac"}
    %3: f32[batch, 2048] = tanh(%2)
    result "y" = %3
  })");
  const Graph before = graph;
  tile_batch(graph);
  verify_graph(graph, "tile_batch");
  CHECK(graph_text(graph).find("sums=0") != std::string::npos);
  check_same_values(before, graph);
}
