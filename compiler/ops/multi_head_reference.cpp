// Attention of several heads by plain loops: the reference of multi_head_attention.cpp's entries.
#include <algorithm>
#include <cmath>

#include "compiler/ops/attention.h"
#include "compiler/ops/multi_head_attention.h"
#include "compiler/ops/tensor_loops.h"

namespace moru::heads {

namespace {

using Integers = std::vector<int64_t>;

// y[row, column] = sum over k of x[row, k] kernel[k, column] + bias[column], for a kernel of `inner` rows.
std::vector<double> projected(const std::vector<double>& x, const HostTensor& kernel, const HostTensor* bias,
                              size_t inner) {
  const size_t columns = kernel.data.size() / inner, rows = x.size() / inner;
  std::vector<double> y(rows * columns);
  for (size_t row = 0; row < rows; ++row)
    for (size_t column = 0; column < columns; ++column) {
      double sum = bias ? bias->data[column] : 0.0;
      for (size_t i = 0; i < inner; ++i) sum += x[row * inner + i] * kernel.data[i * columns + column];
      y[row * columns + column] = sum;
    }
  return y;
}

// All positions of a tensor [..., features], each with its index along every axis but the last.
std::vector<Integers> positions_of(const std::vector<int64_t>& shape) {
  std::vector<Integers> positions;
  const int64_t count = element_count(std::span(shape).first(shape.size() - 1));
  for (int64_t flat = 0; flat < count; ++flat) {
    Integers position(shape.size() - 1);
    int64_t rest = flat;
    for (size_t axis = position.size(); axis-- > 0; rest /= shape[axis]) position[axis] = rest % shape[axis];
    positions.push_back(std::move(position));
  }
  return positions;
}

struct Pairs {  // of queries and keys that differ along the attention axes only
  struct Pair {
    size_t query, key;
    Integers score;  // index of the score, with head 0
  };
  std::vector<std::vector<Pair>> by_query;
};

Pairs pairs_of(const HostTensor& q, const HostTensor& k, const std::vector<size_t>& axes) {
  Pairs pairs;
  const std::vector<Integers> queries = positions_of(q.shape), keys = positions_of(k.shape);
  for (size_t i = 0; i < queries.size(); ++i) {
    pairs.by_query.emplace_back();
    for (size_t j = 0; j < keys.size(); ++j) {
      Integers score;
      bool meets = true;
      for (size_t axis = 0; axis < queries[i].size(); ++axis) {
        if (contains(axes, axis)) continue;
        meets = meets && queries[i][axis] == keys[j][axis];
        score.push_back(queries[i][axis]);
      }
      if (!meets) continue;
      score.push_back(0);
      for (size_t axis : axes) score.push_back(queries[i][axis]);
      for (size_t axis : axes) score.push_back(keys[j][axis]);
      pairs.by_query.back().push_back({i, j, std::move(score)});
    }
  }
  return pairs;
}

size_t offset_of(const Integers& index, const std::vector<int64_t>& strides) {
  int64_t offset = 0;
  for (size_t axis = 0; axis < index.size(); ++axis) offset += index[axis] * strides[axis];
  return static_cast<size_t>(offset);
}

// Which scores there are and where: of the projected inputs, each [position, head, element].
struct Layout {
  Heads heads;
  Pairs pairs;
  std::vector<int64_t> strides;  // of the scores
  size_t head_axis = 0;

  size_t place(const Pairs::Pair& pair, size_t head) const {
    return offset_of(pair.score, strides) + head * static_cast<size_t>(strides[head_axis]);
  }
  size_t query_heads() const { return static_cast<size_t>(heads.query); }
  size_t query_row(const Pairs::Pair& pair, size_t head) const { return pair.query * query_heads() + head; }
  size_t key_row(const Pairs::Pair& pair, size_t head) const {
    return pair.key * static_cast<size_t>(heads.key_value) + head / static_cast<size_t>(heads.group());
  }
};

// Says of an index of the scores (batch ..., head, query ..., key ...) whether the query may look at the key.
class Visibility {
 public:
  Visibility(std::span<const HostTensor> inputs, const Attributes& a, const std::vector<int64_t>& scores, size_t axes)
      : a_(a),
        given_(find_input(inputs, attention_mask)),
        query_(find_input(inputs, query_mask)),
        value_(find_input(inputs, value_mask)),
        key_(find_input(inputs, key_mask)) {
    if (given_) strides_ = broadcast_strides(mask_shape(given_->shape, scores.size(), axes), scores);
  }
  bool operator()(const Integers& score) const {
    if (given_ && given_->data[offset_of(score, strides_)] == 0.0) return false;
    const int64_t i = score[score.size() - 2], j = score.back();
    if (a_.boolean("use_causal_mask") && j > i) return false;
    if (a_.has("sliding_window") && std::abs(i - j) >= a_.integer("sliding_window")) return false;
    const auto in = [&](const HostTensor* mask, int64_t time) {
      return !mask || mask->data[static_cast<size_t>(score[0] * mask->shape[1] + time)] != 0.0;
    };
    return in(query_, i) && in(value_, j) && in(key_, j);
  }

