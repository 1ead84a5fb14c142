// TensorFlow functions in the functional models of Keras 2.4 to 2.15: each computes what TensorFlow's documentation says.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "compiler/exchange/keras_json.h"
#include "compiler/interpret/reference.h"
#include "compiler/passes/expand.h"
#include "compiler/passes/make_entries.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<double> a_values = {1, -2, 3, 0.5, 4, -1}, b_values = {2, 2, 1, -1, 0.5, 3};

// Inputs a and b, [batch, 3], and the function on `inbound`, as Keras 2 writes it.
std::string model_of(const std::string& function, const Json& inbound) {
  Json layers = Json::array();
  for (const char* name : {"a", "b"})
    layers.push_back({{"class_name", "InputLayer"},
                      {"config", {{"batch_input_shape", {nullptr, 3}}, {"dtype", "float32"}, {"name", name}}},
                      {"name", name},
                      {"inbound_nodes", Json::array()}});
  const bool slicing = function == "__operators__.getitem";
  layers.push_back({{"class_name", slicing ? "SlicingOpLambda" : "TFOpLambda"},
                    {"config", {{"name", "tf." + function}, {"trainable", true}, {"dtype", "float32"}, {"function", function}}},
                    {"name", "tf." + function},
                    {"inbound_nodes", Json::array({inbound})}});
  Json model;
  model["class_name"] = "Functional";
  model["config"] = {{"name", "m"},
                     {"layers", layers},
                     {"input_layers", {{"a", 0, 0}, {"b", 0, 0}}},
                     {"output_layers", Json::array({Json::array({"tf." + function, 0, 0})})}};
  model["keras_version"] = "2.11.0";
  return model.dump();
}

HostTensor result_of(Model model) {
  Module module = make_entries(model, nullptr);
  module.entries[0] = expand(module.entries[0]);
  std::map<std::string, HostTensor> slots;
  slots["a"] = {DType::f32, {2, 3}, a_values};
  slots["b"] = {DType::f32, {2, 3}, b_values};
  interpret_entry(module, "predict", slots);
  return slots.at(model.output_names[0]);
}

Json call_of(const char* tensor, Json kwargs) {
  kwargs["name"] = nullptr;
  return Json::array({tensor, 0, 0, kwargs});
}
const Json b = Json::array({"b", 0, 0});

