#include "runtime/data/encode.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>

#include "runtime/data/scale.h"
#include "runtime/data/string_hash.h"
#include "runtime/data/time_text.h"
#include "runtime/data/wording.h"

namespace moru {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t most_one_hot_categories = 1000;

bool is_category(EncoderKind kind) { return kind == EncoderKind::one_hot || kind == EncoderKind::ordinal; }

bool has_tokens(EncoderKind kind) { return kind == EncoderKind::string_lookup || kind == EncoderKind::hashing; }

bool is_missing(std::string_view cell, std::span<const std::string> missing_values) {
  for (const std::string& value : missing_values) {
    if (cell == value) return true;
  }
  return false;
}

/// A fitted recipe has its way with cells, and only another training changes that.
Status missing_cell(const CsvTable& table, std::size_t row, std::size_t column, bool is_fitted) {
  return data_error(
      table.place(row, column) + ": the cell is missing" +
      (table.cell(row, column).empty() ? "" : " (" + quote_cell(table.cell(row, column)) + ")") +
      "\n  hint: " + (is_fitted ? "fill in the cell or leave the row out; or train again, and " : "") + "set \"missing\" to \"drop\" or {\"fill\": \"mean\" | \"median\" | \"previous\" | \"constant\"}");
}

/// Whether exactly three digits follow every mark before the decimal one, as where it stands between thousands.
bool is_grouped(std::string_view text, const NumberFormat& format) {
  text = text.substr(0, text.find(format.decimal));
  for (std::size_t at = text.find(format.thousands); at != std::string_view::npos; at = text.find(format.thousands)) {
    text.remove_prefix(at + 1);
    if (std::min(text.find(format.thousands), text.size()) != 3) return false;
  }
  return true;
}

/// The keys of the recipe by which the cell would be a number: `"decimal": ","`; empty where there are none.
std::string suggest_format(std::string_view cell, const NumberFormat& now) {
  constexpr NumberFormat formats[] = {{'.'}, {','}, {'.', ','}, {',', '.'}, {'.', ' '}, {',', ' '}, {'.', '\''}, {',', '\''}};
  std::string text;
  for (const NumberFormat& format : formats) {
    const bool other_mark = format.decimal != now.decimal, other_groups = format.thousands != now.thousands && format.thousands != '\0';
    if (other_mark && cell.find(format.decimal) == std::string_view::npos) continue;
    if (other_groups && cell.find(format.thousands) == std::string_view::npos) continue;
    if (!parse_number(cell, format) || !is_grouped(cell, format)) continue;
    std::string keys;
    if (other_mark) keys = std::string("\"decimal\": \"") + format.decimal + "\"";
    if (other_groups)
      keys += std::string(keys.empty() ? "" : " and ") + "\"thousands\": \"" + format.thousands + "\"";
    if (!keys.empty()) text += (text.empty() ? "" : ", or ") + keys;
  }
  return text;
}

Status not_a_number(const CsvTable& table, std::size_t row, std::size_t column, const NumberFormat& format, bool is_fitted) {
  const std::string_view cell = table.cell(row, column);
  std::string hint =
      "give the column an encoder (\"one_hot\" or \"ordinal\"), or list " + quote_cell(cell) + " in \"missing_values\"";
  if (const std::string keys = suggest_format(cell, format); !keys.empty()) {
    hint = "set " + keys + " in \"data\"";
  } else if (std::string_view(",NA,N/A,NaN,nan,null,NULL,-,?,none,None,").find("," + std::string(cell) + ",") !=
             std::string_view::npos) {
    hint = "list " + quote_cell(cell) + " in \"missing_values\"";
  }
  return data_error(table.place(row, column) + ": " + quote_cell(cell) + " is not a number\n  hint: " +
                    (is_fitted ? "correct the cell; or train again, and " : "") + hint);
}

/// Sorted as numbers if all are numbers.
std::vector<std::string> sorted_categories(const std::unordered_set<std::string_view>& seen, const NumberFormat& format) {
  std::vector<std::string> categories(seen.begin(), seen.end());
  const auto number = [&](const std::string& text) { return parse_number(text, format); };
  const bool numbers = std::all_of(categories.begin(), categories.end(), number);
  std::sort(categories.begin(), categories.end(), [&](const std::string& a, const std::string& b) {
    if (numbers && *number(a) != *number(b)) return *number(a) < *number(b);
    return a < b;
  });
  return categories;
}

Status unknown_category(const CsvTable& table, std::size_t row, std::size_t column, const FittedColumn& fitted) {
  return data_error(table.place(row, column) + ": " + quote_cell(table.cell(row, column)) +
                    " is not one of the categories\n  hint: " +
                    suggest_name(table.cell(row, column), fitted.categories, "categories"));
}

/// As Keras' StringLookup.adapt orders them.
std::vector<std::string> learned_vocabulary(const ColumnRecipe& recipe, std::span<const Part> parts, const ColumnValues& values) {
  std::vector<int64_t> counts(values.tokens.size());
  for (std::size_t row = 0; row < parts.size(); ++row)
    if (parts[row] == Part::train && !std::isnan(values.numbers[row])) ++counts[static_cast<std::size_t>(values.numbers[row])];
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0 && values.tokens[i] != recipe.mask_token) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return counts[a] != counts[b] ? counts[a] > counts[b] : values.tokens[a] > values.tokens[b];
  });
  const int64_t most = recipe.max_tokens - recipe.oov_indices - (recipe.mask_token ? 1 : 0);
  if (recipe.max_tokens > 0 && static_cast<int64_t>(order.size()) > most) order.resize(static_cast<std::size_t>(most));
  std::vector<std::string> vocabulary;
  for (const std::size_t i : order) vocabulary.push_back(values.tokens[i]);
  return vocabulary;
}

