// moru convert: from every kind of file to every other.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/tools/moru_process.h"

namespace fs = std::filesystem;
using namespace moru;
using namespace moru::test;
using nlohmann::json;

namespace {

std::string weights_of(const SmallProject& project, const std::string& model) {
  const std::string file = project / "compare.safetensors";
  succeeds(project.moru({"convert", model, file}));
  return read_file(file);
}

}  // namespace

TEST_CASE("convert goes round through every format that holds a whole model, and keeps weights bit for bit") {
  const SmallProject project;
  succeeds(project.moru({"convert", project / "model.json", project / "a.moru", "--seed", "3"}));
  const std::string weights = weights_of(project, project / "a.moru");
  std::string last = project / "a.moru";
  for (const char* name : {"b.keras", "c.h5", "d.keras", "e.hdf5", "f.moru", "g.h5", "h.moru"}) {
    CAPTURE(name);
    succeeds(project.moru({"convert", last, project / name}));
    last = project / name;
    CHECK(weights_of(project, last) == weights);
  }
  const Outcome first = project.moru({"summary", project / "a.moru", "--json"});
  const Outcome after = project.moru({"summary", last, "--json"});
  succeeds(after);
  CHECK(json::parse(first.out)["layers"] == json::parse(after.out)["layers"]);
}

TEST_CASE("convert writes layers and weights apart and joins them again") {
  const SmallProject project;
  succeeds(project.moru({"convert", project / "model.json", project / "a.moru", "--seed", "3"}));
  const std::string weights = weights_of(project, project / "a.moru");
  const Outcome alone = project.moru({"convert", project / "a.moru", project / "layers.json"});
  succeeds(alone);
  CHECK(alone.out.find("a .json holds no weights") != std::string::npos);
  for (const char* name : {"w.npz", "w.safetensors", "w.weights.h5"}) {
    CAPTURE(name);
    succeeds(project.moru({"convert", project / "a.moru", project / "b.json", "--save-weights", project / name}));
    succeeds(project.moru({"convert", project / "b.json", project / "b.moru", "--weights", project / name}));
    CHECK(weights_of(project, project / "b.moru") == weights);
  }
  succeeds(project.moru({"convert", project / "w.npz", project / "again.safetensors"}));
  succeeds(project.moru({"import", project / "b.json", "-o", project / "c.moru", "--weights", project / "again.safetensors"}));
  CHECK(weights_of(project, project / "c.moru") == weights);
}

TEST_CASE("convert keeps the recipe of a trained model, and leaves nothing behind where it fails") {
  const SmallProject project;
  succeeds(project.moru({"train", project / "recipe.json", "--run-dir", project / "run", "--quiet"}));
  succeeds(project.moru({"convert", project / "run/model.moru", project / "copy.moru"}));
  const Outcome bare = project.moru({"convert", project / "run/model.moru", project / "bare.keras"});
  succeeds(bare);
  CHECK(bare.out.find("note: a .keras holds no recipe, by which raw rows are read; keep the .moru") != std::string::npos);
  CHECK(project.moru({"convert", project / "run/model.moru", project / "bare.onnx"}).out.find("note") == std::string::npos);
  const auto predicted = [&](const std::string& model, const std::string& out) {
    succeeds(project.moru({"predict", model, "--data", project / "data.csv", "-o", out}));
    return read_file(out);
  };
  CHECK(predicted(project / "run/model.moru", project / "p.csv") == predicted(project / "copy.moru", project / "q.csv"));
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& message) {
    const Outcome outcome = project.moru(arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find(message) != std::string::npos);
  };
  refused({"convert", project / "copy.moru", project / "x.tflite"}, "end its name in one of .moru, .onnx, .keras");
  refused({"convert", project / "copy.moru", project / "x.json", "--save-weights", project / "x.keras"},
          "no kind of file for weights alone");
  CHECK(!fs::exists(project / "x.json"));
  succeeds(project.moru({"convert", project / "copy.moru", project / "w.npz"}));
  refused({"convert", project / "w.npz", project / "x.keras"}, "holds weights only");
  refused({"convert", project / "model.json", project / "x.moru", "--weights", project / "w.npz"}, "not in the model");
  CHECK(!fs::exists(project / "x.moru"));
}
