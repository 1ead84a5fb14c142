// Operators of ONNX beside the numbers that ONNX's own documentation of them gives (onnx/backend/test/case/node).
#include <doctest/doctest.h>

#include <array>

#include "tests/exchange/onnx_case.h"

namespace moru::test {
namespace {

void add_scalar(OnnxCase& model, const std::string& name, float value) {
  add_initializer<float>(model.graph(), name, onnx_float, {}, {value});
}
void add_byte(OnnxCase& model, const std::string& name, uint8_t value) {
  add_initializer<uint8_t>(model.graph(), name, onnx_byte, {}, {value});
}

}  // namespace

TEST_CASE("onnx selection: results of as many elements as the data say, where they are known") {
  OnnxCase model;
  model.input("x", {"2", "3"});
  model.node("NonZero", {"x"}, {"places"});
  model.node("Unique", {"x"}, {"different", "first", "inverse", "counts"});
  for (const char* output : {"places", "different", "first", "inverse", "counts"}) model.output(output);
  const SavedTensor x = floats("x", {2, 3}, {3, 0, 1, 0, 3, 3});
  const auto outputs = model.run({x}, true);
  CHECK(outputs[0].shape == std::vector<int64_t>{2, 4});
  CHECK(values_of<int64_t>(outputs[0]) == std::vector<int64_t>{0, 0, 1, 1, 0, 2, 1, 2});
  CHECK(values_of<float>(outputs[1]) == std::vector<float>{0, 1, 3});
  CHECK(values_of<int64_t>(outputs[2]) == std::vector<int64_t>{1, 2, 0});
  CHECK(values_of<int64_t>(outputs[3]) == std::vector<int64_t>{2, 0, 1, 0, 2, 2});
  CHECK(values_of<int64_t>(outputs[4]) == std::vector<int64_t>{2, 1, 3});
  CHECK(model.error({x}) ==
        "layer 'the_NonZero' (NonZero): needs the values of its input 'x' when compiling, since shapes depend on them\n"
        "  hint: moru run takes them from the inputs that it is given; for other commands, make them constants of the "
        "model");
}

TEST_CASE("onnx selection: boxes that overlap a better one are left out") {
  OnnxCase model(11);
  model.input("boxes", {"1", "6", "4"});
  model.input("scores", {"1", "1", "6"});
  add_initializer<int64_t>(model.graph(), "most", onnx_long, {1}, {3});
  add_initializer<float>(model.graph(), "overlap", onnx_float, {1}, {0.5f});
  add_initializer<float>(model.graph(), "least", onnx_float, {1}, {0.4f});
  model.node("NonMaxSuppression", {"boxes", "scores", "most", "overlap"}, {"all"});
  model.node("NonMaxSuppression", {"boxes", "scores", "most", "overlap", "least"}, {"good"});
  for (const char* output : {"all", "good"}) model.output(output);
  const auto outputs = model.run({floats("boxes", {1, 6, 4}, {0, 0,  1, 1,  0, 0.1f,  1, 1.1f,  0, -0.1f, 1, 0.9f,
                                                              0, 10, 1, 11, 0, 10.1f, 1, 11.1f, 0, 100,   1, 101}),
                                  floats("scores", {1, 1, 6}, {0.9f, 0.75f, 0.6f, 0.95f, 0.5f, 0.3f})},
                                 true);
  CHECK(values_of<int64_t>(outputs[0]) == std::vector<int64_t>{0, 0, 3, 0, 0, 0, 0, 0, 5});
  CHECK(values_of<int64_t>(outputs[1]) == std::vector<int64_t>{0, 0, 3, 0, 0, 0});
}

TEST_CASE("onnx quantization: numbers become bytes and back") {
  OnnxCase model(19);
  model.input("x", {"6"});
  add_scalar(model, "scale", 2.0f);
  add_byte(model, "zero", 128);
  model.node("QuantizeLinear", {"x", "scale", "zero"}, {"q"});
  model.node("DequantizeLinear", {"q", "scale", "zero"}, {"y"});
  for (const char* output : {"q", "y"}) model.output(output);
  const auto outputs = model.run({floats("x", {6}, {0, 2, 3, 1000, -254, -1000})});
  CHECK(values_of<int32_t>(outputs[0]) == std::vector<int32_t>{128, 129, 130, 255, 1, 0});
  CHECK(values_of<float>(outputs[1]) == std::vector<float>{0, 2, 4, 254, -254, -256});
}

TEST_CASE("onnx quantization: a scale for each place of an axis, and for each block along it") {
  OnnxCase model(21);
  model.input("x", {"2", "4"});
  add_initializer<float>(model.graph(), "rows", onnx_float, {2}, {1, 2});
  add_initializer<float>(model.graph(), "blocks", onnx_float, {2, 2}, {1, 2, 4, 8});
  add_initializer<int8_t>(model.graph(), "zeros", onnx::TensorProto::INT8, {2, 2}, {0, 1, 0, 1});
  set_integer(model.node("QuantizeLinear", {"x", "rows"}, {"a"}), "axis", 0);
  onnx::NodeProto& blocked = model.node("QuantizeLinear", {"x", "blocks", "zeros"}, {"b"});
  set_integer(blocked, "axis", 1);
  set_integer(blocked, "block_size", 2);
  for (const char* output : {"a", "b"}) model.output(output);
  const auto outputs = model.run({floats("x", {2, 4}, {0.5f, 1.5f, 4, -6, 8, 16, 24, -1032})});
  CHECK(values_of<int32_t>(outputs[0]) == std::vector<int32_t>{0, 2, 4, 0, 4, 8, 12, 0});  // halves go to even numbers
  CHECK(values_of<int32_t>(outputs[1]) == std::vector<int32_t>{0, 2, 3, -2, 2, 4, 4, -128});
}

TEST_CASE("onnx quantization: a scale and a zero point from the data") {
  OnnxCase model(11);
  model.input("x", {"6"});
  model.node("DynamicQuantizeLinear", {"x"}, {"y", "scale", "zero"});
  for (const char* output : {"y", "scale", "zero"}) model.output(output);
  const auto outputs = model.run({floats("x", {6}, {0, 2, -3, -2.5f, 1.34f, 0.5f})});
  CHECK(values_of<int32_t>(outputs[0]) == std::vector<int32_t>{153, 255, 0, 26, 221, 179});
  check_close(values_of<float>(outputs[1]), {0.0196078438f}, 1e-7);
  CHECK(values_of<int32_t>(outputs[2]) == std::vector<int32_t>{153});
  const auto below = model.run({floats("x", {6}, {-1, -2.1f, -1.3f, -2.5f, -3.34f, -4})});
  CHECK(values_of<int32_t>(below[0]) == std::vector<int32_t>{191, 121, 172, 96, 42, 0});
  check_close(values_of<float>(below[1]), {0.0156862754f}, 1e-7);
  CHECK(values_of<int32_t>(below[2]) == std::vector<int32_t>{255});
}

TEST_CASE("onnx quantization: products of bytes are sums of whole numbers") {
  OnnxCase model(10);
  model.input("a", {"4", "3"}, onnx_byte);
  model.input("b", {"3", "2"}, onnx_byte);
  add_byte(model, "a_zero", 12);
  add_byte(model, "b_zero", 0);
  model.node("MatMulInteger", {"a", "b", "a_zero", "b_zero"}, {"y"});
  model.output("y");
  const auto outputs = model.run({ints("a", {4, 3}, {11, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0}), ints("b", {3, 2}, {1, 4, 2, 5, 3, 6})});
  CHECK(values_of<int32_t>(outputs[0]) == std::vector<int32_t>{-38, -83, -44, -98, -50, -113, -56, -128});

  OnnxCase scaled(21);
  scaled.input("a", {"2", "4"}, onnx_byte);
  scaled.input("b", {"4", "3"}, onnx_byte);
  add_scalar(scaled, "a_scale", 0.0066f);
  add_byte(scaled, "a_zero", 113);
  add_scalar(scaled, "b_scale", 0.00705f);
  add_byte(scaled, "b_zero", 114);
  add_scalar(scaled, "y_scale", 0.0107f);
  add_byte(scaled, "y_zero", 118);
  scaled.node("QLinearMatMul", {"a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero"}, {"y"});
  scaled.output("y");
  const auto rounded = scaled.run({ints("a", {2, 4}, {208, 236, 0, 238, 3, 214, 255, 29}),
                                   ints("b", {4, 3}, {152, 51, 244, 60, 26, 255, 0, 127, 246, 127, 254, 247})});
  CHECK(values_of<int32_t>(rounded[0]) == std::vector<int32_t>{168, 115, 255, 1, 66, 151});
}

TEST_CASE("onnx quantization: convolutions of bytes pad with the zero point") {
  OnnxCase model(10);
  model.input("x", {"1", "1", "3", "3"}, onnx_byte);
  add_initializer<uint8_t>(model.graph(), "w", onnx_byte, {2, 1, 2, 2}, std::vector<uint8_t>(8, 1));
  add_byte(model, "x_zero", 1);
  add_initializer<uint8_t>(model.graph(), "w_zeros", onnx_byte, {2}, {0, 1});
  onnx::NodeProto& conv = model.node("ConvInteger", {"x", "w", "x_zero", "w_zeros"}, {"y"});
  for (int i = 0, first = 1; i < 4; ++i, first = 0)
    (first ? attribute(conv, "pads", onnx::AttributeProto::INTS) : *conv.mutable_attribute(0)).add_ints(1);
  model.output("y");
  const auto outputs = model.run({ints("x", {1, 1, 3, 3}, {2, 3, 4, 5, 6, 7, 8, 9, 10})});
  std::vector<int32_t> wanted = {1, 3, 5, 3, 5, 12, 16, 9, 11, 24, 28, 15, 7, 15, 17, 9};
  wanted.resize(32, 0);
  CHECK(values_of<int32_t>(outputs[0]) == wanted);
}

TEST_CASE("onnx image: samples outside of an image are zeros, its border, or mirrored") {
  const std::pair<const char*, std::vector<float>> cases[] = {
      {"zeros", {0, 0, 1.7f, 0, 0, 1.7f, 0, 0}},
      {"border", {0, 0, 1.7f, 5, 5, 1.7f, 5, 5}},
      {"reflection", {2.5f, 0, 1.7f, 2.5f, 2.5f, 1.7f, 5, 2.5f}}};
  for (const auto& [padding, wanted] : cases) {
    CAPTURE(padding);
    OnnxCase model(16);
    model.input("x", {"1", "1", "3", "2"});
    model.input("grid", {"1", "2", "4", "2"});
    attribute(model.node("GridSample", {"x", "grid"}, {"y"}), "padding_mode", onnx::AttributeProto::STRING).set_s(padding);
    model.output("y");
    const auto outputs = model.run({floats("x", {1, 1, 3, 2}, {0, 1, 2, 3, 4, 5}),
                                    floats("grid", {1, 2, 4, 2}, {-10, -10, -5, -5, -0.2f, -0.2f, 10, 10, 10, 10, -0.2f,
                                                                  -0.2f, 5, 5, 10, 10})});
    check_close(values_of<float>(outputs[0]), wanted, 1e-6);
  }
}

// Resize of x [1, 2, height, width] to `scale` times the width, or to the height and width of a second input.
std::vector<float> resized(const std::string& mode, const std::string& transform, const std::string& nearest, float scale, bool symbolic,
                           int64_t height, int64_t width, int64_t new_height, int64_t new_width) {
  OnnxCase model(13);
  const auto extent = [&](const char* name, int64_t value) { return symbolic ? std::string(name) : std::to_string(value); };
  model.input("x", {"1", "2", extent("h", height), extent("w", width)});
  model.input("like", {"1", "2", extent("i", new_height), extent("j", new_width)});
  add_initializer<float>(model.graph(), "scales", onnx_float, {4}, {1, 1, 1, scale});
  model.node("Shape", {"like"}, {"sizes"});
  onnx::NodeProto& node = scale > 0 ? model.node("Resize", {"x", "", "scales"}, {"y"}) : model.node("Resize", {"x", "", "", "sizes"}, {"y"});
  attribute(node, "mode", onnx::AttributeProto::STRING).set_s(mode);
  attribute(node, "coordinate_transformation_mode", onnx::AttributeProto::STRING).set_s(transform);
  attribute(node, "nearest_mode", onnx::AttributeProto::STRING).set_s(nearest);
  model.output("y");
  std::vector<float> values(static_cast<size_t>(2 * height * width));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * i) % 23);
  const auto outputs = model.run({floats("x", {1, 2, height, width}, values),
                                  floats("like", {1, 2, new_height, new_width}, std::vector<float>(static_cast<size_t>(2 * new_height * new_width)))});
  const std::vector<int64_t> shape = {1, 2, scale > 0 ? height : new_height, scale > 0 ? static_cast<int64_t>(scale * static_cast<float>(width)) : new_width};
  CHECK(outputs[0].shape == shape);
  return values_of<float>(outputs[0]);
}

