#include "runtime/data/prepare.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "runtime/data/baseline.h"
#include "runtime/data/csv.h"
#include "runtime/data/encode.h"
#include "runtime/data/npy.h"
#include "runtime/data/npy_head.h"
#include "tests/runtime/data/data_files.h"

using namespace moru;

namespace {

ColumnRecipe column(const std::string& name, EncoderKind encoder = EncoderKind::numeric) {
  ColumnRecipe recipe;
  recipe.column = name;
  recipe.encoder = encoder;
  return recipe;
}

/// One input and one target of a file, without a window.
Recipe table_recipe(const std::string& path, std::vector<ColumnRecipe> features, ColumnRecipe target) {
  Recipe recipe;
  recipe.data.path = path;
  recipe.data.inputs.push_back({});
  recipe.data.inputs[0].columns = std::move(features);
  recipe.data.targets.push_back({});
  recipe.data.targets[0].columns.push_back(std::move(target));
  recipe.fit.losses.resize(1);
  return recipe;
}

Recipe windowed(Recipe recipe, int64_t length, int64_t horizon, int64_t stride = 1) {
  recipe.data.windowed = true;
  recipe.data.window = {length, horizon, stride};
  recipe.data.inputs[0].rows = InputRows::window;
  return recipe;
}

PreparedData prepare(const Recipe& recipe) {
  Result<PreparedData> prepared = prepare_training(recipe);
  INFO(prepared.status().message());
  REQUIRE(prepared.ok());
  return std::move(prepared.value());
}

std::string message_of(const Recipe& recipe) {
  const Result<PreparedData> prepared = prepare_training(recipe);
  REQUIRE_FALSE(prepared.ok());
  return prepared.status().message();
}

std::vector<float> input_of(const Dataset& dataset, int64_t sample, std::size_t input = 0) {
  std::vector<float> values(dataset.inputs()[input].sample_bytes / sizeof(float));
  std::vector<void*> to(input + 1, nullptr);
  to[input] = values.data();
  dataset.gather_range(sample, 1, to, {});
  return values;
}

float target_of(const Dataset& dataset, int64_t sample, std::size_t target = 0) {
  float value = 0;
  std::vector<void*> to(target + 1, nullptr);
  to[target] = &value;
  dataset.gather_range(sample, 1, {}, to);
  return value;
}

std::string counting_csv(int rows) {
  std::string text = "i,y\n";
  for (int row = 0; row < rows; ++row) text += std::to_string(row) + "," + std::to_string(1000 + row) + "\n";
  return text;
}

}  // namespace

TEST_CASE("prepare: a window's inputs reach back over a boundary and its target never does") {
  const test::TemporaryDirectory folder;
  Recipe recipe =
      windowed(table_recipe(test::write_text(folder, "t.csv", counting_csv(100)), {column("i")}, column("y")), 8, 3);
  recipe.data.split.train = 0.6;
  recipe.data.split.validation = 0.2;
  recipe.data.split.test = 0.2;
  const PreparedData data = prepare(recipe);
  CHECK(data.train.size() == 60 - 7 - 3);
  CHECK(data.validation.size() == 20 - 3);
  CHECK(data.test.size() == 20 - 3);
  const int first_target[3] = {7 + 3, 60 + 3, 80 + 3};
  const int end_target[3] = {60, 80, 100};
  int part = 0;
  for (const Dataset* dataset : {&data.train, &data.validation, &data.test}) {
    for (int64_t sample = 0; sample < dataset->size(); ++sample) {
      const std::vector<float> window = input_of(*dataset, sample);
      const float target = target_of(*dataset, sample) - 1000;
      REQUIRE(window.size() == 8);
      CHECK(window.back() + 3 == target);
      CHECK(window.front() + 7 == window.back());
      CHECK(target >= first_target[part]);
      CHECK(target < end_target[part]);
      CHECK(window.back() >= (part == 0 ? 0 : end_target[part - 1]));
    }
    ++part;
  }
  // The first validation window begins in the training part.
  CHECK(input_of(data.validation, 0).front() == 53);
  CHECK(data.train.inputs()[0].base == data.test.inputs()[0].base);
}

