// Operators of the domain ai.onnx.ml on tables of numbers: what scikit-learn's pipelines and decision trees are written as.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

constexpr std::string_view domain = "ai.onnx.ml";

// An attribute's numbers as a row beside x: one for all columns, or one for each.
Value row(OnnxNode& n, const char* attribute, const Value& x) {
  const std::vector<double> given = n.reals(attribute);
  if (given.empty()) n.fail("lacks the attribute '" + std::string(attribute) + "'");
  if (given.size() != 1 && !x.dim(-1).is_constant(static_cast<int64_t>(given.size())))
    n.fail("has " + std::to_string(given.size()) + " numbers as '" + attribute + "' for " + shape_text(x.shape()));
  HostTensor numbers = make_tensor(x.type().dtype, {static_cast<int64_t>(given.size())});
  numbers.data = given;
  return n.table(known_of(numbers), attribute);
}

void extract_features(OnnxNode& n) {
  const Value x = n.in(0);
  const std::vector<int64_t> columns = n.need_integers(1);
  const Dim& width = x.dim(-1);
  for (int64_t column : columns)
    if (column < 0 || (width.is_constant() && column >= width.constant()))
      n.fail("takes column " + std::to_string(column) + " of " + shape_text(x.shape()));
  std::vector<Value> taken;
  const auto last = static_cast<int64_t>(x.rank()) - 1;
  for (int64_t column : columns) taken.push_back(n.builder().slice(x, last, column, 1));
  const Value y = n.builder().concat(taken, last);
  n.set(0, x.rank() == 1 ? n.builder().reshape(y, {1, y.dim(0)}) : y);
}

void binarize(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const DType dtype = x.type().dtype;
  n.set(0, b.cast(b.call("greater", {x, b.constant(n.real("threshold", 0.0), dtype)}), dtype));
}

void scale(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.in(0);
  if (!is_float(x.type().dtype)) x = b.cast(x, DType::f32);
  n.set_as(0, (x - row(n, "offset", x)) * row(n, "scale", x), DType::f32);
}

void normalize(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.in(0);
  if (!is_float(x.type().dtype)) x = b.cast(x, DType::f32);
  const std::string norm = n.choice("norm", {"MAX", "L1", "L2"});
  const std::vector<int64_t> columns = {static_cast<int64_t>(x.rank()) - 1};
  const Value size = b.call("abs", {x});
  Value whole;
  if (norm == "MAX")
    whole = b.reduce("reduce_max", x, columns, true);  // of the numbers, not of their sizes
  else if (norm == "L1")
    whole = b.reduce("reduce_sum", size, columns, true);
  else
    whole = b.call("sqrt", {b.reduce("reduce_sum", x * x, columns, true)});
  const Value nothing = b.call("equal", {whole, b.constant(0.0, x.type().dtype)});
  n.set_as(0, x / b.select(nothing, b.constant(1.0, x.type().dtype), whole), DType::f32);
}

void impute(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  if (!n.has("imputed_value_floats")) n.fail("replaces other values than reals, which is not supported");
  const double replaced = n.real("replaced_value_float", 0.0);
  const Value missing = std::isnan(replaced) ? b.call("not_equal", {x, x})
                                             : b.call("equal", {x, b.constant(replaced, x.type().dtype)});
  n.set(0, b.select(missing, row(n, "imputed_value_floats", x), x));
}

// --- decision trees ---

enum Mode : int64_t { less_equal, less, greater_equal, greater, equal, not_equal, member, modes };

// The attributes of TreeEnsemble, checked: nodes and leaves by their places in them.
struct Trees {
  std::vector<int64_t> features, modes, true_ids, false_ids, roots, targets;
  std::vector<bool> true_is_leaf, false_is_leaf, missing_is_true;
  std::vector<double> splits, weights;
  std::vector<std::vector<double>> members;  // by node
  int64_t target_count = 0;
};

std::vector<double> numbers_of(const OnnxNode& n, const char* attribute) {
  const Known known = known_of(n.tensor(attribute));
  std::vector<double> numbers;
  for (size_t i = 0; i < known->elements(); ++i) numbers.push_back(known->number(i));
  return numbers;
}

