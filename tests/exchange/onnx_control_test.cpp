// Control flow, sequences and gradients in models that are written down here.
#include <doctest/doctest.h>

#include "tests/exchange/onnx_case.h"

namespace moru::test {
namespace {

constexpr int32_t onnx_bool = onnx::TensorProto::BOOL;

// y = x + 1 in one branch, y = x * 2 in the other, c: the condition.
OnnxCase& branches(OnnxCase& model) {
  model.input("x", {"3"});
  model.output("y");
  onnx::NodeProto& choice = model.node("If", {"c"}, {"y"});
  onnx::GraphProto& then_graph = set_graph(choice, "then_branch");
  add_initializer<float>(then_graph, "one", onnx_float, {}, {1.0f});
  add_node(then_graph, "Add", {"x", "one"}, {"sum"});
  then_graph.add_output()->set_name("sum");
  onnx::GraphProto& else_graph = set_graph(choice, "else_branch");
  add_node(else_graph, "Add", {"x", "x"}, {"double"});
  else_graph.add_output()->set_name("double");
  return model;
}

// carry = carry * x + iteration, `stacked` its values: as often as `count` says.
void add_loop(OnnxCase& model, const std::string& count) {
  onnx::NodeProto& loop = model.node("Loop", {count, "", "start"}, {"last", "stacked"});
  onnx::GraphProto& body = set_graph(loop, "body");
  add_value(*body.add_input(), "i", onnx_long, {});
  add_value(*body.add_input(), "go", onnx_bool, {});
  add_value(*body.add_input(), "carry", onnx_float, {"2"});
  add_node(body, "Identity", {"go"}, {"go_on"});
  set_integer(add_node(body, "Cast", {"i"}, {"number"}), "to", onnx_float);
  add_node(body, "Mul", {"carry", "x"}, {"grown"});
  add_node(body, "Add", {"grown", "number"}, {"next"});
  for (const char* output : {"go_on", "next", "next"}) body.add_output()->set_name(output);
  model.input("x", {"2"});
  model.input("start", {"2"});
  model.output("last");
  model.output("stacked");
}

std::vector<float> loop_values(int count) {
  std::vector<float> stacked;
  float a = 1.0f, b = 2.0f;
  for (int i = 0; i < count; ++i) {
    a = a * 2.0f + static_cast<float>(i);
    b = b * 0.5f + static_cast<float>(i);
    stacked.push_back(a);
    stacked.push_back(b);
  }
  return stacked;
}

}  // namespace

TEST_CASE("onnx control: If takes the branch of a known condition and chooses by one that is not") {
  for (uint8_t truth : {uint8_t{0}, uint8_t{1}}) {
    const std::vector<float> wanted = truth ? std::vector<float>{2, 3, 4} : std::vector<float>{2, 4, 6};
    OnnxCase constant;
    add_initializer<uint8_t>(branches(constant).graph(), "c", onnx_bool, {}, {truth});
    const SavedTensor x = floats("x", {3}, {1, 2, 3});
    CHECK(values_of<float>(constant.run({x})[0]) == wanted);
    OnnxCase given;
    branches(given).input("c", {"1"}, onnx_bool);
    CHECK(values_of<float>(given.run({x, tensor_of<uint8_t>("c", DType::boolean, {1}, {truth})})[0]) == wanted);
  }
}

TEST_CASE("onnx control: a Loop is rolled up, written out, and of any length that an input's extent says") {
  for (int64_t count : {0, 2, 9}) {
    CAPTURE(count);
    OnnxCase model;
    add_loop(model, "count");
    add_initializer<int64_t>(model.graph(), "count", onnx_long, {}, {count});
    const auto outputs = model.run({floats("x", {2}, {2, 0.5f}), floats("start", {2}, {1, 2})});
    const std::vector<float> wanted = loop_values(static_cast<int>(count));
    CHECK(outputs[1].shape == std::vector<int64_t>{count, 2});
    CHECK(values_of<float>(outputs[1]) == wanted);
    CHECK(values_of<float>(outputs[0]) ==
          (count ? std::vector<float>(wanted.end() - 2, wanted.end()) : std::vector<float>{1, 2}));
  }
  OnnxCase symbolic;
  symbolic.input("steps", {"time"});
  symbolic.node("Shape", {"steps"}, {"extents"});
  add_initializer<int64_t>(symbolic.graph(), "zero", onnx_long, {}, {0});
  symbolic.node("Gather", {"extents", "zero"}, {"count"});
  add_loop(symbolic, "count");
  symbolic.node("Neg", {"steps"}, {"read"});
  symbolic.output("read");
  const auto outputs =
      symbolic.run({floats("steps", {3}, {0, 0, 0}), floats("x", {2}, {2, 0.5f}), floats("start", {2}, {1, 2})});
  CHECK(values_of<float>(outputs[1]) == loop_values(3));
}

TEST_CASE("onnx control: a Loop goes on as long as data say, where they are known") {
  // n = 1; while n < limit: n = n * 2
  OnnxCase model;
  model.input("limit", {}, onnx_long);
  add_initializer<int64_t>(model.graph(), "one", onnx_long, {}, {1});
  add_initializer<uint8_t>(model.graph(), "yes", onnx_bool, {}, {1});
  onnx::NodeProto& loop = model.node("Loop", {"", "yes", "one"}, {"n"});
  onnx::GraphProto& body = set_graph(loop, "body");
  add_value(*body.add_input(), "i", onnx_long, {});
  add_value(*body.add_input(), "go", onnx_bool, {});
  add_value(*body.add_input(), "carry", onnx_long, {});
  add_node(body, "Add", {"carry", "carry"}, {"next"});
  add_node(body, "Less", {"next", "limit"}, {"go_on"});
  for (const char* output : {"go_on", "next"}) body.add_output()->set_name(output);
  model.output("n");
  CHECK(values_of<int64_t>(model.run({longs("limit", {}, {100})}, true)[0]) == std::vector<int64_t>{128});
  CHECK(
      model.error({longs("limit", {}, {100})}) ==
      "layer 'the_Loop' (Loop): needs to know when compiling whether it goes on\n"
      "  hint: moru run knows what follows from the inputs; for other commands the condition must not depend on them");
}

TEST_CASE("onnx control: a Scan of operator set 8 goes through each sample of its batch") {
  OnnxCase model(8);
  model.input("start", {"2", "1"});
  model.input("x", {"2", "3", "1"});
  onnx::NodeProto& scan = model.node("Scan", {"", "start", "x"}, {"last", "sums"});
  set_integer(scan, "num_scan_inputs", 1);
  attribute(scan, "directions", onnx::AttributeProto::INTS).add_ints(1);
  onnx::GraphProto& body = set_graph(scan, "body");
  add_value(*body.add_input(), "sum", onnx_float, {"1"});
  add_value(*body.add_input(), "next", onnx_float, {"1"});
  add_node(body, "Add", {"sum", "next"}, {"more"});
  add_node(body, "Identity", {"more"}, {"seen"});
  add_value(*body.add_output(), "more", onnx_float, {"1"});
  add_value(*body.add_output(), "seen", onnx_float, {"1"});
  model.output("last");
  model.output("sums");
  const auto outputs = model.run({floats("start", {2, 1}, {10, 20}), floats("x", {2, 3, 1}, {1, 2, 3, 4, 5, 6})});
  CHECK(outputs[0].shape == std::vector<int64_t>{2, 1});
  CHECK(values_of<float>(outputs[0]) == std::vector<float>{16, 35});
  CHECK(outputs[1].shape == std::vector<int64_t>{2, 3, 1});
  CHECK(values_of<float>(outputs[1]) == std::vector<float>{13, 15, 16, 26, 31, 35});
}

TEST_CASE("onnx control: a Scan is a scan, in both directions and over symbolic lengths") {
  OnnxCase model;
  model.input("start", {"2"});
  model.input("x", {"time", "2"});
  onnx::NodeProto& scan = model.node("Scan", {"start", "x"}, {"last", "sums"});
  set_integer(scan, "num_scan_inputs", 1);
  attribute(scan, "scan_input_directions", onnx::AttributeProto::INTS).add_ints(1);
  attribute(scan, "scan_output_axes", onnx::AttributeProto::INTS).add_ints(1);
  onnx::GraphProto& body = set_graph(scan, "body");
  add_value(*body.add_input(), "sum", onnx_float, {"2"});
  add_value(*body.add_input(), "row", onnx_float, {"2"});
  add_node(body, "Add", {"sum", "row"}, {"next"});
  for (const char* output : {"next", "next"}) body.add_output()->set_name(output);
  model.output("last");
  model.output("sums");
  const auto outputs = model.run({floats("start", {2}, {0, 10}), floats("x", {3, 2}, {1, 2, 3, 4, 5, 6})});
  CHECK(values_of<float>(outputs[0]) == std::vector<float>{9, 22});
  CHECK(outputs[1].shape == std::vector<int64_t>{2, 3});
  CHECK(values_of<float>(outputs[1]) == std::vector<float>{5, 8, 9, 16, 20, 22});
}

TEST_CASE("onnx sequences: elements are inserted, erased, mapped and joined") {
  OnnxCase model;
  model.input("x", {"2", "3"});
  add_initializer<int64_t>(model.graph(), "first", onnx_long, {}, {0});
  set_integer(model.node("SplitToSequence", {"x"}, {"rows"}), "keepdims", 0);
  model.node("SequenceAt", {"rows", "first"}, {"top"});
  model.node("SequenceInsert", {"rows", "top"}, {"more"});
  model.node("SequenceErase", {"more", "first"}, {"fewer"});
  onnx::NodeProto& map = model.node("SequenceMap", {"fewer"}, {"squares"});
  onnx::GraphProto& body = set_graph(map, "body");
  add_value(*body.add_input(), "element", onnx_float, {"3"});
  add_node(body, "Mul", {"element", "element"}, {"square"});
  body.add_output()->set_name("square");
  model.node("SequenceLength", {"squares"}, {"length"});
  set_integer(model.node("ConcatFromSequence", {"squares"}, {"joined"}), "axis", 0);
  model.output("joined");
  model.output("length");
  const auto outputs = model.run({floats("x", {2, 3}, {1, 2, 3, 4, 5, 6})});
  CHECK(values_of<float>(outputs[0]) == std::vector<float>{16, 25, 36, 1, 4, 9});
  CHECK(values_of<int64_t>(outputs[1]) == std::vector<int64_t>{2});
}

TEST_CASE("onnx sequences: a tensor's operator refuses one, and so does an output") {
  OnnxCase model;
  model.input("x", {"2"});
  model.node("SequenceConstruct", {"x", "x"}, {"s"});
  model.node("Neg", {"s"}, {"y"});
  model.output("y");
  CHECK(model.error() == "layer 'the_Neg' (Neg): needs tensors but got a sequence of 2");
  OnnxCase bare;
  bare.input("x", {"2"});
  bare.node("SequenceConstruct", {"x"}, {"s"});
  bare.output("s");
  CHECK(bare.error() == "the output 's' is a sequence of 1, but only tensors can be outputs");
}

TEST_CASE("onnx sequences: an optional value is there or not") {
  OnnxCase model;
  model.input("x", {"2"});
  model.node("Optional", {"x"}, {"maybe"});
  model.node("Optional", {}, {"nothing"});
  model.node("OptionalHasElement", {"maybe"}, {"yes"});
  model.node("OptionalHasElement", {"nothing"}, {"no"});
  model.node("OptionalGetElement", {"maybe"}, {"y"});
  for (const char* output : {"yes", "no", "y"}) model.output(output);
  const auto outputs = model.run({floats("x", {2}, {3, 4})});
  CHECK(values_of<uint8_t>(outputs[0]) == std::vector<uint8_t>{1});
  CHECK(values_of<uint8_t>(outputs[1]) == std::vector<uint8_t>{0});
  CHECK(values_of<float>(outputs[2]) == std::vector<float>{3, 4});
}

TEST_CASE("onnx gradient: of a layer after its input and its weights") {
  OnnxCase model;
  auto* training = model.proto.add_opset_import();
  training->set_domain("ai.onnx.preview.training");
  training->set_version(1);
  model.input("x", {"1", "2"});
  add_initializer<float>(model.graph(), "w", onnx_float, {2, 2}, {1, -2, 3, 4});
  model.node("MatMul", {"x", "w"}, {"z"});
  model.node("Relu", {"z"}, {"y"});
  onnx::NodeProto& gradient = model.node("Gradient", {"x", "w"}, {"dx", "dw"}, "ai.onnx.preview.training");
  set_strings(gradient, "xs", {"x", "w"});
  attribute(gradient, "y", onnx::AttributeProto::STRING).set_s("y");
  for (const char* output : {"y", "dx", "dw"}) model.output(output);
  const auto outputs = model.run({floats("x", {1, 2}, {2, 0.5f})});
  CHECK(values_of<float>(outputs[0]) == std::vector<float>{3.5f, 0});
  CHECK(values_of<float>(outputs[1]) == std::vector<float>{1, 3});
  CHECK(values_of<float>(outputs[2]) == std::vector<float>{2, 0, 0.5f, 0});
}

TEST_CASE("onnx: every operator that is missing is named at once, with its nodes, in bodies too") {
  OnnxCase model;
  model.input("x", {"2"});
  model.node("Frobnicate", {"x"}, {"a"});
  model.node("Other", {"a"}, {"b"}, "com.example");
  onnx::NodeProto& choice = model.node("If", {"c"}, {"y"});
  add_node(set_graph(choice, "then_branch"), "Frobnicate", {"x"}, {"z"}).set_name("inner");
  set_graph(choice, "else_branch");
  model.output("y");
  CHECK(model.error() == "'" + model.path() +
                             "' uses operators that are not supported:\n"
                             "  Frobnicate ('the_Frobnicate', 'inner')\n"
                             "  com.example::Other ('the_Other')\n"
                             "  hint: export the model with other operators, or write these out in simpler ones");
}

}  // namespace moru::test
