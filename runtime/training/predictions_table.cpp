#include "runtime/training/predictions_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/data/csv.h"
#include "runtime/training/json_writer.h"

namespace moru {
namespace {

template <typename T>
void append_floats(const std::byte* bytes, std::size_t count, std::vector<float>& out) {
  for (std::size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    out.push_back(static_cast<float>(value));
  }
}

void append_floats(DType dtype, const std::byte* bytes, std::size_t count, std::vector<float>& out) {
  switch (dtype) {
    case DType::f32: return append_floats<float>(bytes, count, out);
    case DType::f64: return append_floats<double>(bytes, count, out);
    case DType::i32: return append_floats<int32_t>(bytes, count, out);
    case DType::i64: return append_floats<int64_t>(bytes, count, out);
    case DType::boolean: return append_floats<uint8_t>(bytes, count, out);
    case DType::bf16: return;  // no slot holds it
  }
}

struct Column {
  std::string name;
  std::vector<std::string> cells;
};

std::string label_text(int64_t label, const std::vector<std::string>& names) {
  if (label >= 0 && static_cast<std::size_t>(label) < names.size()) return names[static_cast<std::size_t>(label)];
  return std::to_string(label);
}

struct Judged {
  int64_t label;
  double probability;
};

/// The class an output means: of one number, 1 if its probability exceeds one half; of several, the largest.
Judged judge_classes(const float* values, std::size_t count, bool from_logits) {
  if (count == 1) {
    const double p = from_logits ? 1 / (1 + std::exp(-static_cast<double>(values[0]))) : static_cast<double>(values[0]);
    return {p > 0.5 ? 1 : 0, p > 0.5 ? p : 1 - p};
  }
  const int64_t label = class_number(values, count);
  double probability = static_cast<double>(values[label]);
  if (from_logits) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(values[i]) - probability);
    probability = 1 / sum;
  }
  return {label, probability};
}

void add_classes(const Recipe& recipe, const std::string& output, const std::string& prefix,
                 const std::vector<float>& actual, const std::vector<float>& predicted, std::size_t samples,
                 std::vector<Column>& columns) {
  const std::vector<std::string> names = class_names(recipe, output);
  const bool logits = has_logits(recipe, output);
  const std::size_t width = predicted.size() / samples;
  const std::size_t actual_width = actual.size() / samples;
  Column truth{prefix + "actual", {}}, answer{prefix + "predicted", {}}, probability{prefix + "probability", {}};
  for (std::size_t i = 0; i < samples; ++i) {
    if (actual_width > 0)
      truth.cells.push_back(label_text(class_number(&actual[i * actual_width], actual_width), names));
    const Judged judged = judge_classes(&predicted[i * width], width, logits);
    answer.cells.push_back(label_text(judged.label, names));
    probability.cells.push_back(float_text(static_cast<float>(judged.probability)));
  }
  if (actual_width > 0) columns.push_back(std::move(truth));
  columns.push_back(std::move(answer));
  columns.push_back(std::move(probability));
}

void add_numbers(const Dataset& data, const std::string& output, const std::string& prefix,
                 const std::vector<float>& actual, const std::vector<float>& predicted, std::size_t samples,
                 std::vector<Column>& columns) {
  const std::size_t width = predicted.size() / samples;
  const int target = data.find_target(output);
  for (std::size_t j = 0; j < width; ++j) {
    std::string suffix;
    if (width > 1) {
      suffix = "_" + std::to_string(j);
      if (target >= 0 && data.targets()[static_cast<std::size_t>(target)].features.size() == width) {
        suffix = "_" + data.targets()[static_cast<std::size_t>(target)].features[j];
      }
    }
    Column truth{prefix + "actual" + suffix, {}}, answer{prefix + "predicted" + suffix, {}};
    for (std::size_t i = 0; i < samples; ++i) {
      if (!actual.empty()) truth.cells.push_back(float_text(actual[i * width + j]));
      answer.cells.push_back(float_text(predicted[i * width + j]));
    }
    if (!actual.empty()) columns.push_back(std::move(truth));
    columns.push_back(std::move(answer));
  }
}

}  // namespace

