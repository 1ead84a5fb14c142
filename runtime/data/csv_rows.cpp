// A CSV file and a recipe become rows of numbers: filters, time, split, missing cells, encoders, scaler statistics.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/data/csv.h"
#include "runtime/data/encode.h"
#include "runtime/data/gaps.h"
#include "runtime/data/rows.h"
#include "runtime/data/scale.h"
#include "runtime/data/time_text.h"
#include "runtime/data/wording.h"

namespace moru {
namespace {

struct Column {
  const ColumnRecipe* recipe = nullptr;
  MissingRecipe missing;
  std::size_t position = 0;  // in the table
  std::size_t fitted = 0;    // in Fitted::columns
  ColumnValues values;
};

struct Group {
  std::string name;
  DType dtype = DType::f32;
  InputRows rows = InputRows::row;
  bool is_target = false;
  std::vector<Column> columns;
};

class CsvRows {
 public:
  CsvRows(const Recipe& recipe, Purpose purpose, bool learn)
      : recipe_(recipe), data_(recipe.data), purpose_(purpose), learn_(learn) {}

  Result<SourceRows> read(const std::string& path) {
    if (path.empty()) {
      return recipe_error(recipe_, "data: names no CSV file\n  hint: set \"csv\" in the recipe, or give --data FILE.csv");
    }
    if (!learn_) out_.fitted = *recipe_.fitted;
    Result<CsvTable> table = read_csv(path, {data_.separator, data_.encoding, data_.numbers.decimal});
    if (!table.ok()) return table.status();
    table_ = std::move(table.value());
    rows_ = table_.row_count();
    if (rows_ == 0) return data_error(path + ": has a header and no rows\n  hint: is this the right file?");
    out_.row_count = static_cast<int64_t>(rows_);
    out_.fingerprint = table_.fingerprint();

    MORU_RETURN_IF_ERROR(find_columns());
    MORU_RETURN_IF_ERROR(apply_filters());
    MORU_RETURN_IF_ERROR(read_times());
    MORU_RETURN_IF_ERROR(read_cells());
    MORU_RETURN_IF_ERROR(split());
    find_samples();
    MORU_RETURN_IF_ERROR(fill());
    MORU_RETURN_IF_ERROR(read_weights());
    for (Group& group : groups_) MORU_RETURN_IF_ERROR(encode(group));
    if (learn_) {
      out_.fitted.separator = std::string(1, table_.separator());
      out_.fitted.encoding = table_.encoding();
      out_.fitted.data_fingerprint = table_.fingerprint();
      out_.fitted.training_rows = std::count(learned_from_.begin(), learned_from_.end(), Part::train);
    }
    return std::move(out_);
  }

 private:
  Status add_group(const std::string& name, DType dtype, InputRows rows, bool is_target,
                   const std::vector<ColumnRecipe>& columns) {
    Group group{name, dtype, rows, is_target, {}};
    for (const ColumnRecipe& column : columns) {
      Result<std::size_t> position = table_.find_column(column.column);
      if (!position.ok()) return position.status();
      Column one;
      one.recipe = &column;
      one.missing = column.missing.value_or(data_.missing);
      one.position = *position;
      one.fitted = fitted_count_++;
      group.columns.push_back(std::move(one));
    }
    groups_.push_back(std::move(group));
    return {};
  }

  Status find_columns() {
    for (const InputRecipe& input : data_.inputs) {
      MORU_RETURN_IF_ERROR(add_group(input.name, input.type, input.rows, false, input.columns));
    }
    // Fitted::columns holds inputs first and targets behind them, so that a prediction, which leaves the targets out,
    // finds the inputs at the same positions.
    if (purpose_ != Purpose::prediction) {
      for (const TargetRecipe& target : data_.targets) {
        MORU_RETURN_IF_ERROR(add_group(target.name, target.type, InputRows::target_row, true, target.columns));
      }
    }
    if (learn_) {
      out_.fitted.columns.resize(fitted_count_);
    } else if (out_.fitted.columns.size() < fitted_count_) {
      return recipe_error(recipe_, "fitted: describes too few columns\n  hint: train again");
    }
    return {};
  }

