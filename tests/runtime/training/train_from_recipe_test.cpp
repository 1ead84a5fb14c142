#include "runtime/training/train_from_recipe.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "runtime/moru_file.h"
#include "runtime/training/predict.h"
#include "runtime/training/predictions_table.h"
#include "tests/runtime/temporary_directory.h"
#include "tests/runtime/training/linear_program.h"

using namespace moru;
using moru::test::TemporaryDirectory;
using namespace moru::testing;

namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// 200 rows of y = a - 2 b + 0.5 c + 3; column c is constant in the training part.
void write_data(const std::string& path) {
  std::ofstream file(path);
  file << "a,b,c,y\n";
  std::mt19937 random(3);
  for (int row = 0; row < 200; ++row) {
    const double a = static_cast<double>(random() % 1000) / 500 - 1, b = static_cast<double>(random() % 1000) / 500 - 1;
    const double c = row < 120 ? 0.25 : 0.5;
    file << a << ',' << b << ',' << c << ',' << a - 2 * b + 0.5 * c + 3 << '\n';
  }
}

ColumnRecipe column(const std::string& name, ScalerKind scaler = ScalerKind::standard) {
  ColumnRecipe recipe;
  recipe.column = name;
  recipe.scaler = scaler;
  return recipe;
}

TrainingJob make_job(const TemporaryDirectory& folder, const std::string& run) {
  write_data(folder / "data.csv");
  TrainingJob job;
  job.program = make_linear_program({.scalers = true, .noise = true});
  job.recipe.name = "linear";
  job.recipe.data.path = folder / "data.csv";
  InputRecipe input;
  input.name = "x";
  input.columns = {column("a"), column("b"), column("c")};
  job.recipe.data.inputs = {input};
  TargetRecipe target;
  target.name = "out";
  target.columns = {column("y")};
  job.recipe.data.targets = {target};
  job.recipe.data.split.train = 0.6;
  job.recipe.data.split.validation = 0.2;
  job.recipe.data.split.test = 0.2;
  LossRecipe loss;
  loss.output = "out";
  job.recipe.fit.losses = {loss};
  job.recipe.fit.epochs = 8;
  job.recipe.fit.batch_size = 16;
  job.recipe.fit.seed = 5;
  job.recipe.fit.validation = ValidationFrom::data_split;
  job.recipe.fit.checkpoint_every_steps = 3;
  EarlyStoppingRecipe stopping;
  stopping.patience = 6;
  stopping.restore_best_weights = true;
  job.recipe.fit.early_stopping = stopping;
  ModelCheckpointRecipe saving;
  saving.save_best_only = true;
  job.recipe.fit.model_checkpoint = saving;
  job.recipe.fit.csv_logger = CsvLoggerRecipe{};
  job.run_directory = folder / run;
  job.progress = ProgressStyle::quiet;
  return job;
}

TrainingReport require_training(const TrainingJob& job) {
  Result<TrainingReport> report = train_from_recipe(job);
  if (!report.ok()) FAIL(report.status().message());
  return std::move(report).value();
}

/// Everything in two run directories that does not tell the time.
void check_same_results(const std::string& a, const std::string& b) {
  for (const char* name : {"history.json", "history.csv", "predictions.csv", "predictions.json", "model.moru",
                           "recipe.json", "checkpoints/best.moru", "log.csv"}) {
    CAPTURE(name);
    CHECK_FALSE(read_text(a + "/" + name).empty());
    CHECK(read_text(a + "/" + name) == read_text(b + "/" + name));
  }
  auto first = nlohmann::json::parse(read_text(a + "/metrics.json"));
  auto second = nlohmann::json::parse(read_text(b + "/metrics.json"));
  for (auto* metrics : {&first, &second}) {
    metrics->erase("seconds");
    metrics->erase("seconds_per_epoch");
    metrics->erase("finished");
  }
  CHECK(first == second);
}

}  // namespace

