// Gradients beside finite differences: differentiates a graph, runs it in f64 by the reference interpreter, and moves
// single elements of its inputs to see what its loss does. Tests of ops and passes use it, and `moru gradcheck`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"
#include "compiler/ops/op.h"

namespace moru {

struct GradientCheckOptions {
  size_t samples = 16;  // elements of an input that are moved, at most
  /// Which ones: chosen at random by this seed, with the one of the largest gradient among them; without it, evenly
  /// spaced from the first.
  std::optional<uint64_t> seed = {};
  /// An element x is moved by step * max(|x|, the root mean square of its input), or by step where all are zero.
  double step = 1e-5;
  /// Where gradient and difference are further apart than this, relative to the larger, the step is shortened to 1/8 and
  /// 1/64 of it: a kink within the step, but not at the element, then goes away. Absent: one step only.
  std::optional<double> tolerance = {};
};

/// One element: f is the loss, h the step.
struct GradientProbe {
  size_t element = 0;    // row-major
  double at = 0;         // its value x
  double gradient = 0;   // by differentiation
  double below = 0;      // (f(x) - f(x - h)) / h
  double above = 0;      // (f(x + h) - f(x)) / h
  double resolution = 0; // what rounding of f alone can make of a difference
  double difference() const { return (below + above) / 2; }
};

/// All probes of one input of the graph.
struct InputProbes {
  size_t input = 0;              // position
  std::string name;              // of its slot
  std::vector<int64_t> shape;
  double largest_gradient = 0;   // of all elements, not only of those that were moved; NaN if one is
  std::vector<GradientProbe> probes;
};

/// |gradient - difference| / max(|gradient|, |difference|, largest_gradient / 1000); infinite if either is not finite.
double relative_error(const InputProbes& input, const GradientProbe& probe);

/// True where the relative error is above the tolerance, and not for rounding alone.
bool is_wrong(const InputProbes& input, const GradientProbe& probe, double tolerance);

/// True where the loss has a kink at the element, such as relu's at 0: the differences to both sides stay apart
/// however short the step, and the gradient is one of them or between them.
bool is_kink(const InputProbes& input, const GradientProbe& probe, double tolerance);

/// Checks the gradients of the graph's first result, a scalar, with respect to all its float inputs, or to those of the
/// given positions. `graph` need not be expanded. Throws as interpret_graph does.
std::vector<InputProbes> probe_gradients(const Graph& graph, std::vector<HostTensor> inputs,
                                         const GradientCheckOptions& options = {},
                                         std::optional<std::span<const size_t>> positions = {});

/// The graph's first result, a scalar, in f64.
double interpret_loss(const Graph& graph, std::span<const HostTensor> inputs);

/// Makes a loss of a graph that has none, its only result: the sum over all float results of result * weight, in f64.
/// The weights are random in [0.3, 1.7), further inputs of the graph and of `inputs`.
void append_weighted_loss(Graph& graph, std::vector<HostTensor>& inputs, uint64_t seed);

}  // namespace moru
