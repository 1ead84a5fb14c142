#include "tools/recipe/recipe_json.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/data/prepare.h"
#include "runtime/data/recipe_text.h"
#include "tests/runtime/data/data_files.h"
#include "tests/runtime/temporary_directory.h"

using namespace moru;

namespace {

Recipe parse(const std::string& text) {
  Result<Recipe> recipe = parse_recipe_json(text, "r.json", "/d");
  INFO(recipe.status().message());
  REQUIRE(recipe.ok());
  return std::move(recipe.value());
}

std::string with_data(const std::string& data) { return R"({"data": {)" + data + R"(}, "fit": {"loss": "mse"}})"; }
std::string with_fit(const std::string& fit) {
  return R"({"data": {"csv": "d.csv", "features": ["a"], "target": "y"}, "fit": {)" + fit + "}}";
}

std::string replace(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("recipe json: the short forms mean what they look like") {
  const Recipe recipe = parse(R"({
    // a comment
    "model": "m.keras",
    "data": {"csv": "../x/d.csv", "features": ["a", {"columns": ["b", "c"], "scaler": "minmax"}], "target": "y", "scaler": "standard",
             "split": [0.8, 0.2]},
    "fit": {"loss": "mse", "metrics": "MAE", "optimizer": "RMSprop", "callbacks": {"early_stopping": {}}}
  })");
  CHECK(recipe.name == "r");
  CHECK(recipe.model == "/d/m.keras");
  CHECK(recipe.data.path == "/x/d.csv");
  REQUIRE(recipe.data.inputs[0].columns.size() == 3);
  CHECK(recipe.data.inputs[0].columns[0].scaler == ScalerKind::standard);
  CHECK(recipe.data.inputs[0].columns[2].column == "c");
  CHECK(recipe.data.inputs[0].columns[2].scaler == ScalerKind::minmax);
  CHECK(recipe.data.targets[0].columns[0].scaler == ScalerKind::none);
  CHECK(recipe.data.split.validation == 0.2);
  CHECK(recipe.fit.losses[0].name == "mean_squared_error");
  CHECK(recipe.fit.metrics[0].name == "mean_absolute_error");
  CHECK(recipe.fit.metrics[0].label == "MAE");
  CHECK(recipe.fit.optimizer.name == "rmsprop");
  CHECK(recipe.fit.validation == ValidationFrom::data_split);
  CHECK(recipe.fit.early_stopping->monitor == "val_loss");
}

TEST_CASE("recipe json: the target's own history comes first among a window's features") {
  const Recipe recipe = parse(with_data(R"("csv": "d.csv", "features": ["a"], "target": "y", "scaler": "standard",
                                           "window": {"length": 3, "horizon": 1, "include_target": true})"));
  CHECK(recipe.data.inputs[0].rows == InputRows::window);
  REQUIRE(recipe.data.inputs[0].columns.size() == 2);
  CHECK(recipe.data.inputs[0].columns[0].column == "y");
  CHECK(recipe.data.inputs[0].columns[0].scaler == ScalerKind::standard);
}

TEST_CASE("recipe json: arrays by input and output name") {
  const Recipe recipe = parse(R"({"data": {"inputs": {"x": "x.npy", "ids": {"npy": "/abs/i.npy", "dtype": "int32"}},
                                           "targets": {"y": {"npy": "y.npy", "scaler": "standard"}}, "sample_weight": "w.npy"},
                                  "fit": {"loss": {"y": "mae"}, "validation_split": 0.25}})");
  CHECK(recipe.data.source == SourceKind::npy);
  CHECK(recipe.data.inputs[0].path == "/d/x.npy");
  CHECK(recipe.data.inputs[1].path == "/abs/i.npy");
  CHECK(recipe.data.inputs[1].type == DType::i32);
  CHECK(recipe.data.targets[0].scaler == ScalerKind::standard);
  CHECK(recipe.data.sample_weight == "/d/w.npy");
  CHECK(recipe.fit.validation == ValidationFrom::last_of_training);
}

