// moru gradcheck, as a user runs it.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/tools/moru_process.h"

using namespace moru::test;

namespace {

/// x -> hidden -> gradient stopped -> y: what stops it counts as wrong, since the loss does change with the weights.
const std::string stopped_model = R"({"class_name": "Functional", "config": {"name": "stopped", "layers": [
  {"class_name": "InputLayer", "name": "x", "config": {"batch_shape": [null, 3], "dtype": "float32", "name": "x"},
   "inbound_nodes": []},
  {"class_name": "Dense", "name": "hidden", "config": {"name": "hidden", "units": 4, "activation": "tanh"},
   "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": {"shape": [null, 3], "dtype": "float32",
     "keras_history": ["x", 0, 0]}}], "kwargs": {}}]},
  {"class_name": "StopGradient", "name": "wall", "module": "keras.src.ops.core", "config": {"name": "wall"},
   "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": {"shape": [null, 4], "dtype": "float32",
     "keras_history": ["hidden", 0, 0]}}], "kwargs": {}}]},
  {"class_name": "Dense", "name": "y", "config": {"name": "y", "units": 1},
   "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": {"shape": [null, 4], "dtype": "float32",
     "keras_history": ["wall", 0, 0]}}], "kwargs": {}}]}],
  "input_layers": [["x", 0, 0]], "output_layers": [["y", 0, 0]]}})";

}  // namespace

TEST_CASE("gradcheck: a recipe's gradients agree with finite differences on its own data") {
  const SmallProject project;
  const Outcome outcome = project.moru({"gradcheck", project / "recipe.json", "--json"});
  CHECK(outcome.code == 0);
  CHECK(outcome.err == "");
  const nlohmann::json report = nlohmann::json::parse(outcome.out);
  CHECK(report["passed"] == true);
  CHECK(report["samples"] == "4 samples of the training data");
  std::map<std::string, std::string> kinds;
  for (const nlohmann::json& tensor : report["tensors"]) {
    kinds[tensor["name"]] = tensor["kind"];
    CHECK(tensor["relative_error"].get<double>() < 1e-6);
    CHECK(tensor["largest_gradient"].get<double>() > 0);
    CHECK(tensor["kinks"].empty());
  }
  CHECK(kinds == std::map<std::string, std::string>{{"hidden/kernel", "parameter"}, {"hidden/bias", "parameter"},
                                                    {"y/kernel", "parameter"},      {"y/bias", "parameter"},
                                                    {"x", "input"}});
  const Outcome table = project.moru({"gradcheck", project / "recipe.json", "--samples", "2", "--batch", "2"});
  CHECK(table.code == 0);
  CHECK(table.out.find("2 samples of the training data") != std::string::npos);
  CHECK(table.out.find("hidden/kernel") != std::string::npos);
  CHECK(table.out.find("2/24") != std::string::npos);
}

TEST_CASE("gradcheck: a gradient that is stopped is named as wrong, with where and by what, and the exit code is 1") {
  const SmallProject project;
  write_file(project / "stopped.json", stopped_model);
  for (const bool trains : {false, true}) {
    CAPTURE(trains);
    std::vector<std::string> command = {"gradcheck", project / "stopped.json", "--json"};
    if (trains) command.insert(command.end(), {"--recipe", project / "recipe.json"});
    const Outcome outcome = project.moru(command);
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find("the gradient with respect to '") != std::string::npos);
    CHECK(outcome.err.find("is 0, but finite differences say ") != std::string::npos);
    CHECK(outcome.err.find("no gradient passes 'wall' (stop_gradient)") != std::string::npos);
    const nlohmann::json report = nlohmann::json::parse(outcome.out);
    CHECK(report["passed"] == false);
    for (const nlohmann::json& tensor : report["tensors"]) {
      const bool behind = tensor["name"].get<std::string>().starts_with("y/");
      CHECK((tensor["relative_error"].get<double>() < 1e-5) == behind);
    }
  }
}

TEST_CASE("gradcheck: a kink is said to be one, and is no error") {
  const SmallProject project;
  // Weights of zero put every relu at its kink.
  write_file(project / "relu.json",
             SmallProject::model_json(SmallProject::input_layer("3") + R"(,
    {"class_name": "Dense", "config": {"name": "hidden", "units": 8, "activation": "relu", "kernel_initializer": "zeros"}},
    {"class_name": "Dense", "config": {"name": "y", "units": 1}})"));
  const Outcome outcome = project.moru({"gradcheck", project / "relu.json"});
  CHECK(outcome.code == 0);
  CHECK(outcome.err.find("note: the loss has a kink at 'hidden/bias' [") != std::string::npos);
  CHECK(outcome.err.find("as relu does at 0") != std::string::npos);
}
