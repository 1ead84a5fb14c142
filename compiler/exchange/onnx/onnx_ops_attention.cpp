// ONNX's attention: Attention with its caches and masks, linear attention, rotary embeddings, gated units.
#include <cmath>
#include <limits>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// [batch, time, heads * size] -> [batch, heads, time, size]
Value split_heads(OnnxNode& n, Value x, int64_t heads) {
  Builder& b = n.builder();
  if (heads < 1) n.fail("needs q_num_heads and kv_num_heads for inputs of three axes");
  return b.transpose(b.reshape(x, {x.dim(0), x.dim(1), heads, floor_div(x.dim(2), heads)}), {0, 2, 1, 3});
}

Value additive(OnnxNode& n, Value mask, DType dtype) {
  Builder& b = n.builder();
  if (mask.type().dtype != DType::boolean) return b.cast(mask, dtype);
  return b.select(mask, b.constant(0.0, dtype), b.constant(-infinity, dtype));
}

// The mask may end before the keys do; what it says nothing of is masked.
Value given_mask(OnnxNode& n, DType dtype, const Dim& keys) {
  Value bias = additive(n, n.in(3), dtype);
  const Dim missing = keys - bias.dim(-1);
  if (!missing.is_constant(0) && !bias.dim(-1).is_constant(1))
    bias = pad_axis(bias, static_cast<int64_t>(bias.rank()) - 1, 0, missing, -infinity);
  return bias;
}

void attention(OnnxNode& n) {
  Builder& b = n.builder();
  Value query = n.in(0), key = n.in(1), value = n.in(2);
  const bool flat = query.rank() == 3;
  if (flat) {
    query = split_heads(n, query, n.integer("q_num_heads", 0));
    key = split_heads(n, key, n.integer("kv_num_heads", 0));
    value = split_heads(n, value, n.integer("kv_num_heads", 0));
  }
  if (query.rank() != 4 || key.rank() != 4 || value.rank() != 4)
    n.fail("needs three inputs with 3 axes each or 4 axes each but got " + shape_text(n.type(0).shape));
  const DType dtype = query.type().dtype;
  Dim past = 0;
  if (n.has_input(4) != n.has_input(5)) n.fail("needs past_key and past_value together");
  if (n.has_input(4)) {
    const Value keys[] = {n.in(4), key}, values[] = {n.in(5), value};
    past = keys[0].dim(2);
    key = b.concat(keys, 2);
    value = b.concat(values, 2);
  }
  n.set(1, key);
  n.set(2, value);

  const Dim queries = query.dim(2), keys = key.dim(2);
  Value bias;
  auto add = [&](Value more) { bias = bias ? bias + more : more; };
  if (n.has_input(3)) add(given_mask(n, dtype, keys));
  const bool causal = n.integer("is_causal", 0) != 0;
  const int64_t left = n.integer("left_window_size", -1), right = n.integer("right_window_size", -1);
  Value lengths;  // of each sample's keys that are no padding
  if (n.has_input(6)) lengths = b.reshape(b.cast(n.in(6), DType::i64), {n.in(6).dim(0), 1, 1, 1});
  const Value column = iota(b, {1, keys}, 1);
  if (causal || left >= 0 || right >= 0) {
    Value row = iota(b, {queries, 1}, 0);
    if (n.has_input(4))
      row = row + dim_scalar(b, past, DType::i64);
    else if (lengths)
      row = row + lengths - dim_scalar(b, queries, DType::i64);
    auto mask = [&](Value allowed) { add(additive(n, allowed, dtype)); };
    if (causal) mask(b.call("less_equal", {column, row}));
    if (left >= 0) mask(b.call("less_equal", {row - column, n.constant(static_cast<double>(left), DType::i64)}));
    if (right >= 0) mask(b.call("less_equal", {column - row, n.constant(static_cast<double>(right), DType::i64)}));
  }
  if (lengths) add(additive(n, b.call("less", {b.reshape(column, {1, 1, 1, keys}), lengths}), dtype));

  const Dim heads = query.dim(1), key_heads = key.dim(1);
  if (heads != key_heads) {
    if (!heads.is_constant() || !key_heads.is_constant() || key_heads.constant() < 1 || heads.constant() % key_heads.constant() != 0)
      n.fail("has " + heads.text() + " heads of queries, which is no multiple of the " + key_heads.text() + " of keys");
    const int64_t times = heads.constant() / key_heads.constant();
    key = repeat_heads(key, times);
    value = repeat_heads(value, times);
  }
  const Dim width = query.dim(3);
  double scale = n.real("scale", 0.0);
  if (!n.has("scale")) {
    if (!width.is_constant()) n.fail("needs heads of a known size but got " + shape_text(query.shape()));
    scale = 1.0 / std::sqrt(static_cast<double>(width.constant()));
  }
  Value scores = b.contract(query * std::sqrt(scale), key * std::sqrt(scale), "bhqd,bhkd->bhqk");
  const int64_t mode = n.integer("qk_matmul_output_mode", 0);
  if (mode == 0) n.set(3, scores);
  const double cap = n.real("softcap", 0.0);
  if (cap > 0.0) scores = b.call("tanh", {scores / cap}) * cap;
  if (mode == 1) n.set(3, scores);
  if (bias) scores = scores + bias;
  if (mode == 2) n.set(3, scores);
  Value probabilities;
  if (bias) {
    // A query that may look at nothing gets zeros: decided by the mask, since such a row's scores may be NaN.
    const Value most = b.reduce("reduce_max", bias, {static_cast<int64_t>(bias.rank()) - 1}, true);
    const Value open = b.call("greater", {most, b.constant(-std::numeric_limits<float>::max(), dtype)});
    const Value zero = b.constant(0.0, dtype);
    probabilities = b.select(open, softmax_along(b.select(open, scores, zero), -1, false), zero);
  } else {
    probabilities = softmax_along(scores, -1, false);
  }
  if (mode == 3) n.set(3, probabilities);
  Value y = b.contract(probabilities, value, "bhqk,bhkv->bhqv");
  if (flat) {
    y = b.transpose(y, {0, 2, 1, 3});
    y = b.reshape(y, {y.dim(0), y.dim(1), y.dim(2) * y.dim(3)});
  }
  n.set(0, y);
}

