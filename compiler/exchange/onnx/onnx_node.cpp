#include "compiler/exchange/onnx/onnx_node.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>

#include "compiler/exchange/onnx/onnx_graph.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using Attribute = onnx::AttributeProto;

constexpr std::span<const OnnxOp> (*families[])() = {
    onnx_elementwise_ops, onnx_shape_ops,         onnx_contraction_ops, onnx_reduction_ops,    onnx_indexing_ops,
    onnx_window_ops,      onnx_normalization_ops, onnx_recurrent_ops,   onnx_loss_ops,         onnx_attention_ops,
    onnx_resize_ops,      onnx_training_ops,      onnx_selection_ops,   onnx_quantization_ops, onnx_image_ops,
    onnx_region_ops,      onnx_signal_ops,        onnx_random_ops,      onnx_text_ops,         onnx_ml_ops,
};

}  // namespace

const OnnxOp* find_onnx_op(std::string_view domain, std::string_view type, int64_t version) {
  const OnnxOp* best = nullptr;
  for (auto* family : families)
    for (const OnnxOp& op : family())
      if (op.type == type && op.domain == domain && op.since <= version && (!best || op.since > best->since))
        best = &op;
  return best;
}

std::vector<const OnnxOp*> all_onnx_ops() {
  std::vector<const OnnxOp*> all;
  for (auto* family : families)
    for (const OnnxOp& op : family()) all.push_back(&op);
  return all;
}

OnnxNode::OnnxNode(OnnxGraph& graph, const onnx::NodeProto& proto, std::vector<uint32_t> inputs, int64_t version,
                   std::string name)
    : graph_(graph),
      proto_(proto),
      inputs_(std::move(inputs)),
      version_(version),
      name_(std::move(name)),
      builder_(body_, name_),
      outputs_(static_cast<size_t>(std::max(proto.output_size(), 1))) {}

const std::string& OnnxNode::op_type() const { return proto_.op_type(); }

void OnnxNode::fail(const std::string& what, const std::string& hint) const {
  throw CompileError({.stage = "import", .node = name_, .op = proto_.op_type(), .what = what, .hint = hint});
}

