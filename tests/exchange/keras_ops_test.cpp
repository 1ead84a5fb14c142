// Operations of keras.ops as nodes of functional models, against what record_numpy_ops.py recorded from numpy.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "compiler/exchange/keras_json.h"
#include "compiler/interpret/reference.h"
#include "compiler/io/model_io.h"
#include "compiler/model/model_text.h"
#include "compiler/passes/expand.h"
#include "compiler/passes/make_entries.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

using Json = nlohmann::ordered_json;

Json recorded() {
  std::ifstream file(std::string(MORU_SOURCE_DIR) + "/tests/oracles/numpy_ops.json");
  REQUIRE_MESSAGE(file.good(), "tests/oracles/numpy_ops.json is missing; record_numpy_ops.py writes it");
  return Json::parse(file);
}

Json keras_tensor(const std::string& layer, int64_t tensor = 0) {
  Json json;
  json["class_name"] = "__keras_tensor__";
  json["config"]["keras_history"] = Json::array({layer, 0, tensor});
  return json;
}

// Tensors by their numbers become those of the inputs.
Json with_tensors(const Json& json) {
  if (json.is_object() && json.size() == 1 && json.contains("tensor"))
    return keras_tensor("x" + std::to_string(json["tensor"].get<int64_t>()));
  if (!json.is_structured()) return json;
  Json result = json;
  for (auto& element : result) element = with_tensors(element);
  return result;
}

// A functional model of the one operation, as Keras 3 writes it; the batch is open.
std::string model_of(const Json& recording) {
  Json layers = Json::array(), inputs = Json::array(), outputs = Json::array();
  for (size_t i = 0; i < recording["inputs"].size(); ++i) {
    const std::string name = "x" + std::to_string(i);
    Json shape = recording["inputs"][i]["shape"];
    shape[0] = nullptr;
    layers.push_back({{"module", "keras.layers"},
                      {"class_name", "InputLayer"},
                      {"config", {{"batch_shape", shape}, {"dtype", recording["inputs"][i]["dtype"]}, {"name", name}}},
                      {"name", name},
                      {"inbound_nodes", Json::array()}});
    inputs.push_back(Json::array({name, 0, 0}));
  }
  Json call;
  call["args"] = with_tensors(recording["args"]);
  call["kwargs"] = with_tensors(recording["kwargs"]);
  layers.push_back({{"module", "keras.src.ops.numpy"},
                    {"class_name", recording["class_name"]},
                    {"config", recording["config"]},
                    {"name", "operation"},
                    {"inbound_nodes", Json::array({call})}});
  for (size_t i = 0; i < recording["outputs"].size(); ++i) outputs.push_back(Json::array({"operation", 0, i}));
  Json model;
  model["class_name"] = "Functional";
  model["config"] = {{"name", "m"}, {"layers", layers}, {"input_layers", inputs}, {"output_layers", outputs}};
  return model.dump();
}

HostTensor tensor_of(const Json& json) {
  const std::string dtype = json["dtype"];
  HostTensor tensor{dtype == "float32" ? DType::f32
                    : dtype == "int32" ? DType::i32
                                       : DType::boolean,
                    json["shape"].get<std::vector<int64_t>>(),
                    {}};
  for (const Json& value : json["values"]) tensor.data.push_back(value.get<double>());
  return tensor;
}

void check_values(const Json& recording) {
  Model model = import_keras_json(model_of(recording), "m.json");
  Module module = make_entries(model, nullptr);
  module.entries[0] = expand(module.entries[0]);
  std::map<std::string, HostTensor> slots;
  for (size_t i = 0; i < recording["inputs"].size(); ++i)
    slots["x" + std::to_string(i)] = tensor_of(recording["inputs"][i]);
  interpret_entry(module, "predict", slots);
  for (size_t k = 0; k < recording["outputs"].size(); ++k) {
    const HostTensor wanted = tensor_of(recording["outputs"][k]);
    const HostTensor& got = slots.at(model.output_names[k]);
    REQUIRE(got.shape == wanted.shape);
    CHECK(got.dtype == wanted.dtype);
    for (size_t i = 0; i < got.data.size(); ++i)
      if (!(std::fabs(got.data[i] - wanted.data[i]) <= 1e-5 * (1.0 + std::fabs(wanted.data[i]))))
        FAIL_CHECK("output " << k << " element " << i << " is " << got.data[i] << " but numpy says " << wanted.data[i]);
  }
  // What was drawn survives the files.
  const Model back = import_keras_json(export_keras_json(model), "m.json");
  CHECK(model_text(back) == model_text(model));
  const std::vector<std::byte> bytes = write_model(model);
  CHECK(model_text(read_model(bytes, {})) == model_text(model));
}

std::string error_of(const Json& recording) {
  try {
    import_keras_json(model_of(recording), "m.json");
  } catch (const CompileError& error) {
    return error.what();
  }
  return "no error";
}

Json wrong(const std::string& class_name, const Json& config, const Json& more = Json::array()) {
  Json args = Json::array({{{"tensor", 0}}});
  for (const Json& argument : more) args.push_back(argument);
  Json input;
  input["shape"] = Json::array({2, 3, 4});
  input["dtype"] = "float32";
  Json recording;
  recording["class_name"] = class_name;
  recording["config"] = config;
  recording["args"] = args;
  recording["kwargs"] = Json::object();
  recording["inputs"] = Json::array({input});
  recording["outputs"] = Json::array({input});
  return recording;
}

}  // namespace

TEST_CASE("keras operations: each computes what numpy makes of it") {
  size_t checked = 0;
  const Json all = recorded();
  for (const Json& recording : all["cases"]) {
    const std::string name = recording["class_name"];
    CAPTURE(name);
    CAPTURE(checked);
    try {
      check_values(recording);
    } catch (const std::exception& error) {
      FAIL_CHECK(name << " " << recording["config"].dump() << ": " << std::string(error.what()));
    }
    ++checked;
  }
  CHECK(checked > 150);
}

TEST_CASE("keras operations: what cannot be computed is refused under the operation's name") {
  CHECK(error_of(wrong("Searchsorted", {{"axis", -1}})) ==
        "m.json: one thing in this model is not supported:\n"
        "  layer 'operation' (Searchsorted): this operation of keras.ops is not supported");
  CHECK(error_of(wrong("Reshape", {{"newshape", {-1, 5}}})) ==
        "layer 'operation' (Reshape): cannot bring [batch, 3, 4] into the shape [-1, 5]");
  CHECK(error_of(wrong("Sum", {{"axis", 3}})) == "layer 'operation' (Sum): names axis 3 of a tensor with 3 axes");
  CHECK(error_of(wrong("Add", Json::object())) == "layer 'operation' (Add): lacks its argument 'x2'");
  CHECK(error_of(wrong("Cumsum", {{"axis", nullptr}})) ==
        "layer 'operation' (Cumsum): over all elements is unsupported\n  hint: name its axis");
  CHECK(error_of(wrong("Split", {{"indices_or_sections", 3}, {"axis", 2}})) ==
        "layer 'operation' (Split): cannot split [batch, 3, 4] into 3 equal parts");
  CHECK(error_of(wrong("Clip", {{"x_min", "low"}, {"x_max", 1.0}})) ==
        "layer 'operation' (Clip): has the argument \"low\", which is no tensor and no number");
  CHECK(error_of(wrong("GetItem", Json::object(), Json::array({Json::array({nullptr, 7, 8, 9, 10})}))) ==
        "layer 'operation' (GetItem): names 4 axes of [batch, 3, 4]");
}

}  // namespace moru
