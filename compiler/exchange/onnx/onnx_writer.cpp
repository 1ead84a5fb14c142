#include "compiler/exchange/onnx/onnx_writer.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <string_view>

#include "compiler/exchange/onnx/onnx_tensor.h"
#include "compiler/ops/layer.h"
#include "compiler/support/error.h"
#include "compiler/support/narrow.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

Integers identity(size_t rank) {
  Integers order(rank);
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

Integers inverse(const Integers& order) {
  Integers result(order.size());
  for (size_t i = 0; i < order.size(); ++i) result[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  return result;
}

void set_attribute(onnx::NodeProto& node, const std::string& name, const OnnxAttribute& value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(*integer);
  } else if (const auto* real = std::get_if<double>(&value)) {
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(static_cast<float>(*real));
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    attribute.set_type(onnx::AttributeProto::STRING);
    attribute.set_s(*text);
  } else if (const auto* integers = std::get_if<Integers>(&value)) {
    attribute.set_type(onnx::AttributeProto::INTS);
    for (int64_t element : *integers) attribute.add_ints(element);
  } else if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
    attribute.set_type(onnx::AttributeProto::FLOATS);
    for (double element : *reals) attribute.add_floats(static_cast<float>(element));
  } else {
    attribute.set_type(onnx::AttributeProto::STRINGS);
    for (const std::string& element : std::get<std::vector<std::string>>(value)) attribute.add_strings(element);
  }
}

// Equal keys, equal nodes.
std::string key_of(const std::string& type, const std::vector<std::string>& inputs, const OnnxAttributes& attributes) {
  onnx::NodeProto node;
  node.set_op_type(type);
  for (const std::string& input : inputs) node.add_input(input);
  for (const auto& [name, value] : attributes) set_attribute(node, name, value);
  return node.SerializeAsString();
}

void rename(onnx::GraphProto& graph, const std::map<std::string, std::string>& renamed) {
  const auto apply = [&](std::string& name) {
    if (const auto found = renamed.find(name); found != renamed.end()) name = found->second;
  };
  for (auto& node : *graph.mutable_node()) {
    for (std::string& name : *node.mutable_input()) apply(name);
    for (std::string& name : *node.mutable_output()) apply(name);
    for (auto& attribute : *node.mutable_attribute())
      if (attribute.has_g()) rename(*attribute.mutable_g(), renamed);
  }
  for (auto& output : *graph.mutable_output()) apply(*output.mutable_name());
}

template <typename Element>
void append(std::vector<std::byte>& bytes, Element element) {
  const auto* begin = reinterpret_cast<const std::byte*>(&element);
  bytes.insert(bytes.end(), begin, begin + sizeof element);
}

std::vector<std::byte> element_bytes(double value, DType dtype) {
  std::vector<std::byte> bytes;
  switch (dtype) {
    case DType::f32:
      append(bytes, static_cast<float>(value));
      break;
    case DType::f64:
      append(bytes, value);
      break;
    case DType::i32:
      append(bytes, static_cast<int32_t>(value));
      break;
    case DType::i64:
      append(bytes, static_cast<int64_t>(value));
      break;
    case DType::boolean:
      append(bytes, static_cast<uint8_t>(value != 0.0));
      break;
    case DType::bf16:
      append(bytes, bf16_bits(static_cast<float>(value)));
      break;
  }
  return bytes;
}

}  // namespace

void set_type(onnx::ValueInfoProto& info, const std::string& name, const Type& type, std::optional<int64_t> element_type) {
  info.set_name(name);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(static_cast<int32_t>(element_type.value_or(onnx_type_of(type.dtype))));
  tensor.mutable_shape();
  for (const Dim& dim : type.shape) {
    auto& extent = *tensor.mutable_shape()->add_dim();
    if (dim.is_constant())
      extent.set_dim_value(dim.constant());
    else
      extent.set_dim_param(dim.text());
  }
}

