#include "compiler/passes/make_entries.h"

#include <cmath>

#include "compiler/support/error.h"
#include "tests/e2e/whole_models.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

const InterpretOptions in_f64{.numbers = Numbers::all_f64};

TrainingSpec mse_training() {
  TrainingSpec training;
  training.optimizer.op = "sgd";
  training.losses = {{"mean_squared_error", {}, "mean_squared_error"}};
  return training;
}

Model linear_model(AttributeValue regularizer = {}) {
  ModelBuilder m("m");
  return m.build({m.call(layers::dense(1, {.use_bias = false, .kernel_regularizer = regularizer, .name = "out"}),
                         m.input("x", {1}))});
}

HostTensor tensor(DType dtype, std::vector<int64_t> shape, std::vector<double> data) {
  return {dtype, std::move(shape), std::move(data)};
}

}  // namespace

TEST_CASE("make_entries: prediction alone needs no targets, no losses and no metrics") {
  Model model = linear_model();
  const Module module = make_entries(model, nullptr);
  verify_module(module, "make_entries");
  REQUIRE(module.entries.size() == 1);
  CHECK(module.entries[0].name == "predict");
  REQUIRE(module.slots.size() == 3);
  CHECK(module.slots[0].name == "x");
  CHECK(module.slots[1].name == "out");
  CHECK(module.slots[2].name == "out/kernel");
  CHECK(module.slots[2].trainable);
}

TEST_CASE("make_entries: the loss is the weighted mean of the samples' losses plus the regularizers") {
  Model model = linear_model(Attributes{{"class", "L2"}, {"l2", 0.5}});
  TrainingSpec training = mse_training();
  training.sample_weight = true;
  training.loss_weights = {3.0};
  const Module module = make_entries(model, &training);
  verify_module(module, "make_entries");
  Slots slots;
  slots["x"] = tensor(DType::f32, {2, 1}, {1, 2});
  slots["out/kernel"] = tensor(DType::f32, {1, 1}, {2});
  slots["out/target"] = tensor(DType::f32, {2, 1}, {1, 1});
  slots["out/sample_weight"] = tensor(DType::f32, {2}, {1, 2});
  interpret_entry(module, "train_step", slots, in_f64);
  // Predictions 2 and 4: squares 1 and 9, weighted 1 and 18, mean 9.5, times 3; 0.5 * 2^2 is the penalty.
  CHECK(slots["loss"].data[0] == doctest::Approx(3 * 9.5 + 2.0));
}

TEST_CASE("make_entries: a loss without reduction trains on the sum and shows the mean, and weighted metrics see the weights") {
  Model model = linear_model();
  TrainingSpec training = mse_training();
  training.losses[0].attributes.set("reduction", "none");
  training.sample_weight = true;
  training.metrics = {{{"mae", {}, "mae"}, {"mae", {}, "weighted_mae", true}}};
  const Module module = make_entries(model, &training);
  Slots slots;
  slots["x"] = tensor(DType::f32, {2, 1}, {1, 2});
  slots["out/kernel"] = tensor(DType::f32, {1, 1}, {2});
  slots["out/target"] = tensor(DType::f32, {2, 1}, {1, 1});
  slots["out/sample_weight"] = tensor(DType::f32, {2}, {1, 2});
  interpret_entry(module, "reset_metrics", slots, in_f64);
  interpret_entry(module, "train_step", slots, in_f64);
  interpret_entry(module, "metric_results", slots, in_f64);
  CHECK(slots["loss"].data[0] == doctest::Approx(19));
  CHECK(slots["metric_results/loss"].data[0] == doctest::Approx(9.5));
  CHECK(slots["metric_results/mae"].data[0] == doctest::Approx(2));
  CHECK(slots["metric_results/weighted_mae"].data[0] == doctest::Approx(7.0 / 3.0));
}

TEST_CASE("make_entries: ignored classes count neither in the loss nor in its divisor") {
  ModelBuilder m("m");
  Model model = m.build({m.call(layers::dense(3, {.use_bias = false, .name = "out"}), m.input("x", {1}))});
  TrainingSpec training = mse_training();
  training.losses = {{"sparse_categorical_crossentropy", {{"ignore_class", -1}, {"from_logits", true}}, {}}};
  const Module module = make_entries(model, &training);
  Slots slots;
  slots["x"] = tensor(DType::f32, {3, 1}, {1, 1, 1});
  slots["out/kernel"] = tensor(DType::f32, {1, 3}, {0, 0, 0});
  slots["out/target"] = tensor(DType::i32, {3}, {2, -1, 0});
  CHECK(module.find_slot("out/target")->index_limit == 0);
  interpret_entry(module, "train_step", slots, in_f64);
  CHECK(slots["loss"].data[0] == doctest::Approx(std::log(3.0)));
}

