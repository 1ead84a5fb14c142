// What the conformance test cannot say about layers: symbolic dimensions, messages, parameters, order of sequences.
#include "compiler/ops/layer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "compiler/interpret/reference.h"
#include "compiler/passes/expand.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

const Dim batch = Dim::symbol("batch"), steps = Dim::symbol("time");

Type f32(Shape shape) { return {DType::f32, std::move(shape)}; }

std::vector<Type> infer(const char* class_name, std::vector<Type> inputs, Attributes attributes) {
  const Op* op = find_layer(class_name);
  REQUIRE(op != nullptr);
  bool present[8];
  std::fill_n(present, 8, true);
  return infer_node(*op, inputs, {present, inputs.size()}, check_attributes(*op, std::move(attributes), "layer_1"), {}, "layer_1");
}

std::string error_of(const char* class_name, std::vector<Type> inputs, Attributes attributes) {
  try {
    // A layer is drawn before it has parameters, so only its infer speaks, not the count of inputs.
    const Op* op = find_layer(class_name);
    REQUIRE(op != nullptr);
    bool present[8];
    std::fill_n(present, 8, true);
    Attributes checked = check_attributes(*op, std::move(attributes), "layer_1");
    op->infer({inputs, {present, inputs.size()}, checked, {}, "layer_1"});
  } catch (const CompileError& error) {
    return error.what();
  }
  return "no error";
}

std::vector<ParameterSpec> parameters_of(const char* class_name, Type x, Attributes attributes) {
  const Op* op = find_layer(class_name);
  REQUIRE(op != nullptr);
  bool present[] = {true};
  Attributes checked = check_attributes(*op, std::move(attributes), "layer_1");
  return op->parameters({{&x, 1}, present, checked, {}, "layer_1"});
}

std::string parameters_text(const std::vector<ParameterSpec>& parameters) {
  std::string text;
  for (const ParameterSpec& parameter : parameters)
    text += (text.empty() ? "" : ", ") + parameter.name + " " + shape_text(parameter.shape) + (parameter.trainable ? "" : " fixed");
  return text;
}

struct Drawn {
  Graph graph;
  std::vector<HostTensor> data;
  bool symbolic_batch = true;
};

HostTensor random_tensor(const Example::Tensor& spec, std::mt19937& random) {
  HostTensor tensor = make_tensor(spec.dtype, spec.shape);
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    std::uniform_real_distribution<double> uniform(spec.low, spec.high);
    double value = spec.values.empty() ? uniform(random) : spec.values[i % spec.values.size()];
    tensor.data[i] = is_float(spec.dtype) ? value : std::floor(value);
  }
  round_to_dtype(tensor);
  return tensor;
}