TEST_CASE("recipe json: losses and metrics by output may name the only one, by the model's name or by its column's") {
  const auto with = [](const std::string& fit) {
    return parse(R"({"data": {"csv": "d.csv", "features": ["a"], "target": "y"}, "fit": {)" + fit + "}}");
  };
  const Recipe by_column = with(R"("loss": {"y": "mse"}, "loss_weights": {"y": 2}, "metrics": {"y": ["mae"]})");
  CHECK(by_column.data.targets[0].name.empty());
  CHECK(by_column.fit.losses[0].output.empty());
  CHECK(by_column.fit.losses[0].weight == 2);
  CHECK(by_column.fit.metrics[0].output.empty());
  for (const char* fit : {R"("loss": "mse", "metrics": {"out": ["mae"]})", R"("loss": {"out": "mse"}, "metrics": ["mae"])",
                          R"("loss": {"y": "mse"}, "weighted_metrics": {"out": "mae"})"}) {
    const Recipe by_output = with(fit);
    CHECK(by_output.data.targets[0].name == "out");
    CHECK(by_output.fit.losses[0].output == "out");
    CHECK(by_output.fit.metrics[0].output == "out");
    CHECK(recipe_to_json(parse(recipe_to_json(by_output))) == recipe_to_json(by_output));
  }
}

TEST_CASE("recipe json: of metrics with one name the later are called as Keras calls them") {
  const Recipe recipe = parse(R"({"data": {"csv": "d.csv", "features": ["a"], "target": "y"},
                                  "fit": {"loss": "mse", "metrics": ["mae", "mse", "mae", {"name": "huber", "label": "mae"}],
                                          "weighted_metrics": ["mae", "rmse", "mae"]}})");
  std::vector<std::string> labels;
  for (const MetricRecipe& metric : recipe.fit.metrics) labels.push_back(metric.label);
  CHECK(labels == std::vector<std::string>{"mae", "mse", "mae_1", "mae_2", "weighted_mae", "rmse", "weighted_mae_1"});
  CHECK(recipe_to_json(parse(recipe_to_json(recipe))) == recipe_to_json(recipe));
}

TEST_CASE("recipe json: a constant to fill in is a number or a text, as the column needs it") {
  const auto filling = [](const std::string& value) {
    return parse(R"({"data": {"csv": "d.csv", "missing": {"fill": "constant", "value": )" + value +
                 R"(}, "features": ["a"], "target": "y"}, "fit": {"loss": "mse"}})");
  };
  CHECK(filling("0.5").data.missing.constant == 0.5);
  CHECK(filling("0.5").data.missing.text == "0.5");
  CHECK(filling("\"007\"").data.missing.constant == 7);
  CHECK(filling("\"none\"").data.missing.text == "none");
  CHECK(std::isnan(filling("\"none\"").data.missing.constant));
  for (const char* value : {"0.5", "\"007\"", "\"none\"", "-3"}) {
    const Recipe recipe = filling(value), back = parse(recipe_to_json(recipe));
    CHECK(back.data.missing.text == recipe.data.missing.text);
  }
}

TEST_CASE("recipe json: how numbers are written comes back from JSON and from bytes") {
  const Recipe recipe = parse(R"({"data": {"csv": "d.csv", "decimal": ",", "thousands": ".", "features": ["a"], "target": "y"},
                                  "fit": {"loss": "mse"}})");
  CHECK(recipe.data.numbers.decimal == ',');
  CHECK(recipe.data.numbers.thousands == '.');
  CHECK(recipe_to_json(parse(recipe_to_json(recipe))) == recipe_to_json(recipe));
  CHECK(recipe_to_json(read_recipe(write_recipe(recipe)).value()) == recipe_to_json(recipe));
}

TEST_CASE("recipe json: accuracy is taken as Keras takes it, and classes may go by their names") {
  const Recipe recipe = parse(R"({"data": {"csv": "d.csv", "features": ["a"],
                                           "target": {"column": "y", "encoder": "ordinal", "categories": ["no", "yes"]}},
                                  "fit": {"loss": "binary_crossentropy", "metrics": ["accuracy"], "class_weight": {"no": 1, "1": 3}}})");
  CHECK(recipe.fit.metrics[0].name == "binary_accuracy");
  CHECK(recipe.fit.metrics[0].label == "accuracy");
  REQUIRE(recipe.fit.class_weight.size() == 2);
  CHECK(recipe.fit.class_weight[0].label == 0);
  CHECK(recipe.fit.class_weight[1].label == 1);
  CHECK(recipe.fit.class_weight[1].weight == 3);
}

