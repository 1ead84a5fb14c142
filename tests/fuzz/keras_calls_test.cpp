// Keras layers called on what their documentation does not foresee: inputs of any rank with open lengths, and arguments of the right
// kind and of others, with senseless numbers.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "compiler/exchange/keras_json.h"
#include "compiler/ops/names.h"
#include "compiler/ops/op.h"
#include "compiler/pipeline.h"
#include "compiler/support/error.h"

namespace moru::test {
namespace {

using Json = nlohmann::ordered_json;

class Caller {
 public:
  explicit Caller(uint64_t seed) : random_(seed) {}

  /// A model of one layer, called on one to three inputs.
  Json call(const Op& op) {
    Json layers = Json::array(), calls = Json::array(), inputs = Json::array();
    const Json shape = draw_shape();
    for (int i = 1 + below(op.inputs.size() > 1 ? 3 : 1); i > 0; --i) {
      const std::string name = "input_" + std::to_string(i);
      layers.push_back(input_layer(name, below(4) > 0 ? shape : draw_shape()));
      calls.push_back({name, 0, 0, Json::object()});
      inputs.push_back({name, 0, 0});
    }
    Json config = {{"name", "layer"}};
    for (const AttributeSpec& attribute : op.attributes)
      if (!attribute.internal && !attribute.of_call && (needs(attribute) || below(3) == 0)) config[std::string(attribute.name)] = draw_value(attribute);
    if (config.contains("layer") && below(2) == 0) config["layer"] = inner_layer();
    layers.push_back({{"class_name", op.class_name}, {"name", "layer"}, {"config", config}, {"inbound_nodes", Json::array({calls})}});
    return {{"class_name", "Functional"},
            {"keras_version", one_of({"2.4.0", "2.9.0", "2.15.0"})},
            {"config", {{"name", "model"}, {"layers", layers}, {"input_layers", inputs}, {"output_layers", {{"layer", 0, 0}}}}}};
  }

 private:
  std::mt19937_64 random_;

  int below(int count) { return std::uniform_int_distribution<int>(0, count - 1)(random_); }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + below(static_cast<int>(choices.size())));
  }
  int number() { return one_of({1, 1, 2, 2, 3, 4, 5, 0, -1, 8}); }

  static bool needs(const AttributeSpec& attribute) {
    return !attribute.optional && std::holds_alternative<std::monostate>(attribute.default_value.value);
  }

  Json draw_shape() {
    Json shape = Json::array({nullptr});
    for (int i = below(5); i > 0; --i) below(4) == 0 ? shape.push_back(nullptr) : shape.push_back(one_of({1, 2, 3, 4, 6, 8}));
    return shape;
  }

  Json input_layer(const std::string& name, const Json& shape) {
    return {{"class_name", "InputLayer"},
            {"name", name},
            {"config", {{"name", name}, {"batch_input_shape", shape}, {"dtype", one_of({"float32", "float32", "float32", "int32", "bool"})}}},
            {"inbound_nodes", Json::array()}};
  }

  Json inner_layer() {
    const char* class_name = one_of({"Dense", "LSTM", "SimpleRNN", "Dropout", "LSTMCell", "Flatten", "Conv1D"});
    return {{"class_name", class_name}, {"config", {{"name", "inner"}, {"units", number()}, {"rate", 0.5}, {"filters", 2}, {"kernel_size", {number()}}}}};
  }

  Json draw_numbers() {
    Json numbers = Json::array();
    for (int i = below(4); i > 0; --i) numbers.push_back(number());
    return numbers;
  }

  Json draw_value(const AttributeSpec& attribute) {
    if (!attribute.choices.empty() && below(8) > 0) return attribute.choices[static_cast<size_t>(below(static_cast<int>(attribute.choices.size())))];
    if (below(12) == 0) return one_of<Json>({nullptr, true, 1.5, "linear", Json::array(), Json::object(), -7, Json::array({Json::array({1, 2}), Json::array({0, 1})})});
    switch (attribute.type) {
      case AttributeType::boolean: return below(2) == 0;
      case AttributeType::integer: return number();
      case AttributeType::real: return one_of({0.0, 0.1, 0.5, 1.0, -1.0, 1e30});
      case AttributeType::integers:
      case AttributeType::shape: return below(4) == 0 ? Json(number()) : draw_numbers();
      case AttributeType::string: return one_of({"same", "valid", "causal", "float32", "relu", "ab,bc->ac", "channels_first"});
      default: return one_of<Json>({nullptr, "relu", "zeros", "ones", number(), draw_numbers()});
    }
  }
};

}  // namespace

TEST_CASE("keras: every layer is imported or refused, whatever it is called on") {
  size_t imported = 0, calls = 0;
  for (const Op& op : all_ops()) {
    if (op.class_name.empty()) continue;
    CAPTURE(op.class_name);
    for (uint64_t call = 0; call < 300; ++call) {
      const std::string text = Caller(calls).call(op).dump();
      ++calls;
      std::string fault;
      try {
        Model model = import_keras_json(text, "call.json");
        ++imported;
        run_pipeline(model, {});
      } catch (const CompileError&) {
      } catch (const std::exception& error) {
        fault = error.what();
      }
      if (!fault.empty()) FAIL_CHECK(fault << "\n" << text);
    }
  }
  CHECK(imported > calls / 50);
  MESSAGE(imported << " of " << calls << " calls make sense");
}

}  // namespace moru::test
