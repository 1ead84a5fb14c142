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
  // In 64-bit lanes, whose upper halves are masked off where they would count: processors multiply 32 by 32 bits into
  // 64 in one instruction, and both halves of the product stay where they are.
  const Expr lower_half = expr::integer(0xffffffff, DType::i64);
  const auto lower = [&](const Expr& x) { return expr::binary(ExprOp::bit_and, x, lower_half); };
  Expr first = element;
  Expr second = step;
  const Expr multiplier = expr::integer(philox_multiplier, DType::i64);
  for (int round = 0; round < philox_rounds; ++round) {
    const Expr product = lower(first) * multiplier;
    const Expr high = expr::binary(ExprOp::shr, product, expr::integer(32, DType::i64));
    first = bit_xor(bit_xor(high, expr::convert(key, DType::i64)), second);
    second = product;
    key = key + word(philox_key_step);
  }
  const Expr bits = expr::binary(ExprOp::shr, low_word(first), expr::integer(8, DType::i32));
  return expr::convert(bits, DType::f32) * expr::constant(0x1p-24);
}

}  // namespace moru
