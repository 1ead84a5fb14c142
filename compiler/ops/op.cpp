#include "compiler/ops/op.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "compiler/support/error.h"

namespace moru {

HostTensor make_tensor(DType dtype, std::vector<int64_t> shape, double fill) {
  int64_t count = element_count(std::span<const int64_t>(shape));
  return {dtype, std::move(shape), std::vector<double>(static_cast<size_t>(count), fill)};
}

int64_t element_count(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (int64_t extent : shape) count *= extent;
  return count;
}

std::string_view op_family_name(OpFamily family) {
  switch (family) {
    case OpFamily::elementwise:
      return "elementwise";
    case OpFamily::contraction:
      return "contraction";
    case OpFamily::reduction:
      return "reduction";
    case OpFamily::shape:
      return "shape";
    case OpFamily::indexing:
      return "indexing";
    case OpFamily::random:
      return "random";
    case OpFamily::control:
      return "control";
    case OpFamily::activation:
      return "activation";
    case OpFamily::layer:
      return "layer";
    case OpFamily::loss:
      return "loss";
    case OpFamily::metric:
      return "metric";
    case OpFamily::optimizer:
      return "optimizer";
    case OpFamily::schedule:
      return "schedule";
    case OpFamily::constraint:
      return "constraint";
    case OpFamily::regularizer:
      return "regularizer";
  }
  return "?";
}

bool are_equal(const OpContext& context, const Dim& a, const Dim& b) {
  if (a == b) return true;
  context.unequal.emplace(a, b);
  return false;
}

bool are_equal(const OpContext& context, const Shape& a, const Shape& b) {
  return a.size() == b.size() && std::ranges::equal(a, b, [&](const Dim& x, const Dim& y) { return are_equal(context, x, y); });
}

void fail(const OpContext& context, const Op& op, std::string what, std::string hint, std::string detail) {
  std::optional<std::pair<std::string, std::string>> unequal;
  if (context.unequal) unequal.emplace(context.unequal->first.text(), context.unequal->second.text());
  throw CompileError({.stage = "infer_shapes",
                      .node = std::string(context.node),
                      .op = std::string(op.class_name.empty() ? op.name : op.class_name),
                      .what = std::move(what),
                      .detail = std::move(detail),
                      .hint = std::move(hint),
                      .unequal = std::move(unequal)});
}

namespace {

const std::unordered_map<std::string_view, const Op*>& ops_by_name() {
  static const auto index = [] {
    std::unordered_map<std::string_view, const Op*> map;
    for (const Op& op : all_ops()) map.emplace(op.name, &op);
    return map;
  }();
  return index;
}

bool type_matches(AttributeType type, const AttributeValue& attribute) {
  const auto& value = attribute.value;
  switch (type) {
    case AttributeType::boolean:
      return std::holds_alternative<bool>(value);
    case AttributeType::integer:
      return std::holds_alternative<int64_t>(value);
    case AttributeType::real:
      return std::holds_alternative<double>(value) || std::holds_alternative<int64_t>(value);
    case AttributeType::string:
      return std::holds_alternative<std::string>(value);
    case AttributeType::integers:
      return std::holds_alternative<std::vector<int64_t>>(value);
    case AttributeType::reals:
      return std::holds_alternative<std::vector<double>>(value);
    case AttributeType::strings:
      return std::holds_alternative<std::vector<std::string>>(value);
    case AttributeType::shape:
      return std::holds_alternative<Shape>(value);
    case AttributeType::nested:
    case AttributeType::regularizer:
    case AttributeType::constraint:
      return std::holds_alternative<AttributeValue::Nested>(value);
    case AttributeType::initializer:
    case AttributeType::activation:
      return std::holds_alternative<std::string>(value) || std::holds_alternative<AttributeValue::Nested>(value);
  }
  return false;
}

std::string_view type_name(AttributeType type) {
  switch (type) {
    case AttributeType::boolean:
      return "true or false";
    case AttributeType::integer:
      return "an integer";
    case AttributeType::real:
      return "a number";
    case AttributeType::string:
      return "a string";
    case AttributeType::integers:
      return "a list of integers";
    case AttributeType::reals:
      return "a list of numbers";
    case AttributeType::strings:
      return "a list of strings";
    case AttributeType::shape:
      return "a shape";
    case AttributeType::nested:
      return "a set of attributes";
    case AttributeType::initializer:
      return "an initializer";
    case AttributeType::regularizer:
      return "a regularizer";
    case AttributeType::constraint:
      return "a constraint";
    case AttributeType::activation:
      return "an activation";
  }
  return "?";
}

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string range_text(const AttributeSpec& spec) {
  if (spec.least && spec.most) return "from " + number_text(*spec.least) + " to " + number_text(*spec.most);
  return spec.least ? "at least " + number_text(*spec.least) : "at most " + number_text(*spec.most);
}

}  // namespace

const Op* find_op(std::string_view name) {
  auto found = ops_by_name().find(name);
  return found == ops_by_name().end() ? nullptr : found->second;
}

const Op& get_op(std::string_view name) {
  const Op* op = find_op(name);
  if (!op) throw InternalError("there is no op '" + std::string(name) + "'");
  return *op;
}

const Op* find_layer(std::string_view class_name) {
  for (const Op& op : all_ops())
    if (!op.class_name.empty() && op.class_name == class_name) return &op;
  return nullptr;
}

Attributes check_attributes(const Op& op, Attributes attributes, std::string_view node) {
  auto error = [&](std::string what, std::string hint = {}) {
    throw CompileError({.stage = "check_attributes",
                        .node = std::string(node),
                        .op = std::string(op.class_name.empty() ? op.name : op.class_name),
                        .what = std::move(what),
                        .detail = {},
                        .hint = std::move(hint)});
  };
  for (const auto& [name, value] : attributes.entries()) {
    bool known =
        std::any_of(op.attributes.begin(), op.attributes.end(), [&](const AttributeSpec& s) { return s.name == name; });
    if (!known) {
      std::string list;
      for (const AttributeSpec& spec : op.attributes) list += (list.empty() ? "" : ", ") + std::string(spec.name);
      error("has no attribute '" + name + "'", list.empty() ? "it takes no attributes" : "its attributes are " + list);
    }
  }
  for (const AttributeSpec& spec : op.attributes) {
    std::string name(spec.name);
    const AttributeValue* given = attributes.find(spec.name);
    if (!given || given->is_none()) {
      if (!given && !spec.default_value.is_none())
        attributes.set(name, spec.default_value);
      else if (!spec.optional && spec.default_value.is_none())
        error("needs the attribute '" + name + "' (" + std::string(type_name(spec.type)) + ")");
      else if (given && !spec.optional)
        attributes.set(name, spec.default_value);
      continue;
    }
    // One number stands for a list of it.
    if (const auto* integer = std::get_if<int64_t>(&given->value); integer && spec.type == AttributeType::integers)
      attributes.set(name, std::vector<int64_t>{*integer});
    else if (integer && spec.type == AttributeType::reals)
      attributes.set(name, std::vector<double>{static_cast<double>(*integer)});
    else if (const auto* real = std::get_if<double>(&given->value); real && spec.type == AttributeType::reals)
      attributes.set(name, std::vector<double>{*real});
    given = attributes.find(spec.name);
    if (!type_matches(spec.type, *given))
      error("attribute '" + name + "' must be " + std::string(type_name(spec.type)), {});
    if (const auto* text = std::get_if<std::string>(&given->value); text && !spec.choices.empty()) {
      if (std::find(spec.choices.begin(), spec.choices.end(), *text) == spec.choices.end()) {
        std::string list;
        for (std::string_view choice : spec.choices) list += (list.empty() ? "" : ", ") + std::string(choice);
        error("attribute '" + name + "' is '" + *text + "', which is not known", "use one of " + list);
      }
    }
    if (spec.least || spec.most) {
      auto check = [&](double value) {
        if ((spec.least && !(value >= *spec.least)) || (spec.most && !(value <= *spec.most)))
          error("attribute '" + name + "' is " + number_text(value) + " but must be " + range_text(spec));
      };
      if (const auto* integer = std::get_if<int64_t>(&given->value)) check(static_cast<double>(*integer));
      if (const auto* real = std::get_if<double>(&given->value)) check(*real);
      if (const auto* integers = std::get_if<std::vector<int64_t>>(&given->value))
        for (int64_t value : *integers) check(static_cast<double>(value));
      if (const auto* reals = std::get_if<std::vector<double>>(&given->value))
        for (double value : *reals) check(value);
    }
  }
  return attributes;
}

std::vector<Type> infer_node(const Op& op, std::span<const Type> inputs, std::span<const bool> present,
                             const Attributes& attributes, std::span<const Graph> bodies, std::string_view node) {
  OpContext context{inputs, present, attributes, bodies, node};
  bool variadic = !op.inputs.empty() && op.inputs.back().variadic;
  size_t least = 0;
  for (size_t i = 0; i < op.inputs.size(); ++i)
    if (!op.inputs[i].optional) least = i + 1;
  if (inputs.size() < least || (!variadic && inputs.size() > op.inputs.size())) {
    std::string wanted = std::to_string(least);
    if (variadic)
      wanted = "at least " + wanted;
    else if (op.inputs.size() != least)
      wanted += " to " + std::to_string(op.inputs.size());
    fail(context, op,
         "takes " + wanted + (wanted == "1" ? " input" : " inputs") + " but got " + std::to_string(inputs.size()));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const InputSpec& spec = op.inputs[std::min(i, op.inputs.size() - 1)];
    if (!present[i] && !spec.optional) fail(context, op, "input '" + std::string(spec.name) + "' is missing");
  }
  return op.infer(context);
}

namespace {

template <class Equal>
std::optional<Shape> broadcast_with(const Shape& a, const Shape& b, Equal&& equal) {
  size_t rank = std::max(a.size(), b.size());
  Shape shape(rank);
  for (size_t i = 0; i < rank; ++i) {
    Dim x = i < rank - a.size() ? Dim(1) : a[i - (rank - a.size())];
    Dim y = i < rank - b.size() ? Dim(1) : b[i - (rank - b.size())];
    if (x.is_constant(1))
      shape[i] = y;
    else if (y.is_constant(1) || equal(x, y))
      shape[i] = x;
    else
      return std::nullopt;
  }
  return shape;
}

}  // namespace

std::optional<Shape> broadcast_shapes(const Shape& a, const Shape& b) { return broadcast_with(a, b, std::equal_to<Dim>()); }

std::optional<Shape> broadcast_shapes(const OpContext& context, const Shape& a, const Shape& b) {
  return broadcast_with(a, b, [&](const Dim& x, const Dim& y) { return are_equal(context, x, y); });
}

}  // namespace moru
