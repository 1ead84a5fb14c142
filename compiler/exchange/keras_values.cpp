#include "compiler/exchange/keras_values.h"

#include <algorithm>
#include <array>
#include <utility>

#include "compiler/ops/names.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

[[noreturn]] void refuse(std::string what) { throw KerasValueError{std::move(what)}; }

constexpr std::pair<std::string_view, std::string_view> initializer_names[] = {
    {"zeros", "Zeros"},
    {"zero", "Zeros"},
    {"ones", "Ones"},
    {"one", "Ones"},
    {"constant", "Constant"},
    {"uniform", "RandomUniform"},
    {"random_uniform", "RandomUniform"},
    {"normal", "RandomNormal"},
    {"random_normal", "RandomNormal"},
    {"truncated_normal", "TruncatedNormal"},
    {"variance_scaling", "VarianceScaling"},
    {"glorot_uniform", "GlorotUniform"},
    {"glorot_normal", "GlorotNormal"},
    {"he_uniform", "HeUniform"},
    {"he_normal", "HeNormal"},
    {"lecun_uniform", "LecunUniform"},
    {"lecun_normal", "LecunNormal"},
    {"orthogonal", "Orthogonal"},
    {"OrthogonalInitializer", "Orthogonal"},
    {"identity", "Identity"},
    {"stft", "STFT"},
    {"IdentityInitializer", "Identity"},
};

constexpr std::pair<std::string_view, std::string_view> regularizer_names[] = {
    {"l1", "L1"},
    {"l2", "L2"},
    {"l1_l2", "L1L2"},
    {"l1l2", "L1L2"},
    {"orthogonal_regularizer", "OrthogonalRegularizer"},
};

constexpr std::pair<std::string_view, std::string_view> constraint_names[] = {
    {"max_norm", "MaxNorm"}, {"min_max_norm", "MinMaxNorm"}, {"non_neg", "NonNeg"}, {"unit_norm", "UnitNorm"},
    {"MaxNorm", "MaxNorm"},  {"maxnorm", "MaxNorm"},         {"nonneg", "NonNeg"},  {"unitnorm", "UnitNorm"},
};

template <size_t N>
std::optional<std::string> find_class(const std::pair<std::string_view, std::string_view> (&names)[N],
                                      std::string_view name) {
  for (const auto& [alias, class_name] : names) {
    if (name == alias || name == class_name) return std::string(class_name);
  }
  return std::nullopt;
}

// What Keras writes for an object: a name, or its class and arguments.
struct KerasObject {
  std::string name;
  Json config;
};

KerasObject parse_object(const Json& value, std::string_view kind) {
  if (value.is_string()) return {value.get<std::string>(), Json::object()};
  if (value.is_object() && value.contains("class_name") && value["class_name"].is_string()) {
    KerasObject object{value["class_name"].get<std::string>(), Json::object()};
    const Json config = value.value("config", Json::object());
    // A plain function: {"class_name": "function", "config": "relu"}.
    if (config.is_string()) return {config.get<std::string>(), Json::object()};
    if (config.is_object()) object.config = config;
    return object;
  }
  refuse("is not " + std::string(kind) + ": " + json_text(value));
}

AttributeValue plain_value(const Json& value, const std::string& key) {
  switch (value.type()) {
    case Json::value_t::boolean:
      return value.get<bool>();
    case Json::value_t::number_integer:
      return value.get<int64_t>();
    case Json::value_t::number_unsigned:
      if (value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) break;
      return value.get<int64_t>();
    case Json::value_t::number_float:
      return value.get<double>();
    case Json::value_t::string:
      return value.get<std::string>();
    default:
      break;
  }
  refuse("has the argument '" + key + "' = " + json_text(value) + ", which is not a plain value");
}

// Numbers among these stay reals even where the file writes them without a point.
void set_argument(Attributes& attributes, const std::string& key, const Json& value, bool real) {
  if (value.is_null()) return;
  if (real && value.is_number()) {
    attributes.set(key, value.get<double>());
  } else if (value.is_array()) {
    std::vector<double> list;
    for (const Json& element : value) {
      if (!element.is_number()) refuse("has the argument '" + key + "' = " + json_text(value));
      list.push_back(element.get<double>());
    }
    attributes.set(key, std::move(list));
  } else {
    attributes.set(key, plain_value(value, key));
  }
}

