// Every subcommand of moru, as a user runs it. What goes wrong is in tests/errors.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/checkpoint.h"
#include "runtime/data/npy.h"
#include "tests/tools/moru_process.h"

namespace fs = std::filesystem;
using namespace moru;
using namespace moru::test;
using nlohmann::json;

namespace {

const std::vector<std::string> commands = {
    "import",  "convert", "summary", "compile", "run",        "train",  "evaluate", "predict", "bench",  "opt",
    "compare", "passes",  "ops",     "dump",    "checkpoint", "report", "backtest", "view",    "explain",
    "gradcheck", "reduce"};

void write_floats(const std::string& path, std::vector<int64_t> shape, const std::vector<float>& values) {
  REQUIRE(write_npy(path, DType::f32, shape, std::as_bytes(std::span(values))).ok());
}

std::vector<float> read_floats(const std::string& path, std::vector<int64_t> shape) {
  Result<NpyArray> array = read_npy(path);
  INFO(array.status().message());
  REQUIRE(array.ok());
  CHECK(array->shape == shape);
  std::vector<float> values(array->data.size() / sizeof(float));
  std::memcpy(values.data(), array->data.data(), array->data.size());
  return values;
}

size_t count_lines(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

/// A run of training on the small project, made once: most commands work on what it leaves.
struct Trained {
  SmallProject project;
  std::string run = project / "run";
  Outcome outcome = project.moru({"train", project / "recipe.json", "--run-dir", run, "--quiet"});
};
const Trained& trained() {
  static const Trained one;
  succeeds(one.outcome);
  return one;
}

}  // namespace

TEST_CASE("every command has a help text with an example, and moru lists them all") {
  const SmallProject project;
  const Outcome all = project.moru({"--help"});
  succeeds(all);
  for (const std::string& name : commands) {
    CAPTURE(name);
    CHECK(all.out.find("\n  " + name + " ") != std::string::npos);
    const Outcome help = project.moru({name, "--help"});
    succeeds(help);
    CHECK(help.out.find("Example") != std::string::npos);
    CHECK(help.out.find("moru " + name) != std::string::npos);
  }
}

TEST_CASE("--version names moru and its version") {
  const SmallProject project;
  const Outcome outcome = project.moru({"--version"});
  succeeds(outcome);
  CHECK(outcome.out.starts_with("moru "));
}

TEST_CASE("import gives initial weights that depend on the seed alone, and summary reads them back") {
  const SmallProject project;
  succeeds(project.moru({"import", project / "model.json", "-o", project / "a.moru", "--seed", "7"}));
  succeeds(project.moru({"import", project / "model.json", "-o", project / "b.moru", "--seed", "7"}));
  succeeds(project.moru({"import", project / "model.json", "-o", project / "c.moru", "--seed", "8"}));
  CHECK(read_file(project / "a.moru") == read_file(project / "b.moru"));
  CHECK(read_file(project / "a.moru") != read_file(project / "c.moru"));
  const Outcome from_json = project.moru({"summary", project / "model.json", "--json"});
  const Outcome from_moru = project.moru({"summary", project / "a.moru", "--json"});
  succeeds(from_json);
  succeeds(from_moru);
  const json summary = json::parse(from_moru.out);
  CHECK(summary == json::parse(from_json.out));
  CHECK(summary["inputs"][0]["name"] == "x");
  CHECK(summary["inputs"][0]["dtype"] == "float32");
  CHECK(summary["inputs"][0]["shape"] == json::array({nullptr, 3}));
  CHECK(summary["outputs"][0]["name"] == "y");
  const Outcome table = project.moru({"summary", project / "a.moru"});
  succeeds(table);
  CHECK(table.out.find("hidden (Dense)") != std::string::npos);
  CHECK(table.out.find("41") != std::string::npos);  // 3*8 + 8 + 8 + 1
}

TEST_CASE("summary, dump and view show models whose weights no memory holds") {
  const SmallProject project;
  const std::string model = project / "large.json";
  write_file(model, SmallProject::model_json(SmallProject::input_layer("524288") +
                                             R"(, {"class_name": "Dense", "config": {"name": "y", "units": 1048576}})"));
  const Outcome summary = project.moru({"summary", model});
  succeeds(summary);
  CHECK(summary.out.find("549,756,862,464") != std::string::npos);  // 2^39 + 2^20
  const Outcome graph = project.moru({"dump", model});
  succeeds(graph);
  CHECK(graph.out.find("f32[524288, 1048576]") != std::string::npos);
  succeeds(project.moru({"view", model, "-o", project / "large.dot"}));
  succeeds(project.moru({"explain", model, "--seconds", "0"}));
}

TEST_CASE("a recipe stands for its model wherever a model is asked for") {
  const SmallProject project;
  const Outcome outcome = project.moru({"summary", project / "recipe.json", "--json"});
  succeeds(outcome);
  CHECK(json::parse(outcome.out)["name"] == "small");
}

TEST_CASE("passes lists the pipeline from make_entries to plan_memory") {
  const SmallProject project;
  const Outcome outcome = project.moru({"passes", "--json"});
  succeeds(outcome);
  const json passes = json::parse(outcome.out);
  CHECK(passes.front()["name"] == "make_entries");
  CHECK(passes.back()["name"] == "plan_memory");
  for (const json& pass : passes) CHECK_FALSE(pass["why"].get<std::string>().empty());
  const Outcome text = project.moru({"passes"});
  succeeds(text);
  CHECK(count_lines(text.out) == passes.size());
}

TEST_CASE("ops describes an op by its name and by its Keras class") {
  const SmallProject project;
  const Outcome by_name = project.moru({"ops", "lstm", "--json"}), by_class = project.moru({"ops", "LSTM", "--json"});
  succeeds(by_name);
  succeeds(by_class);
  CHECK(by_name.out == by_class.out);
  CHECK(json::parse(by_name.out)["family"] == "layer");
  const Outcome all = project.moru({"ops", "--json"});
  succeeds(all);
  CHECK(json::parse(all.out).size() > 100);
  const Outcome text = project.moru({"ops", "dense"});
  succeeds(text);
  CHECK(text.out.find("units (required)") != std::string::npos);
}

TEST_CASE("dump prints every stage, and opt takes a graph back") {
  const SmallProject project;
  const Outcome expanded = project.moru({"dump", project / "model.json", "--after", "expand"});
  succeeds(expanded);
  CHECK(expanded.out.starts_with("module {"));
  CHECK(expanded.out.find("dense(") == std::string::npos);
  CHECK(expanded.out.find("contract(") != std::string::npos);
  const Outcome same = project.moru({"opt"}, {.input = expanded.out});
  succeeds(same);
  CHECK(same.out == expanded.out);
  const Outcome optimized = project.moru({"opt", "-", "--passes=simplify,drop_dead"}, {.input = expanded.out});
  succeeds(optimized);
  CHECK(optimized.out.find("contract(") != std::string::npos);
  const Outcome trained_graph = project.moru({"dump", project / "recipe.json", "--after", "add_update"});
  succeeds(trained_graph);
  CHECK(trained_graph.out.find("entry train_step") != std::string::npos);
  const Outcome drawn = project.moru({"dump", project / "recipe.json", "--drawn"});
  succeeds(drawn);
  CHECK(drawn.out.find("call x_scaler = x_scaler(x)") != std::string::npos);
  CHECK(drawn.out.find("call hidden = hidden(x_scaler)") != std::string::npos);
  CHECK(drawn.out.find("call y_scaler = y_scaler(y)") != std::string::npos);
  CHECK(drawn.out.find("outputs y=y_scaler") != std::string::npos);
  const Outcome kernels = project.moru({"dump", project / "model.json", "--kernels"});
  succeeds(kernels);
  CHECK(kernels.out.find("kernel \"predict\"") != std::string::npos);
  const Outcome memory = project.moru({"dump", project / "model.json", "--memory"});
  succeeds(memory);
  CHECK(memory.out.starts_with("predict: "));
  const Outcome llvm = project.moru({"dump", project / "model.json", "--llvm", "-o", project / "x.ll"});
  succeeds(llvm);
  CHECK(read_file(project / "x.ll").find("define") != std::string::npos);
  const Outcome assembly = project.moru({"dump", project / "model.json", "--asm", "--target", "x86-64-v3"});
  succeeds(assembly);
  CHECK(assembly.out.find(".text") != std::string::npos);
}

TEST_CASE("run computes what the layers say, from JSON, .moru and .so, interpreted and with any number of threads") {
  const SmallProject project;
  write_file(project / "one.json", SmallProject::model_json(SmallProject::input_layer("2") +
                                                            R"(, {"class_name": "Dense", "config": {"name": "y/1",
    "units": 1, "use_bias": false, "kernel_initializer": {"class_name": "Constant", "config": {"value": 0.5}}}})"));
  write_floats(project / "x.npy", {3, 2}, {1, 2, 3, 4, -5, 5});
  succeeds(project.moru({"run", project / "one.json", project / "x.npy", "--output-dir", project / "out"}));
  CHECK(read_floats(project / "out/y%2F1.npy", {3, 1}) == std::vector<float>{1.5f, 3.5f, 0.0f});

