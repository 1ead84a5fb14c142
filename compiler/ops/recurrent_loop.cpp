#include "compiler/ops/recurrent_loop.h"

#include <algorithm>

#include "compiler/ops/layer.h"

namespace moru {

std::vector<Value> run_recurrent_loop(Builder& builder, const RecurrentLoop& loop) {
  using Integers = std::vector<int64_t>;
  const bool sequences = loop.return_sequences, zero_output = loop.zero_output_for_mask;
  const bool masked = static_cast<bool>(loop.mask);
  // What a masked step repeats has to be carried, unless it is a state.
  const bool carries_output = masked && (zero_output ? !sequences : !loop.output_is_state);
  const size_t states = loop.states.size(), sequence_inputs = masked ? 2 : 1;
  const size_t carries = states + (carries_output ? 1 : 0);

  // The body first, without the carried output: its type is known once the step is written.
  std::vector<Value> scan_inputs = loop.states;
  scan_inputs.push_back(loop.x);
  if (masked) scan_inputs.push_back(builder.cast(loop.mask, DType::boolean));
  scan_inputs.insert(scan_inputs.end(), loop.invariants.begin(), loop.invariants.end());
  Graph body;
  Builder step(body, builder.origin());
  std::vector<Value> parameters;
  for (size_t i = 0; i < scan_inputs.size(); ++i) {
    Type type = scan_inputs[i].type();
    if (i >= states && i < states + sequence_inputs) type.shape.erase(type.shape.begin() + 1);
    parameters.push_back(step.input(type));
  }
  const std::span<const Value> all(parameters);
  auto [made, next] = loop.step(step, all[states], all.first(states), all.subspan(states + sequence_inputs));
  Value output = made;
  if (carries_output) {
    const auto place = static_cast<std::ptrdiff_t>(states);
    scan_inputs.insert(scan_inputs.begin() + place, builder.fill(0.0, made.shape(), made.type().dtype));
    step.input(made.type());
    std::rotate(body.inputs.begin() + place, body.inputs.end() - 1, body.inputs.end());
  }
  if (masked) {
    const Value steps = all[states + 1], real = mask_like(steps, made);
    if (zero_output)
      output = step.select(real, made, step.constant(0.0, made.type().dtype));
    else if (carries_output)
      output = step.select(real, made, step.value(body.inputs[states].value));
    for (size_t i = 0; i < states; ++i) {
      const bool repeats = loop.output_is_state && !zero_output && next[i].id == made.id;
      next[i] = step.select(mask_like(steps, next[i]), next[i], all[i]);
      if (repeats) output = next[i];
    }
  }
  for (const Value& state : next) step.result(state);
  if (carries_output) step.result(output);
  if (sequences) step.result(output);

  // Where the output is a state and nothing else, its last value is that state's.
  size_t last = states;
  for (size_t i = 0; i < states && !carries_output; ++i)
    if (next[i].id == output.id) last = i;
  const bool stacks_last = !sequences && last == states && !carries_output;
  if (stacks_last) step.result(output);

  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  const Dim time = loop.x.dim(1);
  const std::vector<Value> scanned = builder.call_all("scan", scan_inputs,
                                                      {{"carries", static_cast<int64_t>(carries)},
                                                       {"sequences", static_cast<int64_t>(sequence_inputs)},
                                                       {"axes", Integers(sequence_inputs, 1)},
                                                       {"output_axes", sequences || stacks_last ? Integers{1} : Integers{}},
                                                       {"reverse", loop.go_backwards},
                                                       {"trip", Shape{time}}},
                                                      std::move(bodies));
  Value returned;
  if (sequences) {
    returned = scanned[carries];  // at their own time positions
    if (loop.go_backwards && !loop.in_time_order) returned = builder.call("reverse", {returned}, {{"axis", 1}});
  } else if (stacks_last) {
    const Value all_steps = scanned[carries];
    Shape shape = all_steps.shape();
    shape.erase(shape.begin() + 1);
    returned = builder.reshape(builder.slice(all_steps, 1, loop.go_backwards ? Dim(0) : time - 1, 1), shape);
  } else {
    returned = scanned[last];
  }
  std::vector<Value> outputs = {returned};
  outputs.insert(outputs.end(), scanned.begin(), scanned.begin() + static_cast<std::ptrdiff_t>(states));
  return outputs;
}

}  // namespace moru
