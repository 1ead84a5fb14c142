#include "runtime/data/recipe.h"

#include <doctest/doctest.h>

#include <functional>
#include <limits>

#include "runtime/data/keras_names.h"
#include "runtime/data/recipe_text.h"

using namespace moru;

namespace {

/// A recipe in which nothing is left at its default.
Recipe full_recipe() {
  Recipe recipe;
  recipe.name = "full";
  recipe.model = "m.json";
  DataRecipe& data = recipe.data;
  data.path = "d.csv";
  data.separator = ";";
  data.numbers = {',', '.'};
  data.encoding = TextEncoding::cp949;
  data.missing = {MissingPolicy::fill, FillKind::constant, 2.5, "x"};
  data.missing_values = {"-", "?"};
  ColumnRecipe number, category, cycle, date;
  number.column = "n";
  number.scaler = ScalerKind::minmax;
  number.missing = MissingRecipe{MissingPolicy::drop, FillKind::mean, 0, ""};
  category.column = "c";
  category.encoder = EncoderKind::one_hot;
  category.categories = {"b", "a"};
  cycle.column = "h";
  cycle.encoder = EncoderKind::cyclic;
  cycle.period = 24;
  date.column = "d";
  date.encoder = EncoderKind::date_parts;
  date.parts = {DatePart::month, DatePart::minute};
  date.cyclic_parts = true;
  data.inputs = {{"past", InputRows::window, DType::f32, {number, category}, "", ScalerKind::none},
                 {"ahead", InputRows::target_row, DType::f32, {cycle, date}, "", ScalerKind::none}};
  ColumnRecipe target;
  target.column = "t";
  target.scaler = ScalerKind::standard;
  data.targets = {{"out", DType::f32, {target}, "", ScalerKind::none},
                  {"class", DType::i64, {category}, "", ScalerKind::none}};
  data.sample_weight = "w";
  data.time = {"d", "h", "%d/%m/%Y"};
  data.filters = {{"c", {"a", "b"}, false}};
  data.windowed = true;
  data.window = {24, 2, 3};
  data.split.train = 0.5;
  data.split.validation = 0.25;
  data.split.test = 0.25;
  FitRecipe& fit = recipe.fit;
  fit.optimizer = *make_optimizer_recipe("SGD");
  fit.optimizer.momentum = 0.9;
  fit.optimizer.nesterov = true;
  fit.optimizer.clipvalue = 0.5;
  fit.losses = {{"out", "huber", 0.5, false, 0, 2}, {"class", "categorical_crossentropy", 2, true, 0.1, 1}};
  fit.metrics = {{"out", "mean_absolute_error", "mae", 0.5, false},
                 {"class", "categorical_accuracy", "acc", 0.25, true}};
  fit.epochs = 7;
  fit.batch_size = 9;
  fit.shuffle = false;
  fit.seed = 11;
  fit.validation = ValidationFrom::data_split;
  fit.early_stopping = EarlyStoppingRecipe{"val_loss", 3, 0.01, MonitorMode::min, 0.2, 4, true};
  fit.model_checkpoint = ModelCheckpointRecipe{"val_out_mae", MonitorMode::max, true};
  fit.checkpoint_every_steps = 100;
  Fitted fitted;
  fitted.columns = {{"n", EncoderKind::numeric, {}, "", true, 1.5, ""},
                    {"c", EncoderKind::one_hot, {"b", "a"}, "%Y", false, 0, "a"}};
  fitted.inputs = {{"past", {"n", "c=b", "c=a"}, {1, 0, 0}, {4, 1, 1}, true}, {"ahead", {}, {}, {}, false}};
  fitted.targets = {{"out", {"t"}, {3}, {9}, true}, {"class", {"c=b", "c=a"}, {0, 0}, {1, 1}, false}};
  fitted.separator = ";";
  fitted.encoding = TextEncoding::cp949;
  fitted.time_format = "%d/%m/%Y";
  fitted.training_rows = 42;
  fitted.data_fingerprint = 0xFEDCBA9876543210u;
  fitted.row_seconds = 3600;
  recipe.fitted = fitted;
  return recipe;
}

}  // namespace

