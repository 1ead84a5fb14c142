// Keras' initializers. Values are a pure function of the initializer, the shape, the seed and the parameter's path, so
// that they do not depend on the order in which layers are made.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "compiler/ir/attributes.h"

namespace moru {

/// Fans of a weight, as keras.initializers computes them:
///   [..., in, out]: in * product of what is before, and out * the same;   [n]: n and n;   []: 1 and 1
struct Fans {
  double in = 1.0, out = 1.0;
};
Fans fans_of(std::span<const int64_t> shape);

/// Initial values, row-major. `initializer` is a name ("glorot_uniform", "GlorotUniform") or nested attributes with the
/// name under "class" and Keras' arguments. An initializer with its own `seed` ignores `seed` and `path`, as Keras does.
/// Throws CompileError for an unknown name, argument or shape (orthogonal needs two axes); `path` names the parameter.
std::vector<float> initial_values(const AttributeValue& initializer, std::span<const int64_t> shape, uint64_t seed,
                                  std::string_view path);

/// Throws CompileError if `initializer` is unknown or has an argument it does not take; `where` names the parameter.
void check_initializer(const AttributeValue& initializer, std::string_view where);

}  // namespace moru
