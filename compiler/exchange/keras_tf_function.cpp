#include "compiler/exchange/keras_tf_function.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "compiler/exchange/keras_ops.h"
#include "compiler/exchange/keras_values.h"

namespace moru {
namespace {

// The function by the name that TensorFlow exports it under, and the operation: its module and class, and its name for the
// function's first argument, then for others as "theirs=ours", or "name" where both have one.
struct TfFunction {
  std::string_view function, module, class_name, arguments;
};
constexpr std::string_view unary = "x", binary = "x1 y=x2", reduction = "x axis keepdims";
constexpr TfFunction functions[] = {
    {"__operators__.add", "numpy", "Add", binary},
    {"math.add", "numpy", "Add", binary},
    {"math.subtract", "numpy", "Subtract", binary},
    {"math.multiply", "numpy", "Multiply", binary},
    {"math.truediv", "numpy", "TrueDivide", binary},
    {"math.divide", "numpy", "TrueDivide", binary},
    {"math.divide_no_nan", "numpy", "DivideNoNan", binary},
    {"math.floordiv", "numpy", "FloorDivide", binary},
    {"math.floormod", "numpy", "Mod", binary},
    {"math.pow", "numpy", "Power", binary},
    {"math.maximum", "numpy", "Maximum", binary},
    {"math.minimum", "numpy", "Minimum", binary},
    {"math.equal", "numpy", "Equal", binary},
    {"__operators__.eq", "numpy", "Equal", "x1 other=x2"},
    {"math.not_equal", "numpy", "NotEqual", binary},
    {"__operators__.ne", "numpy", "NotEqual", "x1 other=x2"},
    {"math.less", "numpy", "Less", binary},
    {"math.less_equal", "numpy", "LessEqual", binary},
    {"math.greater", "numpy", "Greater", binary},
    {"math.greater_equal", "numpy", "GreaterEqual", binary},
    {"math.logical_and", "numpy", "LogicalAnd", binary},
    {"math.logical_or", "numpy", "LogicalOr", binary},
    {"math.logical_xor", "numpy", "LogicalXor", binary},
    {"math.logical_not", "numpy", "LogicalNot", unary},
    {"where", "numpy", "Where", "condition x=x1 y=x2"},
    {"math.abs", "numpy", "Absolute", unary},
    {"math.negative", "numpy", "Negative", unary},
    {"math.sign", "numpy", "Sign", unary},
    {"math.square", "numpy", "Square", unary},
    {"math.sqrt", "numpy", "Sqrt", unary},
    {"math.rsqrt", "math", "Rsqrt", unary},
    {"math.reciprocal", "numpy", "Reciprocal", unary},
    {"math.exp", "numpy", "Exp", unary},
    {"math.expm1", "numpy", "Expm1", unary},
    {"math.log", "numpy", "Log", unary},
    {"math.log1p", "numpy", "Log1p", unary},
    {"math.erf", "math", "Erf", unary},
    {"math.floor", "numpy", "Floor", unary},
    {"math.ceil", "numpy", "Ceil", unary},
    {"math.round", "numpy", "Round", unary},
    {"math.sin", "numpy", "Sin", unary},
    {"math.cos", "numpy", "Cos", unary},
    {"math.tan", "numpy", "Tan", unary},
    {"math.asin", "numpy", "Arcsin", unary},
    {"math.acos", "numpy", "Arccos", unary},
    {"math.atan", "numpy", "Arctan", unary},
    {"math.sinh", "numpy", "Sinh", unary},
    {"math.cosh", "numpy", "Cosh", unary},
    {"math.tanh", "numpy", "Tanh", unary},
    {"math.is_nan", "numpy", "Isnan", unary},
    {"math.is_inf", "numpy", "Isinf", unary},
    {"math.is_finite", "numpy", "Isfinite", unary},
    {"math.sigmoid", "nn", "Sigmoid", unary},
    {"math.log_sigmoid", "nn", "LogSigmoid", unary},
    {"math.softplus", "nn", "Softplus", unary},
    {"nn.relu", "nn", "Relu", unary},
    {"nn.relu6", "nn", "Relu6", unary},
    {"nn.elu", "nn", "Elu", unary},
    {"nn.selu", "nn", "Selu", unary},
    {"nn.silu", "nn", "Silu", unary},
    {"nn.softsign", "nn", "Softsign", unary},
    {"nn.gelu", "nn", "Gelu", "x approximate"},
    {"nn.leaky_relu", "nn", "LeakyRelu", "x alpha=negative_slope"},
    {"nn.softmax", "nn", "Softmax", "x axis"},
    {"nn.log_softmax", "nn", "LogSoftmax", "x axis"},
    {"math.l2_normalize", "nn", "Normalize", "x axis epsilon"},
    {"math.reduce_sum", "numpy", "Sum", reduction},
    {"math.reduce_mean", "numpy", "Mean", reduction},
    {"math.reduce_max", "numpy", "Max", reduction},
    {"math.reduce_min", "numpy", "Min", reduction},
    {"math.reduce_prod", "numpy", "Prod", reduction},
    {"math.reduce_all", "numpy", "All", reduction},
    {"math.reduce_any", "numpy", "Any", reduction},
    {"math.reduce_std", "numpy", "Std", reduction},
    {"math.reduce_variance", "numpy", "Var", reduction},
    {"math.reduce_logsumexp", "math", "Logsumexp", reduction},
    {"math.argmax", "numpy", "Argmax", "x axis"},
    {"math.argmin", "numpy", "Argmin", "x axis"},
    {"math.cumsum", "numpy", "Cumsum", "x axis"},
    {"linalg.matmul", "numpy", "Matmul", "x1 b=x2"},
    {"reshape", "numpy", "Reshape", "x shape=newshape"},
    {"expand_dims", "numpy", "ExpandDims", "x axis"},
    {"squeeze", "numpy", "Squeeze", "x axis"},
    {"transpose", "numpy", "Transpose", "x perm=axes"},
    {"concat", "numpy", "Concatenate", "xs axis"},
    {"stack", "numpy", "Stack", "x axis"},
    {"unstack", "core", "Unstack", "x num axis"},
    {"split", "numpy", "Split", "x num_or_size_splits=indices_or_sections axis"},
    {"tile", "numpy", "Tile", "x multiples=repeats"},
    {"repeat", "numpy", "Repeat", "x repeats axis"},
    {"broadcast_to", "numpy", "BroadcastTo", "x shape"},
    {"pad", "numpy", "Pad", "x paddings=pad_width mode constant_values"},
    {"reverse", "numpy", "Flip", "x axis"},
    {"roll", "numpy", "Roll", "x shift axis"},
    {"gather", "numpy", "Take", "x indices axis"},
    {"one_hot", "nn", "OneHot", "x depth=num_classes axis dtype"},
    {"__operators__.getitem", "numpy", "GetItem", "x slice_spec=key"},
    {"cast", "core", "Cast", "x dtype"},
    {"clip_by_value", "numpy", "Clip", "x clip_value_min=x_min clip_value_max=x_max"},
    {"zeros_like", "numpy", "ZerosLike", "x dtype"},
    {"ones_like", "numpy", "OnesLike", "x dtype"},
    {"stop_gradient", "core", "StopGradient", "variable"},
    {"identity", "numpy", "Copy", unary},
};

// Functions that TensorFlow exports under several names.
std::string_view plain_name(std::string_view function) {
  constexpr std::string_view old = "compat.v1.";
  if (function.starts_with(old)) function.remove_prefix(old.size());
  constexpr std::pair<std::string_view, std::string_view> others[] = {
      {"nn.tanh", "math.tanh"},         {"nn.sigmoid", "math.sigmoid"},     {"nn.softplus", "math.softplus"},
      {"nn.swish", "nn.silu"},          {"matmul", "linalg.matmul"},        {"concat_v2", "concat"},
      {"math.softmax", "nn.softmax"},   {"linalg.l2_normalize", "math.l2_normalize"},
      {"nn.l2_normalize", "math.l2_normalize"}};
  for (const auto& [name, plain] : others)
    if (name == function) return plain;
  return function;
}

const TfFunction* find_function(std::string_view function) {
  function = plain_name(function);
  const auto* found = std::find_if(std::begin(functions), std::end(functions),
                                   [&](const TfFunction& f) { return f.function == function; });
  return found == std::end(functions) ? nullptr : found;
}

// What changes nothing in any function.
bool is_default(const std::string& argument, const Json& value) {
  return value.is_null() || value == false || argument == "name" || argument == "output_type" ||
         argument == "validate_indices" || ((argument == "batch_dims" || argument == "off_value") && value == 0) ||
         ((argument == "on_value" || argument == "beta") && value == 1);
}

Json as_key(const Json& spec) {
  if (spec.is_array()) {
    Json keys = Json::array();
    for (const Json& one : spec) keys.push_back(as_key(one));
    return keys;
  }
  if (spec.is_object() && spec.contains("start")) return Json{{"class_name", "__slice__"}, {"config", spec}};
  return spec;
}

// In TensorFlow the sizes of the parts, in numpy where they end.
Json as_ends(const Json& sizes) {
  if (!sizes.is_array()) return sizes;
  Json ends = Json::array();
  int64_t end = 0;
  for (size_t i = 0; i + 1 < sizes.size(); ++i) {
    if (!sizes[i].is_number_integer() || sizes[i].get<int64_t>() < 0)
      throw KerasValueError{"has parts of the sizes " + json_text(sizes) + ", which is not supported"};
    ends.push_back(end += sizes[i].get<int64_t>());
  }
  return ends;
}

// An argument of TensorFlow's as keras.ops has it.
Json translated(std::string_view class_name, const std::string& ours, const Json& value) {
  if (ours == "key") return as_key(value);
  if (ours == "indices_or_sections") return as_ends(value);
  if (class_name == "Normalize" && ours == "epsilon" && value.is_number()) return std::sqrt(value.get<double>());
  if (class_name == "Pad" && ours == "mode" && value.is_string()) {
    std::string mode = value.get<std::string>();
    std::transform(mode.begin(), mode.end(), mode.begin(), [](unsigned char c) { return std::tolower(c); });
    return mode;
  }
  return value;
}

// What a function takes where it is told nothing, and the operation would take something else.
void add_defaults(std::string_view class_name, Json& arguments) {
  const auto add = [&](const char* name, Json value) {
    if (!arguments.contains(name)) arguments[name] = std::move(value);
  };
  if (class_name == "Argmax" || class_name == "Argmin" || class_name == "Take" || class_name == "Cumsum") add("axis", 0);
  if (class_name == "Gelu") add("approximate", false);
  if (class_name == "LeakyRelu") add("negative_slope", 0.2);
  if (class_name == "Normalize") add("epsilon", 1e-6);
}

}  // namespace

bool is_tf_function(const Json& layer) {
  if (!layer.is_object() || !layer.contains("class_name")) return false;
  return layer["class_name"] == "TFOpLambda" || layer["class_name"] == "SlicingOpLambda";
}

std::optional<KerasOperation> find_tf_operation(std::string_view function) {
  const TfFunction* found = find_function(function);
  if (found == nullptr) return std::nullopt;
  return KerasOperation{.module = "keras.src.ops." + std::string(found->module),
                        .class_name = std::string(found->class_name),
                        .config = Json::object(),
                        .args = Json::array(),
                        .kwargs = Json::object()};
}

void place_tf_arguments(std::string_view function, const Json& first, const Json& others, KerasOperation& operation) {
  const TfFunction& entry = *find_function(function);
  std::istringstream words{std::string(entry.arguments)};
  std::string word;
  words >> word;
  Json arguments = Json::object();
  arguments[word] = first;
  std::map<std::string, std::string> names;
  while (words >> word) {
    const size_t equals = word.find('=');
    names[word.substr(0, equals)] = equals == std::string::npos ? word : word.substr(equals + 1);
  }
  for (const auto& [name, value] : others.items()) {
    const auto ours = names.find(name);
    if (ours == names.end() && !is_default(name, value))
      throw KerasValueError{"has the argument " + name + "=" + json_text(value) + ", which is not supported"};
    if (ours != names.end() && !value.is_null()) arguments[ours->second] = translated(entry.class_name, ours->second, value);
  }
  if (entry.class_name == "Unstack") arguments.erase("num");
  add_defaults(entry.class_name, arguments);
  const std::string signature = " " + std::string(keras_operation_signature(entry.class_name)) + " ";
  for (const auto& [name, value] : arguments.items())
    (signature.find(" " + name + " ") != std::string::npos ? operation.kwargs : operation.config)[name] = value;
}

}  // namespace moru
