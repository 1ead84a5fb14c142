// Attention of queries and keys as they are: Attention (Luong et al. 2015) and AdditiveAttention (Bahdanau et al.
// 2015).
#include "compiler/ops/attention.h"

#include <algorithm>
#include <cmath>

namespace moru {

namespace {

using T = AttributeType;

constexpr double masked_away = 1e9;  // what Keras takes from the score of a key that must not be seen

Value index_along(Builder& builder, const Dim& extent, bool row) {
  return builder.call("iota", {}, {{"shape", row ? Shape{extent, 1} : Shape{1, extent}}, {"axis", row ? 0 : 1}});
}

}  // namespace

Value causal_mask(Builder& builder, const Dim& queries, const Dim& keys) {
  return builder.call("greater_equal", {index_along(builder, queries, true), index_along(builder, keys, false)});
}

Value window_mask(Builder& builder, const Dim& queries, const Dim& keys, int64_t window) {
  const Value distance = index_along(builder, queries, true) - index_along(builder, keys, false);
  return builder.call(
      "less", {builder.call("abs", {distance}), builder.constant(static_cast<double>(window), distance.type().dtype)});
}

Value both_masks(Value a, Value b) {
  if (!a || !b) return a ? a : b;
  return a.builder->call("logical_and", {a, b});
}

Value dropped_out(Value x, Value seed, Value step, const Attributes& attributes) {
  if (!seed || attributes.real("dropout") == 0.0) return x;
  return x.builder->call("dropout", {x, seed, step},
                         {{"rate", attributes.real("dropout")}, {"stream", attributes.integer("stream")}});
}

HostTensor dropped_out(HostTensor x, const HostTensor* seed, const HostTensor* step, const Attributes& attributes) {
  if (!seed || attributes.real("dropout") == 0.0) return x;
  const Op& dropout = get_op("dropout");
  const HostTensor inputs[] = {std::move(x), *seed, *step};
  return dropout
      .reference(inputs,
                 check_attributes(dropout,
                                  {{"rate", attributes.real("dropout")}, {"stream", attributes.integer("stream")}}, {}))
      .at(0);
}

std::vector<AttributeSpec> dropout_attributes() {
  return {{.name = "dropout", .type = T::real, .default_value = 0.0, .least = 0, .most = 1, .doc = "share of scores"},
          {.name = "seed", .type = T::integer, .optional = true, .doc = "ignored: the run has one seed"},
          {.name = "stream", .type = T::integer, .default_value = 0, .doc = "number of this draw", .internal = true}};
}

std::vector<AttributeSpec> attention_call_attributes() {
  return {{.name = "return_attention_scores",
           .type = T::boolean,
           .default_value = false,
           .doc = "also the weights that keys have for queries",
           .of_call = true},
          {.name = "use_causal_mask",
           .type = T::boolean,
           .default_value = false,
           .doc = "query i sees keys 0 .. i only",
           .of_call = true}};
}

namespace {

// The op's inputs.
enum Input : size_t { query, value, key, query_mask, value_mask, seed, step, scale, concat_score_weight };

// How queries and keys are compared.
enum class Comparison : uint8_t { dot, concat, additive };

Comparison comparison_of(const Op& op, const Attributes& a) {
  if (op.name == "additive_attention") return Comparison::additive;
  return a.string("score_mode") == "concat" ? Comparison::concat : Comparison::dot;
}

std::vector<Type> infer_attention(const OpContext& context, const Op& op) {
  const Type& q = context.inputs[query];
  const Type& v = has_input(context, value) ? context.inputs[value] : q;
  const Type& k = has_input(context, key) ? context.inputs[key] : v;
  if (q.shape.size() < 3)
    fail(context, op, "needs queries [batch, ..., time, features] but got " + shape_text(q.shape));
  if (!is_float(q.dtype)) fail(context, op, "needs floating point input but got " + type_text(q));
  for (const Type& type : {v, k})
    if (type.dtype != q.dtype)
      fail(context, op, "needs inputs of one element type but got " + type_text(q) + " and " + type_text(type));
  const auto leading = [](const Type& type) { return Shape(type.shape.begin(), type.shape.end() - 2); };
  const size_t rank = q.shape.size();
  const bool alike = v.shape.size() == rank && k.shape.size() == rank && are_equal(context, leading(q), leading(v)) &&
                     are_equal(context, leading(q), leading(k)) && are_equal(context, v.shape[rank - 2], k.shape[rank - 2]) &&
                     are_equal(context, q.shape.back(), k.shape.back());
  if (!alike)
    fail(context, op,
         "needs queries [batch, queries, features], values [batch, keys, ...] and keys [batch, keys, features] but "
         "got " +
             shape_text(q.shape) + ", " + shape_text(v.shape) + " and " + shape_text(k.shape));
  for (const auto& [mask, of] : {std::pair{query_mask, &q}, std::pair{value_mask, &v}}) {
    if (!has_input(context, mask)) continue;
    const Type wanted{DType::boolean, Shape(of->shape.begin(), of->shape.end() - 1)};
    if (context.inputs[mask].dtype != wanted.dtype || !are_equal(context, wanted.shape, context.inputs[mask].shape))
      fail(context, op, "needs the mask " + type_text(wanted) + " but got " + type_text(context.inputs[mask]));
  }
  if (has_input(context, seed) != has_input(context, step)) fail(context, op, "needs seed and step, or neither");
  check_parameters(context, op);
  Shape shape = q.shape, scores = q.shape;
  shape.back() = v.shape.back();
  scores.back() = k.shape[rank - 2];
  std::vector<Type> outputs = {{q.dtype, shape}};
  if (context.attributes.boolean("return_attention_scores")) outputs.push_back({q.dtype, scores});
  return outputs;
}

// [rows, queries, ...] over all leading axes.
std::vector<HostTensor> attention_reference(const Op& op, std::span<const HostTensor> inputs, const Attributes& a) {
  const HostTensor &q = inputs[query], &v = inputs[value];
  const HostTensor& k = find_input(inputs, key) ? inputs[key] : v;
  const size_t rank = q.shape.size();
  const auto queries = static_cast<size_t>(q.shape[rank - 2]), keys = static_cast<size_t>(k.shape[rank - 2]);
  const auto depth = static_cast<size_t>(q.shape.back()), width = static_cast<size_t>(v.shape.back());
  const Comparison comparison = comparison_of(op, a);
  const HostTensor *scales = find_input(inputs, scale), *weight = find_input(inputs, concat_score_weight);
  const HostTensor *q_mask = find_input(inputs, query_mask), *v_mask = find_input(inputs, value_mask);
  std::vector<int64_t> shape = q.shape;
  shape.back() = static_cast<int64_t>(keys);
  HostTensor scores = make_tensor(q.dtype, shape);
  for (size_t row = 0; row < scores.data.size() / keys; ++row) {
    const size_t sample = row / queries, i = row % queries;
    double* line = &scores.data[row * keys];
    for (size_t j = 0; j < keys; ++j) {
      double sum = 0.0;
      for (size_t d = 0; d < depth; ++d) {
        const double x = q.data[row * depth + d], y = k.data[(sample * keys + j) * depth + d];
        const double factor = !scales ? 1.0 : scales->data[comparison == Comparison::additive ? d : 0];
        sum += comparison == Comparison::dot      ? factor * x * y
               : comparison == Comparison::concat ? weight->data[0] * std::tanh(factor * (x + y))
                                                  : factor * std::tanh(x + y);
      }
      const bool hidden = (a.boolean("use_causal_mask") && j > i) || (v_mask && v_mask->data[sample * keys + j] == 0.0);
      line[j] = hidden ? sum - masked_away : sum;
    }
    const double largest = *std::max_element(line, line + keys);
    double total = 0.0;
    for (size_t j = 0; j < keys; ++j) total += line[j] = std::exp(line[j] - largest);
    for (size_t j = 0; j < keys; ++j) line[j] /= total;
  }
  scores = dropped_out(std::move(scores), find_input(inputs, seed), find_input(inputs, step), a);
  shape.back() = static_cast<int64_t>(width);
  HostTensor y = make_tensor(q.dtype, shape);
  for (size_t row = 0; row < y.data.size() / width; ++row) {
    if (q_mask && q_mask->data[row] == 0.0) continue;
    for (size_t c = 0; c < width; ++c)
      for (size_t j = 0; j < keys; ++j)
        y.data[row * width + c] += scores.data[row * keys + j] * v.data[(row / queries * keys + j) * width + c];
  }
  std::vector<HostTensor> outputs = {std::move(y)};
  if (a.boolean("return_attention_scores")) outputs.push_back(std::move(scores));
  return outputs;
}

std::string leading_labels(size_t rank) {
  std::string labels;
  for (size_t i = 0; i + 2 < rank; ++i) labels += static_cast<char>('a' + i);
  return labels;
}

// [..., queries, keys] from [..., queries, features] and [..., keys, features].
Value compare(Comparison comparison, Value q, Value k, Value scales, Value weight) {
  Builder& b = *q.builder;
  const std::string batch = leading_labels(q.rank());
  if (comparison == Comparison::dot) {
    const Value scores = b.contract(q, k, batch + "TC," + batch + "SC->" + batch + "TS");
    return scales ? scores * scales : scores;
  }
  Shape each_query = q.shape(), each_key = k.shape();
  each_query.insert(each_query.end() - 1, 1);
  each_key.insert(each_key.end() - 2, 1);
  Value sums = b.reshape(q, each_query) + b.reshape(k, each_key);
  if (comparison == Comparison::concat && scales) sums = sums * scales;
  Value terms = b.call("tanh", {sums});
  if (comparison == Comparison::additive && scales) terms = terms * scales;
  const Value scores = b.reduce("reduce_sum", terms, {-1});
  return weight ? scores * weight : scores;
}

std::vector<Value> expand_attention(const Op& op, Builder& b, std::span<const Value> inputs, const Attributes& a) {
  const Value q = inputs[query], v = inputs[value];
  const Value k = find_input(inputs, key) ? inputs[key] : v;
  Value scores =
      compare(comparison_of(op, a), q, k, find_input(inputs, scale), find_input(inputs, concat_score_weight));
  Value visible;
  if (Value mask = find_input(inputs, value_mask)) {
    Shape row = mask.shape();
    row.insert(row.end() - 1, 1);
    visible = b.reshape(mask, row);
  }
  if (a.boolean("use_causal_mask")) visible = both_masks(visible, causal_mask(b, q.dim(-2), k.dim(-2)));
  if (visible) scores = b.select(visible, scores, scores - masked_away);
  const Value weights = dropped_out(b.call("softmax", {scores}), find_input(inputs, seed), find_input(inputs, step), a);
  const std::string batch = leading_labels(q.rank());
  Value y = b.contract(weights, v, batch + "TS," + batch + "SC->" + batch + "TC");
  if (Value mask = find_input(inputs, query_mask)) {
    Shape column = mask.shape();
    column.push_back(1);
    y = b.select(b.reshape(mask, column), y, b.constant(0.0, y.type().dtype));
  }
  if (a.boolean("return_attention_scores")) return {y, weights};
  return {y};
}

std::vector<ParameterSpec> attention_parameters(const OpContext& context, const Op& op) {
  const Attributes& a = context.attributes;
  const Comparison comparison = comparison_of(op, a);
  std::vector<ParameterSpec> parameters;
  const Attributes ones{{"class", "Ones"}}, glorot{{"class", "GlorotUniform"}};
  if (a.boolean("use_scale") && comparison == Comparison::additive)
    parameters.push_back(
        {.name = "scale", .shape = {context.inputs[0].shape.back()}, .initializer = glorot, .regularizer = {}});
  else if (a.boolean("use_scale"))
    parameters.push_back({.name = "scale", .shape = {}, .initializer = ones, .regularizer = {}});
  if (comparison == Comparison::concat)
    parameters.push_back({.name = "concat_score_weight", .shape = {}, .initializer = ones, .regularizer = {}});
  return parameters;
}

std::vector<Example> attention_examples(bool additive) {
  const Example::Tensor q{{2, 5, 4}}, v{{2, 3, 6}}, k{{2, 3, 4}};
  const Example::Tensor seeds{.shape = {}, .dtype = DType::i64, .values = {42}};
  const Example::Tensor steps{.shape = {}, .dtype = DType::i64, .values = {3}};
  const Example::Tensor q_mask{.shape = {2, 5}, .dtype = DType::boolean, .values = {1, 1, 0, 1, 0}};
  const Example::Tensor v_mask{.shape = {2, 3}, .dtype = DType::boolean, .values = {1, 0, 1, 1, 1, 0}};
  std::vector<Example> examples = {
      {.inputs = {q, {{2, 3, 4}}}},
      {.inputs = {q, v, k}, .attributes = {{"use_scale", true}, {"return_attention_scores", true}}},
      {.inputs = {{{3, 7, 17}}, {{3, 7, 17}}}, .attributes = {{"use_causal_mask", true}}},
      {.inputs = {{{2, 3, 5, 4}}, {{2, 3, 2, 4}}}},
      {.inputs = {q, v, k, q_mask, v_mask, seeds, steps},
       .attributes = {{"dropout", 0.4}, {"stream", 5}, {"return_attention_scores", true}}},
      {.inputs = {q, v, k, q_mask, v_mask}, .attributes = {{"use_scale", true}}},
  };
  if (additive) {
    examples.push_back({.inputs = {q, v, k}, .attributes = {{"use_scale", false}}});
  } else {
    examples.push_back({.inputs = {q, v, k}, .attributes = {{"score_mode", "concat"}}});
    examples.push_back({.inputs = {q, v, k},
                        .attributes = {{"score_mode", "concat"}, {"use_scale", true}, {"use_causal_mask", true}}});
  }
  return examples;
}

Op attention(std::string_view name, std::string_view class_name, std::string_view doc,
             std::vector<AttributeSpec> attributes, std::vector<Example> examples) {
  for (const auto& more : {dropout_attributes(), attention_call_attributes()})
    attributes.insert(attributes.end(), more.begin(), more.end());
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = doc,
      .class_name = class_name,
      .inputs = {{"query"},
                 {"value"},
                 {.name = "key", .optional = true},
                 {.name = "query_mask", .optional = true},
                 {.name = "value_mask", .optional = true},
                 {.name = "seed", .optional = true},
                 {.name = "step", .optional = true},
                 {.name = "scale", .optional = true, .parameter = true},
                 {.name = "concat_score_weight", .optional = true, .parameter = true}},
      .attributes = std::move(attributes),
      .infer = [name](const OpContext& context) { return infer_attention(context, get_op(name)); },
      .parameters = [name](const OpContext& context) { return attention_parameters(context, get_op(name)); },
      .mask = keep_mask,
      .reference = [name](std::span<const HostTensor> inputs,
                          const Attributes& a) { return attention_reference(get_op(name), inputs, a); },
      .expand = [name](Builder& b, std::span<const Value> inputs,
                       const Attributes& a) { return expand_attention(get_op(name), b, inputs, a); },
      .examples = std::move(examples),
  };
}

}  // namespace

