// Attention of projected queries, keys and values with several heads: MultiHeadAttention (Vaswani et al. 2017) and
// GroupedQueryAttention (Ainslie et al. 2023), in which groups of query heads share one head of keys and values.
//
// The scores, their softmax and the weighted sum stay plain ops of the graph, so that passes may join them.
#include "compiler/ops/multi_head_attention.h"

#include <algorithm>
#include <cmath>

#include "compiler/ops/attention.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace heads {

Heads heads_of(const Attributes& a) {
  if (a.find("head_dim"))
    return {a.integer("num_query_heads"), a.integer("num_key_value_heads"), a.integer("head_dim"),
            a.integer("head_dim")};
  const int64_t heads = a.integer("num_heads"), key_dim = a.integer("key_dim");
  return {heads, heads, key_dim, a.has("value_dim") ? a.integer("value_dim") : key_dim};
}

std::vector<size_t> axes_of(const Attributes& a, size_t rank) {
  std::vector<size_t> axes;
  if (a.has("attention_axes"))
    for (int64_t axis : a.integers("attention_axes")) axes.push_back(normalized_axis(axis, rank));
  else
    for (size_t axis = 1; axis + 1 < rank; ++axis) axes.push_back(axis);
  return axes;
}

}  // namespace heads

using namespace heads;

