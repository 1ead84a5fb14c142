// ConvLSTM1D to 3D (Shi et al. 2015): the LSTM of recurrent_cells.cpp with convolutions in place of products. That of the input
// has the layer's strides, padding and dilation, that of the state keeps its shape.
#include "compiler/ops/recurrent.h"
#include "compiler/ops/recurrent_cells.h"
#include "compiler/ops/spatial.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
using T = AttributeType;

constexpr int64_t gates = 4;
constexpr std::string_view convolutions[] = {"conv_1d", "conv_2d", "conv_3d"};

size_t rank_of(const Cell& cell) { return static_cast<size_t>(cell.op[cell.op.size() - 2] - '0'); }  // "conv_lstm_2d"

// The convolution of the input, or of the state, as that layer's attributes.
Attributes convolution_of(const Attributes& a, bool of_state) {
  Attributes attributes{{"filters", gates * a.integer("filters")},
                        {"kernel_size", a.integers("kernel_size")},
                        {"data_format", a.string("data_format")}};
  if (of_state) {
    attributes.set("padding", "same");
    attributes.set("use_bias", false);
    return attributes;
  }
  attributes.set("strides", a.integers("strides"));
  attributes.set("dilation_rate", a.integers("dilation_rate"));
  attributes.set("padding", a.string("padding"));
  attributes.set("use_bias", a.boolean("use_bias"));
  return attributes;
}

int64_t channel_axis(const Attributes& a, size_t rank) { return channels_first(a) ? 1 : static_cast<int64_t>(rank) + 1; }

Shape conv_cell_state(const Cell& cell, const Shape& x, const Attributes& a) {
  const size_t rank = rank_of(cell);
  const Shape last = channels_first(a) ? channels_to_back(x) : x;
  const Integers size = per_axis(a, "kernel_size", rank), stride = per_axis(a, "strides", rank),
                 dilation = per_axis(a, "dilation_rate", rank);
  Shape state = {x[0]};
  for (size_t i = 0; i < rank; ++i)
    state.push_back(make_windows(last[i + 1], size[i], stride[i], dilation[i], a.string("padding")).count);
  state.push_back(a.integer("filters"));
  return channels_first(a) ? channels_to_front(state) : state;
}

void check_conv_cell(const OpContext& context, const Op& op, const Cell& cell, const Shape& x, const Attributes& a) {
  const size_t rank = rank_of(cell);
  const std::string axes = rank == 1 ? "length" : rank == 2 ? "rows, columns" : "depth, rows, columns";
  const Shape& sequence = context.inputs[0].shape;
  if (sequence.size() != rank + 3)
    fail(context, op, "needs a sequence [batch, time, " + axes + ", channels] but got " + shape_text(sequence),
         "bring the input to " + std::to_string(rank + 3) + " axes with Reshape");
  // What is wrong with one step the convolution says.
  const Op& convolution = get_op(convolutions[rank - 1]);
  const Type step{float_dtype(context.inputs[0].dtype), x};
  const bool present[] = {true};
  convolution.infer({{&step, 1}, present, check_attributes(convolution, convolution_of(a, false), context.node), {}, context.node});
  for (size_t i = 1; i < x.size(); ++i)
    if (!x[i].is_constant())
      fail(context, op, "needs a known extent on every axis of a step but got " + shape_text(sequence));
}

std::vector<ParameterSpec> conv_cell_parameters(const Cell& cell, const Shape& x, const Attributes& a) {
  const int64_t filters = a.integer("filters");
  Shape kernel;
  for (int64_t size : per_axis(a, "kernel_size", rank_of(cell))) kernel.push_back(size);
  Shape recurrent = kernel;
  kernel.insert(kernel.end(), {channels_first(a) ? x[1] : x.back(), Dim(gates * filters)});
  recurrent.insert(recurrent.end(), {Dim(filters), Dim(gates * filters)});
  return cell_parameters(a, kernel, recurrent, {gates * filters});
}

std::vector<Value> present_weights(Builder&, std::span<const Value> weights, const Attributes&) {
  return {weights.begin(), weights.end() - (weights.back() ? 0 : 1)};
}

