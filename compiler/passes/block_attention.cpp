#include "compiler/passes/block_attention.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "compiler/ir/builder.h"
#include "compiler/ops/contraction.h"
#include "compiler/ops/op.h"
#include "compiler/passes/drop_dead.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

constexpr int64_t least_queries = 32;  // of a block: products want rows

int64_t bytes_of_sample(const Type& type) {
  return element_count(type.shape).evaluate([](std::string_view) { return int64_t{1}; }) * dtype_bytes(type.dtype);
}

// What stands between two products, and where each of its values has the axis that is cut: the queries, or one that all have
// in common (heads).
class Attention {
 public:
  Attention(const Graph& graph, size_t scores, char label, int64_t extent)
      : graph_(graph), scores_(scores), extent_(extent), producers_(find_producers(graph)) {
    const Node& node = graph.nodes[scores];
    const ContractSpec spec = parse_contract_spec(node.attributes.string("spec"));
    axis_[node.outputs[0]] = spec.result.find(label);
    shared_ = spec.in_a(label) && spec.in_b(label);
    nodes_ = {scores};
    read(scores, 0, spec.a.find(label));
    read(scores, 1, spec.b.find(label));
    valid_ = follow();
  }

  bool valid() const { return valid_; }
  bool shared() const { return shared_; }
  const std::string& origin() const { return graph_.nodes[last_].origin; }
  ValueId result() const { return graph_.nodes[last_].outputs[0]; }

  /// The operands from outside, each with the axis; npos where it has none.
  const std::vector<std::pair<ValueId, size_t>>& operands() const { return operands_; }
  /// What is read between the products, of a sample, along the axis.
  int64_t bytes_between() const {
    int64_t bytes = 0;
    for (ValueId value : between_) bytes += bytes_of_sample(graph_.type(value));
    return bytes;
  }
  size_t result_axis() const { return axis_.at(result()); }

