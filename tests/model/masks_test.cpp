// Masks: which layers make, use, pass and end them, while a model is drawn and in what it computes.
#include <doctest/doctest.h>

#include "compiler/exchange/keras_json.h"
#include "compiler/interpret/reference.h"
#include "compiler/io/model_io.h"
#include "compiler/model/functional.h"
#include "compiler/model/layers.h"
#include "compiler/model/model_text.h"
#include "compiler/model/summary.h"
#include "compiler/passes/make_entries.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

std::string mask_of(const Tensor& tensor) {
  const std::optional<Type> mask = tensor.builder->drawn().mask(tensor.ref);
  return mask ? type_text(*mask) : "none";
}

HostTensor floats(std::vector<int64_t> shape, std::vector<double> data) { return {DType::f32, std::move(shape), std::move(data)}; }

std::map<std::string, HostTensor> predict(Model& model, std::map<std::string, HostTensor> slots) {
  const Module module = make_entries(model, nullptr);
  verify_module(module, "make_entries");
  interpret_entry(module, "predict", slots);
  return slots;
}

TEST_CASE("masks: each layer makes, passes or ends a mask as in Keras") {
  ModelBuilder m;
  const Tensor words = m.input("words", {7}, DType::i32);
  const Tensor x = m.layer("Embedding", {{"input_dim", 9}, {"output_dim", 4}, {"mask_zero", true}})(words);
  CHECK(mask_of(x) == "bool[batch, 7]");
  CHECK(mask_of(m.call(layers::embedding(9, 4), words)) == "none");
  const auto behind = [&](std::string class_name, Attributes attributes = {}) {
    return mask_of(m.layer(std::move(class_name), std::move(attributes))(x));
  };
  for (const char* passes : {"Dropout", "ReLU", "LeakyReLU", "ELU", "LayerNormalization", "BatchNormalization", "GaussianNoise"})
    CHECK_MESSAGE(behind(passes, std::string(passes) == "Dropout" ? Attributes{{"rate", 0.5}}
                                 : std::string(passes) == "GaussianNoise" ? Attributes{{"stddev", 0.5}} : Attributes{}) == "bool[batch, 7]", passes);
  CHECK(behind("Dense", {{"units", 3}}) == "bool[batch, 7]");
  CHECK(behind("Activation", {{"activation", "tanh"}}) == "bool[batch, 7]");
  CHECK(behind("LSTM", {{"units", 3}, {"return_sequences", true}}) == "bool[batch, 7]");
  CHECK(behind("LSTM", {{"units", 3}}) == "none");
  const Attributes gru{{"class", "GRU"}, {"units", 2}, {"return_sequences", true}};
  CHECK(behind("Bidirectional", {{"layer", gru}}) == "bool[batch, 7]");
  CHECK(behind("TimeDistributed", {{"layer", Attributes{{"class", "Dense"}, {"units", 3}}}}) == "bool[batch, 7]");
  for (const char* ends : {"Flatten", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "MaxPooling1D"})
    CHECK_MESSAGE(behind(ends) == "none", ends);
  CHECK(behind("Reshape", {{"target_shape", std::vector<int64_t>{4, 7}}}) == "none");
  CHECK(behind("Conv1D", {{"filters", 3}, {"kernel_size", std::vector<int64_t>{3}}, {"padding", "same"}}) == "none");
  // Later outputs, such as states, have none.
  const std::vector<Tensor> all = m.layer("LSTM", {{"units", 3}, {"return_sequences", true}, {"return_state", true}}).call_all({x});
  CHECK(mask_of(all[0]) == "bool[batch, 7]");
  CHECK(mask_of(all[2]) == "none");
}

TEST_CASE("masks: merging layers join them") {
  ModelBuilder m;
  const Tensor a = m.call({.class_name = "Masking"}, m.input("a", {5, 2})), b = m.call({.class_name = "Masking"}, m.input("b", {5, 2}));
  const Tensor plain = m.input("plain", {5, 2});
  CHECK(mask_of(m.call(layers::add(), {a, b})) == "bool[batch, 5]");
  CHECK(mask_of(m.call(layers::add(), {a, plain})) == "none");
  CHECK(mask_of(m.call(layers::concatenate(), {a, plain})) == "bool[batch, 5]");
  CHECK(mask_of(m.call(layers::concatenate(1), {a, b, plain})) == "bool[batch, 15]");
  CHECK(mask_of(m.call(layers::concatenate(), {plain, plain})) == "none");
}

TEST_CASE("masks: the Concatenate of steps has the masks behind each other, a model without one counting as real") {
  ModelBuilder m;
  const Tensor a = m.call({.class_name = "Masking"}, m.input("a", {2, 1})), b = m.input("b", {1, 1});
  Tensor y = m.call(layers::concatenate(1), {a, b});
  y = m.layer("GlobalAveragePooling1D", {}, "mean")(y);
  Model model = m.build({y});
  const std::map<std::string, HostTensor> slots = predict(model, {{"a", floats({2, 2, 1}, {0, 4, 0, 0})}, {"b", floats({2, 1, 1}, {2, 0})}});
  CHECK(slots.at("mean").data == std::vector<double>{3, 0});
}