TEST_CASE("onnx image: Resize at sizes known when it runs gives what it gives at sizes known before") {
  std::vector<std::array<std::string, 3>> kinds;
  for (const char* transform : {"half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"}) kinds.push_back({"linear", transform, "floor"});
  for (const char* transform : {"half_pixel", "asymmetric", "align_corners", "tf_half_pixel_for_nn"})
    for (const char* nearest : {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}) kinds.push_back({"nearest", transform, nearest});
  for (const auto& [mode, transform, nearest] : kinds) {
    CAPTURE(mode);
    CAPTURE(transform);
    CAPTURE(nearest);
    for (const float scale : {2.0f, 1.5f, 0.5f, 3.0f})
      check_close(resized(mode, transform, nearest, scale, true, 2, 5, 1, 1), resized(mode, transform, nearest, scale, false, 2, 5, 1, 1), 1e-6);
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{9, 4}, {1, 10}, {6, 13}})
      check_close(resized(mode, transform, nearest, 0, true, 5, 7, height, width), resized(mode, transform, nearest, 0, false, 5, 7, height, width), 1e-6);
  }
}

TEST_CASE("onnx shape: a slice by a symbolic size counts from the back where it is negative, and never leaves its axis") {
  OnnxCase model(13);
  model.input("x", {"n"});
  model.input("y", {"m"});
  add_initializer<float>(model.graph(), "table", onnx_float, {4}, {1, 2, 3, 4});
  add_initializer<int64_t>(model.graph(), "zero", onnx_long, {1}, {0});
  add_initializer<int64_t>(model.graph(), "all", onnx_long, {1}, {INT64_MAX});
  model.node("Shape", {"x"}, {"size"});
  model.node("Neg", {"size"}, {"minus_size"});
  model.node("Concat", {"x", "y"}, {"both"});
  set_integer(*model.graph().mutable_node(2), "axis", 0);
  model.node("Slice", {"both", "minus_size", "all"}, {"last"});
  model.node("Slice", {"table", "zero", "size"}, {"first"});
  model.node("Add", {"x", "first"}, {"sum"});
  model.node("Mul", {"x", "size_as_float"}, {"scaled"});
  model.graph().mutable_node(6)->set_input(1, "size_as_float");
  onnx::NodeProto& cast = model.node("Cast", {"size"}, {"size_as_float"});
  set_integer(cast, "to", onnx_float);
  model.graph().mutable_node()->SwapElements(6, 7);
  for (const char* output : {"last", "sum", "scaled"}) model.output(output);
  const auto outputs = model.run({floats("x", {2}, {10, 20}), floats("y", {3}, {1, 2, 3})});
  CHECK(values_of<float>(outputs[0]) == std::vector<float>{2, 3});
  CHECK(values_of<float>(outputs[1]) == std::vector<float>{11, 22});
  CHECK(values_of<float>(outputs[2]) == std::vector<float>{20, 40});
  CHECK_THROWS_WITH(model.run({floats("x", {5}, {1, 2, 3, 4, 5}), floats("y", {1}, {1})}),
                    doctest::Contains("takes elements 0 to n of an axis of 4, and 4 - n is -1"));
}