void check(const std::string& function, const Json& inbound, const std::vector<int64_t>& shape, const std::vector<double>& wanted) {
  CAPTURE(function);
  const Model model = import_keras_json(model_of(function, inbound), "m.json");
  const HostTensor got = result_of(model);
  CHECK(got.shape == shape);
  REQUIRE(got.data.size() == wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(got.data[i] == doctest::Approx(wanted[i]).epsilon(1e-6));
  // Keras 3 has the operation in its own words.
  CHECK(result_of(import_keras_json(export_keras_json(model), "m.json")).data == got.data);
}

std::string error_of(const std::string& function, const Json& inbound) {
  try {
    import_keras_json(model_of(function, inbound), "m.json");
  } catch (const CompileError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("keras: functions of two tensors, or of one and a constant on either side") {
  check("__operators__.add", call_of("a", {{"y", b}}), {2, 3}, {3, 0, 4, -0.5, 4.5, 2});
  check("math.subtract", call_of("a", {{"y", 1.0}}), {2, 3}, {0, -3, 2, -0.5, 3, -2});
  check("math.subtract", Json::array({"_CONSTANT_VALUE", -1, 1.0, {{"y", Json::array({"a", 0, 0})}, {"name", nullptr}}}), {2, 3},
        {0, 3, -2, 0.5, -3, 2});
  check("math.truediv", call_of("a", {{"y", b}}), {2, 3}, {0.5, -1, 3, -0.5, 8, -1.0 / 3});
  check("math.maximum", call_of("a", {{"y", b}}), {2, 3}, {2, 2, 3, 0.5, 4, 3});
}

TEST_CASE("keras: functions of a list of tensors take it as their first argument") {
  const Json kwargs = {{"axis", -1}, {"name", "concat"}};
  check("concat", Json::array({Json::array({"a", 0, 0, kwargs}), Json::array({"b", 0, 0, kwargs})}), {2, 6},
        {1, -2, 3, 2, 2, 1, 0.5, 4, -1, -1, 0.5, 3});
  const Json stacked = {{"axis", 1}};
  check("stack", Json::array({Json::array({"a", 0, 0, stacked}), Json::array({"b", 0, 0, stacked})}), {2, 2, 3},
        {1, -2, 3, 2, 2, 1, 0.5, 4, -1, -1, 0.5, 3});
}

TEST_CASE("keras: functions that reduce, move and choose, with TensorFlow's names and defaults") {
  check("math.reduce_mean", call_of("a", {{"axis", 1}, {"keepdims", true}}), {2, 1}, {2.0 / 3, 3.5 / 3});
  check("compat.v1.squeeze", call_of("a", {{"axis", nullptr}}), {2, 3}, a_values);
  check("reshape", call_of("a", {{"shape", {-1, 3, 1}}}), {2, 3, 1}, a_values);
  check("transpose", call_of("a", {{"perm", {1, 0}}}), {3, 2}, {1, 0.5, -2, 4, 3, -1});
  check("split", call_of("a", {{"num_or_size_splits", {1, 2}}, {"axis", 1}, {"num", nullptr}}), {2, 1}, {1, 0.5});
  check("clip_by_value", call_of("a", {{"clip_value_min", 0}, {"clip_value_max", 2}}), {2, 3}, {1, 0, 2, 0.5, 2, 0});
  check("nn.leaky_relu", call_of("a", {{"alpha", 0.5}}), {2, 3}, {1, -1, 3, 0.5, 4, -0.5});
  check("nn.leaky_relu", call_of("a", Json::object()), {2, 3}, {1, -0.4, 3, 0.5, 4, -0.2});
  check("math.l2_normalize", call_of("b", {{"axis", -1}, {"epsilon", 1e-12}}), {2, 3},
        {2.0 / 3, 2.0 / 3, 1.0 / 3, -1 / std::sqrt(10.25), 0.5 / std::sqrt(10.25), 3 / std::sqrt(10.25)});
  check("__operators__.getitem",
        call_of("a", {{"slice_spec", {{{"start", nullptr}, {"stop", nullptr}, {"step", nullptr}}, -1}}}), {2}, {3, -1});
  check("__operators__.getitem",
        call_of("a", {{"slice_spec",
                       {{{"start", nullptr}, {"stop", nullptr}, {"step", nullptr}}, {{"start", 1}, {"stop", 3}, {"step", nullptr}}}}}),
        {2, 2}, {-2, 3, 4, -1});
  check("pad", call_of("a", {{"paddings", {{0, 0}, {1, 0}}}, {"mode", "CONSTANT"}, {"constant_values", 7}}), {2, 4},
        {7, 1, -2, 3, 7, 0.5, 4, -1});
}

TEST_CASE("keras: functions and arguments of TensorFlow that are not known are refused by name") {
  CHECK(error_of("signal.stft", call_of("a", Json::object())) ==
        "m.json: one thing in this model is not supported:\n"
        "  layer 'tf.signal.stft' (TFOpLambda): the TensorFlow function 'signal.stft' is not supported");
  CHECK(error_of("linalg.matmul", call_of("a", {{"b", b}, {"transpose_b", true}})) ==
        "m.json: one thing in this model is not supported:\n"
        "  layer 'tf.linalg.matmul' (linalg.matmul): has the argument transpose_b=true, which is not supported");
  CHECK(error_of("split", call_of("a", {{"num_or_size_splits", {-1, 2}}, {"axis", 1}})) ==
        "m.json: one thing in this model is not supported:\n"
        "  layer 'tf.split' (split): has parts of the sizes [-1,2], which is not supported");
}

}  // namespace moru
