// What holds weights in check, with Keras 3's formulas: constraints map an updated weight to an allowed one (applied by
// passes/add_update), regularizers map a weight or an output to a penalty (added to the loss by passes/make_entries).
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"

namespace moru {

namespace {

// ---- norms along axes ----

AttributeSpec norm_axis() {
  return {.name = "axis", .type = AttributeType::integers, .default_value = std::vector<int64_t>{0}, .doc = "the axes of one norm", .keras_list = KerasList::unwrapped};
}

std::vector<Type> infer_constraint(const OpContext& context, std::string_view name) {
  const Op& op = get_op(name);
  const Type& w = context.inputs[0];
  if (!is_float(w.dtype)) fail(context, op, "needs a floating point weight but got " + type_text(w));
  if (context.attributes.has("axis"))
    for (int64_t axis : context.attributes.integers("axis")) checked_axis(context, op, axis, w.shape.size());
  return {w};
}

Value norms(Value w, const Attributes& a) {
  return call("sqrt", w.builder->reduce("reduce_sum", call("square", w), a.integers("axis"), true));
}

// For each element the norm along the axes through it.
std::vector<double> norms(const HostTensor& w, const Attributes& a) {
  std::vector<bool> along(w.shape.size());
  for (int64_t axis : a.integers("axis")) along[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(w.shape.size()) : axis)] = true;
  std::vector<size_t> place(w.data.size());
  for (size_t i = 0; i < w.data.size(); ++i)
    for (size_t axis = w.shape.size(), rest = i, stride = 1; axis-- > 0;) {
      auto extent = static_cast<size_t>(w.shape[axis]);
      if (!along[axis]) {
        place[i] += rest % extent * stride;
        stride *= extent;
      }
      rest /= extent;
    }
  std::vector<double> sums(w.data.size()), each(w.data.size());
  for (size_t i = 0; i < w.data.size(); ++i) sums[place[i]] += w.data[i] * w.data[i];
  for (size_t i = 0; i < w.data.size(); ++i) each[i] = std::sqrt(sums[place[i]]);
  return each;
}

using Factor = double (*)(double norm, const Attributes&);
using FactorFormula = Value (*)(Value norm, const Attributes&);

std::vector<Example> norm_examples(std::vector<Attributes> more) {
  std::vector<Example> examples = {{.inputs = {{{5, 7}, -2, 2}}},
                                   {.inputs = {{{3, 4, 5}, -2, 2}}, .attributes = {{"axis", std::vector<int64_t>{0, 1}}}},
                                   {.inputs = {{{17}, -2, 2}}}};
  for (Attributes& attributes : more) examples.push_back({.inputs = {{{5, 7}, -2, 2}}, .attributes = std::move(attributes)});
  for (Example& example : examples) example.differentiable = false;
  return examples;
}

// w' = w * factor(its norm)
Op norm_constraint(std::string_view name, std::string_view doc, std::vector<AttributeSpec> attributes, Factor factor,
                   FactorFormula formula, std::vector<Attributes> examples) {
  attributes.push_back(norm_axis());
  return {
      .name = name,
      .family = OpFamily::constraint,
      .doc = doc,
      .inputs = {{"w"}},
      .attributes = std::move(attributes),
      .infer = [name](const OpContext& context) { return infer_constraint(context, name); },
      .reference = [factor](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor w = inputs[0];
        std::vector<double> norm = norms(w, a);
        for (size_t i = 0; i < w.data.size(); ++i) w.data[i] *= factor(norm[i], a);
        return {w};
      },
      .expand = [formula](Builder&, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        return {inputs[0] * formula(norms(inputs[0], a), a)};
      },
      .differentiable = false,
      .examples = norm_examples(std::move(examples)),
  };
}

Op non_neg() {
  return {
      .name = "non_neg",
      .family = OpFamily::constraint,
      .doc = "w' = max(w, 0).   w: [...]",
      .inputs = {{"w"}},
      .infer = [](const OpContext& context) { return infer_constraint(context, "non_neg"); },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        HostTensor w = inputs[0];
        for (double& x : w.data) x = std::max(x, 0.0);
        return {w};
      },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> { return {at_least(inputs[0], 0.0)}; },
      .differentiable = false,
      .examples = {{.inputs = {{{5, 7}}}, .differentiable = false}},
  };
}

