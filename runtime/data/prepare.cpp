#include "runtime/data/prepare.h"

#include <algorithm>

#include "runtime/data/rows.h"
#include "runtime/data/wording.h"

namespace moru {

DatasetArray describe_array(const std::string& name, DType dtype, InputRows rows, const WindowRecipe& window,
                            const std::vector<int64_t>& row_shape) {
  DatasetArray array;
  array.name = name;
  array.dtype = dtype;
  array.row_bytes = static_cast<std::size_t>(dtype_bytes(dtype));
  for (const int64_t size : row_shape) array.row_bytes *= static_cast<std::size_t>(size);
  array.sample_bytes = array.row_bytes;
  if (rows == InputRows::window) {
    array.sample_shape.push_back(window.length);
    array.sample_bytes *= static_cast<std::size_t>(window.length);
    array.first_row = 1 - window.length;
  } else if (rows == InputRows::target_row) {
    array.first_row = window.horizon;
  }
  array.sample_shape.insert(array.sample_shape.end(), row_shape.begin(), row_shape.end());
  return array;
}

std::vector<uint8_t> find_usable(std::span<const RowNeed> needs, const WindowRecipe& window, int64_t row_count) {
  std::vector<uint8_t> usable(static_cast<std::size_t>(row_count), 1);
  for (const RowNeed& need : needs) {
    const std::vector<uint8_t> whole =
        find_whole_windows(need.good, need.rows == InputRows::window ? window.length : 1);
    for (int64_t row = 0; row < row_count; ++row) {
      uint8_t& flag = usable[static_cast<std::size_t>(row)];
      const int64_t read = need.rows == InputRows::target_row ? row + window.horizon : row;
      if (read >= row_count || whole[static_cast<std::size_t>(read)] == 0) flag = 0;
    }
  }
  // Where a window exists, a sample has a whole one behind it even if no input reads it, so that recipes with and
  // without the window input agree on the samples.
  for (int64_t row = 0; row < std::min(window.length - 1, row_count); ++row) usable[static_cast<std::size_t>(row)] = 0;
  return usable;
}

namespace {

/// What the recipe asks for where it has no window: every row for itself.
Recipe with_effective_window(const Recipe& recipe) {
  Recipe effective = recipe;
  if (!effective.data.windowed) effective.data.window = WindowRecipe{};
  return effective;
}

Result<SourceRows> read_rows(const Recipe& recipe, const std::string& path, Purpose purpose, bool learn) {
  if (recipe.data.source == SourceKind::npy) return read_npy_rows(recipe, purpose, learn);
  return read_csv_rows(recipe, path, purpose, learn);
}

Result<Dataset> make_part(const SourceRows& rows, std::vector<int64_t> anchors, int64_t horizon) {
  Dataset::Parts parts;
  parts.inputs = rows.inputs;
  parts.targets = rows.targets;
  parts.weights = rows.weights;
  parts.times = rows.times;
  parts.anchors = std::move(anchors);
  parts.horizon = horizon;
  parts.row_count = rows.row_count;
  parts.source_fingerprint = rows.fingerprint;
  return Dataset::make(std::move(parts));
}

std::string source_name(const DataRecipe& data, const std::string& path) {
  if (data.source == SourceKind::csv) return path;
  return data.inputs[0].path;
}

/// `part` is what lacks samples; a fitted recipe has its window and its treatment of missing cells.
Status no_samples(const Recipe& recipe, const std::string& path, const std::string& part, Purpose purpose, int64_t rows) {
  const WindowRecipe& window = recipe.data.window;
  const bool is_training = purpose == Purpose::training;
  const bool looks_ahead = purpose != Purpose::prediction ||
                           std::any_of(recipe.data.inputs.begin(), recipe.data.inputs.end(),
                                       [](const InputRecipe& input) { return input.rows == InputRows::target_row; });
  std::string message =
      source_name(recipe.data, path) + ": no sample for " + part + " among its " + std::to_string(rows) + " rows";
  if (recipe.data.windowed) {
    return data_error(
        message + ": one takes " + std::to_string(window.length + (looks_ahead ? window.horizon : 0)) + " neighbouring rows (window " +
        std::to_string(window.length) + (looks_ahead ? ", horizon " + std::to_string(window.horizon) : "") +
        ")\n  hint: give more rows" + (is_training ? ", or a shorter window" : "") +
        "; rows with missing cells and filtered rows break windows");
  }
  return data_error(
      message + "\n  hint: " +
      (is_training ? "give more rows, a larger fraction, or fill missing cells instead of dropping their rows"
                   : "give rows without missing cells that pass the filters"));
}

Status need_fitted(const Recipe& recipe) {
  if (recipe.fitted) return {};
  return recipe_error(
      recipe, "has not been fitted to training data\n  hint: train first; the trained model carries a fitted recipe",
      StatusCode::wrong_state);
}

}  // namespace

Result<PreparedData> prepare_training(const Recipe& recipe, bool keep_fitted) {
  MORU_RETURN_IF_ERROR(check_recipe(recipe));
  if (keep_fitted) MORU_RETURN_IF_ERROR(need_fitted(recipe));
  const Recipe effective = with_effective_window(recipe);
  const DataRecipe& data = effective.data;
  Result<SourceRows> rows = read_rows(effective, data.path, Purpose::training, !keep_fitted);
  if (!rows.ok()) return rows.status();

  PreparedData prepared;
  prepared.recipe = recipe;
  prepared.recipe.fitted = rows->fitted;
  for (const auto& [part, dataset] :
       {std::pair{Part::train, &prepared.train}, std::pair{Part::validation, &prepared.validation},
        std::pair{Part::test, &prepared.test}}) {
    Result<Dataset> made =
        make_part(*rows, find_anchors(rows->parts, part, rows->usable, data.window), data.window.horizon);
    if (!made.ok()) return made.status();
    *dataset = std::move(made.value());
  }
  if (effective.fit.validation == ValidationFrom::last_of_training) {
    const int64_t all = prepared.train.size();
    const int64_t kept = training_samples(all, effective.fit.validation_split);
    prepared.validation = prepared.train.slice(kept, all - kept);
    prepared.train = prepared.train.slice(0, kept);
  }
  if (prepared.train.size() == 0) return no_samples(effective, data.path, "training", Purpose::training, rows->row_count);
  if (effective.fit.validation != ValidationFrom::none && prepared.validation.size() == 0) {
    return no_samples(effective, data.path, "validation", Purpose::training, rows->row_count);
  }
  const bool wants_test = data.split.kind == SplitKind::column ? !data.split.test_values.empty() : data.split.test > 0;
  if (wants_test && prepared.test.size() == 0) return no_samples(effective, data.path, "the test", Purpose::training, rows->row_count);
  return prepared;
}

Result<Dataset> prepare_evaluation(const Recipe& recipe, const std::string& path) {
  MORU_RETURN_IF_ERROR(check_recipe(recipe));
  MORU_RETURN_IF_ERROR(need_fitted(recipe));
  const Recipe effective = with_effective_window(recipe);
  const std::string& from = path.empty() ? recipe.data.path : path;
  Result<SourceRows> rows = read_rows(effective, from, Purpose::evaluation, false);
  if (!rows.ok()) return rows.status();
  std::vector<int64_t> anchors = find_anchors(rows->parts, Part::train, rows->usable, effective.data.window);
  if (anchors.empty()) return no_samples(effective, from, "the evaluation", Purpose::evaluation, rows->row_count);
  return make_part(*rows, std::move(anchors), effective.data.window.horizon);
}

Result<Dataset> prepare_prediction(const Recipe& recipe, const std::string& path) {
  MORU_RETURN_IF_ERROR(check_recipe(recipe));
  MORU_RETURN_IF_ERROR(need_fitted(recipe));
  const Recipe effective = with_effective_window(recipe);
  const std::string& from = path.empty() ? recipe.data.path : path;
  Result<SourceRows> rows = read_rows(effective, from, Purpose::prediction, false);
  if (!rows.ok()) return rows.status();
  std::vector<int64_t> anchors;
  for (int64_t row = 0; row < rows->row_count; ++row) {
    if (rows->usable[static_cast<std::size_t>(row)] != 0) anchors.push_back(row);
  }
  if (anchors.empty()) return no_samples(effective, from, "the prediction", Purpose::prediction, rows->row_count);
  return make_part(*rows, std::move(anchors), effective.data.window.horizon);
}

}  // namespace moru
