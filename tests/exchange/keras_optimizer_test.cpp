#include "compiler/exchange/keras_optimizer.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "compiler/exchange/keras_compile.h"
#include "compiler/exchange/saved_training.h"
#include "compiler/model/layers.h"
#include "compiler/ops/names.h"
#include "compiler/ops/op.h"
#include "compiler/pipeline.h"

using namespace moru;

namespace {

// A matrix, vectors, an embedding, a recurrent layer, and a frozen layer.
Model small_model() {
  ModelBuilder m("small");
  Tensor h = m.call({.class_name = "Embedding", .attributes = {{"input_dim", 5}, {"output_dim", 3}}, .name = "words"},
                    m.input("x", {4}));
  h = m.call(layers::lstm(2, {.name = "memory"}), h);
  h = m.call(layers::dense(3, {.name = "fixed", .trainable = false}), h);
  Model model = m.build({m.call(layers::dense(1, {.name = "y"}), h)});
  initialize_parameters(model, 1);
  return model;
}

TrainingSpec training_with(OpSpec optimizer) {
  TrainingSpec training;
  training.optimizer = std::move(optimizer);
  training.losses = {{"mean_squared_error"}};
  training.metrics = {{}};
  return training;
}

// What the compiled program keeps of the optimizer: names and shapes.
std::map<std::string, std::vector<int64_t>> slots_of_program(Model& model, const TrainingSpec& training) {
  PipelineOptions options;
  options.training = &training;
  options.stop_after = "add_update";
  std::map<std::string, std::vector<int64_t>> slots;
  for (const Slot& slot : run_pipeline(model, options).module.slots) {
    if (slot.kind != SlotKind::optimizer_state && slot.name != "step" && slot.name != "learning_rate") continue;
    for (const Dim& extent : slot.type.shape) slots[slot.name].push_back(extent.constant());
    slots[slot.name];
  }
  return slots;
}

std::vector<OptimizerVariable> variables_of(const TrainingSpec& training, Model& model) {
  return optimizer_variables(parse_json(export_compile_config(training), "config")["optimizer"], model);
}

std::string names_of(const std::vector<OptimizerVariable>& variables) {
  std::string text;
  for (const OptimizerVariable& variable : variables) text += variable.name + " ";
  return text;
}

}  // namespace

TEST_CASE("keras optimizer: every state that a program keeps has its variable, and every variable its state") {
  std::vector<TrainingSpec> cases;
  for (const Op& op : all_ops())
    if (op.family == OpFamily::optimizer) cases.push_back(training_with({std::string(op.name.substr(0, op.name.find("_update")))}));
  CHECK(cases.size() >= 13);
  cases.push_back(training_with({"sgd", {{"momentum", 0.9}}}));
  cases.push_back(training_with({"adam", {{"amsgrad", true}, {"use_ema", true}, {"gradient_accumulation_steps", 2}}}));
  cases.push_back(training_with({"rmsprop", {{"momentum", 0.5}, {"centered", true}}}));
  cases.push_back(training_with({"adam"}));
  cases.back().schedule = {"cosine_decay", {{"initial_learning_rate", 0.1}, {"decay_steps", 10}}};
  cases.push_back(training_with({"nadam"}));
  cases.back().loss_scale = LossScale{};
  for (const TrainingSpec& training : cases) {
    CAPTURE(export_compile_config(training));
    Model model = small_model();
    std::map<std::string, std::vector<int64_t>> slots = slots_of_program(model, training);
    for (const OptimizerVariable& variable : variables_of(training, model))
      for (const std::string& slot : variable.slots) {
        CAPTURE(slot);
        REQUIRE(slots.count(slot));
        CHECK(slots[slot] == variable.shape);
        slots.erase(slot);
      }
    if (!training.schedule.op.empty()) slots.erase("learning_rate");  // follows from the step
    CHECK(slots.empty());
  }
}

