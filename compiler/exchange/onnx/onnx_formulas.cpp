#include "compiler/exchange/onnx/onnx_formulas.h"

namespace moru {

bool is_narrow_integer(Narrow narrow) {
  return narrow != Narrow::none && narrow != Narrow::u64 && !is_float(held_in(narrow));
}

Value repeat_heads(Value x, int64_t times) {
  Builder& b = *x.builder;
  if (times == 1) return x;
  const Shape shape = x.shape();
  const Value apart = b.reshape(x, {shape[0], shape[1], 1, shape[2], shape[3]});
  const Value repeated = b.broadcast_to(apart, {shape[0], shape[1], times, shape[2], shape[3]});
  return b.reshape(repeated, {shape[0], shape[1] * times, shape[2], shape[3]});
}

NarrowRule narrow_rule(const OnnxNode& n) {
  const std::string direction = n.string("round_mode", "up");
  const auto found = find_direction(direction);
  if (!found) n.fail("has the unknown round_mode '" + direction + "'");
  return {.saturates = n.integer("saturate", 1) != 0, .direction = *found};
}

}  // namespace moru
