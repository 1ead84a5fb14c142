// What Bidirectional needs of the recurrent layers beyond their entries.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

/// How many states the recurrent layer carries: 1 (SimpleRNN, GRU), 2 (LSTM: h, c), 0 if the op is not recurrent.
size_t recurrent_states(const Op& op);

/// As op.expand, but where a sequence is returned it is in time order even if go_backwards is set; so a backward layer's
/// sequence need not be reversed twice.
std::vector<Value> expand_recurrent_in_time_order(const Op& op, Builder& builder, std::span<const Value> inputs,
                                                  const Attributes& attributes);

}  // namespace moru