TEST_CASE("recipe json: what string_lookup and hashing take comes back from JSON and from bytes") {
  const Recipe recipe = parse(R"({"data": {"csv": "d.csv", "target": "y", "features": [
      {"column": "kind", "encoder": "string_lookup", "vocabulary": ["b", "a"], "num_oov_indices": 2, "mask_token": ""},
      {"column": "place", "encoder": "string_lookup", "max_tokens": 50},
      {"column": "id", "encoder": "hashing", "num_bins": 10, "salt": ["18446744073709551615", 7], "mask_value": "-"},
      {"column": "other", "encoder": "hashing", "num_bins": 4, "salt": 3}]},
      "fit": {"loss": "mse"}})");
  const std::vector<ColumnRecipe>& columns = recipe.data.inputs[0].columns;
  CHECK(columns[0].categories == std::vector<std::string>{"b", "a"});
  CHECK(columns[0].oov_indices == 2);
  CHECK(columns[0].mask_token == "");
  CHECK_FALSE(columns[1].mask_token.has_value());
  CHECK(columns[1].max_tokens == 50);
  CHECK(columns[2].bins == 10);
  CHECK(columns[2].salt == std::vector<uint64_t>{18446744073709551615u, 7});
  CHECK(columns[2].mask_token == "-");
  CHECK(columns[3].salt == std::vector<uint64_t>{3, 3});
  const std::string text = recipe_to_json(recipe);
  CHECK(recipe_to_json(parse(text)) == text);
  const Result<Recipe> stored = read_recipe(write_recipe(recipe));
  REQUIRE(stored.ok());
  CHECK(recipe_to_json(*stored) == text);
}

TEST_CASE("recipe json: every example recipe reads, prints and reads again as the same recipe") {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(MORU_SOURCE_DIR) + "/tools/recipes")) {
    const std::string path = entry.path().string();
    if (entry.path().extension() != ".json" || path.find(".model.json") != std::string::npos) continue;
    ++count;
    const Result<Recipe> recipe = read_recipe_json(path);
    INFO(recipe.status().message());
    REQUIRE(recipe.ok());
    CHECK(std::filesystem::exists(recipe->model));
    const std::string text = recipe_to_json(*recipe);
    const Result<Recipe> again = parse_recipe_json(text, path);
    INFO(again.status().message());
    REQUIRE(again.ok());
    CHECK(recipe_to_json(*again) == text);
    CHECK(write_recipe(*again) == write_recipe(*recipe));
  }
  CHECK(count >= 5);
}

TEST_CASE("recipe json: the example in the README is a recipe") {
  std::ifstream file(std::string(MORU_SOURCE_DIR) + "/tools/recipes/README.md");
  std::stringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const std::size_t begin = text.find("```jsonc\n");
  REQUIRE(begin != std::string::npos);
  const Result<Recipe> recipe =
      parse_recipe_json(std::string_view(text).substr(begin + 9, text.find("```", begin + 9) - begin - 9), "README.md");
  INFO(recipe.status().message());
  REQUIRE(recipe.ok());
  CHECK(recipe->data.inputs[0].columns.size() == 10);
}

TEST_CASE("recipe json: every example recipe prepares its data") {
  struct Known {
    const char* recipe;
    const char* data;
    int64_t train, validation, test;
    std::vector<std::vector<int64_t>> inputs;
  };
  const Known table[] = {
      {"bike_lstm", "SeoulBikeData.csv", 6107, 1312, 1312, {{24, 16}}},
      {"bike_two_inputs", "SeoulBikeData.csv", 6107, 1312, 1312, {{24, 16}, {8}}},
      {"carseats", "Carseats.csv", 280, 60, 60, {{12}}},
      {"churn", "mobile_cust_churn.csv", 14000, 2000, 4000, {{11}}},
      {"enb2012", "ENB2012_data.csv", 537, 115, 116, {{16}}},
  };
  for (const Known& known : table) {
    const std::string data = test::shared_data(known.data);
    if (data.empty()) continue;
    Result<Recipe> recipe = read_recipe_json(std::string(MORU_SOURCE_DIR) + "/tools/recipes/" + known.recipe + ".json");
    REQUIRE(recipe.ok());
    recipe->data.path = data;
    const Result<PreparedData> prepared = prepare_training(*recipe);
    INFO(prepared.status().message());
    REQUIRE(prepared.ok());
    CHECK(prepared->train.size() == known.train);
    CHECK(prepared->validation.size() == known.validation);
    CHECK(prepared->test.size() == known.test);
    REQUIRE(prepared->train.inputs().size() == known.inputs.size());
    for (std::size_t i = 0; i < known.inputs.size(); ++i)
      CHECK(prepared->train.inputs()[i].sample_shape == known.inputs[i]);
    // A fitted recipe survives its bytes, and its JSON is a recipe again.
    CHECK(write_recipe(*read_recipe(write_recipe(prepared->recipe))) == write_recipe(prepared->recipe));
    CHECK(parse_recipe_json(recipe_to_json(prepared->recipe), "recipe.json").ok());
  }
}

