// Translated nodes as layers of the model: their graphs, weights and records, and what of them is kept.
#include <algorithm>
#include <set>

#include "compiler/exchange/onnx/onnx_graph.h"
#include "compiler/exchange/onnx/onnx_record.h"
#include "compiler/interpret/reference.h"
#include "compiler/ir/symbols.h"
#include "compiler/support/elements.h"

namespace moru {

namespace {

constexpr int64_t max_folded = int64_t{1} << 20;  // elements of a value that is computed while importing

std::vector<std::byte> bytes_of(const KnownValue& value) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < value.elements(); ++i) {
    switch (value.dtype) {
      case DType::f32:
        append_bytes(bytes, static_cast<float>(value.reals[i]));
        break;
      case DType::f64:
        append_bytes(bytes, value.reals[i]);
        break;
      case DType::i32:
        append_bytes(bytes, static_cast<int32_t>(value.dims[i].constant()));
        break;
      case DType::i64:
        append_bytes(bytes, value.dims[i].constant());
        break;
      case DType::boolean:
        append_bytes(bytes, static_cast<uint8_t>(value.dims[i].constant() != 0));
        break;
      case DType::bf16:  // held in f32
        break;
    }
  }
  return bytes;
}

Parameter make_table(std::string name, const KnownValue& values) {
  Parameter parameter{.name = std::move(name), .shape = values.shape, .trainable = false};
  parameter.dtype = values.dtype;
  if (values.dtype == DType::f32)
    parameter.data.assign(values.reals.begin(), values.reals.end());
  else
    parameter.raw = bytes_of(values);
  return parameter;
}

Parameter weight_of(const std::string& name, const StoredTensor& tensor) {
  Parameter parameter{.name = printable(name), .shape = tensor.shape};
  parameter.dtype = tensor.dtype.dtype;
  parameter.trainable = parameter.dtype == DType::f32;
  if (parameter.trainable)
    parameter.data = tensor.floats();
  else
    parameter.raw = tensor.bytes();
  return parameter;
}

}  // namespace

bool has_symbols(const Graph& graph) {
  for (const Type& type : graph.types)
    if (!is_constant(type.shape)) return true;
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) { return has_symbols(node.attributes); });
}

void OnnxGraph::add_layer(Layer layer, std::vector<TensorRef> inputs, const std::vector<uint32_t>& outputs) {
  ModelNode node{.layer = static_cast<uint32_t>(model_.layers.size()), .inputs = std::move(inputs), .name = layer.name};
  const auto index = static_cast<uint32_t>(model_.nodes.size());
  if (layer.body)
    for (const GraphResult& result : layer.body->results) node.outputs.push_back(layer.body->type(result.value));
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] == UINT32_MAX) continue;
    values_[outputs[i]].has_ref = true;
    values_[outputs[i]].ref = {index, static_cast<uint32_t>(i)};
  }
  model_.layers.push_back(std::move(layer));
  model_.nodes.push_back(std::move(node));
}

bool OnnxGraph::owns_initializer(uint32_t id) const {
  const auto found = uses_.find(values_[id].name);
  return found == uses_.end() || found->second <= 1;
}

StoredTensor OnnxGraph::initializer(uint32_t id) const {
  const Value& value = values_[id];
  const auto place = file_.values.find(value.initializer);
  return {*value.initializer, folder_, "the initializer '" + value.name + "'",
          place == file_.values.end() ? nullptr : &place->second};
}

void OnnxGraph::make_parameter_layer(uint32_t id) {
  if (values_[id].has_ref) return;
  auto body = std::make_shared<Graph>();
  body->add_result(body->add_input(values_[id].type, {}));
  Layer layer{.name = unique_name(values_[id].name, "Parameter"), .class_name = "Parameter"};
  layer.parameters.push_back(weight_of("value", initializer(id)));
  layer.body = std::move(body);
  add_layer(std::move(layer), {}, {id});
}

// Whether everything that the node computes follows from constants that are no weights, and is small enough to keep.
bool OnnxGraph::fold(const OnnxNode& node, const Graph& body) {
  if (!node.read_order_.empty() || has_symbols(body)) return false;
  int64_t elements = 0;
  for (const OnnxNode::Output& output : node.outputs_)
    if (output.value) {
      std::vector<int64_t> shape;
      for (const Dim& dim : body.type(output.value.id).shape) shape.push_back(dim.constant());
      elements += checked_elements(shape, "a result");
    }
  // Values that are all equal stay a fill; anything else is worth computing once.
  return elements <= max_folded && !body.nodes.empty() && (elements <= 64 || body.nodes.back().op->name != "fill");
}