// A graph of one layer node whose tensors have the symbols `batch` and, with `symbolic_time`, `time` for axes 0 and 1.
Drawn drawn(const Op& op, const Example& example, bool symbolic_time) {
  std::mt19937 random(7);
  Drawn d;
  Builder b(d.graph, "layer_1");
  Attributes attributes = check_attributes(op, example.attributes, "layer_1");
  int64_t samples = example.inputs[0].shape.at(0);
  std::vector<Value> tensors;
  std::vector<Type> types;
  bool present[16] = {};
  REQUIRE(example.inputs.size() <= 16);
  for (const Example::Tensor& spec : example.inputs) {
    present[types.size()] = !spec.absent;
    types.push_back({spec.dtype, Shape(spec.shape.begin(), spec.shape.end())});
  }
  // A layer that keeps states between calls keeps as many as its batch has samples.
  const OpContext fixed{types, {present, types.size()}, attributes, {}, "layer_1"};
  d.symbolic_batch = !op.states || op.states(fixed).empty();
  for (size_t i = 0; i < types.size(); ++i) {
    const Example::Tensor& spec = example.inputs[i];
    Shape& shape = types[i].shape;
    if (d.symbolic_batch && !spec.shape.empty() && spec.shape[0] == samples) shape[0] = batch;
    if (symbolic_time && (i == 0 || (spec.dtype == DType::boolean && spec.shape.size() > 1))) shape[1] = steps;
    if (present[i]) d.data.push_back(random_tensor(spec, random));
    tensors.push_back(present[i] ? b.input(types[i]) : Value{});
  }
  std::vector<Value> inputs = tensors;
  bool variadic = op.inputs.back().variadic;
  if (!variadic) inputs.resize(op.inputs.size());
  if (op.parameters) {
    for (const ParameterSpec& parameter : op.parameters({types, {present, types.size()}, attributes, {}, "layer_1"})) {
      auto spec = std::find_if(op.inputs.begin(), op.inputs.end(), [&](const InputSpec& s) { return s.name == parameter.name; });
      const auto place = static_cast<size_t>(spec - op.inputs.begin());
      if (!variadic && place < tensors.size() && tensors[place]) continue;  // given by the example
      std::vector<int64_t> shape;
      for (const Dim& extent : parameter.shape) shape.push_back(extent.constant());
      const bool ones = Attributes{{"i", parameter.initializer}}.text().find("nes\"") != std::string::npos;
      d.data.push_back(random_tensor({.shape = shape, .low = ones ? 0.5 : -0.5, .high = ones ? 1.5 : 0.5}, random));
      Value value = b.input({parameter.dtype, parameter.shape});
      if (variadic)
        inputs.push_back(value);
      else
        inputs[place] = value;
    }
  }
  while (!inputs.back()) inputs.pop_back();
  for (Value output : b.call_all(op.name, inputs, attributes)) b.result(output);
  return d;
}

// Relative to the larger of 1 and the value.
double largest_difference(const HostTensor& a, const HostTensor& b) {
  REQUIRE(a.shape == b.shape);
  double largest = 0.0;
  for (size_t i = 0; i < a.data.size(); ++i)
    largest = std::max(largest, std::fabs(a.data[i] - b.data[i]) / std::max(1.0, std::fabs(b.data[i])));
  return largest;
}

}  // namespace

TEST_CASE("layers: with a symbolic batch every layer expands into primitives that compute its reference") {
  int layers = 0;
  for (const Op& op : all_ops()) {
    if (op.family != OpFamily::layer) continue;
    CAPTURE(op.name);
    ++layers;
    for (const Example& example : op.examples) {
      CAPTURE(example.attributes.text());
      Drawn d = drawn(op, example, false);
      CHECK((graph_text(d.graph).find("batch") != std::string::npos) == d.symbolic_batch);
      Graph expanded = expand(d.graph);
      for (const Node& node : expanded.nodes) CHECK(!node.op->expand);
      std::vector<HostTensor> wanted = interpret_graph(d.graph, d.data), got = interpret_graph(expanded, d.data);
      REQUIRE(got.size() == wanted.size());
      for (size_t i = 0; i < got.size(); ++i) CHECK(largest_difference(got[i], wanted[i]) < 1e-5);
    }
  }
  CHECK(layers >= 20);
}

TEST_CASE("layers: recurrent layers and wrappers also take a symbolic time, and their graphs do not grow with it") {
  for (const char* class_name : {"SimpleRNN", "LSTM", "GRU", "Bidirectional", "TimeDistributed"}) {
    CAPTURE(class_name);
    const Op& op = *find_layer(class_name);
    for (const Example& example : op.examples) {
      CAPTURE(example.attributes.text());
      Drawn d = drawn(op, example, true);
      Graph expanded = expand(d.graph);
      std::vector<HostTensor> wanted = interpret_graph(d.graph, d.data), got = interpret_graph(expanded, d.data);
      for (size_t i = 0; i < got.size(); ++i) CHECK(largest_difference(got[i], wanted[i]) < 1e-5);
    }
  }
  auto nodes = [](int64_t length) {
    Example example{.inputs = {{{2, length, 3}}}, .attributes = {{"units", 4}, {"return_sequences", true}}};
    return expand(drawn(*find_layer("LSTM"), example, false).graph).nodes.size();
  };
  CHECK(nodes(3) == nodes(1000));
}