TEST_CASE("prepare: numbers with a decimal comma and marked thousands are those that pandas reads, in all that reads numbers") {
  const test::TemporaryDirectory folder;
  const std::string path = test::write_text(folder, "t.csv",
                                            "a;size;weight;y\n-3,6564;10;0,5;1.234,5\n+2;9,5;1;1.234.567\n1,5e-1;1.000;2,25;,5\n");
  ColumnRecipe size = column("size", EncoderKind::one_hot);
  Recipe recipe = table_recipe(path, {column("a"), size}, column("y"));
  recipe.data.numbers = {',', '.'};
  recipe.data.sample_weight = "weight";
  const PreparedData data = prepare(recipe);
  CHECK(data.recipe.fitted->inputs[0].features == std::vector<std::string>{"a", "size=9,5", "size=10", "size=1.000"});
  const float a[] = {-3.6564f, 2, 0.15f}, y[] = {1234.5f, 1234567, 0.5f};
  for (int64_t row = 0; row < 3; ++row) {
    CHECK(input_of(data.train, row)[0] == a[row]);
    CHECK(target_of(data.train, row) == y[row]);
  }
  float weights[3] = {};
  data.train.gather_range(0, 3, {}, {}, weights);
  CHECK(weights[2] == 2.25f);
  // One column alone: what is inside its numbers does not separate.
  const std::string alone = test::write_text(folder, "one.csv", "y\n1,5\n2,5\n");
  const Result<CsvTable> table = read_csv(alone, {.separator = {}, .encoding = TextEncoding::automatic, .decimal = ','});
  REQUIRE(table.ok());
  CHECK(table->cell(1, 0) == "2,5");
  for (const char* wrong : {"1.5", "1,,5", ",", ".", "1..000", ".1", "1,5.0", "1,5,0", "1.", ""}) {
    CAPTURE(wrong);
    CHECK(parse_number(wrong, {',', '.'}).has_value() == (std::string_view(wrong) == "1.5" || std::string_view(wrong) == "1."));
  }
}

TEST_CASE("prepare: statistics see the training rows only") {
  const test::TemporaryDirectory folder;
  std::string text = "a,flat,y\n";
  for (int row = 0; row < 10; ++row)
    text += (row < 6 ? std::to_string(row) + ",5," : std::string("1000,77,")) + std::to_string(row) + "\n";
  ColumnRecipe a = column("a"), flat = column("flat"), y = column("y");
  a.scaler = flat.scaler = ScalerKind::standard;
  y.scaler = ScalerKind::minmax;
  Recipe recipe = table_recipe(test::write_text(folder, "t.csv", text), {a, flat, column("a")}, y);
  recipe.data.split.train = 0.6;
  recipe.data.split.test = 0.4;
  const PreparedData data = prepare(recipe);
  const FittedGroup& input = data.recipe.fitted->inputs[0];
  CHECK(input.features == std::vector<std::string>{"a", "flat", "a"});
  CHECK(input.mean[0] == 2.5);
  CHECK(input.variance[0] == doctest::Approx(35.0 / 12).epsilon(1e-15));
  CHECK(input.mean[1] == 5);
  CHECK(input.variance[1] == 1);
  CHECK(input.mean[2] == 0);
  CHECK(input.variance[2] == 1);
  CHECK(data.recipe.fitted->targets[0].mean[0] == 0);
  CHECK(data.recipe.fitted->targets[0].variance[0] == 25);
  CHECK(data.recipe.fitted->training_rows == 6);
  CHECK(input_of(data.test, 0)[0] == 1000);  // raw
}

TEST_CASE("prepare: samples that Keras' validation split holds out are not in the statistics") {
  const test::TemporaryDirectory folder;
  ColumnRecipe i = column("i");
  i.scaler = ScalerKind::minmax;
  Recipe recipe = table_recipe(test::write_text(folder, "t.csv", counting_csv(30)), {i}, column("y"));
  recipe.fit.validation = ValidationFrom::last_of_training;
  recipe.fit.validation_split = 0.9;
  const PreparedData data = prepare(recipe);
  CHECK(data.train.size() == 2);
  CHECK(data.validation.size() == 28);
  CHECK(target_of(data.validation, 0) == 1002);
  CHECK(data.recipe.fitted->inputs[0].variance[0] == 1);

  const PreparedData windows = prepare(windowed(recipe, 5, 2));
  CHECK(windows.train.size() == 2);  // 24 samples; 24 * (1 - 0.9) is 2.4
  CHECK(windows.validation.size() == 22);
  CHECK(windows.recipe.fitted->inputs[0].variance[0] == 49);  // rows 0 to 7, the second sample's target
}