  /// The same with another extent of the axis, given the operands.
  Value emit(Builder& b, const std::vector<Value>& operands, const Dim& extent) const {
    std::map<std::pair<ValueId, size_t>, Value> outside;
    for (size_t i = 0; i < operands.size(); ++i) outside[operands_[i]] = operands[i];
    std::map<ValueId, Value> inside;
    for (size_t n : nodes_) {
      const Node& node = graph_.nodes[n];
      b.set_origin(node.origin);
      std::vector<Value> inputs;
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const auto found = inside.find(node.inputs[i]);
        if (found != inside.end())
          inputs.push_back(found->second);
        else if (const Node* constant = find_constant(node.inputs[i]))
          inputs.push_back(b.call_all(constant->op->name, {}, constant->attributes)[0]);
        else
          inputs.push_back(outside.at({node.inputs[i], places_.at({n, i})}));
      }
      Attributes attributes = node.attributes;
      if (attributes.has("shape")) {
        Shape shape = attributes.shape("shape");
        shape[axis_.at(node.outputs[0])] = extent;
        attributes.set("shape", shape);
      }
      inside[node.outputs[0]] = b.call_all(node.op->name, inputs, attributes)[0];
    }
    return inside.at(result());
  }

 private:
  const Graph& graph_;
  const size_t scores_;
  const int64_t extent_;
  const std::vector<uint32_t> producers_;
  bool valid_ = false, shared_ = false, has_reduction_ = false;
  size_t last_ = 0;                // the product that sums over the keys
  std::vector<size_t> nodes_;      // in order, both products among them
  std::map<ValueId, size_t> axis_;
  std::map<std::pair<size_t, size_t>, size_t> places_;  // by node and input, of operands from outside
  std::vector<std::pair<ValueId, size_t>> operands_;
  std::set<ValueId> between_;

  // A number, which the blocks can make themselves.
  const Node* find_constant(ValueId value) const {
    const uint32_t producer = producers_[value];
    if (producer == UINT32_MAX || graph_.nodes[producer].op->name != "fill") return nullptr;
    return graph_.type(value).shape.empty() ? &graph_.nodes[producer] : nullptr;
  }

  void read(size_t node, size_t input, size_t axis) {
    const std::pair operand(graph_.nodes[node].inputs[input], axis);
    if (find_constant(operand.first)) return;
    places_[{node, input}] = axis;
    if (std::ranges::find(operands_, operand) == operands_.end()) operands_.push_back(operand);
  }

  bool follow() {
    size_t result_axis = 0;
    for (size_t n = scores_ + 1; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      const bool reads = std::ranges::any_of(node.inputs, [&](ValueId v) { return axis_.count(v) > 0; });
      if (!reads) continue;
      if (last_ != 0 || node.outputs.size() != 1 || !node.bodies.empty()) return false;
      nodes_.push_back(n);
      const std::optional<size_t> axis = node.op->name == "contract" ? end_at(n) : axis_behind(n);
      if (!axis) return false;
      if (node.op->name == "contract")
        last_ = n, result_axis = *axis;
      else
        axis_[node.outputs[0]] = *axis;
    }
    if (last_ == 0 || !has_reduction_ || bytes_of_sample(graph_.type(result())) >= bytes_of_sample(graph_.type(graph_.nodes[scores_].outputs[0])))
      return false;
    for (const GraphResult& result : graph_.results)
      if (axis_.count(result.value)) return false;
    axis_[graph_.nodes[last_].outputs[0]] = result_axis;
    return true;
  }

  // Where a product that sums over the keys leaves the axis.
  std::optional<size_t> end_at(size_t n) {
    const Node& node = graph_.nodes[n];
    const ContractSpec spec = parse_contract_spec(node.attributes.string("spec"));
    const bool first = axis_.count(node.inputs[0]) > 0;
    if (first && axis_.count(node.inputs[1]) > 0) return std::nullopt;
    const std::string &inner = first ? spec.a : spec.b, &other = first ? spec.b : spec.a;
    const char label = inner[axis_.at(node.inputs[first ? 0 : 1])];
    if (!spec.in_result(label) || (other.find(label) != std::string::npos) != shared_) return std::nullopt;
    const bool sums = std::ranges::any_of(inner, [&](char c) { return !spec.in_result(c); });
    if (!sums) return std::nullopt;
    const size_t outside = first ? 1 : 0;
    read(n, outside, other.find(label));
    return spec.result.find(label);
  }

  // Where an operation on rows leaves the axis; nothing where it is none.
  std::optional<size_t> axis_behind(size_t n) {
    const Node& node = graph_.nodes[n];
    const Shape& shape = graph_.type(node.outputs[0]).shape;
    const std::string_view name = node.op->name;
    if (name.starts_with("reduce_") || name == "reshape") {
      const Shape& from = graph_.type(node.inputs[0]).shape;
      const size_t axis = axis_.at(node.inputs[0]);
      has_reduction_ |= name != "reshape";
      return name == "reshape" ? axis_after_reshape(from, shape, axis) : axis_after_reduction(node, from.size(), axis);
    }
    const bool elementwise = node.op->family == OpFamily::elementwise || node.op->family == OpFamily::activation;
    if (!elementwise || !node.op->lower) return std::nullopt;
    std::optional<size_t> found;
    for (ValueId input : node.inputs) {
      const auto inside = axis_.find(input);
      if (inside == axis_.end()) continue;
      const size_t axis = shape.size() - graph_.type(input).shape.size() + inside->second;
      if (found && *found != axis) return std::nullopt;
      found = axis;
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      if (input == no_value) return std::nullopt;
      if (axis_.count(input)) continue;
      const Shape& from = graph_.type(input).shape;
      const size_t missing = shape.size() - from.size();
      const bool has_axis = *found >= missing && from[*found - missing] != Dim(1);
      if (has_axis) between_.insert(input);
      read(n, i, has_axis ? *found - missing : std::string::npos);
    }
    return found;
  }

  std::optional<size_t> axis_after_reduction(const Node& node, size_t rank, size_t axis) {
    size_t before = 0;
    for (int64_t reduced : node.attributes.integers("axes")) {
      const size_t at = static_cast<size_t>(reduced < 0 ? reduced + static_cast<int64_t>(rank) : reduced);
      if (at == axis) return std::nullopt;
      before += at < axis;
    }
    return node.attributes.boolean("keep_dims") ? axis : axis - before;
  }

  std::optional<size_t> axis_after_reshape(const Shape& from, const Shape& to, size_t axis) {
    const Dim before = element_count(Shape(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(axis)));
    for (size_t i = 0; i < to.size(); ++i)
      if (to[i] == Dim(extent_) && element_count(Shape(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(i))) == before) return i;
    return std::nullopt;
  }
};

// As many as fit, so that all blocks but the last are of one size; the last may be smaller.
int64_t block_size(int64_t extent, int64_t most) {
  const int64_t blocks = ceil_div(extent, most);
  return ceil_div(extent, blocks);
}

Shape with_extent(Shape shape, size_t axis, const Dim& extent) {
  shape[axis] = extent;
  return shape;
}

void block_products(Graph& graph, int64_t most_bytes, int64_t cache_bytes);

