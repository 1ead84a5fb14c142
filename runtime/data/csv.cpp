#include "runtime/data/csv.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <unordered_set>

#include "runtime/data/wording.h"
#include "runtime/mapped_file.h"

namespace moru {
namespace {

constexpr std::size_t largest_cell_bytes = (std::size_t{1} << 24) - 1;
constexpr std::size_t largest_text_bytes = (std::size_t{1} << 40) - 1;

Status cannot_read(const std::string& path, const std::string& why) {
  return data_error(path + ": " + why + "\n  hint: check the path; \"csv\" in a recipe is relative to the recipe",
                    StatusCode::file_not_found);
}

Result<std::string> read_bytes(const std::string& path) {
  const auto failed = [&](const char* what) { return cannot_read(path, std::string("cannot be ") + what + ": " + std::strerror(errno)); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) return failed("opened");
  std::string bytes;
  std::size_t filled = 0;
  for (;;) {
    bytes.resize(std::max<std::size_t>(std::size_t{1} << 16, filled * 2));
    const std::size_t got = std::fread(bytes.data() + filled, 1, bytes.size() - filled, file.get());
    filled += got;
    if (got == 0) break;
  }
  if (std::ferror(file.get())) return failed("read");
  bytes.resize(filled);
  return bytes;
}

/// The candidate that occurs in the header and, outside quotes, equally often on the most of the first lines.
char find_separator(std::string_view text, char decimal) {
  constexpr std::array<char, 3> candidates = {',', ';', '\t'};
  std::vector<std::array<std::size_t, 3>> lines(1);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size() && i < (std::size_t{1} << 16); ++i) {
    const char c = text[i];
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '\n' || (c == '\r' && (i + 1 == text.size() || text[i + 1] != '\n'))) {
      if (lines.size() == 20) break;
      lines.emplace_back();
    }
    for (std::size_t k = 0; k < candidates.size(); ++k) lines.back()[k] += c == candidates[k];
  }
  char best = decimal == ',' ? ';' : ',';
  std::size_t best_agreeing = 0, best_count = 0;
  for (std::size_t k = 0; k < candidates.size(); ++k) {
    const std::size_t count = lines.front()[k];
    if (count == 0) continue;
    const auto agreeing = static_cast<std::size_t>(
        std::count_if(lines.begin(), lines.end(), [&](const auto& line) { return line[k] == count; }));
    if (agreeing > best_agreeing || (agreeing == best_agreeing && count > best_count)) {
      best = candidates[k];
      best_agreeing = agreeing;
      best_count = count;
    }
  }
  return best;
}

}  // namespace

class CsvParser {
 public:
  CsvParser(CsvTable& table, std::string_view name) : table_(table), text_(table.text_), name_(name) {}

  Status parse() {
    bool has_header = false;
    while (position_ < text_.size()) {
      if (skip_empty_line()) continue;
      const int64_t line = line_;
      const std::size_t first = table_.cells_.size();
      if (Status status = parse_record(); !status.ok()) return status;
      if (!has_header) {
        has_header = true;
        take_header();
        table_.cells_.clear();
        continue;
      }
      const std::size_t count = table_.cells_.size() - first;
      if (count != table_.columns_.size()) return ragged(line, count);
      MORU_RETURN_IF_ERROR(table_.lines_.push_back(static_cast<uint32_t>(line)));
    }
    if (!has_header) {
      return data_error(name_ + ": is empty\n  hint: the first line must name the columns");
    }
    return {};
  }

 private:
  bool skip_empty_line() {
    if (text_[position_] != '\n' && text_[position_] != '\r') return false;
    end_line();
    return true;
  }

  void end_line() {
    if (text_[position_] == '\r' && position_ + 1 < text_.size() && text_[position_ + 1] == '\n') ++position_;
    ++position_;
    ++line_;
  }

  bool at_blank() const {
    return position_ < text_.size() &&
           (text_[position_] == ' ' || (text_[position_] == '\t' && table_.separator_ != '\t'));
  }

