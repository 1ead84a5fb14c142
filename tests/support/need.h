// What a Result holds, for tests that cannot go on without it.
#pragma once

#include <stdexcept>
#include <utility>

#include "runtime/status.h"

namespace moru::test {

template <typename T>
T need(Result<T> result) {
  if (!result) throw std::runtime_error(result.status().message());
  return *std::move(result);
}

}  // namespace moru::test