TEST_CASE("prepare: each encoder gives the numbers it should") {
  const test::TemporaryDirectory folder;
  const std::string path = test::write_text(folder, "t.csv",
                                            "size,colour,hour,day,y\n"
                                            "small,red,0,2024-02-29,1\n"
                                            "large,blue,6,2024-03-01,2\n"
                                            "medium,red,12,2024-03-02,3\n");
  ColumnRecipe size = column("size", EncoderKind::ordinal);
  size.categories = {"small", "medium", "large"};
  ColumnRecipe hour = column("hour", EncoderKind::cyclic);
  hour.period = 24;
  ColumnRecipe day = column("day", EncoderKind::date_parts);
  day.parts = {DatePart::month, DatePart::weekday};
  const PreparedData data =
      prepare(table_recipe(path, {size, column("colour", EncoderKind::one_hot), hour, day}, column("y")));
  CHECK(data.train.inputs()[0].features == std::vector<std::string>{"size", "colour=blue", "colour=red", "hour_sin",
                                                                    "hour_cos", "day_month", "day_weekday"});
  const std::vector<std::vector<float>> expected = {
      {0, 0, 1, 0, 1, 2, 3}, {2, 1, 0, 1, 0, 3, 4}, {1, 0, 1, 0, -1, 3, 5}};
  for (int64_t row = 0; row < 3; ++row) {
    const std::vector<float> values = input_of(data.train, row);
    for (std::size_t k = 0; k < values.size(); ++k)
      CHECK(values[k] == doctest::Approx(expected[static_cast<std::size_t>(row)][k]).epsilon(1e-6));
  }
  day.cyclic_parts = true;
  const PreparedData cyclic = prepare(table_recipe(path, {day}, column("y")));
  CHECK(input_of(cyclic.train, 0)[0] == doctest::Approx(std::sin(2 * 3.14159265358979 * 2 / 12)));
  CHECK(cyclic.train.inputs()[0].features[3] == "day_weekday_cos");
}

TEST_CASE("prepare: missing cells are dropped, filled or refused, as the recipe says") {
  const test::TemporaryDirectory folder;
  const std::string path = test::write_text(folder, "t.csv", "a,c,y\n1,x,0\n,x,1\n4,NA,2\n1,y,3\n100,y,4\n");
  const auto with = [&](MissingRecipe missing, bool category) {
    Recipe recipe = table_recipe(path, {category ? column("c", EncoderKind::ordinal) : column("a")}, column("y"));
    recipe.data.missing = std::move(missing);
    recipe.data.split.train = 0.8;  // rows 0 to 3; 100 is in none of the statistics
    recipe.data.split.test = 0.2;
    return recipe;
  };
  CHECK(message_of(with({}, false)) ==
        path +
            ", line 3, column 'a': the cell is missing\n  hint: set \"missing\" to \"drop\" or {\"fill\": "
            "\"mean\" | \"median\" | \"previous\" | \"constant\"}");
  MissingRecipe drop;
  drop.policy = MissingPolicy::drop;
  const PreparedData dropped = prepare(with(drop, false));
  CHECK(dropped.train.size() == 3);
  CHECK(target_of(dropped.train, 1) == 2);
  MissingRecipe fill;
  fill.policy = MissingPolicy::fill;
  const auto filled = [&](FillKind kind) {
    fill.fill = kind;
    fill.constant = -7;
    return input_of(prepare(with(fill, false)).train, 1)[0];
  };
  CHECK(filled(FillKind::mean) == 2);
  CHECK(filled(FillKind::median) == 1);
  CHECK(filled(FillKind::previous) == 1);
  CHECK(filled(FillKind::constant) == -7);
  fill.fill = FillKind::previous;
  CHECK(input_of(prepare(with(fill, true)).train, 2)[0] == 0);
  fill.fill = FillKind::constant;
  fill.text = "y";
  CHECK(input_of(prepare(with(fill, true)).train, 2)[0] == 1);
  fill.text = "z";
  CHECK(message_of(with(fill, true)) ==
        path +
            ", line 4, column 'c': the cell is missing, and the fill value 'z' is not one of its "
            "categories\n  hint: set the column's \"missing\" to {\"fill\": \"previous\"} or {\"fill\": "
            "\"constant\", \"value\": <one of its categories>}");
  fill.constant = std::nan("");
  CHECK(message_of(with(fill, false)) ==
        path +
            ", line 3, column 'a': the cell is missing, and the fill value 'z' is not a number\n  hint: set the column's \"missing\" to "
            "{\"fill\": \"constant\", \"value\": <a number>} or another fill");
  fill.fill = FillKind::mean;
  CHECK(message_of(with(fill, true)).find("categories have no mean or median") != std::string::npos);
}

