// moru train, and what goes on from a run: evaluate, predict, checkpoint.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/tools/moru_process.h"
#include "tests/tools/trained.h"

namespace fs = std::filesystem;
using namespace moru;
using namespace moru::test;
using nlohmann::json;

namespace {

size_t count_lines(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

}  // namespace

TEST_CASE("train leaves a run directory whose metrics are in raw units") {
  const Trained& one = trained();
  for (const char* name : {"recipe.json", "model.moru", "history.json", "history.csv", "metrics.json",
                           "predictions.csv", "predictions.json"}) {
    CAPTURE(name);
    CHECK(fs::exists(one.run + "/" + name));
  }
  const json metrics = json::parse(read_file(one.run + "/metrics.json"));
  CHECK(metrics["epochs"] == 3);
  CHECK(metrics["test"]["mae"].get<double>() > 0);
  CHECK(metrics["test"]["mae"].get<double>() < 60);  // the target lies between 20 and 110
  CHECK(metrics["parameters"] == 41 + 2 * 3 + 2);    // with the scalers' means and variances
  const json history = json::parse(read_file(one.run + "/history.json"));
  CHECK(history["loss"].size() == 3);
  CHECK(history.contains("val_mae"));
}

TEST_CASE("an interrupted run says how it goes on: by the command it was started with, for a shell") {
  const SmallProject project;
  std::filesystem::create_directory(project / "my data");
  write_file(project / "my data/it's.csv", SmallProject::data(2000));
  const std::vector<std::string> command = {"train", project / "recipe.json", "--threads", "2", "--run-dir", project / "run", "--data",
                                            project / "my data/it's.csv", "--epochs", "1000000000", "--disable", "hoist_scan,sink_scan", "--quiet"};
  const Outcome outcome = project.moru(command, {.interrupt_when = project / "run/checkpoints"});
  CHECK(outcome.code == 128 + SIGINT);
  const std::string again = "moru train " + project / "recipe.json" + " --run-dir " + project / "run" + " --threads 2 --quiet --data '" +
                            project / "my data/it'\\''s.csv" + "' --epochs 1000000000 --disable hoist_scan --disable sink_scan --resume";
  CHECK(outcome.err == "interrupted; go on with: " + again + "\n");
}

TEST_CASE("a run that diverges says so, quiet or not, and shows nan without a sign") {
  const SmallProject project;
  write_file(project / "wild.json", SmallProject::recipe("model.json", "data.csv", R"({"columns": ["a", "b", "c"], "scaler": "standard"})",
                                                         R"("optimizer": {"name": "sgd", "learning_rate": 1e30}, "loss": "mse",
                                                            "epochs": 3, "batch_size": 16)"));
  const Outcome outcome = project.moru({"train", project / "wild.json", "--run-dir", project / "run", "--quiet"});
  CHECK(outcome.code == 0);
  CHECK(outcome.err.starts_with("warning: stopped: the loss of epoch 1, step "));
  CHECK(outcome.err.find("hint: lower the learning rate") != std::string::npos);
  CHECK(outcome.out.find(" nan") != std::string::npos);
  CHECK(outcome.out.find("-nan") == std::string::npos);
}

TEST_CASE("training is a function of the seed, whatever the number of threads") {
  const Trained& one = trained();
  const auto again = [&](const char* name, std::vector<std::string> more) {
    std::vector<std::string> words = {"train", one.project / "recipe.json", "--run-dir", one.project / name, "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    succeeds(one.project.moru(words));
    return read_file(one.project / (std::string(name) + "/history.json"));
  };
  const std::string first = read_file(one.run + "/history.json");
  CHECK(again("same", {}) == first);
  CHECK(again("threads", {"--threads", "2"}) == first);
  CHECK(again("other", {"--seed", "9"}) != first);
}

TEST_CASE("training in mixed_bfloat16 ends near training in float32, by flag, recipe and model alike") {
  const Trained& one = trained();
  const auto train = [&](const std::string& recipe, const char* name, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"train", recipe, "--run-dir", one.project / name, "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    succeeds(one.project.moru(words));
    return read_file(one.project / (std::string(name) + "/history.json"));
  };
  const std::string by_flag = train(one.project / "recipe.json", "mixed", {"--dtype-policy", "mixed_bfloat16"});
  std::string recipe = SmallProject::recipe();
  recipe.insert(recipe.find('{') + 1, R"("dtype_policy": "mixed_bfloat16", )");
  write_file(one.project / "mixed.json", recipe);
  CHECK(train(one.project / "mixed.json", "by_recipe") == by_flag);
  CHECK(train(one.project / "mixed.json", "threads_mixed", {"--threads", "2"}) == by_flag);
  const json mixed = json::parse(by_flag), plain = json::parse(read_file(one.run + "/history.json"));
  CHECK(mixed["loss"] != plain["loss"]);
  for (size_t epoch = 0; epoch < 3; ++epoch)
    CHECK(mixed["loss"][epoch].get<double>() == doctest::Approx(plain["loss"][epoch].get<double>()).epsilon(0.02));
  // The trained model keeps its policy.
  const Outcome dumped = one.project.moru({"dump", one.project / "mixed/model.moru", "--after", "expand"});
  succeeds(dumped);
  CHECK(dumped.out.find("precision=\"bf16\"") != std::string::npos);
  // Reference, kernels and native code round alike.
  const Outcome compared = one.project.moru({"compare", one.project / "mixed.json", "--nodes", "--json"});
  succeeds(compared);
  for (const json& row : json::parse(compared.out)["nodes"]) {
    CHECK(row["native_ulp"] == 0);
    CAPTURE(row.dump());
    CHECK(row["kernels_absolute"].get<double>() < 1e-4);
  }
}

TEST_CASE("an interrupted number of epochs goes on with --resume to the same bits") {
  const Trained& one = trained();
  succeeds(one.project.moru(
      {"train", one.project / "recipe.json", "--run-dir", one.project / "half", "--epochs", "1", "--quiet"}));
  succeeds(one.project.moru(
      {"train", one.project / "recipe.json", "--run-dir", one.project / "half", "--resume", "--quiet"}));
  CHECK(read_file(one.project / "half/history.json") == read_file(one.run + "/history.json"));
  CHECK(read_file(one.project / "half/predictions.csv") == read_file(one.run + "/predictions.csv"));
}

TEST_CASE("evaluate and predict take raw rows and answer in raw units") {
  const Trained& one = trained();
  const std::string model = one.run + "/model.moru";
  const Outcome evaluated = one.project.moru({"evaluate", model, "--data", one.project / "data.csv", "--json"});
  succeeds(evaluated);
  const json metrics = json::parse(evaluated.out);
  CHECK(metrics["samples"] == 120);
  CHECK(metrics["mae"].get<double>() > 0);
  succeeds(one.project.moru({"predict", model, "--data", one.project / "data.csv", "-o", one.project / "p.csv"}));
  const std::string table = read_file(one.project / "p.csv");
  CHECK(count_lines(table) == 121);
  CHECK(table.starts_with("row,predicted\n"));
  // The target's column is not needed, and the answer does not change without it.
  write_file(one.project / "new.csv", "a,b,c\n1,2,3\n4,5,6\n");
  const Outcome predicted = one.project.moru({"predict", model, "--data", one.project / "new.csv"});
  succeeds(predicted);
  CHECK(count_lines(predicted.out) == 3);
  // A trained model compiled ahead of time gives the same answers without the compiler.
  succeeds(one.project.moru({"compile", model, "-o", one.project / "trained.so"}));
  const Outcome native = one.project.moru({one.project / "trained.so", "predict", "--data", one.project / "new.csv"},
                                          {.binary = "moru-run"});
  succeeds(native);
  CHECK(native.out == predicted.out);
}

TEST_CASE("a trained model is trained further without being scaled twice") {
  const Trained& one = trained();
  write_file(one.project / "further.json", SmallProject::recipe(one.run + "/model.moru"));
  succeeds(one.project.moru({"train", one.project / "further.json", "--run-dir", one.project / "further", "--quiet"}));
  const json before = json::parse(read_file(one.run + "/metrics.json")),
             after = json::parse(read_file(one.project / "further/metrics.json"));
  CHECK(after["parameters"] == before["parameters"]);
  CHECK(after["train"]["loss"].get<double>() < before["train"]["loss"].get<double>());
}

TEST_CASE("checkpoint shows a file, and the newest of a run") {
  const Trained& one = trained();
  const Outcome newest = one.project.moru({"checkpoint", one.run, "--json"});
  succeeds(newest);
  const json shown = json::parse(newest.out);
  CHECK(shown["epoch"] == 3);
  CHECK(shown["finished"] == true);
  CHECK(shown["history"]["loss"].size() == 3);
  const Outcome text = one.project.moru({"checkpoint", shown["path"].get<std::string>()});
  succeeds(text);
  CHECK(text.out.find(" is whole\n") != std::string::npos);
  CHECK(text.out.find("hidden/kernel  f32[3, 8]") != std::string::npos);
}

TEST_CASE("train: the log of csv_logger takes no name that the run directory has for another file") {
  const SmallProject project;
  for (const std::string name : {"recipe.json", "model.moru", "..", "checkpoints"}) {
    write_file(project / "recipe.json",
               SmallProject::recipe("model.json", "data.csv", R"({"columns": ["a", "b", "c"]})",
                                    R"("optimizer": "adam", "loss": "mse", "epochs": 1, "callbacks": {"csv_logger": {"filename": ")" + name + "\"}}"));
    const Outcome outcome = project.moru({"train", project / "recipe.json", "--run-dir", project / "run", "--quiet"});
    CAPTURE(outcome.err);
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find("is the name of another file of the run directory") != std::string::npos);
    CHECK_FALSE(fs::exists(project / "run"));
  }
}

TEST_CASE("every pass that is not needed can be left out, and training still learns") {
  const SmallProject project;
  const Outcome listed = project.moru({"passes", "--json"});
  succeeds(listed);
  const std::vector<std::string> needed = {"make_entries",  "expand", "differentiate", "add_update",
                                           "expand_update", "narrow_products", "lower", "plan_memory"};
  for (const json& pass : json::parse(listed.out)) {
    const std::string name = pass["name"];
    CAPTURE(name);
    if (std::find(needed.begin(), needed.end(), name) != needed.end()) continue;
    const std::string run = project / ("without_" + name);
    succeeds(project.moru({"train", project / "recipe.json", "--run-dir", run, "--quiet", "--disable", name}));
    const json history = json::parse(read_file(run + "/history.json"));
    CHECK(history["loss"][2].get<double>() < history["loss"][0].get<double>());
  }
}