namespace {

using T = AttributeType;
using Integers = std::vector<int64_t>;

bool hides_by_position(const Attributes& a) { return a.boolean("use_causal_mask") || a.has("sliding_window"); }

void check_masks(const OpContext& context, const Op& op, const Shape& scores, size_t attention_axes) {
  if (has_input(context, attention_mask)) {
    const Shape& given = context.inputs[attention_mask].shape;
    const std::optional<Shape> wider = broadcast_shapes(context, mask_shape(given, scores.size(), attention_axes), scores);
    if (given.size() < 2 * attention_axes || !wider || *wider != scores)
      fail(context, op,
           "its attention_mask " + shape_text(given) + " does not broadcast to the scores " + shape_text(scores),
           "give a mask [batch, queries, keys], true where a query may look at a key");
  }
  for (Input mask : {query_mask, value_mask, key_mask}) {
    if (!has_input(context, mask)) continue;
    const Type& given = context.inputs[mask];
    if (given.dtype != DType::boolean || given.shape.size() != 2)
      fail(context, op, "needs masks bool[batch, time] of its inputs but got " + type_text(given));
  }
}

void check_attention_axes(const OpContext& context, const Op& op, const Shape& q) {
  if (!context.attributes.has("attention_axes")) return;
  std::vector<size_t> seen;
  for (int64_t axis : context.attributes.integers("attention_axes")) {
    const size_t at = checked_axis(context, op, axis, q.size());
    if (at == 0 || at + 1 == q.size() || contains(seen, at))
      fail(context, op, "attention_axes name axis " + std::to_string(axis) + " of " + shape_text(q),
           "name each axis between the batch and the features at most once");
    seen.push_back(at);
  }
  if (seen.empty()) fail(context, op, "attention_axes are empty", "leave them out to attend over all axes");
}

void check_heads_inputs(const OpContext& context, const Op& op, const std::vector<size_t>& axes, const Type& q, const Type& k,
                        const Type& v) {
  const size_t rank = q.shape.size();
  for (const Type* type : {&q, &v, &k}) {
    if (!is_float(type->dtype) || type->dtype != q.dtype)
      fail(context, op, "needs floating point inputs of one type but got " + type_text(q) + " and " + type_text(*type));
    if (!type->shape.back().is_constant())
      fail(context, op, "needs a known number of features on the last axis but got " + shape_text(type->shape));
    bool fits = type->shape.size() == rank;
    for (size_t axis = 0; fits && axis + 1 < rank; ++axis)
      fits = contains(axes, axis) ? type == &q || are_equal(context, v.shape[axis], type->shape[axis])
                                  : are_equal(context, q.shape[axis], type->shape[axis]);
    if (!fits)
      fail(context, op,
           "needs queries, values and keys of equal extents, but that queries may differ along the attention axes and "
           "all in their features; got " +
               shape_text(q.shape) + ", " + shape_text(v.shape) + " and " + shape_text(k.shape));
  }
}

std::vector<Type> infer_heads(const OpContext& context, const Op& op) {
  const Attributes& a = context.attributes;
  const Heads heads = heads_of(a);
  const Type& q = context.inputs[query];
  const Type& v = has_input(context, value) ? context.inputs[value] : q;
  const Type& k = has_input(context, key) ? context.inputs[key] : v;
  const size_t rank = q.shape.size();
  refuse_attributes(context, op, {"activity_regularizer"});
  if (heads.query % heads.key_value != 0)
    fail(context, op,
         "attribute 'num_query_heads' is " + std::to_string(heads.query) +
             " but must be a multiple of num_key_value_heads, " + std::to_string(heads.key_value));
  const bool grouped = a.find("head_dim") != nullptr;
  if (rank < 3 || (grouped && rank != 3))
    fail(context, op,
         std::string("needs queries [batch, time, ") + (grouped ? "" : "..., ") + "features] but got " +
             shape_text(q.shape));
  check_attention_axes(context, op, q.shape);
  const std::vector<size_t> axes = axes_of(a, rank);
  check_heads_inputs(context, op, axes, q, k, v);
  const Shape scores = scores_shape(q.shape, k.shape, a);
  if (hides_by_position(a) && axes != std::vector<size_t>{1})
    fail(context, op, "a causal mask or a sliding window needs attention along axis 1 alone",
         "give an attention_mask, or set attention_axes to 1");
  check_masks(context, op, scores, axes.size());
  if (has_input(context, seed) != has_input(context, step)) fail(context, op, "needs seed and step, or neither");
  check_parameters(context, op);
  Shape shape(q.shape.begin(), q.shape.end() - 1);
  if (a.has("output_shape"))
    for (int64_t extent : a.integers("output_shape")) shape.push_back(extent);
  else
    shape.push_back(q.shape.back());
  std::vector<Type> outputs = {{q.dtype, shape}};
  if (a.boolean("return_attention_scores")) outputs.push_back({q.dtype, scores});
  return outputs;
}

std::vector<ParameterSpec> heads_parameters(const OpContext& context) {
  const Attributes& a = context.attributes;
  const Heads heads = heads_of(a);
  const Shape& q = context.inputs[query].shape;
  const Shape& v = has_input(context, value) ? context.inputs[value].shape : q;
  const Shape& k = has_input(context, key) ? context.inputs[key].shape : v;
  std::vector<ParameterSpec> parameters;
  auto add = [&](const std::string& name, const Shape& from, const Shape& to) {
    Shape kernel = from;
    kernel.insert(kernel.end(), to.begin(), to.end());
    parameters.push_back({.name = name + "/kernel",
                          .shape = kernel,
                          .initializer = initializer_of(a, "kernel_initializer"),
                          .regularizer = regularizer_of(a, "kernel_regularizer")});
    if (a.boolean("use_bias"))
      parameters.push_back({.name = name + "/bias",
                            .shape = to,
                            .initializer = initializer_of(a, "bias_initializer"),
                            .regularizer = regularizer_of(a, "bias_regularizer")});
  };
  add("query", {q.back()}, {heads.query, heads.key_dim});
  add("key", {k.back()}, {heads.key_value, heads.key_dim});
  if (a.boolean("use_gate")) add("gate", {q.back()}, {heads.query, heads.value_dim});
  add("value", {v.back()}, {heads.key_value, heads.value_dim});
  Shape out = {q.back()};
  if (a.has("output_shape")) {
    const Integers& extents = a.integers("output_shape");
    out.assign(extents.begin(), extents.end());
  }
  add("attention_output", {heads.query, heads.value_dim}, out);
  return parameters;
}

// ---- expansion ----

// Labels of axes: a, b, c, ... for those of queries, and behind them others for the attention axes of keys.
struct Labels {
  std::string queries, keys;  // batch ... without features
  std::string shared;         // the axes in which a query and its keys are equal
  std::string from, to;       // the attention axes of queries and of keys, in their order
};

Labels make_labels(size_t rank, const std::vector<size_t>& axes) {
  Labels labels;
  char next = static_cast<char>('a' + static_cast<int>(rank));
  for (size_t axis = 0; axis + 1 < rank; ++axis) {
    const char label = static_cast<char>('a' + static_cast<int>(axis));
    labels.queries += label;
    labels.keys += contains(axes, axis) ? next++ : label;
    if (!contains(axes, axis)) labels.shared += label;
  }
  for (size_t axis : axes) {
    labels.from += labels.queries[axis];
    labels.to += labels.keys[axis];
  }
  return labels;
}

Value project(Value x, const std::string& batch, Value kernel, Value bias) {
  const Value y = x.builder->contract(x, kernel, batch + "X,XHC->" + batch + "HC");
  return bias ? y + bias : y;
}

Value visible_pairs(Builder& b, std::span<const Value> inputs, const Attributes& a, size_t scores_rank, size_t axes) {
  const Value q = inputs[query], v = inputs[value];
  Value visible;
  auto along = [&](Input input, size_t axis) {
    const Value mask = find_input(inputs, input);
    if (!mask) return;
    Shape shape = mask.shape();
    shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), 1);
    visible = both_masks(visible, b.reshape(mask, shape));
  };
  along(query_mask, 2);
  along(value_mask, 1);
  along(key_mask, 1);
  if (a.boolean("use_causal_mask")) visible = both_masks(visible, causal_mask(b, q.dim(1), v.dim(1)));
  if (a.has("sliding_window"))
    visible = both_masks(visible, window_mask(b, q.dim(1), v.dim(1), a.integer("sliding_window")));
  if (visible) visible = b.reshape(visible, mask_shape(visible.shape(), scores_rank, axes));
  Value given = find_input(inputs, attention_mask);
  if (given) given = b.reshape(b.cast(given, DType::boolean), mask_shape(given.shape(), scores_rank, axes));
  return both_masks(given, visible);
}