// All gates in one convolution; one for each gate where each has an input of its own, [batch, gates, space..., channels].
Value convolve(Builder& b, Value x, bool each_gate, Value kernel, Value bias, Attributes attributes) {
  const size_t rank = kernel.rank() - 2;
  const std::string_view op = convolutions[rank - 1];
  const auto call = [&](Value input, Value k, Value offset) {
    std::vector<Value> inputs = {input, k};
    if (offset) inputs.push_back(offset);
    return b.call_all(op, inputs, attributes)[0];
  };
  if (!each_gate) return call(x, kernel, bias);
  const int64_t filters = attributes.integer("filters") / gates;
  attributes.set("filters", filters);
  Shape one = x.shape();
  one.erase(one.begin() + 1);
  std::vector<Value> parts;
  for (int64_t g = 0; g < gates; ++g)
    parts.push_back(call(b.reshape(b.slice(x, 1, g, 1), one), b.slice(kernel, static_cast<int64_t>(rank) + 1, g * filters, filters),
                         bias ? b.slice(bias, 0, g * filters, filters) : Value{}));
  return b.concat(parts, channel_axis(attributes, rank));
}

std::vector<Value> conv_lstm_step(Builder& b, Value x, std::span<const Value> states, std::span<const Value> weights,
                                  Value kept, const Attributes& a) {
  const AttributeValue &activation = *a.find("activation"), &recurrent_activation = *a.find("recurrent_activation");
  const size_t rank = weights[0].rank() - 2;
  Value h = states[0];
  if (kept) {
    Shape each = h.shape();
    each.insert(each.begin() + 1, Dim(1));
    h = b.reshape(h, each) * kept;
  }
  const Value sum = convolve(b, x, x.rank() > rank + 2, weights[0], weights.size() > 2 ? weights[2] : Value{}, convolution_of(a, false)) +
                    convolve(b, h, static_cast<bool>(kept), weights[1], {}, convolution_of(a, true));
  const std::vector<Value> parts = b.split(sum, channel_axis(a, rank), Integers(gates, a.integer("filters")));
  const Value c = apply_activation(parts[1], recurrent_activation) * states[1] +
                  apply_activation(parts[0], recurrent_activation) * apply_activation(parts[2], activation);
  return {apply_activation(parts[3], recurrent_activation) * apply_activation(c, activation), c};
}

// ---- reference ----

// x times the factors of one gate, or x.
HostTensor seen_by(const HostTensor& x, const HostTensor* kept, int64_t gate) {
  if (!kept) return x;
  HostTensor y = x;
  const auto batch = static_cast<size_t>(x.shape[0]);
  const size_t width = x.data.size() / batch;
  for (size_t i = 0; i < x.data.size(); ++i)
    y.data[i] *= kept->data[(i / width * gates + static_cast<size_t>(gate)) * width + i % width];
  return y;
}

// Columns [first, first + count) of the last axis.
HostTensor columns(const HostTensor& x, int64_t first, int64_t count) {
  HostTensor y = x;
  const int64_t width = x.shape.back();
  y.shape.back() = count;
  y.data.clear();
  for (int64_t row = 0; row < x.elements() / width; ++row)
    for (int64_t k = first; k < first + count; ++k) y.data.push_back(x.data[static_cast<size_t>(row * width + k)]);
  return y;
}

std::vector<HostTensor> conv_lstm_reference_step(const CellStep& step, std::span<const HostTensor* const> weights, const Attributes& a) {
  const int64_t filters = a.integer("filters");
  const Op& op = get_op(convolutions[weights[0]->shape.size() - 3]);
  // The part of a gate: its own columns of the kernels, so that each may see another x and h.
  const auto gate = [&](int64_t g, const char* activation) {
    Attributes of_x = convolution_of(a, false), of_h = convolution_of(a, true);
    of_x.set("filters", filters);
    of_h.set("filters", filters);
    std::vector<HostTensor> inputs = {seen_by(step.x, step.kept_x, g), columns(*weights[0], g * filters, filters)};
    if (weights[2]) inputs.push_back(columns(*weights[2], g * filters, filters));
    HostTensor sum = op.reference(inputs, check_attributes(op, of_x, {})).at(0);
    const HostTensor from_h[] = {seen_by(step.states[0], step.kept_h, g), columns(*weights[1], g * filters, filters)};
    const HostTensor other = op.reference(from_h, check_attributes(op, of_h, {})).at(0);
    for (size_t i = 0; i < sum.data.size(); ++i) sum.data[i] += other.data[i];
    return activation_reference(std::move(sum), *a.find(activation));
  };
  const HostTensor i = gate(0, "recurrent_activation"), f = gate(1, "recurrent_activation"), g = gate(2, "activation"),
                   o = gate(3, "recurrent_activation");
  HostTensor c = step.states[1];
  for (size_t k = 0; k < c.data.size(); ++k) c.data[k] = f.data[k] * c.data[k] + i.data[k] * g.data[k];
  HostTensor h = activation_reference(c, *a.find("activation"));
  for (size_t k = 0; k < c.data.size(); ++k) h.data[k] *= o.data[k];
  return {h, c};
}

