#include "runtime/data/csv.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>

#include "tests/runtime/data/data_files.h"

using namespace moru;

namespace {

CsvTable table_of(std::string text, const CsvOptions& options = {}) {
  Result<CsvTable> table = parse_csv(std::move(text), "t.csv", options);
  INFO(table.status().message());
  REQUIRE(table.ok());
  return std::move(table.value());
}

std::string message_of(std::string text, const CsvOptions& options = {}) {
  const Result<CsvTable> table = parse_csv(std::move(text), "t.csv", options);
  REQUIRE_FALSE(table.ok());
  return table.status().message();
}

}  // namespace

TEST_CASE("csv: quoted cells keep separators, line ends, spaces and doubled quotes") {
  const CsvTable table = table_of("name,text\n\"a,b\",\"line 1\nline 2\"\n c ,\" say \"\"hi\"\" \"\n");
  REQUIRE(table.row_count() == 2);
  CHECK(table.columns() == std::vector<std::string>{"name", "text"});
  CHECK(table.cell(0, 0) == "a,b");
  CHECK(table.cell(0, 1) == "line 1\nline 2");
  CHECK(table.cell(1, 0) == "c");
  CHECK(table.cell(1, 1) == " say \"hi\" ");
  CHECK(table.line(0) == 2);
  CHECK(table.line(1) == 4);
}

TEST_CASE("csv: LF, CRLF and CR, with and without an end to the last line, give the same cells") {
  for (const char* text :
       {"a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r", "a,b\n1,2\n3,4", "a,b\r\n\r\n1,2\r\n3,4"}) {
    const CsvTable table = table_of(text);
    REQUIRE(table.row_count() == 2);
    CHECK(table.cell(0, 1) == "2");
    CHECK(table.cell(1, 0) == "3");
  }
}

TEST_CASE("csv: a trailing separator is an empty last cell, at the end of the file too") {
  const CsvTable table = table_of("a,b\n1,\n2,");
  CHECK(table.cell(0, 1).empty());
  CHECK(table.cell(1, 1).empty());
}

TEST_CASE("csv: the separator is found by looking, and cells may hold the others") {
  CHECK(table_of("a,b\n1,2\n").separator() == ',');
  const CsvTable semicolons = table_of("a;b\n1,5;2,5\n3,5;4\n");
  CHECK(semicolons.separator() == ';');
  CHECK(semicolons.cell(0, 0) == "1,5");
  const CsvTable tabs = table_of("a\tb c\n1\t\" 2,3 \"\n\t4\n");
  CHECK(tabs.separator() == '\t');
  CHECK(tabs.cell(0, 1) == " 2,3 ");
  CHECK(tabs.cell(1, 0).empty());
  CHECK(table_of("\"a,b\";\"c,d,e\"\n1;2\n").separator() == ';');
  CHECK(table_of("only\n1\n2\n").columns().size() == 1);
  CHECK(table_of("a|b\n1|2\n", {.separator = "|", .encoding = TextEncoding::automatic}).cell(0, 1) == "2");
}

TEST_CASE("csv: a byte order mark is no part of the first column's name") {
  const CsvTable table = table_of(
      "\xEF\xBB\xBF"
      "Hour,Count\n1,2\n");
  CHECK(table.columns()[0] == "Hour");
  CHECK(table.encoding() == TextEncoding::utf8);
}

TEST_CASE("csv: Latin-1 and CP949 are told apart and become UTF-8") {
  // The header of UCI's Seoul bike file: B0 is the degree sign in Latin-1, and B0 43 would be a rare Hangul syllable.
  const CsvTable latin = table_of(
      "Temperature(\xB0"
      "C),x\n1,2\n");
  CHECK(latin.encoding() == TextEncoding::latin1);
  CHECK(latin.columns()[0] ==
        "Temperature(\xC2\xB0"
        "C)");
  // "날짜,기온" in CP949.
  const CsvTable korean = table_of("\xB3\xAF\xC2\xA5,\xB1\xE2\xBF\xC2\n1,2\n");
  CHECK(korean.encoding() == TextEncoding::cp949);
  CHECK(korean.columns()[0] == "\xEB\x82\xA0\xEC\xA7\x9C");
  CHECK(korean.columns()[1] == "\xEA\xB8\xB0\xEC\x98\xA8");
  const CsvTable utf8 = table_of("\xEB\x82\xA0\xEC\xA7\x9C,b\n1,2\n");
  CHECK(utf8.encoding() == TextEncoding::utf8);
  // Asked for, an encoding is taken at its word: 0x80 of CP949's own extension, "똠".
  CHECK(table_of("\x8C\x63\n1\n", {.separator = {}, .encoding = TextEncoding::cp949}).columns()[0] == "\xEB\x98\xA0");
  CHECK(table_of("caf\xE9\n1\n", {.separator = {}, .encoding = TextEncoding::latin1}).columns()[0] == "caf\xC3\xA9");
}

TEST_CASE("csv: a nameless column, as a row index leaves it, is called as pandas calls it") {
  CHECK(table_of(",a\n0,1\n").columns()[0] == "Unnamed: 0");
}

TEST_CASE("csv: of columns with one name the later ones are called as pandas calls them, and the first by no name alone") {
  const CsvTable table = table_of("w,a,w,w,w.1\n1,2,3,4,5\n");
  CHECK(table.columns() == std::vector<std::string>{"w", "a", "w.2", "w.3", "w.1"});
  CHECK(table.find_column("w.2").value() == 2);
  CHECK(table.find_column("w").status().message() ==
        "t.csv: two columns are called 'w'\n  hint: rename one of them, or take the second as 'w.2'");
}

