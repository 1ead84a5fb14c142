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
#include "compiler/exchange/refusal.h"
#include "compiler/interpret/reference.h"
#include "compiler/ir/append_graph.h"
#include "compiler/model/infer_model.h"
#include "compiler/support/dim_bounds.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using exchange::refuse_file;

constexpr int max_depth = 24;            // of functions in functions
constexpr size_t max_nodes = 1'000'000;  // after functions were put in place of their calls

std::string domain_of(const std::string& domain) { return domain == "ai.onnx" ? "" : domain; }

// Symbols are words: "batch_size" stays, "unk__12" too, "sequence length" becomes "sequence_length".
std::string symbol_name(const std::string& name) {
  std::string out;
  for (char c : name) out += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  if (out.empty() || std::isdigit(static_cast<unsigned char>(out[0])) || out == "max" || out == "min" ||
      out == "floor" || out == "ceil" || out == "worker" || out == "workers" || out == "rows")
    out = "dim_" + out;
  return out;
}

// What the file calls the size that Moru calls "batch", if it is not that: the name that speaks of a batch, else the first one of a
// first axis.
std::string find_batch_name(const onnx::GraphProto& graph) {
  std::string batch, first;
  for (const auto& info : graph.input()) {
    const auto& shape = info.type().tensor_type().shape();
    for (int i = 0; i < shape.dim_size(); ++i) {
      const auto& dim = shape.dim(i);
      const std::string& name = dim.dim_param();
      const bool is_unnamed_batch = i == 0 && name.empty() && !(dim.has_dim_value() && dim.dim_value() >= 0);
      if (name == "batch" || is_unnamed_batch) return {};
      std::string lower = name;
      std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      if (batch.empty() && lower.find("batch") != std::string::npos) batch = name;
      if (first.empty() && i == 0 && shape.dim_size() > 1) first = name;
    }
  }
  return batch.empty() ? first : batch;
}

bool runs_again(const onnx::NodeProto& node) {
  return node.op_type() == "Loop" || node.op_type() == "Scan" || node.op_type() == "SequenceMap";
}

}  // namespace

std::string printable(std::string_view name) {
  std::string out;
  for (char c : name) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '_' : c;
  return out;
}

OnnxGraph::OnnxGraph(const OnnxFile& file, std::string path, const OnnxImportOptions& options, EqualSizes& sizes)
    : file_(file), proto_(file.proto), path_(std::move(path)), options_(options), sizes_(sizes), batch_name_(find_batch_name(proto_.graph())) {
  const std::filesystem::path place(path_);
  folder_ = place.parent_path().string();
  model_.name = printable(proto_.graph().name().empty() ? place.stem().string() : proto_.graph().name());
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
    if (found == scope.end()) refuse_file("'" + path_ + "' is damaged: no node makes its output '" + output.name() + "'");
    if (values_[found->second].is_sequence() || values_[found->second].is_absent)
      refuse_file("the output '" + output.name() + "' is " + text_of(values_[found->second]) +
                  ", but only tensors can be outputs");
    model_.outputs.push_back(ref_of_output(found->second, output.name()));
    model_.output_names.push_back(output.name());
  }
  if (model_.outputs.empty()) refuse_file("'" + path_ + "' is damaged: it has no outputs");
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
        if (depth > max_depth) refuse_file("'" + path_ + "' nests its graphs too deep");
        for (const onnx::NodeProto& node : nodes) {
          for (const auto& attribute : node.attribute())
            if (attribute.has_g()) check(attribute.g().node(), sets, depth + 1);
          const std::string domain = domain_of(node.domain());
          if (find_function(node) || find_structure(node)) continue;
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
  const std::function<void(const onnx::GraphProto&, int, int)> count = [&](const auto& graph, int times, int depth) {
    if (depth > max_depth) refuse_file("'" + path_ + "' nests its graphs too deep");
    for (const auto& node : graph.node()) {
      for (const auto& input : node.input()) uses_[input] += times;
      for (const auto& attribute : node.attribute())
        if (attribute.has_g()) count(attribute.g(), runs_again(node) ? 2 : times, depth + 1);
    }
    for (const auto& output : graph.output()) uses_[output.name()] += 2;
  };
  // What a function reads more than once is used more than once, and Gradient reads what other nodes do.
  const auto& nodes = proto_.graph().node();
  const bool again = proto_.functions_size() > 0 || std::any_of(nodes.begin(), nodes.end(), [](const auto& node) {
                       return node.op_type() == "Gradient";
                     });
  count(proto_.graph(), again ? 2 : 1, 0);
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
  if (!info.type().has_tensor_type()) refuse_file(what + " is no tensor, which is not supported");
  const auto& tensor = info.type().tensor_type();
  const ElementType element = dtype_of_onnx(tensor.elem_type(), what);
  narrow = element.narrow;
  Type type{element.dtype, {}};
  const OnnxBinding* binding = nullptr;
  for (const OnnxBinding& b : options_.bindings)
    if (b.name == info.name() || (b.name.empty() && options_.bindings.size() == 1)) binding = &b;
  if (!tensor.has_shape()) {
    if (!binding) refuse_file(what + " has no shape", "give the model's inputs, or export it with shapes");
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
      type.shape.push_back(sizes_.size_of(dim.dim_param() == batch_name_ ? "batch" : symbol_name(dim.dim_param())));
    } else {
      type.shape.push_back(sizes_.size_of(i == 0 ? "batch" : "dim_" + std::to_string(++symbols_)));
    }
  }
  std::vector<int64_t> known;
  for (const Dim& dim : type.shape)
    if (dim.is_constant()) known.push_back(dim.constant());
  checked_elements(known, what);
  return type;
}