TEST_CASE("train_from_recipe: a run directory holds everything the user was promised") {
  const TemporaryDirectory folder;
  const TrainingJob job = make_job(folder, "runs/linear");
  const TrainingReport report = require_training(job);
  const std::string run = job.run_directory;

  const auto metrics = nlohmann::json::parse(read_text(run + "/metrics.json"));
  CHECK(metrics["epochs"] == 8);
  CHECK(metrics["seed"] == 5);
  CHECK(metrics["threads"] == 1);
  CHECK(metrics["target"] == "host");
  CHECK(metrics["program_hash"] == "0000000000001234");
  CHECK(metrics["seconds"].get<double>() > 0);
  CHECK(metrics["seconds_per_epoch"].get<double>() == doctest::Approx(metrics["seconds"].get<double>() / 8));
  for (const char* part : {"train", "validation", "test"}) {
    for (const char* metric : {"loss", "mae", "mse", "rmse", "r2"}) CHECK(metrics[part][metric].is_number());
  }
  CHECK(metrics["baselines"]["training_mean"]["mae"].is_number());

  const auto history = nlohmann::json::parse(read_text(run + "/history.json"));
  CHECK(history["loss"].size() == 8);
  CHECK(history["val_mae"].size() == 8);
  const size_t best = static_cast<size_t>(metrics["best_epoch"].get<int64_t>() - 1);
  for (const auto& value : history["val_loss"]) CHECK(history["val_loss"][best] <= value);

  CHECK(nlohmann::json::parse(read_text(run + "/recipe.json"))["fit"]["epochs"] == 8);

  // The test part is the last fifth; what stands in predictions.csv is what metrics.json measures.
  std::istringstream table(read_text(run + "/predictions.csv"));
  std::string line;
  REQUIRE(std::getline(table, line));
  CHECK(line == "row,actual,predicted");
  double absolute = 0;
  int rows = 0;
  for (; std::getline(table, line); ++rows) {
    int row = 0;
    double actual = 0, predicted = 0;
    REQUIRE(std::sscanf(line.c_str(), "%d,%lf,%lf", &row, &actual, &predicted) == 3);
    CHECK(row == 160 + rows);
    absolute += std::abs(actual - predicted);
  }
  CHECK(rows == 40);
  CHECK(report.test_samples == 40);
  CHECK(metrics["test"]["mae"].get<double>() == doctest::Approx(absolute / 40).epsilon(1e-6));
}

TEST_CASE("train_from_recipe: the scalers get the statistics of the training part, a constant column a variance of one") {
  const TemporaryDirectory folder;
  const TrainingJob job = make_job(folder, "run");
  require_training(job);
  const auto file = MoruFile::open(job.run_directory + "/model.moru").value();
  const auto program = Program::load(file).value();
  const auto values = [&](const char* name) {
    const auto data = program->slot_data(*program->find_slot(name));
    const auto* floats = reinterpret_cast<const float*>(data.data());
    return std::vector<float>(floats, floats + data.size() / sizeof(float));
  };
  CHECK(values("x_scaler/mean")[2] == 0.25f);
  CHECK(values("x_scaler/variance")[2] == 1.0f);
  CHECK(values("x_scaler/variance")[0] > 0.2f);
  CHECK(values("x_scaler/variance")[0] < 0.5f);
  double sum = 0;
  std::istringstream table(read_text(folder / "data.csv"));
  std::string line;
  std::getline(table, line);
  for (int row = 0; row < 120; ++row) {
    std::getline(table, line);
    sum += std::stod(line.substr(line.rfind(',') + 1));
  }
  CHECK(static_cast<double>(values("out_scaler/mean")[0]) == doctest::Approx(sum / 120).epsilon(1e-5));

  // The trained model carries the recipe with what was fitted, so that it can read raw rows.
  const Recipe recipe = read_recipe(file->section(SectionKind::recipe)).value();
  REQUIRE(recipe.fitted.has_value());
  CHECK(recipe.fitted->training_rows == 120);
}

TEST_CASE("train_from_recipe: an interrupted job leaves nothing that looks finished, and resumes to the same files") {
  const TemporaryDirectory folder;
  const TrainingJob whole = make_job(folder, "whole");
  require_training(whole);
  TrainingJob job = make_job(folder, "part");
  job.stop_on_signal = true;
  train_step_sleep_us = 3000;
  ::signal(SIGALRM, [](int) { ::raise(SIGTERM); });
  ::ualarm(60000, 0);
  const TrainingReport part = require_training(job);
  ::ualarm(0, 0);
  ::signal(SIGALRM, SIG_DFL);
  train_step_sleep_us = 0;
  CHECK(part.fit.interrupted_by == SIGTERM);
  CHECK_FALSE(std::filesystem::exists(job.run_directory + "/metrics.json"));
  CHECK_FALSE(std::filesystem::exists(job.run_directory + "/model.moru"));
  // What a kill leaves half written goes, whatever file it was to be; what is not ours stays.
  for (const char* name : {"/log.csv.tmp-4711-0", "/history.json.tmp-4711-3", "/notes.tmp-may"})
    std::ofstream(job.run_directory + name) << "half";
  job.resume = true;
  CHECK(require_training(job).fit.resumed);
  CHECK_FALSE(std::filesystem::exists(job.run_directory + "/log.csv.tmp-4711-0"));
  CHECK_FALSE(std::filesystem::exists(job.run_directory + "/history.json.tmp-4711-3"));
  CHECK(std::filesystem::exists(job.run_directory + "/notes.tmp-may"));
  check_same_results(job.run_directory, whole.run_directory);
}

