// moru view and moru explain, as a user runs them. How drawings look: tests/tools/browser.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/tools/moru_process.h"

using namespace moru::test;
using nlohmann::json;

namespace {

size_t count(const std::string& text, const std::string& what) {
  size_t number = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++number;
  return number;
}

/// A recipe whose model has a loop over time.
struct RecurrentProject : SmallProject {
  RecurrentProject() {
    std::string csv = "time,load\n";
    for (int i = 0; i < 200; ++i)
      csv += std::to_string(2000 + i / 24 / 28) + "-01-" + (i / 24 % 28 < 9 ? "0" : "") +
             std::to_string(1 + i / 24 % 28) + " " + std::to_string(i % 24) + ":00," +
             std::to_string(10 + i * 37 % 11) + "\n";
    write_file(*this / "load.csv", csv);
    write_file(*this / "lstm.json", model_json(input_layer("6, 1") + R"(,
      {"class_name": "LSTM", "config": {"name": "memory", "units": 8}},
      {"class_name": "Dense", "config": {"name": "y", "units": 1}})"));
    write_file(*this / "series.json", R"({"model": "lstm.json", "data": {"csv": "load.csv", "time": {"column": "time"},
      "features": [{"column": "load"}], "target": {"column": "load"}, "window": {"length": 6, "horizon": 1}, "split": [0.6, 0.2, 0.2]},
      "fit": {"optimizer": "adam", "loss": "mse", "epochs": 1, "batch_size": 16}})");
  }
  std::string draw(std::vector<std::string> words, const std::string& file = "drawing.dot") const {
    words.insert(words.begin(), "view");
    words.insert(words.end(), {"-o", *this / file});
    succeeds(moru(words));
    return read_file(*this / file);
  }
  json explain(std::vector<std::string> words) const {
    words.insert(words.begin(), "explain");
    words.push_back("--json");
    const Outcome outcome = moru(words);
    succeeds(outcome);
    return json::parse(outcome.out);
  }
};

json fact(const json& explained, const std::string& topic) {
  for (const json& one : explained.at("facts"))
    if (one.at("topic") == topic) return one;
  FAIL("nothing is said of '" << topic << "' in " << explained.dump());
  return {};
}

}  // namespace

TEST_CASE("view draws a model as it was drawn: its layers, joined in their order") {
  const RecurrentProject project;
  const std::string dot = project.draw({project / "lstm.json"});
  CHECK(dot.find("digraph") != std::string::npos);
  for (const char* layer : {"memory", "LSTM", "Dense"}) CHECK(dot.find(layer) != std::string::npos);
  CHECK(count(dot, "->") == 2);
}

TEST_CASE("view draws every stage: behind passes there are operations, and a scan until there are kernels") {
  const RecurrentProject project;
  const std::string made = project.draw({project / "lstm.json", "--stage", "make_entries"});
  CHECK(made.find("scan") == std::string::npos);
  const std::string expanded = project.draw({project / "lstm.json", "--stage", "expand"});
  CHECK(expanded.find("scan") != std::string::npos);
  CHECK(count(expanded, "->") > count(made, "->"));
  const std::string step = project.draw({project / "series.json", "--stage", "differentiate", "--entry", "train_step"});
  CHECK(count(step, "->") > count(expanded, "->"));
  const std::string kernels = project.draw({project / "series.json", "--stage", "kernels", "--entry", "predict"});
  CHECK(kernels.find("memory") != std::string::npos);
  CHECK(kernels != expanded);
}

TEST_CASE("view gives the same drawing as SVG and as a page, where Graphviz is") {
  const RecurrentProject project;
  const Outcome svg = project.moru({"view", project / "lstm.json", "-o", project / "m.svg"});
  if (svg.code != 0 && svg.err.find("graphviz") != std::string::npos) {
    MESSAGE("SKIPPED: Graphviz' dot is not installed");
    return;
  }
  succeeds(svg);
  CHECK(svg.out == project / "m.svg\n");
  const std::string drawing = read_file(project / "m.svg");
  CHECK(drawing.find("<svg") != std::string::npos);
  CHECK(drawing.find("memory") != std::string::npos);
  succeeds(project.moru({"view", project / "lstm.json", "-o", project / "m.html"}));
  const std::string page = read_file(project / "m.html");
  CHECK(page.find("<!doctype html>") == 0);
  CHECK(page.find("memory") != std::string::npos);
  CHECK(page.find("http://") == page.find("http://www.w3.org"));  // names of XML only: nothing is fetched
  CHECK(page.find("https://") == std::string::npos);
}

