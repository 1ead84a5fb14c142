#include "compiler/exchange/onnx/onnx_graph.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "compiler/exchange/onnx/onnx_fold.h"
#include "compiler/exchange/onnx/onnx_record.h"
#include "compiler/interpret/reference.h"
#include "compiler/ir/append_graph.h"
#include "compiler/model/infer_model.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

constexpr int max_depth = 24;                     // of functions in functions
constexpr size_t max_nodes = 1'000'000;           // after functions were put in place of their calls
constexpr int64_t max_folded = int64_t{1} << 20;  // elements of a value that is computed while importing

[[noreturn]] void refuse(const std::string& what, const std::string& hint = {}) {
  throw CompileError({.stage = "import", .what = what, .hint = hint});
}

std::string domain_of(const std::string& domain) { return domain == "ai.onnx" ? "" : domain; }

std::string printable(std::string_view name) {
  std::string out;
  for (char c : name) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '_' : c;
  return out;
}

// Symbols are words: "batch_size" stays, "unk__12" too, "sequence length" becomes "sequence_length".
std::string symbol_name(const std::string& name) {
  std::string out;
  for (char c : name) out += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  if (out.empty() || std::isdigit(static_cast<unsigned char>(out[0])) || out == "max" || out == "min" ||
      out == "floor" || out == "ceil" || out == "worker" || out == "workers" || out == "rows")
    out = "dim_" + out;
  return out;
}

std::vector<std::byte> bytes_of(const KnownValue& value) {
  std::vector<std::byte> bytes;
  auto put = [&](auto element) {
    const auto* begin = reinterpret_cast<const std::byte*>(&element);
    bytes.insert(bytes.end(), begin, begin + sizeof element);
  };
  for (size_t i = 0; i < value.elements(); ++i) {
    switch (value.dtype) {
      case DType::f32:
        put(static_cast<float>(value.reals[i]));
        break;
      case DType::f64:
        put(value.reals[i]);
        break;
      case DType::i32:
        put(static_cast<int32_t>(value.dims[i].constant()));
        break;
      case DType::i64:
        put(value.dims[i].constant());
        break;
      case DType::boolean:
        put(static_cast<uint8_t>(value.dims[i].constant() != 0));
        break;
    }
  }
  return bytes;
}

bool is_gradient(const onnx::NodeProto& node) {
  return node.op_type() == "Gradient" && node.domain() == "ai.onnx.preview.training";
}

bool is_constant_shape(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& dim) { return dim.is_constant(); });
}

bool has_symbols(const Graph& graph) {
  return std::any_of(graph.types.begin(), graph.types.end(),
                     [](const Type& type) { return !is_constant_shape(type.shape); });
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

}  // namespace

OnnxGraph::OnnxGraph(const onnx::ModelProto& proto, std::string path, const OnnxImportOptions& options)
    : proto_(proto), path_(std::move(path)), options_(options) {
  const std::filesystem::path file(path_);
  folder_ = file.parent_path().string();
  model_.name = printable(proto.graph().name().empty() ? file.stem().string() : proto.graph().name());
  model_.source = path_;
  model_.dialect = "onnx";
}

Model OnnxGraph::take() {
  check_operators();
  count_uses();
  Scope scope;
  add_inputs(scope);
  translate_nodes(proto_.graph().node(), scope, versions(proto_.opset_import()), "", 0);
  for (const auto& output : proto_.graph().output()) {
    const auto found = scope.find(output.name());
    if (found == scope.end()) refuse("'" + path_ + "' is damaged: no node makes its output '" + output.name() + "'");
    model_.outputs.push_back(ref_of_output(found->second, output.name()));
    model_.output_names.push_back(output.name());
  }
  if (model_.outputs.empty()) refuse("'" + path_ + "' is damaged: it has no outputs");
  prune();
  return std::move(model_);
}