TEST_CASE("recipe json: arguments of losses, metrics, optimizers and schedules are those of their ops, and survive being written") {
  const std::string text = R"({"data": {"csv": "d.csv", "features": ["a"], "target": "y", "split": [0.8, 0.2]}, "fit": {
    "loss": {"name": "binary_focal_crossentropy", "gamma": 3, "from_logits": true, "reduction": "sum"},
    "metrics": [{"name": "AUC", "num_thresholds": 50, "curve": "PR"}, {"name": "binary_accuracy", "threshold": 0.3}],
    "weighted_metrics": ["mae"],
    "optimizer": {"name": "LossScaleOptimizer", "initial_scale": 1024, "inner_optimizer": {
      "name": "Lion", "beta_2": 0.95, "use_ema": true,
      "learning_rate": {"name": "CosineDecay", "initial_learning_rate": 0.01, "decay_steps": 100, "warmup_target": 0.1, "warmup_steps": 5}}},
    "epochs": 4, "steps_per_epoch": 7, "initial_epoch": 1, "validation_freq": 2, "freeze": ["body"],
    "callbacks": {"reduce_lr_on_plateau": {"factor": 0.2, "patience": 3, "min_lr": 1e-5}, "csv_logger": {"separator": ";"},
                  "terminate_on_nan": true, "backup_and_restore": {"save_freq": 10}}}})";
  const Recipe recipe = parse(text);
  CHECK(recipe.fit.losses[0].arguments == R"({"gamma":3,"reduction":"sum"})");
  CHECK(recipe.fit.losses[0].from_logits);
  CHECK(recipe.fit.metrics[0].arguments == R"({"num_thresholds":50,"curve":"PR"})");
  CHECK(recipe.fit.metrics[1].threshold == 0.3);
  CHECK(recipe.fit.metrics[2].weighted);
  CHECK(recipe.fit.optimizer.name == "lion");
  CHECK(recipe.fit.reduce_lr_on_plateau->monitor == "val_loss");
  CHECK(recipe.fit.checkpoint_every_steps == 10);
  const Recipe bytes = read_recipe(write_recipe(recipe)).value();
  const Recipe again = parse(recipe_to_json(recipe));
  for (const Recipe* other : {&bytes, &again}) {
    CHECK(other->fit.optimizer.arguments == recipe.fit.optimizer.arguments);
    CHECK(other->fit.losses[0].arguments == recipe.fit.losses[0].arguments);
    CHECK(other->fit.metrics[0].arguments == recipe.fit.metrics[0].arguments);
    CHECK(other->fit.metrics[2].weighted);
    CHECK(other->fit.steps_per_epoch == 7);
    CHECK(other->fit.initial_epoch == 1);
    CHECK(other->fit.validation_freq == 2);
    CHECK(other->fit.frozen == recipe.fit.frozen);
    CHECK(other->fit.reduce_lr_on_plateau->patience == 3);
    CHECK(other->fit.csv_logger->separator == ";");
  }
}

TEST_CASE("recipe json: a schedule of epochs is tabulated") {
  const Recipe recipe = parse(with_fit(R"("loss": "mse", "epochs": 3, "callbacks": {"learning_rate_scheduler":
    {"name": "ExponentialDecay", "initial_learning_rate": 1.0, "decay_steps": 1, "decay_rate": 0.5}})"));
  CHECK(recipe.fit.learning_rate_scheduler->rates == std::vector<double>{1.0, 0.5, 0.25});
  CHECK(parse(recipe_to_json(recipe)).fit.learning_rate_scheduler->rates == recipe.fit.learning_rate_scheduler->rates);
}