OnnxWeight transposed(const OnnxWeight& weight, std::span<const int64_t> permutation) {
  OnnxWeight result{{}, std::vector<float>(weight.data.size())};
  const size_t rank = weight.shape.size();
  Integers strides(rank, 1), steps;
  for (size_t i = rank; i-- > 1;) strides[i - 1] = strides[i] * weight.shape[i];
  for (int64_t axis : permutation) {
    result.shape.push_back(weight.shape[static_cast<size_t>(axis)]);
    steps.push_back(strides[static_cast<size_t>(axis)]);
  }
  Integers index(rank, 0);
  for (float& element : result.data) {
    int64_t from = 0;
    for (size_t i = 0; i < rank; ++i) from += index[i] * steps[i];
    element = weight.data[static_cast<size_t>(from)];
    for (size_t i = rank; i-- > 0 && ++index[i] == result.shape[i];) index[i] = 0;
  }
  return result;
}

// --- the graph's ends ---

OnnxValue OnnxWriter::input(const std::string& name, const Type& type, Narrow narrow) {
  reserve(name);
  set_type(*graph_->add_input(), name, type, type_number({type.dtype, narrow}));
  for (size_t axis = 0; axis < type.shape.size(); ++axis)
    if (const auto symbol = type.shape[axis].as_symbol())
      symbol_sources_.try_emplace(*symbol, name, static_cast<int64_t>(axis));
  return {narrow == Narrow::none ? name : widened(name, narrow), {}};
}

void OnnxWriter::output(const OnnxValue& value, const std::string& name, const Type& type, Narrow narrow) {
  set_origin(name);
  std::string tensor = plain(value);
  if (narrow != Narrow::none) tensor = narrowed(tensor, narrow);
  if (!produced_.count(tensor) || renamed_.count(tensor)) tensor = side_node("Identity", {tensor});
  renamed_[tensor] = name;
  set_type(*graph_->add_output(), name, type, type_number({type.dtype, narrow}));
}

OnnxValue OnnxWriter::parameter(const std::string& path, DType dtype, std::vector<int64_t> shape,
                                std::span<const std::byte> bytes) {
  const std::string name = "weight\n" + path;
  if (dtype == DType::f32) {
    OnnxWeight known{shape, std::vector<float>(bytes.size() / sizeof(float))};
    if (!bytes.empty()) std::memcpy(known.data.data(), bytes.data(), bytes.size());
    weights_[name] = std::move(known);
  }
  parameters_[name] = {path, dtype, std::move(shape), bytes, Narrow::none};
  return {name, {}};
}

OnnxValue OnnxWriter::state(const std::string& name, const Type& type, double initial) {
  reserve(name);
  set_type(*graph_->add_input(), name, type, type_number(type.dtype));
  onnx::TensorProto& tensor = *graph_->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx_type_of(type.dtype));
  std::vector<std::byte> bytes;
  int64_t elements = 1;
  for (const Dim& dim : type.shape) {
    tensor.add_dims(dim.constant());
    elements *= dim.constant();
  }
  const std::vector<std::byte> element = element_bytes(initial, type.dtype);
  for (int64_t i = 0; i < elements; ++i) bytes.insert(bytes.end(), element.begin(), element.end());
  tensor.set_raw_data(bytes.data(), bytes.size());
  return {name, {}};
}

// Nodes whose outputs nobody reads: casts of what is read as it was.
void OnnxWriter::drop_unread() {
  std::set<std::string> read;
  const std::function<void(const onnx::GraphProto&)> read_of = [&](const onnx::GraphProto& graph) {
    for (const auto& output : graph.output()) read.insert(output.name());
    for (const auto& node : graph.node()) {
      read.insert(node.input().begin(), node.input().end());
      for (const auto& attribute : node.attribute())
        if (attribute.has_g()) read_of(attribute.g());
    }
  };
  for (const auto& [name, output] : renamed_) read.insert(name);
  std::vector<onnx::NodeProto> kept;
  auto& nodes = *graph_->mutable_node();
  for (int i = nodes.size(); i-- > 0;) {
    const auto is_read = [&](const std::string& name) { return read.contains(name); };
    if (std::none_of(nodes[i].output().begin(), nodes[i].output().end(), is_read)) continue;
    read.insert(nodes[i].input().begin(), nodes[i].input().end());
    for (const auto& attribute : nodes[i].attribute())
      if (attribute.has_g()) read_of(attribute.g());
    kept.push_back(std::move(nodes[i]));
  }
  nodes.Clear();
  for (size_t i = kept.size(); i-- > 0;) *nodes.Add() = std::move(kept[i]);
}

