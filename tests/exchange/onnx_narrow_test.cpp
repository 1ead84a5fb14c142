// ONNX's element types of 8 bits and fewer: their patterns, how they lie in files, and the operators that make them.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "compiler/exchange/onnx/onnx_export.h"
#include "compiler/support/narrow_elements.h"
#include "tests/exchange/onnx_case.h"

namespace moru::test {
namespace {

// By onnx.proto, whose names for them the schema of a Debian may lack.
constexpr int32_t onnx_e4m3fn = 17, onnx_e4m3fnuz = 18, onnx_e5m2 = 19, onnx_e5m2fnuz = 20, onnx_u4 = 21, onnx_i4 = 22,
                  onnx_e2m1 = 23, onnx_e8m0 = 24, onnx_i2 = 26;
constexpr Narrow small_floats[] = {Narrow::f8e4m3fn, Narrow::f8e4m3fnuz, Narrow::f8e5m2, Narrow::f8e5m2fnuz,
                                   Narrow::f8e8m0,   Narrow::f4e2m1};

// What a Cast to a type gives, seen through a second Cast back.
std::vector<float> casted(int32_t to, const std::vector<float>& x, bool saturate = true, const std::string& round_mode = "") {
  OnnxCase model(25);
  model.input("x", {std::to_string(x.size())});
  onnx::NodeProto& node = model.node("Cast", {"x"}, {"narrow"});
  set_integer(node, "to", to);
  if (!saturate) set_integer(node, "saturate", 0);
  if (!round_mode.empty()) attribute(node, "round_mode", onnx::AttributeProto::STRING).set_s(round_mode);
  set_integer(model.node("Cast", {"narrow"}, {"y"}), "to", onnx_float);
  model.output("y");
  return values_of<float>(model.run({floats("x", {static_cast<int64_t>(x.size())}, x)})[0]);
}

void check_equal(const std::vector<float>& got, const std::vector<float>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("element " << i << ": " << got[i] << ", not " << wanted[i]);
    CHECK((std::isnan(wanted[i]) ? std::isnan(got[i]) : got[i] == wanted[i]));
    if (wanted[i] == 0.0f) CHECK(std::signbit(got[i]) == std::signbit(wanted[i]));
  }
}

}  // namespace

TEST_CASE("onnx narrow: every pattern of 8 and 4 bits is one number, rounds to itself, and has its place in the order") {
  for (const Narrow type : small_floats) {
    INFO(narrow_name(type));
    const int patterns = 1 << narrow_bits(type);
    const bool is_signed = type != Narrow::f8e8m0;
    float last = -1.0f;
    int numbers = 0;
    for (int i = 0; i < patterns; ++i) {
      const auto pattern = static_cast<uint8_t>(i);
      const float value = small_float_value(pattern, type);
      if (std::isnan(value)) continue;
      ++numbers;
      CHECK(small_float_bits(value, type) == pattern);
      if (std::isfinite(value)) CHECK(narrowed(static_cast<double>(value), type) == static_cast<double>(value));
      if (is_signed && i >= patterns / 2) continue;
      CHECK(value > last);
      last = value;
    }
    const int nans = type == Narrow::f8e4m3fn ? 2 : type == Narrow::f8e5m2 ? 6 : type == Narrow::f4e2m1 ? 0 : 1;
    CHECK(numbers == patterns - nans);
  }
  // The greatest and the least, as the papers and the OCP's specifications give them.
  CHECK(small_float_value(0x7e, Narrow::f8e4m3fn) == 448.0f);
  CHECK(small_float_value(0x01, Narrow::f8e4m3fn) == 0x1p-9f);
  CHECK(small_float_value(0x7f, Narrow::f8e4m3fnuz) == 240.0f);
  CHECK(small_float_value(0x01, Narrow::f8e4m3fnuz) == 0x1p-10f);
  CHECK(small_float_value(0x7b, Narrow::f8e5m2) == 57344.0f);
  CHECK(small_float_value(0x7c, Narrow::f8e5m2) == INFINITY);
  CHECK(small_float_value(0x01, Narrow::f8e5m2) == 0x1p-16f);
  CHECK(small_float_value(0x01, Narrow::f8e5m2fnuz) == 0x1p-17f);
  CHECK(small_float_value(0x00, Narrow::f8e8m0) == 0x1p-127f);
  CHECK(small_float_value(0xfe, Narrow::f8e8m0) == 0x1p127f);
  CHECK(small_float_value(0x07, Narrow::f4e2m1) == 6.0f);
  CHECK(small_float_value(0x09, Narrow::f4e2m1) == -0.5f);
}