std::map<std::string, int64_t> OnnxGraph::versions(
    const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& sets) const {
  std::map<std::string, int64_t> result;
  for (const auto& set : sets) result[domain_of(set.domain())] = set.version();
  if (!result.count("")) result[""] = 1;
  return result;
}

const onnx::FunctionProto* OnnxGraph::find_function(const onnx::NodeProto& node) const {
  for (const auto& function : proto_.functions())
    if (function.name() == node.op_type() && domain_of(function.domain()) == domain_of(node.domain())) return &function;
  return nullptr;
}

// All that is missing, before anything else happens.
void OnnxGraph::check_operators() const {
  std::map<std::string, std::vector<std::string>> missing;
  const std::function<void(const google::protobuf::RepeatedPtrField<onnx::NodeProto>&,
                           const std::map<std::string, int64_t>&, int)>
      check = [&](const auto& nodes, const auto& sets, int depth) {
        if (depth > max_depth) refuse("'" + path_ + "' nests its graphs too deep");
        for (const onnx::NodeProto& node : nodes) {
          for (const auto& attribute : node.attribute())
            if (attribute.has_g()) check(attribute.g().node(), sets, depth + 1);
          const std::string domain = domain_of(node.domain());
          if (find_function(node) || (domain.empty() && node.op_type() == "If") || is_gradient(node)) continue;
          const auto version = sets.find(domain);
          if (!find_onnx_op(domain, node.op_type(), version == sets.end() ? 1 : version->second))
            missing[(domain.empty() ? "" : domain + "::") + node.op_type()].push_back(
                node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name());
        }
      };
  check(proto_.graph().node(), versions(proto_.opset_import()), 0);
  for (const auto& function : proto_.functions()) check(function.node(), versions(function.opset_import()), 0);
  if (missing.empty()) return;
  std::string list;
  for (const auto& [type, nodes] : missing) {
    list += (list.empty() ? "" : "\n") + type + " (";
    for (size_t i = 0; i < nodes.size() && i < 4; ++i) list += (i ? ", '" : "'") + printable(nodes[i]) + "'";
    list += nodes.size() > 4 ? ", and " + std::to_string(nodes.size() - 4) + " more)" : ")";
  }
  throw CompileError({.stage = "import",
                      .what = "'" + path_ + "' uses operators that are not supported:",
                      .detail = list,
                      .hint = "export the model with other operators, or write these out in simpler ones"});
}

void OnnxGraph::count_uses() {
  const std::function<void(const onnx::GraphProto&, int)> count = [&](const onnx::GraphProto& graph, int depth) {
    if (depth > max_depth) refuse("'" + path_ + "' nests its graphs too deep");
    for (const auto& node : graph.node()) {
      for (const auto& input : node.input()) ++uses_[input];
      for (const auto& attribute : node.attribute())
        if (attribute.has_g()) count(attribute.g(), depth + 1);
    }
    for (const auto& output : graph.output()) uses_[output.name()] += 2;
  };
  count(proto_.graph(), 0);
  // What a function reads more than once is used more than once, and Gradient reads what other nodes do.
  const auto& nodes = proto_.graph().node();
  if (proto_.functions_size() > 0 || std::any_of(nodes.begin(), nodes.end(), is_gradient))
    for (auto& [name, uses] : uses_) uses = 2;
}

