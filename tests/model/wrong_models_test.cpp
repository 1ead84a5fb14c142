// What users get told for models that cannot be: the whole message, since the message is the promise.
#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "compiler/model/functional.h"
#include "compiler/model/layers.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

std::string error_of(const std::function<void(ModelBuilder&)>& draw) {
  ModelBuilder builder("wrong");
  try {
    draw(builder);
  } catch (const CompileError& error) {
    return error.what();
  }
  return "no error";
}

struct WrongModel {
  std::string name;
  std::function<void(ModelBuilder&)> draw;
  std::string message;
};

const WrongModel wrong_models[] = {
    {"an LSTM behind the last step of an LSTM",
     [](ModelBuilder& m) {
       Tensor x = m.input("x", {24, 11});
       m.call(layers::lstm(32), m.call(layers::lstm(64), x));
     },
     "layer 'lstm_1' (LSTM): needs a sequence [batch, time, features] but got [batch, 64]\n"
     "  the input is the output of 'lstm', which returns only its last step\n"
     "  hint: set return_sequences=true on 'lstm'"},
    {"an LSTM on a table", [](ModelBuilder& m) { m.call(layers::lstm(8), m.input("x", {5})); },
     "layer 'lstm' (LSTM): needs a sequence [batch, time, features] but got [batch, 5]\n"
     "  the input is the model's input 'x'\n"
     "  hint: give the input 'x' a time axis, or add one with Reshape"},
    {"a GRU behind a Bidirectional that returns its last step",
     [](ModelBuilder& m) {
       Tensor x = m.input("x", {24, 11});
       m.call(layers::gru(4), m.call(layers::bidirectional(layers::gru(3), "concat", "both"), x));
     },
     "layer 'gru' (GRU): needs a sequence [batch, time, features] but got [batch, 6]\n"
     "  the input is the output of 'both', which returns only its last step\n"
     "  hint: set return_sequences=true on 'both'"},
    {"adding what does not fit",
     [](ModelBuilder& m) {
       Tensor a = m.call(layers::dense(3), m.input("a", {5}));
       m.call(layers::add("sum"), {a, m.input("b", {4})});
     },
     "layer 'sum' (Add): needs inputs of equal shapes but got [batch, 3] and [batch, 4]\n"
     "  input 1, [batch, 3], is the output of 'dense'\n"
     "  input 2, [batch, 4], is the model's input 'b'\n"
     "  hint: axes must be equal or 1; rank may differ, axes are then added behind the batch axis"},
    {"concatenating what does not fit",
     [](ModelBuilder& m) {
       m.call(layers::concatenate(), {m.input("a", {5, 2}), m.input("b", {4, 2})});
     },
     "layer 'concatenate' (Concatenate): needs inputs that are equal but for axis 2 but got [batch, 5, 2] and [batch, "
     "4, 2]\n"
     "  input 1, [batch, 5, 2], is the model's input 'a'\n"
     "  input 2, [batch, 4, 2], is the model's input 'b'"},
    {"subtracting three tensors",
     [](ModelBuilder& m) {
       Tensor x = m.input("x", {5});
       m.call(layers::subtract(), {x, x, x});
     },
     "layer 'subtract' (Subtract): takes 2 inputs but got 3\n"
     "  input 1, [batch, 5], is the model's input 'x'\n"
     "  input 2, [batch, 5], is the model's input 'x'\n"
     "  input 3, [batch, 5], is the model's input 'x'"},
    {"an initializer that there is not",
     [](ModelBuilder& m) { m.call(layers::dense(3, {.kernel_initializer = "glorot_unifrom"}), m.input("x", {5})); },
     "layer 'dense/kernel': there is no initializer 'glorot_unifrom'\n"
     "  hint: did you mean 'glorot_uniform'?"},
    {"two layers of one name",
     [](ModelBuilder& m) {
       Tensor x = m.input("x", {5});
       x = m.call(layers::dense(3, {.name = "h"}), x);
       m.call(layers::lstm(3, {.name = "h"}), x);
     },
     "layer 'h' (LSTM): the name is already taken by another layer (Dense)\n"
     "  hint: give each layer a name of its own, or call the same layer again"},
    {"a class that does not exist",
     [](ModelBuilder& m) {
       m.layer("Dens", {{"units", 3}});
     },
     "layer 'dens' (Dens): there is no layer of this class\n"
     "  hint: did you mean 'Dense'?"},
    {"an attribute that does not exist",
     [](ModelBuilder& m) {
       m.layer("Dense", {{"unit", 3}});
     },
     "layer 'dense' (Dense): has no attribute 'unit'\n"
     "  hint: its attributes are units, activation, use_bias, kernel_initializer, bias_initializer, "
     "kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint"},
    {"an attribute that is missing",
     [](ModelBuilder& m) {
       m.layer("Dense", {{"activation", "relu"}}, "h");
     },
     "layer 'h' (Dense): needs the attribute 'units' (an integer)"},
    {"an attribute out of range", [](ModelBuilder& m) { m.call(layers::dropout(1.5), m.input("x", {5})); },
     "layer 'dropout' (Dropout): attribute 'rate' is 1.5 but must be from 0 to 1"},
    {"an activation that does not exist",
     [](ModelBuilder& m) { m.call(layers::dense(3, {.activation = "rellu"}), m.input("x", {5})); },
     "layer 'dense' (Dense): attribute 'activation': there is no activation 'rellu'\n"
     "  hint: did you mean 'relu'?"},
    {"a shared layer on inputs of two widths",
     [](ModelBuilder& m) {
       LayerCall shared = m.add(layers::dense(3, {.name = "shared"}));
       shared(m.input("a", {5}));
       shared(m.input("b", {4}));
     },
     "layer 'shared:2' (Dense): its weight 'kernel' is [5, 3] but this input needs [4, 3]\n"
     "  the input is the model's input 'b'\n"
     "  hint: a layer that is called more than once needs inputs with the same number of features; use one layer for "
     "each"},
    {"a nested model on a wrong input",
     [](ModelBuilder& m) {
       LayerCall encoder = m.nested(sequential({layers::input({6}), layers::dense(2)}, "encoder"));
       encoder(m.input("x", {5}));
     },
     "layer 'encoder' (Sequential): its input 'input_layer' is [batch, 6] but got [batch, 5]\n"
     "  the input is the model's input 'x'"},
    {"a nested model on two inputs",
     [](ModelBuilder& m) {
       LayerCall encoder = m.nested(sequential({layers::input({6}), layers::dense(2)}, "encoder"));
       Tensor x = m.input("x", {6});
       encoder({x, x});
     },
     "layer 'encoder' (Sequential): takes 1 input but got 2\n"
     "  input 1, [batch, 6], is the model's input 'x'\n"
     "  input 2, [batch, 6], is the model's input 'x'"},
    {"Dense on a flattened open sequence",
     [](ModelBuilder& m) {
       Tensor x = m.call(layers::flatten(), m.input("x", {open_extent, 4}));
       m.call(layers::dense(3, {.name = "wide"}), x);
     },
     "layer 'wide' (Dense): needs a known number of features on the last axis but got [batch, 4*time]\n"
     "  the input is the output of 'flatten'\n"
     "  hint: its kernel has one row for each feature"},
    {"Reshape that does not come out even",
     [](ModelBuilder& m) {
       m.call(layers::reshape({4, 2}), m.input("x", {6}));
     },
     "layer 'reshape' (Reshape): cannot reshape [6] to [4, 2]\n"
     "  the input is the model's input 'x'\n"
     "  hint: the input has 6 elements per sample"},
    {"TimeDistributed on a table",
     [](ModelBuilder& m) { m.call(layers::time_distributed(layers::dense(3)), m.input("x", {6})); },
     "layer 'time_distributed' (TimeDistributed): needs a sequence [batch, time, ...] but got [batch, 6]\n"
     "  the input is the model's input 'x'\n"
     "  hint: give the input 'x' a time axis, or add one with Reshape"},
    {"an initial state of the wrong width",
     [](ModelBuilder& m) {
       Tensor x = m.input("x", {5, 3});
       Tensor h = m.input("h", {7});
       m.call(layers::gru(4), {x, h});
     },
     "layer 'gru' (GRU): needs an initial state [batch, 4] but got [batch, 7]\n"
     "  input 1, [batch, 5, 3], is the model's input 'x'\n"
     "  input 2, [batch, 7], is the model's input 'h'\n"
     "  hint: a state has one column for each of the 4 units"},
    {"too many initial states",
     [](ModelBuilder& m) {
       Tensor x = m.input("x", {5, 3});
       Tensor h = m.input("h", {4});
       m.call(layers::gru(4), {x, h, h});
     },
     "layer 'gru' (GRU): takes at most 2 inputs but got 3\n"
     "  input 1, [batch, 5, 3], is the model's input 'x'\n"
     "  input 2, [batch, 4], is the model's input 'h'\n"
     "  input 3, [batch, 4], is the model's input 'h'"},
    {"Dense on two tensors",
     [](ModelBuilder& m) {
       Tensor x = m.input("x", {5});
       m.call(layers::dense(3), {x, x});
     },
     "layer 'dense' (Dense): takes 1 input but got 2\n"
     "  input 1, [batch, 5], is the model's input 'x'\n"
     "  input 2, [batch, 5], is the model's input 'x'"},
    {"Dense on nothing", [](ModelBuilder& m) { m.add(layers::dense(3)).call_all({}); },
     "layer 'dense' (Dense): takes an input but got none"},
    {"Bidirectional around a Dense",
     [](ModelBuilder& m) {
       m.call(layers::bidirectional(layers::dense(3)), m.input("x", {5, 3}));
     },
     "layer 'bidirectional' (Bidirectional): needs a recurrent layer (SimpleRNN, LSTM, GRU, RNN or ConvLSTM) but wraps Dense\n"
     "  the input is the model's input 'x'"},
    {"a tensor of another model",
     [](ModelBuilder& m) {
       ModelBuilder other("other");
       Tensor x = other.input("x", {5});
       m.call(layers::dense(3), x);
     },
     "layer 'dense' (Dense): is called on a tensor of another model\n"
     "  hint: draw both in one ModelBuilder, or nest one model in the other"},
    {"an output that needs an input which is not given",
     [](ModelBuilder& m) {
       Tensor a = m.input("a", {5});
       Tensor b = m.input("b", {5});
       Tensor y = m.call(layers::add(), {a, b});
       m.build(std::vector<Tensor>{y}, std::vector<Tensor>{a});
     },
     "layer 'b' (InputLayer): an output needs this input, but it is not among the model's inputs\n"
     "  hint: add it to the inputs of the model"},
    {"no outputs", [](ModelBuilder& m) { m.build(std::vector<Tensor>{}); },
     "layer 'wrong' (Functional): a model needs at least one output"},
    {"a Sequential without an input", [](ModelBuilder&) { sequential({layers::dense(3)}); },
     "layer 'sequential' (Sequential): does not say what its input is\n"
     "  hint: begin it with layers::input(shape)"},
    {"a Sequential with a layer of three outputs",
     [](ModelBuilder&) {
       sequential({layers::input({5, 2}), layers::lstm(3, {.return_state = true})});
     },
     "layer 'lstm' (LSTM): has 3 outputs, but a Sequential is a stack of one tensor\n"
     "  hint: leave return_state at false, or use the Functional API"},
    {"an input of extent 0", [](ModelBuilder& m) { m.input("x", {0}); },
     "layer 'x' (InputLayer): its shape [0] has an extent of 0"},
};

TEST_CASE("wrong models: each is refused with a message that names the layer, the shapes and the remedy") {
  for (const WrongModel& wrong : wrong_models) {
    CAPTURE(wrong.name);
    CHECK(error_of(wrong.draw) == wrong.message);
  }
}

}  // namespace
}  // namespace moru
