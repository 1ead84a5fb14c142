// A recurrent cell of one's own: a step that is written with ops and run over a sequence, as Keras' RNN runs a cell class.
//
//   CustomCell minimal{.state_sizes = {32},
//                      .weights = [](int64_t in) -> std::vector<CustomCell::Weight> {
//                        return {{"kernel", {in, 32}}, {"recurrent_kernel", {32, 32}, "orthogonal"}};
//                      },
//                      .step = [](Builder& b, Value x, std::span<const Value> h, std::span<const Value> w) {
//                        Value y = b.contract(x, w[0], "ab,bc->ac") + b.contract(h[0], w[1], "ab,bc->ac");
//                        return std::pair(y, std::vector<Value>{y});
//                      }};
//   Tensor y = custom_rnn(m, minimal, x, {.return_sequences = true}).front();
//
// It is differentiated, fused and trained as the layers are. In a .moru file it stands as the graph that was drawn.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/builder.h"
#include "compiler/model/functional.h"

namespace moru {

struct CustomCell {
  struct Weight {
    std::string name;
    std::vector<int64_t> shape;
    AttributeValue initializer = "glorot_uniform";
    bool trainable = true;
  };
  std::vector<int64_t> state_sizes;  // of each state, [batch, size]
  /// The weights for inputs with this many features.
  std::function<std::vector<Weight>(int64_t features)> weights;
  /// x: [batch, features], the states and the weights   ->   the output [batch, ...] and the next states
  std::function<std::pair<Value, std::vector<Value>>(Builder&, Value x, std::span<const Value> states,
                                                     std::span<const Value> weights)>
      step;
};

struct CustomRnnOptions {
  bool return_sequences = false;
  bool return_state = false;
  bool go_backwards = false;
  bool zero_output_for_mask = false;
  std::vector<Tensor> initial_states = {};  // one for each state, or none: zeros
  std::optional<Tensor> mask = {};          // [batch, time]; masked steps keep the states
  std::string name = "custom_rnn";
};

/// Runs the cell over x, [batch, time, features]: the last output, or all of them with return_sequences, [batch, time, ...];
/// then the last states with return_state. Throws CompileError if x is no sequence, or where a step does not return a state as
/// it got it.
std::vector<Tensor> custom_rnn(ModelBuilder& model, const CustomCell& cell, const Tensor& x, const CustomRnnOptions& options = {});

}  // namespace moru