/// The number as from_chars reads it: the decimal mark is '.', and nothing stands between thousands.
std::string in_plain_format(std::string_view text, const NumberFormat& format) {
  std::string plain;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t at = 0;
  if (at < text.size() && text[at] == '-') plain += text[at++];
  while (at < text.size() && is_digit(text[at])) {
    plain += text[at++];
    if (format.thousands != '\0' && at < text.size() && text[at] == format.thousands) ++at;
  }
  if (at < text.size() && text[at] == format.decimal) plain += '.', ++at;
  // Another mark that is no part of this format must not become one.
  for (; at < text.size(); ++at) plain += text[at] == '.' ? '?' : text[at];
  return plain;
}

}  // namespace

std::optional<double> parse_number(std::string_view text, const NumberFormat& format) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  std::string plain;
  if (format.decimal != '.' || format.thousands != '\0') text = plain = in_plain_format(text, format);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

void ColumnReader::learn(std::size_t begin, std::size_t end) {
  const bool categories = is_category(recipe_.encoder) && recipe_.categories.empty();
  const bool dates = recipe_.encoder == EncoderKind::date_parts;
  if (!categories && !dates) return;
  for (std::size_t row = begin; row < end; ++row) {
    if (wanted_[row] == 0 || is_missing(table_.cell(row, column_), data_.missing_values)) continue;
    if (categories) seen_.insert(table_.cell(row, column_));
    if (dates) dates_.push_back(table_.cell(row, column_));
  }
}

Status ColumnReader::finish_learning() {
  learns_ = true;
  fitted_ = FittedColumn{};
  fitted_.column = recipe_.column;
  fitted_.encoder = recipe_.encoder;
  if (is_category(recipe_.encoder)) {
    fitted_.categories = recipe_.categories.empty() ? sorted_categories(seen_, data_.numbers) : recipe_.categories;
    if (fitted_.categories.empty()) {
      return data_error(table_.path() + ", column '" + recipe_.column +
                        "': has no value to make a category of\n  hint: leave the column out");
    }
    if (recipe_.encoder == EncoderKind::one_hot && fitted_.categories.size() > most_one_hot_categories) {
      return data_error(
          table_.path() + ", column '" + recipe_.column + "': " + std::to_string(fitted_.categories.size()) +
          " different values are too many to one-hot (at most 1000)\n  hint: leave the column out if it is an "
          "identifier, or use \"ordinal\" and an Embedding");
    }
  }
  if (recipe_.encoder == EncoderKind::date_parts) {
    fitted_.time_format = find_time_format(dates_);
    if (fitted_.time_format.empty()) {
      return data_error(table_.path() + ", column '" + recipe_.column + "': no known date format reads all of its cells" +
                        (dates_.empty() ? "" : " (the first is " + quote_cell(dates_[0]) + ")") +
                        "\n  hint: write dates as 2024-05-31 or 2024-05-31 13:00");
    }
    dates_ = {};
  }
  return {};
}

Status ColumnReader::begin_reading() {
  for (std::size_t i = 0; i < fitted_.categories.size() && !has_tokens(recipe_.encoder); ++i)
    positions_.emplace(fitted_.categories[i], static_cast<double>(i));
  if (table_.is_large()) values_.numbers.keep_on_disk();
  return values_.numbers.assign(table_.row_count(), nan);
}