TEST_CASE("layers: go_backwards returns the last time step first, and Bidirectional puts it in time order") {
  // A SimpleRNN without recurrence shows where each step went.
  const Op& rnn = *find_layer("SimpleRNN");
  Attributes attributes = check_attributes(
      rnn, {{"units", 1}, {"activation", "linear"}, {"use_bias", false}, {"return_sequences", true}, {"go_backwards", true}}, "rnn");
  HostTensor x = make_tensor(DType::f32, {1, 3, 1});
  x.data = {1, 2, 3};
  HostTensor one = make_tensor(DType::f32, {1, 1}, 1.0), zero = make_tensor(DType::f32, {1, 1}), absent;
  HostTensor inputs[] = {x, absent, one, zero};
  CHECK(rnn.reference(inputs, attributes)[0].data == std::vector<double>{3, 2, 1});
  const Op& both = *find_layer("Bidirectional");
  Attributes inner{{"class", "SimpleRNN"}, {"units", 1}, {"activation", "linear"}, {"use_bias", false}, {"return_sequences", true}};
  HostTensor wrapped[] = {x, absent, absent, absent, one, zero, one, zero};
  HostTensor y = both.reference(wrapped, check_attributes(both, {{"layer", inner}}, "both"))[0];
  CHECK(y.data == std::vector<double>{1, 1, 2, 2, 3, 3});
}

TEST_CASE("layers: parameters have Keras' names, shapes and initializers") {
  Type x = f32({batch, steps, 5});
  CHECK(parameters_text(parameters_of("Dense", x, {{"units", 3}})) == "kernel [5, 3], bias [3]");
  CHECK(parameters_text(parameters_of("Dense", x, {{"units", 3}, {"use_bias", false}})) == "kernel [5, 3]");
  std::vector<ParameterSpec> lstm = parameters_of("LSTM", x, {{"units", 3}});
  CHECK(parameters_text(lstm) == "kernel [5, 12], recurrent_kernel [3, 12], bias [12]");
  CHECK(std::get<AttributeValue::Nested>(lstm[1].initializer.value)->string("class") == "orthogonal");
  CHECK(std::get<AttributeValue::Nested>(lstm[2].initializer.value)->string("class") == "UnitForgetBias");
  CHECK(parameters_text(parameters_of("GRU", x, {{"units", 3}})) == "kernel [5, 9], recurrent_kernel [3, 9], bias [2, 9]");
  CHECK(parameters_text(parameters_of("GRU", x, {{"units", 3}, {"reset_after", false}})) ==
        "kernel [5, 9], recurrent_kernel [3, 9], bias [9]");
  CHECK(parameters_text(parameters_of("Embedding", {DType::i32, {batch, 4}}, {{"input_dim", 7}, {"output_dim", 2}})) ==
        "embeddings [7, 2]");
  CHECK(parameters_text(parameters_of("Normalization", x, {})) == "mean [5] fixed, variance [5] fixed");
  Attributes l2{{"class", "L2"}, {"l2", 0.01}};
  Attributes inner{{"class", "SimpleRNN"}, {"units", 2}, {"recurrent_regularizer", l2}};
  std::vector<ParameterSpec> both = parameters_of("Bidirectional", x, {{"layer", inner}});
  CHECK(parameters_text(both) == "forward/kernel [5, 2], forward/recurrent_kernel [2, 2], forward/bias [2], backward/kernel [5, 2], "
                                 "backward/recurrent_kernel [2, 2], backward/bias [2]");
  CHECK(both[4].regularizer == AttributeValue(l2));
  CHECK(parameters_text(parameters_of("TimeDistributed", x, {{"layer", Attributes{{"class", "Dense"}, {"units", 2}}}})) ==
        "layer/kernel [5, 2], layer/bias [2]");
}