// `attention` looks at the graph as it was, `before`.
void rewrite(Graph& graph, const Graph& before, const Attention& attention, int64_t extent, int64_t block, int64_t cache_bytes) {
  const int64_t blocks = extent / block, whole = blocks * block;
  Builder b(graph);
  std::vector<Value> sequences, invariants;
  std::vector<int64_t> axes;
  Graph body;
  body.name = "block";
  Builder inner(body);
  std::vector<Value> in_block(attention.operands().size());
  for (const bool varying : {true, false}) {
    for (size_t i = 0; i < attention.operands().size(); ++i) {
      const auto& [value, axis] = attention.operands()[i];
      if ((axis != std::string::npos) != varying) continue;
      const Type type = before.type(value);
      if (!varying) {
        invariants.push_back(b.value(value));
        in_block[i] = inner.input(type);
        continue;
      }
      Value all = b.value(value);
      if (whole < extent) all = b.slice(all, static_cast<int64_t>(axis), 0, whole);
      Shape split = with_extent(type.shape, axis, blocks);
      split.insert(split.begin() + static_cast<std::ptrdiff_t>(axis) + 1, Dim(block));
      sequences.push_back(b.reshape(all, split));
      axes.push_back(static_cast<int64_t>(axis));
      in_block[i] = inner.input({type.dtype, with_extent(type.shape, axis, block)});
    }
  }
  inner.result(attention.emit(inner, in_block, block));
  b.set_origin(attention.origin());
  if (attention.shared()) block_products(body, cache_bytes / 4, cache_bytes);
  std::vector<Value> operands = sequences;
  operands.insert(operands.end(), invariants.begin(), invariants.end());
  const size_t at = attention.result_axis();
  const Shape shape = before.type(attention.result()).shape;
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  Value y = b.call_all("scan", operands,
                       {{"carries", 0},
                        {"sequences", static_cast<int64_t>(sequences.size())},
                        {"axes", axes},
                        {"output_axes", std::vector<int64_t>{static_cast<int64_t>(at)}},
                        {"recompute", true},
                        {"over", attention.shared() ? "heads" : "queries"}},
                       std::move(bodies))[0];
  y = b.reshape(y, with_extent(shape, at, whole));
  if (whole < extent) {
    std::vector<Value> rest;
    for (const auto& [value, axis] : attention.operands())
      rest.push_back(axis == std::string::npos ? b.value(value)
                                               : b.slice(b.value(value), static_cast<int64_t>(axis), whole, extent - whole));
    y = b.concat(std::vector<Value>{y, attention.emit(b, rest, extent - whole)}, static_cast<int64_t>(at));
  }
  std::vector<ValueId> replacement(graph.types.size());
  for (size_t v = 0; v < replacement.size(); ++v) replacement[v] = static_cast<ValueId>(v);
  replacement[attention.result()] = y.id;
  replace_uses(graph, replacement);
  remove_unread_nodes(graph);
  sort_nodes(graph);
}

struct Axis {
  size_t index;  // of the scores
  bool shared;
};

// Axes that queries and keys have in common come first: what is left is smaller by their extent.
std::vector<Axis> possible_axes(const ContractSpec& spec, const Shape& scores) {
  std::vector<Axis> axes;
  for (const bool shared : {true, false})
    for (size_t i = 0; i < spec.result.size(); ++i) {
      const bool in_both = spec.in_a(spec.result[i]) && spec.in_b(spec.result[i]);
      if (in_both == shared && scores[i].is_constant() && scores[i].constant() > 1) axes.push_back({i, shared});
    }
  return axes;
}

// Blocks one product whose result takes more than `most_bytes` for a sample.
bool block_one(Graph& graph, int64_t most_bytes, int64_t cache_bytes) {
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.op->name != "contract") continue;
    const Type& scores = graph.type(node.outputs[0]);
    const int64_t bytes = bytes_of_sample(scores);
    if (bytes <= most_bytes) continue;
    const ContractSpec spec = parse_contract_spec(node.attributes.string("spec"));
    for (const Axis& axis : possible_axes(spec, scores.shape)) {
      const int64_t extent = scores.shape[axis.index].constant();
      const int64_t least = axis.shared ? 1 : least_queries;
      const int64_t block = block_size(extent, std::max(least, cache_bytes / 4 / (bytes / extent)));
      if (block >= extent) continue;
      const Graph before = graph;
      const Attention attention(before, n, spec.result[axis.index], extent);
      if (!attention.valid()) continue;
      if (attention.bytes_between() > bytes / 2) continue;
      rewrite(graph, before, attention, extent, block, cache_bytes);
      return true;
    }
  }
  return false;
}

void block_products(Graph& graph, int64_t most_bytes, int64_t cache_bytes) {
  while (block_one(graph, most_bytes, cache_bytes)) {
  }
}

}  // namespace

void block_attention(Graph& graph, int64_t most_bytes) { block_products(graph, most_bytes, most_bytes); }

}  // namespace moru