TEST_CASE("onnx narrow: elements of less than a byte share one, the first in its lowest bits") {
  const std::vector<int32_t> numbers = {-8, 7, -1, 0, 3};
  const std::vector<std::byte> stored = narrow_elements(std::as_bytes(std::span(numbers)), Narrow::i4);
  CHECK(stored == std::vector<std::byte>{std::byte{0x78}, std::byte{0x0f}, std::byte{0x03}});
  const std::vector<std::byte> held = widen_elements(stored, Narrow::i4);
  CHECK(std::memcmp(held.data(), numbers.data(), numbers.size() * sizeof(int32_t)) == 0);
  CHECK(stored_bytes({DType::i32, Narrow::i4}, 5) == 3);
  CHECK(stored_bytes({DType::i32, Narrow::u2}, 5) == 2);
  CHECK(stored_bytes({DType::f32, Narrow::f8e5m2}, 5) == 5);
}

TEST_CASE("onnx narrow: Cast rounds to nearest even and ends at the greatest number, or at infinity or NaN") {
  const float nan = NAN, inf = INFINITY;
  const std::vector<float> x = {0.0f, -0.0f, 1.0625f, 1.1875f, 464.0f, 1e6f, -1e6f, inf, nan, -1e-7f};
  check_equal(casted(onnx_e4m3fn, x), {0.0f, -0.0f, 1.0f, 1.25f, 448, 448, -448, 448, nan, -0.0f});
  check_equal(casted(onnx_e4m3fn, x, false), {0.0f, -0.0f, 1.0f, 1.25f, 448, nan, nan, nan, nan, -0.0f});
  check_equal(casted(onnx_e4m3fnuz, x), {0.0f, 0.0f, 1.0f, 1.25f, 240, 240, -240, 240, nan, 0.0f});
  check_equal(casted(onnx_e5m2, x), {0.0f, -0.0f, 1.0f, 1.25f, 448, 57344, -57344, 57344, nan, -0.0f});
  check_equal(casted(onnx_e5m2, x, false), {0.0f, -0.0f, 1.0f, 1.25f, 448, inf, -inf, inf, nan, -0.0f});
  check_equal(casted(onnx_e5m2fnuz, x, false), {0.0f, 0.0f, 1.0f, 1.25f, 448, nan, nan, nan, nan, 0.0f});
  check_equal(casted(onnx_e2m1, {0.25f, 0.75f, -3.5f, 2.5f, 9, -inf, nan}), {0.0f, 1.0f, -4, 2, 6, -6, -0.0f});
}

TEST_CASE("onnx narrow: Cast to a power of two goes up, down or to the nearest, and refuses other directions") {
  const float nan = NAN, inf = INFINITY;
  const std::vector<float> x = {0.0f, 1.0f, 1.25f, 1.5f, 3e38f, inf, nan};
  check_equal(casted(onnx_e8m0, x), {0x1p-127f, 1, 2, 2, 0x1p127f, 0x1p127f, nan});
  check_equal(casted(onnx_e8m0, x, true, "down"), {0x1p-127f, 1, 1, 1, 0x1p127f, 0x1p127f, nan});
  check_equal(casted(onnx_e8m0, x, true, "nearest"), {0x1p-127f, 1, 1, 2, 0x1p127f, 0x1p127f, nan});
  check_equal(casted(onnx_e8m0, x, false, "nearest"), {nan, 1, 1, 2, nan, nan, nan});
  CHECK_THROWS_WITH_AS(casted(onnx_e8m0, x, true, "sideways"), "layer 'the_Cast' (Cast): has the unknown round_mode 'sideways'", CompileError);
}