TEST_CASE("onnx shape: parts of a symbolic axis that are as long meet, whatever takes them") {
  // Differences of second order: x[2:] - x[1:-1] and x[1:-1] - x[:-2].
  OnnxCase model(13);
  model.input("x", {"time"});
  for (const auto& [name, at] : {std::pair<const char*, int64_t>{"0", 0}, {"1", 1}, {"2", 2}, {"-1", -1}, {"-2", -2}, {"end", INT64_MAX}})
    add_initializer<int64_t>(model.graph(), name, onnx_long, {1}, {at});
  model.node("Slice", {"x", "2", "end"}, {"later"});
  model.node("Slice", {"x", "1", "-1"}, {"now"});
  model.node("Slice", {"x", "0", "-2"}, {"before"});
  model.node("Sub", {"later", "now"}, {"rise"});
  model.node("Sub", {"now", "before"}, {"past_rise"});
  model.node("Sub", {"rise", "past_rise"}, {"bend"});
  // Both halves, joined again; and the axis in order.
  model.node("Shape", {"x"}, {"size"});
  model.node("Div", {"size", "2"}, {"half"});
  model.node("Slice", {"x", "0", "half"}, {"front"});
  model.node("Slice", {"x", "half", "end"}, {"back"});
  model.node("Concat", {"front", "back"}, {"joined"});
  set_integer(*model.graph().mutable_node(10), "axis", 0);
  model.node("Add", {"x", "joined"}, {"twice"});
  model.node("TopK", {"x", "size"}, {"sorted", "places"});
  model.output("bend");
  model.output("twice");
  model.output("sorted");
  for (const auto& [x, bend] : {std::pair<std::vector<float>, std::vector<float>>{{1, 2, 4, 8, 16}, {1, 2, 4}}, {{3, 5}, {}}, {{7}, {}}}) {
    const auto outputs = model.run({floats("x", {static_cast<int64_t>(x.size())}, x)});
    std::vector<float> twice(x), sorted(x);
    for (float& element : twice) element *= 2;
    std::sort(sorted.rbegin(), sorted.rend());
    CHECK(values_of<float>(outputs[0]) == bend);
    CHECK(values_of<float>(outputs[1]) == twice);
    CHECK(values_of<float>(outputs[2]) == sorted);
  }
}