void OnnxWriter::finish() {
  drop_unread();
  const std::function<void(const onnx::GraphProto&)> add_weights = [&](const onnx::GraphProto& graph) {
    for (const auto& node : graph.node()) {
      for (const std::string& input : node.input()) {
        const auto found = parameters_.find(input);
        if (found == parameters_.end() || renamed_.count(input)) continue;
        const Parameter& weight = found->second;
        renamed_[input] = initializer(weight.path, {weight.dtype, weight.narrow}, weight.shape, weight.bytes);
      }
      for (const auto& attribute : node.attribute())
        if (attribute.has_g()) add_weights(attribute.g());
    }
  };
  add_weights(*graph_);
  rename(*graph_, renamed_);
}

// --- nodes ---

std::string OnnxWriter::unique_value(const std::string& wanted) {
  std::string name = wanted;
  for (int i = 1; !value_names_.insert(name).second; ++i) name = wanted + "_" + std::to_string(i);
  return name;
}

std::string OnnxWriter::node_name(const std::string& type, bool side) {
  if (!side && !origin_.empty() && node_names_.insert(origin_).second) return origin_;
  const std::string wanted = origin_.empty() ? type : origin_ + "/" + type;
  std::string name = wanted;
  for (int i = 1; !node_names_.insert(name).second; ++i) name = wanted + "_" + std::to_string(i);
  return name;
}

std::vector<std::string> OnnxWriter::nodes(const std::string& type, std::vector<std::string> inputs,
                                           const OnnxAttributes& attributes, size_t outputs) {
  onnx::NodeProto& node = *graph_->add_node();
  node.set_name(node_name(type, false));
  node.set_op_type(type);
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
  for (const std::string& input : inputs) node.add_input(input);
  for (const auto& [name, value] : attributes) set_attribute(node, name, value);
  std::vector<std::string> made;
  for (size_t i = 0; i < outputs; ++i) {
    made.push_back(unique_value(node.name() + (i == 0 ? "" : "." + std::to_string(i))));
    node.add_output(made.back());
    if (outer_caches_.empty()) produced_.insert(made.back());
  }
  return made;
}

std::string OnnxWriter::node(const std::string& type, std::vector<std::string> inputs, const OnnxAttributes& attributes) {
  return nodes(type, std::move(inputs), attributes, 1).front();
}

std::string OnnxWriter::side_node(const std::string& type, std::vector<std::string> inputs,
                                  const OnnxAttributes& attributes) {
  onnx::NodeProto& node = *graph_->add_node();
  node.set_name(node_name(type, true));
  node.set_op_type(type);
  for (const std::string& input : inputs) node.add_input(input);
  for (const auto& [name, value] : attributes) set_attribute(node, name, value);
  const std::string made = unique_value(node.name());
  node.add_output(made);
  if (outer_caches_.empty()) produced_.insert(made);
  return made;
}

std::string OnnxWriter::cached(const std::string& type, std::vector<std::string> inputs, const OnnxAttributes& attributes) {
  std::string& known = cache_[key_of(type, inputs, attributes)];
  if (known.empty()) known = side_node(type, std::move(inputs), attributes);
  return known;
}

onnx::GraphProto* OnnxWriter::enter_body(onnx::GraphProto* body) {
  outer_caches_.push_back(cache_);
  return std::exchange(graph_, body);
}

void OnnxWriter::leave_body(onnx::GraphProto* outer) {
  cache_ = std::move(outer_caches_.back());
  outer_caches_.pop_back();
  graph_ = outer;
}

void OnnxWriter::problem(const std::string& what) {
  const std::string text = (origin_.empty() ? std::string("the model") : "'" + origin_ + "'") + ": " + what;
  if (std::find(problems_.begin(), problems_.end(), text) == problems_.end()) problems_.push_back(text);
}

// --- tensors ---

