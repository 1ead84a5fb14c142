// The real data sets, against numbers worked out with plain Python from the same files.
#include <doctest/doctest.h>

#include <set>

#include "runtime/data/baseline.h"
#include "runtime/data/prepare.h"
#include "tests/runtime/data/data_files.h"

using namespace moru;

namespace {

ColumnRecipe scaled(const std::string& name, EncoderKind encoder = EncoderKind::numeric,
                    std::vector<std::string> categories = {}) {
  ColumnRecipe recipe;
  recipe.column = name;
  recipe.encoder = encoder;
  recipe.categories = std::move(categories);
  recipe.scaler = ScalerKind::standard;
  return recipe;
}

Recipe bike_recipe(const std::string& path) {
  Recipe recipe;
  recipe.data.path = path;
  recipe.data.time = {"Date", "Hour", ""};
  recipe.data.inputs.resize(1);
  InputRecipe& input = recipe.data.inputs[0];
  input.rows = InputRows::window;
  for (const char* name : {"Rented Bike Count", "Hour", "Temperature", "Humidity", "Wind speed", "Visibility",
                           "Dew point temperature", "Solar Radiation", "Rainfall", "Snowfall"}) {
    input.columns.push_back(scaled(name));
  }
  input.columns.push_back(scaled("Seasons", EncoderKind::one_hot));
  input.columns.push_back(scaled("Holiday", EncoderKind::ordinal, {"No Holiday", "Holiday"}));
  input.columns.push_back(scaled("Functioning Day", EncoderKind::ordinal, {"No", "Yes"}));
  recipe.data.targets.resize(1);
  recipe.data.targets[0].columns = {scaled("Rented Bike Count")};
  recipe.data.windowed = true;
  recipe.data.window = {24, 2, 1};
  recipe.data.split.train = 0.7;
  recipe.data.split.validation = 0.15;
  recipe.data.split.test = 0.15;
  recipe.fit.losses.resize(1);
  recipe.fit.validation = ValidationFrom::data_split;
  return recipe;
}

}  // namespace

TEST_CASE("real data: the Seoul bike windows, statistics and baselines are those of the reference script") {
  const std::string path = test::shared_data("SeoulBikeData.csv");
  if (path.empty()) return;
  const Result<PreparedData> data = prepare_training(bike_recipe(path));
  INFO(data.status().message());
  REQUIRE(data.ok());
  CHECK(data->train.size() == 6107);
  CHECK(data->validation.size() == 1312);
  CHECK(data->test.size() == 1312);
  CHECK(data->train.inputs()[0].sample_shape == std::vector<int64_t>{24, 16});
  const FittedGroup& fitted = data->recipe.fitted->inputs[0];
  CHECK(fitted.mean[0] == doctest::Approx(649.9032941943901).epsilon(1e-14));
  CHECK(fitted.variance[0] == doctest::Approx(404331.4500413335).epsilon(1e-13));
  CHECK(fitted.mean[2] == doctest::Approx(11.41092628832355).epsilon(1e-8));  // cells are kept as f32
  CHECK(fitted.variance[2] == doctest::Approx(167.53760077277923).epsilon(1e-8));
  CHECK(fitted.features[10] == "Seasons=Autumn");
  CHECK(fitted.mean[10] == 0);  // there is no autumn in the training part
  CHECK(fitted.variance[10] == 1);
  CHECK(fitted.mean[13] == doctest::Approx(2160.0 / 6132).epsilon(1e-14));
  CHECK(data->recipe.fitted->training_rows == 6132);
  CHECK(data->test.times()->spacing == 3600);
  CHECK(data->test.target_label(0) == "2018-10-07 08:00:00");  // row 7448
  CHECK(data->test.target_label(1311) == "2018-11-30 23:00:00");

  const std::vector<Baseline> baselines = naive_baselines(data->test, data->train, 0);
  REQUIRE(baselines.size() == 4);
  CHECK(baselines[0].metrics.mae == doctest::Approx(321.9314024390244).epsilon(1e-12));
  CHECK(baselines[1].metrics.mae == doctest::Approx(290.921493902439).epsilon(1e-12));
  CHECK(baselines[2].metrics.mae == doctest::Approx(352.5091463414634).epsilon(1e-12));
  CHECK(baselines[3].metrics.mae == doctest::Approx(463.33610233857945).epsilon(1e-6));
  for (const Baseline& baseline : baselines) CHECK(baseline.samples == 1312);

  // The resume of a run and the prediction of the same rows see the same numbers.
  const Result<PreparedData> again = prepare_training(data->recipe, true);
  REQUIRE(again.ok());
  CHECK(again->train.fingerprint() == data->train.fingerprint());
  const RowBytes &once = *data->test.inputs()[0].base, &twice = *again->test.inputs()[0].base;
  CHECK(std::equal(once.data(), once.data() + once.size(), twice.data(), twice.data() + twice.size()));
  const Result<Dataset> prediction = prepare_prediction(data->recipe);
  REQUIRE(prediction.ok());
  CHECK(prediction->size() == 8760 - 23);
  CHECK(prediction->target_label(prediction->size() - 1) == "2018-12-01 01:00:00");
}