Trees read_trees(OnnxNode& n) {
  Trees t;
  t.features = n.integers("nodes_featureids");
  const size_t nodes = t.features.size();
  for (double mode : numbers_of(n, "nodes_modes")) t.modes.push_back(static_cast<int64_t>(mode));
  t.splits = numbers_of(n, "nodes_splits");
  t.weights = numbers_of(n, "leaf_weights");
  t.true_ids = n.integers("nodes_truenodeids");
  t.false_ids = n.integers("nodes_falsenodeids");
  t.roots = n.integers("tree_roots");
  t.targets = n.integers("leaf_targetids");
  t.target_count = n.integer("n_targets", 1);
  const auto flags = [&](const char* attribute) {
    std::vector<bool> list;
    for (int64_t flag : n.integers(attribute, std::vector<int64_t>(nodes, 0))) list.push_back(flag != 0);
    return list;
  };
  t.true_is_leaf = flags("nodes_trueleafs");
  t.false_is_leaf = flags("nodes_falseleafs");
  t.missing_is_true = flags("nodes_missing_value_tracks_true");
  const auto of_nodes = [&](size_t size) { return size == nodes; };
  if (nodes == 0 || !of_nodes(t.modes.size()) || !of_nodes(t.splits.size()) || !of_nodes(t.true_ids.size()) ||
      !of_nodes(t.false_ids.size()) || !of_nodes(t.true_is_leaf.size()) || !of_nodes(t.false_is_leaf.size()) ||
      !of_nodes(t.missing_is_true.size()))
    n.fail("has attributes of its nodes that differ in length");
  if (t.targets.size() != t.weights.size()) n.fail("has attributes of its leaves that differ in length");
  if (t.target_count < 1 || t.target_count > (int64_t{1} << 20)) n.fail("has " + std::to_string(t.target_count) + " targets");
  for (int64_t target : t.targets)
    if (target < 0 || target >= t.target_count) n.fail("has a leaf of the target " + std::to_string(target));
  for (int64_t mode : t.modes)
    if (mode < 0 || mode >= modes) n.fail("has a node of the unknown mode " + std::to_string(mode));
  // Sets of members stand behind one another, each up to a NaN.
  t.members.resize(nodes);
  const std::vector<double> all = n.has("membership_values") ? numbers_of(n, "membership_values") : std::vector<double>();
  auto next = all.begin();
  for (size_t node = 0; node < nodes; ++node) {
    if (t.modes[node] != member) continue;
    while (next != all.end() && !std::isnan(*next)) t.members[node].push_back(*next++);
    if (next != all.end()) ++next;
  }
  return t;
}

// A leaf and what leads to it: nodes, and which of their branches.
struct Leaf {
  size_t leaf = 0;
  std::vector<std::pair<size_t, bool>> path;
};

std::vector<Leaf> leaves_below(OnnxNode& n, const Trees& t, int64_t root) {
  constexpr size_t most_leaves = size_t{1} << 16, most_steps = 4096;
  std::vector<Leaf> leaves;
  std::vector<std::pair<size_t, bool>> path;
  const std::function<void(int64_t, bool)> walk = [&](int64_t id, bool is_leaf) {
    if (id < 0 || static_cast<size_t>(id) >= (is_leaf ? t.weights.size() : t.features.size()))
      n.fail("has a branch to " + std::string(is_leaf ? "leaf " : "node ") + std::to_string(id) + ", which is not there");
    const auto at = static_cast<size_t>(id);
    if (leaves.size() >= most_leaves || path.size() >= most_steps) n.fail("has a tree without end, or of more than 65536 leaves");
    if (is_leaf) return leaves.push_back({at, path});
    path.emplace_back(at, true);
    walk(t.true_ids[at], t.true_is_leaf[at]);
    path.back().second = false;
    walk(t.false_ids[at], t.false_is_leaf[at]);
    path.pop_back();
  };
  walk(root, false);
  return leaves;
}

// Whether each node's true branch is taken: [batch, nodes] bool.
Value decisions(OnnxNode& n, const Trees& t, const Value& x, const std::vector<size_t>& nodes) {
  Builder& b = n.builder();
  const DType dtype = x.type().dtype;
  const auto count = static_cast<int64_t>(nodes.size());
  const auto table = [&](DType type, const char* name, auto number) {
    HostTensor values = make_tensor(type, {count});
    for (size_t i = 0; i < nodes.size(); ++i) values.data[i] = static_cast<double>(number(nodes[i]));
    return n.table(known_of(values), name);
  };
  for (size_t node : nodes)
    if (t.features[node] < 0 || !x.dim(1).is_constant() || t.features[node] >= x.dim(1).constant())
      n.fail("splits by feature " + std::to_string(t.features[node]) + " of " + shape_text(x.shape()));
  const Value features = table(DType::i64, "features", [&](size_t node) { return t.features[node]; });
  const Value value = b.transpose(b.call("gather", {b.transpose(x, {1, 0}), features}), {1, 0});
  const Value split = table(dtype, "splits", [&](size_t node) { return t.splits[node]; });
  constexpr const char* comparisons[] = {"less_equal", "less", "greater_equal", "greater", "equal", "not_equal"};
  Value taken;
  for (int64_t mode = 0; mode < modes; ++mode) {
    const auto has_mode = [&](size_t node) { return t.modes[node] == mode; };
    if (std::none_of(nodes.begin(), nodes.end(), has_mode)) continue;
    Value holds;
    if (mode != member) holds = b.call(comparisons[mode], {value, split});
    size_t most = 0;
    for (size_t node : nodes) most = std::max(most, t.members[node].size());
    for (size_t k = 0; mode == member && k < std::max<size_t>(most, 1); ++k) {
      const Value one = table(dtype, "members", [&](size_t node) { return k < t.members[node].size() ? t.members[node][k] : NAN; });
      const Value is_one = b.call("equal", {value, one});
      holds = holds ? b.call("logical_or", {holds, is_one}) : is_one;
    }
    taken = taken ? b.select(table(DType::boolean, "modes", has_mode), holds, taken) : holds;
  }
  const Value missing = b.call("not_equal", {value, value});
  return b.select(missing, table(DType::boolean, "missing", [&](size_t node) { return bool{t.missing_is_true[node]}; }), taken);
}