  succeeds(project.moru({"import", project / "model.json", "-o", project / "m.moru", "--seed", "3"}));
  succeeds(project.moru({"compile", project / "m.moru", "-o", project / "m.so"}));
  std::vector<float> x(41 * 3);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  write_floats(project / "x41.npy", {41, 3}, x);
  succeeds(project.moru({"run", project / "m.moru", project / "x41.npy", "--output-dir", project / "jit"}));
  succeeds(project.moru({"run", project / "m.moru", "x=" + (project / "x41.npy"), "--output-dir", project / "threads",
                         "--threads", "3"}));
  succeeds(project.moru(
      {"run", project / "m.moru", project / "x41.npy", "--output-dir", project / "kernels", "--interpret"}));
  succeeds(project.moru({"run", project / "m.so", project / "x41.npy", "--output-dir", project / "aot"}));
  const std::string bytes = read_file(project / "jit/y.npy");
  CHECK(bytes.size() > 41 * 4);
  CHECK(read_file(project / "threads/y.npy") == bytes);
  CHECK(read_file(project / "kernels/y.npy") == bytes);
  CHECK(read_file(project / "aot/y.npy") == bytes);
}

TEST_CASE("compile writes libraries with a header, LLVM and assembly, and moru-run works with the library alone") {
  const SmallProject project;
  for (const char* ending : {"ll", "s", "o", "so"}) {
    CAPTURE(ending);
    const std::string path = project / (std::string("net.") + ending);
    succeeds(project.moru({"compile", project / "model.json", "-o", path}));
    CHECK(fs::file_size(path) > 0);
  }
  CHECK(read_file(project / "net.h").find("kernel_library_get") != std::string::npos);
  const Outcome info = project.moru({project / "net.so", "info", "--json"}, {.binary = "moru-run"});
  succeeds(info);
  CHECK(json::parse(info.out)["parameters"] == 41);
  const Outcome timed =
      project.moru({"compile", project / "model.json", "-o", project / "t.s", "--time", "--no-cache"});
  succeeds(timed);
  CHECK(timed.err.find("choose_layouts") != std::string::npos);
  CHECK(timed.err.find("emit_text") != std::string::npos);
  CHECK(timed.err.find("total") != std::string::npos);
  succeeds(project.moru({"compile", project / "model.json", "-o", project / "d.s", "--dump-dir", project / "dumps",
                         "--disable", "simplify", "--disable", "share_common"}));
  CHECK(fs::exists(project / "dumps/00_make_entries.txt"));
}