int64_t to_integer(const Json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    refuse("is too large: " + json_text(value));
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  // Only doubles whose integer is exact; the bounds also keep the conversion defined.
  if (value.is_number_float() && value.get<double>() >= -9e15 && value.get<double>() <= 9e15) {
    const double real = value.get<double>();
    if (static_cast<double>(static_cast<int64_t>(real)) == real) return static_cast<int64_t>(real);
  }
  refuse("must be an integer but is " + json_text(value));
}

bool is_layer_key(const std::string& key) {
  return key == "name" || key == "dtype" || key == "trainable" || key == "build_config" || key == "registered_name";
}

Json export_plain(const AttributeValue& attribute) {
  const auto& value = attribute.value;
  if (const auto* boolean = std::get_if<bool>(&value)) return *boolean;
  if (const auto* integer = std::get_if<int64_t>(&value)) return *integer;
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) return *integers;
  if (const auto* reals = std::get_if<std::vector<double>>(&value)) return *reals;
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) return *texts;
  if (const auto* shape = std::get_if<Shape>(&value)) return export_shape(*shape);
  return nullptr;
}

Json export_arguments(const Attributes& attributes) {
  Json config = Json::object();
  for (const auto& [name, value] : attributes.entries()) {
    if (name != "class") config[name] = export_plain(value);
  }
  return config;
}

const Attributes* as_nested(const AttributeValue& value) {
  const auto* nested = std::get_if<AttributeValue::Nested>(&value.value);
  return nested == nullptr ? nullptr : nested->get();
}

Json export_activation(const AttributeValue& value) {
  if (const auto* name = std::get_if<std::string>(&value.value)) {
    const std::string op = activation_op_for(*name);
    if (op == "hard_sigmoid_keras2") refuse("is Keras 2's hard_sigmoid, which Keras 3 does not have");
    return op == "exp" ? "exponential" : op;
  }
  const Attributes* nested = as_nested(value);
  if (nested == nullptr) return nullptr;
  const std::string op = activation_op_for(nested->string("class"));
  if (nested->entries().size() == 1) return export_activation(op);
  if (op == "leaky_relu") return keras_object("keras.layers", "LeakyReLU", export_arguments(*nested));
  if (op == "elu") return keras_object("keras.layers", "ELU", export_arguments(*nested));
  if (op == "relu") return keras_object("keras.layers", "ReLU", export_arguments(*nested));
  refuse("is " + nested->text() + ", which Keras 3 has no activation for");
}

}  // namespace

AttributeValue import_initializer(const Json& value) {
  if (value.is_null()) return {};
  KerasObject object = parse_object(value, "an initializer");
  if (object.name.size() > 2 && object.name.ends_with("V2")) object.name.resize(object.name.size() - 2);
  const auto class_name = find_class(initializer_names, object.name);
  if (!class_name) refuse("is the unknown initializer '" + object.name + "'");
  Attributes attributes = {{"class", *class_name}};
  for (const auto& [key, argument] : object.config.items()) {
    if (key == "dtype" || (key == "seed" && argument.is_object())) continue;
    set_argument(attributes, key, argument, key != "seed");
  }
  return attributes;
}

// A regularizer or constraint: its Keras class and the arguments of the op of that name.
AttributeValue import_op_arguments(const KerasObject& object, const Op& op, const std::string& class_name) {
  Attributes attributes;
  for (const auto& [key, argument] : object.config.items()) {
    const auto spec = std::find_if(op.attributes.begin(), op.attributes.end(), [&](const AttributeSpec& s) { return s.name == key; });
    if (argument.is_null()) continue;
    if (spec == op.attributes.end()) refuse("has the argument '" + key + "' = " + json_text(argument));
    if (spec->type == AttributeType::integers && argument.is_number_integer())
      attributes.set(key, std::vector<int64_t>{argument.get<int64_t>()});
    else if (spec->type == AttributeType::integers && argument.is_array())
      attributes.set(key, argument.get<std::vector<int64_t>>());
    else if (spec->type == AttributeType::real && argument.is_number())
      attributes.set(key, argument.get<double>());
    else if (spec->type == AttributeType::string && argument.is_string())
      attributes.set(key, argument.get<std::string>());
    else
      refuse("has the argument '" + key + "' = " + json_text(argument));
  }
  try {
    attributes = check_attributes(op, attributes, class_name);
  } catch (const CompileError& error) {
    refuse("is '" + class_name + "': " + error.parts().what);
  }
  attributes.set("class", class_name);
  return attributes;
}

