#include "runtime/training/predictions_json.h"

#include <algorithm>
#include <cmath>

#include "runtime/training/json_writer.h"
#include "runtime/training/predictions_table.h"

namespace moru {
namespace {

/// Of a sample's outputs: a probability for every class.
std::vector<float> class_probabilities(std::span<const float> outputs, std::size_t samples, bool from_logits) {
  const std::size_t width = outputs.size() / samples;
  std::vector<float> all;
  all.reserve(samples * std::max<std::size_t>(width, 2));
  for (std::size_t i = 0; i < samples; ++i) {
    const std::span<const float> row = outputs.subspan(i * width, width);
    if (width == 1) {
      const float p = from_logits ? 1 / (1 + std::exp(-row[0])) : row[0];
      all.insert(all.end(), {1 - p, p});
      continue;
    }
    if (!from_logits) {
      all.insert(all.end(), row.begin(), row.end());
      continue;
    }
    const float largest = *std::max_element(row.begin(), row.end());
    float sum = 0;
    for (const float value : row) sum += std::exp(value - largest);
    for (const float value : row) all.push_back(std::exp(value - largest) / sum);
  }
  return all;
}

bool write_classes(JsonWriter& json, const Recipe& recipe, const SavedTensor& answer, std::span<const float> actual,
                   std::span<const float> predicted, std::size_t samples) {
  const std::size_t width = predicted.size() / samples, actual_width = actual.size() / samples;
  if (actual_width != 1 && actual_width != width) return false;  // a class for each of several places
  const std::size_t classes = std::max<std::size_t>(width, 2);
  std::vector<int64_t> labels;
  for (std::size_t i = 0; i < samples; ++i) {
    labels.push_back(class_number(&actual[i * actual_width], actual_width));
    if (labels.back() < 0 || static_cast<std::size_t>(labels.back()) >= classes) return false;
  }
  const std::vector<std::string> names = class_names(recipe, answer.name);
  json.key("kind").text("class");
  json.key("classes").begin_array();
  for (std::size_t k = 0; k < classes; ++k) json.text(k < names.size() ? names[k] : std::to_string(k));
  json.end_array();
  json.key("actual").integers(labels);
  json.key("probabilities").numbers(class_probabilities(predicted, samples, has_logits(recipe, answer.name)));
  return true;
}

void write_numbers(JsonWriter& json, const SavedTensor& answer, const DatasetArray& target,
                   std::span<const float> actual, std::span<const float> predicted,
                   std::span<const TargetBaselines> baselines) {
  json.key("kind").text("number");
  json.key("features").begin_array();
  for (const std::string& feature : target.features) json.text(feature);
  json.end_array();
  json.key("shape").integers(std::span(answer.shape).subspan(1));
  json.key("actual").numbers(actual);
  json.key("predicted").numbers(predicted);
  json.key("baselines").begin_object();
  for (const TargetBaselines& of_target : baselines) {
    if (of_target.output != target.name) continue;
    for (const Baseline& baseline : of_target.baselines) {
      if (baseline.predicted.size() == predicted.size()) json.key(baseline.name).numbers(baseline.predicted);
    }
  }
  json.end_object();
}

}  // namespace

std::string predictions_json(const Recipe& recipe, const std::string& part, const Dataset& data,
                             std::span<const SavedTensor> answers, std::span<const TargetBaselines> baselines) {
  const auto samples = static_cast<std::size_t>(data.size());
  JsonWriter json;
  json.begin_object();
  json.key("part").text(part);
  json.key("samples").integer(data.size());
  json.key("horizon").integer(data.horizon());
  json.key("ordered").boolean(recipe.data.split.kind == SplitKind::chronological &&
                              (data.has_times() || recipe.data.windowed));
  std::vector<int64_t> rows, seconds;
  for (int64_t i = 0; i < data.size(); ++i) {
    rows.push_back(data.target_row(i));
    if (data.has_times()) seconds.push_back(data.times()->seconds[static_cast<std::size_t>(rows.back())]);
  }
  json.key("rows").integers(rows);
  if (data.has_times()) {
    json.key("seconds").integers(seconds);
    json.key("spacing").integer(data.times()->spacing);
  }
  json.key("outputs").begin_array();
  for (const SavedTensor& answer : answers) {
    json.begin_object();
    json.key("name").text(answer.name);
    const std::vector<float> predicted = as_floats(answer), actual = actual_values(data, answer.name);
    const bool comparable =
        !actual.empty() && !predicted.empty() && predicted.size() % samples == 0 && predicted.size() <= most_numbers;
    bool written = false;
    if (comparable && is_classification(recipe, data, answer.name)) {
      written = write_classes(json, recipe, answer, actual, predicted, samples);
    } else if (comparable && actual.size() == predicted.size()) {
      const auto target = static_cast<std::size_t>(data.find_target(answer.name));
      write_numbers(json, answer, data.targets()[target], actual, predicted, baselines);
      written = true;
    }
    if (!written) json.key("kind").text("other");
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.finish();
}

}  // namespace moru