TEST_CASE("train_from_recipe: a job killed at random instants, the writing of its results included, ends the same") {
  const TemporaryDirectory folder;
  const TrainingJob whole = make_job(folder, "whole");
  require_training(whole);
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  int kills = 0;
  for (int round = 0; round < 6; ++round) {
    TrainingJob job = make_job(folder, "killed" + std::to_string(round));
    job.resume = true;
    // Ever longer lives, so that a loaded machine gets there too.
    double longest_us = 8000;
    for (bool finished = false; !finished; longest_us *= 1.15) {
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        train_step_sleep_us = 200;
        ::_exit(train_from_recipe(job).ok() ? 0 : 3);
      }
      ::usleep(std::uniform_int_distribution<useconds_t>(1000, static_cast<useconds_t>(longest_us))(random));
      ::kill(child, SIGKILL);
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      finished = WIFEXITED(status);
      if (finished) CHECK(WEXITSTATUS(status) == 0);
      if (!finished) ++kills;
    }
    check_same_results(job.run_directory, whole.run_directory);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(job.run_directory)) {
      CAPTURE(entry.path().string());
      CHECK(entry.path().string().find(".tmp-") == std::string::npos);
      CHECK(entry.path().extension() != ".partial");
    }
  }
  MESSAGE("killed " << kills << " times");
  CHECK(kills > 6);
}

TEST_CASE("train_from_recipe: resuming a finished job only writes its results again") {
  const TemporaryDirectory folder;
  const TrainingJob whole = make_job(folder, "whole");
  require_training(whole);
  TrainingJob job = make_job(folder, "again");
  require_training(job);
  std::filesystem::remove(job.run_directory + "/predictions.csv");
  job.resume = true;
  const int64_t steps = train_steps_run;
  CHECK(require_training(job).fit.was_finished);
  CHECK(train_steps_run == steps);
  check_same_results(job.run_directory, whole.run_directory);
}

TEST_CASE("train_from_recipe: a fresh job in an old run directory does not mix with it") {
  const TemporaryDirectory folder;
  TrainingJob job = make_job(folder, "run");
  require_training(job);
  job.recipe.fit.epochs = 2;
  job.recipe.fit.model_checkpoint.reset();
  require_training(job);
  CHECK_FALSE(std::filesystem::exists(job.run_directory + "/checkpoints/best.moru"));
  job.resume = true;
  CHECK(require_training(job).fit.epochs == 2);
}

TEST_CASE("train_from_recipe: a resume that is refused leaves the earlier run as it was") {
  const TemporaryDirectory folder;
  TrainingJob job = make_job(folder, "run");
  require_training(job);
  const std::string before = read_text(job.run_directory + "/recipe.json");
  job.resume = true;
  job.recipe.fit.batch_size += 1;
  CHECK_FALSE(train_from_recipe(job).ok());
  CHECK(read_text(job.run_directory + "/recipe.json") == before);
}

