// Recurrent layers by plain loops: the reference of every entry of recurrent.cpp and conv_lstm.cpp.
#include <algorithm>

#include "compiler/ops/recurrent_parts.h"
#include "compiler/ops/tensor_loops.h"

namespace moru::recurrent {

namespace {

// One step of [batch, time, ...].
HostTensor step_at(const HostTensor& sequence, int64_t t) {
  HostTensor step = sequence;
  const auto batch = static_cast<size_t>(sequence.shape[0]), time = static_cast<size_t>(sequence.shape[1]);
  const size_t width = sequence.data.size() / (batch * time);
  step.shape.erase(step.shape.begin() + 1);
  step.data.clear();
  for (size_t b = 0; b < batch; ++b) {
    const auto row = sequence.data.begin() + static_cast<std::ptrdiff_t>((b * time + static_cast<size_t>(t)) * width);
    step.data.insert(step.data.end(), row, row + static_cast<std::ptrdiff_t>(width));
  }
  return step;
}

// What dropout leaves: 1 / (1 - rate) or 0; absent where nothing is dropped.
HostTensor drawn(std::span<const HostTensor> random, const Draw& draw) {
  if (random.empty() || draw.shape.empty()) return {};
  const Op& op = get_op("random_uniform");
  HostTensor kept = op.reference(random, check_attributes(op, {{"shape", draw.shape}, {"stream", draw.stream}}, {})).at(0);
  for (double& value : kept.data) value = value >= draw.rate ? 1.0 / (1.0 - draw.rate) : 0.0;
  return kept;
}

// All parts at one time: their next states, of which the first of the last part is the output.
struct Stepper {
  const Parts& parts;
  const Arguments<HostTensor>& arguments;
  std::vector<HostTensor> kept_x = {}, kept_h = {};

  std::vector<HostTensor> step(HostTensor x, std::span<const HostTensor> states) const {
    std::vector<HostTensor> next;
    for (size_t p = 0; p < parts.size(); ++p) {
      std::vector<const HostTensor*> weights;
      for (const HostTensor& weight : arguments.weights[p]) weights.push_back(or_null(weight));
      const CellStep now{x, states.subspan(next.size(), parts[p].cell->states), or_null(kept_x[p]), or_null(kept_h[p])};
      std::vector<HostTensor> of_part = parts[p].cell->reference_step(now, weights, parts[p].attributes);
      x = of_part[0];
      for (HostTensor& state : of_part) next.push_back(std::move(state));
    }
    return next;
  }
};

void copy_row(const HostTensor& from, HostTensor& to, size_t row, size_t rows) {
  const size_t width = to.data.size() / rows;
  const auto begin = static_cast<std::ptrdiff_t>(row * width);
  std::copy_n(from.data.begin() + begin, width, to.data.begin() + begin);
}

}  // namespace

std::vector<HostTensor> recurrent_reference(const Op& op, std::span<const HostTensor> inputs, const Attributes& attributes) {
  const Parts parts = parts_of(op, attributes, {});
  const Arguments<HostTensor> arguments = arguments_of<HostTensor>(op, parts, inputs);
  HostTensor x = arguments.x;
  x.dtype = float_dtype(x.dtype);
  const HostTensor* mask = or_null(arguments.mask);
  const auto batch = static_cast<size_t>(x.shape[0]), time = static_cast<size_t>(x.shape[1]);
  const StepShapes shapes = shapes_of(parts, step_of(Shape(x.shape.begin(), x.shape.end())));
  std::vector<HostTensor> states = arguments.states;
  for (size_t i = states.size(); i < shapes.states.size(); ++i)
    states.push_back(make_tensor(x.dtype, constant_shape(shapes.states[i])));

  Stepper stepper{parts, arguments};
  const Draws draws = draws_of(parts, shapes, attributes);
  for (size_t p = 0; p < parts.size(); ++p) {
    stepper.kept_x.push_back(drawn(arguments.random, draws.x[p]));
    stepper.kept_h.push_back(drawn(arguments.random, draws.h[p]));
  }
  const size_t output_state = states.size() - parts.back().cell->states;
  HostTensor output = make_tensor(x.dtype, states[output_state].shape);
  std::vector<int64_t> sequence_shape = output.shape;
  sequence_shape.insert(sequence_shape.begin() + 1, x.shape[1]);
  HostTensor sequence = make_tensor(x.dtype, sequence_shape);
  const size_t width = output.data.size() / batch;
  for (size_t step = 0; step < time; ++step) {
    const size_t t = attributes.boolean("go_backwards") ? time - 1 - step : step;
    const std::vector<HostTensor> next = stepper.step(step_at(x, static_cast<int64_t>(t)), states);
    for (size_t b = 0; b < batch; ++b) {
      const auto row = output.data.begin() + static_cast<std::ptrdiff_t>(b * width);
      if (!mask || mask->data[b * time + t] != 0.0) {
        for (size_t i = 0; i < states.size(); ++i) copy_row(next[i], states[i], b, batch);
        copy_row(next[output_state], output, b, batch);
      } else if (attributes.boolean("zero_output_for_mask")) {
        std::fill_n(row, width, 0.0);
      }
      std::copy_n(row, width, sequence.data.begin() + static_cast<std::ptrdiff_t>((b * time + step) * width));
    }
  }
  std::vector<HostTensor> outputs = {attributes.boolean("return_sequences") ? sequence : output};
  for (const char* flag : {"return_state", "stateful"})
    if (attributes.boolean(flag)) outputs.insert(outputs.end(), states.begin(), states.end());
  return outputs;
}

}  // namespace moru::recurrent
