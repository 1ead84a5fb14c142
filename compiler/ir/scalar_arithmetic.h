// What one scalar operation of kernels means, as C++: used by constant folding and by the kernel interpreter, so that
// the two cannot differ. Booleans are uint8_t. Every function rounds once; none can be contracted with another, because
// its result goes through memory or a constant before it is used.
//
// The semantics are those at the top of kernels.h. Where that page is silent: integer division truncates, x / 0 is 0
// and lowest / -1 is lowest (so nothing traps); min(-0, +0) is -0; anything not zero converts to true.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "compiler/ir/kernels.h"
#include "compiler/support/narrow.h"

namespace moru::scalar {

/// An element of type bf16: a value that is stored, and converted before anything is computed.
struct BFloat16 {
  uint16_t bits = 0;
};

template <class T>
constexpr bool is_float_v = std::is_floating_point_v<T>;
template <class T>
constexpr bool is_integer_v = std::is_same_v<T, int32_t> || std::is_same_v<T, int64_t>;

template <class T>
constexpr bool is_stored_only_v = std::is_same_v<T, BFloat16>;

template <class T>
using Unsigned = std::make_unsigned_t<std::conditional_t<is_float_v<T>, int, T>>;

/// Applies `f` to the operands as unsigned integers: wraps where signed arithmetic would be undefined.
template <class T, class F>
T wrapping(T a, T b, F f) {
  using U = Unsigned<T>;
  return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
}

template <class T>
T add(T a, T b) {
  if constexpr (is_float_v<T>)
    return a + b;
  else
    return wrapping(a, b, [](auto x, auto y) { return x + y; });
}
template <class T>
T sub(T a, T b) {
  if constexpr (is_float_v<T>)
    return a - b;
  else
    return wrapping(a, b, [](auto x, auto y) { return x - y; });
}
template <class T>
T mul(T a, T b) {
  if constexpr (is_float_v<T>)
    return a * b;
  else
    return wrapping(a, b, [](auto x, auto y) { return x * y; });
}
template <class T>
T div(T a, T b) {
  if constexpr (is_float_v<T>)
    return a / b;
  else if (b == 0)
    return 0;
  else if (b == -1)
    return sub<T>(0, a);
  else
    return a / b;
}
template <class T>
T minimum(T a, T b) {
  if constexpr (is_float_v<T>) {
    if (std::isunordered(a, b)) return a + b;
    if (a == b) return std::signbit(a) ? a : b;
  }
  return b < a ? b : a;
}
template <class T>
T maximum(T a, T b) {
  if constexpr (is_float_v<T>) {
    if (std::isunordered(a, b)) return a + b;
    if (a == b) return std::signbit(a) ? b : a;
  }
  return a < b ? b : a;
}
template <class T>
T negate(T a) {
  if constexpr (is_float_v<T>)
    return -a;
  else
    return sub<T>(0, a);
}
template <class T>
T absolute(T a) {
  if constexpr (is_float_v<T>)
    return std::fabs(a);
  else
    return a < 0 ? negate(a) : a;
}
template <class T>
T mul_high_unsigned(T a, T b) {
  if constexpr (sizeof(T) == 4) {
    return static_cast<T>(static_cast<uint32_t>((uint64_t{static_cast<uint32_t>(a)} * static_cast<uint32_t>(b)) >> 32));
  } else {
    __extension__ using Wide = unsigned __int128;
    return static_cast<T>(static_cast<uint64_t>((Wide{static_cast<uint64_t>(a)} * static_cast<uint64_t>(b)) >> 64));
  }
}

/// Value conversion between any two of float, double, int32_t, int64_t, uint8_t (boolean), and between float and BFloat16.
template <class To, class From>
To convert(From a) {
  if constexpr (std::is_same_v<To, From>) {
    return a;
  } else if constexpr (is_stored_only_v<To>) {
    return {bf16_bits_of_normal(static_cast<float>(a))};
  } else if constexpr (is_stored_only_v<From>) {
    return static_cast<To>(bf16_value(a.bits));
  } else if constexpr (std::is_same_v<To, uint8_t>) {
    return a != From{0};
  } else if constexpr (is_float_v<From> && is_integer_v<To>) {
    // The bounds are powers of two, exact in either float type; the upper one is the first value out of range.
    const From upper = static_cast<From>(sizeof(To) == 4 ? 0x1p31 : 0x1p63);
    if (std::isnan(a)) return 0;
    if (a >= upper) return std::numeric_limits<To>::max();
    if (a < -upper) return std::numeric_limits<To>::min();
    return static_cast<To>(a);
  } else {
    return static_cast<To>(a);  // rounds to nearest even, wraps from i64 to i32, extends the sign
  }
}

template <class To, class From>
To bitcast(From a) {
  return std::bit_cast<To>(a);
}

/// Calls `use` with the operation as a function T -> T; false if `op` is not a unary operation on T.
template <class T, class Use>
bool visit_unary(ExprOp op, Use&& use) {
  if constexpr (is_float_v<T> || is_integer_v<T>) {
    if (op == ExprOp::neg) return use([](T a) { return negate(a); }), true;
    if (op == ExprOp::abs) return use([](T a) { return absolute(a); }), true;
  }
  if constexpr (is_float_v<T>) {
    if (op == ExprOp::sqrt) return use([](T a) { return std::sqrt(a); }), true;
    if (op == ExprOp::round) return use([](T a) { return std::nearbyint(a); }), true;
    if (op == ExprOp::floor) return use([](T a) { return std::floor(a); }), true;
    if (op == ExprOp::ceil) return use([](T a) { return std::ceil(a); }), true;
  }
  if constexpr (std::is_same_v<T, uint8_t>) {
    if (op == ExprOp::logical_not) return use([](T a) { return static_cast<T>(a == 0); }), true;
  }
  return false;
}

/// Calls `use` with the operation as a function (T, T) -> T; false if `op` is not a binary operation on T.
template <class T, class Use>
bool visit_binary(ExprOp op, Use&& use) {
  if constexpr (is_float_v<T> || is_integer_v<T>) {
    switch (op) {
      case ExprOp::add:
        return use([](T a, T b) { return add(a, b); }), true;
      case ExprOp::sub:
        return use([](T a, T b) { return sub(a, b); }), true;
      case ExprOp::mul:
        return use([](T a, T b) { return mul(a, b); }), true;
      case ExprOp::div:
        return use([](T a, T b) { return div(a, b); }), true;
      case ExprOp::min:
        return use([](T a, T b) { return minimum(a, b); }), true;
      case ExprOp::max:
        return use([](T a, T b) { return maximum(a, b); }), true;
      default:
        break;
    }
  }
  if constexpr (is_integer_v<T>) {
    constexpr T mask = sizeof(T) * 8 - 1;
    switch (op) {
      case ExprOp::bit_and:
        return use([](T a, T b) { return static_cast<T>(a & b); }), true;
      case ExprOp::bit_or:
        return use([](T a, T b) { return static_cast<T>(a | b); }), true;
      case ExprOp::bit_xor:
        return use([](T a, T b) { return static_cast<T>(a ^ b); }), true;
      case ExprOp::shl:
        return use([](T a, T b) { return static_cast<T>(static_cast<Unsigned<T>>(a) << (b & mask)); }), true;
      case ExprOp::shr:
        return use([](T a, T b) { return static_cast<T>(static_cast<Unsigned<T>>(a) >> (b & mask)); }), true;
      case ExprOp::sar:
        return use([](T a, T b) { return static_cast<T>(a >> (b & mask)); }), true;
      case ExprOp::mul_high_unsigned:
        return use([](T a, T b) { return mul_high_unsigned(a, b); }), true;
      default:
        break;
    }
  }
  if constexpr (std::is_same_v<T, uint8_t>) {
    if (op == ExprOp::logical_and) return use([](T a, T b) { return static_cast<T>(a & b); }), true;
    if (op == ExprOp::logical_or) return use([](T a, T b) { return static_cast<T>(a | b); }), true;
  }
  return false;
}

/// Calls `use` with the comparison as a function (T, T) -> uint8_t; false if `op` is not a comparison.
template <class T, class Use>
bool visit_comparison(ExprOp op, Use&& use) {
  if constexpr (!is_stored_only_v<T>) {
    switch (op) {
      case ExprOp::equal:
        return use([](T a, T b) { return static_cast<uint8_t>(a == b); }), true;
      case ExprOp::not_equal:
        return use([](T a, T b) { return static_cast<uint8_t>(a != b); }), true;
      case ExprOp::less:
        return use([](T a, T b) { return static_cast<uint8_t>(a < b); }), true;
      case ExprOp::less_equal:
        return use([](T a, T b) { return static_cast<uint8_t>(a <= b); }), true;
      default:
        break;
    }
  }
  return false;
}

/// Calls `use` with a value of the C++ type that stands for `type`.
template <class Use>
decltype(auto) visit_type(DType type, Use&& use) {
  switch (type) {
    case DType::f32:
      return use(float{});
    case DType::f64:
      return use(double{});
    case DType::i32:
      return use(int32_t{});
    case DType::i64:
      return use(int64_t{});
    case DType::bf16:
      return use(BFloat16{});
    case DType::boolean:
      break;
  }
  return use(uint8_t{});
}

}  // namespace moru::scalar
