// What the expansion and the reference of recurrent layers share: the cells that a layer runs, the shapes of their states,
// which of an op's inputs is what, and dropout's factors. Only recurrent*.cpp include this.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ops/layer.h"
#include "compiler/ops/recurrent_cells.h"

namespace moru::recurrent {

/// A cell of a layer. SimpleRNN, LSTM, GRU and ConvLSTM have one, whose attributes are the layer's own; RNN runs any number,
/// each on the output of the one before.
struct Part {
  const Cell* cell = nullptr;
  Attributes attributes;
  std::string prefix = {};  // of its weights' names: "cell/", "cells/0/"
  Shape state(const Shape& x) const { return cell->state(*cell, x, attributes); }
};
using Parts = std::vector<Part>;

/// Throws CompileError for cells that there are not.
Parts parts_of(const Op& op, const Attributes& attributes, std::string_view node);

/// The shapes of all states in order, from that of one step of the input; and of what each part reads.
struct StepShapes {
  std::vector<Shape> states, inputs;
};
StepShapes shapes_of(const Parts& parts, Shape x);

/// [batch, time, ...] as [batch, ...].
Shape step_of(const Shape& sequence);

size_t state_count(const Parts& parts);

/// An op's inputs by what they are. A layer with one cell has them by name: x, the initial states, kernel, recurrent kernel,
/// bias, mask, seed, step. RNN has x, mask, seed, step, then the initial states and the weights of all cells.
struct Places {
  size_t mask = 0, seed = 0, states = 0, weights = 0;
};
Places places_of(const Op& op, const Parts& parts, size_t inputs);

/// An Item is a Value or a HostTensor.
template <typename Item>
struct Arguments {
  Item x, mask;
  std::span<const Item> random;            // seed and step, or nothing
  std::vector<Item> states;                // as many as there are, or none
  std::vector<std::vector<Item>> weights;  // by part: kernel, recurrent kernel, bias or nothing
};
template <typename Item>
Arguments<Item> arguments_of(const Op& op, const Parts& parts, std::span<const Item> inputs);

/// nullptr for a tensor that is absent.
const HostTensor* or_null(const HostTensor& tensor);

// ---- dropout ----

/// Whether the attribute is a rate that drops something: Keras' cells leave a rate of 1 out.
bool drops(const Attributes& attributes, std::string_view rate);

/// What dropout draws for one part, once for the sequence: of its input or of its first state.
struct Draw {
  Shape shape;  // [batch, gates, ...]
  double rate = 0;
  int64_t stream = 0;
};
/// By part, an empty shape where nothing is dropped. `layer` are the attributes of the layer.
struct Draws {
  std::vector<Draw> x, h;
};
Draws draws_of(const Parts& parts, const StepShapes& shapes, const Attributes& layer);

std::vector<HostTensor> recurrent_reference(const Op& op, std::span<const HostTensor> inputs, const Attributes& attributes);

}  // namespace moru::recurrent