// Softmax over the last `axes` axes together.
Value softmax_over(Value scores, size_t axes) {
  Builder& b = *scores.builder;
  if (axes == 1) return b.call("softmax", {scores});
  const Shape shape = scores.shape();
  Shape joined(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(axes));
  joined.push_back(element_count(Shape(shape.end() - static_cast<std::ptrdiff_t>(axes), shape.end())));
  return b.reshape(b.call("softmax", {b.reshape(scores, joined)}), shape);
}

std::vector<Value> expand_heads(Builder& b, std::span<const Value> inputs, const Attributes& a) {
  const Heads heads = heads_of(a);
  const Value q = inputs[query], v = inputs[value];
  const Value k = find_input(inputs, key) ? inputs[key] : v;
  const std::vector<size_t> axes = axes_of(a, q.rank());
  const Labels labels = make_labels(q.rank(), axes);
  Value queries = project(q, labels.queries, inputs[query_kernel], find_input(inputs, query_bias));
  const Value keys = project(k, labels.queries, inputs[key_kernel], find_input(inputs, key_bias));
  const Value values = project(v, labels.queries, inputs[value_kernel], find_input(inputs, value_bias));
  queries = queries * (1.0 / std::sqrt(static_cast<double>(heads.key_dim)));

  // The group axis stands behind the heads that keys have, where there are groups.
  const bool grouped = heads.group() > 1;
  auto split_heads = [&](Value x, size_t at) {
    if (!grouped) return x;
    Shape shape = x.shape();
    shape[at] = heads.key_value;
    shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(at) + 1, heads.group());
    return b.reshape(x, shape);
  };
  auto join_heads = [&](Value x, size_t at) {
    if (!grouped) return x;
    Shape shape = x.shape();
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(at));
    shape[at] = heads.query;
    return b.reshape(x, shape);
  };
  const std::string of_query = grouped ? "HG" : "H";
  const std::string score_labels = labels.shared + of_query + labels.from + labels.to;
  const size_t query_heads_at = labels.queries.size(), score_heads_at = labels.shared.size();
  Value scores = b.contract(split_heads(queries, query_heads_at), keys,
                            labels.queries + of_query + "C," + labels.keys + "HC->" + score_labels);
  scores = join_heads(scores, score_heads_at);
  if (Value visible = visible_pairs(b, inputs, a, scores.rank(), axes.size()))
    scores = b.select(visible, scores, b.constant(masked_away, scores.type().dtype));
  const Value weights = softmax_over(scores, axes.size());
  const Value used = dropped_out(weights, find_input(inputs, seed), find_input(inputs, step), a);
  Value heads_out = b.contract(split_heads(used, score_heads_at), values,
                               score_labels + "," + labels.keys + "HC->" + labels.queries + of_query + "C");
  heads_out = join_heads(heads_out, query_heads_at);
  if (a.boolean("use_gate"))
    heads_out =
        heads_out * b.call("sigmoid", {project(q, labels.queries, inputs[gate_kernel], find_input(inputs, gate_bias))});
  const Value kernel = inputs[output_kernel];
  std::string out;
  for (size_t axis = 2; axis < kernel.rank(); ++axis) out += static_cast<char>('P' + static_cast<int>(axis));
  Value y = b.contract(heads_out, kernel, labels.queries + "HC,HC" + out + "->" + labels.queries + out);
  if (Value bias = find_input(inputs, output_bias)) y = y + bias;
  if (a.boolean("return_attention_scores")) return {y, weights};
  return {y};
}