TEST_CASE("onnx narrow: Cast to integers of 4 and 2 bits keeps the lowest bits") {
  check_equal(casted(onnx_i4, {-9, -8, 7, 8, 15, 16}), {7, -8, 7, -8, -1, 0});
  check_equal(casted(onnx_u4, {-9, -1, 15, 16}), {7, 15, 15, 0});
  check_equal(casted(onnx_i2, {-3, -2, 1, 2, 3}), {1, -2, 1, -2, -1});
  // Of a constant too, where the result is known while importing.
  OnnxCase model(21);
  model.input("x", {"2"});
  add_initializer<int32_t>(model.graph(), "c", onnx::TensorProto::INT32, {2}, {9, -9});
  set_integer(model.node("Cast", {"c"}, {"small"}), "to", onnx_i4);
  set_integer(model.node("Cast", {"small"}, {"back"}), "to", onnx_float);
  model.node("Add", {"x", "back"}, {"y"});
  model.output("y");
  check_equal(values_of<float>(model.run({floats("x", {2}, {0, 0})})[0]), {-7, 7});
}

TEST_CASE("onnx narrow: packed weights with a scale for each block give the numbers that they stand for") {
  OnnxCase model(21);
  model.input("x", {"1", "5"});
  onnx::TensorProto& weights = *model.graph().add_initializer();
  weights.set_name("w");
  weights.set_data_type(onnx_i4);
  weights.add_dims(5);
  weights.add_dims(1);
  for (int byte : {0x78, 0x0f, 0x03}) weights.add_int32_data(byte);  // -8 7 -1 0 3
  add_initializer<float>(model.graph(), "scale", onnx_float, {3, 1}, {0.5f, 2.0f, 4.0f});
  onnx::NodeProto& node = model.node("DequantizeLinear", {"w", "scale"}, {"real"});
  set_integer(node, "axis", 0);
  set_integer(node, "block_size", 2);
  model.node("MatMul", {"x", "real"}, {"y"});
  model.output("y");
  CHECK(values_of<float>(model.run({floats("x", {1, 5}, {1, 1, 1, 1, 1})})[0])[0] == -4.0f + 3.5f - 2.0f + 0.0f + 12.0f);
  weights.mutable_int32_data()->RemoveLast();
  CHECK(model.error({floats("x", {1, 5}, {1, 1, 1, 1, 1})}).find("it has 2 bytes of values but needs 3") != std::string::npos);
}

TEST_CASE("onnx narrow: QuantizeLinear makes 4 bits and floats of 8, and divides as precisely as it is told") {
  OnnxCase model(23);
  model.input("x", {"4"});
  add_initializer<float>(model.graph(), "scale", onnx_float, {}, {2.0f});
  set_integer(model.node("QuantizeLinear", {"x", "scale"}, {"q"}), "output_dtype", onnx_i4);
  model.node("DequantizeLinear", {"q", "scale"}, {"integers"});
  set_integer(model.node("QuantizeLinear", {"x", "scale"}, {"f"}), "output_dtype", onnx_e4m3fn);
  model.node("DequantizeLinear", {"f", "scale"}, {"reals"});
  onnx::NodeProto& half = model.node("QuantizeLinear", {"x", "scale"}, {"h"});
  set_integer(half, "output_dtype", onnx::TensorProto::INT16);
  set_integer(half, "precision", onnx::TensorProto::FLOAT16);
  model.node("DequantizeLinear", {"h", "scale"}, {"halves"});
  for (const char* output : {"integers", "reals", "halves"}) model.output(output);
  const auto outputs = model.run({floats("x", {4}, {3, -100, 2.25f, 8197})});
  check_equal(values_of<float>(outputs[0]), {4, -16, 2, 14});
  check_equal(values_of<float>(outputs[1]), {3, -96, 2.25f, 896});
  check_equal(values_of<float>(outputs[2]), {4, -100, 2, 8200});  // f16 has no 8197
}

