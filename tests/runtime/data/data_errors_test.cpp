// Every wrong cell, and the message it gets.
#include <doctest/doctest.h>

#include "runtime/data/prepare.h"
#include "tests/runtime/data/data_files.h"

using namespace moru;

namespace {

struct Wrong {
  const char* text;
  void (*adapt)(Recipe&);
  const char* message;  // behind the path of the file
};

void one_hot(Recipe& recipe) { recipe.data.inputs[0].columns[0].encoder = EncoderKind::one_hot; }
void dated(Recipe& recipe) { recipe.data.time.column = "a"; }

const Wrong table[] = {
    {"a,y\n1,2\nabc,3\n", nullptr,
     ", line 3, column 'a': 'abc' is not a number\n  hint: give the column an encoder (\"one_hot\" or \"ordinal\"), or "
     "list 'abc' in "
     "\"missing_values\""},
    {"a;y\n1,5;2\n", nullptr,
     ", line 2, column 'a': '1,5' is not a number\n  hint: set \"decimal\": \",\" in \"data\""},
    {"a;y\n1,500;2\n", nullptr,
     ", line 2, column 'a': '1,500' is not a number\n  hint: set \"decimal\": \",\", or \"thousands\": \",\" in \"data\""},
    {"a;y\n1.234.500,25;2\n", nullptr,
     ", line 2, column 'a': '1.234.500,25' is not a number\n  hint: set \"decimal\": \",\" and \"thousands\": \".\" in \"data\""},
    {"a;y\n12 345.5;2\n", nullptr,
     ", line 2, column 'a': '12 345.5' is not a number\n  hint: set \"thousands\": \" \" in \"data\""},
    {"a;y\n1.5;2\n", [](Recipe& recipe) { recipe.data.numbers.decimal = ','; },
     ", line 2, column 'a': '1.5' is not a number\n  hint: set \"decimal\": \".\" in \"data\""},
    {"a;y\n1.234,5;2\n", [](Recipe& recipe) { recipe.data.numbers.decimal = ','; },
     ", line 2, column 'a': '1.234,5' is not a number\n  hint: set \"thousands\": \".\" in \"data\""},
    {"a;y\n1,5,2;2\n", nullptr,
     ", line 2, column 'a': '1,5,2' is not a number\n  hint: give the column an encoder (\"one_hot\" or \"ordinal\"), or list "
     "'1,5,2' in \"missing_values\""},
    {"a,y\n1,2\n-,3\n", nullptr, ", line 3, column 'a': '-' is not a number\n  hint: list '-' in \"missing_values\""},
    {"a,y\ninf,2\n", nullptr,
     ", line 2, column 'a': 'inf' is not a number\n  hint: give the column an encoder (\"one_hot\" or \"ordinal\"), or "
     "list 'inf' in "
     "\"missing_values\""},
    {"a,y\n1e39,2\n", nullptr,
     ", line 2, column 'a': '1e39' does not fit f32\n  hint: leave \"dtype\" at f32, or correct the cell"},
    {"a,y\n1.5,2\n", [](Recipe& recipe) { recipe.data.inputs[0].type = DType::i32; },
     ", line 2, column 'a': '1.5' does not fit i32\n  hint: leave \"dtype\" at f32, or correct the cell"},
    {"a,y\n3000000000,2\n", [](Recipe& recipe) { recipe.data.inputs[0].type = DType::i32; },
     ", line 2, column 'a': '3000000000' does not fit i32\n  hint: leave \"dtype\" at f32, or correct the cell"},
    {"a,y\n1,2\n1,NA\n", nullptr,
     ", line 3, column 'y': the cell is missing ('NA')\n  hint: set \"missing\" to \"drop\" or {\"fill\": \"mean\" | "
     "\"median\" | "
     "\"previous\" | \"constant\"}"},
    {"A,y\n1,2\n", nullptr, ": has no column 'a'\n  hint: did you mean 'A'?"},
    {"a,y\n", nullptr, ": has a header and no rows\n  hint: is this the right file?"},
    {"a,y\nred,1\nblue,2\n",
     [](Recipe& recipe) {
       one_hot(recipe);
       recipe.data.inputs[0].columns[0].categories = {"red", "blau"};
     },
     ", line 3, column 'a': 'blue' is not one of the categories\n  hint: did you mean 'blau'?"},
    {"a,y\nNA,1\nNA,2\n",
     [](Recipe& recipe) {
       one_hot(recipe);
       recipe.data.missing.policy = MissingPolicy::drop;
     },
     ", column 'a': has no value to make a category of\n  hint: leave the column out"},
    {"a,y\n,1\n2,2\n",
     [](Recipe& recipe) {
       recipe.data.missing.policy = MissingPolicy::fill;
       recipe.data.missing.fill = FillKind::previous;
     },
     ", line 2, column 'a': the cell is missing and no row before it has a value\n  hint: set \"missing\" to \"drop\" "
     "or another fill"},
    {"a,y\nyesterday,1\n", dated,
     ", column 'a': no known date format reads all of its cells (the first is 'yesterday')\n  hint: set \"format\" in "
     "\"time\", such as "
     "\"%d/%m/%Y %H:%M\""},
    {"a,y\n2024-01-02,1\n2024-01-01,1\n",
     [](Recipe& recipe) {
       dated(recipe);
       recipe.data.inputs[0].columns[0].column = "y";
       recipe.data.targets[0].columns[0].column = "y";
       recipe.data.windowed = true;
       recipe.data.window.horizon = 1;
     },
     ", line 3: 2024-01-01 00:00:00 is earlier than the row before it, 2024-01-02 00:00:00\n  hint: sort the file by "
     "time, or set "
     "\"format\" in \"time\" if the date was misread"},
    {"a,y\n2024-01-02,1\n",
     [](Recipe& recipe) {
       dated(recipe);
       recipe.data.time.format = "%d/%m/%Y";
     },
     ", line 2, column 'a': '2024-01-02' is not a date of the form \"%d/%m/%Y\"\n  hint: correct the cell, or set "
     "\"format\" in \"time\""},
    {"a,y,h\n2024-01-02,1,25\n",
     [](Recipe& recipe) {
       dated(recipe);
       recipe.data.time.hour_column = "h";
     },
     ", line 2, column 'h': '25' is not an hour of the day\n  hint: hours run from 0 to 23"},
    {"a,y\n1,2\n",
     [](Recipe& recipe) {
       recipe.data.filters = {{"y", {"3"}, true}};
     },
     ": no row passes the filters\n  hint: compare the values in \"filters\" with the cells"},
    {"a,y\n1,2\n", [](Recipe& recipe) { recipe.data.sample_weight = "w"; },
     ": has no column 'w'\n  hint: the columns are: a, y"},
    {"a,y,w\n1,2,-1\n", [](Recipe& recipe) { recipe.data.sample_weight = "w"; },
     ", line 2, column 'w': '-1' is not a sample weight\n  hint: weights are numbers from 0 up"},
    {"a,y\n1,2\n1,2\n",
     [](Recipe& recipe) {
       recipe.data.windowed = true;
       recipe.data.window = {24, 2, 1};
     },
     ": no sample for training among its 2 rows: one takes 26 neighbouring rows (window 24, horizon 2)\n  hint: give "
     "more rows, or a "
     "shorter window; rows with missing cells and filtered rows break windows"},
    {"a,y\n1,2\n1,2\n",
     [](Recipe& recipe) {
       recipe.data.split.train = 0.9;
       recipe.data.split.test = 0.1;
       recipe.data.missing.policy = MissingPolicy::drop;
       recipe.data.split.test = 0.05;
     },
     ": no sample for the test among its 2 rows\n  hint: give more rows, a larger fraction, or fill missing cells "
     "instead of dropping "
     "their rows"},
};

}  // namespace

