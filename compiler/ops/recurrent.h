// What wrappers and ConvLSTM need of the recurrent layers beyond their entries.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

/// How many states the recurrent layer carries: 1 (SimpleRNN, GRU), 2 (LSTM: h, c), those of all cells of an RNN; 0 if the
/// op is not recurrent.
size_t recurrent_states(const Op& op, const Attributes& attributes);

/// True where the recurrent layer draws numbers in training, for dropout.
bool draws_numbers(const Op& op, const Attributes& attributes);

/// As op.expand, but where a sequence is returned it is in time order even if go_backwards is set; so a backward layer's
/// sequence need not be reversed twice.
std::vector<Value> expand_recurrent_in_time_order(const Op& op, Builder& builder, std::span<const Value> inputs,
                                                  const Attributes& attributes);

/// What recurrent layers with one cell have beside what their cells add, and their entries: everything but the numbers of
/// a step is found by the cell of the op's name (recurrent_cells.h).
std::vector<AttributeSpec> recurrent_attributes(bool gated);
std::vector<InputSpec> recurrent_inputs(size_t states);
Op recurrent_op(std::string_view name, std::string_view class_name, std::string_view doc, std::vector<InputSpec> inputs,
                std::vector<AttributeSpec> attributes, std::vector<Example> examples);

std::vector<Op> conv_lstm_ops();

}  // namespace moru
