// The forms in which elementwise ops are written down: one struct for one input, one for two. They turn a formula on
// one element into the reference on tensors, the type rule and the gradient's bookkeeping of broadcasting.
#pragma once

#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "compiler/ops/infer.h"
#include "compiler/ops/op.h"

namespace moru {

struct UnaryOp {
  std::string_view name;
  OpFamily family = OpFamily::elementwise;
  std::string_view doc;
  Accepts accepts = Accepts::floats;
  std::vector<AttributeSpec> attributes = {};
  double (*reference)(double) = nullptr;
  /// Instead of `reference` where attributes matter: the formula for these attributes.
  std::function<std::function<double(double)>(const Attributes&)> reference_with = {};
  std::function<Expr(Expr, const Attributes&)> lower = {};
  std::function<Value(Value dy, Value x, Value y, const Attributes&)> gradient = {};  // none: zero everywhere
  bool cheap = true;
  std::vector<Example::Tensor> samples = {};  // gradients are checked here
  std::vector<double> extremes = {};          // values only
  std::vector<Attributes> variants = {};      // the first sample is repeated with each
};
Op elementwise(UnaryOp op);

struct BinaryOp {
  std::string_view name;
  std::string_view doc;
  Accepts accepts = Accepts::floats;
  bool to_boolean = false;
  double (*reference)(double, double) = nullptr;
  int64_t (*reference_integer)(int64_t, int64_t) = nullptr;  // where doubles would lose digits
  std::function<Expr(Expr, Expr)> lower;
  /// Gradients with respect to a and b, of the broadcast shape.
  std::function<std::pair<Value, Value>(Value dy, Value a, Value b, Value y)> gradient = {};
  bool cheap = true;
  std::vector<Example> examples;
};
Op elementwise(BinaryOp op);

/// Tensors of several ranks and sizes, uniform between `low` and `high`.
std::vector<Example::Tensor> samples(double low, double high, DType dtype = DType::f32);
/// Pairs of tensors, broadcasting and not, a between the first two numbers and b between the others.
std::vector<Example> pairs(double a_low, double a_high, double b_low, double b_high, DType dtype = DType::f32);
/// Zeros of both signs, tiny, huge, infinite and NaN.
std::vector<double> extreme_values();

/// A scalar 0 of the element type of x.
Value zero_like(Value x);
/// A constant of the element type of `like`.
Expr number_like(const Expr& like, double value);

}  // namespace moru