TEST_CASE("data errors: each wrong table is answered with its file, line, column, cell and the remedy") {
  const test::TemporaryDirectory folder;
  for (const Wrong& wrong : table) {
    const std::string path = test::write_text(folder, "t.csv", wrong.text);
    Recipe recipe;
    recipe.data.path = path;
    recipe.data.inputs.resize(1);
    recipe.data.inputs[0].columns.resize(1);
    recipe.data.inputs[0].columns[0].column = "a";
    recipe.data.targets.resize(1);
    recipe.data.targets[0].columns.resize(1);
    recipe.data.targets[0].columns[0].column = "y";
    recipe.fit.losses.resize(1);
    if (wrong.adapt != nullptr) wrong.adapt(recipe);
    const Result<PreparedData> data = prepare_training(recipe);
    INFO(wrong.text);
    REQUIRE_FALSE(data.ok());
    CHECK(data.status().message() == path + wrong.message);
  }
}

TEST_CASE("data errors: a thousand and one categories are too many to one-hot") {
  const test::TemporaryDirectory folder;
  std::string text = "a,y\n";
  for (int row = 0; row < 1001; ++row) text += "id" + std::to_string(row) + ",1\n";
  Recipe recipe;
  recipe.data.path = test::write_text(folder, "t.csv", text);
  recipe.data.inputs.resize(1);
  recipe.data.inputs[0].columns.resize(1);
  recipe.data.inputs[0].columns[0].column = "a";
  recipe.data.inputs[0].columns[0].encoder = EncoderKind::one_hot;
  recipe.data.targets.resize(1);
  recipe.data.targets[0].columns.resize(1);
  recipe.data.targets[0].columns[0].column = "y";
  recipe.fit.losses.resize(1);
  CHECK(prepare_training(recipe).status().message() == recipe.data.path +
                                                           ", column 'a': 1001 different values are too many to "
                                                           "one-hot (at most 1000)\n  hint: leave the column out if it "
                                                           "is an identifier, or use \"ordinal\" and an Embedding");
}