std::string OnnxWriter::plain(const OnnxValue& value) { return ordered(value, identity(value.permutation.size())); }

std::string OnnxWriter::ordered(const OnnxValue& value, Integers order) {
  if (!value.permutation.empty())
    for (int64_t& axis : order) axis = value.permutation[static_cast<size_t>(axis)];
  if (order == identity(order.size())) return value.name;
  return cached("Transpose", {value.name}, {{"perm", order}});
}

OnnxValue OnnxWriter::from_ordered(std::string name, const Integers& order) {
  if (order == identity(order.size())) return {std::move(name), {}};
  return {std::move(name), inverse(order)};
}

std::string OnnxWriter::initializer(const std::string& name, ElementType type, std::span<const int64_t> shape,
                                    std::span<const std::byte> bytes) {
  onnx::TensorProto tensor;
  tensor.set_data_type(onnx_type_of(type));
  for (int64_t extent : shape) tensor.add_dims(extent);
  const std::vector<std::byte> narrow = type.narrow == Narrow::none ? std::vector<std::byte>() : narrow_elements(bytes, type.narrow);
  const std::span<const std::byte> stored = type.narrow == Narrow::none ? bytes : std::span(narrow);
  const std::string_view content(reinterpret_cast<const char*>(stored.data()), stored.size());
  auto& all = *model_.mutable_graph()->mutable_initializer();
  const std::string key = name + '\n' + tensor.SerializeAsString() + '\n' + std::to_string(std::hash<std::string_view>()(content));
  const auto [known, is_new] = initializers_.try_emplace(key, all.size());
  if (!is_new && all[known->second].raw_data() == content) return all[known->second].name();
  tensor.set_raw_data(stored.data(), stored.size());
  tensor.set_name(unique_value(name));
  all.Add()->Swap(&tensor);
  return all[all.size() - 1].name();
}

std::string OnnxWriter::weight(const std::string& name, const OnnxWeight& weight) {
  const std::string made = initializer(name, DType::f32, weight.shape, std::as_bytes(std::span(weight.data)));
  weights_.try_emplace(made, weight);
  return made;
}

const OnnxWeight* OnnxWriter::find_weight(const OnnxValue& value) const {
  const auto found = value.permutation.empty() ? weights_.find(value.name) : weights_.end();
  return found == weights_.end() ? nullptr : &found->second;
}

std::string OnnxWriter::integers(const Integers& values) {
  const int64_t count = static_cast<int64_t>(values.size());
  return initializer("integers", DType::i64, {&count, 1}, std::as_bytes(std::span(values)));
}

std::string OnnxWriter::number(double value, DType dtype) {
  return initializer("number", dtype, {}, element_bytes(value, dtype));
}

std::string OnnxWriter::filled(double value, const Integers& shape, DType dtype) {
  std::vector<std::byte> bytes;
  const std::vector<std::byte> element = element_bytes(value, dtype);
  for (int64_t i = element_count(shape); i-- > 0;) bytes.insert(bytes.end(), element.begin(), element.end());
  return initializer("filled", dtype, shape, bytes);
}

std::string OnnxWriter::as_type(const std::string& name, DType from, DType to) {
  return from == to ? name : cached("Cast", {name}, {{"to", int64_t{onnx_type_of(to)}}});
}

std::string OnnxWriter::widened(const std::string& name, Narrow narrow) {
  type_number({held_in(narrow), narrow});
  const std::string wide = side_node("Cast", {name}, {{"to", int64_t{onnx_type_of(held_in(narrow))}}});
  narrow_sources_[wide] = {name, narrow};
  return wide;
}

std::string OnnxWriter::narrowed(const std::string& name, Narrow narrow, const OnnxAttributes& rule) {
  if (const auto source = narrow_sources_.find(name); source != narrow_sources_.end() && source->second.second == narrow)
    return source->second.first;
  OnnxAttributes attributes = {{"to", type_number({held_in(narrow), narrow})}};
  attributes.insert(attributes.end(), rule.begin(), rule.end());
  return cached("Cast", {name}, attributes);
}

