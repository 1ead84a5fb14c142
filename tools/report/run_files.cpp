#include "tools/report/run_files.h"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace moru {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

Status bad(const std::string& message) { return Status(StatusCode::invalid_argument, message); }

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return bad("cannot read '" + path + "'");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Result<Json> read_json(const std::string& path, const char* needed) {
  const Result<std::string> text = read_text(path);
  if (!text) return text.status();
  Json json = Json::parse(*text, nullptr, false, true);
  if (json.is_discarded() || !json.is_object() || (needed[0] != '\0' && !json.contains(needed)))
    return bad("'" + path + "' is not what moru train wrote: " +
               (json.is_object() ? "it has no \"" + std::string(needed) + "\"" : "it is no JSON object") +
               "\n  hint: train again, or restore the file");
  return json;
}

/// Whether every list in predictions.json has as many elements as the samples ask for.
bool is_consistent(const Json& predictions) {
  try {
    const auto samples = predictions.at("samples").get<size_t>();
    if (predictions.at("rows").size() != samples) return false;
    if (predictions.contains("seconds") && predictions.at("seconds").size() != samples) return false;
    for (const Json& output : predictions.at("outputs")) {
      output.at("name").get<std::string>();
      const std::string kind = output.at("kind");
      if (kind == "class") {
        const size_t classes = output.at("classes").size();
        if (classes < 2 || output.at("actual").size() != samples) return false;
        if (output.at("probabilities").size() != samples * classes) return false;
        for (const Json& label : output.at("actual"))
          if (label.get<int64_t>() < 0 || label.get<size_t>() >= classes) return false;
      } else if (kind == "number") {
        const size_t count = output.at("actual").size();
        if (samples == 0 || count == 0 || count % samples != 0 || output.at("predicted").size() != count) return false;
        for (const auto& [name, values] : output.at("baselines").items())
          if (values.size() != count) return false;
      }
    }
  } catch (const Json::exception&) {
    return false;
  }
  return true;
}

}  // namespace

Result<RunFiles> read_run_files(const std::string& directory) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored))
    return bad("there is no run directory '" + directory + "'\n  hint: give the --run-dir of a moru train");
  const auto file = [&](const char* name) { return (fs::path(directory) / name).string(); };
  if (!fs::exists(file("recipe.json"), ignored))
    return bad("'" + directory +
               "' is no run directory: it has no recipe.json\n  hint: give the --run-dir of a moru train");
  if (!fs::exists(file("metrics.json"), ignored))
    return bad("the run in '" + directory +
               "' is not finished: it has no metrics.json\n  hint: go on with moru train --resume, then report");
  RunFiles run;
  run.directory = directory;
  Result<std::string> text = read_text(file("recipe.json"));
  if (!text) return text.status();
  run.recipe_text = *text;
  const auto read = [&](const char* name, const char* needed, Json& into) -> Status {
    Result<Json> json = read_json(file(name), needed);
    if (!json) return json.status();
    into = *std::move(json);
    return Status();
  };
  MORU_RETURN_IF_ERROR(read("recipe.json", "data", run.recipe));
  MORU_RETURN_IF_ERROR(read("history.json", "", run.history));
  MORU_RETURN_IF_ERROR(read("metrics.json", "epochs", run.metrics));
  if (fs::exists(file("predictions.json"), ignored)) {
    MORU_RETURN_IF_ERROR(read("predictions.json", "outputs", run.predictions));
    if (!is_consistent(run.predictions))
      return bad("'" + file("predictions.json") + "' is not what moru train wrote: its lists do not fit together" +
                 "\n  hint: train again, or restore the file");
  }
  return run;
}

}  // namespace moru
