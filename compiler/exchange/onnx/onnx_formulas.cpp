#include "compiler/exchange/onnx/onnx_formulas.h"

namespace moru {

Known lowest_integer() {
  auto value = std::make_shared<KnownValue>();
  value->dtype = DType::i64;
  value->dims = {Dim(INT64_MIN)};
  return value;
}

bool is_narrow_integer(Narrow narrow) {
  return narrow != Narrow::none && narrow != Narrow::u64 && !is_float(held_in(narrow));
}

}  // namespace moru
