// What the primitives' infer functions share: refusals in the user's words, and checks of dtypes, axes and extents.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

/// As fail(), for an infer that knows its op by name only.
[[noreturn]] void refuse(const OpContext& context, std::string_view op, std::string what, std::string hint = {},
                         std::string detail = {});

enum class Accepts : uint8_t { floats, numbers, booleans, integers, any };

/// Refuses an input whose element type is not among those accepted.
void check_dtype(const OpContext& context, std::string_view op, size_t input, Accepts accepts);

/// The axis counted from the front; refuses one outside -rank .. rank-1.
size_t check_axis(const OpContext& context, std::string_view op, int64_t axis, size_t rank);

/// As check_axis for each, ascending; refuses an axis that is named twice.
std::vector<size_t> check_axes(const OpContext& context, std::string_view op, const std::vector<int64_t>& axes,
                               size_t rank);

/// An attribute that holds one dimension: a Shape of length 1.
Dim dim_attribute(const OpContext& context, std::string_view op, std::string_view name);

/// Refuses a shape attribute with a negative number in it.
void check_extents(const OpContext& context, std::string_view op, const Shape& shape, std::string_view name);

/// The attribute "dtype" of cast, fill, iota, ...
AttributeSpec dtype_attribute(AttributeValue default_value = {});
DType dtype_of(const Attributes& attributes);

}  // namespace moru
