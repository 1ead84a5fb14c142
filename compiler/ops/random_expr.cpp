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
  // From here in 64-bit lanes, whose upper halves are masked off where they would count: processors multiply 32 by 32
  // bits into 64 in one instruction, and both halves of the product stay where they are.
  const auto wide = [](int64_t bits) { return expr::integer(bits, DType::i64); };
  const auto upper = [&](const Expr& x) { return expr::binary(ExprOp::shr, x, wide(32)); };
  const auto lower = [&](const Expr& x) { return expr::binary(ExprOp::bit_and, x, wide(0xffffffff)); };
  key = expr::convert(mix(key, high_word(step)), DType::i64) + upper(element) * wide(0x85ebca6b);
  Expr first = element;
  Expr second = step;
  for (int round = 0; round < philox_rounds; ++round) {
    const Expr product = lower(first) * wide(philox_multiplier);
    first = bit_xor(bit_xor(upper(product), key), second);
    second = product;
    key = key + wide(philox_key_step);
  }
  const Expr bits = expr::binary(ExprOp::shr, low_word(first), expr::integer(8, DType::i32));
  return expr::convert(bits, DType::f32) * expr::constant(0x1p-24);
}

}  // namespace moru