TEST_CASE("make_entries: parameters know their layer's constraints, also inside wrappers") {
  ModelBuilder m("m");
  const Attributes limit = {{"class", "MaxNorm"}, {"max_value", 3.0}};
  LayerSpec lstm = layers::lstm(2);
  lstm.attributes.set("recurrent_constraint", limit);
  LayerSpec dense = layers::dense(1, {.name = "out"});
  dense.attributes.set("bias_constraint", Attributes{{"class", "NonNeg"}});
  Model model = m.build({m.call(dense, m.call(layers::bidirectional(lstm, "concat", "bi"), m.input("x", {4, 3})))});
  TrainingSpec training = mse_training();
  const Module module = make_entries(model, &training);
  CHECK(module.find_slot("bi/forward/recurrent_kernel")->constraint == AttributeValue(limit));
  CHECK(module.find_slot("bi/forward/kernel")->constraint.is_none());
  CHECK(module.find_slot("out/bias")->constraint == AttributeValue(Attributes{{"class", "NonNeg"}}));
}

TEST_CASE("make_entries: metrics accumulate over batches of different sizes and are reset between epochs") {
  Model model = linear_model();
  TrainingSpec training = mse_training();
  training.metrics = {{{"mean_absolute_error", {}, "mae"}}};
  const Module module = make_entries(model, &training);
  Slots slots;
  slots["out/kernel"] = tensor(DType::f32, {1, 1}, {1});
  auto evaluate = [&](std::vector<double> x, std::vector<double> y) {
    const auto rows = static_cast<int64_t>(x.size());
    slots["x"] = tensor(DType::f32, {rows, 1}, std::move(x));
    slots["out/target"] = tensor(DType::f32, {rows, 1}, std::move(y));
    interpret_entry(module, "evaluate", slots, in_f64);
  };
  for (int epoch = 0; epoch < 2; ++epoch) {
    interpret_entry(module, "reset_metrics", slots, in_f64);
    evaluate({1, 2, 3}, {0, 0, 0});
    evaluate({5}, {0});
    interpret_entry(module, "metric_results", slots, in_f64);
    CHECK(slots["metric_results/loss"].data[0] == doctest::Approx((1 + 4 + 9 + 25) / 4.0));
    CHECK(slots["metric_results/mae"].data[0] == doctest::Approx((1 + 2 + 3 + 5) / 4.0));
  }
}

TEST_CASE("make_entries: several outputs have their own losses, weights and history keys") {
  ModelBuilder m("m");
  Tensor x = m.input("x", {1});
  Model model = m.build({m.call(layers::dense(1, {.use_bias = false, .name = "a"}), x),
                         m.call(layers::dense(1, {.use_bias = false, .name = "b"}), x)});
  TrainingSpec training = mse_training();
  training.losses.push_back({"mean_absolute_error", {}, "mean_absolute_error"});
  training.loss_weights = {1.0, 10.0};
  const Module module = make_entries(model, &training);
  verify_module(module, "make_entries");
  Slots slots;
  slots["x"] = tensor(DType::f32, {1, 1}, {2});
  slots["a/kernel"] = slots["b/kernel"] = tensor(DType::f32, {1, 1}, {1});
  slots["a/target"] = slots["b/target"] = tensor(DType::f32, {1, 1}, {-1});
  interpret_entry(module, "reset_metrics", slots, in_f64);
  interpret_entry(module, "train_step", slots, in_f64);
  interpret_entry(module, "metric_results", slots, in_f64);
  CHECK(slots["loss"].data[0] == doctest::Approx(9 + 10 * 3));
  CHECK(slots["metric_results/a_loss"].data[0] == doctest::Approx(9));
  CHECK(slots["metric_results/b_loss"].data[0] == doctest::Approx(3));
}