  Status parse_record() {
    for (;;) {
      while (at_blank()) ++position_;
      if (position_ < text_.size() && text_[position_] == '"') {
        if (Status status = parse_quoted(); !status.ok()) return status;
      } else if (Status status = parse_plain(); !status.ok()) {
        return status;
      }
      if (position_ == text_.size()) return {};
      if (text_[position_] == table_.separator_) {
        ++position_;
        continue;  // a separator at the very end of the file still opens an empty cell
      }
      end_line();
      return {};
    }
  }

  Status parse_plain() {
    const std::size_t begin = position_;
    const char separator = table_.separator_;
    const char* text = text_.data();
    const std::size_t size = text_.size();
    std::size_t at = position_;
    while (at < size && text[at] != separator && text[at] != '\n' && text[at] != '\r') ++at;
    position_ = at;
    std::size_t end = at;
    while (end > begin && (text[end - 1] == ' ' || text[end - 1] == '\t')) --end;
    return add_cell(begin, end - begin);
  }

  Status parse_quoted() {
    const int64_t opened_at = line_;
    const std::size_t begin = position_ + 1;
    std::size_t from = begin, to = begin;
    for (;; ++from) {
      if (from == text_.size()) {
        return data_error(name_ + ", line " + std::to_string(opened_at) +
                          ": a quoted cell begins here and is never closed\n  hint: close the quote, or double a quote "
                          "that belongs to the text (\"\")");
      }
      if (text_[from] == '"') {
        if (from + 1 == text_.size() || text_[from + 1] != '"') break;
        ++from;  // a doubled quote stands for one
      } else if (text_[from] == '\n') {
        ++line_;
      }
      if (to != from) text_[to] = text_[from];  // what is not changed stays the file's
      ++to;
    }
    position_ = from + 1;
    while (at_blank()) ++position_;
    if (position_ < text_.size() && text_[position_] != table_.separator_ && text_[position_] != '\n' &&
        text_[position_] != '\r') {
      return data_error(name_ + ", line " + std::to_string(line_) + ": '" + std::string(1, text_[position_]) +
                        "' follows a closing quote\n  hint: double a quote that belongs to the text (\"\")");
    }
    return add_cell(begin, to - begin);
  }

  Status add_cell(std::size_t offset, std::size_t length) {
    if (length > largest_cell_bytes) {
      return data_error(name_ + ", line " + std::to_string(line_) +
                        ": a cell of more than 16 MiB\n  hint: is a quote left open?");
    }
    CsvTable::Cell cell;
    cell.offset = offset & largest_text_bytes;
    cell.length = length & largest_cell_bytes;
    return table_.cells_.push_back(cell);
  }

  void take_header() {
    for (std::size_t i = 0; i < table_.cells_.size(); ++i) {
      const CsvTable::Cell cell = table_.cells_[i];
      std::string column(text_.data() + cell.offset, static_cast<std::size_t>(cell.length));
      // A table written with its row index has a nameless first column; pandas calls it this.
      if (column.empty()) column = "Unnamed: " + std::to_string(i);
      table_.columns_.push_back(std::move(column));
    }
    // Of several columns of one name pandas calls the second name.1, unless there is such a one.
    std::unordered_set<std::string> names(table_.columns_.begin(), table_.columns_.end()), seen;
    for (std::string& column : table_.columns_) {
      if (seen.insert(column).second) continue;
      const std::string name = column;
      for (int k = 1; !names.insert(column).second; ++k) column = name + "." + std::to_string(k);
      seen.insert(column);
      table_.repeated_.emplace_back(name, column);
    }
  }

  Status ragged(int64_t line, std::size_t count) const {
    const std::size_t expected = table_.columns_.size();
    std::string message = name_ + ", line " + std::to_string(line) + ": " + std::to_string(count) +
                          (count == 1 ? " cell" : " cells") + " where the header names " + std::to_string(expected);
    if (count < expected) message += " (the first one missing is '" + table_.columns_[count] + "')";
    if (expected == 1)
      return data_error(message + ": " + quote_cell(table_.columns_[0]) +
                        "\n  hint: the first line must name the columns; remove a title or a comment, or set \"separator\"");
    return data_error(message + "\n  hint: the separator is " + separator_name() +
                      "; put a cell that holds it in double quotes, or set \"separator\"");
  }