TEST_CASE("prepare: a gap is not glued over; the windows that would see it are left out") {
  const test::TemporaryDirectory folder;
  std::string text = "i,keep,y\n";
  for (int row = 0; row < 20; ++row) {
    text +=
        (row == 5 ? std::string() : std::to_string(row)) + (row == 13 ? ",no," : ",yes,") + std::to_string(row) + "\n";
  }
  Recipe recipe = windowed(table_recipe(test::write_text(folder, "t.csv", text), {column("i")}, column("y")), 3, 1);
  recipe.data.missing.policy = MissingPolicy::drop;
  recipe.data.filters.push_back({"keep", {"yes"}, true});
  const PreparedData data = prepare(recipe);
  std::set<int64_t> anchors;
  for (int64_t sample = 0; sample < data.train.size(); ++sample) {
    anchors.insert(data.train.anchor(sample));
    const std::vector<float> window = input_of(data.train, sample);
    CHECK(window[0] + 1 == window[1]);
    CHECK(window[1] + 1 == window[2]);
    CHECK(target_of(data.train, sample) == window[2] + 1);
  }
  // Windows over row 5 or 13, and the window whose target is row 13, are gone; row 5 misses only its input.
  CHECK(anchors == std::set<int64_t>{2, 3, 4, 8, 9, 10, 11, 16, 17, 18});
}

TEST_CASE("prepare: a column tells the parts apart") {
  const test::TemporaryDirectory folder;
  const std::string path = test::write_text(folder, "t.csv", "a,part,y\n1,0,1\n2,0,2\n3,0,3\n4,1,4\n5,1,5\n");
  Recipe recipe = windowed(table_recipe(path, {column("a")}, column("y")), 2, 1);
  recipe.data.split.kind = SplitKind::column;
  recipe.data.split.column = "part";
  recipe.data.split.train_values = {"0"};
  recipe.data.split.test_values = {"1"};
  const PreparedData data = prepare(recipe);
  CHECK(data.train.size() == 1);
  CHECK(data.test.size() == 1);
  CHECK(input_of(data.test, 0) == std::vector<float>{3, 4});
  recipe.data.split.test_values = {"2"};
  CHECK(message_of(recipe) ==
        path +
            ", line 5, column 'part': '1' is in none of the parts\n  hint: list it under \"train\", "
            "\"validation\" or \"test\" of \"split\"");
}

