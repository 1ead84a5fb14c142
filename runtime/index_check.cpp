#include "runtime/index_check.h"

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace moru {
namespace {

std::vector<int64_t> position_of(int64_t element, std::span<const int64_t> shape) {
  std::vector<int64_t> position(shape.size());
  for (size_t axis = shape.size(); axis-- > 0;) {
    position[axis] = element % shape[axis];
    element /= shape[axis];
  }
  return position;
}

template <typename T>
Status check(const TensorView& tensor, int64_t limit, std::string_view slot_name) {
  using Unsigned = std::make_unsigned_t<T>;
  std::span<const T> values = tensor.elements<T>();
  // As unsigned numbers the negative ones are the largest, so one comparison does for both ends. The count has no early
  // exit, so that it vectorises.
  const Unsigned last = static_cast<Unsigned>(std::min<int64_t>(limit - 1, std::numeric_limits<T>::max()));
  size_t outside = 0;
  for (T value : values) outside += static_cast<Unsigned>(value) > last ? 1 : 0;
  if (outside == 0) return {};
  auto first = std::find_if(values.begin(), values.end(), [&](T value) { return static_cast<Unsigned>(value) > last; });
  std::string message = "slot '" + std::string(slot_name) + "': the value " + std::to_string(*first) + " at " +
                        sizes_text(position_of(first - values.begin(), tensor.shape)) + " is outside 0 <= v < " +
                        std::to_string(limit);
  if (outside > 1) message += " (and " + std::to_string(outside - 1) + " more)";
  return {StatusCode::out_of_range, message};
}

}  // namespace

Status check_indices(const TensorView& tensor, int64_t limit, std::string_view slot_name) {
  return tensor.dtype == DType::i32 ? check<int32_t>(tensor, limit, slot_name)
                                    : check<int64_t>(tensor, limit, slot_name);
}

}  // namespace moru
