// ONNX's random numbers. Moru's are functions of a seed: a node draws the same ones at every run, other ones than its
// neighbours, and with another `seed` others.
#include <cmath>
#include <utility>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

// FNV-1a of the node's name, which is unique in the model.
int64_t stream_of(const OnnxNode& n) {
  uint32_t hash = 2166136261u;
  for (const char c : n.name()) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash >> 1;
}

Value draw(OnnxNode& n, std::string_view op, Shape shape) {
  const double seed = n.real("seed", 0.0);
  if (!(std::fabs(seed) < 0x1p53)) n.fail("has the impossible seed " + std::to_string(seed));
  const Value none = n.constant(0.0, DType::i64), key = n.constant(std::trunc(seed), DType::i64);
  return n.builder().call(op, {key, none}, {{"shape", std::move(shape)}, {"stream", stream_of(n)}});
}

ElementType type_attribute(OnnxNode& n, ElementType otherwise) {
  if (!n.has("dtype")) return otherwise;
  return dtype_of_onnx(static_cast<int32_t>(n.integer("dtype")), "the attribute 'dtype'");
}

void set_floats(OnnxNode& n, Value y, ElementType type) {
  if (!is_float(type.dtype)) n.fail("draws numbers of another type than floats, which is not supported");
  n.set_as(0, y, type);
}

void uniform(OnnxNode& n, Shape shape, ElementType type) {
  const double low = n.real("low", 0.0), high = n.real("high", 1.0);
  set_floats(n, draw(n, "random_uniform", std::move(shape)) * (high - low) + low, type);
}

void normal(OnnxNode& n, Shape shape, ElementType type) {
  set_floats(n, draw(n, "random_normal", std::move(shape)) * n.real("scale", 1.0) + n.real("mean", 0.0), type);
}

Shape shape_attribute(OnnxNode& n) {
  const std::vector<int64_t> shape = n.integers("shape");
  checked_elements(shape, "the attribute 'shape' of '" + n.name() + "'");
  return {shape.begin(), shape.end()};
}

// Like the first input, also where that holds no floats.
ElementType type_like(OnnxNode& n) { return type_attribute(n, is_float(n.dtype(0).dtype) ? n.dtype(0) : ElementType()); }

void random_uniform(OnnxNode& n) { uniform(n, shape_attribute(n), type_attribute(n, {})); }
void random_normal(OnnxNode& n) { normal(n, shape_attribute(n), type_attribute(n, {})); }
void random_uniform_like(OnnxNode& n) { uniform(n, n.type(0).shape, type_like(n)); }
void random_normal_like(OnnxNode& n) { normal(n, n.type(0).shape, type_like(n)); }

// 1 with the probability x, else 0.
void bernoulli(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const Value drawn = b.cast(draw(n, "random_uniform", x.shape()), x.type().dtype);
  n.set_as(0, b.call("less", {drawn, x}), type_attribute(n, n.dtype(0)));
}

// Class numbers by unnormalised logarithms of their probabilities: the largest of x and Gumbel noise (Gumbel, "Statistical
// theory of extreme values", 1954).   x: [batch, classes] -> [batch, samples]
void multinomial(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const int64_t samples = n.integer("sample_size", 1);
  if (x.rank() != 2 || samples < 1) n.fail("needs [batch, classes] and a positive sample_size but got " + shape_text(x.shape()));
  const Shape shape = {x.dim(0), samples, x.dim(1)};
  constexpr double half_step = 0x1p-25;  // uniform numbers are multiples of 2^-24; 0 has no logarithm
  const Value uniform = draw(n, "random_uniform", shape) + half_step;
  const Value noise = -b.call("log", {-b.call("log", {uniform})});
  const Value scores = b.reshape(b.cast(x, DType::f32), {x.dim(0), 1, x.dim(1)}) + noise;
  n.set_as(0, b.call("arg_max", {scores}, {{"axis", int64_t{2}}}), type_attribute(n, ElementType(DType::i32)));
}

constexpr OnnxOp ops[] = {{"RandomUniform", 1, random_uniform}, {"RandomUniformLike", 1, random_uniform_like},
                          {"RandomNormal", 1, random_normal},   {"RandomNormalLike", 1, random_normal_like},
                          {"Bernoulli", 15, bernoulli},         {"Multinomial", 7, multinomial}};

}  // namespace

std::span<const OnnxOp> onnx_random_ops() { return ops; }

}  // namespace moru
