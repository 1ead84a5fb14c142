#include "compiler/ops/random_expr.h"

#include "compiler/ops/philox.h"

namespace moru {

namespace {

Expr word(uint32_t bits) { return expr::integer(static_cast<int32_t>(bits), DType::i32); }
Expr low_word(const Expr& x) { return expr::convert(x, DType::i32); }
Expr high_word(const Expr& x) {
  return expr::convert(expr::binary(ExprOp::shr, x, expr::integer(32, DType::i64)), DType::i32);
}
Expr bit_xor(const Expr& a, const Expr& b) { return expr::binary(ExprOp::bit_xor, a, b); }
Expr fold(const Expr& h, int32_t shift) {
  return bit_xor(h, expr::binary(ExprOp::shr, h, expr::integer(shift, DType::i32)));
}

Expr mix(const Expr& h, const Expr& w) {
  Expr x = bit_xor(h, w * word(0xcc9e2d51) + word(0x9e3779b9));
  x = fold(x, 16) * word(0x85ebca6b);
  x = fold(x, 13) * word(0xc2b2ae35);
  return fold(x, 16);
}

}  // namespace

Expr random_uniform_expr(Expr element, Expr seed, Expr step, int64_t stream) {
  const auto stream_bits = static_cast<uint64_t>(stream);
  Expr key = mix(mix(word(0), low_word(seed)), high_word(seed));
  key = mix(mix(key, word(static_cast<uint32_t>(stream_bits))), word(static_cast<uint32_t>(stream_bits >> 32)));
  key = mix(key, high_word(step)) + word(0x85ebca6b) * high_word(element);
  Expr first = low_word(element);
  Expr second = low_word(step);
  const Expr multiplier = word(philox_multiplier);
  for (int round = 0; round < philox_rounds; ++round) {
    const Expr high = expr::binary(ExprOp::mul_high_unsigned, first, multiplier);
    const Expr low = first * multiplier;
    first = bit_xor(bit_xor(high, key), second);
    second = low;
    key = key + word(philox_key_step);
  }
  const Expr bits = expr::binary(ExprOp::shr, first, expr::integer(8, DType::i32));
  return expr::convert(bits, DType::f32) * expr::constant(0x1p-24);
}

}  // namespace moru