TEST_CASE("prepare: prediction needs no target, takes every window, and may look beyond the file") {
  const test::TemporaryDirectory folder;
  std::string history = "when,i,c,y\n";
  for (int row = 0; row < 12; ++row)
    history +=
        "2024-01-01 " + std::to_string(row) + ":00," + std::to_string(row) + "," + (row % 2 ? "a" : "b") + ",0\n";
  Recipe recipe = windowed(table_recipe(test::write_text(folder, "t.csv", history),
                                        {column("i"), column("c", EncoderKind::one_hot)}, column("y")),
                           3, 2, 4);
  recipe.data.time.column = "when";
  const Recipe fitted = prepare(recipe).recipe;

  const std::string fresh = test::write_text(
      folder, "new.csv",
      "c;when;i\na;2024-02-01 22:00;1\na;2024-02-01 23:00;2\nb;2024-02-02 00:00;3\nb;2024-02-02 01:00;4\n");
  const Result<Dataset> data = prepare_prediction(fitted, fresh);
  INFO(data.status().message());
  REQUIRE(data.ok());
  CHECK(data->size() == 2);
  CHECK(data->targets().empty());
  CHECK(input_of(*data, 1) == std::vector<float>{2, 1, 0, 3, 0, 1, 4, 0, 1});
  CHECK(data->target_label(0) == "2024-02-02 02:00:00");
  CHECK(data->target_label(1) == "2024-02-02 03:00:00");
  // Hours that are missing change nothing about when two hours later is.
  const std::string gap = test::write_text(
      folder, "gap.csv", "c;when;i\na;2024-02-01 18:00;1\na;2024-02-01 23:00;2\nb;2024-02-02 00:00;3\n");
  const Result<Dataset> behind = prepare_prediction(fitted, gap);
  REQUIRE(behind.ok());
  CHECK(behind->times()->spacing == 0);
  CHECK(behind->target_label(0) == "2024-02-02 02:00:00");

  const std::string strange = test::write_text(folder, "strange.csv", "c,when,i\nq,2024-02-01 22:00,1\n");
  CHECK(prepare_prediction(fitted, strange).status().message() ==
        strange + ", line 2, column 'c': 'q' is not one of the categories\n  hint: the categories are: a, b");
  CHECK(prepare_prediction(recipe, fresh).status().message() ==
        "recipe: has not been fitted to training data\n  hint: train first; the trained model carries a fitted recipe");
  const std::string brief = test::write_text(folder, "brief.csv", "c,when,i\na,2024-02-01 22:00,1\n");
  CHECK(prepare_prediction(fitted, brief).status().message() ==
        brief +
            ": no sample for the prediction among its 1 rows: one takes 3 neighbouring rows (window 3)\n  "
            "hint: give more rows; rows with missing cells and filtered rows break windows");
  const std::string brief_history = test::write_text(folder, "past.csv", "c,when,i,y\na,2024-02-01 22:00,1,0\n");
  CHECK(prepare_evaluation(fitted, brief_history).status().message() ==
        brief_history +
            ": no sample for the evaluation among its 1 rows: one takes 5 neighbouring rows (window 3, horizon 2)\n  "
            "hint: give more rows; rows with missing cells and filtered rows break windows");
  // A trained model's recipe cannot be edited.
  const std::string holes = test::write_text(folder, "holes.csv", "c,when,i\na,2024-02-01 22:00,\n");
  CHECK(prepare_prediction(fitted, holes).status().message() ==
        holes +
            ", line 2, column 'i': the cell is missing\n  hint: fill in the cell or leave the row out; or train again, and set "
            "\"missing\" to \"drop\" or {\"fill\": \"mean\" | \"median\" | \"previous\" | \"constant\"}");
  const std::string commas = test::write_text(folder, "commas.csv", "c;when;i\na;2024-02-01 22:00;1,5\n");
  CHECK(prepare_prediction(fitted, commas).status().message() ==
        commas + ", line 2, column 'i': '1,5' is not a number\n  hint: correct the cell; or train again, and set \"decimal\": \",\" in "
                 "\"data\"");
  CHECK_FALSE(prepare_evaluation(fitted, fresh).ok());  // it has no target column
  const Result<Dataset> again = prepare_evaluation(fitted);
  REQUIRE(again.ok());
  CHECK(again->size() == 2);  // rows 2 and 6, by the recipe's stride
}