// ---- entries ----

std::vector<AttributeSpec> common_attributes() {
  std::vector<AttributeSpec> attributes = {
      {.name = "use_bias", .type = T::boolean, .default_value = true},
      {.name = "use_gate",
       .type = T::boolean,
       .default_value = false,
       .doc = "heads times sigmoid of a projected query",
       .recent = true},
      {.name = "sliding_window",
       .type = T::integer,
       .optional = true,
       .least = 1,
       .doc = "query i sees keys nearer than this",
       .recent = true},
      {.name = "flash_attention", .type = T::boolean, .optional = true, .doc = "ignored: it changes no result"},
      {.name = "kernel_initializer", .type = T::initializer, .default_value = "glorot_uniform"},
      {.name = "bias_initializer", .type = T::initializer, .default_value = "zeros"},
      {.name = "kernel_regularizer", .type = T::regularizer, .optional = true},
      {.name = "bias_regularizer", .type = T::regularizer, .optional = true},
      {.name = "activity_regularizer", .type = T::regularizer, .optional = true, .doc = "unsupported"},
      {.name = "kernel_constraint", .type = T::constraint, .optional = true},
      {.name = "bias_constraint", .type = T::constraint, .optional = true}};
  for (const auto& more : {dropout_attributes(), attention_call_attributes()})
    attributes.insert(attributes.end(), more.begin(), more.end());
  return attributes;
}

Op attention_with_heads(std::string_view name, std::string_view class_name, std::string_view doc,
                        std::vector<AttributeSpec> attributes, std::vector<Example> examples) {
  const std::vector<AttributeSpec> common = common_attributes();
  attributes.insert(attributes.end(), common.begin(), common.end());
  std::vector<InputSpec> inputs = {{.name = "query", .keyword = true},
                                   {.name = "value", .keyword = true},
                                   {.name = "key", .optional = true, .keyword = true, .absent_as = "value"},
                                   {.name = "attention_mask", .optional = true, .keyword = true}};
  for (std::string_view more : {"query_mask", "value_mask", "key_mask", "seed", "step"})
    inputs.push_back({.name = more, .optional = true, .keyword = more.ends_with("_mask")});
  for (std::string_view weight : {"query/kernel", "query/bias", "key/kernel", "key/bias", "gate/kernel", "gate/bias",
                                  "value/kernel", "value/bias", "attention_output/kernel", "attention_output/bias"})
    inputs.push_back({.name = weight, .optional = true, .parameter = true});
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = doc,
      .class_name = class_name,
      .inputs = std::move(inputs),
      .attributes = std::move(attributes),
      .infer = [name](const OpContext& context) { return infer_heads(context, get_op(name)); },
      .parameters = heads_parameters,
      .mask = keep_mask,
      .reference = heads_reference,
      .expand = expand_heads,
      .examples = std::move(examples),
  };
}

Example::Tensor scalar(double number) { return {.shape = {}, .dtype = DType::i64, .values = {number}}; }