 private:
  const Attributes& a_;
  const HostTensor *given_, *query_, *value_, *key_;
  std::vector<int64_t> strides_;
};

// q.k / sqrt(key_dim) of every pair and head.
void score_pairs(const Layout& layout, const std::vector<double>& queries, const std::vector<double>& keys,
                 const Visibility& visible, HostTensor& scores) {
  const auto depth = static_cast<size_t>(layout.heads.key_dim);
  for (const auto& seen : layout.pairs.by_query)
    for (const Pairs::Pair& pair : seen)
      for (size_t head = 0; head < layout.query_heads(); ++head) {
        double sum = 0.0;
        for (size_t d = 0; d < depth; ++d)
          sum += queries[layout.query_row(pair, head) * depth + d] * keys[layout.key_row(pair, head) * depth + d];
        Integers score = pair.score;
        score[layout.head_axis] = static_cast<int64_t>(head);
        scores.data[layout.place(pair, head)] = visible(score) ? sum / std::sqrt(static_cast<double>(depth)) : masked_away;
      }
}

void softmax_rows(const Layout& layout, HostTensor& scores) {
  for (const auto& seen : layout.pairs.by_query)
    for (size_t head = 0; head < layout.query_heads(); ++head) {
      double largest = -INFINITY, total = 0.0;
      for (const Pairs::Pair& pair : seen) largest = std::max(largest, scores.data[layout.place(pair, head)]);
      for (const Pairs::Pair& pair : seen) {
        double& score = scores.data[layout.place(pair, head)];
        total += score = std::exp(score - largest);
      }
      for (const Pairs::Pair& pair : seen) scores.data[layout.place(pair, head)] /= total;
    }
}

// The values that each query and head sees, weighted: [query, head, value_dim].
std::vector<double> weigh_values(const Layout& layout, const HostTensor& weights, const std::vector<double>& values) {
  const auto width = static_cast<size_t>(layout.heads.value_dim);
  std::vector<double> sums(layout.pairs.by_query.size() * layout.query_heads() * width);
  for (const auto& seen : layout.pairs.by_query)
    for (const Pairs::Pair& pair : seen)
      for (size_t head = 0; head < layout.query_heads(); ++head)
        for (size_t d = 0; d < width; ++d)
          sums[layout.query_row(pair, head) * width + d] +=
              weights.data[layout.place(pair, head)] * values[layout.key_row(pair, head) * width + d];
  return sums;
}

}  // namespace

std::vector<HostTensor> heads_reference(std::span<const HostTensor> inputs, const Attributes& a) {
  const HostTensor &q = inputs[query], &v = inputs[value];
  const HostTensor& k = find_input(inputs, key) ? inputs[key] : v;
  const std::vector<size_t> axes = axes_of(a, q.shape.size());
  const auto project = [&](const HostTensor& x, Input kernel) {
    return projected(x.data, inputs[kernel], find_input(inputs, kernel + 1), static_cast<size_t>(x.shape.back()));
  };
  HostTensor scores = make_tensor(q.dtype, scores_shape(q.shape, k.shape, a));
  const Layout layout{heads_of(a), pairs_of(q, k, axes), strides_of(scores.shape), scores.shape.size() - 2 * axes.size() - 1};
  score_pairs(layout, project(q, query_kernel), project(k, key_kernel), Visibility(inputs, a, scores.shape, axes.size()), scores);
  softmax_rows(layout, scores);
  const HostTensor used = dropped_out(scores, find_input(inputs, seed), find_input(inputs, step), a);
  std::vector<double> joined = weigh_values(layout, used, project(v, value_kernel));
  if (a.boolean("use_gate")) {
    const std::vector<double> gate = project(q, gate_kernel);
    for (size_t i = 0; i < joined.size(); ++i) joined[i] /= 1.0 + std::exp(-gate[i]);
  }
  const HostTensor& kernel = inputs[output_kernel];
  std::vector<int64_t> shape(q.shape.begin(), q.shape.end() - 1);
  shape.insert(shape.end(), kernel.shape.begin() + 2, kernel.shape.end());
  HostTensor y = make_tensor(q.dtype, shape);
  y.data = projected(joined, kernel, find_input(inputs, output_bias),
                     layout.query_heads() * static_cast<size_t>(layout.heads.value_dim));
  std::vector<HostTensor> outputs = {std::move(y)};
  if (a.boolean("return_attention_scores")) outputs.push_back(std::move(scores));
  return outputs;
}

}  // namespace moru::heads