TEST_CASE("prepare: two inputs and two outputs, one of them read from the row to be predicted") {
  const test::TemporaryDirectory folder;
  std::string text = "i,hour,y,z\n";
  for (int row = 0; row < 10; ++row)
    text += std::to_string(row) + "," + std::to_string(row % 4) + "," + std::to_string(10 * row) + "," +
            std::to_string(row % 2) + "\n";
  Recipe recipe =
      windowed(table_recipe(test::write_text(folder, "t.csv", text), {column("i"), column("y")}, column("y")), 2, 2);
  recipe.data.inputs[0].name = "past";
  recipe.data.inputs.push_back({"ahead", InputRows::target_row, DType::i32, {column("hour")}, {}, ScalerKind::none});
  recipe.data.targets[0].name = "amount";
  recipe.data.targets.push_back({"odd", DType::i64, {column("z")}, {}, ScalerKind::none});
  recipe.fit.losses = {{"amount", "mean_squared_error"}, {"odd", "sparse_categorical_crossentropy"}};
  const PreparedData data = prepare(recipe);
  REQUIRE(data.train.size() == 7);
  CHECK(data.train.find_input("ahead") == 1);
  CHECK(data.train.find_target("odd") == 1);
  CHECK(data.train.find_input("nothing") == -1);
  CHECK(data.train.inputs()[0].sample_shape == std::vector<int64_t>{2, 2});
  CHECK(data.train.inputs()[1].sample_shape == std::vector<int64_t>{1});
  int32_t ahead[3];
  int64_t odd[3];
  float amount[3], past[3 * 4];
  void* inputs[2] = {past, ahead};
  void* targets[2] = {amount, odd};
  const int64_t samples[3] = {6, 0, 3};
  data.train.gather(samples, inputs, targets);
  for (int k = 0; k < 3; ++k) {
    const auto row = samples[k] + 1;  // the anchor
    CHECK(past[4 * k] == static_cast<float>(row - 1));
    CHECK(past[4 * k + 3] == static_cast<float>(10 * row));
    CHECK(ahead[k] == (row + 2) % 4);
    CHECK(amount[k] == static_cast<float>(10 * (row + 2)));
    CHECK(odd[k] == (row + 2) % 2);
  }
}

TEST_CASE("prepare: npy arrays by name, with windows, weights and statistics of the last axis") {
  const test::TemporaryDirectory folder;
  std::vector<float> x, y, w;
  for (int row = 0; row < 10; ++row) {
    x.insert(x.end(), {static_cast<float>(row), 5.0f});
    y.push_back(static_cast<float>(row * row));
    w.push_back(static_cast<float>(row) / 2);
  }
  const auto save = [&](const char* name, std::vector<int64_t> shape, const std::vector<float>& values) {
    REQUIRE(write_npy(folder / name, DType::f32, shape, std::as_bytes(std::span(values))).ok());
    return folder / name;
  };
  Recipe recipe;
  recipe.data.source = SourceKind::npy;
  recipe.data.inputs = {{"x", InputRows::row, DType::f32, {}, save("x.npy", {10, 2}, x), ScalerKind::standard}};
  recipe.data.targets = {{"y", DType::f32, {}, save("y.npy", {10, 1}, y), ScalerKind::none}};
  recipe.data.sample_weight = save("w.npy", {10}, w);
  recipe.data.split.train = 0.5;
  recipe.data.split.test = 0.5;
  recipe.fit.losses = {{"y", "mean_squared_error"}};
  const PreparedData data = prepare(recipe);
  CHECK(data.train.size() == 5);
  CHECK(data.recipe.fitted->inputs[0].mean == std::vector<double>{2, 5});
  CHECK(data.recipe.fitted->inputs[0].variance == std::vector<double>{2, 1});
  float weight = 0;
  data.test.gather_range(1, 1, {}, {}, &weight);
  CHECK(weight == 3);

  const PreparedData windows = prepare(windowed(recipe, 3, 1));
  CHECK(windows.train.size() == 2);
  CHECK(windows.train.inputs()[0].sample_shape == std::vector<int64_t>{3, 2});
  CHECK(input_of(windows.test, 0) == std::vector<float>{3, 5, 4, 5, 5, 5});
  CHECK(target_of(windows.test, 0) == 36);

  recipe.data.targets[0].path = save("short.npy", {9}, std::vector<float>(9, 0));
  CHECK(message_of(recipe) == folder / "short.npy" + ": has 9 rows, and " + (folder / "x.npy") +
                                  " has 10\n  hint: the first axis of all arrays must count the same samples");
}

// Bytes of memory that this process wrote to itself: not the pages of mapped files.
int64_t own_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::atoll(line.c_str() + 8) * 1024;
  return 0;
}

