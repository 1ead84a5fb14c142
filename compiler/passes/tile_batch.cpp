#include "compiler/passes/tile_batch.h"

#include <algorithm>
#include <optional>

#include "compiler/ir/builder.h"
#include "compiler/ir/scan_view.h"
#include "compiler/ir/substitute_symbol.h"
#include "compiler/ops/contraction.h"
#include "compiler/ops/op.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

constexpr std::string_view rows_symbol = "rows";
constexpr int64_t step_bytes = int64_t{3} << 20;         // of a step: in a thread's share of the last-level cache
constexpr int64_t prediction_bytes = int64_t{1} << 19;  // of a prediction, which is read once: in the second cache
constexpr int64_t product_rows = 32;                    // that products want, to read the other operand seldom enough
constexpr int64_t most_rows = 256;
constexpr double small_share = 0.01;  // of the arithmetic: products below it do not matter

class Tiler {
 public:
  Tiler(Graph& graph, int64_t rows_limit, int64_t partitions)
      : graph_(graph), rows_limit_(rows_limit), partitions_(partitions), producer_(find_producers(graph)) {}

  void run() {
    if (!find_batch() || !classify()) return;
    int64_t rows = chunk_rows();
    if (rows_limit_ > 0) rows = rows > 0 ? std::min(rows, rows_limit_) : rows_limit_;
    if (rows > 0) wrap(rows);
  }

 private:
  Graph& graph_;
  const int64_t rows_limit_;  // 0: none
  const int64_t partitions_;
  std::vector<uint32_t> producer_;
  std::string batch_;
  std::vector<bool> carries_;  // by value: has a row per sample
  std::vector<bool> inside_;   // by node
  std::vector<bool> after_;    // by value: depends on a sum over the batch
  std::vector<ValueId> sums_;  // what leaves the tile as sums
  std::vector<ValueId> rows_;  // what leaves it with a row per sample

  bool find_batch() {
    for (const GraphInput& input : graph_.inputs) {
      const Shape& shape = graph_.type(input.value).shape;
      if (shape.empty()) continue;
      if (auto symbol = shape[0].as_symbol()) {
        batch_ = *symbol;
        return true;
      }
    }
    return false;
  }

  bool contains_batch(const Dim& dim) const { return dim.contains(batch_); }
  bool carries_batch(const Type& type) const {
    return std::any_of(type.shape.begin(), type.shape.end(), [&](const Dim& d) { return contains_batch(d); });
  }