std::vector<Op> attention_ops() {
  std::vector<Op> ops;
  ops.push_back(
      attention("attention", "Attention",
                "y_i = sum over j of softmax_j(score(q_i, k_j)) v_j;   dot: score = scale q.k, concat: weight "
                "sum(tanh(scale (q + k))); "
                "scores of keys that are masked or, if causal, later are lowered by 1e9; y is 0 where the query is "
                "masked.   query: "
                "[batch, queries, features]   value: [batch, keys, out]   key: [batch, keys, features], by default the "
                "values   ->   "
                "y: [batch, queries, out], scores: [batch, queries, keys]",
                {{.name = "use_scale", .type = T::boolean, .default_value = false, .doc = "a trained factor"},
                 {.name = "score_mode", .type = T::string, .default_value = "dot", .choices = {"dot", "concat"}}},
                attention_examples(false)));
  ops.push_back(attention(
      "additive_attention", "AdditiveAttention",
      "y_i = sum over j of softmax_j(score(q_i, k_j)) v_j, score = sum(scale tanh(q + k)); masks as in Attention.   "
      "query: "
      "[batch, queries, features]   value: [batch, keys, out]   key: [batch, keys, features], by default the values   "
      "scale: "
      "[features]   ->   y: [batch, queries, out], scores: [batch, queries, keys]",
      {{.name = "use_scale", .type = T::boolean, .default_value = true, .doc = "a trained factor for each feature"}},
      attention_examples(true)));
  return ops;
}

}  // namespace moru
