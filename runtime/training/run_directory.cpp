#include "runtime/training/run_directory.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "runtime/atomic_file.h"
#include "runtime/checkpoint.h"
#include "runtime/checksum.h"
#include "runtime/data/wording.h"
#include "runtime/moru_file.h"
#include "runtime/training/json_writer.h"
#include "runtime/version.h"

namespace moru {
namespace {

constexpr std::array<std::string_view, 8> run_files = {"recipe.json",  "history.json",    "history.csv",      "metrics.json",
                                                       "model.moru", "predictions.csv", "predictions.json", "report.html"};

/// What a killed process left half written: temporary files by the names that AtomicFile gives them.
bool is_left_over(std::string_view name) {
  const size_t mark = name.rfind(".tmp-");
  if (mark == std::string_view::npos) return false;
  const std::string_view number = name.substr(mark + 5);
  return number.find('-') != std::string_view::npos && number.find_first_not_of("0123456789-") == std::string_view::npos;
}

Status folder_error(const std::string& doing, const std::string& path, const std::error_code& error) {
  return file_error(doing.c_str(), path, error.value());
}

}  // namespace

bool is_run_file(std::string_view name) {
  return name == "." || name == ".." || name == "checkpoints" || std::find(run_files.begin(), run_files.end(), name) != run_files.end();
}

Result<RunDirectory> RunDirectory::create(const std::string& path, bool resume) {
  RunDirectory run;
  run.path_ = path;
  std::error_code error;
  std::filesystem::create_directories(run.checkpoints(), error);
  if (error) return folder_error("make the run directory", path, error);
  for (const std::string& folder : {run.path_, run.checkpoints()}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      std::error_code ignored;
      if (is_left_over(entry.path().filename().string())) std::filesystem::remove(entry.path(), ignored);
    }
    if (error) return folder_error("read", folder, error);
  }
  if (resume) return run;
  for (const char* name :
       {"history.json", "history.csv", "metrics.json", "predictions.csv", "predictions.json", "model.moru"}) {
    std::filesystem::remove(run.file(name), error);
    if (error) return folder_error("remove the earlier run's", run.file(name), error);
  }
  std::filesystem::directory_iterator checkpoints(run.checkpoints(), error);
  if (error) return folder_error("read", run.checkpoints(), error);
  for (const std::filesystem::directory_entry& entry : checkpoints) {
    const std::string name = entry.path().filename().string();
    const bool ours = name.ends_with(".moruckpt") || (name.starts_with("epoch-") && name.ends_with(".moru")) ||
                      name == "best.moru";
    if (!ours) continue;
    std::filesystem::remove(entry.path(), error);
    if (error) return folder_error("remove the earlier run's", entry.path().string(), error);
  }
  return run;
}

Status RunDirectory::write_history(const History& history) const {
  MORU_RETURN_IF_ERROR(write_file_atomically(file("history.json"), history.to_json()));
  return write_file_atomically(file("history.csv"), history.to_csv());
}

Status save_model(const Session& session, const Recipe& recipe, const std::string& path,
                  std::span<const std::byte> training) {
  const std::vector<std::byte> bytes = write_recipe(recipe);
  MoruSection state{SectionKind::training, {}};
  if (!training.empty()) state.pieces.push_back(training);
  return save_moru(session, path, {{SectionKind::recipe, {std::span(bytes)}}, std::move(state)});
}

std::string metrics_table(std::span<const NamedMetrics> rows) {
  std::vector<std::string> names;
  std::size_t label_width = 0;
  for (const NamedMetrics& row : rows) {
    label_width = std::max(label_width, row.name.size());
    for (const NamedValue& value : row.values) {
      if (std::find(names.begin(), names.end(), value.name) == names.end()) names.push_back(value.name);
    }
  }
  std::string text(label_width, ' ');
  const auto append_right = [&](const std::string& cell, std::size_t width) {
    text.append(2 + (width > cell.size() ? width - cell.size() : 0), ' ');
    text += cell;
  };
  const auto width_of = [](const std::string& name) { return std::max<std::size_t>(name.size(), 9); };
  for (const std::string& name : names) append_right(name, width_of(name));
  text += '\n';
  for (const NamedMetrics& row : rows) {
    text += row.name;
    text.append(label_width - row.name.size(), ' ');
    for (const std::string& name : names) {
      const auto value = std::find_if(row.values.begin(), row.values.end(),
                                      [&](const NamedValue& candidate) { return candidate.name == name; });
      append_right(value == row.values.end() ? "-" : number_text(value->value, 5), width_of(name));
    }
    text += '\n';
  }
  return text;
}

std::string RunMetrics::to_text() const {
  std::vector<NamedMetrics> rows = parts;
  for (const NamedMetrics& baseline : baselines) {
    const std::string name = "(" + baseline.name + ")";
    auto row = std::find_if(rows.begin(), rows.end(), [&](const NamedMetrics& one) { return one.name == name; });
    if (row == rows.end()) row = rows.insert(row, {name, {}});
    for (const NamedValue& value : baseline.values)
      row->values.push_back({baseline.output.empty() ? value.name : baseline.output + "_" + value.name, value.value});
  }
  std::array<char, 160> line;
  std::snprintf(line.data(), line.size(), "%lld epochs in %.2f s (%.4g s each), best epoch %lld\n",
                static_cast<long long>(epochs), seconds, seconds_per_epoch, static_cast<long long>(best_epoch));
  return metrics_table(rows) + line.data();
}

std::string RunMetrics::to_json() const {
  JsonWriter json;
  const auto write_values = [&](const std::vector<NamedValue>& values) {
    json.begin_object();
    for (const NamedValue& value : values) json.key(value.name).number(value.value);
    json.end_object();
  };
  json.begin_object();
  json.key("seconds").number(seconds);
  json.key("seconds_per_epoch").number(seconds_per_epoch);
  json.key("epochs").integer(epochs);
  json.key("best_epoch").integer(best_epoch);
  json.key("stopped_early").boolean(stopped_early);
  for (const NamedMetrics& part : parts) {
    json.key(part.name);
    write_values(part.values);
  }
  json.key("baselines").begin_object();
  for (const NamedMetrics& baseline : baselines) {
    json.key(baseline.output.empty() ? baseline.name : baseline.output + "_" + baseline.name);
    write_values(baseline.values);
  }
  json.end_object();
  const auto write_hash = [&](const char* name, uint64_t value) {
    json.key(name).text(hash_text(value));
  };
  write_hash("program_hash", program_hash);
  json.key("target").text(target);
  json.key("threads").integer(threads);
  json.key("seed").integer(static_cast<int64_t>(seed));
  json.key("parameters").integer(parameters);
  json.key("moru_version").text(moru_version_text);
  json.key("finished").text(finished);
  json.key("data").text(data);
  write_hash("data_fingerprint", data_fingerprint);
  json.key("samples").begin_object();
  for (const auto& [part, count] : samples) json.key(part).integer(count);
  json.end_object();
  json.end_object();
  return json.finish();
}

}  // namespace moru
