// SpectralNormalization: a wrapper that divides the weights of the layer inside by their largest singular value.
#include <algorithm>
#include <cmath>

#include "compiler/ops/inner_layer.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

constexpr size_t first_parameter = 2;  // behind x and the mask
constexpr double least_square = 1e-14;  // the least squared norm that is divided by, as in keras.ops.normalize

// The layer inside, its parameters under their own names, and which of them is normalized: their number where none is.
struct Wrapped {
  InnerLayer inner;
  std::vector<ParameterSpec> parameters;
  std::vector<std::string> names;
  size_t kernel;
};

Wrapped wrapped_layer(const Attributes& attributes, const Type& x, std::string_view node) {
  Wrapped w{resolve_inner(attributes, "layer", node), {}, {}, 0};
  w.parameters = inner_parameters(w.inner, {&x, 1}, node, "");
  w.names = names_of(w.parameters);
  w.kernel = w.names.size();
  const std::string_view name = w.inner.op->class_name;
  if (name.ends_with("LSTM") || name == "GRU" || name == "SimpleRNN") return w;  // their kernels are those of their cells
  const auto found = std::ranges::find_if(w.names, [](const std::string& own) { return own == "kernel" || own == "embeddings"; });
  w.kernel = static_cast<size_t>(found - w.names.begin());
  return w;
}

std::vector<ParameterSpec> spectral_parameters(const OpContext& context) {
  const Wrapped w = wrapped_layer(context.attributes, context.inputs[0], context.node);
  if (w.kernel == w.names.size())
    fail(context, get_op("spectral_normalization"),
         "needs a layer with a kernel or embeddings but wraps " + std::string(w.inner.op->class_name),
         "wrap Dense, EinsumDense, Embedding, a convolution or a transposed one");
  std::vector<ParameterSpec> parameters = inner_parameters(w.inner, context.inputs.first(1), context.node, "layer/");
  parameters.push_back({.name = "vector_u",
                        .shape = {Dim(1), w.parameters[w.kernel].shape.back()},
                        .initializer = Attributes{{"class", "TruncatedNormal"}, {"stddev", 0.02}},
                        .regularizer = {},
                        .trainable = false});
  return parameters;
}

std::vector<Type> infer_spectral(const OpContext& context) {
  const std::vector<ParameterSpec> parameters = spectral_parameters(context);  // and their errors
  const Wrapped w = wrapped_layer(context.attributes, context.inputs[0], context.node);
  std::vector<Type> outputs = infer_inner(w.inner, context.inputs.first(1), context.node);
  if (context.attributes.boolean("training")) {
    outputs.push_back({DType::f32, parameters.back().shape});
    outputs.push_back({DType::f32, w.parameters[w.kernel].shape});
  }
  return outputs;
}

std::vector<std::string> spectral_replaces(const Attributes& attributes) {
  if (!attributes.boolean("training")) return {};
  const bool table = attributes.nested("layer").string("class") == "Embedding";
  return {"vector_u", table ? "layer/embeddings" : "layer/kernel"};
}

Value normalized(Value x) {
  Builder& b = *x.builder;
  const Value square = b.reduce("reduce_sum", b.call("square", {x}), {0, 1}, true);
  return x * b.call("rsqrt", {b.call("maximum", {square, b.constant(least_square)})});
}

// What a training step makes of vector_u and the kernel: `iterations` steps of the power method.
std::pair<Value, Value> iterate(Value u, Value kernel, int64_t iterations) {
  Builder& b = *kernel.builder;
  const Dim columns = kernel.shape().back();
  const Value w = b.reshape(kernel, {floor_div(element_count(kernel.shape()), columns), columns});
  const Value zero = b.call("equal", {b.reduce("reduce_max", b.call("abs", {w}), {0, 1}), b.constant(0.0)});
  Value now = u, v;
  for (int64_t i = 0; i < iterations; ++i) {
    v = normalized(b.contract(now, w, "ik,jk->ij"));
    now = normalized(b.contract(v, w, "ij,jk->ik"));
  }
  const Value sigma = b.reshape(b.contract(b.contract(v, w, "ij,jk->ik"), now, "ik,ik->i"), {});
  return {b.select(zero, u, now), kernel / b.select(zero, b.constant(1.0), sigma)};
}

std::vector<Value> expand_spectral(Builder& b, std::span<const Value> inputs, const Attributes& attributes) {
  const Wrapped w = wrapped_layer(attributes, inputs[0].type(), b.origin());
  std::vector<Value> parameters(inputs.begin() + first_parameter, inputs.end());
  std::vector<Value> outputs(1);
  if (attributes.boolean("training")) {
    const auto [u, weights] = iterate(parameters.back(), parameters[w.kernel], attributes.integer("power_iterations"));
    parameters[w.kernel] = weights;
    outputs.push_back(u);
    outputs.push_back(weights);
  }
  parameters.pop_back();
  outputs[0] = w.inner.op->expand(b, placed<Value>(w.inner, inputs.first(1), {}, w.names, parameters), w.inner.attributes).at(0);
  return outputs;
}