TEST_CASE("view refuses endings, stages and entries that there are not, and says what there is") {
  const RecurrentProject project;
  const struct {
    std::vector<std::string> words;
    std::string message;
  } wrong[] = {
      {{"-o", project / "m.png"}, "give a name that ends in .html, .svg or .dot"},
      {{"-o", project / "m.dot", "--stage", "expnd"}, "did you mean 'expand'?"},
      {{"-o", project / "m.dot", "--stage", "expand", "--entry", "training"}, "'training'"},
  };
  for (const auto& [words, message] : wrong) {
    std::vector<std::string> all = {"view", project / "lstm.json"};
    all.insert(all.end(), words.begin(), words.end());
    const Outcome outcome = project.moru(all);
    CAPTURE(outcome.err);
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find(message) != std::string::npos);
  }
}

TEST_CASE("explain counts what the passes did, and the numbers are those of the program's stages") {
  const RecurrentProject project;
  const json explained = project.explain({project / "series.json", "--seconds", "0"});
  CHECK(explained.at("entry") == "train_step");
  CHECK(explained.at("batch") == 16);
  CHECK_FALSE(explained.contains("time"));
  // The input's product leaves the loop ahead of it, the gradient of its kernel behind it.
  for (const char* topic : {"hoisted", "sunk"}) {
    const json moved = fact(explained, topic);
    CHECK(moved.at("numbers").at("moved").get<int>() > 0);
    CHECK(moved.dump().find("memory") != std::string::npos);
  }
  const json unmoved = project.explain({project / "series.json", "--seconds", "0", "--disable", "hoist_scan"});
  for (const json& one : unmoved.at("facts"))
    if (one.at("topic") == "hoisted") CHECK(one.at("numbers").at("moved") == 0);
  // What the pipeline fuses is what the kernels' drawing has in it.
  CHECK(fact(explained, "fused").at("numbers").size() > 0);
  CHECK(fact(explained, "reused").at("sentence").get<std::string>().size() > 10);
}

TEST_CASE("explain says whose attention runs by blocks, and does not take that for a loop over time") {
  const RecurrentProject project;
  const std::string x = R"({"class_name": "__keras_tensor__", "config": {"shape": [null, 640, 8], "dtype": "float32", "keras_history": ["x", 0, 0]}})";
  write_file(project / "attention.json", R"({"class_name": "Functional", "config": {"name": "m", "layers": [
      {"class_name": "InputLayer", "name": "x", "config": {"batch_shape": [null, 640, 8], "dtype": "float32", "name": "x"}, "inbound_nodes": []},
      {"class_name": "MultiHeadAttention", "name": "heads", "config": {"name": "heads", "num_heads": 2, "key_dim": 4},
       "inbound_nodes": [{"args": [)" + x + ", " + x + R"(], "kwargs": {}}]}],
      "input_layers": [["x", 0, 0]], "output_layers": [["heads", 0, 0]]}})");
  const json explained = project.explain({project / "attention.json", "--batch", "2", "--seconds", "0"});
  const json blocked = fact(explained, "blocked");
  CHECK(blocked.at("numbers").at("layers") == 1);
  CHECK(blocked.dump().find("heads") != std::string::npos);
  CHECK(explained.dump().find("over time") == std::string::npos);
}

TEST_CASE("explain shortens a long list of layers between characters") {
  const RecurrentProject project;
  std::string name = "n";  // so that a cut at any place but one in three falls inside a character
  for (int i = 0; i < 40; ++i) name += "가";
  const std::string layer = R"({"class_name": "LSTM", "config": {"name": ")" + name + R"(", "units": 4}})";
  write_file(project / "long.json", project.model_json(project.input_layer("24, 3") + ", " + layer));
  const std::string fused = fact(project.explain({project / "long.json", "--seconds", "0"}), "fused").dump();
  CHECK(fused.find("...") != std::string::npos);
  CHECK(fused.find("\xEF\xBF\xBD") == std::string::npos);  // U+FFFD, which stands for half a character
}

TEST_CASE("explain says it in words as well, measures where it is asked to, and names entries that there are not") {
  const RecurrentProject project;
  const Outcome text = project.moru({"explain", project / "lstm.json", "--batch", "4", "--seconds", "0.02"});
  succeeds(text);
  CHECK(text.out.find("'predict' of " + (project / "lstm.json") + ", in batches of 4") == 0);
  for (const char* topic : {"expanded", "hoisted", "fused"})
    CHECK(text.out.find(std::string("\n") + topic) != std::string::npos);
  CHECK(text.out.find("\ntime ") != std::string::npos);
  const json measured = project.explain({project / "lstm.json", "--seconds", "0.02"});
  CHECK(measured.contains("time"));
  const Outcome wrong = project.moru({"explain", project / "lstm.json", "--entry", "train_step"});
  CHECK(wrong.code == 1);
  CHECK(wrong.err.find("there is no entry 'train_step'") != std::string::npos);
  CHECK(wrong.err.find("a recipe adds 'train_step'") != std::string::npos);
}
