// Element types and slot kinds: the C++ names of the enums in program.fbs, with the same numbers. The compiler and the
// runtime share this file, so that there is one DType and one SlotKind in the code base.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace moru {

/// bf16 is stored only: the upper half of an f32. Programs convert it to f32 before they compute, or multiply it in a
/// contraction whose sums are f32.
enum class DType : uint8_t { f32 = 0, f64 = 1, i32 = 2, i64 = 3, boolean = 4, bf16 = 5 };
constexpr uint8_t dtype_count = 6;

/// "f32", "f64", "i32", "i64", "bool", "bf16": the names in graph text and in messages.
constexpr std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::boolean:
      return "bool";
    case DType::bf16:
      return "bf16";
  }
  return "?";
}

/// "float32", "float64", "int32", "int64", "bool", "bfloat16": numpy's names, which Keras uses.
constexpr std::string_view numpy_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "float32";
    case DType::f64:
      return "float64";
    case DType::i32:
      return "int32";
    case DType::i64:
      return "int64";
    case DType::boolean:
      return "bool";
    case DType::bf16:
      return "bfloat16";
  }
  return "?";
}

constexpr std::optional<DType> find_dtype(std::string_view name) {
  for (uint8_t number = 0; number < dtype_count; ++number) {
    if (dtype_name(static_cast<DType>(number)) == name) return static_cast<DType>(number);
  }
  return std::nullopt;
}

/// Bytes of one element; a boolean is one byte, 0 or 1.
constexpr int64_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::bf16:
      return 2;
    case DType::boolean:
      return 1;
  }
  return 0;
}
constexpr bool is_float(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }
/// Whether tensors of files, and slots that are bound or saved, may have this type: every one but bf16, which only what a
/// program makes for itself has.
constexpr bool is_exchanged(uint8_t number) {
  return number < dtype_count && static_cast<DType>(number) != DType::bf16;
}
constexpr bool is_integer(DType dtype) { return dtype == DType::i32 || dtype == DType::i64; }

enum class SlotKind : uint8_t {
  input = 0,
  target = 1,
  sample_weight = 2,
  output = 3,
  parameter = 4,
  optimizer_state = 5,
  layer_state = 6,
  metric_state = 7,
  control = 8,
  derived = 9
};
constexpr uint8_t slot_kind_count = 10;

/// "input", "parameter", "optimizer_state", ...: the names in graph text and in messages.
constexpr std::string_view slot_kind_name(SlotKind kind) {
  switch (kind) {
    case SlotKind::input:
      return "input";
    case SlotKind::target:
      return "target";
    case SlotKind::sample_weight:
      return "sample_weight";
    case SlotKind::output:
      return "output";
    case SlotKind::parameter:
      return "parameter";
    case SlotKind::optimizer_state:
      return "optimizer_state";
    case SlotKind::layer_state:
      return "layer_state";
    case SlotKind::metric_state:
      return "metric_state";
    case SlotKind::control:
      return "control";
    case SlotKind::derived:
      return "derived";
  }
  return "?";
}
/// Memory that the caller binds before a run.
constexpr bool is_bound_by_caller(SlotKind kind) {
  return kind == SlotKind::input || kind == SlotKind::target || kind == SlotKind::sample_weight;
}
/// Part of a checkpoint.
constexpr bool is_saved(SlotKind kind) {
  return kind == SlotKind::parameter || kind == SlotKind::optimizer_state || kind == SlotKind::layer_state ||
         kind == SlotKind::metric_state || kind == SlotKind::control;
}

}  // namespace moru