TEST_CASE("csv: what is wrong with a file is said with its line and a remedy") {
  CHECK(message_of("") == "t.csv: is empty\n  hint: the first line must name the columns");
  CHECK(message_of("a,b\n1,2\n1,2,3\n") ==
        "t.csv, line 3: 3 cells where the header names 2\n  hint: the separator is ','; put a cell that holds it in "
        "double quotes, "
        "or set \"separator\"");
  CHECK(message_of("a,b,c\n1,2\n") ==
        "t.csv, line 2: 2 cells where the header names 3 (the first one missing is 'c')\n  hint: the separator is ','; "
        "put a cell "
        "that holds it in double quotes, or set \"separator\"");
  CHECK(message_of("a,b\n1,\"two\n3,4\n") ==
        "t.csv, line 2: a quoted cell begins here and is never closed\n  hint: close the quote, or double a quote that "
        "belongs to "
        "the text (\"\")");
  CHECK(message_of("a,b\n\"1\"x,2\n") ==
        "t.csv, line 2: 'x' follows a closing quote\n  hint: double a quote that belongs to the text (\"\")");
  CHECK(message_of("# written in May\na,b\n1,2\n") ==
        "t.csv, line 2: 2 cells where the header names 1: '# written in May'\n  hint: the first line must name the columns; remove a "
        "title or a comment, or set \"separator\"");
  CHECK(message_of(std::string("a,b\n1,\0\n", 8)) ==
        "t.csv, line 2: holds a zero byte, so it is not CSV text\n  hint: give a text file, or arrays as .npy");
  CHECK(message_of("\xFF\xFE"
                   "a\n") == "t.csv: is UTF-16, which is not supported\n  hint: save it as \"CSV UTF-8\"");
  CHECK(message_of("PK\x03\x04rest") ==
        "t.csv: is a zip archive or a spreadsheet (.xlsx), not CSV text\n  hint: export it as CSV");
  CHECK(message_of("a\n1\n\xE9\n", {.separator = {}, .encoding = TextEncoding::utf8}) ==
        "t.csv, line 3: byte 0xE9 is not UTF-8\n  hint: set \"encoding\" to \"auto\", \"latin-1\" or \"cp949\"");
  CHECK(message_of("a\n1\n\xFF\xFF\n", {.separator = {}, .encoding = TextEncoding::cp949}) ==
        "t.csv, line 3: byte 0xFF is not CP949\n  hint: set \"encoding\" to \"auto\", \"utf-8\" or \"latin-1\"");
  const Result<CsvTable> nowhere = read_csv("/no/such/file.csv");
  REQUIRE_FALSE(nowhere.ok());
  CHECK(nowhere.status().message() ==
        "/no/such/file.csv: cannot be opened: No such file or directory\n  hint: check the path; \"csv\" in a recipe "
        "is relative to the "
        "recipe");
  const CsvTable table = table_of("Hour,Temperature\n1,2\n");
  CHECK(table.find_column("temprature").status().message() ==
        "t.csv: has no column 'temprature'\n  hint: did you mean 'Temperature'?");
  CHECK(table.find_column("x").status().message() ==
        "t.csv: has no column 'x'\n  hint: the columns are: Hour, Temperature");
}

TEST_CASE("csv: no cut and no single damaged byte of a file crashes the reader") {
  const std::string text = "a,b\r\n\"x \"\"y\"\"\",\xEA\xB8\xB0\r\n3,\"4\n5\"\r\n";
  for (std::size_t end = 0; end <= text.size(); ++end) (void)parse_csv(text.substr(0, end), "t.csv");
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(byte);
      const Result<CsvTable> table = parse_csv(damaged, "t.csv");
      if (!table.ok()) CHECK(table.status().message().find("hint: ") != std::string::npos);
    }
  }
}

TEST_CASE("csv: written cells read back") {
  const std::vector<std::string> cells = {"plain", "a,b", "say \"hi\"", "two\nlines", "", " spaces ", "\xEA\xB8\xB0"};
  std::string text = "a,b,c,d,e,f,g\n";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) text += ',';
    append_csv_cell(text, cells[i]);
  }
  const CsvTable table = table_of(text + "\n");
  for (std::size_t i = 0; i < cells.size(); ++i) CHECK(table.cell(0, i) == cells[i]);
}

TEST_CASE("csv: a million rows take seconds, not minutes") {
  std::string text = "a,b,c,d,e,f\n";
  for (int row = 0; row < 1'000'000; ++row) text += "12.5,-0.25,1000,3,0,7\n";
  const auto start = std::chrono::steady_clock::now();
  const CsvTable table = table_of(std::move(text));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("csv: 1e6 rows of 6 cells in %.2f s\n", seconds);
  CHECK(table.row_count() == 1'000'000);
  CHECK(seconds < 20);  // generous: builds without optimization and with sanitizers run this too
}

TEST_CASE("csv: the real files have the rows and columns that are known of them") {
  struct Known {
    const char* name;
    std::size_t rows, columns;
  };
  for (const Known& known :
       {Known{"SeoulBikeData.csv", 8760, 14}, Known{"SeoulBike_FE.csv", 8758, 18}, Known{"KOSPI.csv", 1228, 7},
        Known{"mobile_cust_churn.csv", 20000, 13}, Known{"Carseats.csv", 400, 11}, Known{"ENB2012_data.csv", 768, 10},
        Known{"mnist_100.csv", 100, 785}}) {
    const std::string path = test::shared_data(known.name);
    if (path.empty()) continue;
    const Result<CsvTable> table = read_csv(path);
    REQUIRE(table.ok());
    CHECK(table->row_count() == known.rows);
    CHECK(table->columns().size() == known.columns);
  }
}