constexpr Cell cell_of(std::string_view op, std::string_view class_name) {
  return {op, class_name, gates, 2, check_conv_cell, conv_cell_state, conv_cell_parameters, present_weights, conv_lstm_step,
          conv_lstm_reference_step};
}
constexpr Cell cells[] = {cell_of("conv_lstm_1d", "ConvLSTM1DCell"), cell_of("conv_lstm_2d", "ConvLSTM2DCell"),
                          cell_of("conv_lstm_3d", "ConvLSTM3DCell")};

std::vector<AttributeSpec> conv_lstm_attributes(size_t rank) {
  const Integers ones(rank, 1);
  std::vector<AttributeSpec> list = {
      {.name = "filters", .type = T::integer, .least = 1, .doc = "channels of the state"},
      {.name = "kernel_size", .type = T::integers, .least = 1},
      {.name = "strides", .type = T::integers, .default_value = ones, .least = 1},
      {.name = "padding", .type = T::string, .default_value = "valid", .choices = {"valid", "same"}},
      data_format_attribute(),
      {.name = "dilation_rate", .type = T::integers, .default_value = ones, .least = 1}};
  for (AttributeSpec& spec : recurrent_attributes(true))
    if (spec.name != "units" && spec.name != "implementation" && spec.name != "use_cudnn") list.push_back(std::move(spec));
  list.push_back({.name = "unit_forget_bias", .type = T::boolean, .default_value = true, .doc = "the forget gate's bias starts at 1"});
  return list;
}

std::vector<Example> conv_lstm_examples(size_t rank) {
  Integers shape = {2, 3};
  const Integers extents = rank == 1 ? Integers{6} : rank == 2 ? Integers{4, 5} : Integers{3, 2, 4};
  shape.insert(shape.end(), extents.begin(), extents.end());
  shape.push_back(2);
  const Integers size(rank, 2);
  const Example::Tensor x{shape};
  const Example::Tensor none{.shape = {}, .absent = true};
  const auto number = [](double value) { return Example::Tensor{.shape = {}, .dtype = DType::i64, .values = {value}}; };
  const Example::Tensor mask{.shape = {2, 3}, .dtype = DType::boolean, .values = {0, 1, 1, 1, 0, 1}};
  const auto with = [&](std::initializer_list<std::pair<const char*, AttributeValue>> more) {
    Attributes a{{"filters", 3}, {"kernel_size", size}};
    for (const auto& [name, value] : more) a.set(name, value);
    return a;
  };
  return {{.inputs = {x}, .attributes = with({{"return_sequences", true}})},
          {.inputs = {x}, .attributes = with({{"padding", "same"}, {"return_state", true}, {"go_backwards", true}})},
          {.inputs = {x}, .attributes = with({{"padding", "same"}, {"strides", Integers(rank, 2)}, {"use_bias", false}})},
          {.inputs = {x}, .attributes = with({{"data_format", "channels_first"}, {"kernel_size", Integers(rank, 1)}})},
          {.inputs = {x, none, none, none, none, none, mask}, .attributes = with({{"padding", "same"}, {"return_sequences", true}})},
          {.inputs = {x, none, none, none, none, none, none, number(42), number(3)},
           .attributes = with({{"padding", "same"}, {"dropout", 0.3}, {"recurrent_dropout", 0.4}})}};
}

constexpr std::string_view class_names[] = {"ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"};

}  // namespace

std::span<const Cell> convolutional_cells() { return cells; }

std::vector<Op> conv_lstm_ops() {
  std::vector<Op> ops;
  for (size_t i = 0; i < std::size(cells); ++i)
    ops.push_back(recurrent_op(cells[i].op, class_names[i],
                               "i, f, g, o = x_t * kernel + bias + h * recurrent_kernel, convolutions;   c' = s(f) c + s(i) a(g);   h' = s(o) "
                               "a(c'), s = recurrent_activation, a = activation.   x: [batch, time, space..., channels]   mask: [batch, time]   "
                               "->   [batch, space..., filters], or with time with return_sequences; then h, c with return_state",
                               recurrent_inputs(2), conv_lstm_attributes(i + 1), conv_lstm_examples(i + 1)));
  return ops;
}

}  // namespace moru
