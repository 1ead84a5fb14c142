// ONNX's losses: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
#include <numeric>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

// log_probabilities: [batch, classes, space...], the targets in input 1: [batch, space...].
Value likelihood_loss(OnnxNode& n, Value log_probabilities) {
  Builder& b = n.builder();
  const DType dtype = log_probabilities.type().dtype;
  const size_t rank = log_probabilities.rank();
  if (rank < 2 || n.rank(1) + 1 != rank)
    n.fail("needs scores [batch, classes, ...] and targets [batch, ...] but got " +
           shape_text(log_probabilities.shape()) + " and " + shape_text(n.type(1).shape));
  const Value target = b.cast(n.in(1), DType::i64);
  Shape with_class = target.shape();
  with_class.insert(with_class.begin() + 1, Dim(1));
  const Value classes = iota(b, only_axis(log_probabilities.shape(), 1), 1);
  const Value chosen = b.call("equal", {classes, b.reshape(target, with_class)});
  const Value zero = b.constant(0.0, dtype);
  Value loss = -b.reduce("reduce_sum", b.select(chosen, log_probabilities, zero), {1});

  Value weight;
  if (n.has_input(2)) {
    Shape of_class(rank, Dim(1));
    of_class[1] = log_probabilities.shape()[1];
    weight = b.reduce("reduce_sum", b.select(chosen, b.reshape(n.in(2), of_class), zero), {1});
  }
  if (n.has("ignore_index")) {
    const Value ignored =
        b.call("equal", {target, b.constant(static_cast<double>(n.integer("ignore_index")), DType::i64)});
    weight = weight ? b.select(ignored, zero, weight) : b.select(ignored, zero, b.constant(1.0, dtype));
    loss = b.select(ignored, zero, loss);
  }
  if (weight) loss = loss * weight;
  const std::string reduction = n.choice("reduction", {"mean", "none", "sum"});
  if (reduction == "none") return loss;
  std::vector<int64_t> all(loss.rank());
  std::iota(all.begin(), all.end(), int64_t{0});
  if (reduction == "sum") return b.reduce("reduce_sum", loss, all);
  if (!weight) return b.reduce("reduce_mean", loss, all);
  return b.reduce("reduce_sum", loss, all) / b.reduce("reduce_sum", weight, all);
}

void negative_log_likelihood(OnnxNode& n) { n.set(0, likelihood_loss(n, n.in(0))); }

void softmax_cross_entropy(OnnxNode& n) {
  const Value log_probabilities = softmax_along(n.in(0), 1, true);
  n.set(0, likelihood_loss(n, log_probabilities));
  n.set(1, log_probabilities);
}

constexpr OnnxOp ops[] = {{"NegativeLogLikelihoodLoss", 1, negative_log_likelihood},
                          {"SoftmaxCrossEntropyLoss", 1, softmax_cross_entropy}};

}  // namespace

std::span<const OnnxOp> onnx_loss_ops() { return ops; }

}  // namespace moru