TEST_CASE("masks: a mask of one's own takes the place of the input's") {
  ModelBuilder m;
  const Tensor x = m.input("x", {3, 1}), real = m.input("real", {3}, DType::boolean);
  const Tensor masked = m.call({.class_name = "Masking"}, x);
  Model model = m.build({m.layer("GlobalAveragePooling1D", {}, "own")(masked), m.layer("GlobalAveragePooling1D", {}, "given")(masked, {{"mask", real}}),
                         m.layer("GlobalAveragePooling1D", {}, "without")(masked, {{"mask", Tensor{}}})});
  CHECK(model_text(model).find("call given = given(masking, mask=real)") != std::string::npos);
  CHECK(model_text(model).find("call without = without(masking, mask=none)") != std::string::npos);
  const std::map<std::string, HostTensor> slots = predict(model, {{"x", floats({1, 3, 1}, {6, 0, 3})}, {"real", {DType::boolean, {1, 3}, {1, 1, 0}}}});
  CHECK(slots.at("own").data[0] == 4.5);
  CHECK(slots.at("given").data[0] == 3.0);
  CHECK(slots.at("without").data[0] == 3.0);

  // In bytes and back it is the same model.
  const std::vector<std::byte> bytes = write_model(model);
  CHECK(model_text(read_model(bytes, {}, "m")) == model_text(model));
  // And as Keras writes it.
  CHECK_THROWS_WITH_AS(m.layer("Dense", {{"units", 2}}, "d")(masked, {{"mask", real}}),
                       doctest::Contains("layer 'd' (Dense): takes no tensor 'mask'"), CompileError);
  CHECK_THROWS_WITH_AS(m.layer("LSTM", {{"units", 2}}, "l")(masked, {{"mask", x}}),
                       doctest::Contains("needs a mask [batch, 3], one value for each step, but got [batch, 3, 1]"), CompileError);
}

TEST_CASE("masks: go into nested models and come out of them") {
  ModelBuilder inner("inner");
  Tensor h = inner.input("h", {4, 2});
  h = inner.call(layers::lstm(3, {.return_sequences = true, .name = "rnn"}), h);
  Model nested = inner.build({inner.call(layers::dense(2), h)});
  CHECK(nested.mask(nested.outputs[0]) == std::nullopt);

  ModelBuilder m;
  const Tensor x = m.call({.class_name = "Masking"}, m.input("x", {4, 2}));
  const Tensor y = m.nested(std::move(nested))(x);
  CHECK(mask_of(y) == "bool[batch, 4]");
  const std::string table = summary_text(m.build({m.layer("GlobalAveragePooling1D", {}, "mean")(y)}), {.masks = true});
  CAPTURE(table);
  for (const char* cell : {"makes (None, 4)", "passes (None, 4)", "uses it"}) CHECK(table.find(cell) != std::string::npos);
}

TEST_CASE("masks: a loss is the mean over real steps, and so are metrics that are means") {
  ModelBuilder m;
  const Tensor x = m.input("x", {2, 1});
  Tensor y = m.call({.class_name = "Masking"}, x);
  y = m.call(layers::dense(1, {.use_bias = false, .name = "y"}), y);
  Model model = m.build({y});
  TrainingSpec training;
  training.optimizer.op = "sgd";
  training.losses = {{"mean_absolute_error", {}, "mae"}};
  training.metrics = {{{"mean_squared_error", {}, "mse"}}};
  training.sample_weight = true;
  const Module module = make_entries(model, &training);
  verify_module(module, "make_entries");
  std::map<std::string, HostTensor> slots = {{"x", floats({2, 2, 1}, {1, 0, 2, 3})},
                 {"y/kernel", floats({1, 1}, {1})},
                 {"y/target", floats({2, 2, 1}, {0, 100, 0, 0})},
                 {"y/sample_weight", floats({2}, {1, 1})},
                 {"step", {DType::i64, {}, {0}}},
                 {"seed", {DType::i64, {}, {0}}}};
  interpret_entry(module, "reset_metrics", slots);
  interpret_entry(module, "evaluate", slots);
  interpret_entry(module, "metric_results", slots);
  CHECK(slots.at("metric_results/loss").data[0] == doctest::Approx((1 + 2 + 3) / 3.0));
  CHECK(slots.at("metric_results/mse").data[0] == doctest::Approx((1 + 4 + 9) / 3.0));
  // Weights multiply the real steps; what is divided by stays their number.
  slots["y/sample_weight"] = floats({2}, {3, 1});
  interpret_entry(module, "reset_metrics", slots);
  interpret_entry(module, "evaluate", slots);
  interpret_entry(module, "metric_results", slots);
  CHECK(slots.at("metric_results/loss").data[0] == doctest::Approx((3 * 1 + 2 + 3) / 3.0));

  // A mask of steps cannot weigh one number for a whole sample.
  training.losses = {{"dice", {{"axis", std::vector<int64_t>{1, 2}}}, "dice"}};
  CHECK_THROWS_WITH_AS(make_entries(model, &training), doctest::Contains("has a mask [batch, 2], but dice gives [batch]"), CompileError);
}

}  // namespace
}  // namespace moru