// ---- regularizers ----

Value sum_of(Value x) {
  std::vector<int64_t> axes;
  for (size_t i = 0; i < x.rank(); ++i) axes.push_back(static_cast<int64_t>(i));
  return x.builder->reduce("reduce_sum", x, axes);
}

AttributeSpec strength(std::string_view name, double value) {
  return {.name = name, .type = AttributeType::real, .default_value = value, .least = 0};
}

double strength_of(const Attributes& a, std::string_view name) { return a.has(name) ? a.real(name) : 0.0; }

// l1 sum |x| + l2 sum x^2
Op l1_l2(std::string_view name, std::string_view doc, std::vector<AttributeSpec> attributes, std::vector<Attributes> variants) {
  std::vector<Example> examples = {{.inputs = {{{5, 7}}}, .attributes = variants[0]}};
  for (const Attributes& variant : variants) examples.push_back({.inputs = {{{3, 4, 5}}}, .attributes = variant});
  return {
      .name = name,
      .family = OpFamily::regularizer,
      .doc = doc,
      .inputs = {{"x"}},
      .attributes = std::move(attributes),
      .infer = [](const OpContext& context) -> std::vector<Type> { return {{context.inputs[0].dtype, {}}}; },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        double sum = 0.0;
        for (double x : inputs[0].data) sum += strength_of(a, "l1") * std::fabs(x) + strength_of(a, "l2") * x * x;
        return {make_tensor(inputs[0].dtype, {}, sum)};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value sum;
        if (double l1 = strength_of(a, "l1"); l1 != 0.0) sum = sum_of(call("abs", inputs[0])) * l1;
        if (double l2 = strength_of(a, "l2"); l2 != 0.0) {
          Value squares = sum_of(call("square", inputs[0])) * l2;
          sum = sum ? sum + squares : squares;
        }
        return {sum ? sum : b.constant(0.0, inputs[0].type().dtype)};
      },
      .examples = std::move(examples),
  };
}

Op orthogonal_regularizer() {
  return {
      .name = "orthogonal_regularizer",
      .family = OpFamily::regularizer,
      .doc = "factor times the mean over pairs of rows (or columns) of |cosine of their angle|; norms are at least 1e-7.   x: [rows, "
             "columns] -> []",
      .inputs = {{"x"}},
      .attributes = {strength("factor", 0.01),
                     {.name = "mode", .type = AttributeType::string, .default_value = "rows", .choices = {"rows", "columns"}}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("orthogonal_regularizer");
        const Type& x = context.inputs[0];
        if (x.shape.size() != 2 || !x.shape[0].is_constant() || !x.shape[1].is_constant())
          fail(context, op, "needs a weight with two axes but got " + type_text(x));
        if (x.shape[context.attributes.string("mode") == "rows" ? 0 : 1].constant() < 2)
          fail(context, op, "needs at least two " + context.attributes.string("mode") + " but got " + type_text(x));
        return {{x.dtype, {}}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor& x = inputs[0];
        bool rows = a.string("mode") == "rows";
        auto columns = static_cast<size_t>(x.shape[1]), count = static_cast<size_t>(x.shape[rows ? 0 : 1]), width = static_cast<size_t>(x.shape[rows ? 1 : 0]);
        auto at = [&](size_t i, size_t k) { return rows ? x.data[i * columns + k] : x.data[k * columns + i]; };
        auto dot = [&](size_t i, size_t j) {
          double sum = 0.0;
          for (size_t k = 0; k < width; ++k) sum += at(i, k) * at(j, k);
          return sum;
        };
        double sum = 0.0, pairs = static_cast<double>(count) * (static_cast<double>(count) - 1.0) / 2.0;
        for (size_t i = 0; i < count; ++i)
          for (size_t j = 0; j < i; ++j)
            sum += std::fabs(dot(i, j)) / (std::max(std::sqrt(dot(i, i)), keras_epsilon) * std::max(std::sqrt(dot(j, j)), keras_epsilon));
        return {make_tensor(x.dtype, {}, a.real("factor") * sum / pairs)};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        bool rows = a.string("mode") == "rows";
        Value x = inputs[0];
        Value squares = b.reduce("reduce_sum", call("square", x), {rows ? 1 : 0}, true);
        Value unit = x * call("rsqrt", at_least(squares, keras_epsilon * keras_epsilon));
        Value products = b.contract(unit, unit, rows ? "ik,jk->ij" : "ki,kj->ij");
        auto number = [&](int64_t axis) { return b.call("iota", {}, {{"shape", products.shape()}, {"axis", axis}}); };
        Value apart = b.cast(b.call("not_equal", {number(0), number(1)}), x.type().dtype);
        auto count = static_cast<double>(products.dim(0).constant());
        return {sum_of(call("abs", products * apart)) * (a.real("factor") / (count * (count - 1.0)))};
      },
      .examples = {{.inputs = {{{4, 3}}}}, {.inputs = {{{5, 7}}}, .attributes = {{"factor", 0.5}, {"mode", "columns"}}}},
  };
}

}  // namespace