  Status apply_filters() {
    wanted_.assign(rows_, 1);
    for (const RowFilter& filter : data_.filters) {
      Result<std::size_t> position = table_.find_column(filter.column);
      if (!position.ok()) {
        if (purpose_ == Purpose::prediction) continue;
        return position.status();
      }
      for (std::size_t row = 0; row < rows_; ++row) {
        const bool listed =
            std::find(filter.values.begin(), filter.values.end(), table_.cell(row, *position)) != filter.values.end();
        if (listed != filter.keep) wanted_[row] = 0;
      }
    }
    if (std::find(wanted_.begin(), wanted_.end(), 1) == wanted_.end()) {
      return data_error(table_.path() +
                        ": no row passes the filters\n  hint: compare the values in \"filters\" with the cells");
    }
    return {};
  }

  Status read_times() {
    if (data_.time.column.empty()) return {};
    Result<std::size_t> position = table_.find_column(data_.time.column);
    if (!position.ok()) return position.status();
    std::string format = learn_ ? data_.time.format : out_.fitted.time_format;
    std::vector<std::string_view> cells(rows_);
    for (std::size_t row = 0; row < rows_; ++row) cells[row] = table_.cell(row, *position);
    if (format.empty()) {
      format = find_time_format(cells);
      if (format.empty()) {
        return data_error(table_.path() + ", column '" + data_.time.column +
                          "': no known date format reads all of its cells (the first is " + quote_cell(cells[0]) +
                          ")\n  hint: set \"format\" in \"time\", such as \"%d/%m/%Y %H:%M\"");
      }
    }
    out_.fitted.time_format = format;
    auto times = std::make_shared<RowTimes>();
    times->seconds.resize(rows_);
    for (std::size_t row = 0; row < rows_; ++row) {
      const std::optional<int64_t> time = parse_time(cells[row], format);
      if (!time) {
        return data_error(table_.place(row, *position) + ": " + quote_cell(cells[row]) +
                          " is not a date of the form \"" + format +
                          "\"\n  hint: correct the cell, or set \"format\" in \"time\"");
      }
      times->seconds[row] = *time;
    }
    if (!data_.time.hour_column.empty()) {
      Result<std::size_t> hours = table_.find_column(data_.time.hour_column);
      if (!hours.ok()) return hours.status();
      for (std::size_t row = 0; row < rows_; ++row) {
        const std::optional<double> hour = parse_number(table_.cell(row, *hours), data_.numbers);
        if (!hour || !(*hour >= 0 && *hour < 24)) {
          return data_error(table_.place(row, *hours) + ": " + quote_cell(table_.cell(row, *hours)) +
                            " is not an hour of the day\n  hint: hours run from 0 to 23");
        }
        times->seconds[row] += static_cast<int64_t>(std::llround(*hour * 3600));
      }
    }
    return check_times(std::move(times));
  }

  Status check_times(std::shared_ptr<RowTimes> times) {
    const std::vector<int64_t>& seconds = times->seconds;
    times->spacing = rows_ > 1 ? seconds[1] - seconds[0] : 0;
    for (std::size_t row = 1; row < rows_; ++row) {
      const int64_t step = seconds[row] - seconds[row - 1];
      const bool by_time = purpose_ == Purpose::training && data_.split.kind == SplitKind::chronological;
      if (step < 0 && (data_.windowed || by_time)) {
        return data_error(table_.path() + ", line " + std::to_string(table_.line(row)) + ": " +
                          format_time(seconds[row]) + " is earlier than the row before it, " +
                          format_time(seconds[row - 1]) +
                          "\n  hint: sort the file by time, or set \"format\" in \"time\" if the date was misread");
      }
      if (step != times->spacing || step <= 0) times->spacing = 0;
    }
    if (learn_) out_.fitted.row_seconds = usual_step(seconds);
    times->step = out_.fitted.row_seconds;
    out_.times = std::move(times);
    return {};
  }