TEST_CASE("recipe: bytes hold everything") {
  const Recipe recipe = full_recipe();
  const std::vector<std::byte> bytes = write_recipe(recipe);
  const Result<Recipe> back = read_recipe(bytes);
  INFO(back.status().message());
  REQUIRE(back.ok());
  // Written again, every field that differed would show.
  CHECK(write_recipe(*back) == bytes);
  CHECK(recipe_to_json(*back) == recipe_to_json(recipe));
  CHECK(back->fitted->data_fingerprint == 0xFEDCBA9876543210u);
  CHECK(back->fitted->row_seconds == 3600);
  CHECK(back->fitted->columns[1].categories == std::vector<std::string>{"b", "a"});
  CHECK(back->fitted->columns[0].fill == 1.5);
  CHECK(back->fit.early_stopping->baseline == 0.2);
  CHECK(back->fit.optimizer.clipvalue == 0.5);
  CHECK_FALSE(back->fit.optimizer.clipnorm.has_value());
  CHECK(back->data.inputs[0].columns[0].missing->policy == MissingPolicy::drop);
  // Bytes inside a larger file need not be aligned.
  std::vector<std::byte> shifted(1);
  shifted.insert(shifted.end(), bytes.begin(), bytes.end());
  CHECK(read_recipe(std::span(shifted).subspan(1)).ok());
}

TEST_CASE("recipe: truncated and damaged bytes are refused or read as a sound recipe, and never crash") {
  const std::vector<std::byte> bytes = write_recipe(full_recipe());
  // The last few bytes may be padding.
  for (std::size_t length = 0; length + 8 < bytes.size(); length += 3)
    CHECK_FALSE(read_recipe(std::span(bytes).first(length)).ok());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const int flip : {1, 16, 128, 255}) {
      std::vector<std::byte> damaged = bytes;
      damaged[at] ^= static_cast<std::byte>(flip);
      const Result<Recipe> recipe = read_recipe(damaged);
      if (recipe.ok()) CHECK(check_recipe(*recipe).ok());
    }
  }
  const std::string text = "not a recipe at all";
  CHECK(read_recipe(std::as_bytes(std::span(text))).status().message() ==
        "these bytes are not a recipe (no \"MORR\" in front)");
}