const Attribute* OnnxNode::find(std::string_view name) const {
  for (const Attribute& attribute : proto_.attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

bool OnnxNode::has(std::string_view name) const { return find(name) != nullptr; }

int64_t OnnxNode::integer(std::string_view name, std::optional<int64_t> otherwise) const {
  const Attribute* attribute = find(name);
  if (!attribute && !otherwise) fail("lacks the attribute '" + std::string(name) + "'");
  return attribute ? attribute->i() : *otherwise;
}

double OnnxNode::real(std::string_view name, std::optional<double> otherwise) const {
  const Attribute* attribute = find(name);
  if (!attribute && !otherwise) fail("lacks the attribute '" + std::string(name) + "'");
  return attribute ? static_cast<double>(attribute->f()) : *otherwise;
}

std::string OnnxNode::string(std::string_view name, std::optional<std::string> otherwise) const {
  const Attribute* attribute = find(name);
  if (!attribute && !otherwise) fail("lacks the attribute '" + std::string(name) + "'");
  return attribute ? attribute->s() : *otherwise;
}

std::string OnnxNode::choice(std::string_view name, std::initializer_list<std::string_view> choices) const {
  const std::string chosen = string(name, std::string(*choices.begin()));
  if (std::ranges::find(choices, chosen) != choices.end()) return chosen;
  std::string known;
  for (const std::string_view choice : choices)
    if (!choice.empty()) known += (known.empty() ? "" : ", ") + std::string(choice);
  fail("has the unknown " + std::string(name) + " '" + printable(chosen) + "'", "known are " + known);
}

std::vector<int64_t> OnnxNode::integers(std::string_view name, std::optional<std::vector<int64_t>> otherwise) const {
  const Attribute* attribute = find(name);
  if (!attribute && !otherwise) fail("lacks the attribute '" + std::string(name) + "'");
  return attribute ? std::vector<int64_t>(attribute->ints().begin(), attribute->ints().end()) : *otherwise;
}

std::vector<double> OnnxNode::reals(std::string_view name) const {
  const Attribute* attribute = find(name);
  return attribute ? std::vector<double>(attribute->floats().begin(), attribute->floats().end())
                   : std::vector<double>();
}

std::vector<std::string> OnnxNode::strings(std::string_view name) const {
  const Attribute* attribute = find(name);
  return attribute ? std::vector<std::string>(attribute->strings().begin(), attribute->strings().end())
                   : std::vector<std::string>();
}

OnnxTensor OnnxNode::tensor(std::string_view name) const {
  const Attribute* attribute = find(name);
  if (!attribute || !attribute->has_t()) fail("lacks the attribute '" + std::string(name) + "'");
  return read_onnx_tensor(attribute->t(), graph_.folder(),
                          "the attribute '" + std::string(name) + "' of '" + name_ + "'");
}

bool OnnxNode::has_input(size_t index) const { return index < inputs_.size() && inputs_[index] != UINT32_MAX; }

const Type& OnnxNode::type(size_t index) const {
  if (!has_input(index)) fail("lacks its input " + std::to_string(index + 1));
  return graph_.value(inputs_[index]).type;
}

ElementType OnnxNode::dtype(size_t index) const {
  const DType held = type(index).dtype;
  return {held, graph_.value(inputs_[index]).narrow};
}

Value OnnxNode::raw(size_t index) {
  if (!has_input(index)) fail("lacks its input " + std::to_string(index + 1));
  return read(inputs_[index]);
}

Value OnnxNode::read(uint32_t id) {
  if (const auto found = read_.find(id); found != read_.end()) return found->second;
  const OnnxGraph::Value& value = graph_.value(id);
  if (value.known) return read_[id] = materialize(*value.known);
  if (value.initializer && !graph_.owns_initializer(id)) graph_.make_parameter_layer(id);
  read_order_.push_back(id);
  return read_[id] = builder_.input(graph_.value(id).type);
}

Value OnnxNode::in(size_t index) {
  const Value value = raw(index);
  return builder_.cast(value, compute_dtype(value.type().dtype));
}

Known OnnxNode::known(size_t index) const { return has_input(index) ? graph_.find_known(inputs_[index]) : nullptr; }

Known OnnxNode::constant_input(size_t index) const {
  if (!has_input(index) || graph_.value(inputs_[index]).narrow != Narrow::none) return nullptr;
  return graph_.value(inputs_[index]).known;
}

Known OnnxNode::need(size_t index) const {
  if (!has_input(index)) fail("lacks its input " + std::to_string(index + 1));
  Known value = known(index);
  if (!value)
    fail("needs the values of its input '" + graph_.value(inputs_[index]).name +
             "' when compiling, since shapes depend on them",
         "moru run takes them from the inputs that it is given; for other commands, make them constants of the model");
  return value;
}

std::vector<int64_t> OnnxNode::need_integers(size_t index) const {
  std::vector<int64_t> numbers;
  for (const Dim& dim : need_dims(index)) {
    if (!dim.is_constant()) fail("needs numbers as its input " + std::to_string(index + 1) + " but got " + dim.text());
    numbers.push_back(dim.constant());
  }
  return numbers;
}

Shape OnnxNode::need_dims(size_t index) const {
  const Known value = need(index);
  if (is_float(value->dtype)) {
    Shape dims;
    for (double real : value->reals) dims.emplace_back(static_cast<int64_t>(real));
    return dims;
  }
  return value->dims;
}

Dim OnnxNode::need_dim(size_t index) const {
  const Shape dims = need_dims(index);
  if (dims.size() != 1) fail("needs one number as its input " + std::to_string(index + 1));
  return dims[0];
}

double OnnxNode::need_number(size_t index) const {
  const Known value = need(index);
  if (value->elements() != 1 || value->is_symbolic())
    fail("needs one number as its input " + std::to_string(index + 1));
  return value->number(0);
}

size_t OnnxNode::outputs() const { return static_cast<size_t>(proto_.output_size()); }

bool OnnxNode::wants(size_t index) const {
  return index < outputs() && !proto_.output(static_cast<int>(index)).empty();
}

void OnnxNode::set(size_t index, Value value) {
  ElementType type = value.type().dtype;
  if (has_input(0) && dtype(0).dtype == type.dtype) type = dtype(0);
  set_as(index, value, type);
}

// An input of that type, left as it was, or what was made narrow just now.
bool OnnxNode::holds_narrow(const Value& value, Narrow narrow) const {
  for (const auto& [id, read] : read_)
    if (read.id == value.id && graph_.value(id).narrow == narrow) return true;
  if (body_.nodes.empty()) return false;
  const Node& last = body_.nodes.back();
  return last.op->name == "narrow" && last.outputs[0] == value.id && last.attributes.string("type") == narrow_name(narrow);
}

Value OnnxNode::narrowed(Value value, Narrow narrow, NarrowRule rule) {
  Attributes attributes = {{"type", std::string(narrow_name(narrow))}};
  if (rule.saturates) attributes.set("saturate", true);
  if (rule.direction != NarrowRule::Direction::nearest)
    attributes.set("round_mode", std::string(direction_name(rule.direction)));
  return builder_.call("narrow", {builder_.cast(value, held_in(narrow))}, attributes);
}

void OnnxNode::set_as(size_t index, Value value, ElementType type) {
  if (index >= outputs_.size()) return;
  // Of nothing there is nothing to compute.
  if (element_count(value.shape()).is_constant(0)) value = builder_.fill(0.0, Shape(value.shape()), type.dtype);
  value = builder_.cast(value, type.dtype);
  if (type.narrow != Narrow::none && !holds_narrow(value, type.narrow))
    value = narrowed(value, type.narrow);
  outputs_[index].value = value;
  outputs_[index].narrow = type.narrow;
}

void OnnxNode::set_known(size_t index, Known value) {
  if (index < outputs_.size()) outputs_[index].known = std::move(value);
}

int64_t OnnxNode::axis(int64_t axis, size_t rank) const {
  const auto signed_rank = static_cast<int64_t>(rank);
  if (axis < -signed_rank || axis >= signed_rank)
    fail("axis is " + std::to_string(axis) + " but the input has " + std::to_string(rank) +
         (rank == 1 ? " axis" : " axes"));
  return axis < 0 ? axis + signed_rank : axis;
}

std::vector<int64_t> OnnxNode::axes(std::vector<int64_t> axes, size_t rank) const {
  for (int64_t& a : axes) a = axis(a, rank);
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) fail("names an axis twice");
  return axes;
}

Value OnnxNode::table(Known values, const std::string& name) {
  const Value value = builder_.input({values->dtype, Shape(values->shape.begin(), values->shape.end())});
  tables_.push_back({name, std::move(values), value});
  return value;
}

Value OnnxNode::materialize(const KnownValue& known) {
  const Shape shape(known.shape.begin(), known.shape.end());
  const size_t count = known.elements();
  const bool real = is_float(known.dtype);
  if (!real && known.is_symbolic()) {
    std::vector<Value> parts;
    for (const Dim& dim : known.dims) parts.push_back(builder_.reshape(builder_.dim_value(dim, known.dtype), {1}));
    return builder_.reshape(builder_.concat(parts, 0), shape);
  }
  bool uniform = true, exact = true;
  for (size_t i = 0; i < count; ++i) {
    const double number = known.number(i);
    uniform = uniform && (number == known.number(0) || (std::isnan(number) && std::isnan(known.number(0)))) &&
              std::signbit(number) == std::signbit(known.number(0));
    exact = exact && std::isfinite(number) && (real || std::abs(number) < 0x1p53);
  }
  if (uniform && exact) return builder_.fill(count ? known.number(0) : 0.0, shape, known.dtype);
  return table(std::make_shared<KnownValue>(known), "value");
}

}  // namespace moru