// A state [keys, values] of each head that every step decays, corrects and adds to, and is read by the query.
//   s = exp(decay) s;   v = beta (value - s^T key);   s = s + key v^T;   y = scale s^T query
// Without `decay` or `beta`, for rules that do not have them, the state stays and v is the value.
void linear_attention(OnnxNode& n) {
  Builder& b = n.builder();
  const std::string rule = n.choice("update_rule", {"gated_delta", "gated", "delta", "linear"});
  const bool gated = rule == "gated" || rule == "gated_delta", delta = rule == "delta" || rule == "gated_delta";
  if (gated != n.has_input(4) || delta != n.has_input(5))
    n.fail("with the update_rule '" + rule + "' needs " + (gated ? "a decay" : "no decay") + " and " + (delta ? "a beta" : "no beta"));
  const int64_t heads = n.integer("q_num_heads"), key_heads = n.integer("kv_num_heads");
  if (key_heads < 1 || heads < 1 || heads % key_heads != 0)
    n.fail("has " + std::to_string(heads) + " heads of queries, which is no multiple of the " + std::to_string(key_heads) + " of keys");
  for (size_t input : {0, 1, 2})
    if (n.rank(input) != 3) n.fail("needs [batch, time, heads * size] but got " + shape_text(n.type(input).shape));
  // Time first: [time, batch, heads, size].
  const auto by_time = [&](size_t input, int64_t count) {
    const Value x = b.cast(n.in(input), DType::f32);
    return b.transpose(b.reshape(x, {x.dim(0), x.dim(1), count, floor_div(x.dim(2), count)}), {1, 0, 2, 3});
  };
  const Value query = by_time(0, heads), key = by_time(1, key_heads), value = by_time(2, key_heads);
  const Dim batch = query.dim(1), width = query.dim(3), size = value.dim(3);
  if (!width.is_constant() || !size.is_constant()) n.fail("needs heads of a known size but got " + shape_text(n.type(0).shape));
  // All that a step needs as one sequence, whose parts lie one behind the other: [time, batch, elements].
  std::vector<Value> parts;
  const auto add = [&](Value x) {
    parts.push_back(b.reshape(x, {x.dim(0), x.dim(1), x.dim(2) * x.dim(3)}));
    return x.shape();
  };
  const Shape key_shape = add(key), value_shape = add(value), query_shape = add(query);
  Shape decay_shape, beta_shape;
  if (gated) decay_shape = add(b.call("exp", {by_time(4, key_heads)}));  // [.., 1] or [.., width]
  if (delta) {
    const bool shared = n.in(5).dim(2).is_constant(1);
    beta_shape = add(by_time(5, shared ? 1 : key_heads));
  }
  const Value sequence = parts.size() == 1 ? parts[0] : b.concat(parts, 2);
  const Shape state_shape = {batch, key_heads, width, size};
  const Value initial = n.has_input(3) ? b.cast(n.in(3), DType::f32) : b.fill(0.0, state_shape);
  const double scale = n.real("scale", 0.0) != 0.0 ? n.real("scale") : 1.0 / std::sqrt(static_cast<double>(width.constant()));
  const auto results = scan_along(initial, sequence, false, [&](Builder& inner, Value state, Value step) {
    Dim at = 0;
    const auto take = [&](const Shape& shape) {
      const Dim elements = shape[2] * shape[3];
      const Value part = inner.reshape(inner.slice(step, 1, at, elements), {shape[1], shape[2], shape[3]});
      at = at + elements;
      return part;
    };
    const Value k = take(key_shape), v = take(value_shape), q = take(query_shape);
    if (gated) {
      const Value decay = take(decay_shape);
      state = state * inner.reshape(decay, {decay.dim(0), decay.dim(1), decay.dim(2), 1});
    }
    Value written = v;
    if (delta) written = take(beta_shape) * (v - inner.contract(state, k, "bhkv,bhk->bhv"));
    state = state + inner.contract(k, written, "bhk,bhv->bhkv");
    const Value grouped = inner.reshape(q, {batch, key_heads, heads / key_heads, width});
    const Value read = inner.contract(grouped, state, "bhgk,bhkv->bhgv") * scale;
    return std::vector<Value>{state, inner.reshape(read, {batch, size * heads})};
  });
  n.set(0, b.transpose(results[1], {1, 0, 2}));
  n.set_as(1, results[0], n.has_input(3) ? n.dtype(3) : n.dtype(0));
}