std::string OnnxGraph::unique_name(std::string wanted, const std::string& class_name) {
  if (wanted.empty()) {
    for (char c : class_name) wanted += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  wanted = printable(wanted);
  std::string name = wanted;
  for (int i = 1; !layer_names_.insert(name).second; ++i) name = wanted + "_" + std::to_string(i);
  return name;
}

uint32_t OnnxGraph::add_value(Value value) {
  values_.push_back(std::move(value));
  return static_cast<uint32_t>(values_.size() - 1);
}

Type OnnxGraph::input_type(const onnx::ValueInfoProto& info, Narrow& narrow) {
  const std::string what = "the input '" + info.name() + "'";
  if (!info.type().has_tensor_type()) refuse(what + " is no tensor, which is not supported");
  const auto& tensor = info.type().tensor_type();
  const ElementType element = dtype_of_onnx(tensor.elem_type(), what);
  narrow = element.narrow;
  Type type{element.dtype, {}};
  const OnnxBinding* binding = nullptr;
  for (const OnnxBinding& b : options_.bindings)
    if (b.name == info.name() || (b.name.empty() && options_.bindings.size() == 1)) binding = &b;
  if (!tensor.has_shape()) {
    if (!binding) refuse(what + " has no shape", "give the model's inputs, or export it with shapes");
    type.shape.assign(binding->shape.begin(), binding->shape.end());
    return type;
  }
  for (int i = 0; i < tensor.shape().dim_size(); ++i) {
    const auto& dim = tensor.shape().dim(i);
    if (dim.has_dim_value() && dim.dim_value() >= 0) {
      type.shape.emplace_back(dim.dim_value());
    } else if (binding && options_.bind_sizes &&
               binding->shape.size() == static_cast<size_t>(tensor.shape().dim_size())) {
      type.shape.emplace_back(binding->shape[static_cast<size_t>(i)]);
    } else if (!dim.dim_param().empty()) {
      type.shape.push_back(Dim::symbol(symbol_name(dim.dim_param())));
    } else {
      type.shape.push_back(Dim::symbol(i == 0 ? "batch" : "dim_" + std::to_string(++symbols_)));
    }
  }
  std::vector<int64_t> known;
  for (const Dim& dim : type.shape)
    if (dim.is_constant()) known.push_back(dim.constant());
  checked_elements(known, what);
  return type;
}

void OnnxGraph::add_inputs(Scope& scope) {
  const onnx::GraphProto& graph = proto_.graph();
  if (graph.sparse_initializer_size() > 0) refuse("'" + path_ + "' has sparse initializers, which are not supported");
  for (const auto& tensor : graph.initializer()) {
    Value value{.name = tensor.name(), .class_name = "Constant", .origin = tensor.name()};
    const std::string what = "the initializer '" + tensor.name() + "'";
    const ElementType element = dtype_of_onnx(tensor.data_type(), what);
    value.type.dtype = element.dtype;
    value.narrow = element.narrow;
    std::vector<int64_t> shape(tensor.dims().begin(), tensor.dims().end());
    const int64_t elements = checked_elements(shape, what);
    value.type.shape.assign(shape.begin(), shape.end());
    value.initializer = &tensor;
    // Floats with axes are weights; numbers and what shapes are made of are constants.
    if ((!is_float(value.type.dtype) && elements <= 4096) || shape.empty() || elements == 0) {
      const OnnxTensor read = read_onnx_tensor(tensor, folder_, what);
      value.known = known_of(read);
    }
    scope[tensor.name()] = add_value(std::move(value));
  }
  for (const auto& info : graph.input()) {
    if (scope.count(info.name())) continue;  // an initializer fills it
    Narrow narrow = Narrow::none;
    const Type type = input_type(info, narrow);
    Layer layer{.name = info.name(), .class_name = "InputLayer", .attributes = input_layer_attributes(type)};
    if (!layer_names_.insert(layer.name).second)
      refuse("'" + path_ + "' is damaged: two inputs are named '" + layer.name + "'");
    if (narrow != Narrow::none)
      layer.attributes.set("stored_as", std::vector<std::string>{std::string(narrow_name(narrow))});
    Value value{.name = info.name(), .type = type, .narrow = narrow, .class_name = "InputLayer", .origin = info.name()};
    for (const OnnxBinding& b : options_.bindings)
      if ((b.name == info.name() || (b.name.empty() && options_.bindings.size() == 1)) && b.dtype == type.dtype)
        value.bound = known_of(b.dtype, b.shape, b.bytes);
    const uint32_t id = add_value(std::move(value));
    add_layer(std::move(layer), {}, {id});
    model_.nodes.back().outputs = {type};
    model_.inputs.push_back(values_[id].ref);
    scope[info.name()] = id;
  }
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

std::vector<std::byte> OnnxGraph::initializer_bytes(uint32_t id) const {
  const Value& value = values_[id];
  return read_onnx_tensor(*value.initializer, folder_, "the initializer '" + value.name + "'").bytes;
}

namespace {

Parameter weight_of(const std::string& name, const Type& type, std::vector<std::byte> bytes) {
  Parameter parameter{.name = printable(name), .trainable = type.dtype == DType::f32};
  for (const Dim& dim : type.shape) parameter.shape.push_back(dim.constant());
  parameter.dtype = type.dtype;
  if (type.dtype == DType::f32) {
    parameter.data.resize(bytes.size() / sizeof(float));
    std::memcpy(parameter.data.data(), bytes.data(), bytes.size());
  } else {
    parameter.raw = std::move(bytes);
  }
  return parameter;
}

}  // namespace

void OnnxGraph::make_parameter_layer(uint32_t id) {
  if (values_[id].has_ref) return;
  auto body = std::make_shared<Graph>();
  body->add_result(body->add_input(values_[id].type, {}));
  Layer layer{.name = unique_name(values_[id].name, "Parameter"), .class_name = "Parameter"};
  layer.parameters.push_back(weight_of("value", values_[id].type, initializer_bytes(id)));
  layer.body = std::move(body);
  add_layer(std::move(layer), {}, {id});
}

Known OnnxGraph::find_known(uint32_t id, int depth) {
  if (id == UINT32_MAX) return nullptr;
  if (values_[id].known) return values_[id].known;
  if (values_[id].bound) return values_[id].bound;
  if (values_[id].initializer)
    return values_[id].bound =
               known_of(values_[id].type.dtype, weight_of("", values_[id].type, {}).shape, initializer_bytes(id));
  if (values_[id].step < 0 || depth > 200) return nullptr;
  const Step step = steps_[static_cast<size_t>(values_[id].step)];
  if (has_symbols(*step.body)) return nullptr;
  std::vector<HostTensor> inputs;
  for (uint32_t tensor : step.tensors) {
    const Known known = find_known(tensor, depth + 1);
    if (!known || known->is_symbolic()) return nullptr;
    inputs.push_back(host_of(*known));
  }
  for (const Parameter& parameter : step.parameters)
    inputs.push_back(host_of(*known_of(parameter.dtype, parameter.shape, parameter.bytes())));
  const std::vector<HostTensor> outputs = interpret_graph(*step.body, inputs);
  return values_[id].bound = known_of(outputs.at(values_[id].output));
}

void OnnxGraph::translate_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, Scope& scope,
                                const std::map<std::string, int64_t>& sets, const std::string& prefix, int depth) {
  if (depth > max_depth) refuse("'" + path_ + "' nests its functions too deep");
  // A file need not list its nodes in order, though the standard says so.
  for (const onnx::NodeProto& node : nodes) translate_node(node, scope, sets, prefix, depth);
}

namespace {

void add_outer_names(const onnx::GraphProto& graph, std::set<std::string> inside, std::vector<std::string>& names, int depth);

// What a node's graphs read from around them, once each.
void add_outer_names(const onnx::NodeProto& node, const std::set<std::string>& inside, std::vector<std::string>& names,
                     int depth) {
  for (const auto& attribute : node.attribute())
    if (attribute.has_g()) add_outer_names(attribute.g(), inside, names, depth + 1);
}

void add_outer_names(const onnx::GraphProto& graph, std::set<std::string> inside, std::vector<std::string>& names, int depth) {
  if (depth > max_depth) refuse("the model nests its graphs too deep");
  const auto read = [&](const std::string& name) {
    if (!name.empty() && !inside.count(name) && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  };
  for (const auto& input : graph.input()) inside.insert(input.name());
  for (const auto& tensor : graph.initializer()) inside.insert(tensor.name());
  for (const auto& node : graph.node()) {
    for (const std::string& input : node.input()) read(input);
    add_outer_names(node, inside, names, depth);
    for (const std::string& output : node.output()) inside.insert(output);
  }
  for (const auto& output : graph.output()) read(output.name());
}

std::vector<std::string> outer_names(const onnx::NodeProto& node) {
  std::vector<std::string> names;
  add_outer_names(node, {}, names, 0);
  return names;
}

}  // namespace

void OnnxGraph::translate_node(const onnx::NodeProto& node, Scope& scope, const std::map<std::string, int64_t>& sets,
                               const std::string& prefix, int depth) {
  if (++translated_ > max_nodes) refuse("'" + path_ + "' has too many nodes");
  if (const onnx::FunctionProto* function = find_function(node))
    return call_function(*function, node, scope, prefix, depth);
  if (domain_of(node.domain()).empty() && node.op_type() == "If") return take_branch(node, scope, sets, prefix, depth);
  std::vector<uint32_t> inputs;
  for (const std::string& input : node.input()) {
    if (input.empty()) {
      inputs.push_back(UINT32_MAX);
      continue;
    }
    const auto found = scope.find(input);
    if (found == scope.end())
      refuse("'" + path_ + "' is damaged: the node '" + printable(node.name()) + "' (" + node.op_type() + ") reads '" +
             printable(input) + "', which no node before it makes");
    inputs.push_back(found->second);
  }
  std::vector<std::string> captured;
  for (const std::string& name : outer_names(node)) {
    const auto found = scope.find(name);
    if (found == scope.end())
      refuse("'" + path_ + "' is damaged: the body of '" + printable(node.name()) + "' reads '" + printable(name) +
             "', which no node before it makes");
    captured.push_back(name);
    inputs.push_back(found->second);
  }
  const auto set = sets.find(domain_of(node.domain()));
  const int64_t version = set == sets.end() ? 1 : set->second;
  const OnnxOp* op = find_onnx_op(domain_of(node.domain()), node.op_type(), version);
  if (!op && !is_gradient(node)) refuse("the operator " + node.op_type() + " is not supported");
  OnnxNode translated(*this, node, std::move(inputs), version,
                      unique_name(node.name().empty() ? "" : prefix + node.name(), node.op_type()));
  translated.captured_ = std::move(captured);
  translated.sets_ = &sets;
  try {
    if (!op)
      build_gradient(translated, scope);
    else if (!fold_onnx(translated))
      op->build(translated);
    finish(translated, scope);
  } catch (const CompileError& error) {
    CompileError::Parts parts = error.parts();
    if (parts.stage == "import" && parts.node.empty()) throw;
    parts.node = translated.name();
    parts.op = node.op_type();
    throw CompileError(std::move(parts));
  }
}

void OnnxGraph::call_function(const onnx::FunctionProto& function, const onnx::NodeProto& node, Scope& scope,
                              const std::string& prefix, int depth) {
  Scope inner;
  for (int i = 0; i < function.input_size() && i < node.input_size(); ++i)
    if (!node.input(i).empty()) {
      const auto found = scope.find(node.input(i));
      if (found == scope.end()) refuse("'" + path_ + "' is damaged: no node makes '" + printable(node.input(i)) + "'");
      inner[function.input(i)] = found->second;
    }
  google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes;
  for (const onnx::NodeProto& original : function.node()) {
    onnx::NodeProto& copy = expanded_.emplace_back(original);
    copy.clear_attribute();
    for (const auto& attribute : original.attribute()) {
      if (attribute.ref_attr_name().empty()) {
        *copy.add_attribute() = attribute;
        continue;
      }
      for (const auto& given : node.attribute())
        if (given.name() == attribute.ref_attr_name()) {
          auto* added = copy.add_attribute();
          *added = given;
          added->set_name(attribute.name());
        }
    }
    for (std::string& input : *copy.mutable_input())
      if (!input.empty() && !inner.count(input) &&
          std::find(function.input().begin(), function.input().end(), input) != function.input().end())
        input.clear();  // an input of the function that its call leaves out
    translate_node(copy, inner, versions(function.opset_import()),
                   prefix + (node.name().empty() ? function.name() : node.name()) + "/", depth + 1);
    if (depth > max_depth) refuse("'" + path_ + "' nests its functions too deep");
  }
  for (int i = 0; i < function.output_size() && i < node.output_size(); ++i) {
    if (node.output(i).empty()) continue;
    const auto found = inner.find(function.output(i));
    if (found == inner.end())
      refuse("'" + path_ + "' is damaged: the function '" + function.name() + "' does not make '" + function.output(i) +
             "'");
    scope[node.output(i)] = found->second;
  }
}

void OnnxGraph::take_branch(const onnx::NodeProto& node, Scope& scope, const std::map<std::string, int64_t>& sets,
                            const std::string& prefix, int depth) {
  const auto condition = node.input_size() > 0 ? scope.find(node.input(0)) : scope.end();
  const Known known = condition == scope.end() ? nullptr : find_known(condition->second);
  if (!known || known->elements() != 1 || known->is_symbolic())
    throw CompileError({.stage = "import",
                        .node = printable(node.name()),
                        .op = "If",
                        .what = "an If whose condition is not known when compiling is not supported",
                        .hint = "export the model with the condition as a constant"});
  const char* wanted = known->number(0) != 0.0 ? "then_branch" : "else_branch";
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() != wanted) continue;
    Scope inner = scope;
    for (const auto& tensor : attribute.g().initializer()) {
      const OnnxTensor read = read_onnx_tensor(tensor, folder_, "the initializer '" + tensor.name() + "'");
      inner[tensor.name()] = add_value({.name = tensor.name(),
                                        .type = {read.dtype.dtype, Shape(read.shape.begin(), read.shape.end())},
                                        .narrow = read.dtype.narrow,
                                        .known = known_of(read),
                                        .class_name = "Constant",
                                        .origin = tensor.name()});
    }
    translate_nodes(attribute.g().node(), inner, sets, prefix + (node.name().empty() ? "If" : node.name()) + "/",
                    depth + 1);
    for (int i = 0; i < attribute.g().output_size() && i < node.output_size(); ++i) {
      const auto found = inner.find(attribute.g().output(i).name());
      if (found == inner.end())
        refuse("'" + path_ + "' is damaged: a branch of '" + printable(node.name()) + "' lacks an output");
      scope[node.output(i)] = found->second;
    }
    return;
  }
  refuse("'" + path_ + "' is damaged: the If '" + printable(node.name()) + "' has no " + wanted);
}

