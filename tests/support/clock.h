// Seconds of a clock that never goes back, for what is timed.
#pragma once

#include <chrono>

namespace moru::test {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace moru::test
