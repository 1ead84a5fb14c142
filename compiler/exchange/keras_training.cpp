#include "compiler/exchange/keras_training.h"

#include <cstring>

#include "compiler/exchange/keras_optimizer.h"
#include "compiler/exchange/keras_values.h"
#include "compiler/exchange/keras_weights.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

NamedTensor variable_of(const std::string& name, const Hdf5Dataset& dataset) {
  NamedTensor tensor{name, dataset.integer ? DType::i64 : DType::f32, dataset.shape, {}};
  const auto bytes = dataset.integer          ? std::as_bytes(std::span(dataset.integers))
                     : dataset.stored.empty() ? std::as_bytes(std::span(dataset.reals))
                                              : dataset.stored;
  tensor.bytes.assign(bytes.begin(), bytes.end());
  return tensor;
}

Hdf5Dataset dataset_of(const NamedTensor& tensor) {
  Hdf5Dataset dataset{.shape = tensor.shape, .integer = tensor.type.dtype == DType::i64, .reals = {}, .integers = {}};
  if (dataset.integer) {
    dataset.integers.resize(tensor.bytes.size() / sizeof(int64_t));
    if (!tensor.bytes.empty()) std::memcpy(dataset.integers.data(), tensor.bytes.data(), tensor.bytes.size());
  } else {
    dataset.reals.resize(tensor.bytes.size() / sizeof(float));
    if (!tensor.bytes.empty()) std::memcpy(dataset.reals.data(), tensor.bytes.data(), tensor.bytes.size());
  }
  return dataset;
}

// {"class_name": "Adam", "config": {...}}, or a bare name; `.keras` files wrap the first in a module.
Json keras3_optimizer(const Json& legacy) {
  if (!legacy.is_object() || !legacy.contains("class_name") || !legacy["class_name"].is_string()) return legacy;
  const Json config = legacy.contains("config") ? legacy["config"] : Json::object();
  if (config.is_object() && config.empty()) return legacy["class_name"];
  return keras_object("keras.optimizers", legacy["class_name"].get<std::string>(), config);
}

Json legacy_optimizer(const Json& optimizer) {
  Json legacy = Json::object();
  if (optimizer.is_object() && optimizer.contains("class_name")) {
    legacy["class_name"] = optimizer["class_name"];
    legacy["config"] = optimizer.contains("config") ? optimizer["config"] : Json::object();
  } else {
    legacy["class_name"] = optimizer;
    legacy["config"] = Json::object();
  }
  return legacy;
}

// Variables of Keras 2 before 2.11 stood in another order.
bool has_keras3_order(const std::string& version) {
  int major = 0, minor = 0;
  return std::sscanf(version.c_str(), "%d.%d", &major, &minor) == 2 && (major > 2 || minor >= 11);
}

Json parse_config(const SavedTraining& state) {
  return parse_json(state.compile_config, "the compile configuration");
}

}  // namespace

SavedTraining read_keras3_training(const Json& config, const Hdf5Group& weights) {
  SavedTraining state;
  if (!config.is_object() || !config.contains("compile_config") || !config["compile_config"].is_object()) return state;
  if (config["compile_config"].empty()) return state;
  state.compile_config = print_json(config["compile_config"]);
  const Hdf5Group* vars = weights.find_group("optimizer/vars");
  for (size_t i = 0; vars != nullptr; ++i) {
    const auto found = vars->datasets.find(std::to_string(i));
    if (found == vars->datasets.end()) break;
    state.variables.push_back(variable_of(found->first, found->second));
  }
  return state;
}

void write_keras3_training(const SavedTraining& state, Json& config, Hdf5Group& weights) {
  if (state.compile_config.empty()) return;
  config["compile_config"] = parse_config(state);
  if (state.variables.empty()) return;
  Hdf5Group& vars = weights.make_group("optimizer/vars");
  for (size_t i = 0; i < state.variables.size(); ++i) vars.datasets[std::to_string(i)] = dataset_of(state.variables[i]);
}

SavedTraining read_legacy_training(const Hdf5Group& root, const std::string& keras_version, const std::string& source) {
  SavedTraining state;
  std::string text;
  for (const std::string& part : read_split_texts(root, "training_config")) text += part;
  if (text.empty()) return state;
  Json config = parse_json(text, source + " (training_config)");
  if (!config.is_object()) return state;
  Json compile = Json::object();
  if (config.contains("optimizer_config")) compile["optimizer"] = keras3_optimizer(config["optimizer_config"]);
  for (const auto& [key, value] : config.items())
    if (key != "optimizer_config") compile[key] = value;
  state.compile_config = print_json(compile);
  const Hdf5Group* weights = root.find_group("optimizer_weights");
  if (weights == nullptr || !has_keras3_order(keras_version)) return state;
  for (const std::string& name : read_split_texts(*weights, "weight_names")) {
    const Hdf5Dataset* dataset = weights->find_dataset(name);
    if (dataset == nullptr)
      throw CompileError({.stage = "import", .what = source + ": the optimizer's variable '" + name + "' is missing"});
    state.variables.push_back(variable_of(std::to_string(state.variables.size()), *dataset));
  }
  return state;
}

void write_legacy_training(const SavedTraining& state, const Model& model, Hdf5Group& root) {
  if (state.compile_config.empty()) return;
  const Json compile = parse_config(state);
  Json config = Json::object();
  for (const auto& [key, value] : compile.items())
    if (key != "optimizer") config[key] = value;
  if (compile.contains("optimizer")) config["optimizer_config"] = legacy_optimizer(compile["optimizer"]);
  root.attributes["training_config"] = {.texts = {print_json(config)},
                                        .scalar = true};
  if (state.variables.empty()) return;
  Hdf5Group& group = root.make_group("optimizer_weights");
  const std::vector<OptimizerVariable> known = optimizer_variables(compile.value("optimizer", Json()), const_cast<Model&>(model));
  std::vector<std::string> names;
  for (size_t i = 0; i < state.variables.size(); ++i) {
    const bool named = known.size() == state.variables.size();
    names.push_back(named ? known[i].name : "optimizer/variable_" + std::to_string(i));
    const size_t slash = names.back().rfind('/');
    group.make_group(names.back().substr(0, slash)).datasets[names.back().substr(slash + 1)] = dataset_of(state.variables[i]);
  }
  write_split_texts(group, "weight_names", names);
}

}  // namespace moru
