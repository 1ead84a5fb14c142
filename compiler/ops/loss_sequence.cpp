// The connectionist temporal classification loss (Graves et al. 2006): a sequence of labels against the classes of more
// steps than it has labels, whatever their alignment.
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"

namespace moru {

namespace {

constexpr double impossible = -1e30;  // the logarithm of a probability of 0, with finite gradients
constexpr size_t blank = 0;           // the class between labels, and the label behind the last one

Type target_type(const Type& y_pred) { return {DType::i32, {y_pred.shape[0], Dim::symbol("labels")}}; }

// log(e^a + e^b + ...), of tensors of one shape.
Value log_sum(std::vector<Value> terms) {
  Builder& b = *terms[0].builder;
  Value most = terms[0], sum;
  for (const Value& term : terms) most = b.call("maximum", {most, term});
  most = b.call("stop_gradient", {most});
  for (const Value& term : terms) {
    const Value part = b.call("exp", {term - most});
    sum = sum ? sum + part : part;
  }
  return most + b.call("log", {sum});
}

// [batch, labels] in every second place of [batch, 2 labels + 1], `between` in the others.
Value interleaved(Value x, Value between) {
  Builder& b = *x.builder;
  const Dim batch = x.dim(0), labels = x.dim(1);
  const Value columns[] = {b.broadcast_to(between, {batch, labels, 1}), b.reshape(x, {batch, labels, 1})};
  const Value parts[] = {b.reshape(b.concat(columns, 2), {batch, labels * 2}), b.broadcast_to(between, {batch, 1})};
  return b.concat(parts, 1);
}

// x moved `by` places to the right along its last axis, `fill` in front.
Value moved(Value x, int64_t by, Value fill) {
  Builder& b = *x.builder;
  const Value parts[] = {b.broadcast_to(fill, {x.dim(0), by}), b.slice(x, 1, 0, x.dim(1) - by)};
  return b.concat(parts, 1);
}

std::vector<Value> expand_ctc(Builder& b, std::span<const Value> inputs, const Attributes&) {
  const Value y_pred = inputs[1];
  const DType dtype = y_pred.type().dtype;
  const Value labels = is_integer(inputs[0].type().dtype) ? inputs[0] : b.cast(inputs[0], DType::i32);
  const Value no_label = b.constant(static_cast<double>(blank), labels.type().dtype);
  const Value places = interleaved(labels, no_label);
  // A place may be reached from two places before where that skips a blank between labels that differ.
  const Value before_last = moved(places, 2, b.constant(-1.0, labels.type().dtype));
  const Value skips = b.cast(
      b.call("logical_and", {b.call("not_equal", {places, no_label}), b.call("not_equal", {places, before_last})}),
      dtype);

  // log probabilities of each place's class at each step: [batch, time, places]
  const Value classes =
      b.call("one_hot", {places}, {{"depth", y_pred.dim(-1).constant()}, {"dtype", std::string(dtype_name(dtype))}});
  const Value steps = b.contract(b.call("log_softmax", {y_pred}), classes, "btc,bsc->bts");

  Graph body;
  Builder inner(body);
  const Type place_type = skips.type();
  const Value before = inner.input(place_type), step = inner.input(place_type), may_skip = inner.input(place_type);
  const Value none = inner.constant(impossible, dtype);
  const Value skipped =
      inner.select(inner.call("greater", {may_skip, inner.constant(0.5, dtype)}), moved(before, 2, none), none);
  inner.result(log_sum({before, moved(before, 1, none), skipped}) + step);

  // Before the first step only the first place may be left.
  const Value place = b.call("iota", {}, {{"shape", Shape{1, places.dim(1)}}, {"axis", 1}});
  const Value first = b.call("equal", {place, b.constant(0.0, DType::i32)});
  const Value start =
      b.broadcast_to(b.select(first, b.constant(0.0, dtype), b.constant(impossible, dtype)), skips.shape());
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  const std::vector<Value> scan_inputs = {start, steps, skips};
  const Value last = b.call_all("scan", scan_inputs,
                                {{"carries", 1},
                                 {"sequences", 1},
                                 {"axes", std::vector<int64_t>{1}},
                                 {"output_axes", std::vector<int64_t>{}},
                                 {"reverse", false}},
                                std::move(bodies))[0];

  // It ends in the last label or in the blank behind it.
  const Value count = b.reduce("reduce_sum", b.cast(b.call("not_equal", {labels, no_label}), DType::i32), {1}, true);
  const Value end = count * 2.0;
  const Value ends = b.call("logical_or", {b.call("equal", {place, end}), b.call("equal", {place, end - 1.0})});
  const Value reached = b.select(ends, last, b.constant(impossible, dtype));
  const Value most = b.call("stop_gradient", {b.reduce("reduce_max", reached, {1}, true)});
  const Value sum = b.reduce("reduce_sum", b.call("exp", {reached - most}), {1});
  return {-(b.call("log", {sum}) + b.reshape(most, {most.dim(0)}))};
}

// The same in probabilities, step by step and place by place.
std::vector<HostTensor> ctc_reference(std::span<const HostTensor> inputs, const Attributes&) {
  const HostTensor &labels = inputs[0], &y_pred = inputs[1];
  const auto time = static_cast<size_t>(y_pred.shape[1]), classes = static_cast<size_t>(y_pred.shape[2]);
  const auto width = static_cast<size_t>(labels.shape[1]);
  HostTensor loss = make_tensor(y_pred.dtype, {y_pred.shape[0]});
  for (size_t sample = 0; sample < loss.data.size(); ++sample) {
    std::vector<size_t> places = {blank};
    for (size_t i = 0; i < width; ++i) {
      const auto label = static_cast<size_t>(labels.data[sample * width + i]);
      if (label == blank) continue;
      places.push_back(label);
      places.push_back(blank);
    }
    std::vector<double> reached(places.size(), 0.0);
    double scale = 0.0;  // logarithm of what was divided out
    for (size_t t = 0; t < time; ++t) {
      const double* row = &y_pred.data[(sample * time + t) * classes];
      double sum = 0.0;
      for (size_t c = 0; c < classes; ++c) sum += std::exp(row[c]);
      std::vector<double> next(places.size(), 0.0);
      double total = 0.0;
      for (size_t s = 0; s < places.size(); ++s) {
        double from = t == 0 ? (s < 2 ? 1.0 : 0.0) : reached[s];
        if (t > 0 && s >= 1) from += reached[s - 1];
        if (t > 0 && s >= 2 && places[s] != blank && places[s] != places[s - 2]) from += reached[s - 2];
        total += next[s] = from * std::exp(row[places[s]]) / sum;
      }
      for (double& p : next) p /= total;
      scale += std::log(total);
      reached = std::move(next);
    }
    const double ends = reached.back() + (reached.size() > 1 ? reached[reached.size() - 2] : 0.0);
    loss.data[sample] = -(std::log(ends) + scale);
  }
  return {loss};
}

Op ctc() {
  Example::Tensor labels{.shape = {3, 3}, .dtype = DType::i32, .values = {1, 2, 3, 2, 2, 0, 1, 0, 0}};
  return {
      .name = "ctc",
      .family = OpFamily::loss,
      .doc =
          "loss = -log of the probability that y_pred, as classes of each step by softmax, spells y_true once repeated "
          "classes "
          "are joined and the class 0 between them is left out (Graves et al. 2006).   y_true: i32 [batch, labels], 0 "
          "behind the last label   y_pred: logits [batch, time, classes]   ->   [batch]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("ctc");
        const Type &y_true = context.inputs[0], &y_pred = context.inputs[1];
        if (y_pred.shape.size() != 3 || !y_pred.shape[2].is_constant())
          fail(context, op, "needs predictions [batch, time, classes] but got " + shape_text(y_pred.shape));
        if (!is_float(y_pred.dtype)) fail(context, op, "needs floating point predictions but got " + type_text(y_pred));
        if (y_true.shape.size() != 2 || y_true.dtype == DType::boolean || y_true.shape[0] != y_pred.shape[0])
          fail(context, op,
               "needs targets [batch, labels] for predictions " + shape_text(y_pred.shape) + " but got " +
                   type_text(y_true));
        return {{y_pred.dtype, {y_pred.shape[0]}}};
      },
      .reference = ctc_reference,
      .expand = expand_ctc,
      .examples = {{.inputs = {labels, {.shape = {3, 7, 4}, .low = -2, .high = 2}}},
                   {.inputs = {{.shape = {2, 1}, .dtype = DType::i32, .values = {4, 0}},
                               {.shape = {2, 17, 5}, .low = -3, .high = 3}}},
                   {.inputs = {{.shape = {1, 2}, .dtype = DType::i32, .values = {1, 1}},
                               {.shape = {1, 3, 2}, .low = -1, .high = 1}}}},
  };
}

}  // namespace

std::vector<Op> sequence_losses() { return {ctc()}; }

std::optional<Type> sequence_target(std::string_view loss, const Type& y_pred) {
  if (loss != "ctc" || y_pred.shape.size() != 3) return std::nullopt;
  return target_type(y_pred);
}

}  // namespace moru
