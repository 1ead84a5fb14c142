// CSV files that are wrong, or do not fit the recipe.
#include "tests/errors/wrong.h"

namespace moru::test {

std::vector<Wrong> wrong_tables() {
  return {
      with({{"missing.csv", "a,b,c,y\n1,2,3,4\n1,,3,4\n"},
            {"r_fill.json", replace_all(SmallProject::recipe("model.json", "missing.csv", R"("a", {"column": "b", "encoder": "ordinal"}, "c")"),
                                        R"("csv")", R"("missing": {"fill": "constant", "value": 0}, "csv")")}},
           {"a number to fill in for a category",
            {"train", "@/r_fill.json", "--run-dir", "@/r"},
            1,
            "error: @/missing.csv, line 3, column 'b': the cell is missing, and the fill value '0' is not one of its categories\n"
            "  hint: set the column's \"missing\" to {\"fill\": \"previous\"} or {\"fill\": \"constant\", \"value\": <one of its "
            "categories>}\n"}),
      with({{"missing.csv", "a,b,c,y\n1,2,3,4\n1,,3,4\n"}},
           {"a missing cell",
            {"train", "@/recipe.json", "--data", "@/missing.csv", "--run-dir", "@/r"},
            1,
            "error: @/missing.csv, line 3, column 'b': the cell is missing\n"
            "  hint: set \"missing\" to \"drop\" or {\"fill\": \"mean\" | \"median\" | \"previous\" | \"constant\"}\n"}),
      with({{"words.csv", "a,b,c,y\n1,2,3,4\n1,two,3,4\n"}},
           {"a word among numbers",
            {"train", "@/recipe.json", "--data", "@/words.csv", "--run-dir", "@/r"},
            1,
            "error: @/words.csv, line 3, column 'b': 'two' is not a number\n"
            "  hint: give the column an encoder (\"one_hot\" or \"ordinal\"), or list 'two' in \"missing_values\"\n"}),
      with({{"ragged.csv", "a,b,c,y\n1,2,3,4\n1,2,3\n"}},
           {"a row that is too short",
            {"train", "@/recipe.json", "--data", "@/ragged.csv", "--run-dir", "@/r"},
            1,
            "error: @/ragged.csv, line 3: 3 cells where the header names 4 (the first one missing is 'y')\n"
            "  hint: the separator is ','; put a cell that holds it in double quotes, or set \"separator\"\n"}),
      with({{"empty.csv", ""}},
           {"an empty table",
            {"train", "@/recipe.json", "--data", "@/empty.csv", "--run-dir", "@/r"},
            1,
            "error: @/empty.csv: is empty\n"
            "  hint: the first line must name the columns\n"}),
      with({{"header.csv", "a,b,c,y\n"}},
           {"a header without rows",
            {"train", "@/recipe.json", "--data", "@/header.csv", "--run-dir", "@/r"},
            1,
            "error: @/header.csv: has a header and no rows\n"
            "  hint: is this the right file?\n"}),
      with({{"quote.csv", "a,b,c,y\n1,2,\"3,4\n"}},
           {"a quote that is never closed",
            {"train", "@/recipe.json", "--data", "@/quote.csv", "--run-dir", "@/r"},
            1,
            "error: @/quote.csv, line 2: a quoted cell begins here and is never closed\n"
            "  hint: close the quote, or double a quote that belongs to the text (\"\")\n"}),
      with({{"twice.csv", "a,b,a,y\n1,2,3,4\n"}},
           {"two columns of one name",
            {"train", "@/recipe.json", "--data", "@/twice.csv", "--run-dir", "@/r"},
            1,
            "error: @/twice.csv: two columns are called 'a'\n"
            "  hint: rename one of them, or take the second as 'a.1'\n"}),
      with({{"few.csv", "a,b,c,y\n1,2,3,4\n"}},
           {"too few rows",
            {"train", "@/recipe.json", "--data", "@/few.csv", "--run-dir", "@/r"},
            1,
            "error: @/few.csv: no sample for training among its 1 rows\n"
            "  hint: give more rows, a larger fraction, or fill missing cells instead of dropping their rows\n"}),
      with({{"no_c.csv", "a,b,y\n1,2,3\n"}},
           {"a table without a column, for predict",
            {"predict", "@/run/model.moru", "--data", "@/no_c.csv"},
            1,
            "error: @/no_c.csv: has no column 'c'\n"
            "  hint: the columns are: a, b, y\n"}),
      {"a table that is not there, for evaluate",
       {"evaluate", "@/run/model.moru", "--data", "@/lost.csv"},
       1,
       "error: @/lost.csv: cannot be opened: No such file or directory\n"
       "  hint: check the path; \"csv\" in a recipe is relative to the recipe\n"},
      {"a model without a recipe, for predict",
       {"predict", "@/model.moru", "--data", "@/data.csv"},
       1,
       "error: '@/model.moru' carries no recipe, so it is not known what the columns of a CSV mean\n"
       "  hint: give the .moru that `moru train` made; of other kinds of files, .onnx alone keeps its recipe\n"},
      {"a recipe that was never fitted, for predict",
       {"predict", "@/recipe.json", "--data", "@/data.csv"},
       1,
       "error: @/recipe.json: has not been fitted to training data\n"
       "  hint: train first; the trained model carries a fitted recipe\n"},
  };
}

}  // namespace moru::test