TEST_CASE("onnx narrow: what is stored narrow is written narrow again, where the operator set has the type") {
  OnnxCase model(21);
  model.input("x", {"3"}, onnx_e5m2);
  model.node("Identity", {"x"}, {"y"});
  model.output("y");
  model.graph().mutable_output(0)->mutable_type()->mutable_tensor_type()->set_elem_type(onnx_e5m2);
  model.write();
  const Model read = import_onnx(model.path());
  onnx::ModelProto written;
  const std::vector<std::byte> bytes = export_onnx(read, {.opset = 19});
  REQUIRE(written.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  CHECK(written.graph().input(0).type().tensor_type().elem_type() == onnx_e5m2);
  CHECK(written.graph().output(0).type().tensor_type().elem_type() == onnx_e5m2);
  std::string message;
  try {
    export_onnx(read, {.opset = 18});
  } catch (const CompileError& error) {
    message = error.what();
  }
  INFO(message);
  CHECK(message.find("the element type float8_e5m2 came with ONNX's operator set 19") != std::string::npos);
}

TEST_CASE("onnx narrow: half-precision and quantized models go out with the nodes and weights that they came with") {
  OnnxCase model(21);
  model.input("x", {"batch", "2"}, onnx::TensorProto::FLOAT16);
  add_initializer<uint16_t>(model.graph(), "w", onnx::TensorProto::FLOAT16, {2, 2}, {0x3c00, 0x4000, 0xbc00, 0x3800});
  add_initializer<int8_t>(model.graph(), "q", onnx::TensorProto::INT8, {2, 2}, {-3, 5, 7, -128});
  add_initializer<float>(model.graph(), "scale", onnx_float, {}, {0.5f});
  add_initializer<int8_t>(model.graph(), "zero", onnx::TensorProto::INT8, {}, {1});
  model.node("MatMul", {"x", "w"}, {"h"});
  model.node("Relu", {"h"}, {"r"});
  set_integer(model.node("Cast", {"r"}, {"wide"}), "to", onnx_float);
  model.node("QuantizeLinear", {"wide", "scale", "zero"}, {"a"});
  model.node("MatMulInteger", {"a", "q", "zero", "zero"}, {"y"});
  model.output("y");
  model.output("r");
  model.write();
  Model read = import_onnx(model.path());
  onnx::ModelProto written;
  const std::vector<std::byte> bytes = export_onnx(read);
  REQUIRE(written.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  std::string types;
  for (const auto& node : written.graph().node()) types += node.op_type() + " ";
  CHECK(types == "MatMul Relu Cast QuantizeLinear MatMulInteger ");
  std::map<int32_t, std::vector<int64_t>> weights;  // matrices by their types
  for (const auto& tensor : written.graph().initializer())
    if (tensor.dims_size() == 2) weights[tensor.data_type()] = {tensor.dims().begin(), tensor.dims().end()};
  CHECK(weights == std::map<int32_t, std::vector<int64_t>>{{onnx::TensorProto::FLOAT16, {2, 2}}, {onnx::TensorProto::INT8, {2, 2}}});
  CHECK(written.graph().input(0).type().tensor_type().elem_type() == onnx::TensorProto::FLOAT16);
  CHECK(written.graph().output(1).type().tensor_type().elem_type() == onnx::TensorProto::FLOAT16);
  const std::vector<SavedTensor> inputs = {floats("x", {1, 2}, {1.5f, 2})};
  const auto before = OnnxCase::answers(read, inputs);
  Model again = import_onnx(bytes, "again.onnx");
  const auto after = OnnxCase::answers(again, inputs);
  for (size_t i = 0; i < before.size(); ++i) CHECK(after[i].bytes == before[i].bytes);
}

}  // namespace moru::test