TEST_CASE("onnx shape: Pad refuses what is no mode of it, and repeats an edge however often") {
  const auto padded = [](const char* mode) {
    OnnxCase model(13);
    model.input("x", {"3"});
    add_initializer<int64_t>(model.graph(), "pads", onnx_long, {2}, {0, 5000});
    attribute(model.node("Pad", {"x", "pads"}, {"y"}), "mode", onnx::AttributeProto::STRING).set_s(mode);
    model.output("y");
    return values_of<float>(model.run({floats("x", {3}, {1, 2, 3})})[0]);
  };
  CHECK_THROWS_WITH(padded("coJstant"), doctest::Contains("unknown mode 'coJstant'\n  hint: known are constant, reflect, edge, wrap"));
  CHECK_THROWS_WITH(padded("wrap"), doctest::Contains("pads an axis of 3 elements by more than 64 times as many"));
  std::vector<float> wanted(5003, 3);
  wanted[0] = 1, wanted[1] = 2;
  CHECK(padded("edge") == wanted);
}

TEST_CASE("onnx shape: what is known when compiling keeps ONNX's rules") {
  OnnxCase squeezed(13);
  squeezed.input("x", {"2"});
  add_initializer<int64_t>(squeezed.graph(), "two", onnx_long, {2}, {3, 4});
  add_initializer<int64_t>(squeezed.graph(), "axis", onnx_long, {1}, {0});
  squeezed.node("Squeeze", {"two", "axis"}, {"y"});
  squeezed.output("y");
  CHECK_THROWS_WITH(squeezed.run({floats("x", {2}, {1, 2})}), doctest::Contains("the_Squeeze"));
  // No numbers where one is needed.
  for (const char* op : {"Range", "TopK"}) {
    OnnxCase none(13);
    none.input("x", {"2"});
    add_initializer<int64_t>(none.graph(), "none", onnx_long, {0}, {});
    none.node(op, op == std::string("TopK") ? std::vector<std::string>{"x", "none"} : std::vector<std::string>{"none", "none", "none"}, {"y"});
    none.output("y");
    CHECK_THROWS_WITH(none.run({floats("x", {2}, {1, 2})}), doctest::Contains("number"));
  }
  // A Gather without indices, of a value that is known.
  OnnxCase alone(13);
  alone.input("x", {"2"});
  add_initializer<int64_t>(alone.graph(), "two", onnx_long, {2}, {3, 4});
  alone.node("Gather", {"two"}, {"y"});
  alone.output("y");
  CHECK_THROWS_WITH(alone.run({floats("x", {2}, {1, 2})}), doctest::Contains("the_Gather"));
  // More than memory holds is not computed while importing, only to see whether a shape comes out.
  OnnxCase huge(13);
  huge.input("x", {"2"});
  add_initializer<int64_t>(huge.graph(), "shape", onnx_long, {2}, {int64_t{1} << 20, int64_t{1} << 20});
  add_initializer<int64_t>(huge.graph(), "one", onnx_long, {1}, {1});
  huge.node("Expand", {"one", "shape"}, {"many"});
  huge.node("NonZero", {"many"}, {"places"});
  huge.output("places");
  CHECK_THROWS_WITH(huge.run({floats("x", {2}, {1, 2})}), doctest::Contains("the_NonZero"));
}

