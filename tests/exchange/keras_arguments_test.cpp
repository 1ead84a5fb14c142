// What is written for Keras against the constructors of Keras' layers: every layer, with the attributes of its op's examples.
#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "compiler/exchange/json_text.h"
#include "compiler/exchange/keras_json.h"
#include "compiler/model/functional.h"
#include "compiler/ops/layer.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

struct Constructor {
  std::set<std::string> arguments;
  bool later = false;  // Keras 3.0 lacks the class
};

std::map<std::string, Constructor> read_constructors() {
  std::ifstream file(MORU_SOURCE_DIR "/tests/exchange/keras_arguments.txt");
  REQUIRE(file);
  std::map<std::string, Constructor> constructors;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    std::istringstream words(line);
    std::string class_name, argument;
    words >> class_name;
    Constructor& constructor = constructors[class_name];
    while (words >> argument) argument == "later" ? void(constructor.later = true) : void(constructor.arguments.insert(argument));
  }
  return constructors;
}

Type type_of(const Example::Tensor& tensor) { return {tensor.dtype, Shape(tensor.shape.begin(), tensor.shape.end())}; }

// How many of the example's inputs are tensors that the layer is called on, without masks and parameters.
size_t tensors_of(const Op& op, const Example& example, const Attributes& attributes) {
  if (op.inputs[0].variadic) return example.inputs.size();
  std::set<std::string, std::less<>> parameters;
  if (op.parameters) {
    std::vector<Type> types;
    std::vector<char> present;
    for (const Example::Tensor& tensor : example.inputs) types.push_back(type_of(tensor)), present.push_back(!tensor.absent);
    for (const ParameterSpec& parameter :
         op.parameters({types, {reinterpret_cast<const bool*>(present.data()), present.size()}, attributes, {}, "layer"}))
      parameters.insert(parameter.name);
  }
  size_t count = 0;
  while (count < op.inputs.size() && count < example.inputs.size() && !example.inputs[count].absent && !op.inputs[count].parameter &&
         !op.inputs[count].variadic && !is_supplied(op.inputs[count].name) && !parameters.contains(op.inputs[count].name))
    ++count;
  return count;
}

Model model_of(const Op& op, const Example& example) {
  ModelBuilder builder("m");
  std::vector<Tensor> tensors;
  Attributes attributes = check_attributes(op, example.attributes, "layer");
  const size_t count = tensors_of(op, example, attributes);
  for (size_t i = 0; i < count; ++i) {
    const Type type = type_of(example.inputs[i]);
    const bool stateful = attributes.text().find("stateful=true") != std::string::npos;
    tensors.push_back(builder.input("x" + std::to_string(i), Shape(type.shape.begin() + 1, type.shape.end()), type.dtype,
                                    stateful ? type.shape.at(0) : Dim::symbol("batch")));
  }
  for (const AttributeSpec& spec : op.attributes)
    if (spec.internal) attributes.erase(spec.name);
  return builder.build(builder.add({.class_name = std::string(op.class_name), .attributes = attributes, .name = "layer"}).call_all(tensors));
}

}  // namespace

TEST_CASE("keras: layers are written with arguments that Keras' constructors take, and read again as they were") {
  const std::map<std::string, Constructor> constructors = read_constructors();
  size_t written = 0;
  for (const Op& op : all_ops()) {
    if (op.class_name.empty()) continue;
    const std::string class_name(op.class_name);
    const auto constructor = constructors.find(class_name);
    for (const Example& example : op.examples) {
      CAPTURE(class_name);
      CAPTURE(example.attributes.text());
      if (std::ranges::any_of(op.attributes, [&](const AttributeSpec& spec) { return spec.internal && example.attributes.has(spec.name); })) continue;
      const Model model = model_of(op, example);
      std::string text;
      try {
        text = export_keras_json(model);
      } catch (const CompileError&) {
        continue;  // what Keras 3 does not have, which keras_archive_test checks
      }
      const Json json = parse_json(text, "m");
      for (const Json& layer : json["config"]["layers"]) {
        if (layer["name"] != "layer") continue;
        const std::string exported = layer["class_name"];
        REQUIRE((exported == "GroupQueryAttention" || constructor != constructors.end()));
        const std::set<std::string>& known = constructors.at(class_name).arguments;
        for (const auto& [key, value] : layer["config"].items()) {
          CAPTURE(key);
          const auto spec = std::ranges::find(op.attributes, key, &AttributeSpec::name);
          const bool used = spec != op.attributes.end() && spec->recent && !value.is_null();
          CHECK((known.contains(key) || used));
        }
      }
      const Json again = parse_json(export_keras_json(import_keras_json(text, "m", "3.14.0")), "m");
      CHECK(print_json(Json::diff(json, again)) == "[]");
      ++written;
    }
  }
  CHECK(written > 300);
}

}  // namespace moru