void rotary_embedding(OnnxNode& n) {
  Builder& b = n.builder();
  const Shape shape = n.type(0).shape;
  Value x = n.in(0);  // as [batch, time, heads, size]
  if (shape.size() == 4) {
    x = b.transpose(x, {0, 2, 1, 3});
  } else {
    const int64_t heads = n.integer("num_heads");
    if (heads < 1) n.fail("has " + std::to_string(heads) + " heads");
    x = b.reshape(x, {x.dim(0), x.dim(1), heads, floor_div(x.dim(2), heads)});
  }
  if (!x.dim(3).is_constant()) n.fail("needs heads of a known size but got " + shape_text(shape));
  const int64_t size = x.dim(3).constant();
  int64_t rotated = n.integer("rotary_embedding_dim", 0);
  if (rotated == 0) rotated = size;
  if (rotated < 0 || rotated > size || rotated % 2 != 0)
    n.fail("cannot rotate " + std::to_string(rotated) + " of " + std::to_string(size) + " elements");
  const int64_t half = rotated / 2;
  auto cache = [&](size_t input) {
    Value table = n.in(input);
    if (n.has_input(3)) table = b.call("gather", {table, b.cast(n.in(3), DType::i64)});
    return b.reshape(table, {table.dim(0), table.dim(1), 1, table.dim(2)});
  };
  const Value cosine = cache(1), sine = cache(2);
  const Value turning = b.slice(x, 3, 0, rotated), rest = b.slice(x, 3, rotated, size - rotated);
  const bool interleaved = n.integer("interleaved", 0) != 0;
  Shape pairs = turning.shape();
  pairs.back() = interleaved ? half : 2;
  pairs.push_back(interleaved ? 2 : half);
  const int64_t pair_axis = interleaved ? 4 : 3;
  const Value apart = b.reshape(turning, pairs);
  Shape part_shape = turning.shape();
  part_shape.back() = half;
  const Value first = b.reshape(b.slice(apart, pair_axis, 0, 1), part_shape),
              second = b.reshape(b.slice(apart, pair_axis, 1, 1), part_shape);
  Shape one = pairs;
  one[static_cast<size_t>(pair_axis)] = 1;
  const Value parts[] = {b.reshape(cosine * first - sine * second, one),
                         b.reshape(sine * first + cosine * second, one)};
  Value y = b.reshape(b.concat(parts, pair_axis), turning.shape());
  if (rotated < size) {
    const Value whole[] = {y, rest};
    y = b.concat(whole, 3);
  }
  n.set(0, shape.size() == 4 ? b.transpose(y, {0, 2, 1, 3}) : b.reshape(y, shape));
}

void swiglu(OnnxNode& n) {
  const Value gate = n.in(0);
  n.set(0, gate * n.builder().call("sigmoid", {gate * n.real("alpha", 1.0)}) * n.in(1));
}

constexpr OnnxOp ops[] = {{"Attention", 1, attention}, {"RotaryEmbedding", 1, rotary_embedding}, {"SwiGLU", 1, swiglu},
                          {"LinearAttention", 1, linear_attention}};

}  // namespace

std::span<const OnnxOp> onnx_attention_ops() { return ops; }

}  // namespace moru
