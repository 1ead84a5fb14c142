// narrow_products: contractions that round their operands get them stored in the type they are rounded to.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// `contract` with precision "bf16" becomes a contraction of two bf16 values, made by casts. A value that several
/// contractions read is cast once, before the loop where every step of a scan reads it alike; what reads it besides them
/// keeps it as it is. Needs expanded graphs after hoisting and sinking; keeps values but for numbers below 2^-126, which bf16 holds as 0.
void narrow_products(Graph& graph);

}  // namespace moru
