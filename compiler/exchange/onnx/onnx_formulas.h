// Formulas that several ONNX operators share, beside those of other formats.
#pragma once

#include <string>

#include "compiler/exchange/formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

/// An integer of fewer than 64 bits that is not computed in itself.
bool is_narrow_integer(Narrow narrow);

/// How the node rounds to floats of 8 bits: by its `saturate` and `round_mode`.
NarrowRule narrow_rule(const OnnxNode& n);

/// The convolution of x with a kernel, by the strides, pads, ... of the node: [batch, filters, space...].
Value convolution(OnnxNode& n, Value x, Value kernel);

/// Each head of keys for several of queries: [batch, heads, ...] -> [batch, heads * times, ...].
Value repeat_heads(Value x, int64_t times);

}  // namespace moru
