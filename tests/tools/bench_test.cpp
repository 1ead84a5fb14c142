// moru bench, and the other commands that measure and count.
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/tools/moru_process.h"

using namespace moru;
using namespace moru::test;
using nlohmann::json;

TEST_CASE("bench measures predictions and training steps") {
  const SmallProject project;
  for (const bool train : {false, true}) {
    std::vector<std::string> words = {"bench", project / "recipe.json", "--json", "--seconds", "0.05", "--batch", "7"};
    if (train) words.push_back("--train");
    const Outcome outcome = project.moru(words);
    succeeds(outcome);
    const json result = json::parse(outcome.out);
    CHECK(result["entry"] == (train ? "train_step" : "predict"));
    CHECK(result["sizes"]["batch"] == 7);
    CHECK(result["median_us"].get<double>() >= result["min_us"].get<double>());
    CHECK(result["min_us"].get<double>() > 0);
  }
}

TEST_CASE("bench refuses sizes that name nothing or are no numbers") {
  const SmallProject project;
  for (const char* size : {"=5", "time=", "time=0", "time=99999999999999999999", "time=5x", "time"}) {
    CAPTURE(size);
    const Outcome outcome = project.moru({"bench", project / "model.json", "--size", size});
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find("--size takes NAME=NUMBER, such as time=24, not '" + std::string(size) + "'") != std::string::npos);
  }
}

TEST_CASE("a model whose inputs have sizes of their own is measured and compared at these") {
  const SmallProject project;
  std::ofstream(project / "fixed.json") << R"({"class_name": "Sequential", "config": {"name": "m", "layers": [
      {"class_name": "InputLayer", "config": {"batch_input_shape": [3, 4, 5], "name": "x"}},
      {"class_name": "GRU", "config": {"name": "g", "units": 2, "stateful": true}},
      {"class_name": "Dense", "config": {"name": "d", "units": 2}}]}})";
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"bench", "--seconds", "0.01"}, {"compare"}, {"gradcheck"}, {"explain", "--seconds", "0.01"}}) {
    CAPTURE(words[0]);
    std::vector<std::string> command = words;
    command.push_back(project / "fixed.json");
    CHECK(project.moru(command).code == 0);
    command.insert(command.end(), {"--batch", "7"});
    const Outcome refused = project.moru(command);
    CHECK(refused.code == 1);
    CHECK(refused.err.find("leave out --batch") != std::string::npos);
  }
  CHECK(project.moru({"bench", project / "fixed.json", "--seconds", "0.01"}).out.find("predict  3 samples") == 0);
  CHECK(project.moru({"explain", project / "fixed.json", "--seconds", "0"}).out.find("in batches of 3") != std::string::npos);
}

TEST_CASE("bench --kernels lists what a step consists of") {
  const SmallProject project;
  std::vector<std::string> words = {"bench", project / "recipe.json", "--train", "--kernels", "--seconds", "0.05"};
  const Outcome text = project.moru(words);
  succeeds(text);
  CHECK(text.out.find("roofline of one core: ") != std::string::npos);
  CHECK(text.out.find("us in all kernels; a step takes ") != std::string::npos);
  words.push_back("--json");
  const Outcome outcome = project.moru(words);
  succeeds(outcome);
  const json result = json::parse(outcome.out);
  CHECK(result["median_us"].get<double>() > 0);
  double sum = 0;
  bool hidden = false;
  for (const json& kernel : result["kernels"]) {
    sum += kernel["us"].get<double>();
    hidden = hidden || (kernel["origin"] == "hidden" && kernel["flops"].get<double>() > 0);
  }
  CHECK(hidden);
  CHECK(sum == doctest::Approx(result["kernels_us"].get<double>()));
  CHECK(result["roofline"]["gflops"].get<double>() > 0);
  CHECK(result["roofline"]["levels"].size() >= 3);

  succeeds(project.moru({"compile", project / "model.json", "-o", project / "m.so"}));
  const Outcome compiled = project.moru({"bench", project / "m.so", "--kernels", "--seconds", "0.01"});
  CHECK(compiled.code == 1);
  CHECK(compiled.err.find("is compiled without a profile\n  hint: give the model it was compiled from") !=
        std::string::npos);
}

TEST_CASE("summary counts arithmetic and memory when asked") {
  const SmallProject project;
  const Outcome outcome = project.moru({"summary", project / "recipe.json", "--cost", "--batch", "10", "--json"});
  succeeds(outcome);
  const json cost = json::parse(outcome.out)["cost"];
  CHECK(cost["batch"] == 10);
  REQUIRE(cost["entries"].size() == 2);
  double flops[2] = {};
  for (const json& entry : cost["entries"]) flops[entry["entry"] == "train_step"] = entry["flops"];
  CHECK(flops[0] >= 10 * 2 * (3 * 8 + 8));             // the products alone
  CHECK(flops[1] > 10 * 2 * (2 * 3 * 8 + 3 * 8));      // once more for weights, and for what lies behind the first layer
  const Outcome text = project.moru({"summary", project / "model.json", "--cost"});
  succeeds(text);
  CHECK(text.out.find("predict, batch 32: ") != std::string::npos);
  CHECK(text.out.find("FLOP, reads ") != std::string::npos);
}