  // True where the node treats every sample alike and apart.
  bool keeps_samples_apart(const Node& node) const {
    std::string_view name = node.op->name;
    for (ValueId output : node.outputs)  // every sample beside every other
      if (std::ranges::count_if(graph_.type(output).shape, [&](const Dim& d) { return contains_batch(d); }) > 1) return false;
    const Shape& x = node.inputs.empty() ? graph_.type(node.outputs[0]).shape : graph_.type(node.inputs[0]).shape;
    if (name == "slice" || name == "split" || name == "concat" || name == "pad" || name == "reverse" ||
        name == "arg_max" || name == "iota" || name == "window" || name == "window_sum") {
      const Shape& shape = name == "iota" || name == "window_sum" ? graph_.type(node.outputs[0]).shape : x;
      int64_t axis = node.attributes.integer("axis");
      return !contains_batch(shape[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(shape.size()) : axis)]);
    }
    if (name == "gather" || name == "scatter_add") return name != "gather" || !carries_[node.inputs[0]];
    if (name == "random_uniform") {
      const Shape& shape = graph_.type(node.outputs[0]).shape;
      return node.inputs.size() <= 2 &&
             std::none_of(shape.begin() + 1, shape.end(), [&](const Dim& d) { return contains_batch(d); });
    }
    if (name == "scan") {
      ScanView scan(node);
      for (size_t i = 0; i < scan.sequences; ++i)
        if (contains_batch(graph_.type(node.inputs[scan.carries + i]).shape[static_cast<size_t>(scan.axes[i])]))
          return false;
      // A carry or stack without samples is a sum over them in disguise, which only some carries may be.
      for (size_t k = 0; k < node.outputs.size(); ++k)
        if (!carries_batch(graph_.type(node.outputs[k])) && (k >= scan.carries || !is_sum(node, k))) return false;
      return true;
    }
    if (name == "ensure_shape")
      for (size_t axis = 0; axis < x.size(); ++axis)
        if (contains_batch(x[axis]) && x[axis] != graph_.type(node.outputs[0]).shape[axis]) return false;
    if (name.starts_with("reduce_"))
      for (int64_t axis : node.attributes.integers("axes"))
        if (contains_batch(x[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(x.size()) : axis)]))
          return false;
    return name != "tile";
  }

  // True if a carry begins as 0 and the body only adds to it.
  bool is_sum(const Node& scan, size_t carry) const {
    const uint32_t first = producer_[scan.inputs[carry]];
    if (first == UINT32_MAX || graph_.nodes[first].op->name != "fill" || graph_.nodes[first].attributes.real("value") != 0.0)
      return false;
    const Graph& body = scan.bodies[0];
    const std::vector<uint32_t> uses = count_uses(body);
    ValueId sum = body.inputs[carry].value;
    const ValueId last = body.results[carry].value;
    for (const Node& node : body.nodes) {
      if (std::find(node.inputs.begin(), node.inputs.end(), sum) == node.inputs.end()) continue;
      if (node.op->name != "add" || uses[sum] != 1) return false;
      sum = node.outputs[0];
    }
    return sum == last && uses[last] == 1;
  }

  // True where the node is a sum over the samples.
  bool sums_samples(const Node& node) const {
    std::string_view name = node.op->name;
    if (name == "reduce_sum" || name == "contract") return true;
    return name == "scatter_add" && !carries_batch(graph_.type(node.outputs[0]));
  }

  bool classify() {
    carries_.resize(graph_.types.size());
    after_.assign(graph_.types.size(), false);
    inside_.assign(graph_.nodes.size(), false);
    for (size_t v = 0; v < graph_.types.size(); ++v) carries_[v] = carries_batch(graph_.types[v]);
    for (const GraphInput& input : graph_.inputs)
      if (carries_[input.value] && !graph_.type(input.value).shape[0].as_symbol()) return false;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      bool reads = false, depends = false;
      for (ValueId input : node.inputs) {
        if (input == no_value) continue;
        reads |= carries_[input];
        depends |= after_[input];
      }
      bool writes = std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return carries_[v]; });
      inside_[n] = reads || writes;
      if (!inside_[n]) {
        for (ValueId output : node.outputs) after_[output] = depends;
        continue;
      }
      if (depends) return false;
      if (writes) {
        if (!keeps_samples_apart(node)) return false;
        for (ValueId output : node.outputs) {
          if (carries_[output]) continue;
          sums_.push_back(output);
          after_[output] = true;
        }
      } else {
        if (!sums_samples(node)) return false;
        sums_.push_back(node.outputs[0]);
        after_[node.outputs[0]] = true;
      }
    }
    for (const GraphResult& result : graph_.results) {
      if (!carries_[result.value]) continue;
      const uint32_t p = producer_[result.value];
      if (p == UINT32_MAX || graph_.type(result.value).shape[0].as_symbol() != batch_) return false;
      if (std::find(rows_.begin(), rows_.end(), result.value) == rows_.end()) rows_.push_back(result.value);
    }
    // Chunks either add up or leave rows: what sums and rows alike leave would need places for both.
    return sums_.empty() != rows_.empty();
  }

  int64_t extent(const Dim& dim) const {
    return dim.evaluate([](std::string_view) { return int64_t{32}; });
  }

  struct Product {
    double work;   // multiply-adds of a sample
    int64_t rows;  // of the product, or of its depth where it sums over the samples, for each sample
  };

  // The products whose rows or depth grow with the batch, `times` over.
  void find_products(const Graph& graph, double times, std::vector<Product>& products) const {
    for (const Node& node : graph.nodes) {
      if (node.op->name == "scan") find_products(node.bodies[0], times * static_cast<double>(extent(scan_trip_count(graph, node))), products);
      if (node.op->name != "contract") continue;
      const ContractSpec spec = parse_contract_spec(node.attributes.string("spec"));
      const Shape &a = graph.type(node.inputs[0]).shape, &b = graph.type(node.inputs[1]).shape;
      Product product{.work = times, .rows = 1};
      char samples = 0;
      for (const auto& [labels, shape] : {std::pair(&spec.a, &a), std::pair(&spec.b, &b)})
        for (size_t i = 0; i < shape->size(); ++i)
          if (contains_batch((*shape)[i])) samples = (*labels)[i];
      if (samples == 0) continue;
      const bool sums = !spec.in_result(samples);
      for (const auto& [labels, shape, second] : {std::tuple(&spec.a, &a, false), std::tuple(&spec.b, &b, true)})
        for (size_t i = 0; i < shape->size(); ++i) {
          const char label = (*labels)[i];
          if (second && spec.in_a(label)) continue;
          const std::optional<Dim> per_sample = (*shape)[i].coefficient(batch_);
          const int64_t size = label == samples ? (per_sample ? extent(*per_sample) : 1) : extent((*shape)[i]);
          product.work *= static_cast<double>(size);
          const bool beside_samples = sums ? !spec.in_result(label)
                                           : (spec.in_a(label) == spec.in_a(samples) && spec.in_b(label) == spec.in_b(samples) &&
                                              spec.in_result(label));
          if (beside_samples) product.rows *= size;
        }
      // Each sample has a product of its own: the chunk does not change it.
      if (!sums && spec.in_a(samples) && spec.in_b(samples)) product.rows = product_rows;
      products.push_back(product);
    }
  }

  // The least chunk that gives every product of weight enough rows.
  int64_t least_rows() const {
    std::vector<Product> products;
    find_products(graph_, 1.0, products);
    double work = 0.0;
    for (const Product& product : products) work += product.work;
    int64_t rows = products.empty() ? 1 : product_rows;
    for (const Product& product : products)
      if (product.work >= small_share * work) rows = std::min(rows, product.rows);
    return ceil_div(product_rows, rows);
  }

  // What a node stores for each sample.
  int64_t stored_bytes(const Graph& graph, const Node& node) const {
    if (node.op->family == OpFamily::shape || node.op->cheap) return 0;
    int64_t bytes = 0;
    for (ValueId output : node.outputs)
      if (auto per_row = element_count(graph.type(output).shape).coefficient(batch_))
        bytes += extent(*per_row) * dtype_bytes(graph.type(output).dtype);
    if (node.op->name == "scan" && ScanView(node).recompute)  // blocks are as large as the cache allows
      for (const Node& inner : node.bodies[0].nodes) bytes += stored_bytes(node.bodies[0], inner);
    return bytes;
  }

  // Rows per chunk; 0 where tiling gains nothing: what is stored stays in the cache without it, or what every chunk reads
  // and adds to anew (weights, their gradients) is more than what a chunk stores.
  int64_t chunk_rows() const {
    auto bytes = [&](ValueId v, const Dim& elements) { return extent(elements) * dtype_bytes(graph_.type(v).dtype); };
    int64_t bytes_per_row = 0, bytes_per_chunk = 0;
    for (size_t n = 0; n < graph_.nodes.size(); ++n)
      if (inside_[n]) bytes_per_row += stored_bytes(graph_, graph_.nodes[n]);
    for (const GraphInput& input : graph_.inputs)
      if (!carries_[input.value]) bytes_per_chunk += bytes(input.value, element_count(graph_.type(input.value).shape));
    for (ValueId sum : sums_) bytes_per_chunk += 2 * bytes(sum, element_count(graph_.type(sum).shape));
    const int64_t cache_bytes = sums_.empty() ? prediction_bytes : step_bytes;
    if (bytes_per_row * most_rows <= cache_bytes) return 0;
    const int64_t least = least_rows();
    int64_t rows = least;  // times a power of two, as most batches are: their chunks are equal, and threads end together
    while (rows * 2 <= std::min(cache_bytes / bytes_per_row, most_rows)) rows *= 2;
    while (rows * bytes_per_row < bytes_per_chunk && rows * 2 <= product_rows) rows *= 2;  // make up for what is read anew
    return bytes_per_chunk <= rows * bytes_per_row ? rows : 0;
  }

  void wrap(int64_t rows) {
    Graph body;
    body.name = "rows";
    body.types = graph_.types;
    body.names = graph_.names;
    std::vector<ValueId> slices, invariants;
    std::vector<bool> seen(graph_.types.size(), false);
    for (const GraphInput& input : graph_.inputs)
      if (carries_[input.value]) {
        slices.push_back(input.value);
        seen[input.value] = true;
      }
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      if (!inside_[n]) continue;
      for (ValueId input : graph_.nodes[n].inputs) {
        if (input == no_value || seen[input]) continue;
        uint32_t p = producer_[input];
        if (p != UINT32_MAX && inside_[p]) continue;
        invariants.push_back(input);
        seen[input] = true;
      }
      body.nodes.push_back(graph_.nodes[n]);
    }
    for (ValueId v : slices) body.inputs.push_back({v, {}});
    for (ValueId v : invariants) body.inputs.push_back({v, {}});
    substitute_symbol(body, batch_, Dim::symbol(std::string(rows_symbol)));
    Value first_row = Builder(body).input({DType::i64, {}});
    draw_global_randomness(body, first_row.id);
    for (ValueId v : sums_) body.add_result(v);
    for (ValueId v : rows_) body.add_result(v);

    Node tile;
    tile.op = &get_op("tile");
    tile.origin = "batch";
    tile.attributes = check_attributes(*tile.op,
                                       {{"chunk", rows},
                                        {"symbol", std::string(rows_symbol)},
                                        {"slices", static_cast<int64_t>(slices.size())},
                                        {"sums", static_cast<int64_t>(sums_.size())},
                                        {"partitions", partitions_}},
                                       "batch");
    tile.inputs = slices;
    tile.inputs.insert(tile.inputs.end(), invariants.begin(), invariants.end());
    tile.outputs = sums_;
    tile.outputs.insert(tile.outputs.end(), rows_.begin(), rows_.end());
    tile.bodies.push_back(compact(std::move(body)));
    std::vector<Node> nodes;
    for (size_t n = 0; n < graph_.nodes.size(); ++n)
      if (!inside_[n]) nodes.push_back(std::move(graph_.nodes[n]));
    nodes.push_back(std::move(tile));
    graph_.nodes = std::move(nodes);
    sort_nodes(graph_);
  }

  // Random numbers belong to a sample, not to its place in a chunk.
  static void draw_global_randomness(Graph& body, ValueId first_row) {
    std::vector<Node> old = std::move(body.nodes);
    body.nodes.clear();
    Builder b(body);
    for (Node& node : old) {
      if (node.op->name == "random_uniform") {
        b.set_origin(node.origin);
        Shape row(body.type(node.outputs[0]).shape.begin() + 1, body.type(node.outputs[0]).shape.end());
        Value offset = b.value(first_row) * b.dim_value(element_count(row), DType::i64);
        node.inputs.push_back(offset.id);
      }
      body.nodes.push_back(std::move(node));
    }
  }

  // The body with values numbered anew, without the outer graph's.
  static Graph compact(Graph from) {
    Graph to;
    to.name = from.name;
    std::vector<ValueId> number(from.types.size(), no_value);
    auto value = [&](ValueId v) {
      if (v == no_value) return v;
      if (number[v] == no_value) number[v] = to.add_value(from.types[v], from.names[v]);
      return number[v];
    };
    for (GraphInput& input : from.inputs) to.inputs.push_back({value(input.value), {}});
    for (Node& node : from.nodes) {
      for (ValueId& v : node.inputs) v = value(v);
      for (ValueId& v : node.outputs) v = value(v);
      to.nodes.push_back(std::move(node));
    }
    for (GraphResult& result : from.results) to.results.push_back({value(result.value), {}});
    return to;
  }
};

}  // namespace

void tile_batch(Graph& graph, int64_t most_rows, int64_t partitions) {
  if (graph.name == "train_step" || graph.name == "predict" || graph.name == "evaluate")
    Tiler(graph, most_rows, partitions).run();
}

}  // namespace moru
