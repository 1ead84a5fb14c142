// The cells of recurrent layers: what one step computes and which weights it has. How a step is repeated, masked, kept and
// dropped out is the same for all of them and stands in recurrent.cpp.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

/// What a step of the reference reads. Dropout's factors are [batch, gates, ...] of x, for one gate or for each, and of
/// the first state for each gate; or null.
struct CellStep {
  const HostTensor& x;
  std::span<const HostTensor> states;
  const HostTensor *kept_x = nullptr, *kept_h = nullptr;
};

/// Weights: a kernel, a recurrent kernel and a bias, which may be absent. The first state is the output.
struct Cell {
  std::string_view op;          // the layer that runs it alone: "lstm"
  std::string_view class_name;  // "LSTMCell"
  int64_t gates = 1;
  size_t states = 1;

  /// Fails unless x, one step [batch, ...], fits.
  void (*check)(const OpContext&, const Op&, const Cell&, const Shape& x, const Attributes&);
  /// The shape of each state, with the batch.
  Shape (*state)(const Cell&, const Shape& x, const Attributes&);
  std::vector<ParameterSpec> (*parameters)(const Cell&, const Shape& x, const Attributes&);
  /// Weights as they enter the loop, prepared once outside it.
  std::vector<Value> (*invariants)(Builder&, std::span<const Value> weights, const Attributes&);
  /// One step in the loop: the next states. x is [batch, ...], or [batch, gates, ...] where each gate sees its own; `kept`
  /// says what dropout leaves of the first state for each gate, [batch, gates, ...], or nothing.
  std::vector<Value> (*step)(Builder&, Value x, std::span<const Value> states, std::span<const Value> invariants,
                             Value kept, const Attributes&);
  /// The same by plain loops; a weight that is absent is null.
  std::vector<HostTensor> (*reference_step)(const CellStep&, std::span<const HostTensor* const> weights, const Attributes&);
};

/// By the name of its layer's op or by its class; nullptr if there is none.
const Cell* find_cell(std::string_view name);

std::span<const Cell> dense_cells();             // SimpleRNN, LSTM, GRU
std::span<const Cell> convolutional_cells();     // ConvLSTM1D to 3D: conv_lstm.cpp

/// kernel, recurrent kernel and bias from the attributes that all cells have.
std::vector<ParameterSpec> cell_parameters(const Attributes& a, Shape kernel, Shape recurrent_kernel, Shape bias);

}  // namespace moru
