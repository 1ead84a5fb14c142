// Loops as exporters write them: PyTorch's, which append to a sequence, and TensorFlow's, which count on their own.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>

#include "compiler/exchange/onnx/onnx_export.h"
#include "compiler/ops/op.h"
#include "tests/exchange/onnx_case.h"

namespace moru::test {
namespace {

constexpr int32_t onnx_bool = onnx::TensorProto::BOOL, onnx_int = onnx::TensorProto::INT32;
constexpr float weights[2][2] = {{0.5f, -1.0f}, {0.25f, 0.75f}};

struct Steps {
  std::vector<float> all, last;  // [batch, time, 2] and [batch, 2]
};

// h = tanh(x_t w + h), from h = 0.
Steps recurrent(const std::vector<float>& x, size_t batch, size_t time) {
  Steps steps{std::vector<float>(batch * time * 2), std::vector<float>(batch * 2)};
  for (size_t b = 0; b < batch; ++b) {
    float h[2] = {0, 0};
    for (size_t t = 0; t < time; ++t) {
      const float* in = &x[(b * time + t) * 2];
      const float next[2] = {std::tanh(in[0] * weights[0][0] + in[1] * weights[1][0] + h[0]),
                             std::tanh(in[0] * weights[0][1] + in[1] * weights[1][1] + h[1])};
      for (size_t k = 0; k < 2; ++k) steps.all[(b * time + t) * 2 + k] = steps.last[b * 2 + k] = h[k] = next[k];
    }
  }
  return steps;
}

std::vector<float> inputs_of(size_t count) {
  std::vector<float> x(count);
  for (size_t i = 0; i < count; ++i) x[i] = static_cast<float>(i % 7) * 0.3f - 0.8f;
  return x;
}

void add_weights(OnnxCase& model) {
  add_initializer<float>(model.graph(), "w", onnx_float, {2, 2},
                         {weights[0][0], weights[0][1], weights[1][0], weights[1][1]});
}

// name: how long axis `axis` of x is.
void add_extent(OnnxCase& model, const std::string& name, int64_t axis, int32_t type) {
  model.node("Shape", {"x"}, {name + "_shape"});
  add_initializer<int64_t>(model.graph(), name + "_axis", onnx_long, {}, {axis});
  model.node("Gather", {name + "_shape", name + "_axis"}, {name + "_extent"});
  set_integer(model.node("Cast", {name + "_extent"}, {name}), "to", type);
}

// A zero state [batch, 2].
void add_start(OnnxCase& model, int64_t batch_axis) {
  add_extent(model, "batch", batch_axis, onnx_long);
  add_initializer<int64_t>(model.graph(), "one_axis", onnx_long, {1}, {0});
  add_initializer<int64_t>(model.graph(), "width", onnx_long, {1}, {2});
  model.node("Unsqueeze", {"batch", "one_axis"}, {"batch_1"});
  set_integer(model.node("Concat", {"batch_1", "width"}, {"start_shape"}), "axis", 0);
  model.node("ConstantOfShape", {"start_shape"}, {"start"});
}

void add_step(onnx::GraphProto& body) {
  add_node(body, "MatMul", {"x_t", "w"}, {"product"});
  add_node(body, "Add", {"product", "h"}, {"sum"});
  add_node(body, "Tanh", {"sum"}, {"next"});
}

// for t in range(x.size(1)): h = step(x[:, t], h); outs.append(h)
void write_appending(OnnxCase& model, const std::string& time) {
  model.input("x", {"batch", time, "2"});
  add_weights(model);
  add_start(model, 0);
  add_extent(model, "time", 1, onnx_long);
  add_initializer<uint8_t>(model.graph(), "yes", onnx_bool, {}, {1});
  model.node("SequenceEmpty", {}, {"empty"});
  onnx::GraphProto& body = set_graph(model.node("Loop", {"time", "yes", "start", "empty"}, {"last", "outs"}), "body");
  add_value(*body.add_input(), "t", onnx_long, {});
  add_value(*body.add_input(), "go", onnx_bool, {});
  add_value(*body.add_input(), "h", onnx_float, {"batch", "2"});
  body.add_input()->set_name("so_far");
  set_integer(add_node(body, "Gather", {"x", "t"}, {"x_t"}), "axis", 1);
  add_step(body);
  add_node(body, "SequenceInsert", {"so_far", "next"}, {"longer"});
  set_integer(add_node(body, "Cast", {"go"}, {"go_on"}), "to", onnx_bool);
  for (const char* output : {"go_on", "next", "longer"}) body.add_output()->set_name(output);
  onnx::NodeProto& joined = model.node("ConcatFromSequence", {"outs"}, {"stacked"});
  set_integer(joined, "axis", 1);
  set_integer(joined, "new_axis", 1);
  set_integer(model.node("ConcatFromSequence", {"outs"}, {"rows"}), "axis", -1);
  model.node("SequenceLength", {"outs"}, {"length"});
  for (const char* output : {"stacked", "last", "rows", "length"}) model.output(output);
}

// while i < limit and time < T: h = step(x[time], h); TensorList ops become a Gather and what the loop stacks.
void write_counting(OnnxCase& model, const std::string& time) {
  model.input("x", {time, "batch", "2"});
  add_weights(model);
  add_start(model, 1);
  add_extent(model, "T", 0, onnx_int);
  add_initializer<int32_t>(model.graph(), "zero", onnx_int, {}, {0});
  add_initializer<int32_t>(model.graph(), "one", onnx_int, {}, {1});
  add_initializer<int64_t>(model.graph(), "endless", onnx_long, {}, {INT64_MAX});
  model.node("Less", {"zero", "T"}, {"a"});
  model.node("Less", {"zero", "T"}, {"b"});
  model.node("And", {"a", "b"}, {"begin"});
  onnx::GraphProto& body =
      set_graph(model.node("Loop", {"endless", "begin", "zero", "zero", "start"}, {"i_end", "time_end", "last", "steps"}),
                "body");
  add_value(*body.add_input(), "turn", onnx_long, {});
  add_value(*body.add_input(), "go", onnx_bool, {});
  add_value(*body.add_input(), "i", onnx_int, {});
  add_value(*body.add_input(), "time", onnx_int, {});
  add_value(*body.add_input(), "h", onnx_float, {"batch", "2"});
  add_initializer<int64_t>(body, "axis", onnx_long, {1}, {0});
  add_node(body, "Unsqueeze", {"time", "axis"}, {"time_1"});
  add_node(body, "Gather", {"x", "time_1"}, {"x_1"});
  add_node(body, "Squeeze", {"x_1", "axis"}, {"x_t"});
  add_step(body);
  add_node(body, "Add", {"i", "one"}, {"i_next"});
  add_node(body, "Add", {"time", "one"}, {"time_next"});
  add_node(body, "Less", {"i_next", "T"}, {"in_limit"});
  add_node(body, "Greater", {"T", "time_next"}, {"in_time"});
  add_node(body, "And", {"in_limit", "in_time"}, {"go_on"});
  for (const char* output : {"go_on", "i_next", "time_next", "next", "next"}) body.add_output()->set_name(output);
  attribute(model.node("Transpose", {"steps"}, {"y"}), "perm", onnx::AttributeProto::INTS);
  for (int64_t axis : {1, 0, 2})
    model.graph().mutable_node(model.graph().node_size() - 1)->mutable_attribute(0)->add_ints(axis);
  for (const char* output : {"y", "last", "time_end"}) model.output(output);
}

bool has_scan(const Model& model) {
  for (const Layer& layer : model.layers)
    if (layer.body)
      for (const Node& node : layer.body->nodes)
        if (node.op->name == "scan") return true;
  return false;
}

std::vector<float> time_first(const std::vector<float>& x, size_t batch, size_t time) {
  std::vector<float> moved(x.size());
  for (size_t b = 0; b < batch; ++b)
    for (size_t t = 0; t < time; ++t)
      for (size_t k = 0; k < 2; ++k) moved[(t * batch + b) * 2 + k] = x[(b * time + t) * 2 + k];
  return moved;
}

}  // namespace

TEST_CASE("onnx loops: PyTorch's, which append to a list, are one scan over a time of any length") {
  for (size_t time : {2, 3, 9}) {
    for (const bool open : {false, true}) {
      CAPTURE(time);
      CAPTURE(open);
      OnnxCase model;
      write_appending(model, open ? "time" : std::to_string(time));
      const std::vector<float> x = inputs_of(3 * time * 2);
      const auto outputs = model.run({floats("x", {3, static_cast<int64_t>(time), 2}, x)});
      const Steps steps = recurrent(x, 3, time);
      CHECK(outputs[0].shape == std::vector<int64_t>{3, static_cast<int64_t>(time), 2});
      check_close(values_of<float>(outputs[0]), steps.all);
      check_close(values_of<float>(outputs[1]), steps.last);
      CHECK(outputs[2].shape == std::vector<int64_t>{3, static_cast<int64_t>(time) * 2});
      check_close(values_of<float>(outputs[2]), steps.all);
      CHECK(values_of<int64_t>(outputs[3]) == std::vector<int64_t>{static_cast<int64_t>(time)});
      CHECK(has_scan(import_onnx(model.path())) == (open || time > 3));
    }
  }
}

TEST_CASE("onnx loops: TensorFlow's, which count turns and end by a condition, are one scan too") {
  for (size_t time : {1, 3, 9}) {
    for (const bool open : {false, true}) {
      CAPTURE(time);
      CAPTURE(open);
      OnnxCase model;
      write_counting(model, open ? "time" : std::to_string(time));
      const std::vector<float> x = inputs_of(3 * time * 2);
      const auto outputs = model.run({floats("x", {static_cast<int64_t>(time), 3, 2}, time_first(x, 3, time))});
      const Steps steps = recurrent(x, 3, time);
      check_close(values_of<float>(outputs[0]), steps.all);
      check_close(values_of<float>(outputs[1]), steps.last);
      CHECK(values_of<int32_t>(outputs[2]) == std::vector<int32_t>{static_cast<int32_t>(time)});
      CHECK(has_scan(import_onnx(model.path())) == (open || time > 3));
    }
  }
}

TEST_CASE("onnx loops: what was imported is exported, and means the same") {
  OnnxCase model;
  write_appending(model, "time");
  model.write();
  const std::vector<float> x = inputs_of(2 * 5 * 2);
  const std::vector<std::byte> bytes = export_onnx(import_onnx(model.path()));
  const auto outputs = OnnxCase::answers(import_onnx(bytes, "again.onnx"), {floats("x", {2, 5, 2}, x)});
  check_close(values_of<float>(outputs[0]), recurrent(x, 2, 5).all);
}

TEST_CASE("onnx loops: a loop that reads what it appended is written out") {
  // outs = [x]; 5 times: outs.append(outs[-1] + outs[0])
  OnnxCase model;
  model.input("x", {"2"});
  add_initializer<int64_t>(model.graph(), "five", onnx_long, {}, {5});
  add_initializer<int64_t>(model.graph(), "first", onnx_long, {}, {0});
  add_initializer<int64_t>(model.graph(), "latest", onnx_long, {}, {-1});
  model.node("SequenceConstruct", {"x"}, {"outs"});
  onnx::GraphProto& body = set_graph(model.node("Loop", {"five", "", "outs"}, {"more"}), "body");
  add_value(*body.add_input(), "t", onnx_long, {});
  add_value(*body.add_input(), "go", onnx_bool, {});
  body.add_input()->set_name("so_far");
  add_node(body, "SequenceAt", {"so_far", "latest"}, {"a"});
  add_node(body, "SequenceAt", {"so_far", "first"}, {"b"});
  add_node(body, "Add", {"a", "b"}, {"sum"});
  add_node(body, "SequenceInsert", {"so_far", "sum"}, {"longer"});
  add_node(body, "Identity", {"go"}, {"go_on"});
  for (const char* output : {"go_on", "longer"}) body.add_output()->set_name(output);
  model.node("SequenceAt", {"more", "latest"}, {"y"});
  model.output("y");
  CHECK(values_of<float>(model.run({floats("x", {2}, {1, -2})})[0]) == std::vector<float>{6, -12});
}

TEST_CASE("onnx loops: gradients go through them, to weights that a body reads") {
  // y = x w^6, as a loop: dy/dw = 6 x w^5, dy/dx = w^6
  OnnxCase model;
  auto* training = model.proto.add_opset_import();
  training->set_domain("ai.onnx.preview.training");
  training->set_version(1);
  model.input("x", {"1"});
  add_initializer<float>(model.graph(), "w", onnx_float, {1}, {2});
  add_initializer<int64_t>(model.graph(), "six", onnx_long, {}, {6});
  onnx::GraphProto& body = set_graph(model.node("Loop", {"six", "", "x"}, {"y"}), "body");
  add_value(*body.add_input(), "t", onnx_long, {});
  add_value(*body.add_input(), "go", onnx_bool, {});
  add_value(*body.add_input(), "carry", onnx_float, {"1"});
  add_node(body, "Mul", {"carry", "w"}, {"next"});
  add_node(body, "Identity", {"go"}, {"go_on"});
  for (const char* output : {"go_on", "next"}) body.add_output()->set_name(output);
  onnx::NodeProto& gradient = model.node("Gradient", {"x", "w"}, {"dx", "dw"}, "ai.onnx.preview.training");
  set_strings(gradient, "xs", {"x", "w"});
  attribute(gradient, "y", onnx::AttributeProto::STRING).set_s("y");
  for (const char* output : {"y", "dx", "dw"}) model.output(output);
  const auto outputs = model.run({floats("x", {1}, {3})});
  CHECK(values_of<float>(outputs[0]) == std::vector<float>{192});
  CHECK(values_of<float>(outputs[1]) == std::vector<float>{64});
  CHECK(values_of<float>(outputs[2]) == std::vector<float>{576});
}

}  // namespace moru::test
