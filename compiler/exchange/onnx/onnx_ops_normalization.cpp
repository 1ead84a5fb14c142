// ONNX operators that normalise: layer, RMS, group, instance, batch, and over neighbouring channels.
#include <algorithm>
#include <numeric>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

Integers axes_from(int64_t begin, size_t rank) {
  Integers axes;
  for (int64_t axis = begin; axis < static_cast<int64_t>(rank); ++axis) axes.push_back(axis);
  return axes;
}

Value reciprocal_root(Value x, double epsilon) {
  return x.builder->call("reciprocal", {x.builder->call("sqrt", {x + epsilon})});
}

// [channels] beside [batch, channels, space...].
Value per_channel(Value x, size_t rank) {
  Shape shape(std::max<size_t>(rank, 2) - 1, Dim(1));
  shape[0] = x.dim(0);
  return x.builder->reshape(x, shape);
}

void layer_normalization(OnnxNode& n) {
  const Value x = n.in(0);
  const Integers axes = axes_from(n.axis(n.integer("axis", -1), x.rank()), x.rank());
  const Value mean = kept_mean(x, axes), apart = x - mean;
  const Value scale = reciprocal_root(kept_mean(apart * apart, axes), n.real("epsilon", 1e-5));
  Value y = apart * scale * n.in(1);
  if (n.has_input(2)) y = y + n.in(2);
  n.set(0, y);
  const ElementType stash =
      dtype_of_onnx(static_cast<int32_t>(n.integer("stash_type", 1)), "the attribute 'stash_type'");
  if (n.wants(1)) n.set_as(1, mean, stash);
  if (n.wants(2)) n.set_as(2, scale, stash);
}

void rms_normalization(OnnxNode& n) {
  const Value x = n.in(0);
  const Integers axes = axes_from(n.axis(n.integer("axis", -1), x.rank()), x.rank());
  n.set(0, x * reciprocal_root(kept_mean(x * x, axes), n.real("epsilon", 1e-5)) * n.in(1));
}

Value standardized(Value x, const Integers& axes, double epsilon) {
  const Value apart = x - kept_mean(x, axes);
  return apart * reciprocal_root(kept_mean(apart * apart, axes), epsilon);
}

void group_normalization(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const Shape shape = x.shape();
  const int64_t groups = n.integer("num_groups");
  if (shape.size() < 2 || groups < 1 || !shape[1].is_constant() || shape[1].constant() % groups != 0)
    n.fail("needs channels in " + std::to_string(groups) + " groups but got " + shape_text(shape));
  Shape grouped = shape;
  grouped[1] = shape[1].constant() / groups;
  grouped.insert(grouped.begin() + 1, groups);
  Value y = standardized(b.reshape(x, grouped), axes_from(2, grouped.size()), n.real("epsilon", 1e-5));
  Value scale = n.in(1), bias = n.in(2);
  if (n.version() < 21) {  // one for each group
    Shape of_groups(grouped.size() - 1, Dim(1));
    of_groups[0] = groups;
    y = y * b.reshape(scale, of_groups) + b.reshape(bias, of_groups);
    return n.set(0, b.reshape(y, shape));
  }
  n.set(0, b.reshape(y, shape) * per_channel(scale, shape.size()) + per_channel(bias, shape.size()));
}

void instance_normalization(OnnxNode& n) {
  const Value x = n.in(0);
  if (x.rank() < 3) n.fail("needs [batch, channels, space...] but got " + shape_text(x.shape()));
  const Value y = standardized(x, axes_from(2, x.rank()), n.real("epsilon", 1e-5));
  n.set(0, y * per_channel(n.in(1), x.rank()) + per_channel(n.in(2), x.rank()));
}

void batch_normalization(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const size_t rank = x.rank();
  if (rank < 2) n.fail("needs [batch, channels, ...] but got " + shape_text(x.shape()));
  const double epsilon = n.real("epsilon", 1e-5), momentum = n.real("momentum", 0.9);
  n.freeze(3);
  n.freeze(4);
  Value mean = n.in(3), variance = n.in(4);
  const bool training = n.version() >= 14 ? n.integer("training_mode", 0) != 0 : n.wants(1);
  if (training) {
    Integers axes = axes_from(1, rank);
    axes[0] = 0;
    for (size_t i = 1; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i) + 1;
    const Value batch_mean = b.reduce("reduce_mean", x, axes), apart = x - per_channel(batch_mean, rank);
    const Value batch_variance = b.reduce("reduce_mean", apart * apart, axes);
    n.set_as(1, mean * momentum + batch_mean * (1.0 - momentum), n.dtype(3));
    n.set_as(2, variance * momentum + batch_variance * (1.0 - momentum), n.dtype(4));
    n.set_as(3, batch_mean, n.dtype(3));
    n.set_as(4, batch_variance, n.dtype(4));
    mean = batch_mean;
    variance = batch_variance;
  }
  const Value scale = n.in(1) * reciprocal_root(variance, epsilon);
  if (n.version() < 9 && n.integer("spatial", 1) == 0) {  // statistics for every feature
    return n.set(0, (x - mean) * scale + n.in(2));
  }
  n.set(0, (x - per_channel(mean, rank)) * per_channel(scale, rank) + per_channel(n.in(2), rank));
}

void mean_variance_normalization(OnnxNode& n) {
  const Value x = n.in(0);
  const Integers axes = n.axes(n.integers("axes", Integers{0, 2, 3}), x.rank());
  const Value apart = x - kept_mean(x, axes);
  n.set(0, apart / (x.builder->call("sqrt", {kept_mean(apart * apart, axes)}) + 1e-9));
}

// Over `size` channels around each one.
void local_response_normalization(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const int64_t size = n.integer("size");
  if (x.rank() < 2 || size < 1) n.fail("needs [batch, channels, ...] but got " + shape_text(x.shape()));
  Value squares = pad_axis(x * x, 1, (size - 1) / 2, size - 1 - (size - 1) / 2, 0.0);
  squares = b.call("window", {squares}, {{"axis", 1}, {"count", Shape{x.dim(1)}}, {"size", size}});
  const Value sum = b.reduce("reduce_sum", squares, {2});
  const Value base = sum * (n.real("alpha", 1e-4) / static_cast<double>(size)) + n.real("bias", 1.0);
  n.set(0, x / raise(base, n.constant(n.real("beta", 0.75), x.type().dtype)));
}

constexpr OnnxOp ops[] = {
    {"LayerNormalization", 1, layer_normalization}, {"RMSNormalization", 1, rms_normalization},
    {"GroupNormalization", 1, group_normalization}, {"InstanceNormalization", 1, instance_normalization},
    {"BatchNormalization", 1, batch_normalization}, {"MeanVarianceNormalization", 1, mean_variance_normalization},
    {"LRN", 1, local_response_normalization},
};

}  // namespace

std::span<const OnnxOp> onnx_normalization_ops() { return ops; }

}  // namespace moru