  Status read_cells() {
    std::vector<ColumnReader> readers;
    for (const Group& group : groups_)
      for (const Column& column : group.columns)
        readers.emplace_back(table_, column.position, *column.recipe, column.missing, data_, wanted_,
                             out_.fitted.columns[column.fitted]);
    if (learn_) {
      for_blocks([&](std::size_t begin, std::size_t end) {
        for (ColumnReader& reader : readers) reader.learn(begin, end);
      });
      for (ColumnReader& reader : readers) MORU_RETURN_IF_ERROR(reader.finish_learning());
    }
    for (ColumnReader& reader : readers) MORU_RETURN_IF_ERROR(reader.begin_reading());
    Status status;
    for_blocks([&](std::size_t begin, std::size_t end) {
      for (ColumnReader& reader : readers)
        if (status.ok()) status = reader.read(begin, end);
    });
    MORU_RETURN_IF_ERROR(status);
    std::size_t next = 0;
    for (Group& group : groups_)
      for (Column& column : group.columns) column.values = readers[next++].take();
    return {};
  }

  // All columns of some rows, then of the next: a large table goes through memory once.
  template <typename Visit>
  void for_blocks(Visit visit) const {
    constexpr std::size_t block = 4096;
    for (std::size_t begin = 0; begin < rows_; begin += block) visit(begin, std::min(rows_, begin + block));
  }

  /// Whether a row of the group will have all its numbers, once those to be filled are.
  std::vector<uint8_t> good_rows(const Group& group) const {
    std::vector<uint8_t> good = wanted_;
    for (const Column& column : group.columns) {
      if (column.missing.policy == MissingPolicy::fill || !column.values.has_missing) continue;
      for (std::size_t row = 0; row < rows_; ++row)
        good[row] = good[row] != 0 && !std::isnan(column.values.numbers[row]);
    }
    return good;
  }

  Status split() {
    if (purpose_ != Purpose::training) {
      out_.parts.assign(rows_, Part::train);
      return {};
    }
    if (data_.split.kind == SplitKind::column) return split_by_column();
    // Without windows a row is a sample, and the parts share out the samples; with windows they are stretches of time.
    std::vector<uint8_t> keep = wanted_;
    if (!data_.windowed) {
      for (const Group& group : groups_) {
        const std::vector<uint8_t> good = good_rows(group);
        for (std::size_t row = 0; row < rows_; ++row) keep[row] = keep[row] & good[row];
      }
    }
    out_.parts = split_rows(keep, data_.split);
    return {};
  }

  Status split_by_column() {
    Result<std::size_t> position = table_.find_column(data_.split.column);
    if (!position.ok()) return position.status();
    out_.parts.assign(rows_, Part::none);
    const SplitRecipe& split = data_.split;
    for (std::size_t row = 0; row < rows_; ++row) {
      if (wanted_[row] == 0) continue;
      const std::string_view cell = table_.cell(row, *position);
      const auto listed = [&](const std::vector<std::string>& values) {
        return std::find(values.begin(), values.end(), cell) != values.end();
      };
      if (listed(split.train_values))
        out_.parts[row] = Part::train;
      else if (listed(split.validation_values))
        out_.parts[row] = Part::validation;
      else if (listed(split.test_values))
        out_.parts[row] = Part::test;
      else {
        return data_error(
            table_.place(row, *position) + ": " + quote_cell(cell) +
            " is in none of the parts\n  hint: list it under \"train\", \"validation\" or \"test\" of \"split\"");
      }
    }
    return {};
  }

