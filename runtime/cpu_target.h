// Whether this processor can run code that was compiled for a target.
#pragma once

#include <string_view>

namespace moru {

/// `target` as the compiler prints it: "x86-64", "x86-64-v2", -v3, -v4, -v4-bf16, "aarch64"; further text behind '+', ',' or ' '
/// is not looked at. A name this version does not know is taken to be fine.
bool processor_supports(std::string_view target);

}  // namespace moru