std::vector<Op> constraint_ops() {
  auto real = [](std::string_view name, double value, std::optional<double> most = {}) {
    return AttributeSpec{.name = name, .type = AttributeType::real, .default_value = value, .least = 0, .most = most};
  };
  std::vector<Op> ops;
  ops.push_back(norm_constraint(
      "max_norm", "w' = w min(|w|, max_value) / (1e-7 + |w|), |w| the norm along `axis`.   w: [...]", {real("max_value", 2.0)},
      [](double norm, const Attributes& a) { return std::min(norm, a.real("max_value")) / (keras_epsilon + norm); },
      [](Value norm, const Attributes& a) { return at_most(norm, a.real("max_value")) / (norm + keras_epsilon); },
      {{{"max_value", 0.5}}, {{"axis", std::vector<int64_t>{-1}}}}));
  ops.push_back(norm_constraint(
      "min_max_norm",
      "w' = w d / (1e-7 + |w|), d = rate clip(|w|, min_value, max_value) + (1 - rate)|w|, |w| the norm along `axis`.   w: [...]",
      {real("min_value", 0.0), real("max_value", 1.0), real("rate", 1.0, 1.0)},
      [](double norm, const Attributes& a) {
        double clipped = std::min(std::max(norm, a.real("min_value")), a.real("max_value"));
        return (a.real("rate") * clipped + (1.0 - a.real("rate")) * norm) / (keras_epsilon + norm);
      },
      [](Value norm, const Attributes& a) {
        Value clipped = at_most(at_least(norm, a.real("min_value")), a.real("max_value"));
        return (clipped * a.real("rate") + norm * (1.0 - a.real("rate"))) / (norm + keras_epsilon);
      },
      {{{"min_value", 3.0}, {"max_value", 4.0}, {"rate", 0.7}}}));
  ops.push_back(norm_constraint(
      "unit_norm", "w' = w / (1e-7 + |w|), |w| the norm along `axis`.   w: [...]", {},
      [](double norm, const Attributes&) { return 1.0 / (keras_epsilon + norm); },
      [](Value norm, const Attributes&) { return 1.0 / (norm + keras_epsilon); }, {{{"axis", std::vector<int64_t>{1}}}}));
  ops.push_back(non_neg());
  ops.push_back(l1_l2("l1", "l1 times the sum of |x|.   x: [...] -> []", {strength("l1", 0.01)}, {{}, {{"l1", 0.3}}}));
  ops.push_back(l1_l2("l2", "l2 times the sum of x^2.   x: [...] -> []", {strength("l2", 0.01)}, {{}, {{"l2", 0.3}}}));
  ops.push_back(l1_l2("l1_l2", "l1 times the sum of |x| plus l2 times the sum of x^2.   x: [...] -> []", {strength("l1", 0.0), strength("l2", 0.0)},
                      {{{"l1", 0.1}, {"l2", 0.2}}, {{"l2", 0.3}}}));
  ops.push_back(orthogonal_regularizer());
  return ops;
}

}  // namespace moru