AttributeValue import_regularizer(const Json& value) {
  if (value.is_null()) return {};
  KerasObject object = parse_object(value, "a regularizer");
  const auto class_name = find_class(regularizer_names, object.name);
  if (!class_name) refuse("is the unknown regularizer '" + object.name + "'");
  // Keras' function l1_l2 has other defaults than the class.
  if (*class_name == "L1L2" && object.config.empty()) object.config = {{"l1", 0.01}, {"l2", 0.01}};
  return import_op_arguments(object, get_op(regularizer_op_for(*class_name)), *class_name);
}

AttributeValue import_constraint(const Json& value) {
  if (value.is_null()) return {};
  const KerasObject object = parse_object(value, "a constraint");
  const auto class_name = find_class(constraint_names, object.name);
  if (!class_name) refuse("is the unknown constraint '" + object.name + "'");
  return import_op_arguments(object, get_op(constraint_op_for(*class_name)), *class_name);
}

AttributeValue import_activation(const Json& value, const KerasDialect& dialect) {
  if (value.is_null()) return "linear";
  KerasObject object = parse_object(value, "an activation");
  Attributes arguments;
  if (object.name == "LeakyReLU") {
    // The layer's slope differs from the function's.
    arguments.set("negative_slope", 0.3);
  }
  if (object.name == "hard_sigmoid" && dialect.major < 3) return "hard_sigmoid_keras2";
  if (object.name == "exponential") object.name = "exp";
  std::string op;
  try {
    op = activation_op_for(object.name);
  } catch (const CompileError&) {
    refuse("is the unknown activation '" + object.name + "'");
  }
  for (const auto& [key, argument] : object.config.items()) {
    if (is_layer_key(key) || argument.is_null()) continue;
    const bool slope = op == "leaky_relu" && key == "alpha";
    const AttributeValue plain = plain_value(argument, key);
    const auto& specs = get_op(op).attributes;
    const std::string name = slope ? "negative_slope" : key;
    const auto spec = std::find_if(specs.begin(), specs.end(), [&](const AttributeSpec& s) { return s.name == name; });
    const bool known = spec != specs.end();
    const bool neutral = argument == 0 || argument == false || (op == "softmax" && argument == -1);
    if (!known && !neutral) refuse("is '" + object.name + "' with " + key + " = " + json_text(argument));
    const bool real = known && spec->type == AttributeType::real && argument.is_number();
    const AttributeValue typed = real ? AttributeValue(argument.get<double>()) : plain;
    if (known && (arguments.has(name) || !(typed == spec->default_value))) arguments.set(name, typed);
  }
  if (arguments.entries().empty()) return op;
  try {
    check_attributes(get_op(op), arguments, {});
  } catch (const CompileError& error) {
    refuse("is '" + object.name + "': " + error.parts().what);
  }
  arguments.set("class", op);
  return arguments;
}

std::string import_dtype_name(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) {
    const Json config = value.value("config", Json::object());
    if (config.is_object() && config.contains("name") && config["name"].is_string()) {
      return config["name"].get<std::string>();
    }
    // Quantized policies are named by what they are made of.
    if (config.is_object() && config.contains("mode") && config["mode"].is_string() && config.contains("source_name") &&
        config["source_name"].is_string())
      return config["mode"].get<std::string>() + "_from_" + config["source_name"].get<std::string>();
  }
  refuse("is not a dtype: " + json_text(value));
}

std::optional<DType> find_keras_dtype(std::string_view name) {
  if (name == "float32") return DType::f32;
  if (name == "float64") return DType::f64;
  if (name == "int32") return DType::i32;
  if (name == "int64") return DType::i64;
  if (name == "bool") return DType::boolean;
  return std::nullopt;
}

Json keras_object(const char* module, const std::string& class_name, Json config) {
  Json object = Json::object();
  object["module"] = module;
  object["class_name"] = class_name;
  object["config"] = std::move(config);
  object["registered_name"] = nullptr;
  return object;
}

const Json& array_of(const Json& value) {
  if (!value.is_object() || !value.contains("config") || !value["config"].is_object()) return value;
  const Json& config = value["config"];
  return config.contains("value") ? config["value"] : value;
}