void OnnxGraph::add_initializer(const onnx::TensorProto& tensor, Scope& scope) {
  // Every turn of a loop reads the same tensors.
  if (const auto found = initializers_.find(&tensor); found != initializers_.end()) {
    scope[tensor.name()] = found->second;
    return;
  }
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
    const auto place = file_.values.find(&tensor);
    const StoredTensor stored(tensor, folder_, what, place == file_.values.end() ? nullptr : &place->second);
    value.known = known_of(OnnxTensor{stored.dtype, stored.shape, stored.bytes()});
  }
  scope[tensor.name()] = initializers_[&tensor] = add_value(std::move(value));
}

void OnnxGraph::add_inputs(Scope& scope) {
  const onnx::GraphProto& graph = proto_.graph();
  if (graph.sparse_initializer_size() > 0) refuse_file("'" + path_ + "' has sparse initializers, which are not supported");
  for (const auto& tensor : graph.initializer()) add_initializer(tensor, scope);
  for (const auto& info : graph.input()) {
    if (scope.count(info.name())) continue;  // an initializer fills it
    Narrow narrow = Narrow::none;
    const Type type = input_type(info, narrow);
    Layer layer{.name = info.name(), .class_name = "InputLayer", .attributes = input_layer_attributes(type)};
    if (!layer_names_.insert(layer.name).second)
      refuse_file("'" + path_ + "' is damaged: two inputs are named '" + layer.name + "'");
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

namespace {

// What is computed while importing is for shapes, choices and counts; the interpreter holds its elements as doubles.
constexpr int64_t most_known_elements = int64_t{1} << 26;

// Whether the values of a graph have more elements together than that.
bool exceeds(const Graph& graph, int64_t most) {
  int64_t sum = 0;
  for (const Type& type : graph.types) {
    int64_t elements = 1;
    for (const Dim& dim : type.shape) {
      if (!dim.is_constant()) return true;  // a loop's own
      if (__builtin_mul_overflow(elements, dim.constant(), &elements)) return true;
    }
    if (__builtin_add_overflow(sum, elements, &sum) || sum > most) return true;
  }
  return std::ranges::any_of(graph.nodes, [&](const Node& node) {
    return std::ranges::any_of(node.bodies, [&](const Graph& body) { return exceeds(body, most); });
  });
}

}  // namespace

Known OnnxGraph::find_known(uint32_t id, int depth) {
  if (id == UINT32_MAX) return nullptr;
  if (values_[id].known) return values_[id].known;
  if (values_[id].bound) return values_[id].bound;
  if (values_[id].initializer) {
    const StoredTensor stored = initializer(id);
    return values_[id].bound = known_of(stored.dtype.dtype, stored.shape, stored.bytes());
  }
  if (values_[id].step < 0 || depth > 200) return nullptr;
  const Step step = steps_[static_cast<size_t>(values_[id].step)];
  if (has_symbols(*step.body) || exceeds(*step.body, most_known_elements)) return nullptr;
  std::vector<HostTensor> inputs;
  for (uint32_t tensor : step.tensors) {
    const Known known = find_known(tensor, depth + 1);
    if (!known || known->is_symbolic()) return nullptr;
    inputs.push_back(host_of(*known));
  }
  for (const Parameter& parameter : parameters_of(step))
    inputs.push_back(host_of(*known_of(parameter.dtype, parameter.shape, parameter.bytes())));
  const std::vector<HostTensor> outputs = interpret_graph(*step.body, inputs);
  return values_[id].bound = known_of(outputs.at(values_[id].output));
}

void OnnxGraph::translate_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, Scope& scope,
                                const std::map<std::string, int64_t>& sets, const std::string& prefix, int depth) {
  if (depth > max_depth) refuse_file("'" + path_ + "' nests its functions too deep");
  if (++translated_ > max_nodes) refuse_file("'" + path_ + "' has too many nodes");  // loops of empty bodies end too
  // A file need not list its nodes in order, though the standard says so.
  for (const onnx::NodeProto& node : nodes) translate_node(node, scope, sets, prefix, depth);
}

const OnnxGraph::Structure OnnxGraph::structures[] = {
    {"If", &OnnxGraph::translate_if},
    {"Loop", &OnnxGraph::translate_loop},
    {"Scan", &OnnxGraph::translate_scan},
    {"SequenceConstruct", &OnnxGraph::translate_sequence},
    {"SequenceEmpty", &OnnxGraph::translate_sequence},
    {"SequenceInsert", &OnnxGraph::translate_sequence},
    {"SequenceErase", &OnnxGraph::translate_sequence},
    {"SequenceAt", &OnnxGraph::translate_sequence},
    {"SequenceLength", &OnnxGraph::translate_sequence},
    {"SplitToSequence", &OnnxGraph::translate_split_to_sequence},
    {"ConcatFromSequence", &OnnxGraph::translate_concat_from_sequence},
    {"SequenceMap", &OnnxGraph::translate_sequence_map},
    {"Optional", &OnnxGraph::translate_optional},
    {"OptionalHasElement", &OnnxGraph::translate_optional},
    {"OptionalGetElement", &OnnxGraph::translate_optional},
    {"Gradient", &OnnxGraph::translate_gradient, "ai.onnx.preview.training"},
    {"FlexAttention", &OnnxGraph::translate_flex_attention, "ai.onnx.preview"},
};

const OnnxGraph::Structure* OnnxGraph::find_structure(const onnx::NodeProto& node) {
  for (const Structure& structure : structures)
    if (structure.type == node.op_type() && structure.domain == domain_of(node.domain())) return &structure;
  return nullptr;
}

std::string OnnxGraph::name_of(const onnx::NodeProto& node) const {
  return printable(node.name().empty() ? node.op_type() : node.name());
}

std::string OnnxGraph::text_of(const Value& value) const {
  if (value.elements) return "a sequence of " + std::to_string(value.elements->size());
  if (value.stack) return "a sequence of " + values_[*value.stack].type.shape[0].text();
  return value.is_absent ? "an optional value that is not there" : type_text(value.type);
}

void OnnxGraph::fail(const Call& call, const std::string& what, const std::string& hint) const {
  throw CompileError({.stage = "import",
                      .node = call.prefix + name_of(call.node),
                      .op = call.node.op_type(),
                      .what = what,
                      .hint = hint});
}

uint32_t OnnxGraph::find_value(const Call& call, const std::string& name) const {
  const auto found = call.scope.find(name);
  if (found == call.scope.end())
    refuse_file("'" + path_ + "' is damaged: the node '" + printable(call.node.name()) + "' (" + call.node.op_type() +
                ") reads '" + printable(name) + "', which no node before it makes");
  return found->second;
}

std::vector<uint32_t> OnnxGraph::inputs_of(const Call& call) const {
  std::vector<uint32_t> inputs;
  for (const std::string& input : call.node.input())
    inputs.push_back(input.empty() ? UINT32_MAX : find_value(call, input));
  return inputs;
}

void OnnxGraph::build(const Call& call, const std::vector<uint32_t>& inputs,
                      const std::function<void(OnnxNode&)>& build_node) {
  const auto set = call.sets.find(domain_of(call.node.domain()));
  const std::string name = unique_name(call.node.name().empty() ? "" : call.prefix + call.node.name(), call.node.op_type());
  std::optional<std::vector<uint32_t>> given = inputs;
  for (int extents_made_equal = 0;; ++extents_made_equal) try {
    OnnxNode node(*this, call.node, *given, set == call.sets.end() ? 1 : set->second, name);
    build_node(node);
    finish(node, call.scope);
    return;
  } catch (const CompileError& error) {
    if (extents_made_equal < 3 && (given = with_equal_extents(call, *given, error))) continue;
    CompileError::Parts parts = error.parts();
    if (parts.stage == "import" && parts.node.empty()) throw;
    parts.node = name;
    parts.op = call.node.op_type();
    throw CompileError(std::move(parts));
  }
}

std::optional<std::vector<uint32_t>> OnnxGraph::with_equal_extents(const Call& call, std::vector<uint32_t> inputs, const CompileError& error) {
  if (!error.parts().unequal || sizes_.teaches(error)) return std::nullopt;
  const Dim wanted = Dim::parse(error.parts().unequal->first), other = Dim::parse(error.parts().unequal->second);
  if (!sizes_.covers(wanted) || !sizes_.covers(other) || !can_be_equal(wanted, other)) return std::nullopt;
  for (const auto& [from, to] : {std::pair{other, wanted}, std::pair{wanted, other}}) {
    if (from.is_constant()) continue;
    bool changed = false;
    for (uint32_t& input : inputs) {
      if (input == UINT32_MAX || values_[input].known) continue;
      Shape shape = values_[input].type.shape;
      if (std::ranges::find(shape, from) == shape.end()) continue;
      std::ranges::replace(shape, from, to);
      changed = true;
      input = build_values(call, {input}, 1, [&](OnnxNode& node) {
        node.set_as(0, node.builder().call("ensure_shape", {node.raw(0)}, {{"shape", shape}}), node.dtype(0));
      })[0];
    }
    if (changed) return inputs;
  }
  return std::nullopt;
}

std::vector<uint32_t> OnnxGraph::build_values(const Call& call, const std::vector<uint32_t>& inputs, size_t outputs,
                                              const std::function<void(OnnxNode&)>& build_node) {
  onnx::NodeProto& node = expanded_.emplace_back();
  node.set_op_type(call.node.op_type());
  node.set_name(call.node.name());
  for (size_t i = 0; i < outputs; ++i) node.add_output(std::to_string(i));
  Scope made;
  build({node, made, call.sets, call.prefix, call.depth}, inputs, [&](OnnxNode& built) {
    built.is_original_ = false;
    build_node(built);
  });
  std::vector<uint32_t> values;
  for (const std::string& output : node.output()) values.push_back(made.at(output));
  return values;
}

void OnnxGraph::translate_node(const onnx::NodeProto& node, Scope& scope, const std::map<std::string, int64_t>& sets,
                               const std::string& prefix, int depth) {
  if (++translated_ > max_nodes) refuse_file("'" + path_ + "' has too many nodes");
  if (const onnx::FunctionProto* function = find_function(node))
    return call_function(*function, node, scope, prefix, depth);
  const Call call{node, scope, sets, prefix, depth};
  if (const Structure* structure = find_structure(node)) return (this->*structure->translate)(call);
  const std::vector<uint32_t> inputs = inputs_of(call);
  for (uint32_t id : inputs) {
    if (id == UINT32_MAX || (!values_[id].is_sequence() && !values_[id].is_absent)) continue;
    if (node.op_type() == "Identity") return set_outputs(call, inputs);
    fail(call, "needs tensors but got " + text_of(values_[id]));
  }
  if (const auto slice = find_slice(call, inputs)) return set_outputs(call, {*slice});
  const auto set = sets.find(domain_of(node.domain()));
  const OnnxOp* op = find_onnx_op(domain_of(node.domain()), node.op_type(), set == sets.end() ? 1 : set->second);
  if (!op) refuse_file("the operator " + node.op_type() + " is not supported");
  build(call, inputs, [&](OnnxNode& translated) {
    if (!fold_onnx(translated)) op->build(translated);
  });
}

namespace {

// What a function's node takes from the attributes of the function's call, in the graphs inside of it too.
void bind_attributes(onnx::NodeProto& node, const onnx::NodeProto& call) {
  google::protobuf::RepeatedPtrField<onnx::AttributeProto> attributes;
  attributes.Swap(node.mutable_attribute());
  for (onnx::AttributeProto& attribute : attributes) {
    if (attribute.ref_attr_name().empty()) {
      if (attribute.has_g())
        for (onnx::NodeProto& inner : *attribute.mutable_g()->mutable_node()) bind_attributes(inner, call);
      *node.add_attribute() = std::move(attribute);
      continue;
    }
    for (const auto& given : call.attribute())
      if (given.name() == attribute.ref_attr_name()) {
        onnx::AttributeProto* added = node.add_attribute();
        *added = given;
        added->set_name(attribute.name());
      }
  }
}

}  // namespace

void OnnxGraph::call_function(const onnx::FunctionProto& function, const onnx::NodeProto& node, Scope& scope,
                              const std::string& prefix, int depth) {
  Scope inner;
  for (int i = 0; i < function.input_size() && i < node.input_size(); ++i)
    if (!node.input(i).empty()) {
      const auto found = scope.find(node.input(i));
      if (found == scope.end()) refuse_file("'" + path_ + "' is damaged: no node makes '" + printable(node.input(i)) + "'");
      inner[function.input(i)] = found->second;
    }
  google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes;
  for (const onnx::NodeProto& original : function.node()) {
    onnx::NodeProto& copy = expanded_.emplace_back(original);
    bind_attributes(copy, node);
    for (std::string& input : *copy.mutable_input())
      if (!input.empty() && !inner.count(input) &&
          std::find(function.input().begin(), function.input().end(), input) != function.input().end())
        input.clear();  // an input of the function that its call leaves out
    translate_node(copy, inner, versions(function.opset_import()),
                   prefix + (node.name().empty() ? function.name() : node.name()) + "/", depth + 1);
    if (depth > max_depth) refuse_file("'" + path_ + "' nests its functions too deep");
  }
  for (int i = 0; i < function.output_size() && i < node.output_size(); ++i) {
    if (node.output(i).empty()) continue;
    const auto found = inner.find(function.output(i));
    if (found == inner.end())
      refuse_file("'" + path_ + "' is damaged: the function '" + function.name() + "' does not make '" + function.output(i) +
                  "'");
    scope[node.output(i)] = found->second;
  }
}

namespace {

Model import_file(const OnnxFile& file, const std::string& path, const OnnxImportOptions& options,
                  std::map<std::string, std::string>* metadata) {
  Model model = import_with_equal_sizes([&](EqualSizes& sizes) { return OnnxGraph(file, path, options, sizes).take(); });
  for (const auto& entry : file.proto.metadata_props()) {
    if (entry.key() == onnx_dtype_policy_key)
      model.dtype_policy = find_dtype_policy(entry.value()).value_or(model.dtype_policy);
    else if (metadata != nullptr)
      (*metadata)[entry.key()] = entry.value();
  }
  return model;
}

}  // namespace

Model import_onnx(const std::string& path, const OnnxImportOptions& options,
                  std::map<std::string, std::string>* metadata) {
  return import_file(OnnxFile(path), path, options, metadata);
}

Model import_onnx(std::span<const std::byte> bytes, const std::string& path, const OnnxImportOptions& options,
                  std::map<std::string, std::string>* metadata) {
  return import_file(OnnxFile(bytes, path), path, options, metadata);
}

}  // namespace moru