TEST_CASE("keras optimizer: variables stand in the order in which Keras' optimizers make them") {
  Model model = small_model();
  CHECK(names_of(variables_of(training_with({"sgd"}), model)) == "sgd/iteration sgd/learning_rate ");
  const std::vector<OptimizerVariable> adam = variables_of(training_with({"adam", {{"amsgrad", true}}}), model);
  CHECK(names_of({adam.begin(), adam.begin() + 6}) ==
        "adam/iteration adam/learning_rate adam/words_embeddings_momentum adam/words_embeddings_velocity "
        "adam/memory_lstm_cell_kernel_momentum adam/memory_lstm_cell_kernel_velocity ");
  CHECK(adam.size() == 2 + 6 * 3);
  CHECK(adam[14].name == "adam/words_embeddings_velocity_hat");
  const std::vector<OptimizerVariable> nadam = variables_of(training_with({"nadam"}), model);
  CHECK(nadam.back().name == "nadam/u_product");
  CHECK(nadam.back().slots.size() == 6);
  const std::vector<OptimizerVariable> adafactor = variables_of(training_with({"adafactor"}), model);
  CHECK(adafactor.size() == 2 + 6 * 3);
  CHECK(adafactor[2].shape == std::vector<int64_t>{5});
  CHECK(adafactor.back().slots == std::vector<std::string>{"adafactor/velocity/y/bias"});
  CHECK(adafactor[adafactor.size() - 2].slots.empty());
}

TEST_CASE("keras optimizer: what is saved comes back to the same slots, and nothing does where a slot is missing") {
  Model model = small_model();
  for (const char* name : {"adam", "nadam", "adafactor", "muon"}) {
    CAPTURE(name);
    SavedTraining state;
    state.compile_config = export_compile_config(training_with({name}));
    std::map<std::string, NamedTensor> slots;
    for (const OptimizerVariable& variable : variables_of(training_with({name}), model))
      for (const std::string& slot : variable.slots) {
        size_t bytes = static_cast<size_t>(dtype_bytes(variable.dtype));
        for (const int64_t extent : variable.shape) bytes *= static_cast<size_t>(extent);
        const auto fill = static_cast<std::byte>(variable.slots.size() > 1 ? 7 : slots.size());
        slots[slot] = {slot, variable.dtype, variable.shape, std::vector<std::byte>(bytes, fill)};
      }
    const auto find = [&](const std::string& slot) { return slots.count(slot) ? &slots[slot] : nullptr; };
    state.variables = saved_variables(state.compile_config, model, find);
    const std::vector<NamedTensor> back = optimizer_slots(state, model);
    CHECK(back.size() == slots.size());
    for (const NamedTensor& tensor : back) CHECK(tensor.bytes == slots[tensor.name].bytes);
    slots.erase("step");
    CHECK(saved_variables(state.compile_config, model, find).empty());
  }
}

TEST_CASE("keras compile: names of losses, metrics and schedules are those by which Moru reads them") {
  for (const Op& op : all_ops()) {
    CAPTURE(op.name);
    TrainingSpec training = training_with({"sgd"});
    if (op.family == OpFamily::loss) {
      training.losses = {{std::string(op.name), {{"name", "l"}}}};
      const Json loss = parse_json(export_compile_config(training), "config")["loss"];
      CHECK(loss_op_for(loss["class_name"].get<std::string>()) == op.name);
    }
    if (op.family == OpFamily::metric && !op.name.ends_with("_result")) {
      training.metrics = {{{.op = std::string(op.name), .key = "m"}}};
      const Json metrics = parse_json(export_compile_config(training), "config")["metrics"];
      if (metrics.is_null()) continue;  // not one of Keras'
      CHECK(metrics[0]["config"]["name"] == "m");
      CHECK(metric_op_for(metrics[0]["class_name"].get<std::string>(), {}, {}) == op.name);
    }
  }
}