TEST_CASE("real data: without the days on which no bicycle was rented out, no window sees one") {
  const std::string path = test::shared_data("SeoulBikeData.csv");
  if (path.empty()) return;
  Recipe recipe = bike_recipe(path);
  recipe.data.filters = {{"Functioning Day", {"Yes"}, true}};
  const Result<PreparedData> data = prepare_training(recipe);
  INFO(data.status().message());
  REQUIRE(data.ok());
  for (const Dataset* part : {&data->train, &data->validation, &data->test}) {
    std::vector<float> window(24 * 16);
    float target = 0;
    void* inputs[] = {window.data()};
    void* targets[] = {&target};
    for (int64_t sample = 0; sample < part->size(); ++sample) {
      part->gather_range(sample, 1, inputs, targets);
      CHECK_UNARY(target > 0);
      for (std::size_t hour = 0; hour < 24; ++hour) CHECK_UNARY(window[hour * 16] > 0);
    }
  }
  CHECK(data->train.size() + data->validation.size() + data->test.size() < 8731 - 295);
}

TEST_CASE("real data: missing lags of the feature table are dropped or filled") {
  const std::string path = test::shared_data("SeoulBike_FE.csv");
  if (path.empty()) return;
  Recipe recipe;
  recipe.data.path = path;
  recipe.data.inputs.resize(1);
  for (const char* name : {"Count_lag2", "Temperature_lag2", "Humidity_lag2"})
    recipe.data.inputs[0].columns.push_back(scaled(name));
  recipe.data.targets.resize(1);
  recipe.data.targets[0].columns = {scaled("Count")};
  recipe.fit.losses.resize(1);
  recipe.data.missing.policy = MissingPolicy::drop;
  const Result<PreparedData> dropped = prepare_training(recipe);
  REQUIRE(dropped.ok());
  CHECK(dropped->train.size() < 8758);
  CHECK(dropped->train.size() >= 8758 - 14 - 44);
  recipe.data.missing.policy = MissingPolicy::fill;
  CHECK(prepare_training(recipe)->train.size() == 8758);
  recipe.data.missing.policy = MissingPolicy::error;
  CHECK_FALSE(prepare_training(recipe).ok());
}

TEST_CASE("real data: KOSPI is split by its own column, and its trading days allow no day-old baseline") {
  const std::string path = test::shared_data("KOSPI.csv");
  if (path.empty()) return;
  Recipe recipe;
  recipe.data.path = path;
  recipe.data.time.column = "Date";
  recipe.data.inputs.resize(1);
  recipe.data.inputs[0].rows = InputRows::window;
  for (const char* name : {"Open", "High", "Low", "Close", "Volume"})
    recipe.data.inputs[0].columns.push_back(scaled(name));
  recipe.data.targets.resize(1);
  recipe.data.targets[0].columns = {scaled("Close")};
  recipe.data.windowed = true;
  recipe.data.window = {10, 1, 1};
  recipe.data.split.kind = SplitKind::column;
  recipe.data.split.column = "DataSplit";
  recipe.data.split.train_values = {"0"};
  recipe.data.split.test_values = {"1"};
  recipe.fit.losses.resize(1);
  const Result<PreparedData> data = prepare_training(recipe);
  INFO(data.status().message());
  REQUIRE(data.ok());
  CHECK(data->train.size() == 1208 - 9 - 1);
  CHECK(data->test.size() == 19);
  CHECK(data->test.times()->spacing == 0);
  std::set<std::string> names;
  for (const Baseline& baseline : naive_baselines(data->test, data->train, 0)) names.insert(baseline.name);
  CHECK(names == std::set<std::string>{"persistence", "same_time_last_week", "training_mean"});
}