TEST_CASE("compile --time accounts for every stage from import to link") {
  const SmallProject project;
  const std::vector<std::string> words = {"compile", project / "recipe.json", "-o", project / "net.so", "--time",
                                          "--json"};
  const Outcome cold = project.moru(words);
  succeeds(cold);
  CHECK(cold.err.empty());
  const auto stages_of = [](const json& result) {
    std::vector<std::string> names;
    for (const json& stage : result["stages"]) names.push_back(stage["name"]);
    return names;
  };
  const json result = json::parse(cold.out);
  CHECK(result["output"] == project / "net.so");
  CHECK(result["header"] == project / "net.h");
  const std::vector<std::string> names = stages_of(result);
  const auto has = [](const std::vector<std::string>& list, const char* name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  CHECK(names.front() == "import");
  CHECK(names.back() == "link");
  const Outcome listed = project.moru({"passes", "--json"});
  for (const json& pass : json::parse(listed.out)) CHECK(has(names, pass["name"].get<std::string>().c_str()));
  for (const char* stage : {"recipe", "verify", "package", "outline", "cache", "emit", "llvm_optimize", "llvm_codegen"})
    CHECK_MESSAGE(has(names, stage), stage);
  double sum = 0;
  for (const json& stage : result["stages"]) {
    sum += stage["ms"].get<double>();
    CHECK(stage["thread_ms"].get<double>() >= 0);
  }
  CHECK(sum <= result["total_ms"].get<double>() * 1.001);
  CHECK(sum >= result["total_ms"].get<double>() * 0.8);
  const Outcome warm = project.moru(words);
  succeeds(warm);
  const std::vector<std::string> fewer = stages_of(json::parse(warm.out));
  CHECK(has(fewer, "cache"));
  CHECK_FALSE(has(fewer, "llvm_codegen"));  // a hit does not start LLVM
}

TEST_CASE("compile with a recipe embeds training, so that moru-run trains to the same bits as moru") {
  const SmallProject project;
  std::string recipe = SmallProject::recipe();
  recipe.replace(recipe.find("\"epochs\""), 0, "\"seed\": 5, ");
  write_file(project / "seeded.json", recipe);
  succeeds(project.moru({"train", project / "seeded.json", "--run-dir", project / "jit", "--quiet"}));
  succeeds(
      project.moru({"compile", project / "model.json", "--recipe", project / "seeded.json", "-o", project / "net.so"}));
  succeeds(project.moru(
      {project / "net.so", "train", "--data", project / "data.csv", "--run-dir", project / "aot", "--quiet"},
      {.binary = "moru-run"}));
  CHECK(read_file(project / "aot/history.json") == read_file(project / "jit/history.json"));
  CHECK(read_file(project / "aot/predictions.csv") == read_file(project / "jit/predictions.csv"));
  CHECK(read_file(project / "aot/history.json") != read_file(trained().run + "/history.json"));  // another seed
}

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

TEST_CASE("compare finds that reference, kernels and native code agree, node by node") {
  const SmallProject project;
  const Outcome outcome = project.moru({"compare", project / "recipe.json", "--nodes", "--json"});
  succeeds(outcome);
  const json result = json::parse(outcome.out);
  REQUIRE(result["nodes"].size() == 4);  // x_scaler, hidden, y, y_scaler
  CHECK(result["nodes"][1]["name"] == "hidden");
  CHECK(result["train_step"][0]["name"] == "loss");
  for (const json& row : result["nodes"]) CHECK(row["native_ulp"] == 0);
}

TEST_CASE("compiled objects are kept in the cache, unless that is not wanted") {
  const SmallProject project;
  const auto objects = [&] {
    std::error_code none;
    return std::distance(fs::directory_iterator(project.cache + "/moru", none), fs::directory_iterator());
  };
  succeeds(project.moru({"compile", project / "model.json", "-o", project / "a.so", "--no-cache"}));
  CHECK(objects() == 0);
  succeeds(project.moru({"compile", project / "model.json", "-o", project / "b.so"}));
  CHECK(objects() > 0);
  succeeds(project.moru({"compile", project / "model.json", "-o", project / "c.so"}));
  CHECK(read_file(project / "b.so") == read_file(project / "c.so"));
}

TEST_CASE("a program that was compiled before comes whole from the cache; a damaged one is compiled again") {
  const SmallProject project;
  const auto train = [&](const std::string& run, const std::string& seed) {
    const Outcome out = project.moru(
        {"train", project / "recipe.json", "--run-dir", project / run, "--quiet", "--time", "--seed", seed});
    succeeds(out);
    return out.err;
  };
  const auto compiles = [](const std::string& times) { return times.find("llvm_codegen") != std::string::npos; };
  CHECK(compiles(train("cold", "1")));
  const std::string warm = train("warm", "1");
  CHECK_FALSE(compiles(warm));
  CHECK(warm.find("differentiate") == std::string::npos);
  CHECK(read_file(project / "cold/history.csv") == read_file(project / "warm/history.csv"));
  for (const auto& file : fs::directory_iterator(project.cache + "/moru")) {
    std::string bytes = read_file(file.path());
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    std::ofstream(file.path(), std::ios::binary) << bytes;
  }
  CHECK(compiles(train("damaged", "1")));
  CHECK_FALSE(compiles(train("mended", "1")));
  CHECK(read_file(project / "cold/history.csv") == read_file(project / "mended/history.csv"));
}

TEST_CASE("no command writes over what it reads") {
  const SmallProject& project = trained().project;
  const std::string model = trained().run + "/model.moru", keras = project / "same.keras", data = project / "data.csv", recipe = project / "recipe.json";
  succeeds(project.moru({"convert", model, keras}));
  fs::create_symlink(data, project / "link.csv");
  const std::vector<std::pair<std::vector<std::string>, std::string>> calls = {
      {{"predict", model, "--data", data, "-o", data}, data},
      {{"predict", model, "--data", data, "-o", project / "link.csv"}, data},
      {{"predict", model, "--data", data, "-o", model}, model},
      {{"convert", keras, keras}, keras},
      {{"import", model, "-o", model}, model},
      {{"train", recipe, "-o", recipe, "--run-dir", project / "none"}, recipe},
      {{"train", recipe, "-o", project / "model.json", "--run-dir", project / "none"}, project / "model.json"}};
  for (const auto& [arguments, kept] : calls) {
    const std::string before = read_file(kept);
    const Outcome outcome = project.moru(arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find("is what is read, and would be lost") != std::string::npos);
    CHECK(read_file(kept) == before);
  }
  CHECK_FALSE(fs::exists(project / "none"));
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"import", keras, "-o", project / "k.keras"},
                                                    {"report", trained().run, "-o", trained().run + "/metrics.json"}}) {
    const Outcome outcome = project.moru(arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.code == 2);
    CHECK(outcome.err.find("which is what is written") != std::string::npos);
  }
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

TEST_CASE("convert: an ONNX file with a recipe and its scalers predicts what the trained model does, and is not trained") {
  const SmallProject& project = trained().project;
  const std::string onnx = project / "scaled.onnx", data = project / "data.csv";
  succeeds(project.moru({"convert", trained().run + "/model.moru", onnx}));
  const Outcome wanted = project.moru({"predict", trained().run + "/model.moru", "--data", data}), got = project.moru({"predict", onnx, "--data", data});
  succeeds(wanted);
  succeeds(got);
  std::istringstream wanted_lines(wanted.out), got_lines(got.out);
  std::string a, b;
  CHECK(count_lines(got.out) == count_lines(wanted.out));
  std::getline(wanted_lines, a);
  std::getline(got_lines, b);
  CHECK(a == b);
  while (std::getline(wanted_lines, a) && std::getline(got_lines, b))
    CHECK(std::stod(b.substr(b.rfind(',') + 1)) == doctest::Approx(std::stod(a.substr(a.rfind(',') + 1))).epsilon(1e-4));
  const Outcome training = project.moru({"train", onnx, "--data", data, "--run-dir", project / "again"});
  CHECK(training.code == 1);
  CHECK(training.err.find("train and evaluate the .moru that this file was made from") != std::string::npos);
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
