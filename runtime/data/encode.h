// Turns the cells of one column into numbers: numeric cells, categories (one-hot or by position), cyclic values, parts
// of dates; and what to do where a cell is missing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "runtime/data/csv.h"
#include "runtime/data/large_array.h"
#include "runtime/data/recipe.h"
#include "runtime/data/split.h"
#include "runtime/status.h"

namespace moru {

/// A finite number as people write it in tables ("-3.5", "+2", "1e-3"), spaces around it ignored.
std::optional<double> parse_number(std::string_view text, const NumberFormat& format = {});

/// The numbers of one column, one per row: the value (numeric, cyclic), the position in the categories (one_hot,
/// ordinal), the index of the token (string_lookup, hashing; before index_tokens its place in `tokens`) or the time in seconds
/// (date_parts). NaN where the cell is missing and in rows that are not wanted.
struct ColumnValues {
  LargeArray<double> numbers;
  std::vector<std::string> tokens;  // all different ones
  bool has_missing = false;
};

/// Reads the wanted rows of a column, so many at a time that all columns of a large table can be read in one pass over it.
/// `data` says which texts mean "missing" and how numbers are written. What it is given must outlive it.
class ColumnReader {
 public:
  ColumnReader(const CsvTable& table, std::size_t column, const ColumnRecipe& recipe, const MissingRecipe& missing,
               const DataRecipe& data, std::span<const uint8_t> wanted, FittedColumn& fitted)
      : table_(table), column_(column), recipe_(recipe), missing_(missing), data_(data), wanted_(wanted), fitted_(fitted) {}

  /// For training, over all rows before the first `read`; then `fitted` receives the categories (sorted as numbers if all
  /// are, else by bytes) and the date format. Errors: more than 1000 categories to one-hot, no date format.
  void learn(std::size_t begin, std::size_t end);
  Status finish_learning();

  /// Makes room for all rows, and fills rows [begin, end). Errors name the cell: not a number, not one of the categories,
  /// not a date, missing where the policy is `error`.
  Status begin_reading();
  Status read(std::size_t begin, std::size_t end);
  ColumnValues take() { return std::move(values_); }

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  const CsvTable& table_;
  std::size_t column_;
  const ColumnRecipe& recipe_;
  const MissingRecipe& missing_;
  const DataRecipe& data_;
  std::span<const uint8_t> wanted_;
  FittedColumn& fitted_;
  bool learns_ = false;
  std::unordered_set<std::string_view> seen_;  // categories
  std::vector<std::string_view> dates_;
  std::unordered_map<std::string, double, TextHash, std::equal_to<>> positions_;  // of categories
  ColumnValues values_;
};

/// Puts the indices of string_lookup and hashing in the place of tokens. Where `learn`, `fitted` receives the vocabulary: that
/// of the recipe, or the tokens of the training rows. Error: a text that is not in the vocabulary where it has no index.
Status index_tokens(const CsvTable& table, std::size_t column, const ColumnRecipe& recipe, std::span<const Part> parts,
                    bool learn, FittedColumn& fitted, ColumnValues& values);

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
