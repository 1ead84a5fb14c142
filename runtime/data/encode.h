// Turns the cells of one column into numbers: numeric cells, categories (one-hot or by position), cyclic values, parts
// of dates; and what to do where a cell is missing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/csv.h"
#include "runtime/data/recipe.h"
#include "runtime/data/split.h"
#include "runtime/status.h"

namespace moru {

/// A finite number as people write it in tables ("-3.5", "+2", "1e-3"), spaces around it ignored; no thousands
/// separators, no decimal comma.
std::optional<double> parse_number(std::string_view text);

/// The numbers of one column, one per row: the value (numeric, cyclic), the position in the categories (one_hot,
/// ordinal) or the time in seconds (date_parts). NaN where the cell is missing and in rows that are not wanted.
struct ColumnValues {
  std::vector<double> numbers;
  bool has_missing = false;
};

/// Reads the wanted rows of a column. Where `learn`, `fitted` receives the categories (sorted as numbers if all are,
/// else by bytes) and the date format; otherwise those in `fitted` are used. `missing_values` are the texts that mean
/// "missing". Errors name the cell: not a number, not one of the categories, not a date, more than 1000 categories to
/// one-hot, missing where the policy is `error`.
Result<ColumnValues> read_column(const CsvTable& table, std::size_t column, const ColumnRecipe& recipe,
                                 const MissingRecipe& missing, std::span<const std::string> missing_values,
                                 std::span<const uint8_t> wanted, bool learn, FittedColumn& fitted);

/// Fills the missing numbers of the wanted rows as the policy says. Where `learn`, mean and median are taken over the
/// rows of the training part and kept in `fitted`. Errors: a first row that has no previous one, a mean of categories,
/// a constant that is no category.
Status fill_missing(const CsvTable& table, std::size_t column, const MissingRecipe& missing,
                    std::span<const uint8_t> wanted, std::span<const Part> parts, bool learn, FittedColumn& fitted,
                    ColumnValues& values);

/// The encoded columns that one source column becomes: "Hour", "Seasons=Winter", "Hour_sin", "Date_month".
std::vector<std::string> encoded_names(const ColumnRecipe& recipe, const FittedColumn& fitted);

/// Writes the encoding of one number of ColumnValues: as many values as encoded_names has. NaN gives NaN throughout.
void encode_number(const ColumnRecipe& recipe, const FittedColumn& fitted, double number, double* out);

}  // namespace moru
