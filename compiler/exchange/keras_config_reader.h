// ConfigReader: how keras_config.h reads a config, part by part. keras_config.cpp has models, keras_config_layers.cpp
// layers, keras_config_calls.cpp who calls whom.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/exchange/keras_config.h"
#include "compiler/ops/op.h"

namespace moru {

class ConfigReader {
 public:
  ConfigReader(KerasConfig& result, const std::string& source, bool fixed_batch = false)
      : result_(result), source_(source), fixed_batch_(fixed_batch) {}

  [[noreturn]] void refuse(const std::string& path, const std::string& what, std::string hint = {}) const;

  const Json& get(const Json& object, const char* key, const std::string& path) const;
  std::string get_string(const Json& object, const char* key, const std::string& path) const;
  bool get_flag(const Json& object, const char* key, bool fallback) const;

  void problem(const std::string& layer, const std::string& class_name, std::string what);

  KerasModelConfig read_model(const Json& object, const std::string& path, int depth);

 private:
  KerasConfig& result_;
  const std::string& source_;
  bool fixed_batch_;  // stateful layers keep a state for each row of the batch; otherwise any batch size will do

  static constexpr int max_depth = 32;  // of models and wrappers in each other

  const KerasDialect& dialect() const { return result_.dialect; }
  // A value that changes nothing, whatever its key means.
  static bool is_neutral(const Json& value) {
    return value.is_null() || value == false || (value.is_number() && value == 0) || value == "channels_last" ||
           (value.is_array() && value.empty()) ||
           (value.is_object() && std::all_of(value.begin(), value.end(), [](const Json& inner) { return inner.is_null(); }));
  }

  // --- models ---

  KerasModelConfig read_functional(const Json& config, const std::string& path, int depth);

  KerasModelConfig read_sequential(const Json& config, const std::string& path, int depth);

  std::optional<Attributes> first_layer_input(const Json& json, const KerasLayerConfig& layer,
                                              const std::string& path);

  Attributes input_attributes(const Json& shape_json, const std::string& dtype_name, const std::string& path);

  // --- layers ---

  // Keras exports one layer under another name than its class has; weights' files have the latter.
  static std::string moru_class(const std::string& class_name);

  KerasLayerConfig read_layer(const Json& json, const std::string& path, int depth);

  void read_input_layer(KerasLayerConfig& layer, const Json& config, const std::string& path);

  void read_wrapper(KerasLayerConfig& layer, const Json& config, const std::string& path, int depth);

  // A cell, or several in StackedRNNCells, as the attribute `cell` of RNN has it.
  Attributes read_cell(const std::string& layer, const Json& json, const std::string& path, int depth);

  static Attributes with_class(const KerasLayerConfig& layer);

  Attributes read_attributes(const std::string& name, const std::string& class_name, const Json& config);

  void check_dtype(const std::string& name, const std::string& class_name, const Json& config);

  // --- calls ---

  static bool is_keras3_tensor(const Json& json);
  // ["layer", 0, 0] or ["layer", 0, 0, {kwargs}]
  static bool is_history(const Json& json);

  KerasTensor read_history(const Json& json, const std::string& path) const;

  // input_layers and output_layers: one tensor, a list, or a dict by name.
  std::vector<KerasTensor> read_tensors(const Json& json, const std::string& path) const;

  // One call of a layer while it is read.
  struct Call {
    std::vector<KerasTensor> tensors = {};
    std::map<std::string, KerasTensor, std::less<>> keywords = {};  // of inputs that Keras passes by their names
    Attributes arguments = {};                                      // of attributes that belong to the call
    std::vector<KerasMask> masks = {};
  };

  void read_calls(const Json& inbound, KerasLayerConfig& layer, const std::string& path);

  void read_operation_calls(const Json& inbound, KerasLayerConfig& layer, const std::string& path);

  // The call of a TensorFlow function, whose inbound node holds its first argument with the others beside every tensor.
  void read_tf_call(const Json& inbound, const KerasLayerConfig& layer, const std::string& path, KerasOperation& operation,
                    std::vector<KerasTensor>& tensors);

  // The arguments with tensors as their numbers among those of the call.
  Json numbered_tensors(const Json& json, const std::string& path, std::vector<KerasTensor>& tensors) const;

  static const Op* op_of(const KerasLayerConfig& layer);

  static const InputSpec* find_keyword(const KerasLayerConfig& layer, std::string_view key);

  // Tensors that were passed by name, in the places of their names behind the others.
  std::vector<KerasTensor> place_keywords(const Call& call, const KerasLayerConfig& layer);

  Call read_call(const Json& json, const KerasLayerConfig& layer, const std::string& path);

  // Layers that use masks today and did not in the Keras that wrote the file.
  bool ignores_masks(std::string_view class_name) const;

  // mask=tensor, or a list with one for each input: [query, value]. Keras 3 writes tensors as objects, Keras 2 as lists.
  void read_mask(const std::string& key, const Json& value, const KerasLayerConfig& layer, const std::string& path, Call& call);

  void read_argument(const Json& argument, const KerasLayerConfig& layer, const std::string& path,
                     std::vector<KerasTensor>& inputs);

  // True where the argument is one of an attribute that belongs to the call.
  bool read_call_attribute(const std::string& key, const Json& value, const KerasLayerConfig& layer, Call& call);

  void read_kwargs(const Json& kwargs, const KerasLayerConfig& layer, const std::string& path, Call& call);

  // The calls of nested models are counted from 0 or from 1, by Keras version and by where they are referred to: a
  // model's own construction counts as a call in some. The preferred count is dropped where a reference would fall
  // outside.
  void resolve_calls(KerasModelConfig& model, const std::string& path) const;

  static std::string reader_of(const KerasModelConfig& model, const std::string& source);
};

}  // namespace moru
