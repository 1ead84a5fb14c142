// Reads a CSV file into a table of text cells. Quoting is RFC 4180 (a quoted cell may hold separators, line ends and
// doubled quotes); line ends are LF, CRLF or CR; lines that are wholly empty are skipped; the first line names the
// columns. What the cells mean is not decided here (see encode.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/data/large_array.h"
#include "runtime/data/recipe.h"
#include "runtime/status.h"

namespace moru {

/// A table of cells. The text of all of them lives in one buffer, as UTF-8; cells keep an offset and a length. A large
/// file is not read into memory but mapped, if it is UTF-8, and its cells' places are kept on disk (large_array.h).
class CsvTable {
 public:
  const std::string& path() const { return path_; }
  const std::vector<std::string>& columns() const { return columns_; }
  std::size_t row_count() const { return columns_.empty() ? 0 : cells_.size() / columns_.size(); }

  /// The cell without the spaces around it; a quoted cell keeps its spaces.
  std::string_view cell(std::size_t row, std::size_t column) const {
    const Cell cell = cells_[row * columns_.size() + column];
    return {text_.data() + cell.offset, static_cast<std::size_t>(cell.length)};
  }
  /// The line, counted from 1, on which a row begins.
  int64_t line(std::size_t row) const { return static_cast<int64_t>(lines_[row]); }

  /// The position of a column by its name, or an error: it lists the names there are, or says that the name is not unique.
  Result<std::size_t> find_column(std::string_view name) const;

  /// "bikes.csv, line 17, column 'Hour'": the beginning of a message about a cell.
  std::string place(std::size_t row, std::size_t column) const;

  char separator() const { return separator_; }
  TextEncoding encoding() const { return encoding_; }
  /// Whether what goes with it is to be kept on disk too.
  bool is_large() const { return is_large_; }
  /// XXH3 of the file's bytes as they were on disk.
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  friend class CsvParser;
  struct Cell {
    uint64_t offset : 40;
    uint64_t length : 24;
  };
  std::string path_;
  std::span<char> text_;
  std::shared_ptr<void> owner_;  // of the text
  std::vector<std::string> columns_;
  std::vector<std::pair<std::string, std::string>> repeated_;  // what the header has more than once, and its other name
  LargeArray<Cell> cells_;
  LargeArray<uint32_t> lines_;
  char separator_ = ',';
  TextEncoding encoding_ = TextEncoding::utf8;
  uint64_t fingerprint_ = 0;
  bool is_large_ = false;
};

struct CsvOptions {
  std::string separator;  // one character; empty = the one of , ; tab that the first lines agree on
  TextEncoding encoding = TextEncoding::automatic;
  char decimal = '.';  // of numbers; a comma is hardly the separator then
};

/// Reads a file. Errors name the file, the line and the remedy: cannot be opened, not text, not in the encoding asked
/// for, a quote that is never closed, a row with too many or too few cells, no header.
Result<CsvTable> read_csv(const std::string& path, const CsvOptions& options = {});

/// The same for bytes in memory; `name` stands for the file in messages.
Result<CsvTable> parse_csv(std::string bytes, const std::string& name, const CsvOptions& options = {});

/// What `automatic` decides for these bytes: UTF-8 where they are valid UTF-8; else CP949 where they can be CP949 and
/// at least half of the bytes above 127 come in the pairs of the Korean standard KS X 1001 (both above 160), which the
/// lone accented letters and degree signs of Latin-1 do not; else Latin-1.
TextEncoding detect_encoding(std::string_view bytes);

/// Bytes of text without a byte order mark, and the encoding they are in. `name` stands for the file in messages. Errors:
/// not text, not in the encoding asked for.
struct TextBytes {
  std::string_view bytes;
  TextEncoding encoding;
};
Result<TextBytes> inspect_text(std::string_view bytes, TextEncoding encoding, const std::string& name);

/// The text in UTF-8.
Result<std::string> decode_text(const TextBytes& text, const std::string& name);

/// Writes one cell, quoted where RFC 4180 asks for it.
void append_csv_cell(std::string& line, std::string_view cell, char separator = ',');

}  // namespace moru