  Status fill() {
    for (Group& group : groups_) {
      for (Column& column : group.columns) {
        MORU_RETURN_IF_ERROR(index_tokens(table_, column.position, *column.recipe, learned_from_, learn_,
                                          out_.fitted.columns[column.fitted], column.values));
        MORU_RETURN_IF_ERROR(fill_missing(table_, column.position, column.missing, wanted_, learned_from_, learn_,
                                          out_.fitted.columns[column.fitted], column.values));
      }
    }
    return {};
  }

  Status read_weights() {
    if (data_.sample_weight.empty() || purpose_ == Purpose::prediction) return {};
    Result<std::size_t> position = table_.find_column(data_.sample_weight);
    if (!position.ok()) return position.status();
    auto weights = std::make_shared<std::vector<float>>(rows_, 0.0f);
    for (std::size_t row = 0; row < rows_; ++row) {
      if (wanted_[row] == 0) continue;
      const std::optional<double> weight = parse_number(table_.cell(row, *position), data_.numbers);
      if (!weight || *weight < 0) {
        return data_error(table_.place(row, *position) + ": " + quote_cell(table_.cell(row, *position)) +
                          " is not a sample weight\n  hint: weights are numbers from 0 up");
      }
      (*weights)[row] = static_cast<float>(*weight);
    }
    out_.weights = std::move(weights);
    return {};
  }

  void find_samples() {
    std::vector<RowNeed> needs;
    for (const Group& group : groups_) needs.push_back({group.rows, good_rows(group)});
    out_.usable = find_usable(needs, data_.window, out_.row_count);
    const bool hold_out = purpose_ == Purpose::training && recipe_.fit.validation == ValidationFrom::last_of_training;
    learned_from_ =
        hold_out ? hold_out_last(out_.parts, out_.usable, data_.window, recipe_.fit.validation_split) : out_.parts;
  }

  Status encode(Group& group) {
    std::vector<std::string> names;
    for (const Column& column : group.columns) {
      for (std::string& name : encoded_names(*column.recipe, out_.fitted.columns[column.fitted]))
        names.push_back(std::move(name));
    }
    const std::size_t width = names.size();
    const auto element_bytes = static_cast<std::size_t>(dtype_bytes(group.dtype));
    DatasetArray array =
        describe_array(group.name, group.dtype, group.rows, data_.window, {static_cast<int64_t>(width)});
    array.features = names;
    LargeBytes base;
    if (table_.is_large()) base.keep_on_disk();
    MORU_RETURN_IF_ERROR(base.resize(rows_ * width * element_bytes));
    std::vector<std::size_t> counts;
    for (const Column& column : group.columns)
      counts.push_back(encoded_names(*column.recipe, out_.fitted.columns[column.fitted]).size());
    std::vector<double> encoded(width);
    Status status;
    for_blocks([&](std::size_t begin, std::size_t end) {
      std::size_t at = 0;
      for (std::size_t c = 0; c < counts.size(); at += counts[c++]) {
        const Column& column = group.columns[c];
        const FittedColumn& fitted = out_.fitted.columns[column.fitted];
        for (std::size_t row = begin; row < end; ++row) {
          encode_number(*column.recipe, fitted, column.values.numbers[row], encoded.data());
          std::byte* to = base.data() + (row * width + at) * element_bytes;
          for (std::size_t k = 0; k < counts[c]; ++k) {
            if (!store(encoded[k], group.dtype, to + k * element_bytes) && status.ok()) status = does_not_fit(group, column, row);
          }
        }
      }
    });
    MORU_RETURN_IF_ERROR(status);
    for (Column& column : group.columns) {
      column.values = {};
      array.is_category = array.is_category || (group.is_target && column.recipe->encoder != EncoderKind::numeric) ||
                          is_integer(group.dtype);
    }
    if (learn_)
      MORU_RETURN_IF_ERROR(fit_group(group, names, base));
    else
      MORU_RETURN_IF_ERROR(check_fitted(group, names));
    array.base = std::make_shared<const RowBytes>(std::move(base));
    (group.is_target ? out_.targets : out_.inputs).push_back(std::move(array));
    return {};
  }

