#include <cmath>
#include <numbers>
#include <span>

#include "compiler/ops/infer.h"
#include "compiler/ops/philox.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

// The quantile of the normal distribution by rational functions: Wichura, "Algorithm AS 241: the percentage points of the
// normal distribution", Applied Statistics 37 (1988), routine PPND16, in two of its three ranges: probabilities here are
// at least 2^-25. Highest power first.
constexpr double middle_numerator[] = {2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
                                       4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
                                       1.3314166789178437745e2, 3.3871328727963666080};
constexpr double middle_denominator[] = {5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
                                         2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
                                         4.2313330701600911252e1, 1.0};
constexpr double tail_numerator[] = {7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
                                     1.27045825242236838258,    3.64784832476320460504,    5.76949722146069140550,
                                     4.63033784615654529590,    1.42343711074968357734};
constexpr double tail_denominator[] = {1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
                                       1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940,
                                       2.05319162663775882187,    1.0};

Value polynomial(Value x, std::span<const double> coefficients) {
  Value sum = x * coefficients[0] + coefficients[1];
  for (double coefficient : coefficients.subspan(2)) sum = sum * x + coefficient;
  return sum;
}

// The deviation with `q` more than half of the distribution below it, |q| < 1/2.
Value normal_quantile(Value q) {
  Builder& b = *q.builder;
  const DType dtype = q.type().dtype;
  const Value middle = 0.180625 - b.call("square", {q});
  const Value near = q * polynomial(middle, middle_numerator) / polynomial(middle, middle_denominator);
  const Value size = b.call("abs", {q});
  const Value depth = b.call("sqrt", {-b.call("log", {0.5 - size})}) - 1.6;
  const Value far = polynomial(depth, tail_numerator) / polynomial(depth, tail_denominator);
  const Value is_near = b.call("less_equal", {size, b.constant(0.425, dtype)});
  const Value is_below = b.call("less", {q, b.constant(0.0, dtype)});
  return b.select(is_near, near, b.select(is_below, -far, far));
}

// The same by bisection of the distribution function.
double normal_quantile(double q) {
  const double tail = 0.5 - std::fabs(q);
  double low = 0.0, high = 8.0;
  for (int i = 0; i < 80; ++i) {
    const double x = (low + high) / 2;
    (std::erfc(x / std::numbers::sqrt2) / 2 > tail ? low : high) = x;
  }
  return q < 0 ? -low : low;
}

// Centres the numbers of random_uniform: multiples of 2^-24 in [0, 1) become odd multiples of 2^-25 around 0.
constexpr double uniform_centre = 0.5 - 0x1p-25;

Op random_normal() {
  auto number = [](double value) { return Example::Tensor{.shape = {}, .dtype = DType::i64, .values = {value}}; };
  return {
      .name = "random_normal",
      .family = OpFamily::random,
      .doc = "y = independent normal numbers with mean 0 and deviation 1: the quantiles at the numbers that random_uniform draws "
             "for the same seed, step and stream, plus 2^-25.   seed, step: i64[]   ->   y: f32 `shape`",
      .inputs = {{.name = "seed"}, {.name = "step"}},
      .attributes = {{.name = "shape", .type = AttributeType::shape},
                     {.name = "stream", .type = AttributeType::integer, .doc = "which draw this is"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        check_extents(context, "random_normal", context.attributes.shape("shape"), "shape");
        return {{DType::f32, context.attributes.shape("shape")}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = get_op("random_uniform").reference(inputs, a).at(0);
        for (double& u : y.data) u = normal_quantile(u - uniform_centre);
        return {y};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        // In two steps, each of which is exact in f32.
        const Value u = b.call("random_uniform", {inputs[0], inputs[1]}, a);
        return {normal_quantile((u - 0.5) + 0x1p-25)};
      },
      .differentiable = false,
      .examples = {{.inputs = {number(1), number(7)}, .attributes = {{"shape", Shape{7, 33}}, {"stream", 3}}},
                   {.inputs = {number(-5), number(0)}, .attributes = {{"shape", Shape{4099}}, {"stream", 0}}}},
  };
}

}  // namespace

std::vector<Op> random_ops() {
  Op op;
  op.name = "random_uniform";
  op.family = OpFamily::random;
  op.doc =
      "y = independent uniform numbers in [0, 1), multiples of 2^-24, a pure function of seed, step, stream and flat "
      "element index + offset: Philox-2x32-10, the exact formula is in philox.h.  seed, step, offset: i64[]; y: f32 "
      "`shape`";
  op.inputs = {{.name = "seed"}, {.name = "step"}, {.name = "offset", .optional = true}};
  op.attributes = {
      {.name = "shape", .type = AttributeType::shape},
      {.name = "stream", .type = AttributeType::integer, .doc = "which draw this is: one number per node and call"}};
  op.differentiable = false;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const char* names[] = {"seed", "step", "offset"};
    for (size_t i = 0; i < context.inputs.size(); ++i)
      if (context.present[i] && context.inputs[i] != Type{DType::i64, {}})
        refuse(context, "random_uniform",
               std::string("needs an i64[] as '") + names[i] + "' but got " + type_text(context.inputs[i]));
    check_extents(context, "random_uniform", context.attributes.shape("shape"), "shape");
    return {{DType::f32, context.attributes.shape("shape")}};
  };
  op.reference = [](std::span<const HostTensor> inputs, const Attributes& attributes) {
    auto scalar = [&](size_t i) {
      return i < inputs.size() && !inputs[i].data.empty() ? static_cast<int64_t>(inputs[i].data[0]) : int64_t{0};
    };
    const int64_t seed = scalar(0), step = scalar(1), offset = scalar(2);
    const int64_t stream = attributes.integer("stream");
    HostTensor y = make_tensor(DType::f32, constant_shape(attributes.shape("shape")));
    for (int64_t i = 0; i < y.elements(); ++i)
      y.data[static_cast<size_t>(i)] = static_cast<double>(random_uniform(seed, step, stream, i + offset));
    return std::vector<HostTensor>{std::move(y)};
  };
  auto number = [](double value) { return Example::Tensor{.shape = {}, .dtype = DType::i64, .values = {value}}; };
  op.examples = {
      {.inputs = {number(1), number(7)}, .attributes = {{"shape", Shape{7, 33}}, {"stream", 3}}},
      {.inputs = {number(-5), number(0), number(4096)}, .attributes = {{"shape", Shape{17}}, {"stream", 0}}},
      {.inputs = {number(0x1p40), number(0x1p33), number(0x1p32)}, .attributes = {{"shape", Shape{}}, {"stream", -1}}}};
  return {std::move(op), random_normal()};
}

}  // namespace moru