TEST_CASE("prepare: large npy files stay where they are, and their samples are those of the file") {
  const test::TemporaryDirectory folder;
  constexpr int64_t rows = 600000, width = 128, bytes = rows * width * 4;  // 293 MiB
  constexpr int64_t marked = 123456;
  const auto make = [&](const char* name, std::vector<int64_t> shape, int64_t data_bytes, float value, int64_t at) {
    const std::string head = npy_head(NpyType::f4, shape);
    std::ofstream file(folder / name, std::ios::binary);
    file << head;
    file.seekp(static_cast<std::streamoff>(head.size()) + at * 4);
    file.write(reinterpret_cast<const char*>(&value), sizeof value);
    file.close();
    std::filesystem::resize_file(folder / name, head.size() + static_cast<size_t>(data_bytes));  // zeros that take no disk
    return folder / name;
  };
  Recipe recipe;
  recipe.data.source = SourceKind::npy;
  recipe.data.inputs = {{"x", InputRows::row, DType::f32, {}, make("x.npy", {rows, width}, bytes, 7.0f, marked * width + 3), ScalerKind::none}};
  recipe.data.targets = {{"y", DType::f32, {}, make("y.npy", {rows, 1}, rows * 4, 9.0f, marked), ScalerKind::none}};
  recipe.data.split = {};
  recipe.fit.losses = {{"y", "mean_squared_error"}};
  const int64_t before = own_memory();
  const PreparedData data = prepare(recipe);
  CHECK(data.train.inputs()[0].base->is_mapped());
  CHECK(data.train.targets()[0].base->is_mapped() == false);
  CHECK(own_memory() - before < bytes / 4);
  const int64_t wanted[] = {0, marked, rows - 1};
  data.train.prefetch(wanted);
  std::vector<float> x(3 * width), y(3);
  void* const inputs[] = {x.data()};
  void* const targets[] = {y.data()};
  data.train.gather(wanted, inputs, targets);
  CHECK(x[width + 3] == 7.0f);
  CHECK(std::count(x.begin(), x.end(), 0.0f) == 3 * width - 1);
  CHECK(y == std::vector<float>{0, 9, 0});
}

TEST_CASE("prepare: a csv that is taken for large is mapped, kept on disk and gives the same data, bit for bit") {
  const test::TemporaryDirectory folder;
  std::string text = "when,kind,label,x,y\n";

  for (int row = 0; row < 20000; ++row) {
    char line[96];
    std::snprintf(line, sizeof line, "2024-01-%02d %02d:00,%s,\"a \"\"%d\"\"\",%.3f,%d\n", row / 24 % 28 + 1, row % 24,
                  row % 3 ? "spring" : "fall", row % 2, row % 97 ? row * 0.25 : 1e6, row * 37 % 101);
    text += line;
  }
  Recipe recipe = table_recipe(test::write_text(folder, "t.csv", text), {column("x"), column("kind"), column("label"), column("when")}, column("y"));
  for (ColumnRecipe& one : recipe.data.inputs[0].columns) {
    if (one.column == "kind") one.encoder = EncoderKind::one_hot;
    if (one.column == "label") one.encoder = EncoderKind::ordinal;
    if (one.column == "when") one.encoder = EncoderKind::date_parts, one.parts = {DatePart::day, DatePart::hour};
    if (one.column == "x") one.scaler = ScalerKind::standard;
  }
  const PreparedData small = prepare(recipe);
  const int64_t before = own_memory();
  ::setenv("MORU_LARGE_BYTES", "4096", 1);
  const PreparedData large = prepare(recipe);
  ::unsetenv("MORU_LARGE_BYTES");
  const int64_t taken = own_memory() - before;
  const RowBytes &in_memory = *small.train.inputs()[0].base, &on_disk = *large.train.inputs()[0].base;
  CHECK_FALSE(in_memory.is_mapped());
  REQUIRE(on_disk.is_mapped());
  REQUIRE(in_memory.size() == on_disk.size());
  CHECK(std::equal(in_memory.data(), in_memory.data() + in_memory.size(), on_disk.data()));
  CHECK(small.train.inputs()[0].features == std::vector<std::string>{"x", "kind=fall", "kind=spring", "label", "when_day", "when_hour"});
  CHECK(small.recipe.fitted->inputs[0].mean == large.recipe.fitted->inputs[0].mean);
  CHECK(small.recipe.fitted->inputs[0].variance == large.recipe.fitted->inputs[0].variance);
  CHECK(small.train.fingerprint() == large.train.fingerprint());
  CHECK(taken < static_cast<int64_t>(on_disk.size()));  // the numbers of a row, and less than a third of what it takes in memory
  const int64_t wanted[] = {0, 7};
  large.train.prefetch(wanted);
}

