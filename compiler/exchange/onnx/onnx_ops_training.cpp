// The optimizers of ai.onnx.preview.training: one step for any number of tensors at once. Gradient, of the same domain,
// is in onnx_gradient.cpp.
#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

constexpr const char* training_domain = "ai.onnx.preview.training";

// Inputs R (learning rate), T (updates so far), then all tensors X, their gradients G, and each kind of state.
size_t tensors_of(OnnxNode& n, size_t kinds) {
  if (n.inputs() < 2 + kinds || (n.inputs() - 2) % kinds != 0)
    n.fail("needs R, T and " + std::to_string(kinds) + " inputs for each tensor but got " +
           std::to_string(n.inputs()) + " inputs");
  return (n.inputs() - 2) / kinds;
}

Value scalar_of(OnnxNode& n, size_t input, DType dtype) {
  return n.builder().cast(n.builder().reshape(n.in(input), {}), dtype);
}

// The gradient with that of norm_coefficient / 2 * |X|^2.
Value regularized(OnnxNode& n, Value x, Value gradient) { return x * n.real("norm_coefficient", 0.0) + gradient; }

void adagrad(OnnxNode& n) {
  Builder& b = n.builder();
  const size_t count = tensors_of(n, 3);
  for (size_t i = 0; i < count; ++i) {
    const size_t at = 2 + i;
    const Value x = n.in(at), gradient = regularized(n, x, n.in(at + count)), sum = n.in(at + 2 * count);
    const DType dtype = x.type().dtype;
    const Value rate =
        scalar_of(n, 0, dtype) / (1.0 + scalar_of(n, 1, dtype) * n.real("decay_factor", 0.0));
    const Value next = sum + gradient * gradient;
    n.set_as(i, x - rate * gradient / (b.call("sqrt", {next}) + n.real("epsilon", 0.0)), n.dtype(at));
    n.set_as(i + count, next, n.dtype(at + 2 * count));
  }
}

void adam(OnnxNode& n) {
  Builder& b = n.builder();
  const size_t count = tensors_of(n, 4);
  const double alpha = n.real("alpha", 0.9), beta = n.real("beta", 0.999);
  for (size_t i = 0; i < count; ++i) {
    const size_t at = 2 + i;
    const Value x = n.in(at), gradient = regularized(n, x, n.in(at + count));
    const Value momentum = n.in(at + 2 * count) * alpha + gradient * (1.0 - alpha);
    const Value square = n.in(at + 3 * count) * beta + gradient * gradient * (1.0 - beta);
    const DType dtype = x.type().dtype;
    const Value rate = scalar_of(n, 0, dtype), steps = scalar_of(n, 1, dtype);
    auto bias = [&](double factor) { return 1.0 - raise(b.constant(factor, dtype), steps); };
    const Value adjusted = b.select(b.call("greater", {steps, b.constant(0.0, dtype)}),
                                    rate * b.call("sqrt", {bias(beta)}) / bias(alpha), rate);
    const Value next = x - adjusted * momentum / (b.call("sqrt", {square}) + n.real("epsilon", 0.0));
    n.set_as(i, next * (1.0 - n.real("norm_coefficient_post", 0.0)), n.dtype(at));
    n.set_as(i + count, momentum, n.dtype(at + 2 * count));
    n.set_as(i + 2 * count, square, n.dtype(at + 3 * count));
  }
}

void momentum(OnnxNode& n) {
  Builder& b = n.builder();
  const size_t count = tensors_of(n, 3);
  const double alpha = n.real("alpha"), beta = n.real("beta");
  const std::string mode = n.string("mode");
  if (mode != "standard" && mode != "nesterov") n.fail("has the unknown mode '" + mode + "'");
  for (size_t i = 0; i < count; ++i) {
    const size_t at = 2 + i;
    const Value x = n.in(at), gradient = regularized(n, x, n.in(at + count));
    const DType dtype = x.type().dtype;
    const Value rate = scalar_of(n, 0, dtype), steps = scalar_of(n, 1, dtype);
    const Value share = b.select(b.call("greater", {steps, b.constant(0.0, dtype)}), b.constant(beta, dtype),
                                 b.constant(1.0, dtype));
    const Value next = n.in(at + 2 * count) * alpha + share * gradient;
    n.set_as(i, x - rate * (mode == "nesterov" ? gradient + next * alpha : next), n.dtype(at));
    n.set_as(i + count, next, n.dtype(at + 2 * count));
  }
}

constexpr OnnxOp ops[] = {{"Adagrad", 1, adagrad, training_domain},
                          {"Adam", 1, adam, training_domain},
                          {"Momentum", 1, momentum, training_domain}};

}  // namespace

std::span<const OnnxOp> onnx_training_ops() { return ops; }

}  // namespace moru