AttributeValue import_value(const Json& value, const AttributeSpec& spec, const KerasDialect& dialect) {
  if (spec.type == AttributeType::activation) return import_activation(value, dialect);
  if (value.is_null()) return {};
  switch (spec.type) {
    case AttributeType::boolean:
      if (!value.is_boolean()) refuse("must be true or false but is " + json_text(value));
      return value.get<bool>();
    case AttributeType::integer:
      // Some layers write their one axis as a list.
      if (value.is_array() && value.size() == 1) return to_integer(value[0]);
      return to_integer(value);
    case AttributeType::real:
      if (!value.is_number()) refuse("must be a number but is " + json_text(value));
      return value.get<double>();
    case AttributeType::string:
      if (!value.is_string()) refuse("must be a string but is " + json_text(value));
      return value.get<std::string>();
    case AttributeType::integers: {
      if (!value.is_array()) return std::vector<int64_t>{to_integer(value)};
      std::vector<int64_t> list;
      for (const Json& element : value) {  // padding and cropping come as pairs: [[1, 1], [2, 0]]
        // An extent that is left open, in a noise_shape.
        if (!element.is_array()) list.push_back(element.is_null() ? -1 : to_integer(element));
        if (element.is_array())
          for (const Json& inner : element) list.push_back(to_integer(inner));
      }
      return list;
    }
    case AttributeType::reals: {
      std::vector<double> list;
      const auto add = [&](const auto& self, const Json& element) -> void {  // Keras nests the statistics of some layers
        if (element.is_array()) {
          for (const Json& inner : element) self(self, inner);
        } else {
          if (!element.is_number()) refuse("must be a list of numbers but is " + json_text(value));
          list.push_back(element.get<double>());
        }
      };
      add(add, array_of(value));
      return list;
    }
    case AttributeType::strings: {
      std::vector<std::string> list;
      for (const Json& element : value.is_array() ? value : Json::array({value})) {
        if (!element.is_string()) refuse("must be a list of strings but is " + json_text(value));
        list.push_back(element.get<std::string>());
      }
      return list;
    }
    case AttributeType::shape: {
      if (!value.is_array()) refuse("must be a shape but is " + json_text(value));
      Shape shape;
      for (const Json& element : value) shape.push_back(element.is_null() ? Dim(-1) : Dim(to_integer(element)));
      return shape;
    }
    case AttributeType::initializer:
      return import_initializer(value);
    case AttributeType::regularizer:
      return import_regularizer(value);
    case AttributeType::constraint:
      return import_constraint(value);
    case AttributeType::activation:
    case AttributeType::nested:
      break;
  }
  refuse("is " + json_text(value) + ", which is not supported");
}

Json export_shape(const Shape& shape) {
  Json list = Json::array();
  for (const Dim& dim : shape) list.push_back(dim.is_constant() ? Json(dim.constant()) : Json(nullptr));
  return list;
}

// The counterpart of import_value.
template <typename Number>
Json export_list(const std::vector<Number>& list, KerasList form) {
  if (form == KerasList::unwrapped && list.size() == 1) return list[0];
  Json array = Json::array();
  const bool in_pairs = form == KerasList::pairs && list.size() >= 4 && list.size() % 2 == 0;
  for (size_t i = 0; i < list.size(); i += in_pairs ? 2 : 1) {
    if (in_pairs)
      array.push_back(Json::array({list[i], list[i + 1]}));
    else
      array.push_back(form == KerasList::open && list[i] == -1 ? Json(nullptr) : Json(list[i]));
  }
  return array;
}

Json export_value(const AttributeValue& value, const AttributeSpec& spec) {
  if (value.is_none()) return nullptr;
  if (spec.type == AttributeType::activation) return export_activation(value);
  if (spec.type == AttributeType::initializer) {
    AttributeValue initializer = value;
    if (const auto* name = std::get_if<std::string>(&value.value)) initializer = import_initializer(Json(*name));
    const Attributes* nested = as_nested(initializer);
    return keras_object("keras.initializers", nested->string("class"), export_arguments(*nested));
  }
  if (spec.type == AttributeType::regularizer) {
    const Attributes* nested = as_nested(value);
    return keras_object("keras.regularizers", nested->string("class"), export_arguments(*nested));
  }
  if (spec.type == AttributeType::constraint) {
    const Attributes* nested = as_nested(value);
    Json arguments = export_arguments(*nested);
    for (const AttributeSpec& argument : get_op(constraint_op_for(nested->string("class"))).attributes)
      if (const AttributeValue* given = nested->find(argument.name)) arguments[std::string(argument.name)] = export_value(*given, argument);
    return keras_object("keras.constraints", nested->string("class"), arguments);
  }
  if (const auto* list = std::get_if<std::vector<int64_t>>(&value.value)) return export_list(*list, spec.keras_list);
  if (const auto* list = std::get_if<std::vector<double>>(&value.value)) return export_list(*list, spec.keras_list);
  return export_plain(value);
}

}  // namespace moru