TEST_CASE("recipe: what cannot be is refused with the place and the remedy") {
  struct Wrong {
    std::function<void(Recipe&)> spoil;
    const char* message;
  };
  const Wrong table[] = {
      {[](Recipe& r) { r.data.inputs.clear(); },
       "recipe: data: has no input\n  hint: list \"features\", or \"inputs\" by name"},
      {[](Recipe& r) { r.data.inputs[1].name = "past"; },
       "recipe: input 'past': is described twice\n  hint: describe each once"},
      {[](Recipe& r) { r.data.inputs[0].columns.clear(); },
       "recipe: input 'past': names no column\n  hint: list at least one column of the file"},
      {[](Recipe& r) { r.data.inputs[1].columns[0].period = 0; },
       "recipe: input 'ahead', column 'h': a cyclic encoder needs a period above 0\n  hint: set \"period\", such as 24 "
       "for hours of the day"},
      {[](Recipe& r) { r.data.inputs[1].columns[1].parts = {DatePart::year}; },
       "recipe: input 'ahead', column 'd': the year has no period\n  hint: leave \"year\" out of the parts or set "
       "\"cyclic\": false"},
      {[](Recipe& r) {
         r.data.inputs[0].columns[1].categories = {"a", "a"};
       },
       "recipe: input 'past', column 'c': category 'a' is listed twice\n  hint: list each once"},
      {[](Recipe& r) { r.data.targets[0].type = DType::i32; },
       "recipe: target 'out', column 't': a scaler does not give whole numbers\n  hint: leave \"dtype\" at f32, or remove the scaler"},
      {[](Recipe& r) { r.data.inputs[1].columns[0].column = "t"; },
       "recipe: input 'ahead', column 't': is the target, read from the very row that is to be predicted\n  hint: set "
       "\"horizon\" to 1 or "
       "more, or take the column out of this input"},
      {[](Recipe& r) {
         r.data.inputs[0].columns[0].column = "t";
         r.data.window.horizon = 0;
       },
       "recipe: input 'past', column 't': is the target, read from the very row that is to be predicted\n  hint: set "
       "\"horizon\" to 1 or "
       "more, or take the column out of this input"},
      {[](Recipe& r) { r.data.numbers.decimal = '5'; },
       "recipe: data.decimal: that character cannot be a decimal mark\n  hint: use \".\" or \",\""},
      {[](Recipe& r) { r.data.numbers.thousands = ','; },
       "recipe: data.thousands: that character cannot stand between thousands\n  hint: use another one than the decimal mark, such as "
       "\".\""},
      {[](Recipe& r) { r.data.windowed = false; },
       "recipe: input 'past': reads a window and the data has none\n  hint: add \"window\": {\"length\": ..., "
       "\"horizon\": ...} to \"data\""},
      {[](Recipe& r) { r.data.window.length = 0; },
       "recipe: data.window.length: 0 is out of range\n  hint: it must be at least 1"},
      {[](Recipe& r) { r.data.window.horizon = std::numeric_limits<int64_t>::max(); },
       "recipe: data.window.horizon: 9223372036854775807 is out of range\n  hint: it must be at least 0, and not "
       "astronomical"},
      {[](Recipe& r) { r.data.split.test = 0.5; },
       "recipe: data.split: train, validation and test add up to 1.25\n  hint: they must not exceed 1"},
      {[](Recipe& r) { r.data.split.train = std::numeric_limits<double>::quiet_NaN(); },
       "recipe: data.split.train: nan is out of range\n  hint: it must be at least 0 and at most 1"},
      {[](Recipe& r) { r.data.split.kind = SplitKind::random; },
       "recipe: data.split: a random split of windows lets training see the rows that the test asks for\n  hint: set "
       "\"kind\" to "
       "\"chronological\""},
      {[](Recipe& r) { r.data.time.format = "%d/%m"; },
       "recipe: data.time.format: '%d/%m' is not a date format\n  hint: use %Y %m %d %H %M %S, such as \"%d/%m/%Y\"; "
       "it must hold year, month "
       "and day"},
      {[](Recipe& r) { r.fit.optimizer.name = "adm"; },
       "recipe: fit.optimizer: 'adm' is not known\n  hint: did you mean 'adam'?"},
      {[](Recipe& r) { r.fit.optimizer.learning_rate = -1; },
       "recipe: fit.optimizer.learning_rate: -1 is out of range\n  hint: it must be above 0"},
      {[](Recipe& r) { r.fit.optimizer.beta_2 = 1; },
       "recipe: fit.optimizer.beta_2: 1 is out of range\n  hint: it must be at least 0 and below 1"},
      {[](Recipe& r) { r.fit.optimizer.clipnorm = 1; },
       "recipe: fit.optimizer: clips gradients in more than one way\n  hint: keep one of clipnorm, global_clipnorm, "
       "clipvalue"},
      {[](Recipe& r) { r.fit.losses.pop_back(); },
       "recipe: fit.loss: 1 losses for 2 targets\n  hint: give one loss per target"},
      {[](Recipe& r) { r.fit.batch_size = 0; },
       "recipe: fit.batch_size: 0 is out of range\n  hint: it must be at least 1"},
      {[](Recipe& r) { r.fit.validation = ValidationFrom::none; },
       "recipe: fit.callbacks.early_stopping.monitor: 'val_loss' needs validation data and there is none\n  hint: give "
       "\"data.split\" a validation "
       "part, set \"fit.validation_split\", or monitor 'loss'"},
      {[](Recipe& r) {
         r.fit.validation = ValidationFrom::last_of_training;
         r.fit.validation_split = 1;
       },
       "recipe: fit.validation_split: 1 is out of range\n  hint: it must lie between 0 and 1"},
      {[](Recipe& r) {
         r.fit.class_weight = {{0, 1}};
       },
       "recipe: fit.class_weight: needs a model with one output\n  hint: use sample weights instead"},
      {[](Recipe& r) { r.fitted->targets[0].variance[0] = 0; },
       "recipe: fitted, target 'out': its statistics are not usable\n  hint: train again"},
  };
  for (const Wrong& wrong : table) {
    Recipe recipe = full_recipe();
    REQUIRE(check_recipe(recipe).ok());
    wrong.spoil(recipe);
    CHECK(check_recipe(recipe).message() == wrong.message);
  }
}

TEST_CASE("keras names: short forms, class names and defaults") {
  CHECK(find_loss_name("mse") == "mean_squared_error");
  CHECK(find_loss_name("BinaryCrossentropy") == "binary_crossentropy");
  CHECK(find_metric_name("RMSE") == "root_mean_squared_error");
  CHECK(find_metric_name("acc") == "accuracy");
  CHECK_FALSE(find_loss_name("accuracy").has_value());
  CHECK(resolve_accuracy("sparse_categorical_crossentropy", 1) == "sparse_categorical_accuracy");
  CHECK(resolve_accuracy("mean_squared_error", 3) == "categorical_accuracy");
  CHECK(make_optimizer_recipe("SGD")->learning_rate == 0.01);
  CHECK(make_optimizer_recipe("Adadelta")->rho == 0.95);
  CHECK(make_optimizer_recipe("AdamW")->weight_decay == 0.004);
  CHECK_FALSE(make_optimizer_recipe("adam2").has_value());
  CHECK(optimizer_has("sgd", "momentum"));
  CHECK_FALSE(optimizer_has("sgd", "beta_1"));
}