TEST_CASE("recipe json: class numbers are integers where the loss is sparse and the recipe does not say") {
  const auto type_of = [](const std::string& target, const char* loss) {
    return parse(R"({"data": {"csv": "d.csv", "features": ["a"], )" + target + R"(}, "fit": {"loss": ")" + loss + R"("}})").data.targets[0].type;
  };
  const std::string column = R"("target": {"column": "y", "encoder": "ordinal", "categories": ["no", "yes"]})";
  CHECK(type_of(column, "sparse_categorical_crossentropy") == DType::i32);
  CHECK(type_of(R"("target": "y")", "sparse_categorical_crossentropy") == DType::i32);
  CHECK(type_of(R"("targets": {"out": {"columns": ["y"]}})", "sparse_categorical_crossentropy") == DType::i32);
  CHECK(type_of(R"("target": {"columns": ["y"], "dtype": "f32"})", "sparse_categorical_crossentropy") == DType::f32);
  CHECK(type_of(R"("target": {"columns": ["y"], "dtype": "i64"})", "sparse_categorical_crossentropy") == DType::i64);
  CHECK(type_of(column, "binary_crossentropy") == DType::f32);
}

TEST_CASE("recipe json: each wrong recipe gets one message with its place and the remedy") {
  struct Wrong {
    std::string text;
    const char* message;
  };
  const std::string features = R"("csv": "d.csv", "features": ["a"], "target": "y")";
  const Wrong table[] = {
      {"[1]",
       "the recipe: needs an object with \"model\", \"data\" and \"fit\" and is a list\n  hint: write an object with "
       "\"model\", "
       "\"data\" and \"fit\""},
      {R"({"dtype_policy": "float16", "data": {"features": ["a"], "target": "y"}, "fit": {"loss": "mse"}})",
       "dtype_policy: 'float16' is not a dtype policy\n  hint: write \"mixed_bfloat16\" or \"float32\""},
      {R"({"fit": {}})",
       "the recipe: \"data\" is missing\n  hint: describe the data: \"csv\", \"features\", \"target\", \"split\""},
      {R"({"modle": "m", "data": {"features": ["a"], "target": "y"}, "fit": {"loss": "mse"}})",
       "the recipe: \"modle\" is not known here\n  hint: did you mean 'model'?"},
      {R"({"data": {}, "data": {}})", "the key \"data\" is given twice in one object\n  hint: keep one of them"},
      {with_data(features + R"(, "windw": {})"), "data: \"windw\" is not known here\n  hint: did you mean 'window'?"},
      {with_data(R"("features": ["a"])"),
       "data: needs either \"target\" or \"targets\"\n  hint: name the target column, or the model's "
       "outputs by name"},
      {with_data(R"("target": "y", "features": [{"column": "h", "encoder": "cyclc"}])"),
       "data.features[0].encoder: 'cyclc' is not known\n  hint: did you mean 'cyclic'? it is one of: numeric, one_hot, "
       "ordinal, cyclic, "
       "date_parts, string_lookup, hashing"},
      {with_data(R"("target": "y", "features": ["a", {"column": "h", "period": 24}])"),
       "data.features[1].period: means nothing to this encoder\n  hint: it belongs to cyclic; set \"encoder\" or leave "
       "it out"},
      {with_data(R"("target": "y", "features": ["a", 7])"),
       "data.features[1]: needs a column's name or an object with \"column\" and is '7'\n  hint: write a column's name "
       "or an object with "
       "\"column\""},
      {with_data(R"("target": "y", "features": [{"column": "h", "encoder": "cyclic"}])"),
       "the input, column 'h': a cyclic encoder needs a period above 0\n  hint: set \"period\", such as 24 for hours "
       "of the day"},
      {with_data(R"("target": "y", "features": ["y"])"),
       "the input, column 'y': is the target, read from the very row that is to be predicted\n  hint: take the column "
       "out of the inputs"},
      {with_data(features + R"(, "window": {"length": 24})"),
       "data.window: \"horizon\" is missing\n  hint: set the number of rows from the window's last one to the target"},
      {with_data(features + R"(, "window": {"length": 2.5, "horizon": 1})"),
       "data.window.length: needs a whole number and is '2.5'\n  hint: write a whole number"},
      {with_data(features + R"(, "window": {"length": -1, "horizon": 1})"),
       "data.window.length: -1 is out of range\n  hint: it must be at least 1"},
      {with_data(features + R"(, "split": [0.9])"),
       "data.split: needs 2 or 3 fractions\n  hint: write [train, validation, test], such as [0.7, 0.15, 0.15]"},
      {with_data(features + R"(, "split": {"train": 0.9, "test": 0.2})"),
       "data.split: train, validation and test add up to 1.1\n  hint: they must not exceed 1"},
      {with_data(features + R"(, "missing": {"fill": "constant"})"),
       "data.missing: a constant fill needs a value\n  hint: add \"value\""},
      {with_data(features + R"(, "missing": {"fill": "constant", "value": [1]})"),
       "data.missing.value: is a list\n  hint: write one value"},
      {with_data(R"("target": "y", "features": [{"column": "a", "missing": {"fill": "constant", "value": "none"}}])"),
       "the input, column 'a': the fill value is not a finite number\n  hint: set \"value\" to a number"},
      {with_data(features + R"(, "encoding": "euc-kr")"),
       "data.encoding: 'euc-kr' is not known\n  hint: it is one of: auto, utf-8, latin-1, cp949"},
      {with_data(features + R"(, "decimal": ",,")"),
       "data.decimal: ',,' is not one character\n  hint: write one, such as \",\", or leave it out"},
      {with_data(features + R"(, "thousands": ".")"),
       "data.thousands: that character cannot stand between thousands\n  hint: use another one than the decimal mark, such as \",\""},
      {with_data(features + R"(, "filters": [{"column": "a"}])"),
       "data.filters[0]: needs either \"keep\" or \"drop\"\n  hint: list the values whose rows stay, or those whose "
       "rows go"},
      {with_fit(R"("epochs": 3)"), "fit: \"loss\" is missing\n  hint: name the loss, such as \"mean_squared_error\""},
      {with_fit(R"("loss": "msee")"),
       "fit.loss: 'msee' is not a loss\n  hint: the losses are: mean_squared_error, mean_absolute_error, "
       "mean_absolute_percentage_error, mean_squared_logarithmic_error, huber, log_cosh, "
       "binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy, kl_divergence, "
       "poisson, hinge, and 9 more"},
      {with_fit(R"("loss": {"name": "dice", "axes": 1})"),
       "fit.loss: \"axes\" is not known here\n  hint: did you mean 'axis'?"},
      {with_fit(R"("loss": {"name": "tversky", "alpha": -1})"),
       "fit.loss.alpha: attribute 'alpha' is -1 but must be at least 0\n  hint: `moru ops tversky` says what it takes"},
      {with_fit(R"("loss": "mse", "optimizer": {"name": "adam", "learning_rate": {"name": "CosineDecoy"}})"),
       "fit.optimizer.learning_rate.name: there is no schedule 'CosineDecoy'\n  hint: did you mean 'cosine_decay'?"},
      {with_fit(R"("loss": "mse", "epochs": 3, "initial_epoch": 3)"),
       "fit.initial_epoch: leaves no epoch of 3\n  hint: \"epochs\" counts from 0, so give more of them"},
      {with_fit(R"("loss": "binary_crossentorpy")"),
       "fit.loss: 'binary_crossentorpy' is not a loss\n  hint: did you mean 'binary_crossentropy'?"},
      {with_fit(R"("loss": ["mse", "mse"])"),
       "fit.loss: 2 losses for 1 targets\n  hint: give one per target, in their order"},
      {with_fit(R"("loss": "mse", "metrics": ["acuracy"])"),
       "fit.metrics[0]: 'acuracy' is not a metric\n  hint: did you mean 'accuracy'?"},
      {with_fit(R"("loss": "mse", "optimizer": {"name": "sgd", "beta_1": 0.9})"),
       "fit.optimizer: \"beta_1\" is not known here\n  hint: the keys are: name, learning_rate, momentum, nesterov, "
       "weight_decay, clipnorm, "
       "global_clipnorm, clipvalue, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, and 1 more"},
      {with_fit(R"("loss": "mse", "optimizer": {"name": "adam", "learning_rate": "fast"})"),
       "fit.optimizer.learning_rate: needs a number and is '\"fast\"'\n  hint: write a number"},
      {with_fit(R"("loss": "mse", "optimizer": {"name": "adam", "lerning_rate": 1})"),
       "fit.optimizer: \"lerning_rate\" is not known here\n  hint: did you mean 'learning_rate'?"},
      {with_fit(R"("loss": "mse", "batch_size": 0)"),
       "fit.batch_size: 0 is out of range\n  hint: it must be at least 1"},
      {with_fit(R"("loss": "mse", "seed": -1)"),
       "fit.seed: -1 is out of range\n  hint: seeds are whole numbers from 0 up"},
      {with_fit(R"("loss": "mse", "validation_split": 1.5)"),
       "fit.validation_split: 1.5 is out of range\n  hint: it must lie between 0 and 1"},
      {with_fit(R"("loss": "mse", "callbacks": {"early_stopping": {"monitor": "val_loss"}})"),
       "fit.callbacks.early_stopping.monitor: 'val_loss' needs validation data and there is none\n  hint: give \"data.split\" a "
       "validation part, set "
       "\"fit.validation_split\", or monitor 'loss'"},
      {with_fit(R"("loss": "mse", "callbacks": {"early_stoping": {}})"),
       "fit.callbacks: \"early_stoping\" is not known here\n  hint: did you mean 'early_stopping'?"},
      {with_fit(R"("loss": "mse", "class_weight": {"often": 1})"),
       "fit.class_weight.often: 'often' is not a class\n  hint: classes are 0, 1, 2, ..., or the target's categories "
       "if the recipe lists them"},
      {replace(with_fit(R"("loss": "mse")"), R"("target": "y")", R"("targets": {"p": "y", "q": "z"})"),
       "fit.loss: is one for 2 targets\n  hint: give one per target: {\"p\": ..., ...}"},
      {replace(with_fit(R"("loss": {"p": "mse"})"), R"("target": "y")", R"("targets": {"p": "y", "q": "z"})"),
       "fit.loss: says nothing about the target 'q'\n  hint: give every target one"},
      {replace(with_fit(R"("loss": ["mse", "mse"], "metrics": ["mae"])"), R"("target": "y")", R"("targets": {"p": "y", "q": "z"})"),
       "fit.metrics[0]: does not say of which output\n  hint: write it by output: {\"p\": ...}"},
      {with_fit(R"("loss": {"p": "mse", "q": "mse"})"),
       "fit.loss.p: there is no target 'p'\n  hint: \"target\" is a single one; for several outputs write \"targets\": "
       "{\"p\": ..., ...}"},
      {with_fit(R"("loss": {"out": "mse"}, "metrics": {"y": ["mae"], "aut": ["mae"]})"),
       "fit.loss.out: there is no target 'out'\n  hint: \"target\" is a single one; for several outputs write \"targets\": "
       "{\"out\": ..., ...}"},
  };
  for (const Wrong& wrong : table) {
    const Result<Recipe> recipe = parse_recipe_json(wrong.text, "r.json");
    INFO(wrong.text);
    REQUIRE_FALSE(recipe.ok());
    CHECK(recipe.status().message() == std::string("r.json: ") + wrong.message);
  }
}

