// The loop of recurrent layers, whatever it runs: one scan over time that carries states, with the rules of Keras for
// masked steps and for the order of what it returns.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "compiler/ir/builder.h"

namespace moru {

struct RecurrentLoop {
  Value x;                        // [batch, time, ...]
  Value mask = {};                // [batch, time], or none
  std::vector<Value> states;      // before the first step
  std::vector<Value> invariants;  // what every step reads: weights, numbers that dropout drew
  /// The output of a step and the next states. x is [batch, ...].
  std::function<std::pair<Value, std::vector<Value>>(Builder&, Value x, std::span<const Value> states,
                                                     std::span<const Value> invariants)>
      step;
  bool return_sequences = false;
  bool go_backwards = false;
  bool zero_output_for_mask = false;
  bool in_time_order = false;  // a sequence, where it goes backwards; Keras returns it in the order of processing
  /// The output is a state that begins with 0: masked steps then repeat it as they keep the state.
  bool output_is_state = false;
};

/// The last output or, with return_sequences, all of them, [batch, time, ...]; then the last states. A masked step leaves the
/// states as they are and repeats the output before it, or yields 0 with zero_output_for_mask; before the first real step the
/// output is 0, whatever the initial state.
std::vector<Value> run_recurrent_loop(Builder& builder, const RecurrentLoop& loop);

}  // namespace moru
