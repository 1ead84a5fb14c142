// The values inside Keras configs, in the spellings of Keras 2 and 3, and as Moru's attributes: initializers,
// regularizers, activations, dtypes, shapes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/exchange/json_text.h"
#include "compiler/ops/op.h"

namespace moru {

/// Which Keras wrote a config: it decides what absent keys and a few names mean.
struct KerasDialect {
  int major = 3;
  bool multi_backend_2 = false;  // Keras 2.x before tf.keras: hard_sigmoid gates, GRU without reset_after
  std::string version;           // as in the file; may be empty
};

// The importers below throw a plain string of what is wrong with the value; the caller knows the layer.
struct KerasValueError {
  std::string what;
};

/// "glorot_uniform", {class_name, config} -> {class="GlorotUniform", ...}; null stays none.
AttributeValue import_initializer(const Json& value);
/// "l2", {class_name: "L1L2", config} -> {class="L1L2", l1=0.0, l2=0.01}; null stays none.
AttributeValue import_regularizer(const Json& value);
/// "swish", {class_name: "LeakyReLU", config}, a registered function -> the name of an op, or {class="leaky_relu",
/// ...}.
AttributeValue import_activation(const Json& value, const KerasDialect& dialect);
/// "float32" or a dtype policy -> "float32".
std::string import_dtype_name(const Json& value);
/// The element type of an input.
std::optional<DType> find_keras_dtype(std::string_view name);

/// The numbers of an array, however Keras wraps it: a list, {"class_name": "__numpy__", "config": {"value": ...}}.
const Json& array_of(const Json& value);

/// Any attribute by its declared type.
AttributeValue import_value(const Json& value, const AttributeSpec& spec, const KerasDialect& dialect);

/// {"module": ..., "class_name": ..., "config": ..., "registered_name": null}
Json keras_object(const char* module, const std::string& class_name, Json config);

// As Keras 3 writes them. Throw KerasValueError for what Keras 3 cannot say.
Json export_value(const AttributeValue& value, const AttributeSpec& spec);
Json export_shape(const Shape& shape);  // open dimensions are null

}  // namespace moru