std::vector<float> as_floats(const SavedTensor& tensor) {
  std::vector<float> values;
  const std::size_t count = tensor.bytes.size() / static_cast<std::size_t>(dtype_bytes(tensor.dtype));
  values.reserve(count);
  append_floats(tensor.dtype, tensor.bytes.data(), count, values);
  return values;
}

std::vector<float> actual_values(const Dataset& data, const std::string& output) {
  const int found = data.find_target(output);
  if (found < 0) return {};
  const DatasetArray& array = data.targets()[static_cast<std::size_t>(found)];
  std::vector<std::byte> bytes(array.sample_bytes * static_cast<std::size_t>(data.size()));
  std::vector<void*> addresses(data.targets().size(), nullptr);
  addresses[static_cast<std::size_t>(found)] = bytes.data();
  data.gather_range(0, data.size(), {}, addresses);
  std::vector<float> values;
  const std::size_t count = bytes.size() / static_cast<std::size_t>(dtype_bytes(array.dtype));
  values.reserve(count);
  append_floats(array.dtype, bytes.data(), count, values);
  return values;
}

bool is_classification(const Recipe& recipe, const Dataset& data, const std::string& output) {
  const int target = data.find_target(output);
  if (target >= 0 && data.targets()[static_cast<std::size_t>(target)].is_category) return true;
  const LossRecipe* loss = find_loss(recipe.fit, output);
  return loss != nullptr && (loss->name.find("crossentropy") != std::string::npos ||
                             loss->name.find("hinge") != std::string::npos);
}

std::vector<std::string> class_names(const Recipe& recipe, const std::string& output) {
  const TargetRecipe* target = find_target(recipe.data, output);
  if (target == nullptr || target->columns.size() != 1 || !recipe.fitted) return {};
  const ColumnRecipe& column = target->columns.front();
  if (column.encoder != EncoderKind::one_hot && column.encoder != EncoderKind::ordinal) return {};
  for (const FittedColumn& fitted : recipe.fitted->columns) {
    if (fitted.column == column.column && !fitted.categories.empty()) return fitted.categories;
  }
  return column.categories;
}

int64_t class_number(const float* values, std::size_t count) {
  return count == 1 ? std::llround(values[0]) : std::max_element(values, values + count) - values;
}

bool has_logits(const Recipe& recipe, const std::string& output) {
  const LossRecipe* loss = find_loss(recipe.fit, output);
  return loss != nullptr && loss->from_logits;
}

Result<std::string> predictions_csv(const Recipe& recipe, const Dataset& data, std::span<const SavedTensor> answers) {
  const auto samples = static_cast<std::size_t>(data.size());
  std::vector<Column> columns;
  for (const SavedTensor& answer : answers) {
    const std::vector<float> predicted = as_floats(answer);
    if (samples == 0 || predicted.empty() || predicted.size() % samples != 0) {
      return Status(StatusCode::shape_mismatch, "the output '" + answer.name + "' has shape " +
                                                    sizes_text(answer.shape) + " for " + std::to_string(samples) +
                                                    " samples: there is no row for each");
    }
    const std::string prefix = answers.size() > 1 ? answer.name + "_" : "";
    std::vector<float> actual = actual_values(data, answer.name);
    if (is_classification(recipe, data, answer.name)) {
      add_classes(recipe, answer.name, prefix, actual, predicted, samples, columns);
    } else {
      if (actual.size() != predicted.size()) actual.clear();
      add_numbers(data, answer.name, prefix, actual, predicted, samples, columns);
    }
  }
  std::string text = data.has_times() ? "time" : "row";
  for (const Column& column : columns) {
    text += ',';
    append_csv_cell(text, column.name);
  }
  text += '\n';
  for (std::size_t i = 0; i < samples; ++i) {
    append_csv_cell(text, data.target_label(static_cast<int64_t>(i)));
    for (const Column& column : columns) {
      text += ',';
      append_csv_cell(text, column.cells[i]);
    }
    text += '\n';
  }
  return text;
}

}  // namespace moru