TEST_CASE("layers: shapes follow Keras, with symbols where the model leaves them open") {
  CHECK(infer("Flatten", {f32({batch, 24, 32})}, {})[0].shape == Shape{batch, 768});
  CHECK(infer("Flatten", {f32({batch, steps, 2})}, {})[0].shape == Shape{batch, steps * Dim(2)});
  CHECK(infer("Reshape", {f32({batch, steps, 4})}, {{"target_shape", std::vector<int64_t>{-1, 2}}})[0].shape ==
        Shape{batch, steps * Dim(2), 2});
  CHECK(infer("Concatenate", {f32({batch, 3}), f32({batch, 4})}, {})[0].shape == Shape{batch, 7});
  CHECK(infer("Add", {f32({batch, 4}), f32({batch, steps, 4})}, {})[0].shape == Shape{batch, steps, 4});
  CHECK(infer("RepeatVector", {f32({batch, 4})}, {{"n", 3}})[0].shape == Shape{batch, 3, 4});
}

TEST_CASE("layers: a wrong rank, shape or attribute is answered in the user's terms") {
  CHECK(error_of("LSTM", {f32({batch, 64})}, {{"units", 32}}) ==
        "layer 'layer_1' (LSTM): needs a sequence [batch, time, features] but got [batch, 64]\n  hint: set return_sequences=true on "
        "the recurrent layer before it, or add an axis with Reshape");
  struct Wrong {
    const char* class_name;
    std::vector<Type> inputs;
    Attributes attributes;
    const char* message;
  };
  Type sequence = f32({batch, steps, 3});
  Attributes dense{{"class", "Dense"}, {"units", 2}};
  const Wrong table[] = {
      {"Dense", {f32({batch})}, {{"units", 2}}, "needs an input [batch, ..., features] but got [batch]"},
      {"Dense", {f32({batch, steps})}, {{"units", 2}}, "needs a known number of features on the last axis but got [batch, time]"},
      {"Dense", {f32({batch, 3})}, {}, "needs the attribute 'units'"},
      {"Dense", {f32({batch, 3})}, {{"units", 0}}, "attribute 'units' is 0 but must be at least 1"},
      {"Dense", {f32({batch, 3})}, {{"units", 2}, {"activation", "rellu"}}, "there is no activation 'rellu'"},
      {"LSTM", {sequence}, {{"units", 2}, {"stateful", true}}, "is stateful and needs a fixed batch size"},
      {"LSTM", {sequence}, {{"units", 2}, {"time_major", true}}, "time_major=true is unsupported"},
      {"RNN", {sequence}, {{"cell", Attributes{{"class", "LSTM"}, {"units", 2}}}}, "runs a cell of the class 'LSTM', which is unsupported"},
      {"RNN", {sequence}, {{"cell", Attributes{{"class", "GRUCell"}}}}, "needs the attribute 'units'"},
      {"ConvLSTM2D", {sequence}, {{"filters", 2}, {"kernel_size", std::vector<int64_t>{3}}},
       "needs a sequence [batch, time, rows, columns, channels] but got [batch, time, 3]"},
      {"LSTM", {sequence, f32({batch, 2})}, {{"units", 2}}, "needs two initial states"},
      {"GRU", {sequence, f32({batch, 3})}, {{"units", 2}}, "needs an initial state [batch, 2] but got [batch, 3]"},
      {"GRU", {f32({batch, 4, steps})}, {{"units", 2}}, "needs a known number of features"},
      {"Bidirectional", {sequence}, {{"layer", dense}}, "needs a recurrent layer (SimpleRNN, LSTM, GRU, RNN or ConvLSTM) but wraps Dense"},
      {"Bidirectional", {f32({batch, 3})}, {{"layer", Attributes{{"class", "GRU"}, {"units", 2}}}}, "needs a sequence"},
      {"TimeDistributed", {f32({batch, 3})}, {{"layer", dense}}, "needs a sequence [batch, time, ...] but got [batch, 3]"},
      {"TimeDistributed", {sequence}, {{"layer", Attributes{{"class", "Nonesuch"}}}}, "'Nonesuch', which is unsupported"},
      {"Concatenate", {f32({batch, 3}), f32({batch, 2, 3})}, {}, "needs inputs that are equal but for axis 1 but got [batch, 3] and [batch, 2, 3]"},
      {"Concatenate", {f32({batch, 3}), f32({batch, 3})}, {{"axis", 2}}, "axis is 2 but the input [batch, 3] has 2 axes"},
      {"Concatenate", {f32({batch, 3}), f32({batch, 3})}, {{"axis", 0}}, "axis=0 is unsupported"},
      {"Add", {f32({batch, 3}), f32({batch, 4})}, {}, "needs inputs of equal shapes but got [batch, 3] and [batch, 4]"},
      {"Add", {f32({batch, 3})}, {}, "needs at least two inputs but got 1"},
      {"Reshape", {f32({batch, 12})}, {{"target_shape", std::vector<int64_t>{5, -1}}}, "cannot reshape [12] to [5, -1]"},
      {"Reshape", {f32({batch, 12})}, {{"target_shape", std::vector<int64_t>{-1, -1}}}, "more than one -1"},
      {"Permute", {f32({batch, 3, 4})}, {{"dims", std::vector<int64_t>{1, 3}}}, "dims must be a permutation of 1 to 2"},
      {"RepeatVector", {sequence}, {{"n", 2}}, "needs an input [batch, features] but got [batch, time, 3]"},
      {"Masking", {f32({batch})}, {}, "needs numbers [batch, ..., features] but got f32[batch]"},
      {"Dropout", {f32({batch, 3})}, {{"rate", 1.5}}, "attribute 'rate' is 1.5 but must be from 0 to 1"},
      {"Dropout", {{DType::i32, {batch, 3}}}, {{"rate", 0.5}}, "needs floating point input"},
      {"Normalization", {f32({batch, steps})}, {}, "needs a known extent on axis -1 but got [batch, time]"},
      {"Normalization", {f32({batch, 3})}, {{"mean", std::vector<double>{1, 2}}, {"variance", std::vector<double>{1, 2}}}, "attribute 'mean' has 2 values but needs 3"},
      {"Normalization", {f32({batch, 3})}, {{"mean", 1.0}}, "needs both mean and variance, or neither"},
      {"Softmax", {f32({batch, 3})}, {{"axis", 5}}, "axis is 5"},
  };
  for (const Wrong& wrong : table) {
    CAPTURE(wrong.message);
    std::string message = error_of(wrong.class_name, wrong.inputs, wrong.attributes);
    CAPTURE(message);
    CHECK(message.find(wrong.message) != std::string::npos);
    CHECK(message.find("layer_1") != std::string::npos);
  }
}

TEST_CASE("dropout: drops about its rate, scales what it keeps, and draws anew for each step and stream") {
  const Op& dropout = *find_layer("Dropout");
  HostTensor x = make_tensor(DType::f32, {100, 100}, 1.0), seed = make_tensor(DType::i64, {}, 5), step = make_tensor(DType::i64, {}, 1);
  auto run = [&](double number, int64_t stream) {
    step.data[0] = number;
    HostTensor inputs[] = {x, seed, step};
    return dropout.reference(inputs, check_attributes(dropout, {{"rate", 0.2}, {"stream", stream}}, "d"))[0].data;
  };
  std::vector<double> y = run(1, 0);
  auto dropped = static_cast<double>(std::count(y.begin(), y.end(), 0.0));
  CHECK(std::fabs(dropped - 2000.0) < 5.0 * std::sqrt(10000 * 0.2 * 0.8));
  CHECK(std::count_if(y.begin(), y.end(), [](double v) { return v == 0.0 || std::fabs(v - 1.25) < 1e-12; }) == 10000);
  CHECK(run(1, 0) == y);
  CHECK(run(2, 0) != y);
  CHECK(run(1, 1) != y);
}