TEST_CASE("prepare: where no temporary file can be made, that is said, with the remedy") {
  const test::TemporaryDirectory folder;
  std::string text = "x,y\n";
  for (int row = 0; row < 2000; ++row) text += std::to_string(row) + ",1\n";
  const Recipe recipe = table_recipe(test::write_text(folder, "t.csv", text), {column("x")}, column("y"));
  const char* usual = std::getenv("TMPDIR");
  const std::string kept = usual ? usual : "";
  ::setenv("MORU_LARGE_BYTES", "4096", 1);
  ::setenv("TMPDIR", (folder / "nowhere").c_str(), 1);
  const Result<PreparedData> failed = prepare_training(recipe);
  ::unsetenv("MORU_LARGE_BYTES");
  if (usual) ::setenv("TMPDIR", kept.c_str(), 1);
  else ::unsetenv("TMPDIR");
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.status().message().find("nowhere: No such file or directory\n  hint: free some space") != std::string::npos);
}

TEST_CASE("prepare: where the disk has no room for a large csv, that is said before anything is written") {
  const test::TemporaryDirectory folder;
  std::string text = "x,y\n";
  for (int row = 0; row < 60000; ++row) text += std::to_string(row) + ",1\n";
  const Recipe recipe = table_recipe(test::write_text(folder, "t.csv", text), {column("x")}, column("y"));
  // A limit on the size of files stands for a full disk: both refuse to reserve the room.
  rlimit usual{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &usual) == 0);
  const rlimit small{65536, usual.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setenv("MORU_LARGE_BYTES", "4096", 1);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Result<PreparedData> failed = prepare_training(recipe);
  ::setrlimit(RLIMIT_FSIZE, &usual);
  ::unsetenv("MORU_LARGE_BYTES");
  std::signal(SIGXFSZ, handler);
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.status().message().find("cannot keep ") == 0);
  CHECK(failed.status().message().find("File too large\n  hint: free some space") != std::string::npos);
}

TEST_CASE("baseline: the values of an hour, a day and a week ago, never from behind the anchor") {
  const test::TemporaryDirectory folder;
  std::string text = "when,y\n";
  for (int hour = 0; hour < 24 * 28; ++hour) {
    char line[64];
    std::snprintf(line, sizeof line, "2024-01-%02d %02d:00,%d\n", hour / 24 + 1, hour % 24,
                  (hour % 24) * 10 + hour / 168);
    text += line;
  }
  Recipe recipe = table_recipe(test::write_text(folder, "t.csv", text), {column("y")}, column("y"));
  recipe.data.time.column = "when";
  recipe.data.split.train = 0.5;
  recipe.data.split.test = 0.5;
  const auto baselines_of = [&](int64_t horizon) {
    const PreparedData data = prepare(windowed(recipe, 4, horizon));
    return naive_baselines(data.test, data.train, 0);
  };
  const std::vector<Baseline> near = baselines_of(1);
  REQUIRE(near.size() == 4);
  CHECK(near[0].name == "persistence");
  // Ten an hour, 230 at midnight, by hand over 335 samples: 13 midnights, of which one is the start of a week (229).
  CHECK(near[0].metrics.mae == doctest::Approx((322 * 10 + 12 * 230 + 229 + 0.0) / 335).epsilon(1e-12));
  CHECK(near[1].name == "same_time_yesterday");
  // Equal to yesterday but for the first days of the weeks, where it is one more: 23 + 24 of the 335 targets.
  CHECK(near[1].metrics.mae == doctest::Approx(47.0 / 335).epsilon(1e-12));
  CHECK(near[2].name == "same_time_last_week");
  CHECK(near[2].metrics.mae == 1);
  CHECK(near[3].name == "training_mean");
  // Thirty hours ahead, yesterday is not known yet at the anchor: two days back is.
  const std::vector<Baseline> far = baselines_of(30);
  CHECK(far[1].name == "same_time_yesterday");
  CHECK(far[1].metrics.mae > near[1].metrics.mae);
}