Status ColumnReader::read(std::size_t begin, std::size_t end) {
  for (std::size_t row = begin; row < end; ++row) {
    if (wanted_[row] == 0) continue;
    const std::string_view cell = table_.cell(row, column_);
    if (is_missing(cell, data_.missing_values) && cell != recipe_.mask_token) {
      if (missing_.policy == MissingPolicy::error) return missing_cell(table_, row, column_, !learns_);
      values_.has_missing = true;
      continue;
    }
    double& number = values_.numbers[row];
    if (is_category(recipe_.encoder)) {
      const auto found = positions_.find(cell);
      if (found == positions_.end()) return unknown_category(table_, row, column_, fitted_);
      number = found->second;
    } else if (has_tokens(recipe_.encoder)) {
      const auto found = positions_.find(cell);
      number = found != positions_.end() ? found->second : static_cast<double>(values_.tokens.size());
      if (found != positions_.end()) continue;
      positions_.emplace(cell, number);
      values_.tokens.emplace_back(cell);
    } else if (recipe_.encoder == EncoderKind::date_parts) {
      const std::optional<int64_t> time = parse_time(cell, fitted_.time_format);
      if (!time) {
        return data_error(table_.place(row, column_) + ": " + quote_cell(cell) + " is not a date of the form \"" +
                          fitted_.time_format + "\"\n  hint: write all dates of the column alike");
      }
      number = static_cast<double>(*time);
    } else {
      const std::optional<double> parsed = parse_number(cell, data_.numbers);
      if (!parsed) return not_a_number(table_, row, column_, data_.numbers, !learns_);
      number = *parsed;
    }
  }
  return {};
}

Status index_tokens(const CsvTable& table, std::size_t column, const ColumnRecipe& recipe, std::span<const Part> parts,
                    bool learn, FittedColumn& fitted, ColumnValues& values) {
  if (!has_tokens(recipe.encoder)) return {};
  const std::vector<std::string>& tokens = values.tokens;
  const int64_t mask = recipe.mask_token ? 1 : 0;
  const bool is_lookup = recipe.encoder == EncoderKind::string_lookup;
  if (learn && is_lookup) fitted.categories = recipe.categories.empty() ? learned_vocabulary(recipe, parts, values) : recipe.categories;
  std::unordered_map<std::string_view, int64_t> vocabulary;
  for (std::size_t i = 0; i < fitted.categories.size(); ++i) vocabulary.emplace(fitted.categories[i], static_cast<int64_t>(i));

  constexpr int64_t unknown = -1;
  const auto bin = [](uint64_t hash, int64_t bins) { return static_cast<int64_t>(hash % static_cast<uint64_t>(bins)); };
  std::vector<int64_t> indices;
  for (const std::string& token : tokens) {
    const auto found = vocabulary.find(token);
    if (token == recipe.mask_token)
      indices.push_back(0);
    else if (!is_lookup)
      indices.push_back(mask + bin(recipe.salt.empty() ? fingerprint64(token) : sip_hash(token, {recipe.salt[0], recipe.salt[1]}), recipe.bins - mask));
    else if (found != vocabulary.end())
      indices.push_back(mask + recipe.oov_indices + found->second);
    else
      indices.push_back(recipe.oov_indices == 0 ? unknown : mask + bin(fingerprint64(token), recipe.oov_indices));
  }
  for (std::size_t row = 0; row < values.numbers.size(); ++row) {
    double& number = values.numbers[row];
    if (std::isnan(number)) continue;
    const int64_t index = indices[static_cast<std::size_t>(number)];
    if (index == unknown) return unknown_category(table, row, column, fitted);
    number = static_cast<double>(index);
  }
  return {};
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
  const auto first_missing = [&] {
    std::size_t row = 0;
    while (wanted[row] == 0 || !std::isnan(values.numbers[row])) ++row;
    return table.place(row, column) + ": the cell is missing, ";
  };
  if (number && missing.fill == FillKind::constant && std::isnan(fill))
    return data_error(first_missing() + "and the fill value '" + missing.text +
                      "' is not a number\n  hint: set the column's \"missing\" to {\"fill\": \"constant\", \"value\": <a number>} or another fill");
  if (!number && missing.fill != FillKind::previous) {
    const auto found = std::find(fitted.categories.begin(), fitted.categories.end(), fitted.fill_text);
    if (missing.fill != FillKind::constant || found == fitted.categories.end()) {
      const std::string what = missing.fill == FillKind::constant
                                   ? "and the fill value '" + fitted.fill_text + "' is not one of its categories"
                                   : "and categories have no mean or median";
      return data_error(
          first_missing() + what +
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
    case EncoderKind::string_lookup:
    case EncoderKind::hashing:
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
    case EncoderKind::string_lookup:
    case EncoderKind::hashing:
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
