#include "compiler/interpret/gradient_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "compiler/interpret/reference.h"
#include "compiler/ir/builder.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/drop_dead.h"
#include "compiler/passes/expand.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

const InterpretOptions in_f64{.numbers = Numbers::all_f64};

std::vector<size_t> choose_elements(const std::vector<double>& gradient, const GradientCheckOptions& options,
                                    uint64_t input) {
  const size_t count = gradient.size();
  std::vector<size_t> chosen;
  if (!options.seed || count <= options.samples) {
    const size_t stride = std::max<size_t>(1, count / std::max<size_t>(1, options.samples));
    for (size_t i = 0; i < count; i += stride) chosen.push_back(i);
    return chosen;
  }
  const auto largest = std::max_element(gradient.begin(), gradient.end(),
                                        [](double a, double b) { return std::fabs(a) < std::fabs(b); });
  chosen.push_back(static_cast<size_t>(largest - gradient.begin()));
  std::seed_seq words{static_cast<uint32_t>(*options.seed), static_cast<uint32_t>(*options.seed >> 32),
                      static_cast<uint32_t>(input)};
  std::mt19937_64 random(words);
  while (chosen.size() < options.samples) {
    const size_t element = random() % count;
    if (std::find(chosen.begin(), chosen.end(), element) == chosen.end()) chosen.push_back(element);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

double scale_of(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value * value;
  return std::sqrt(sum / static_cast<double>(std::max<size_t>(1, values.size())));
}

}  // namespace

namespace {

/// What an error is relative to.
double magnitude(const InputProbes& input, const GradientProbe& probe) {
  const double floor = std::isfinite(input.largest_gradient) ? input.largest_gradient / 1000 : 0;
  return std::max({std::fabs(probe.gradient), std::fabs(probe.difference()), floor});
}

}  // namespace

double relative_error(const InputProbes& input, const GradientProbe& probe) {
  const double apart = std::fabs(probe.gradient - probe.difference());
  if (!std::isfinite(apart)) return std::numeric_limits<double>::infinity();
  return apart == 0 ? 0 : apart / magnitude(input, probe);
}

bool is_wrong(const InputProbes& input, const GradientProbe& probe, double tolerance) {
  return !(std::fabs(probe.gradient - probe.difference()) <= tolerance * magnitude(input, probe) + probe.resolution);
}

bool is_kink(const InputProbes& input, const GradientProbe& probe, double tolerance) {
  if (!is_wrong(input, probe, tolerance)) return false;
  const double low = std::min(probe.below, probe.above), high = std::max(probe.below, probe.above);
  const double slack = tolerance * std::max(std::fabs(low), std::fabs(high)) + probe.resolution;
  return high - low > 10 * slack && probe.gradient >= low - slack && probe.gradient <= high + slack;
}

std::vector<InputProbes> probe_gradients(const Graph& graph, std::vector<HostTensor> inputs,
                                         const GradientCheckOptions& options,
                                         std::optional<std::span<const size_t>> positions) {
  Graph forward = graph;
  forward.results.resize(1);
  remove_unread_nodes(forward);
  check_internal(forward.inputs.size() == inputs.size(), "probe_gradients: one tensor for each input");
  Graph backward = expand(forward);
  std::vector<size_t> moved;
  std::vector<ValueId> wanted;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!is_float(inputs[i].dtype)) continue;
    if (positions && std::find(positions->begin(), positions->end(), i) == positions->end()) continue;
    moved.push_back(i);
    wanted.push_back(backward.inputs[i].value);
  }
  for (ValueId gradient : append_gradients(backward, backward.results[0].value, wanted)) backward.add_result(gradient);
  verify_graph(backward, "append_gradients");
  const std::vector<HostTensor> results = interpret_graph(backward, inputs, in_f64);
  const auto loss = [&] { return interpret_loss(forward, inputs); };
  const double here = loss();

  std::vector<InputProbes> all;
  for (size_t k = 0; k < moved.size(); ++k) {
    HostTensor& input = inputs[moved[k]];
    const std::vector<double>& gradient = results[k + 1].data;
    check_internal(gradient.size() == input.data.size(), "a gradient has the shape of its input");
    InputProbes one{.input = moved[k], .name = forward.inputs[moved[k]].slot, .shape = input.shape, .probes = {}};
    for (double value : gradient)
      if (!(std::fabs(value) <= one.largest_gradient)) one.largest_gradient = std::fabs(value);
    const double scale = scale_of(input.data);
    for (size_t element : choose_elements(gradient, options, moved[k])) {
      const double x = input.data[element];
      GradientProbe probe{.element = element, .at = x, .gradient = gradient[element]};
      const double size = std::max(std::fabs(x), scale);
      double step = options.step * (size > 0 && std::isfinite(size) ? size : 1.0);
      for (int shortened = 0; shortened < 3; ++shortened, step /= 8) {
        const double over = x + step, under = x - step;
        input.data[element] = over;
        const double above = loss();
        input.data[element] = under;
        const double below = loss();
        input.data[element] = x;
        probe.above = (above - here) / (over - x);
        probe.below = (here - below) / (x - under);
        probe.resolution = 16 * std::numeric_limits<double>::epsilon() * std::fabs(here) / step;
        if (!options.tolerance || !is_wrong(one, probe, *options.tolerance)) break;
      }
      one.probes.push_back(probe);
    }
    all.push_back(std::move(one));
  }
  return all;
}

double interpret_loss(const Graph& graph, std::span<const HostTensor> inputs) {
  return interpret_graph(graph, inputs, in_f64).at(0).data.at(0);
}

void append_weighted_loss(Graph& graph, std::vector<HostTensor>& inputs, uint64_t seed) {
  const std::vector<HostTensor> values = interpret_graph(graph, inputs, in_f64);
  Builder builder(graph);
  std::mt19937_64 random(seed);
  Value loss;
  const std::vector<GraphResult> results = graph.results;
  for (size_t k = 0; k < results.size(); ++k) {
    const Type type = graph.type(results[k].value);
    if (!is_float(type.dtype)) continue;
    HostTensor weights = make_tensor(type.dtype, values[k].shape);
    for (double& weight : weights.data)  // exact in f32
      weight = static_cast<double>(static_cast<float>(0.3 + 1.4 * static_cast<double>(random() >> 11) * 0x1p-53));
    inputs.push_back(std::move(weights));
    const Value weight = builder.input(type, "weight of '" + results[k].slot + "'");
    std::vector<int64_t> axes(type.shape.size());
    std::iota(axes.begin(), axes.end(), 0);
    const Value part =
        builder.cast(builder.reduce("reduce_sum", builder.value(results[k].value) * weight, axes), DType::f64);
    loss = loss ? loss + part : part;
  }
  if (!loss) throw CompileError({.stage = "interpret", .what = "'" + graph.name + "' has no result of floats to differentiate"});
  graph.results.clear();
  builder.result(loss);
}

}  // namespace moru