std::vector<Example> multi_head_examples() {
  const Example::Tensor q{{2, 5, 6}}, v{{2, 3, 4}}, k{{2, 3, 7}};
  const Example::Tensor mask{.shape = {2, 5, 3}, .low = 0, .high = 2, .dtype = DType::boolean};
  const Example::Tensor q_mask{.shape = {2, 5}, .dtype = DType::boolean, .values = {1, 1, 1, 0}};
  const Example::Tensor v_mask{.shape = {2, 3}, .dtype = DType::boolean, .values = {1, 0, 1, 1}};
  const Example::Tensor all_keys{.shape = {2, 3}, .dtype = DType::boolean, .values = {1}};
  return {
      {.inputs = {q, v}, .attributes = {{"num_heads", 2}, {"key_dim", 3}}},
      {.inputs = {q, v, k, mask},
       .attributes = {{"num_heads", 3}, {"key_dim", 2}, {"value_dim", 5}, {"return_attention_scores", true}}},
      {.inputs = {q, v, k, {.shape = {2, 3, 5, 3}, .low = 0, .high = 2}},
       .attributes = {{"num_heads", 3}, {"key_dim", 4}, {"output_shape", Integers{4, 2}}, {"use_bias", false}}},
      {.inputs = {{{2, 7, 5}}, {{2, 7, 5}}},
       .attributes = {{"num_heads", 1}, {"key_dim", 17}, {"use_causal_mask", true}}},
      {.inputs = {{{2, 7, 5}}, {{2, 9, 5}}},
       .attributes = {{"num_heads", 2}, {"key_dim", 4}, {"use_gate", true}, {"sliding_window", 3}}},
      {.inputs = {{{2, 3, 4, 5}}, {{2, 3, 6, 5}}},
       .attributes = {{"num_heads", 2}, {"key_dim", 3}, {"attention_axes", Integers{2}}}},
      {.inputs = {{{1, 2, 3, 4}}, {{1, 3, 2, 4}}}, .attributes = {{"num_heads", 2}, {"key_dim", 3}}},
      {.inputs = {{{1, 2, 3, 4}}, {{1, 3, 2, 4}}},
       .attributes =
           {{"num_heads", 2}, {"key_dim", 2}, {"attention_axes", Integers{-2, 1}}, {"return_attention_scores", true}}},
      {.inputs = {q, v, k, mask, q_mask, v_mask, all_keys, scalar(42), scalar(3)},
       .attributes =
           {{"num_heads", 2}, {"key_dim", 3}, {"dropout", 0.4}, {"stream", 5}, {"return_attention_scores", true}}},
  };
}

std::vector<Example> grouped_examples() {
  const Example::Tensor q{{2, 5, 6}}, v{{2, 3, 4}}, k{{2, 3, 7}};
  const Attributes sizes = {{"head_dim", 3}, {"num_query_heads", 6}, {"num_key_value_heads", 2}};
  auto with = [&](Attributes more) {
    for (const auto& [name, given] : sizes.entries()) more.set(name, given);
    return more;
  };
  return {
      {.inputs = {q, v}, .attributes = sizes},
      {.inputs = {q, v, k, {.shape = {2, 5, 3}, .low = 0, .high = 2, .dtype = DType::boolean}},
       .attributes = with({{"return_attention_scores", true}, {"use_gate", true}})},
      {.inputs = {{{2, 7, 5}}, {{2, 7, 5}}}, .attributes = with({{"use_causal_mask", true}, {"use_bias", false}})},
      {.inputs = {{{3, 4, 5}}, {{3, 4, 5}}},
       .attributes = {{"head_dim", 4}, {"num_query_heads", 3}, {"num_key_value_heads", 3}}},
  };
}

}  // namespace

std::vector<Op> multi_head_attention_ops() {
  std::vector<Op> ops;
  ops.push_back(attention_with_heads(
      "multi_head_attention", "MultiHeadAttention",
      "For each head h: q, k, v = the inputs times their kernels plus biases; "
      "w = softmax over keys of q.k / sqrt(key_dim), -1e9 in its place where the mask is false; "
      "y = output kernel times (w v) plus bias, over all heads.   "
      "query: [batch, queries, features]   value: [batch, keys, values]   key: [batch, keys, ...], by default the values   "
      "attention_mask: [batch, queries, keys]   ->   y: [batch, queries, features], scores w: [batch, heads, queries, keys]",
      {{.name = "num_heads", .type = T::integer, .least = 1},
       {.name = "key_dim", .type = T::integer, .least = 1, .doc = "of each head of queries and keys"},
       {.name = "value_dim",
        .type = T::integer,
        .optional = true,
        .least = 1,
        .doc = "of each head of values: key_dim"},
       {.name = "output_shape",
        .type = T::integers,
        .optional = true,
        .least = 1,
        .doc = "instead of the query's features"},
       {.name = "attention_axes", .type = T::integers, .optional = true, .doc = "all between batch and features"}},
      multi_head_examples()));
  ops.push_back(attention_with_heads(
      "grouped_query_attention", "GroupedQueryAttention",
      "As MultiHeadAttention, but query head h looks at head h / (num_query_heads / num_key_value_heads) of keys and values.   "
      "query: [batch, queries, features]   value: [batch, keys, values]   "
      "->   y: [batch, queries, features], scores: [batch, num_query_heads, queries, keys]",
      {{.name = "head_dim", .type = T::integer, .least = 1},
       {.name = "num_query_heads", .type = T::integer, .least = 1, .doc = "a multiple of num_key_value_heads"},
       {.name = "num_key_value_heads", .type = T::integer, .least = 1}},
      grouped_examples()));
  return ops;
}

}  // namespace moru
