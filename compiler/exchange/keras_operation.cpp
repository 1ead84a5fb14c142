#include "compiler/exchange/keras_operation.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "compiler/exchange/keras_values.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

constexpr size_t most_constants = 1024;  // of one array among the arguments

bool is_tensor(const Json& value) { return value.is_object() && value.contains(tensor_key); }

bool is_number(const Json& value) { return value.is_number() || value.is_boolean(); }

void flatten(const Json& value, std::vector<Json>& elements, std::vector<int64_t>& shape, size_t depth = 0) {
  if (!value.is_array()) return elements.push_back(value);
  if (shape.size() == depth) shape.push_back(static_cast<int64_t>(value.size()));
  for (const Json& element : value) flatten(element, elements, shape, depth + 1);
}

/// How element types meet: booleans become integers, integers and floats f32.
DType common_dtype(DType a, DType b) {
  if (a == b) return a;
  if (a == DType::boolean) return b;
  if (b == DType::boolean) return a;
  if (is_float(a) != is_float(b)) return is_float(a) ? a : b;
  return a == DType::f64 || a == DType::i64 ? a : b;
}

}  // namespace

bool is_keras_operation(const Json& layer) {
  if (!layer.is_object() || !layer.contains("module") || !layer["module"].is_string()) return false;
  const std::string module = layer["module"].get<std::string>();
  return module.starts_with("keras.src.ops") || module.starts_with("keras.ops") ||
         module.starts_with("keras.src.activations");
}

std::string KerasOperation::text() const {
  return print_json(Json{{"module", module}, {"config", config}, {"args", args}, {"kwargs", kwargs}});
}

KerasOperation KerasOperation::parse(const std::string& text, std::string class_name) {
  const Json json = parse_json(text, "the operation " + class_name);
  return {.module = json.value("module", "keras.ops"),
          .class_name = std::move(class_name),
          .config = json.value("config", Json::object()),
          .args = json.value("args", Json::array()),
          .kwargs = json.value("kwargs", Json::object())};
}

OperationCall::OperationCall(const KerasOperation& operation, std::string_view signature, Builder& builder,
                             std::vector<Value> tensors, std::string node)
    : operation_(operation), builder_(builder), tensors_(std::move(tensors)), node_(std::move(node)) {
  const auto add = [&](const Json& object) {
    if (object.is_object())
      for (const auto& [key, value] : object.items()) arguments_.insert_or_assign(key, value);
  };
  add(operation.config);
  std::istringstream names{std::string(signature)};
  std::string name;
  if (operation.args.is_array())
    for (const Json& argument : operation.args) {
      if (!(names >> name)) fail("is called with more arguments than it has");
      if (name[0] == '*') {  // takes all that are left
        Json rest = Json::array();
        for (const Json& each : operation.args) rest.push_back(each);
        arguments_.insert_or_assign(name.substr(1), rest);
        break;
      }
      arguments_.insert_or_assign(name, argument);
    }
  add(operation.kwargs);
}

void OperationCall::fail(const std::string& what, std::string hint) const {
  throw CompileError({.stage = "import",
                      .node = node_,
                      .op = operation_.class_name,
                      .what = what,
                      .detail = {},
                      .hint = std::move(hint)});
}

const Json* OperationCall::find(std::string_view argument) const {
  const auto found = arguments_.find(argument);
  return found == arguments_.end() || found->second.is_null() ? nullptr : &found->second;
}

Value OperationCall::constant(const Json& value, std::optional<DType> dtype) const {
  std::vector<Json> elements;
  std::vector<int64_t> shape;
  flatten(array_of(value), elements, shape);
  if (elements.empty() || elements.size() > most_constants)
    fail("has an array of " + std::to_string(elements.size()) + " numbers among its arguments",
         "make it an input of the model, or a weight of a layer");
  if (static_cast<int64_t>(elements.size()) != element_count(Shape(shape.begin(), shape.end())).constant())
    fail("has an array among its arguments whose rows differ in length");
  bool real = false, boolean = true;
  for (const Json& element : elements) {
    if (!is_number(element)) fail("has the argument " + json_text(value) + ", which is no tensor and no number");
    real = real || element.is_number_float();
    boolean = boolean && element.is_boolean();
  }
  const DType held = dtype.value_or(real ? DType::f32 : boolean ? DType::boolean : DType::i32);
  const auto number = [](const Json& element) {
    return element.is_boolean() ? (element.get<bool>() ? 1.0 : 0.0) : element.get<double>();
  };
  if (shape.empty()) return builder_.constant(number(elements[0]), held);
  std::vector<Value> parts;
  for (size_t i = 0; i < elements.size();) {  // equal neighbours together
    size_t end = i + 1;
    while (end < elements.size() && number(elements[end]) == number(elements[i])) ++end;
    parts.push_back(builder_.fill(number(elements[i]), {static_cast<int64_t>(end - i)}, held));
    i = end;
  }
  const Value flat = parts.size() == 1 ? parts[0] : builder_.concat(parts, 0);
  return builder_.reshape(flat, Shape(shape.begin(), shape.end()));
}