std::string OnnxWriter::narrow_parameter(const OnnxValue& parameter, Narrow narrow) {
  const std::string name = parameter.name + "\n" + std::string(narrow_name(narrow));
  Parameter one = parameters_.at(parameter.name);
  one.narrow = narrow;
  type_number({one.dtype, narrow});
  parameters_[name] = std::move(one);
  return name;
}

int64_t OnnxWriter::type_number(ElementType type) {
  if (const int64_t least = onnx_opset_of(type); opset_ < least)
    problem("the element type " + std::string(narrow_numpy_name(type.narrow)) + " came with ONNX's operator set " +
            std::to_string(least));
  return onnx_type_of(type);
}

// --- dimensions ---

std::string OnnxWriter::dim(const Dim& dim) {
  if (dim.is_constant()) return integers({dim.constant()});
  const auto of_factor = [&](const DimFactor& factor) {
    if (factor.kind == DimFactor::Kind::symbol) {
      const auto source = symbol_sources_.find(factor.symbol);
      if (source == symbol_sources_.end()) {
        problem("the extent '" + factor.symbol + "' cannot be read off any input");
        return integers({1});
      }
      return cached("Gather", {cached("Shape", {source->second.first}), integers({source->second.second})},
                    {{"axis", int64_t{0}}});
    }
    const std::string left = this->dim(*factor.left), right = this->dim(*factor.right);
    if (factor.kind == DimFactor::Kind::max) return cached("Max", {left, right});
    if (factor.kind == DimFactor::Kind::floor_div) return cached("Div", {left, right});
    return cached("Div", {this->dim(*factor.left + *factor.right - 1), right});
  };
  std::string sum;
  for (const DimTerm& term : dim.terms()) {
    std::string product = term.coefficient == 1 && !term.factors.empty() ? "" : integers({term.coefficient});
    for (const DimFactor& factor : term.factors) {
      const std::string value = of_factor(factor);
      product = product.empty() ? value : cached("Mul", {value, product});
    }
    sum = sum.empty() ? product : cached("Add", {sum, product});
  }
  return sum;
}

std::string OnnxWriter::dims(const Shape& shape) {
  std::vector<std::string> parts;
  Integers numbers;
  const auto flush = [&] {
    if (!numbers.empty()) parts.push_back(integers(numbers));
    numbers.clear();
  };
  for (const Dim& extent : shape) {
    if (extent.is_constant()) {
      numbers.push_back(extent.constant());
      continue;
    }
    flush();
    parts.push_back(dim(extent));
  }
  flush();
  if (parts.empty()) return integers({});
  return parts.size() == 1 ? parts[0] : cached("Concat", parts, {{"axis", int64_t{0}}});
}

std::string OnnxWriter::reshape(const std::string& name, const Shape& from, const Shape& to, bool side) {
  if (from == to) return name;
  // 0 takes over an extent, -1 is computed; neither can stand where there may be no elements.
  Integers target;
  int open = 0;
  bool empty = false;
  for (size_t i = 0; i < to.size(); ++i) {
    empty = empty || to[i].is_constant(0);
    const bool taken = !to[i].is_constant() && i < from.size() && from[i] == to[i];
    target.push_back(to[i].is_constant() ? to[i].constant() : taken ? 0 : -1);
    open += target.back() == -1;
  }
  const std::string shape = open <= 1 && !empty ? integers(target) : dims(to);
  OnnxAttributes attributes;
  if (empty && opset_ >= 14) attributes.emplace_back("allowzero", int64_t{1});
  return side ? cached("Reshape", {name, shape}, attributes) : node("Reshape", {name, shape}, attributes);
}

// --- graphs ---

OnnxValue OnnxWriter::activate(const OnnxValue& value, const Type& type, const AttributeValue& activation) {
  return write({&value, 1}, {&type, 1}, [&](Builder&, std::span<const Value> x) {
           return std::vector<Value>{apply_activation(x[0], activation)};
         })
      .front();
}

