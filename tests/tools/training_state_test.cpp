// Training that stops, travels through a file, and goes on: as if it had never stopped.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/tools/moru_process.h"

namespace fs = std::filesystem;
using namespace moru;
using namespace moru::test;

namespace {

const std::string columns = R"({"columns": ["a", "b", "c"], "scaler": "standard"})";

std::string recipe(const std::string& model, const std::string& optimizer, const std::string& epochs) {
  return SmallProject::recipe(model, "data.csv", columns,
                              "\"optimizer\": " + optimizer + R"(, "loss": "mse", "metrics": ["mae"], "batch_size": 16, )" + epochs);
}

std::string weights_of(const SmallProject& project, const std::string& model) {
  succeeds(project.moru({"convert", model, project / "compare.safetensors"}));
  return read_file(project / "compare.safetensors");
}

std::string trained(const SmallProject& project, const std::string& text) {
  write_file(project / "next.json", text);
  succeeds(project.moru({"train", project / "next.json", "--run-dir", project / "next", "--quiet"}));
  return weights_of(project, project / "next/model.moru");
}

}  // namespace

TEST_CASE("train -o: a file of any kind goes on as if training had not stopped") {
  const char* optimizers[] = {
      R"({"name": "adam", "learning_rate": 0.01, "amsgrad": true, "clipnorm": 1.0})",
      R"({"name": "nadam", "learning_rate": 0.01})",
      R"({"name": "adafactor", "learning_rate": 0.01})",
      R"({"name": "adam", "learning_rate": {"name": "ExponentialDecay", "initial_learning_rate": 0.05, "decay_steps": 3, "decay_rate": 0.5}})",
  };
  for (const char* optimizer : optimizers) {
    CAPTURE(std::string(optimizer));
    const SmallProject project;
    write_file(project / "half.json", recipe("model.json", optimizer, "\"epochs\": 2"));
    succeeds(project.moru({"train", project / "half.json", "--run-dir", project / "half", "--quiet", "-o", project / "half.keras"}));
    succeeds(project.moru({"convert", project / "half.keras", project / "half.h5"}));
    succeeds(project.moru({"convert", project / "half.json", project / "checkpoint.keras", "--weights", project / "half/checkpoints/ckpt-12.moruckpt"}));
    const std::string whole = trained(project, recipe("model.json", optimizer, "\"epochs\": 4"));
    for (const char* name : {"half.keras", "half.h5", "half/model.moru", "checkpoint.keras"}) {
      CAPTURE(std::string(name));
      CHECK(trained(project, recipe(name, optimizer, "\"epochs\": 4, \"initial_epoch\": 2")) == whole);
    }
  }
}

TEST_CASE("train: a learning rate that the recipe changes is the recipe's; another optimizer begins anew and says so") {
  const SmallProject project;
  const auto sgd = [](const char* rate) { return std::string(R"({"name": "sgd", "momentum": 0.9, "learning_rate": )") + rate + "}"; };
  write_file(project / "half.json", recipe("model.json", sgd("0.01"), "\"epochs\": 2"));
  succeeds(project.moru({"train", project / "half.json", "--run-dir", project / "half", "--quiet", "-o", project / "half.keras"}));
  const std::string further = "\"epochs\": 4, \"initial_epoch\": 2";
  const std::string before = weights_of(project, project / "half.keras");
  CHECK(trained(project, recipe("half.keras", sgd("0.02"), further)) != trained(project, recipe("half.keras", sgd("0.01"), further)));
  write_file(project / "other.json", recipe("half.keras", R"({"name": "adam"})", further));
  const Outcome other = project.moru({"train", project / "other.json", "--run-dir", project / "other", "--quiet"});
  succeeds(other);
  CHECK(other.err.find("does not fit the recipe's (adam), which begins anew") != std::string::npos);
  CHECK(weights_of(project, project / "half.keras") == before);
}

TEST_CASE("train -o: a name that says no kind of file is refused before training") {
  const SmallProject project;
  const Outcome refused = project.moru({"train", project / "recipe.json", "--run-dir", project / "run", "-o", project / "m.bin"});
  CHECK(refused.code == 1);
  CHECK(refused.err.find("cannot tell what kind of file") != std::string::npos);
  CHECK_FALSE(fs::exists(project / "run"));
}