TEST_CASE("onnx shape: padding from an axis' own elements, of an extent known before or when it runs") {
  for (const auto& [mode, wanted] : {std::pair<const char*, std::vector<float>>{"reflect", {3, 2, 1, 2, 3, 4, 3}},
                                     {"edge", {1, 1, 1, 2, 3, 4, 4}},
                                     {"wrap", {3, 4, 1, 2, 3, 4, 1}}})
    for (const bool symbolic : {false, true}) {
      CAPTURE(mode);
      OnnxCase model(19);
      model.input("x", {"batch", symbolic ? "w" : "4"});
      add_initializer<int64_t>(model.graph(), "pads", onnx_long, {4}, {0, 2, 0, 1});
      attribute(model.node("Pad", {"x", "pads"}, {"y"}), "mode", onnx::AttributeProto::STRING).set_s(mode);
      model.output("y");
      const auto outputs = model.run({floats("x", {1, 4}, {1, 2, 3, 4})});
      CHECK(values_of<float>(outputs[0]) == wanted);
    }
}

TEST_CASE("onnx image: the size of a scaled axis is a product of floats") {
  const std::vector<float> y = resized("nearest", "asymmetric", "floor", 1.8f, false, 1, 5, 1, 1);
  CHECK(y == std::vector<float>{0, 0, 1, 1, 4, 4, 9, 9, 16, 2, 2, 13, 13, 3, 3, 18, 18, 12});
}

TEST_CASE("onnx: determinants of stacked matrices, of those with a zero in the corner too") {
  OnnxCase model(11);
  model.input("x", {"4", "2", "2"});
  model.node("Det", {"x"}, {"y"});
  model.output("y");
  const auto outputs = model.run({floats("x", {4, 2, 2}, {1, 2, 3, 4, 1, 2, 2, 1, 1, 3, 3, 1, 0, 2, 3, 5})});
  check_close(values_of<float>(outputs[0]), {-2, -3, -8, -6}, 1e-6);
}

}  // namespace moru::test