// The body becomes a model of its own, whose layers are then put into one graph.
OnnxNode::Body OnnxGraph::translate_body(const onnx::GraphProto& body, const OnnxNode& node, std::span<const Type> types,
                                         std::span<const Narrow> narrow) {
  if (static_cast<size_t>(body.input_size()) != types.size())
    node.fail("gives its body " + std::to_string(types.size()) + " inputs but that has " + std::to_string(body.input_size()));
  OnnxGraph inner(proto_, path_, options_);
  inner.depth_ = depth_ + 1;
  if (inner.depth_ > max_depth) refuse("'" + path_ + "' nests its graphs too deep");
  Scope scope;
  OnnxNode::Body result;
  const auto add_input = [&](const std::string& name, const Type& type, Narrow narrower) {
    const uint32_t id = inner.add_value(
        {.name = name, .type = type, .narrow = narrower, .class_name = "InputLayer", .origin = name});
    inner.add_layer({.name = inner.unique_name(name, "InputLayer"), .class_name = "InputLayer"}, {}, {id});
    inner.model_.nodes.back().outputs = {type};
    inner.model_.inputs.push_back(inner.values_[id].ref);
    scope[name] = id;
  };
  for (size_t i = 0; i < types.size(); ++i) add_input(body.input(static_cast<int>(i)).name(), types[i], narrow[i]);
  for (size_t i = 0; i < node.captured_.size(); ++i) {
    const size_t index = node.given_inputs() + i;
    const Value& value = values_[node.inputs_[index]];
    if (value.known)
      scope[node.captured_[i]] = inner.add_value(Value(value));
    else {
      add_input(node.captured_[i], value.type, value.narrow);
      result.captured.push_back(index);
    }
  }
  for (const auto& tensor : body.initializer()) {
    const OnnxTensor read = read_onnx_tensor(tensor, folder_, "the initializer '" + tensor.name() + "'");
    scope[tensor.name()] = inner.add_value({.name = tensor.name(),
                                            .type = {read.dtype.dtype, Shape(read.shape.begin(), read.shape.end())},
                                            .narrow = read.dtype.narrow,
                                            .known = known_of(read),
                                            .class_name = "Constant",
                                            .origin = tensor.name()});
  }
  inner.translate_nodes(body.node(), scope, *node.sets_, node.name() + "/", 0);
  std::vector<TensorRef> outputs;
  for (const auto& output : body.output()) {
    const auto found = scope.find(output.name());
    if (found == scope.end()) node.fail("has a body without its output '" + printable(output.name()) + "'");
    outputs.push_back(inner.ref_of_output(found->second, output.name()));
  }

  const Model& model = inner.model_;
  Builder b(result.graph);
  std::vector<std::vector<moru::Value>> values(model.nodes.size());
  std::vector<std::vector<moru::Value>> parameters(model.layers.size());
  for (const TensorRef& ref : model.inputs) values[ref.node] = {b.input(model.type(ref))};
  for (size_t i = 0; i < model.layers.size(); ++i)
    for (const Parameter& parameter : model.layers[i].parameters) {
      parameters[i].push_back(b.input({parameter.dtype, Shape(parameter.shape.begin(), parameter.shape.end())}));
      result.tables.push_back(known_of(parameter.dtype, parameter.shape, parameter.bytes()));
    }
  for (size_t n = 0; n < model.nodes.size(); ++n) {
    const Layer& layer = model.layers[model.nodes[n].layer];
    if (!layer.body) continue;
    std::vector<moru::Value> given;
    for (const TensorRef& ref : model.nodes[n].inputs) given.push_back(values[ref.node].at(ref.output));
    for (const moru::Value& parameter : parameters[model.nodes[n].layer]) given.push_back(parameter);
    values[n] = append_graph(b, *layer.body, given);
  }
  for (const TensorRef& ref : outputs) b.result(values[ref.node].at(ref.output));
  return result;
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
  std::vector<OnnxRecordInput> inputs;
  for (uint32_t id : node.inputs_) {
    OnnxRecordInput input;
    if (id != UINT32_MAX) {
      if (values_[id].narrow != Narrow::none) return {};
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
  Step step;
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
        layer.parameters.push_back(weight_of(values_[id].name, values_[id].type, initializer_bytes(id)));
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
  step.parameters = layer.parameters;

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
  else if (AttributeValue record = record_node(node, step.tensors, weight_names, outputs); !record.is_none())
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

Model import_onnx(const std::string& path, const OnnxImportOptions& options) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse("cannot read '" + path + "'");
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return import_onnx(std::as_bytes(std::span(content)), path, options);
}

Model import_onnx(std::span<const std::byte> bytes, const std::string& path, const OnnxImportOptions& options,
                  std::map<std::string, std::string>* metadata) {
  onnx::ModelProto proto;
  const bool fits = bytes.size() <= static_cast<size_t>(std::numeric_limits<int>::max());
  if (!fits || !proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !proto.has_graph())
    refuse("'" + path + "' is no ONNX model, or it is damaged", "an ONNX file holds one ModelProto");
  if (metadata != nullptr)
    for (const auto& entry : proto.metadata_props()) (*metadata)[entry.key()] = entry.value();
  return OnnxGraph(proto, path, options).take();
}

}  // namespace moru
