// A Keras config (`model.to_json()`), read but not connected: layers with Moru's attributes, and who calls whom. All
// differences between Keras 2 and Keras 3 end here. The first of the importer's two steps; keras_json.cpp is the
// second.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/exchange/json_text.h"
#include "compiler/exchange/keras_operation.h"
#include "compiler/exchange/keras_values.h"
#include "compiler/ir/attributes.h"
#include "compiler/model/model.h"

namespace moru {

struct KerasModelConfig;

/// Output `tensor` of call number `call` of the layer at `layer`.
struct KerasTensor {
  std::string layer;
  int64_t call = 0;
  int64_t tensor = 0;
};

/// A mask that a call is given by the keyword `name`; none: the layer does without.
struct KerasMask {
  std::string name;
  std::optional<KerasTensor> tensor = {};
};

struct KerasLayerConfig {
  std::string name;
  std::string class_name;  // Moru's: "Functional" for Keras 2's "Model"
  Attributes attributes;   // not yet checked; of an InputLayer: dtype and shape, open extents -1
  bool trainable = true;
  std::shared_ptr<KerasModelConfig> submodel;   // nested, or inside TimeDistributed
  std::vector<std::vector<KerasTensor>> calls;  // Functional models only
  std::optional<KerasOperation> operation;      // where this is one of keras.ops, not a layer; without a call
  std::vector<KerasOperation> operations;       // then: by call
  std::string tf_function;                      // of which `operation` is the translation, "math.reduce_mean"
  std::vector<std::vector<KerasMask>> masks;    // by call
};

struct KerasModelConfig {
  std::string name;
  bool sequential = false;
  bool trainable = true;
  std::vector<KerasLayerConfig> layers;      // Sequential: without the InputLayer
  std::vector<KerasTensor> inputs, outputs;  // Functional models only
  // Sequential models only: the input, where the config says it.
  std::optional<Attributes> input;
  std::string input_name;
};

/// Something that Moru does not support yet. All of them are reported at once.
struct KerasProblem {
  std::string layer;
  std::string class_name;
  std::string what;
};

struct KerasConfig {
  KerasModelConfig model;
  KerasDialect dialect;
  DTypePolicy dtype_policy = DTypePolicy::float32;  // mixed where any layer is
  std::vector<KerasProblem> problems;
};

/// Throws CompileError where the JSON is not a model at all; what is merely unsupported goes into `problems`.
/// `keras_version` is what the file around the config says, where there is one.
KerasConfig read_keras_config(const Json& root, const std::string& source, const std::string& keras_version);

}  // namespace moru