// None where an input is neither a tensor that the layer reads, nor a weight of it, nor known.
AttributeValue OnnxGraph::record_node(const OnnxNode& node, const std::vector<uint32_t>& tensors,
                                      const std::map<uint32_t, std::string>& weights,
                                      const std::vector<uint32_t>& outputs) {
  using Kind = OnnxRecordInput::Kind;
  if (!node.is_original_) return {};
  std::vector<OnnxRecordInput> inputs;
  for (uint32_t id : node.inputs_) {
    OnnxRecordInput input;
    if (id != UINT32_MAX) {
      input.narrow = values_[id].narrow;
      const auto tensor = std::find(tensors.begin(), tensors.end(), id);
      const auto weight = weights.find(id);
      if (tensor != tensors.end()) {
        input.kind = Kind::tensor;
        input.tensor = static_cast<size_t>(tensor - tensors.begin());
      } else if (weight != weights.end()) {
        input.kind = Kind::weight;
        input.weight = weight->second;
      } else {
        input.kind = Kind::constant;
        input.constant = values_[id].known;
        if (!input.constant && values_[id].initializer) input.constant = find_known(id);
        if (!input.constant) return {};
      }
    }
    inputs.push_back(std::move(input));
  }
  std::vector<int64_t> places;
  for (uint32_t id : outputs)
    for (int i = 0; i < node.proto_.output_size(); ++i)
      if (node.proto_.output(i) == values_[id].name) places.push_back(i);
  if (places.size() != outputs.size()) return {};
  return record_onnx_node(node.proto_, node.version(), inputs, places);
}

void OnnxGraph::finish(OnnxNode& node, Scope& scope) {
  const onnx::NodeProto& proto = node.proto_;
  std::vector<uint32_t> outputs;
  for (int i = 0; i < proto.output_size(); ++i) {
    const auto index = static_cast<size_t>(i);
    if (proto.output(i).empty()) continue;
    const bool made = index < node.outputs_.size() && (node.outputs_[index].known || node.outputs_[index].value);
    if (!made) node.fail("its output '" + printable(proto.output(i)) + "' is not supported");
  }
  auto body = std::make_shared<Graph>(std::move(node.body_));
  // Tensors stand before parameters.
  std::stable_partition(body->inputs.begin(), body->inputs.end(), [&](const GraphInput& input) {
    return std::any_of(node.read_order_.begin(), node.read_order_.end(),
                       [&](uint32_t id) { return node.read_.at(id).id == input.value && values_[id].has_ref; });
  });
  Step step{};
  std::vector<TensorRef> refs;
  Layer layer{.name = node.name(), .class_name = proto.op_type()};
  std::map<uint32_t, size_t> weight_places;
  for (const GraphInput& input : body->inputs) {
    for (uint32_t id : node.read_order_) {
      if (node.read_.at(id).id != input.value) continue;
      if (values_[id].has_ref) {
        step.tensors.push_back(id);
        refs.push_back(values_[id].ref);
      } else {
        weight_places[id] = layer.parameters.size();
        layer.parameters.push_back(weight_of(values_[id].name, initializer(id)));
        if (std::find(node.frozen_.begin(), node.frozen_.end(), id) != node.frozen_.end())
          layer.parameters.back().trainable = false;
      }
    }
    for (const OnnxNode::Table& table : node.tables_)
      if (table.value.id == input.value) layer.parameters.push_back(make_table(table.name, *table.values));
  }
  std::set<std::string> parameter_names;
  for (Parameter& parameter : layer.parameters)
    while (!parameter_names.insert(parameter.name).second) parameter.name += "_";
  std::map<uint32_t, std::string> weight_names;
  for (const auto& [id, place] : weight_places) weight_names[id] = layer.parameters[place].name;
  for (Node& op : body->nodes) op.origin.clear();
  step.layer = model_.layers.size();

  const bool folded = fold(node, *body);
  std::vector<HostTensor> numbers;
  for (size_t i = 0; i < node.outputs_.size(); ++i) {
    if (i >= static_cast<size_t>(proto.output_size()) || proto.output(static_cast<int>(i)).empty()) continue;
    const OnnxNode::Output& output = node.outputs_[i];
    Value value{.name = proto.output(static_cast<int>(i)), .class_name = proto.op_type(), .origin = node.name()};
    if (output.known) {
      value.known = output.known;
      value.narrow = output.known->narrow;
      value.type = {output.known->dtype, Shape(output.known->shape.begin(), output.known->shape.end())};
    } else {
      value.type = body->type(output.value.id);
      value.narrow = output.narrow;
      if (folded && numbers.empty()) {
        for (const OnnxNode::Output& o : node.outputs_)
          if (o.value) body->add_result(o.value.id);
        std::vector<HostTensor> tables;
        for (const Parameter& parameter : layer.parameters)
          tables.push_back(host_of(*known_of(parameter.dtype, parameter.shape, parameter.bytes())));
        numbers = interpret_graph(*body, tables);
      }
      if (folded) {
        size_t at = 0;
        for (size_t k = 0; k < i; ++k) at += static_cast<bool>(node.outputs_[k].value);
        value.known = known_of(numbers.at(at));
      } else {
        value.step = static_cast<int64_t>(steps_.size());
        value.output = static_cast<uint32_t>(body->results.size());
        body->add_result(output.value.id);
      }
    }
    const uint32_t id = add_value(std::move(value));
    if (!values_[id].known) outputs.push_back(id);
    scope[proto.output(static_cast<int>(i))] = id;
  }
  if (outputs.empty()) return;
  std::vector<std::string> stored;
  bool is_narrow = false;
  for (uint32_t id : outputs) {
    stored.emplace_back(narrow_name(values_[id].narrow));
    is_narrow = is_narrow || values_[id].narrow != Narrow::none;
  }
  if (is_narrow) layer.attributes.set("stored_as", std::move(stored));
  if (AttributeValue record = record_node(node, step.tensors, weight_names, outputs); !record.is_none())
    layer.attributes.set(std::string(onnx_record_attribute), std::move(record));
  step.body = body;
  steps_.push_back(std::move(step));
  layer.body = std::move(body);
  add_layer(std::move(layer), std::move(refs), outputs);
}

