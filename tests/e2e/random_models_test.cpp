// Models drawn at random from the layers, losses, metrics and optimizers there are: native code against the reference
// interpreter, which runs the layers by their own formulas; and every model through its file and through Keras' JSON.
//
// A failure prints seed and size: draw_model(seed, size) makes that model again, and a smaller size stops drawing
// earlier.
#include <cstring>
#include <memory>

#include "compiler/exchange/keras_json.h"
#include "compiler/io/model_io.h"
#include "compiler/passes/make_entries.h"
#include "compiler/pipeline.h"
#include "compiler/support/error.h"
#include "tests/e2e/whole_models.h"
#include "tools/moru/native_program.h"

using namespace moru;
using namespace moru::test;

namespace {

struct Draw {
  std::mt19937_64 engine;
  int below(int n) { return static_cast<int>(engine() % static_cast<uint64_t>(n)); }
  int from(int low, int high) { return low + below(high - low + 1); }
  bool coin() { return below(2) == 1; }
  std::string of(std::initializer_list<const char*> list) { return list.begin()[below(static_cast<int>(list.size()))]; }
  Tensor any(const std::vector<Tensor>& list) {
    return list[static_cast<size_t>(below(static_cast<int>(list.size())))];
  }

  std::string activation() {
    return of({"linear", "relu", "relu6", "tanh", "sigmoid", "elu", "selu", "softplus", "softsign", "gelu", "silu",
               "hard_sigmoid", "softmax", "log_softmax", "mish", "leaky_relu", "exponential"});
  }
  AttributeValue regularizer() {
    switch (below(5)) {
      case 0:
        return Attributes{{"class", "L1"}, {"l1", 0.01}};
      case 1:
        return Attributes{{"class", "L2"}, {"l2", 0.02}};
      case 2:
        return Attributes{{"class", "L1L2"}, {"l1", 0.01}, {"l2", 0.005}};
      default:
        return {};
    }
  }
  LayerSpec dense(int units) {
    return layers::dense(units, {.activation = activation(),
                                 .use_bias = below(4) != 0,
                                 .kernel_regularizer = regularizer(),
                                 .bias_regularizer = regularizer(),
                                 .activity_regularizer = regularizer(),
                                 .trainable = below(6) != 0});
  }
  LayerSpec recurrent(int kind, int units, bool sequences, bool state) {
    layers::RecurrentOptions options{.use_bias = below(4) != 0,
                                     .return_sequences = sequences,
                                     .return_state = state,
                                     .go_backwards = below(3) == 0,
                                     .kernel_regularizer = below(3) ? AttributeValue() : regularizer()};
    if (below(3) == 0) options.activation = of({"relu", "sigmoid", "softsign", "linear", "elu"});
    if (kind > 0 && below(3) == 0) options.recurrent_activation = of({"hard_sigmoid", "tanh"});
    if (kind == 2) options.reset_after = coin();
    return kind == 0   ? layers::simple_rnn(units, options)
           : kind == 1 ? layers::lstm(units, options)
                       : layers::gru(units, options);
  }
};

struct Drawn {
  Model model;
  TrainingSpec training;
};

std::shared_ptr<Model> small_model(Draw& draw, int64_t width) {
  ModelBuilder m("inner");
  Tensor h = m.call(draw.dense(draw.from(1, 5)), m.input("inner_x", {width}));
  if (draw.coin()) h = m.call(layers::dropout(0.25), h);
  return std::make_shared<Model>(m.build({m.call(draw.dense(draw.from(1, 5)), h)}));
}

int64_t width(const Tensor& t) { return t.shape().back().constant(); }

// One more layer, or a few that belong together, on tensors drawn before: `flat` are [batch, n], `steps` [batch, time,
// n].
void grow(Draw& draw, ModelBuilder& m, std::vector<Tensor>& flat, std::vector<Tensor>& steps) {
  using namespace layers;
  const int units = draw.below(4) == 0 ? 17 : draw.from(1, 6);
  const bool on_steps = draw.coin();
  Tensor x = draw.any(on_steps ? steps : flat);
  std::vector<Tensor>& same = on_steps ? steps : flat;
  switch (draw.below(14)) {
    case 0:
      same.push_back(m.call(draw.dense(units), x));
      break;
    case 1:
      same.push_back(m.call(dropout(draw.coin() ? 0.0 : 0.3), x));
      break;
    case 2: {
      std::vector<double> mean, variance;
      for (int64_t i = 0; i < width(x); ++i) {
        mean.push_back(0.1 * draw.from(-5, 5));
        variance.push_back(0.25 * draw.from(1, 8));
      }
      same.push_back(m.call({.class_name = "Normalization",
                             .attributes = {{"axis", std::vector<int64_t>{-1}},
                                            {"mean", mean},
                                            {"variance", variance},
                                            {"invert", draw.coin()}}},
                            x));
      break;
    }
    case 3:
      same.push_back(m.call(rescaling(0.5, -0.25), x));
      break;
    case 4:
      if (steps[0].shape()[1].is_constant()) {
        Tensor s = draw.any(steps);
        flat.push_back(m.call(flatten(), s));
        if (width(s) % 2 == 0) steps.push_back(m.call(reshape({-1, width(s) / 2}), s));
      } else {
        flat.push_back(m.call(draw.recurrent(1, units, false, false), draw.any(steps)));
      }
      break;
    case 5: {  // merging, also with an axis of extent 1
      Tensor a = m.call(draw.dense(units), x), b = m.call(draw.dense(draw.coin() ? units : 1), x);
      if (on_steps && draw.coin()) b = m.call(reshape({1, units}), m.call(draw.dense(units), draw.any(flat)));
      same.push_back(
          m.call({.class_name = draw.of({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"})}, {a, b}));
      break;
    }
    case 6:
      same.push_back(m.call(concatenate(), {x, m.call(draw.dense(units), x)}));
      break;
    case 7:
    case 8: {  // a recurrent layer whose state starts another one
      const int kind = draw.below(3);
      std::vector<Tensor> all = m.call_all(draw.recurrent(kind, units, true, true), {draw.any(steps)});
      steps.push_back(all[0]);
      flat.push_back(all[1]);
      Tensor s = draw.any(steps);
      LayerSpec next = draw.recurrent(kind, units, draw.coin(), false);
      const bool sequences = next.attributes.boolean("return_sequences");
      if (kind == 1)
        (sequences ? steps : flat).push_back(m.call(next, {s, all[1], all[2]}));
      else
        (sequences ? steps : flat).push_back(m.call(next, {s, all[1]}));
      break;
    }
    case 9: {
      const bool sequences = draw.coin();
      LayerSpec inner = draw.recurrent(draw.below(3), draw.from(1, 6), sequences, false);
      (sequences ? steps : flat)
          .push_back(m.call(bidirectional(inner, draw.of({"concat", "sum", "ave", "mul"})), draw.any(steps)));
      break;
    }
    case 10:
      steps.push_back(
          m.call(time_distributed(layers::dense(units, {.activation = draw.activation()})), draw.any(steps)));
      break;
    case 11: {
      Tensor s = draw.any(steps);
      steps.push_back(
          m.call(time_distributed({.class_name = "Functional", .submodel = small_model(draw, width(s))}), s));
      break;
    }
    case 12: {  // the same weights twice
      Tensor a = draw.any(flat);
      LayerCall shared = m.add(draw.dense(static_cast<int>(width(a))));
      flat.push_back(shared(shared(a)));
      break;
    }
    case 13: {
      Tensor a = draw.any(flat);
      LayerCall nested = m.nested(*small_model(draw, width(a)), "nested_" + std::to_string(m.drawn().layers.size()));
      flat.push_back(nested(a));
      if (draw.coin()) flat.push_back(nested(m.call(draw.dense(static_cast<int>(width(a))), a)));
      break;
    }
  }
}

// An output with a loss that suits it.
Tensor add_output(Draw& draw, ModelBuilder& m, Tensor from, int number, TrainingSpec& training) {
  const std::string name = "out" + std::to_string(number);
  std::string activation = "linear", loss;
  Attributes attributes;
  std::vector<OpSpec> metrics = {{"mae", {}, "mae"}};
  switch (draw.below(6)) {
    case 0:
      loss = draw.of({"mean_squared_error", "mean_absolute_error", "log_cosh", "mean_absolute_percentage_error"});
      metrics.push_back({"rmse", {}, "rmse"});
      break;
    case 1:
      loss = "huber";
      attributes.set("delta", 0.5);
      break;
    case 2:
      loss = draw.of({"mean_squared_logarithmic_error", "poisson"});
      activation = "softplus";
      break;
    case 3:
      loss = draw.of({"hinge", "squared_hinge", "categorical_hinge"});
      break;
    case 4:
    case 5: {
      loss = draw.of(
          {"binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy", "kl_divergence"});
      const bool logits = loss != "kl_divergence" && draw.coin();
      if (!logits) activation = loss == "binary_crossentropy" ? "sigmoid" : "softmax";
      if (logits) attributes.set("from_logits", true);
      if (loss[0] != 's' && loss[0] != 'k' && draw.coin()) attributes.set("label_smoothing", 0.1);
      if (loss[0] == 's') metrics = {{"sparse_categorical_accuracy", {}, "accuracy"}};
      break;
    }
  }
  training.losses.push_back({loss, attributes, loss});
  training.metrics.push_back(metrics);
  training.loss_weights.push_back(0.5 * draw.from(1, 3));
  return m.call(layers::dense(draw.from(2, 4), {.activation = activation, .name = name}), from);
}

// epsilon is large, so that a gradient that is nothing but rounding is not blown up to a whole step.
OpSpec draw_optimizer(Draw& draw) {
  std::string name = draw.of({"sgd", "sgd", "rmsprop", "adam", "adamw", "adamax", "nadam", "adagrad", "adadelta"});
  Attributes attributes{{"learning_rate", 0.02}};
  if (name != "sgd") attributes.set("epsilon", 0.01);
  if (name == "sgd" && draw.coin()) {
    attributes.set("momentum", 0.9);
    attributes.set("nesterov", draw.coin());
  }
  if (name == "rmsprop") {
    attributes.set("centered", draw.coin());
    attributes.set("momentum", draw.coin() ? 0.5 : 0.0);
  }
  if (name == "adam" || name == "adamw") attributes.set("amsgrad", draw.coin());
  if (draw.below(3) == 0) attributes.set("weight_decay", 0.01);
  switch (draw.below(5)) {
    case 0:
      attributes.set("clipnorm", 0.5);
      break;
    case 1:
      attributes.set("clipvalue", 0.1);
      break;
    case 2:
      attributes.set("global_clipnorm", 0.7);
      break;
    default:
      break;
  }
  return {name, attributes, name};
}

Drawn draw_model(uint64_t seed, int size) {
  Draw draw{std::mt19937_64(seed)};
  Drawn drawn;
  ModelBuilder m("m");
  const bool open = draw.below(3) == 0;
  std::vector<Tensor> steps, flat;
  const Dim time = open ? Dim::symbol("time") : Dim(4);
  if (draw.below(3) == 0)
    steps.push_back(m.call(layers::embedding(9, draw.from(1, 5)), m.input("words", {time}, DType::i32)));
  else
    steps.push_back(m.input("series", {time, draw.from(1, 5)}));
  flat.push_back(draw.coin() ? m.input("row", {draw.from(1, 17)})
                             : m.call(draw.recurrent(draw.below(3), draw.from(1, 5), false, false), steps[0]));
  for (int i = 0; i < size; ++i) grow(draw, m, flat, steps);
  if (flat[0].ref.node != flat.back().ref.node) flat.back() = m.call(layers::concatenate(), {flat[0], flat.back()});
  Tensor last = m.call(draw.recurrent(draw.below(3), 3, false, false), steps.back());
  Tensor h = m.call(layers::concatenate(), {flat.back(), last});
  std::vector<Tensor> outputs = {add_output(draw, m, h, 0, drawn.training)};
  if (draw.coin()) outputs.push_back(add_output(draw, m, draw.coin() ? h : steps.back(), 1, drawn.training));
  drawn.model = m.build(outputs);
  initialize_parameters(drawn.model, seed);
  drawn.training.optimizer = draw_optimizer(draw);
  drawn.training.sample_weight = draw.coin();
  return drawn;
}

class NativeRun {
 public:
  NativeRun(Model& model, const TrainingSpec& training, uint64_t& hash) {
    CompileOptions options;
    options.pipeline.training = &training;
    auto program = make_native_program(model, options);
    REQUIRE_MESSAGE(program.ok(), program.status().message());
    hash = (*program)->hash();
    auto session = Session::create(*program);
    REQUIRE_MESSAGE(session.ok(), session.status().message());
    session_ = std::move(*session);
  }
  void set(const std::string& name, const HostTensor& value) {
    const uint32_t slot = *session_->program().find_slot(name);
    std::vector<uint8_t>& bytes = memory_[name];
    bytes.resize(value.data.size() * static_cast<size_t>(dtype_bytes(value.dtype)));
    write_elements(value, bytes.data());
    const Status status = is_bound_by_caller(session_->program().slots()[slot].kind)
                              ? session_->bind(slot, bytes.data(), value.shape)
                              : session_->assign(slot, bytes.data(), bytes.size());
    REQUIRE_MESSAGE(status.ok(), status.message());
  }
  void run(const std::string& entry) {
    const Status status = session_->run(*session_->program().find_entry(entry));
    REQUIRE_MESSAGE(status.ok(), entry << ": " << status.message());
  }
  HostTensor get(const std::string& name) const {
    TensorView view = session_->view(*session_->program().find_slot(name));
    HostTensor out = make_tensor(view.dtype, {view.shape.begin(), view.shape.end()});
    read_elements(static_cast<const uint8_t*>(view.data), out);
    return out;
  }
  bool has(const std::string& name) const { return session_->program().find_slot(name).has_value(); }

 private:
  std::unique_ptr<Session> session_;
  std::map<std::string, std::vector<uint8_t>> memory_;
};

uint64_t hash_of(Model model, const TrainingSpec& training) {
  CompileOptions options;
  options.pipeline.training = &training;
  return compile(model, options).hash;
}

void check_round_trips(const Drawn& drawn, uint64_t hash) {
  std::vector<std::byte> weights;
  for (std::span<const std::byte> piece : make_weights_section(drawn.model).pieces)
    weights.insert(weights.end(), piece.begin(), piece.end());
  CHECK_MESSAGE(hash_of(read_model(write_model(drawn.model), weights), drawn.training) == hash, "through the file");
  Model imported = import_keras_json(export_keras_json(drawn.model));
  CHECK_MESSAGE(hash_of(imported, drawn.training) == hash, "through Keras' JSON");
}

// Interprets an entry that has run natively and compares what both wrote. Each addend of a sum in f32 is off by
// 2^-24 of the sum, and a value here is behind some hundreds of additions: 1e-4 of the largest of the tensor.
void run_both(const Module& module, const std::string& entry, Slots& slots, NativeRun& native) {
  interpret_entry(module, entry, slots);
  for (const GraphResult& result : module.find_entry(entry)->results) {
    if (!native.has(result.slot)) continue;
    const std::string what = far_apart(native.get(result.slot), slots.at(result.slot), 1e-4);
    CHECK_MESSAGE(what.empty(), entry << " " << result.slot << what);
  }
}

void check_model(uint64_t seed, int size, bool round_trips) {
  CAPTURE(seed);
  CAPTURE(size);
  Drawn drawn = draw_model(seed, size);
  uint64_t hash = 0;
  NativeRun native(drawn.model, drawn.training, hash);
  if (round_trips) check_round_trips(drawn, hash);
  Model model = drawn.model;
  const Module layers_only = make_entries(model, &drawn.training);
  PipelineOptions options;
  options.training = &drawn.training;
  options.stop_after = "expand_update";
  const Module updating = run_pipeline(model, options).module;

  native.set("seed", HostTensor{DType::i64, {}, {5.0}});
  std::mt19937_64 random(seed);
  native.run("reset_metrics");
  for (int64_t batch : {7, 33, 1}) {
    CAPTURE(batch);
    const Symbols symbols{{"batch", batch}, {"time", batch == 33 ? 5 : 3}};
    Slots slots;
    for (const Slot& slot : updating.slots) {
      if (is_bound_by_caller(slot.kind)) {
        std::vector<int64_t> shape;
        for (const Dim& dim : slot.type.shape) shape.push_back(value_of(dim, symbols));
        const bool integer = is_integer(slot.type.dtype), input = slot.kind == SlotKind::input;
        slots[slot.name] = random_tensor(slot.type.dtype, shape, random,
                                         integer ? 0
                                         : input ? -0.8
                                                 : 0.2,
                                         integer ? static_cast<double>(slot.index_limit) : 0.8);
        native.set(slot.name, slots[slot.name]);
      } else if (slot.kind != SlotKind::output && native.has(slot.name)) {
        slots[slot.name] = native.get(slot.name);  // both start every step from the same numbers
      }
    }
    native.run("predict");
    run_both(layers_only, "predict", slots, native);
    Slots layered = slots;
    native.run("train_step");
    run_both(updating, "train_step", slots, native);
    run_both(layers_only, "train_step", layered, native);
    for (const auto& [name, value] : slots)
      if (native.has(name) && updating.find_slot(name)->kind != SlotKind::output &&
          !is_bound_by_caller(updating.find_slot(name)->kind))
        slots[name] = native.get(name);
    native.run("evaluate");
    run_both(layers_only, "evaluate", slots, native);
    native.run("metric_results");
    run_both(layers_only, "metric_results", slots, native);
  }
}

}  // namespace

TEST_CASE(
    "Random models predict and train natively as by the layers' own formulas, also behind a file and Keras' JSON") {
  for (uint64_t seed = 1; seed <= 40; ++seed)
    CHECK_NOTHROW(check_model(seed, static_cast<int>(seed % 3) + 1, seed % 5 == 0));
}

TEST_CASE("Many larger random models predict and train natively as by the layers' own formulas" * doctest::skip()) {
  for (uint64_t seed = 1000; seed < 1500; ++seed)
    CHECK_NOTHROW(check_model(seed, static_cast<int>(seed % 10) + 1, true));
}