  /// False where the element type cannot hold the number. A missing number becomes NaN, or 0 in integers: no sample
  /// reads it.
  static bool store(double value, DType dtype, std::byte* to) {
    const auto put = [&](auto typed) { std::memcpy(to, &typed, sizeof typed); };
    if (dtype == DType::f32) {
      const auto single = static_cast<float>(value);
      put(single);
      return std::isfinite(single) || !std::isfinite(value);
    }
    if (std::isnan(value)) value = 0;
    if (value != std::trunc(value)) return false;
    constexpr double two_to_63 = 9223372036854775808.0;
    if (dtype == DType::i32) {
      if (value < -2147483648.0 || value > 2147483647.0) return false;
      put(static_cast<int32_t>(value));
    } else {
      if (value < -two_to_63 || value >= two_to_63) return false;
      put(static_cast<int64_t>(value));
    }
    return true;
  }

  Status does_not_fit(const Group& group, const Column& column, std::size_t row) const {
    return data_error(table_.place(row, column.position) + ": " + quote_cell(table_.cell(row, column.position)) +
                      " does not fit " + std::string(dtype_name(group.dtype)) +
                      "\n  hint: leave \"dtype\" at f32, or correct the cell");
  }

  Status fit_group(const Group& group, const std::vector<std::string>& names, const LargeBytes& base) {
    FittedGroup fitted;
    fitted.name = group.name;
    fitted.features = names;
    std::vector<ScalerKind> kinds;
    for (const Column& column : group.columns) {
      kinds.insert(kinds.end(), encoded_names(*column.recipe, out_.fitted.columns[column.fitted]).size(), column.recipe->scaler);
      fitted.scaled = fitted.scaled || column.recipe->scaler != ScalerKind::none;
    }
    // The training rows as the model sees them (scaled columns are f32).
    const std::vector<ScalerNumbers> all = fit_scalers(kinds, [&](const auto& use) {
      for (std::size_t row = 0; row < rows_; ++row) {
        if (learned_from_[row] != Part::train) continue;
        for (std::size_t k = 0; k < kinds.size(); ++k) {
          if (kinds[k] == ScalerKind::none) continue;
          float value = 0;
          std::memcpy(&value, base.data() + (row * kinds.size() + k) * sizeof(float), sizeof value);
          use(k, static_cast<double>(value));
        }
      }
    });
    for (const ScalerNumbers& numbers : all) {
      fitted.mean.push_back(numbers.mean);
      fitted.variance.push_back(numbers.variance);
    }
    (group.is_target ? out_.fitted.targets : out_.fitted.inputs).push_back(std::move(fitted));
    return {};
  }

  Status check_fitted(const Group& group, const std::vector<std::string>& names) const {
    for (const FittedGroup& fitted : group.is_target ? out_.fitted.targets : out_.fitted.inputs) {
      if (fitted.name == group.name && fitted.features == names) return {};
    }
    return recipe_error(recipe_, "fitted: '" + group.name +
                      "' has other features than when it was fitted\n  hint: train again");
  }

  const Recipe& recipe_;
  const DataRecipe& data_;
  Purpose purpose_;
  bool learn_;
  CsvTable table_;
  std::size_t rows_ = 0;
  std::size_t fitted_count_ = 0;
  std::vector<Group> groups_;
  std::vector<uint8_t> wanted_;     // rows that pass the filters
  std::vector<Part> learned_from_;  // the parts as statistics see them
  SourceRows out_;
};

}  // namespace

Result<SourceRows> read_csv_rows(const Recipe& recipe, const std::string& path, Purpose purpose, bool learn) {
  return CsvRows(recipe, purpose, learn).read(path);
}

}  // namespace moru