// w: [rows, columns]. v = w u, or v = u w with `transposed`; then of length 1.
std::vector<double> multiplied(const std::vector<double>& w, const std::vector<double>& u, bool transposed) {
  const size_t n = u.size(), m = w.size() / n;
  std::vector<double> v(m);
  double square = 0;
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) v[i] += u[j] * (transposed ? w[j * m + i] : w[i * n + j]);
    square += v[i] * v[i];
  }
  for (double& x : v) x /= std::sqrt(std::max(square, least_square));
  return v;
}

std::vector<HostTensor> spectral_reference(std::span<const HostTensor> inputs, const Attributes& attributes) {
  const Wrapped w = wrapped_layer(attributes, types_of(inputs.first(1))[0], {});
  std::vector<HostTensor> parameters(inputs.begin() + first_parameter, inputs.end());
  std::vector<HostTensor> outputs(1);
  if (attributes.boolean("training")) {
    HostTensor& weights = parameters[w.kernel];
    HostTensor u = parameters.back();
    if (std::ranges::any_of(weights.data, [](double weight) { return weight != 0; })) {
      std::vector<double> v;
      for (int64_t i = 0; i < attributes.integer("power_iterations"); ++i) {
        v = multiplied(weights.data, u.data, false);
        u.data = multiplied(weights.data, v, true);
      }
      double sigma = 0;
      for (size_t i = 0; i < weights.data.size(); ++i) sigma += v[i / u.data.size()] * weights.data[i] * u.data[i % u.data.size()];
      for (double& weight : weights.data) weight /= sigma;
    }
    outputs.push_back(u);
    outputs.push_back(weights);
  }
  parameters.pop_back();
  outputs[0] =
      w.inner.op->reference(placed<HostTensor>(w.inner, inputs.first(1), {}, w.names, parameters), w.inner.attributes).at(0);
  return outputs;
}

}  // namespace

Op spectral_normalization() {
  const Attributes dense{{"class", "Dense"}, {"units", 5}, {"activation", "tanh"}};
  const Attributes plain{{"class", "Dense"}, {"units", 3}, {"use_bias", false}};
  const Attributes conv{{"class", "Conv2D"}, {"filters", 3}, {"kernel_size", std::vector<int64_t>{2, 2}}};
  const Attributes table{{"class", "Embedding"}, {"input_dim", 7}, {"output_dim", 4}};
  const Example::Tensor none{.shape = {}, .absent = true};
  const Example::Tensor rows{.shape = {2, 3}, .low = 0, .high = 7, .dtype = DType::i32};
  return {
      .name = "spectral_normalization",
      .family = OpFamily::layer,
      .doc = "A layer whose kernel (or embeddings) W, seen as [rows, columns], every training step first divides by an estimate of "
             "its largest singular value: power_iterations times v = u W' / |u W'|, u = v W / |v W|; then W = W / (v W u') and "
             "vector_u = u. A W of zeros stays.   x: [batch, ...]   vector_u: [1, columns]   y: what the layer makes of x.   "
             "Miyato et al. 2018, \"Spectral normalization for generative adversarial networks\", algorithm 1",
      .class_name = "SpectralNormalization",
      .inputs = {{"x"}, mask_input(), {.name = "parameters", .optional = true, .variadic = true}},
      .attributes = {{.name = "layer", .type = AttributeType::nested, .doc = "the layer, its class under \"class\""},
                     {.name = "power_iterations", .type = AttributeType::integer, .default_value = 1, .least = 1},
                     {.name = "training", .type = AttributeType::boolean, .default_value = false, .doc = "normalizes", .internal = true}},
      .infer = infer_spectral,
      .parameters = spectral_parameters,
      .replaces = spectral_replaces,
      .mask = keep_mask,
      .reference = spectral_reference,
      .expand = expand_spectral,
      .examples = {{.inputs = {{{4, 3}}, none}, .attributes = {{"layer", dense}}},
                   {.inputs = {{{4, 3}}, none}, .attributes = {{"layer", dense}, {"training", true}}},
                   {.inputs = {{{2, 3, 4}}, none}, .attributes = {{"layer", plain}, {"power_iterations", 3}, {"training", true}}},
                   {.inputs = {{{2, 4, 4, 2}}, none}, .attributes = {{"layer", conv}, {"training", true}}},
                   {.inputs = {rows, none}, .attributes = {{"layer", table}, {"power_iterations", 2}, {"training", true}}},
                   {.inputs = {{{2, 3}}, none, {.shape = {3, 3}, .low = 0, .high = 0}, {.shape = {1, 3}}},
                    .attributes = {{"layer", plain}, {"training", true}},
                    .differentiable = false}},
  };
}

}  // namespace moru
