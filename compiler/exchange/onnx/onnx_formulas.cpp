#include "compiler/exchange/onnx/onnx_formulas.h"

namespace moru {

bool is_narrow_integer(Narrow narrow) {
  return narrow != Narrow::none && narrow != Narrow::u64 && !is_float(held_in(narrow));
}

}  // namespace moru