// A constant that is an output becomes a layer of its own.
TensorRef OnnxGraph::ref_of_output(uint32_t id, const std::string& name) {
  if (values_[id].has_ref && model_.layers[model_.nodes[values_[id].ref.node].layer].class_name != "InputLayer")
    return values_[id].ref;
  const Value source = values_[id];
  if (source.initializer && !source.known) {
    make_parameter_layer(id);
    return values_[id].ref;
  }
  onnx::NodeProto& identity = expanded_.emplace_back();
  identity.set_op_type(source.known ? source.class_name : "Identity");
  identity.add_output(name);
  OnnxNode node(*this, identity, {id}, 1, unique_name(source.known ? source.origin : name, "Identity"));
  node.set_as(0, node.raw(0), {source.type.dtype, source.narrow});
  auto body = std::make_shared<Graph>(std::move(node.body_));
  for (Node& op : body->nodes) op.origin.clear();
  body->add_result(node.outputs_[0].value.id);
  Layer layer{.name = node.name(), .class_name = identity.op_type()};
  for (const OnnxNode::Table& table : node.tables_) layer.parameters.push_back(make_table(table.name, *table.values));
  layer.body = std::move(body);
  if (source.narrow != Narrow::none)
    layer.attributes.set("stored_as", std::vector<std::string>{std::string(narrow_name(source.narrow))});
  std::vector<TensorRef> refs;
  if (source.has_ref) refs.push_back(source.ref);
  const uint32_t made = add_value({.name = name, .type = source.type});
  add_layer(std::move(layer), std::move(refs), {made});
  return values_[made].ref;
}

// Leaves out layers that no output needs: those whose results were only wanted as numbers.
void OnnxGraph::prune() {
  std::vector<bool> needed(model_.nodes.size(), false);
  for (const TensorRef& ref : model_.outputs) needed[ref.node] = true;
  for (const TensorRef& ref : model_.inputs) needed[ref.node] = true;
  for (size_t n = model_.nodes.size(); n-- > 0;)
    if (needed[n])
      for (const TensorRef& ref : model_.nodes[n].inputs) needed[ref.node] = true;
  std::vector<uint32_t> place(model_.nodes.size(), 0);
  Model kept;
  kept.name = model_.name;
  kept.source = model_.source;
  kept.dialect = model_.dialect;
  kept.output_names = model_.output_names;
  for (size_t n = 0; n < model_.nodes.size(); ++n) {
    if (!needed[n]) continue;
    place[n] = static_cast<uint32_t>(kept.nodes.size());
    ModelNode node = std::move(model_.nodes[n]);
    kept.layers.push_back(std::move(model_.layers[node.layer]));
    node.layer = place[n];
    for (TensorRef& ref : node.inputs) ref.node = place[ref.node];
    kept.nodes.push_back(std::move(node));
  }
  for (TensorRef ref : model_.inputs) kept.inputs.push_back({place[ref.node], ref.output});
  for (TensorRef ref : model_.outputs) kept.outputs.push_back({place[ref.node], ref.output});
  model_ = std::move(kept);
}

}  // namespace moru