Value OperationCall::plain(const Json& value) const {
  if (!is_tensor(value)) return constant(value);
  const auto number = value[tensor_key].get<size_t>();
  check_internal(number < tensors_.size(), "an operation names a tensor that it does not have");
  return tensors_[number];
}

std::vector<Value> OperationCall::unified(const std::vector<const Json*>& arguments) const {
  std::optional<DType> dtype;
  bool real = false;  // a number with a point among the constants
  for (const Json* argument : arguments) {
    if (is_tensor(*argument)) {
      const DType own = plain(*argument).type().dtype;
      dtype = dtype ? common_dtype(*dtype, own) : own;
    } else {
      real = real || (array_of(*argument).is_array() ? is_float(constant(*argument).type().dtype)
                                                     : argument->is_number_float());
    }
  }
  if (!dtype) dtype = real ? DType::f32 : DType::i32;
  if (real && !is_float(*dtype)) dtype = DType::f32;
  const bool number = std::any_of(arguments.begin(), arguments.end(), [](const Json* a) { return a->is_number(); });
  if (number && *dtype == DType::boolean) dtype = DType::i32;
  std::vector<Value> values;
  for (const Json* argument : arguments)
    values.push_back(is_tensor(*argument) ? builder_.cast(plain(*argument), *dtype) : constant(*argument, *dtype));
  return values;
}

Value OperationCall::tensor(std::string_view argument) const {
  const Json* value = find(argument);
  if (value == nullptr) fail("lacks its argument '" + std::string(argument) + "'");
  return plain(*value);
}

Value OperationCall::floats(std::string_view argument) const {
  const Value x = tensor(argument);
  return is_float(x.type().dtype) ? x : builder_.cast(x, DType::f32);
}

std::vector<Value> OperationCall::operands(std::initializer_list<std::string_view> arguments) const {
  std::vector<const Json*> values;
  for (std::string_view argument : arguments) {
    values.push_back(find(argument));
    if (values.back() == nullptr) fail("lacks its argument '" + std::string(argument) + "'");
  }
  return unified(values);
}

std::vector<Value> OperationCall::tensors(std::string_view argument) const {
  const Json* list = find(argument);
  if (list == nullptr || !list->is_array() || list->empty())
    fail("needs a list of tensors as '" + std::string(argument) + "'");
  std::vector<const Json*> values;
  for (const Json& element : *list) values.push_back(&element);
  return unified(values);
}

int64_t OperationCall::integer(std::string_view argument, std::optional<int64_t> fallback) const {
  const Json* value = find(argument);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !value->is_number_integer())
    fail("needs a whole number as '" + std::string(argument) + "'" + (value ? " but got " + json_text(*value) : ""));
  return value->get<int64_t>();
}

double OperationCall::real(std::string_view argument, std::optional<double> fallback) const {
  const Json* value = find(argument);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !value->is_number())
    fail("needs a number as '" + std::string(argument) + "'" + (value ? " but got " + json_text(*value) : ""));
  return value->get<double>();
}

bool OperationCall::flag(std::string_view argument, bool fallback) const {
  const Json* value = find(argument);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) fail("needs true or false as '" + std::string(argument) + "' but got " + json_text(*value));
  return value->get<bool>();
}

std::string OperationCall::text(std::string_view argument, std::string fallback) const {
  const Json* value = find(argument);
  if (value == nullptr) return fallback;
  if (!value->is_string()) fail("needs a text as '" + std::string(argument) + "' but got " + json_text(*value));
  return value->get<std::string>();
}

std::vector<int64_t> OperationCall::integers(std::string_view argument) const {
  const Json* value = find(argument);
  if (value == nullptr) fail("lacks its argument '" + std::string(argument) + "'");
  if (value->is_number_integer()) return {value->get<int64_t>()};
  std::vector<int64_t> list;
  if (!array_of(*value).is_array())
    fail("needs whole numbers as '" + std::string(argument) + "' but got " + json_text(*value));
  for (const Json& element : array_of(*value)) {
    if (!element.is_number_integer() && !element.is_null())
      fail("needs whole numbers as '" + std::string(argument) + "' but got " + json_text(*value));
    list.push_back(element.is_null() ? -1 : element.get<int64_t>());
  }
  return list;
}

int64_t OperationCall::axis(int64_t given, size_t rank) const {
  const auto count = static_cast<int64_t>(rank);
  if (given < -count || given >= count)
    fail("names axis " + std::to_string(given) + " of a tensor with " + std::to_string(rank) +
         (rank == 1 ? " axis" : " axes"));
  return given < 0 ? given + count : given;
}

std::vector<int64_t> OperationCall::axes(std::string_view argument, const Value& x) const {
  std::vector<int64_t> list;
  if (has(argument)) {
    for (int64_t given : integers(argument)) list.push_back(axis(given, x.rank()));
  } else {
    for (size_t i = 0; i < x.rank(); ++i) list.push_back(static_cast<int64_t>(i));
  }
  std::sort(list.begin(), list.end());
  if (std::adjacent_find(list.begin(), list.end()) != list.end()) fail("names an axis twice");
  return list;
}

}  // namespace moru