TEST_CASE("train_from_recipe: a recipe that the program was not compiled for is refused before anything is written") {
  const TemporaryDirectory folder;
  TrainingJob job = make_job(folder, "run");
  job.program = make_linear_program();
  CHECK(train_from_recipe(job).status().message() ==
        "the recipe scales 'x', but the program has no layer 'x_scaler'\n  hint: compile the model with this recipe");
  job = make_job(folder, "run");
  job.recipe.data.inputs[0].columns.pop_back();
  CHECK(train_from_recipe(job).status().message().find("the data have 2 columns where the model was compiled for 3") !=
        std::string::npos);
  job = make_job(folder, "run");
  job.data_path = folder / "absent.csv";
  CHECK(train_from_recipe(job).status().message().find("absent.csv") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
  job = make_job(folder, "data.csv/run");
  CHECK(train_from_recipe(job).status().message().find("data.csv/run") != std::string::npos);
}

TEST_CASE("train_from_recipe: validation_split takes the last samples by Keras' rule, before any shuffling") {
  CHECK(training_samples(30, 0.9) == 2);
  const TemporaryDirectory folder;
  TrainingJob job = make_job(folder, "run");
  job.recipe.data.split = {};
  job.recipe.fit.validation = ValidationFrom::last_of_training;
  job.recipe.fit.validation_split = 0.33;
  job.recipe.fit.epochs = 1;
  require_training(job);
  const Result<std::optional<FoundCheckpoint>> found = find_latest_good(job.run_directory + "/checkpoints");
  REQUIRE(found.ok());
  REQUIRE(found->has_value());
  for (const SavedCallback& saved : (*found)->checkpoint.callbacks) {
    if (saved.name == "fit") CHECK(find_number(saved, "samples")->integer == 134);  // floor(200 * (1 - 0.33)) in double
  }
  CHECK((*found)->checkpoint.step == 9);
}

TEST_CASE("predictions_csv: classes are named, with the probability of the predicted one") {
  Recipe recipe;
  LossRecipe loss;
  loss.name = "categorical_crossentropy";
  recipe.fit.losses = {loss};
  std::vector<float> x(9), y = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  const Dataset::Array inputs[] = {{"x", DType::f32, {3, 3}, std::as_bytes(std::span(x))}};
  const Dataset::Array targets[] = {{"out", DType::f32, {3, 3}, std::as_bytes(std::span(y))}};
  const Dataset data = Dataset::from_arrays(inputs, targets).value();
  const std::vector<float> p = {0.5f, 0.25f, 0.25f, 0.125f, 0.125f, 0.75f, 0, 0, 1};
  const auto bytes = std::as_bytes(std::span(p));
  const SavedTensor answer = {"out", DType::f32, {3, 3}, {bytes.begin(), bytes.end()}};
  CHECK(predictions_csv(recipe, data, std::span(&answer, 1)).value() ==
        "row,actual,predicted,probability\n0,0,0,0.5\n1,1,2,0.75\n2,2,2,1\n");
  recipe.fit.losses[0].name = "mean_squared_error";
  CHECK(predictions_csv(recipe, data, std::span(&answer, 1)).value().starts_with(
      "row,actual_0,predicted_0,actual_1,predicted_1,actual_2,predicted_2\n0,1,0.5,0,0.25,0,0.25\n"));
}

TEST_CASE("predictions_csv: an output takes what the recipe says of it, and nothing of another one") {
  Recipe recipe;
  LossRecipe loss;
  loss.output = "color";
  loss.name = "categorical_crossentropy";
  loss.from_logits = true;
  recipe.fit.losses = {loss};
  TargetRecipe target;
  target.name = "color";
  target.columns.resize(1);
  target.columns[0].encoder = EncoderKind::one_hot;
  target.columns[0].categories = {"red", "blue"};
  recipe.data.targets = {target};
  recipe.fitted.emplace();
  CHECK(has_logits(recipe, "color"));
  CHECK(class_names(recipe, "color") == target.columns[0].categories);
  CHECK_FALSE(has_logits(recipe, "size"));
  CHECK(class_names(recipe, "size").empty());
  recipe.fit.losses[0].output = recipe.data.targets[0].name = "";  // of the only output, whatever it is called
  CHECK(has_logits(recipe, "size"));
  CHECK(class_names(recipe, "size") == target.columns[0].categories);
}

TEST_CASE("predict: tensors given whole are taken by name, converted, and answered in one piece") {
  const auto session = make_linear_session();
  const std::vector<double> x = {1, 0, 0, 0, 1, 0};
  const auto bytes = std::as_bytes(std::span(x));
  SavedTensor input = {"x", DType::f64, {2, 3}, {bytes.begin(), bytes.end()}};
  const auto answers = predict_tensors(*session, std::span(&input, 1));
  REQUIRE(answers.ok());
  CHECK((*answers)[0].name == "out");
  CHECK((*answers)[0].shape == std::vector<int64_t>{2, 1});
  CHECK(as_floats((*answers)[0]) == std::vector<float>{0.1f, -0.1f});
  input.name = "z";
  CHECK(predict_tensors(*session, std::span(&input, 1)).status().message() ==
        "'z' is not an input of the model; its inputs are 'x'");
  CHECK(predict_tensors(*session, {}).status().message() == "the model needs the input 'x', which is not given");
  CHECK(output_file_name("dense/1:0 \xEA.npy") == "dense%2F1%3A0%20%EA.npy");
}
