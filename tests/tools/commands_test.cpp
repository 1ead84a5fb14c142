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
#include "tests/tools/trained.h"

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