TEST_CASE("recipe json: broken JSON is answered with line and column, and no damage crashes the reader") {
  const Result<Recipe> broken = parse_recipe_json("{\n  \"data\": {,\n}", "r.json");
  REQUIRE_FALSE(broken.ok());
  CHECK(broken.status().message().rfind("r.json: is not JSON: parse error at line 2, column 12: ", 0) == 0);
  CHECK(read_recipe_json("/no/such.json").status().message() ==
        "/no/such.json: cannot be read: No such file or directory\n  hint: give the path of a recipe, a JSON file");
  const test::TemporaryDirectory directory;
  test::write_bytes(directory / "empty.json", {});
  CHECK(read_recipe_json(directory / "empty.json").status().message().find("empty.json: is not JSON") != std::string::npos);
  const std::string good =
      with_fit(R"("loss": {"name": "huber", "delta": 2}, "metrics": ["mae"], "optimizer": {"name": "sgd"})");
  REQUIRE(parse_recipe_json(good, "r.json").ok());
  for (std::size_t at = 0; at < good.size(); ++at) {
    (void)parse_recipe_json(std::string_view(good).substr(0, at), "r.json");
    for (const char byte : {'0', '"', '{', '}', '[', ']', ',', '\xFF'}) {
      std::string damaged = good;
      damaged[at] = byte;
      (void)parse_recipe_json(damaged, "r.json");
    }
  }
}