std::vector<OnnxValue> OnnxWriter::write_graph(const Graph& graph, std::span<const OnnxValue> inputs,
                                               std::span<const OnnxGraphPart> parts) {
  std::vector<OnnxValue> values(graph.types.size());
  for (size_t i = 0; i < graph.inputs.size(); ++i) values[graph.inputs[i].value] = inputs[i];
  const std::string around = origin_;
  const auto write_part = [&](const OnnxGraphPart& part) {
    std::vector<OnnxValue> given;
    for (ValueId id : part.inputs) given.push_back(values[id]);
    const std::vector<OnnxValue> outputs = part.write(given);
    for (size_t i = 0; i < outputs.size(); ++i) values[part.outputs[i]] = outputs[i];
    return !outputs.empty();
  };
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    while (!parts.empty() && parts.front().first < n) parts = parts.subspan(1);
    if (!parts.empty() && parts.front().first == n && parts.front().behind > n && write_part(parts.front())) {
      n = parts.front().behind - 1;
      continue;
    }
    const Node& node = graph.nodes[n];
    if (!node.origin.empty()) origin_ = node.origin;
    std::vector<OnnxValue> given;
    std::vector<Type> types, output_types;
    for (ValueId id : node.inputs) {
      given.push_back(id == no_value ? OnnxValue{} : values[id]);
      types.push_back(id == no_value ? Type{} : graph.type(id));
    }
    for (ValueId id : node.outputs) output_types.push_back(graph.type(id));
    const std::vector<OnnxValue> outputs = write_op(*node.op, node.attributes, given, types, output_types, node.bodies);
    for (size_t i = 0; i < node.outputs.size(); ++i) values[node.outputs[i]] = outputs[i];
  }
  origin_ = around;
  std::vector<OnnxValue> results;
  for (const GraphResult& result : graph.results) results.push_back(values[result.value]);
  return results;
}

std::vector<OnnxValue> OnnxWriter::write_op(const Op& op, const Attributes& attributes, std::span<const OnnxValue> inputs,
                                            std::span<const Type> types, std::span<const Type> output_types,
                                            std::span<const Graph> bodies) {
  OnnxOpWriter one{*this, op, attributes, inputs, types, output_types, bodies};
  const OnnxWrite write_one = find_onnx_write(op.name);
  std::vector<OnnxValue> outputs;
  if (write_one != nullptr && write_one(one)) {
    outputs = std::move(one.outputs);
  } else if (op.expand) {
    std::vector<OnnxValue> present;
    std::vector<Type> present_types;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i]) continue;
      present.push_back(inputs[i]);
      present_types.push_back(types[i]);
    }
    outputs = write(present, present_types, [&](Builder& builder, std::span<const Value> given) {
      std::vector<Value> all;
      size_t next = 0;
      for (const OnnxValue& input : inputs) all.push_back(input ? given[next++] : Value{});
      return op.expand(builder, all, attributes);
    });
  } else {
    problem("the op '" + std::string(op.name) + "' has no counterpart in ONNX");
  }
  outputs.resize(output_types.size(), {"unsupported", {}});
  return outputs;
}

// --- one node ---

size_t OnnxOpWriter::index(std::string_view input) const {
  for (size_t i = 0; i < op.inputs.size(); ++i)
    if (op.inputs[i].name == input) return i;
  throw InternalError("'" + std::string(op.name) + "' has no input '" + std::string(input) + "'");
}

OnnxValue OnnxOpWriter::find(std::string_view input) const {
  const size_t at = index(input);
  return at < inputs.size() ? inputs[at] : OnnxValue{};
}

bool OnnxOpWriter::has_mask() const {
  for (size_t i = 0; i < op.inputs.size() && i < inputs.size(); ++i)
    if (op.inputs[i].name == "mask" && inputs[i]) return true;
  return false;
}

OnnxWrite find_onnx_write(std::string_view op) {
  static const std::map<std::string_view, OnnxWrite> entries = [] {
    std::map<std::string_view, OnnxWrite> all;
    for (const auto family : {onnx_write_elementwise(), onnx_write_tensors(), onnx_write_layers(), onnx_write_spatial(),
                              onnx_write_recurrent()})
      for (const OnnxWriteEntry& entry : family) all.emplace(entry.op, entry.write);
    return all;
  }();
  const auto found = entries.find(op);
  return found == entries.end() ? nullptr : found->second;
}

}  // namespace moru