// A leaf is reached where all that leads to it was decided so: the number of true decisions among its true branches, less
// those among its false ones, is the number of its true branches (Nakandala et al., "A Tensor Compiler for Unified Machine
// Learning Prediction Serving", OSDI 2020, section 4.1).
void ensemble_of_trees(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  if (x.rank() != 2 || !is_float(x.type().dtype)) n.fail("needs reals [batch, features] but got " + type_text(x.type()));
  const DType dtype = x.type().dtype;
  const Trees t = read_trees(n);
  const int64_t aggregate = n.integer("aggregate_function", 1), transform = n.integer("post_transform", 0);
  if (aggregate != 0 && aggregate != 1) n.fail("takes the least or the greatest over its trees, which is not supported");
  if (transform < 0 || transform > 2) n.fail("has the post_transform " + std::to_string(transform) + ", which is not supported");
  Value sum;
  for (int64_t root : t.roots) {
    const std::vector<Leaf> leaves = leaves_below(n, t, root);
    std::map<size_t, size_t> places;  // of the tree's nodes
    for (const Leaf& leaf : leaves)
      for (const auto& [node, branch] : leaf.path) places.try_emplace(node, places.size());
    std::vector<size_t> nodes(places.size());
    for (const auto& [node, place] : places) nodes[place] = node;
    const auto node_count = static_cast<int64_t>(nodes.size()), leaf_count = static_cast<int64_t>(leaves.size());
    constexpr int64_t most_elements = int64_t{1} << 26;
    if (node_count * leaf_count > most_elements) n.fail("has a tree of " + std::to_string(node_count) + " nodes, which are too many");
    HostTensor paths = make_tensor(dtype, {node_count, leaf_count}), counts = make_tensor(dtype, {leaf_count}),
               weights = make_tensor(dtype, {leaf_count, t.target_count});
    for (size_t k = 0; k < leaves.size(); ++k) {
      for (const auto& [node, branch] : leaves[k].path) {
        paths.data[places[node] * leaves.size() + k] = branch ? 1.0 : -1.0;
        counts.data[k] += branch ? 1.0 : 0.0;
      }
      const size_t leaf = leaves[k].leaf;
      weights.data[k * static_cast<size_t>(t.target_count) + static_cast<size_t>(t.targets[leaf])] = t.weights[leaf];
    }
    const Value taken = b.cast(decisions(n, t, x, nodes), dtype);
    const Value score = b.contract(taken, n.table(known_of(paths), "paths"), "bn,nl->bl");
    const Value reached = b.cast(b.call("equal", {score, n.table(known_of(counts), "counts")}), dtype);
    const Value values = b.contract(reached, n.table(known_of(weights), "weights"), "bl,lt->bt");
    sum = sum ? sum + values : values;
  }
  if (!sum) n.fail("has no trees");
  if (aggregate == 0) sum = sum * (1.0 / static_cast<double>(t.roots.size()));
  if (transform == 1) sum = softmax_along(sum, -1, false);
  if (transform == 2) sum = b.call("sigmoid", {sum});
  n.set(0, sum);
}

constexpr OnnxOp ops[] = {{"ArrayFeatureExtractor", 1, extract_features, domain},
                          {"Binarizer", 1, binarize, domain},
                          {"Scaler", 1, scale, domain},
                          {"Normalizer", 1, normalize, domain},
                          {"Imputer", 1, impute, domain},
                          {"TreeEnsemble", 5, ensemble_of_trees, domain}};

}  // namespace

std::span<const OnnxOp> onnx_ml_ops() { return ops; }

}  // namespace moru
