#include "runtime/data/encode.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <unordered_map>
#include <unordered_set>

#include "runtime/data/scale.h"
#include "runtime/data/time_text.h"
#include "runtime/data/wording.h"

namespace moru {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t most_one_hot_categories = 1000;

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

bool is_category(EncoderKind kind) { return kind == EncoderKind::one_hot || kind == EncoderKind::ordinal; }

bool is_missing(std::string_view cell, std::span<const std::string> missing_values) {
  for (const std::string& value : missing_values) {
    if (cell == value) return true;
  }
  return false;
}

Status missing_cell(const CsvTable& table, std::size_t row, std::size_t column) {
  return data_error(
      table.place(row, column) + ": the cell is missing" +
      (table.cell(row, column).empty() ? "" : " (" + quote_cell(table.cell(row, column)) + ")") +
      "\n  hint: set \"missing\" to \"drop\" or {\"fill\": \"mean\" | \"median\" | \"previous\" | \"constant\"}");
}

Status not_a_number(const CsvTable& table, std::size_t row, std::size_t column) {
  const std::string_view cell = table.cell(row, column);
  std::string hint =
      "give the column an encoder (\"one_hot\" or \"ordinal\"), or list " + quote_cell(cell) + " in \"missing_values\"";
  std::string without_commas(cell);
  std::erase(without_commas, ',');
  if (without_commas.size() != cell.size() && parse_number(without_commas)) {
    hint = "write numbers with a decimal point and without thousands separators";
  } else if (std::string_view(",NA,N/A,NaN,nan,null,NULL,-,?,none,None,").find("," + std::string(cell) + ",") !=
             std::string_view::npos) {
    hint = "list " + quote_cell(cell) + " in \"missing_values\"";
  }
  return data_error(table.place(row, column) + ": " + quote_cell(cell) + " is not a number\n  hint: " + hint);
}

/// The different cells of the wanted rows, in the order of numbers if all are numbers.
std::vector<std::string> learn_categories(const CsvTable& table, std::size_t column,
                                          std::span<const std::string> missing_values,
                                          std::span<const uint8_t> wanted) {
  std::unordered_set<std::string_view> seen;
  for (std::size_t row = 0; row < table.row_count(); ++row) {
    if (wanted[row] != 0 && !is_missing(table.cell(row, column), missing_values)) seen.insert(table.cell(row, column));
  }
  std::vector<std::string> categories(seen.begin(), seen.end());
  const bool numbers = std::all_of(categories.begin(), categories.end(),
                                   [](const std::string& text) { return parse_number(text).has_value(); });
  std::sort(categories.begin(), categories.end(), [&](const std::string& a, const std::string& b) {
    if (numbers && *parse_number(a) != *parse_number(b)) return *parse_number(a) < *parse_number(b);
    return a < b;
  });
  return categories;
}

Status learn(const CsvTable& table, std::size_t column, const ColumnRecipe& recipe,
             std::span<const std::string> missing_values, std::span<const uint8_t> wanted, FittedColumn& fitted) {
  fitted = FittedColumn{};
  fitted.column = recipe.column;
  fitted.encoder = recipe.encoder;
  if (is_category(recipe.encoder)) {
    fitted.categories =
        recipe.categories.empty() ? learn_categories(table, column, missing_values, wanted) : recipe.categories;
    if (fitted.categories.empty()) {
      return data_error(table.path() + ", column '" + recipe.column +
                        "': has no value to make a category of\n  hint: leave the column out");
    }
    if (recipe.encoder == EncoderKind::one_hot && fitted.categories.size() > most_one_hot_categories) {
      return data_error(
          table.path() + ", column '" + recipe.column + "': " + std::to_string(fitted.categories.size()) +
          " different values are too many to one-hot (at most 1000)\n  hint: leave the column out if it is an "
          "identifier, or use \"ordinal\" and an Embedding");
    }
  }
  if (recipe.encoder == EncoderKind::date_parts) {
    std::vector<std::string_view> cells;
    for (std::size_t row = 0; row < table.row_count(); ++row) {
      if (wanted[row] != 0 && !is_missing(table.cell(row, column), missing_values))
        cells.push_back(table.cell(row, column));
    }
    fitted.time_format = find_time_format(cells);
    if (fitted.time_format.empty()) {
      return data_error(table.path() + ", column '" + recipe.column + "': no known date format reads all of its cells" +
                        (cells.empty() ? "" : " (the first is " + quote_cell(cells[0]) + ")") +
                        "\n  hint: write dates as 2024-05-31 or 2024-05-31 13:00");
    }
  }
  return {};
}

Status unknown_category(const CsvTable& table, std::size_t row, std::size_t column, const FittedColumn& fitted) {
  return data_error(table.place(row, column) + ": " + quote_cell(table.cell(row, column)) +
                    " is not one of the categories\n  hint: " +
                    suggest_name(table.cell(row, column), fitted.categories, "categories"));
}

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

Result<ColumnValues> read_column(const CsvTable& table, std::size_t column, const ColumnRecipe& recipe,
                                 const MissingRecipe& missing, std::span<const std::string> missing_values,
                                 std::span<const uint8_t> wanted, bool learn_now, FittedColumn& fitted) {
  if (learn_now) MORU_RETURN_IF_ERROR(learn(table, column, recipe, missing_values, wanted, fitted));
  std::unordered_map<std::string, double, TextHash, std::equal_to<>> position;
  for (std::size_t i = 0; i < fitted.categories.size(); ++i)
    position.emplace(fitted.categories[i], static_cast<double>(i));

  ColumnValues values;
  values.numbers.assign(table.row_count(), nan);
  for (std::size_t row = 0; row < table.row_count(); ++row) {
    if (wanted[row] == 0) continue;
    const std::string_view cell = table.cell(row, column);
    if (is_missing(cell, missing_values)) {
      if (missing.policy == MissingPolicy::error) return missing_cell(table, row, column);
      values.has_missing = true;
      continue;
    }
    double& number = values.numbers[row];
    if (is_category(recipe.encoder)) {
      const auto found = position.find(cell);
      if (found == position.end()) return unknown_category(table, row, column, fitted);
      number = found->second;
    } else if (recipe.encoder == EncoderKind::date_parts) {
      const std::optional<int64_t> time = parse_time(cell, fitted.time_format);
      if (!time) {
        return data_error(table.place(row, column) + ": " + quote_cell(cell) + " is not a date of the form \"" +
                          fitted.time_format + "\"\n  hint: write all dates of the column alike");
      }
      number = static_cast<double>(*time);
    } else {
      const std::optional<double> parsed = parse_number(cell);
      if (!parsed) return not_a_number(table, row, column);
      number = *parsed;
    }
  }
  return values;
}

Status fill_missing(const CsvTable& table, std::size_t column, const MissingRecipe& missing,
                    std::span<const uint8_t> wanted, std::span<const Part> parts, bool learn_now, FittedColumn& fitted,
                    ColumnValues& values) {
  if (missing.policy != MissingPolicy::fill) return {};
  const bool number = fitted.encoder == EncoderKind::numeric || fitted.encoder == EncoderKind::cyclic;
  if (learn_now) {
    fitted.has_fill = missing.fill != FillKind::previous;
    if (number && missing.fill == FillKind::constant) fitted.fill = missing.constant;
    if (!number && missing.fill == FillKind::constant) fitted.fill_text = missing.text;
    if (number && (missing.fill == FillKind::mean || missing.fill == FillKind::median)) {
      std::vector<double> training;
      for (std::size_t row = 0; row < parts.size(); ++row) {
        if (parts[row] == Part::train && !std::isnan(values.numbers[row])) training.push_back(values.numbers[row]);
      }
      double sum = 0;
      for (const double value : training) sum += value;
      const double mean = training.empty() ? 0 : sum / static_cast<double>(training.size());
      fitted.fill = missing.fill == FillKind::mean ? mean : median(training);
    }
  }
  if (!values.has_missing) return {};
  double fill = fitted.fill;
  if (!number && missing.fill != FillKind::previous) {
    const auto found = std::find(fitted.categories.begin(), fitted.categories.end(), fitted.fill_text);
    if (missing.fill != FillKind::constant || found == fitted.categories.end()) {
      std::size_t row = 0;
      while (wanted[row] == 0 || !std::isnan(values.numbers[row])) ++row;
      const std::string what = missing.fill == FillKind::constant
                                   ? "and the fill value '" + fitted.fill_text + "' is not one of its categories"
                                   : "and categories have no mean or median";
      return data_error(
          table.place(row, column) + ": the cell is missing, " + what +
          "\n  hint: set the column's \"missing\" to {\"fill\": \"previous\"} or {\"fill\": \"constant\", \"value\": "
          "<one of its categories>}");
    }
    fill = static_cast<double>(found - fitted.categories.begin());
  }
  double previous = nan;
  for (std::size_t row = 0; row < values.numbers.size(); ++row) {
    if (wanted[row] == 0) continue;
    double& value = values.numbers[row];
    if (std::isnan(value)) {
      value = missing.fill == FillKind::previous ? previous : fill;
      if (std::isnan(value)) {
        return data_error(table.place(row, column) +
                          ": the cell is missing and no row before it has a value\n  hint: set \"missing\" to "
                          "\"drop\" or another fill");
      }
    }
    previous = value;
  }
  values.has_missing = false;
  return {};
}

std::vector<std::string> encoded_names(const ColumnRecipe& recipe, const FittedColumn& fitted) {
  std::vector<std::string> names;
  const auto add_cycle = [&](const std::string& name) {
    names.push_back(name + "_sin");
    names.push_back(name + "_cos");
  };
  switch (recipe.encoder) {
    case EncoderKind::numeric:
    case EncoderKind::ordinal:
      names.push_back(recipe.column);
      break;
    case EncoderKind::one_hot:
      for (const std::string& category : fitted.categories) names.push_back(recipe.column + "=" + category);
      break;
    case EncoderKind::cyclic:
      add_cycle(recipe.column);
      break;
    case EncoderKind::date_parts:
      for (const DatePart part : recipe.parts) {
        const std::string name = recipe.column + "_" + std::string(date_part_name(part));
        if (recipe.cyclic_parts)
          add_cycle(name);
        else
          names.push_back(name);
      }
      break;
  }
  return names;
}

void encode_number(const ColumnRecipe& recipe, const FittedColumn& fitted, double number, double* out) {
  const auto put_cycle = [&](double value, double period) {
    const double angle = 2 * std::numbers::pi * value / period;
    *out++ = std::sin(angle);
    *out++ = std::cos(angle);
  };
  switch (recipe.encoder) {
    case EncoderKind::numeric:
    case EncoderKind::ordinal:
      *out = number;
      break;
    case EncoderKind::one_hot:
      for (std::size_t i = 0; i < fitted.categories.size(); ++i) {
        out[i] = std::isnan(number) ? nan : (number == static_cast<double>(i) ? 1.0 : 0.0);
      }
      break;
    case EncoderKind::cyclic:
      put_cycle(number, recipe.period);
      break;
    case EncoderKind::date_parts:
      for (const DatePart part : recipe.parts) {
        const double value =
            std::isnan(number) ? nan : static_cast<double>(date_part(static_cast<int64_t>(number), part));
        if (recipe.cyclic_parts)
          put_cycle(value, date_part_period(part));
        else
          *out++ = value;
      }
      break;
  }
}

}  // namespace moru