  std::string separator_name() const {
    return table_.separator_ == '\t' ? "a tab" : "'" + std::string(1, table_.separator_) + "'";
  }

  CsvTable& table_;
  std::span<char> text_;
  std::string name_;
  std::size_t position_ = 0;
  int64_t line_ = 1;

 public:
  /// `bytes` is what is read, and changed; `owner` keeps it.
  static Result<CsvTable> run(std::span<char> bytes, std::shared_ptr<void> owner, const std::string& name, const CsvOptions& options) {
    CsvTable table;
    table.path_ = name;
    table.is_large_ = bytes.size() >= large_bytes();
    if (table.is_large_) table.cells_.keep_on_disk(), table.lines_.keep_on_disk();
    table.fingerprint_ = XXH3_64bits(bytes.data(), bytes.size());
    Result<TextBytes> found = inspect_text({bytes.data(), bytes.size()}, options.encoding, name);
    if (!found.ok()) return found.status();
    table.encoding_ = found->encoding;
    if (found->encoding == TextEncoding::utf8) {
      table.text_ = bytes.last(found->bytes.size());
      table.owner_ = std::move(owner);
    } else {
      Result<std::string> text = decode_text(*found, name);
      if (!text.ok()) return text.status();
      auto decoded = std::make_shared<std::string>(std::move(text.value()));
      table.text_ = *decoded;
      table.owner_ = std::move(decoded);
    }
    if (table.text_.size() > largest_text_bytes) return data_error(name + ": is larger than 1 TiB");
    if (options.separator.size() > 1) {
      return data_error(name + ": the separator '" + options.separator +
                        "' is not one character\n  hint: set \"separator\" to "
                        "\",\", \";\", \"\\t\" or \"auto\"");
    }
    table.separator_ = options.separator.empty() ? find_separator({table.text_.data(), table.text_.size()}, options.decimal) : options.separator[0];
    if (Status status = CsvParser(table, name).parse(); !status.ok()) return status;
    return table;
  }
};

Result<std::size_t> CsvTable::find_column(std::string_view name) const {
  for (const auto& [repeated, other] : repeated_)
    if (repeated == name)
      return data_error(path_ + ": two columns are called '" + repeated + "'\n  hint: rename one of them, or take the second as '" + other + "'");
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found != columns_.end()) return static_cast<std::size_t>(found - columns_.begin());
  return data_error(path_ + ": has no column '" + std::string(name) +
                    "'\n  hint: " + suggest_name(name, columns_, "columns"));
}

std::string CsvTable::place(std::size_t row, std::size_t column) const {
  return path_ + ", line " + std::to_string(line(row)) + ", column '" + columns_[column] + "'";
}

Result<CsvTable> read_csv(const std::string& path, const CsvOptions& options) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error) && std::filesystem::file_size(path, error) >= large_bytes() && !error) {
    Result<std::shared_ptr<MappedFile>> file = MappedFile::open_copy(path);
    if (!file.ok()) return cannot_read(path, file.status().message());
    const std::span<std::byte> bytes = (*file)->writable_bytes();
    return CsvParser::run({reinterpret_cast<char*>(bytes.data()), bytes.size()}, *file, path, options);
  }
  Result<std::string> bytes = read_bytes(path);
  if (!bytes.ok()) return bytes.status();
  return parse_csv(std::move(bytes.value()), path, options);
}

Result<CsvTable> parse_csv(std::string bytes, const std::string& name, const CsvOptions& options) {
  auto owner = std::make_shared<std::string>(std::move(bytes));
  return CsvParser::run(*owner, owner, name, options);
}

void append_csv_cell(std::string& line, std::string_view cell, char separator) {
  const bool plain = cell.find_first_of("\"\r\n") == std::string_view::npos &&
                     cell.find(separator) == std::string_view::npos &&
                     (cell.empty() || (cell.front() != ' ' && cell.back() != ' '));
  if (plain) {
    line += cell;
    return;
  }
  line += '"';
  for (const char c : cell) {
    if (c == '"') line += '"';
    line += c;
  }
  line += '"';
}

}  // namespace moru
