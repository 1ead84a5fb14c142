// moru train on an ONNX file: its weights are where training begins, and they learn.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/exchange/onnx_case.h"
#include "tests/tools/moru_process.h"

namespace moru::test {
namespace {

/// y = x w + b with w = 0 and b = 2, behind a batch normalization that leaves x as it is.
void write_linear(OnnxCase& model) {
  model.input("x", {"batch", "3"});
  add_initializer<float>(model.graph(), "scale", onnx_float, {3}, {1, 1, 1});
  add_initializer<float>(model.graph(), "offset", onnx_float, {3}, {0, 0, 0});
  add_initializer<float>(model.graph(), "mean", onnx_float, {3}, {0, 0, 0});
  add_initializer<float>(model.graph(), "variance", onnx_float, {3}, {1, 1, 1});
  add_initializer<float>(model.graph(), "w", onnx_float, {3, 1}, {0, 0, 0});
  add_initializer<float>(model.graph(), "b", onnx_float, {1}, {2});
  model.node("BatchNormalization", {"x", "scale", "offset", "mean", "variance"}, {"normal"});
  model.node("Gemm", {"normal", "w", "b"}, {"y"});
  model.output("y");
  model.write();
}

/// y: what 5 turns of y = y / 2 + x w make of 0, with w = 0.
void write_loop(OnnxCase& model) {
  model.input("x", {"batch", "3"});
  add_initializer<float>(model.graph(), "w", onnx_float, {3, 1}, {0, 0, 0});
  add_initializer<float>(model.graph(), "zero", onnx_float, {}, {0});
  add_initializer<float>(model.graph(), "half", onnx_float, {}, {0.5f});
  add_initializer<int64_t>(model.graph(), "turns", onnx_long, {}, {5});
  add_initializer<int64_t>(model.graph(), "axis", onnx_long, {1}, {1});
  model.node("ReduceSum", {"x", "axis"}, {"sum"});
  model.node("Mul", {"sum", "zero"}, {"start"});
  onnx::GraphProto& body = set_graph(model.node("Loop", {"turns", "", "start"}, {"y"}), "body");
  add_value(*body.add_input(), "turn", onnx_long, {});
  add_value(*body.add_input(), "go", onnx::TensorProto::BOOL, {});
  add_value(*body.add_input(), "carry", onnx_float, {"batch", "1"});
  add_node(body, "Identity", {"go"}, {"go_on"});
  add_node(body, "Mul", {"carry", "half"}, {"smaller"});
  add_node(body, "MatMul", {"x", "w"}, {"product"});
  add_node(body, "Add", {"smaller", "product"}, {"next"});
  for (const char* output : {"go_on", "next"}) body.add_output()->set_name(output);
  model.output("y");
  model.write();
}

nlohmann::json train(const SmallProject& project, const OnnxCase& model, const std::string& name, double rate,
                     int epochs) {
  write_file(project / (name + ".json"),
             SmallProject::recipe(model.path(), "data.csv", R"({"columns": ["a", "b", "c"], "scaler": "standard"})",
                                  R"("optimizer": {"name": "adam", "learning_rate": )" + std::to_string(rate) +
                                      R"(}, "loss": "mse", "batch_size": 16, "epochs": )" + std::to_string(epochs)));
  const Outcome outcome = project.moru({"train", project / (name + ".json"), "--run-dir", project / name, "--quiet"});
  CAPTURE(outcome.out);
  CAPTURE(outcome.err);
  REQUIRE(outcome.code == 0);
  return nlohmann::json::parse(read_file(project / (name + "/history.json")));
}

}  // namespace

TEST_CASE("train: an ONNX file's weights are the beginning, and they learn") {
  const SmallProject project;
  OnnxCase model;
  write_linear(model);
  // The scaled target has mean 0 and variance 1, so that an answer of 2 is wrong by 1 + 2^2 in the mean.
  const nlohmann::json still = train(project, model, "still", 1e-6, 1);
  CHECK(still["loss"][0].get<double>() == doctest::Approx(5.0).epsilon(1e-3));
  const nlohmann::json history = train(project, model, "learnt", 0.1, 60);
  CHECK(history["loss"][0].get<double>() < 5.0);
  CHECK(history["loss"][59].get<double>() < 0.01);
  CHECK(history["val_loss"][59].get<double>() < 0.01);

  const Outcome summary = project.moru({"summary", project / "learnt/model.moru"});
  CHECK(summary.out.find("BatchNormalization") != std::string::npos);
}

TEST_CASE("train: weights that the body of an ONNX Loop reads learn through it") {
  const SmallProject project;
  OnnxCase model;
  write_loop(model);
  const nlohmann::json history = train(project, model, "loop", 0.05, 60);
  CHECK(history["loss"][0].get<double>() > 0.3);
  CHECK(history["loss"][59].get<double>() < 0.01);
  const Outcome dump = project.moru({"dump", model.path(), "--after", "expand"});
  CHECK(dump.out.find("= scan(") != std::string::npos);  // not five turns, each written out
}

}  // namespace moru::test