TEST_CASE("make_entries: losses that do not fit the outputs are refused") {
  Model model = linear_model();
  TrainingSpec training = mse_training();
  training.losses.push_back(training.losses[0]);
  CHECK_THROWS_WITH_AS(make_entries(model, &training), doctest::Contains("1 outputs but 2 losses"), CompileError);
  training.losses = {{}};
  CHECK_THROWS_WITH_AS(make_entries(model, &training), doctest::Contains("nothing to train"), CompileError);
  training = mse_training();
  training.loss_weights = {1, 2};
  CHECK_THROWS_WITH_AS(make_entries(model, &training), doctest::Contains("2 loss weights"), CompileError);
}

TEST_CASE("make_entries: batch normalization moves its statistics in training only, and not where it is frozen") {
  auto trained = [](bool trainable, bool frozen_model) {
    ModelBuilder inner("inner");
    Tensor h = inner.input("h", {1});
    LayerSpec spec{.class_name = "BatchNormalization", .attributes = {{"momentum", 0.75}}, .name = "norm"};
    spec.trainable = trainable;
    h = inner.call(spec, h);
    LayerSpec nested{.class_name = "Functional", .name = "inner"};
    nested.trainable = !frozen_model;
    nested.submodel = std::make_shared<Model>(inner.build({h}));
    ModelBuilder m("m");
    Model model = m.build({m.call(nested, m.input("x", {1}))});
    TrainingSpec training = mse_training();
    const Module module = make_entries(model, &training);
    verify_module(module, "make_entries");
    CHECK(module.find_slot("inner/norm/moving_mean")->kind == SlotKind::layer_state);
    Slots slots;
    slots["x"] = tensor(DType::f32, {4, 1}, {1, 2, 3, 6});
    slots["inner/norm/gamma"] = tensor(DType::f32, {1}, {1});
    slots["inner/norm/beta"] = tensor(DType::f32, {1}, {0});
    slots["inner/norm/moving_mean"] = tensor(DType::f32, {1}, {1});
    slots["inner/norm/moving_variance"] = tensor(DType::f32, {1}, {2});
    slots["inner/target"] = tensor(DType::f32, {4, 1}, {0, 0, 0, 0});
    interpret_entry(module, "evaluate", slots, in_f64);
    CHECK(slots["inner/norm/moving_mean"].data[0] == 1.0);
    interpret_entry(module, "train_step", slots, in_f64);
    return std::vector<double>{slots["inner/norm/moving_mean"].data[0], slots["inner/norm/moving_variance"].data[0],
                               slots["loss"].data[0]};
  };
  // The batch has mean 3 and biased variance 3.5; normalized by itself its squares have the mean 3.5 / (3.5 + 0.001).
  const std::vector<double> live = trained(true, false);
  CHECK(live[0] == doctest::Approx(0.75 * 1 + 0.25 * 3));
  CHECK(live[1] == doctest::Approx(0.75 * 2 + 0.25 * 3.5));
  CHECK(live[2] == doctest::Approx(3.5 / 3.501));
  for (bool model_is_frozen : {false, true}) {
    const std::vector<double> frozen = trained(model_is_frozen, model_is_frozen);
    CHECK(frozen[0] == 1.0);
    CHECK(frozen[1] == 2.0);
    CHECK(frozen[2] == doctest::Approx((0 + 1 + 4 + 25) / 4.0 / 2.001));
  }
}

TEST_CASE("make_entries: a batch normalization that is called twice moves its statistics twice") {
  ModelBuilder m("m");
  const LayerCall norm = m.layer("BatchNormalization", {{"momentum", 0.5}}, "norm");
  const Tensor x = m.input("x", {1});
  Model model = m.build({m.call(layers::add("out"), {norm(x), norm(m.call(layers::rescaling(2.0), x))})});
  TrainingSpec training = mse_training();
  const Module module = make_entries(model, &training);
  verify_module(module, "make_entries");
  Slots slots;
  slots["x"] = tensor(DType::f32, {2, 1}, {1, 3});
  slots["norm/gamma"] = tensor(DType::f32, {1}, {1});
  slots["norm/beta"] = tensor(DType::f32, {1}, {0});
  slots["norm/moving_mean"] = tensor(DType::f32, {1}, {0});
  slots["norm/moving_variance"] = tensor(DType::f32, {1}, {1});
  slots["out/target"] = tensor(DType::f32, {2, 1}, {0, 0});
  interpret_entry(module, "train_step", slots, in_f64);
  CHECK(slots["norm/moving_mean"].data[0] == doctest::Approx((0 * 0.5 + 2 * 0.5) * 0.5 + 4 * 0.5));
}
