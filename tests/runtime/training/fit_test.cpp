#include "runtime/training/fit.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <new>
#include <numeric>
#include <set>

#include "runtime/training/batch_feeder.h"
#include "runtime/training/evaluate.h"
#include "runtime/training/predict.h"
#include "runtime/training/shuffle.h"
#include "tests/runtime/temporary_directory.h"
#include "tests/runtime/training/linear_program.h"

using namespace moru;
using namespace moru::testing;

namespace {

int64_t allocations = 0;

FitOptions quiet(int64_t epochs, int64_t batch_size = 32) {
  FitOptions options;
  options.epochs = epochs;
  options.batch_size = batch_size;
  options.progress = ProgressStyle::quiet;
  return options;
}

FitResult require_fit(Result<FitResult> result) {
  if (!result.ok()) FAIL(result.status().message());
  return std::move(result).value();
}

std::vector<float> bound_inputs(const Session& session) {
  const auto view = session.view(*session.program().find_slot("x")).elements<float>();
  return {view.begin(), view.end()};
}

}  // namespace

// Counts what the tests below allocate.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  ++allocations;
  const std::size_t multiple = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(multiple, (bytes + multiple - 1) / multiple * multiple);
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  if (void* memory = operator new(bytes, alignment, std::nothrow)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

TEST_CASE("fit: a linear model finds the weights that made its data, and the history has Keras' keys") {
  const auto session = make_linear_session();
  const Dataset train = make_linear_data(500), validation = make_linear_data(101, 2);
  const FitResult result = require_fit(fit(*session, train, &validation, quiet(40)));
  const auto kernel = session->view(*session->program().find_slot("linear/kernel")).elements<float>();
  CHECK(static_cast<double>(kernel[0]) == doctest::Approx(1).epsilon(0.01));
  CHECK(static_cast<double>(kernel[1]) == doctest::Approx(-2).epsilon(0.01));
  CHECK(static_cast<double>(kernel[2]) == doctest::Approx(0.5).epsilon(0.01));
  std::vector<std::string> keys;
  for (const SavedSeries& series : result.history.series) keys.push_back(series.name);
  CHECK(keys == std::vector<std::string>{"loss", "mae", "val_loss", "val_mae"});
  CHECK(result.history.epochs() == 40);
  CHECK(result.epochs == 40);
  CHECK(result.steps == 40 * 16);
  CHECK(result.history.find("loss")->front() > 100 * result.history.find("loss")->back());
  CHECK_FALSE(result.stopped_early);
}

TEST_CASE("fit: the loss of an epoch is the mean over its samples, the short last batch weighted by its size") {
  const auto session = make_linear_session();
  const float zero = 0;
  REQUIRE(session->assign(*session->program().find_slot("learning_rate"), &zero, sizeof zero).ok());
  const Dataset data = make_linear_data(37);
  const FitResult result = require_fit(fit(*session, data, &data, quiet(2, 8)));
  double sum = 0;
  const Result<std::vector<SavedTensor>> answers = predict(*session, data);
  REQUIRE(answers.ok());
  const auto* answer = reinterpret_cast<const float*>((*answers)[0].bytes.data());
  std::vector<float> actual(37);
  void* address[] = {actual.data()};
  data.gather_range(0, 37, {}, address);
  for (size_t i = 0; i < 37; ++i) sum += std::pow(static_cast<double>(answer[i]) - static_cast<double>(actual[i]), 2);
  CHECK(result.history.find("loss")->at(1) == doctest::Approx(sum / 37).epsilon(1e-6));
  CHECK(result.history.find("val_loss")->at(1) == doctest::Approx(sum / 37).epsilon(1e-6));
  const Result<std::vector<NamedValue>> values = evaluate(*session, data, 10);
  REQUIRE(values.ok());
  CHECK((*values)[0].name == "loss");
  CHECK((*values)[0].value == doctest::Approx(sum / 37).epsilon(1e-6));
  CHECK((*values)[1].name == "mae");
}

TEST_CASE("fit: every epoch visits every sample once in an order of its own; without shuffling in the data's order") {
  for (const bool shuffle : {true, false}) {
    CAPTURE(shuffle);
    const auto session = make_linear_session();
    const Dataset data = make_linear_data(37);
    std::vector<float> in_order(37 * 3);
    void* address[] = {in_order.data()};
    data.gather_range(0, 37, address, {});
    std::vector<std::vector<float>> epochs;
    Callback watch;
    watch.name = "watch";
    watch.on_epoch_begin = [&](TrainingState&) {
      epochs.emplace_back();
      return Status();
    };
    watch.on_step_end = [&](TrainingState& state) {
      const std::vector<float> batch = bound_inputs(state.session);
      epochs.back().insert(epochs.back().end(), batch.begin(), batch.end());
      return Status();
    };
    FitOptions options = quiet(3, 8);
    options.shuffle = shuffle;
    options.seed = 42;
    require_fit(fit(*session, data, nullptr, options, std::span(&watch, 1)));
    REQUIRE(epochs.size() == 3);
    CHECK((epochs[0] == epochs[1]) == !shuffle);
    for (size_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<int64_t> order(37);
      std::iota(order.begin(), order.end(), int64_t{0});
      if (shuffle) shuffle_order(42, epoch, order);
      for (size_t i = 0; i < 37; ++i) {
        CHECK(epochs[epoch][3 * i] == in_order[static_cast<size_t>(3 * order[i])]);
      }
    }
  }
}

TEST_CASE("fit: the same seed gives the same bits, another seed gives others") {
  const Dataset data = make_linear_data(100);
  const auto trained = [&](uint64_t seed) {
    const auto session = make_linear_session({.noise = true});
    FitOptions options = quiet(3, 16);
    options.seed = seed;
    require_fit(fit(*session, data, nullptr, options));
    return saved_bytes(*session);
  };
  CHECK(trained(1) == trained(1));
  CHECK(trained(1) != trained(2));
}

TEST_CASE("fit: early stopping ends the training and puts the best weights back") {
  const auto session = make_linear_session({.noise = true});
  const Dataset train = make_linear_data(64), validation = make_linear_data(33, 2);
  EarlyStoppingRecipe recipe;
  recipe.patience = 3;
  recipe.restore_best_weights = true;
  auto rule = std::make_shared<EarlyStoppingRule>(recipe);
  std::vector<std::vector<SavedTensor>> weights;
  std::vector<Callback> callbacks = {early_stopping(recipe, rule)};
  callbacks.push_back({.name = "watch", .on_epoch_end = [&](TrainingState& state) {
                         weights.push_back(capture_slots(state.session, SlotKind::parameter));
                         return Status();
                       }});
  const FitResult result = require_fit(fit(*session, train, &validation, quiet(500), callbacks));
  CHECK(result.stopped_early);
  CHECK(result.epochs < 500);
  CHECK(result.epochs == rule->best_epoch + 1 + 3);
  const std::vector<double>& values = *result.history.find("val_loss");
  CHECK(std::min_element(values.begin(), values.end()) - values.begin() == rule->best_epoch);
  const std::vector<SavedTensor> restored = capture_slots(*session, SlotKind::parameter);
  CHECK(restored[0].bytes == weights[static_cast<size_t>(rule->best_epoch)][0].bytes);
  CHECK(restored[0].bytes != weights.back()[0].bytes);
}

TEST_CASE("fit: class weights reach the loss as sample weights do") {
  // Labels are the targets rounded: train on weights by label, or on the same numbers given by sample.
  std::vector<float> x, y, weights;
  for (int i = 0; i < 24; ++i) {
    for (int j = 0; j < 3; ++j) x.push_back(static_cast<float>((i * 7 + j * 5) % 11) / 11.0f);
    y.push_back(static_cast<float>(i % 3));
    weights.push_back(i % 3 == 0 ? 0.5f : i % 3 == 1 ? 2.0f : 1.0f);
  }
  const Dataset::Array inputs[] = {{"x", DType::f32, {24, 3}, std::as_bytes(std::span(x))}};
  const Dataset::Array targets[] = {{"out", DType::f32, {24, 1}, std::as_bytes(std::span(y))}};
  const Dataset plain = Dataset::from_arrays(inputs, targets).value();
  const Dataset weighted = Dataset::from_arrays(inputs, targets, weights).value();
  const auto trained = [&](const Dataset& data, std::vector<ClassWeight> class_weight) {
    const auto session = make_linear_session({.sample_weight = true});
    FitOptions options = quiet(4, 10);
    options.class_weight = std::move(class_weight);
    require_fit(fit(*session, data, nullptr, options));
    return saved_bytes(*session);
  };
  const std::vector<ClassWeight> by_label = {{0, 0.5}, {1, 2.0}};
  CHECK(trained(plain, by_label) == trained(weighted, {}));
  CHECK(trained(plain, {}) != trained(weighted, {}));
  CHECK(trained(weighted, by_label) != trained(weighted, {}));
  const auto session = make_linear_session();
  FitOptions options = quiet(1);
  options.class_weight = by_label;
  const Status refused = fit(*session, plain, nullptr, options).status();
  CHECK(refused.message().find("class weights, but the program was compiled without them") != std::string::npos);
}

TEST_CASE("fit: integers convert to the type a slot takes, and a column of numbers needs no second axis") {
  std::vector<int32_t> x(30);
  std::iota(x.begin(), x.end(), 0);
  std::vector<double> y(10, 1.5);
  const Dataset::Array inputs[] = {{"", DType::i32, {10, 3}, std::as_bytes(std::span(x))}};
  const Dataset::Array targets[] = {{"", DType::f64, {10}, std::as_bytes(std::span(y))}};
  const Dataset data = Dataset::from_arrays(inputs, targets).value();
  const auto session = make_linear_session();
  FitOptions options = quiet(1, 10);
  options.shuffle = false;
  float last = 0;
  Callback watch;
  watch.name = "watch";
  watch.on_step_end = [&](TrainingState& state) {
    last = bound_inputs(state.session)[29];
    return Status();
  };
  require_fit(fit(*session, data, nullptr, options, std::span(&watch, 1)));
  CHECK(last == 29.0f);
}

TEST_CASE("fit: what cannot work is refused before the first step, with the reason") {
  const auto session = make_linear_session();
  const Dataset data = make_linear_data(10);
  const int64_t steps = train_steps_run;
  const auto message = [&](const Dataset& train, const FitOptions& options, std::vector<Callback> callbacks = {}) {
    return fit(*session, train, nullptr, options, callbacks).status().message();
  };
  CHECK(message(data, quiet(1, 0)) == "batch_size must be at least 1");
  CHECK(message(data, quiet(-1)) == "epochs must not be negative");
  CHECK(message(data.slice(0, 0), quiet(1)) == "there are no training samples");
  CHECK(message(data, quiet(1), {early_stopping({})}) ==
        "callback 'early_stopping' monitors 'val_loss', which this run does not measure; it measures loss, mae\n"
        "  hint: give validation data, or monitor 'loss'");
  CHECK(message(data, quiet(1), {stop_on_nan(), stop_on_nan()}) == "two callbacks are called 'stop_on_nan'");
  std::vector<float> wide(40);
  const Dataset::Array inputs[] = {{"x", DType::f32, {10, 4}, std::as_bytes(std::span(wide))}};
  const Dataset::Array targets[] = {{"out", DType::f32, {10, 1}, std::as_bytes(std::span(wide).first(10))}};
  CHECK(message(Dataset::from_arrays(inputs, targets).value(), quiet(1)).find("'x'") != std::string::npos);
  const Dataset::Array misnamed[] = {inputs[0], {"z", DType::f32, {10, 4}, std::as_bytes(std::span(wide))}};
  const Dataset::Array renamed[] = {{"a", DType::f32, {10, 4}, std::as_bytes(std::span(wide))}, misnamed[1]};
  CHECK(message(Dataset::from_arrays(renamed, targets).value(), quiet(1)) ==
        "the data have no array for the model's input 'x'; they have 'a', 'z'");
  CHECK(train_steps_run == steps);
}

TEST_CASE("fit: a loss that is not finite stops the training when asked") {
  const auto session = make_linear_session();
  const float rate = 1e30f;
  REQUIRE(session->assign(*session->program().find_slot("learning_rate"), &rate, sizeof rate).ok());
  const Dataset data = make_linear_data(40);
  std::vector<Callback> callbacks = {stop_on_nan()};
  const FitResult result = require_fit(fit(*session, data, nullptr, quiet(50, 4), callbacks));
  CHECK(result.stopped_early);
  CHECK(result.epochs < 50);
  CHECK(result.history.epochs() == static_cast<size_t>(result.epochs));
}

TEST_CASE("fit: the learning rate falls where the monitored value stays, and not during the cooldown") {
  const auto session = make_linear_session();
  const Dataset data = make_linear_data(40);
  ReduceOnPlateauRecipe recipe{.monitor = "loss", .factor = 0.5, .patience = 2, .min_delta = 1e30, .cooldown = 1, .min_lr = 0.004};
  std::vector<float> rates;
  std::vector<Callback> callbacks = {reduce_lr_on_plateau(recipe), {.name = "watch", .on_epoch_end = [&](TrainingState& state) {
                                       const uint32_t slot = *state.session.program().find_slot("learning_rate");
                                       rates.push_back(state.session.view(slot).elements<float>()[0]);
                                       return Status();
                                     }}};
  const FitResult result = require_fit(fit(*session, data, nullptr, quiet(8), callbacks));
  // Nothing is better than the first epoch by 1e30. The cooldown takes one epoch, which is the first to count again.
  CHECK(rates == std::vector<float>{0.02f, 0.02f, 0.01f, 0.01f, 0.005f, 0.005f, 0.004f, 0.004f});
  // As in Keras, the history has the rate that the epoch was trained with.
  rates.insert(rates.begin(), 0.02f);
  rates.pop_back();
  const std::vector<double>& shown = *result.history.find("learning_rate");
  CHECK(std::vector<float>(shown.begin(), shown.end()) == rates);
  CHECK(require_fit(fit(*session, data, nullptr, quiet(2))).history.find("learning_rate") == nullptr);
}

TEST_CASE("fit: epochs of fewer steps go on through the data, and the last part of it may be smaller") {
  const auto session = make_linear_session();
  const Dataset data = make_linear_data(20);
  std::vector<std::vector<float>> seen;
  std::vector<Callback> callbacks = {{.name = "watch", .on_step_end = [&](TrainingState& state) {
                                       if (state.batch == 1) seen.emplace_back();
                                       const std::vector<float> batch = bound_inputs(state.session);
                                       seen.back().insert(seen.back().end(), batch.begin(), batch.end());
                                       return Status();
                                     }}};
  FitOptions options = quiet(4, 4);
  options.steps_per_epoch = 3;
  options.shuffle = false;
  const FitResult result = require_fit(fit(*session, data, nullptr, options, callbacks));
  CHECK(result.steps == 10);
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].size() == 3 * 4 * 3);  // steps, rows, features
  CHECK(seen[1].size() == 2 * 4 * 3);
  CHECK(seen[2] == seen[0]);
  CHECK(seen[3] == seen[1]);
  CHECK(seen[0] != seen[1]);
}

TEST_CASE("fit: epochs that are not validated show no numbers, and early stopping does not count them") {
  const auto session = make_linear_session();
  const Dataset data = make_linear_data(40);
  FitOptions options = quiet(5);
  options.validation_freq = 2;
  const FitResult result = require_fit(fit(*session, data, &data, options));
  const std::vector<double>& values = *result.history.find("val_loss");
  REQUIRE(values.size() == 5);
  for (size_t epoch = 0; epoch < 5; ++epoch) CHECK(std::isnan(values[epoch]) == (epoch % 2 == 0));
  const auto other = make_linear_session();
  EarlyStoppingRecipe recipe;
  recipe.patience = 2;
  recipe.min_delta = 1e30;
  auto rule = std::make_shared<EarlyStoppingRule>(recipe);
  std::vector<Callback> callbacks = {early_stopping({}, rule)};
  options.epochs = 20;
  CHECK(require_fit(fit(*other, data, &data, options, callbacks)).epochs == 6);  // the third validation
}

TEST_CASE("fit: from a later epoch on it goes as if the earlier ones had been") {
  const Dataset data = make_linear_data(50);
  const auto whole = make_linear_session(), parts = make_linear_session();
  require_fit(fit(*whole, data, nullptr, quiet(5)));
  require_fit(fit(*parts, data, nullptr, quiet(2)));
  FitOptions rest = quiet(5);
  rest.initial_epoch = 2;
  CHECK(require_fit(fit(*parts, data, nullptr, rest)).history.epochs() == 3);
  const auto kernel = [](const Session& session) {
    const auto view = session.view(*session.program().find_slot("linear/kernel")).elements<float>();
    return std::vector<float>(view.begin(), view.end());
  };
  CHECK(kernel(*whole) == kernel(*parts));
}

TEST_CASE("fit: the CSV logger writes a line for each epoch, and appends where asked") {
  const moru::test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/log.csv";
  const auto session = make_linear_session();
  const Dataset data = make_linear_data(40);
  const auto lines = [&] {
    std::ifstream file(path);
    std::vector<std::string> all;
    for (std::string line; std::getline(file, line);) all.push_back(line);
    return all;
  };
  std::vector<Callback> callbacks = {csv_logger(path, ";", false)};
  require_fit(fit(*session, data, nullptr, quiet(3), callbacks));
  REQUIRE(lines().size() == 4);
  CHECK(lines()[0] == "epoch;loss;mae");
  CHECK(lines()[3].starts_with("2;"));
  callbacks = {csv_logger(path, ";", true)};
  require_fit(fit(*session, data, nullptr, quiet(2), callbacks));
  CHECK(lines().size() == 6);
  CHECK(lines()[4].starts_with("0;"));
  callbacks = {learning_rate_schedule([](int64_t, double) { return 0.25; }), csv_logger(path, ";", false)};
  require_fit(fit(*session, data, nullptr, quiet(1), callbacks));
  REQUIRE(lines().size() == 2);
  CHECK(lines()[0] == "epoch;learning_rate;loss;mae");
  CHECK(lines()[1].starts_with("0;0.25;"));
}

TEST_CASE("fit: a schedule sets the learning rate before each epoch") {
  const auto session = make_linear_session();
  const Dataset data = make_linear_data(40);
  std::vector<float> rates;
  std::vector<Callback> callbacks = {
      learning_rate_schedule([](int64_t epoch, double rate) { return epoch < 2 ? rate : rate * 0.5; }),
      {.name = "watch", .on_epoch_end = [&](TrainingState& state) {
         const uint32_t slot = *state.session.program().find_slot("learning_rate");
         rates.push_back(state.session.view(slot).elements<float>()[0]);
         return Status();
       }}};
  const FitResult result = require_fit(fit(*session, data, nullptr, quiet(4), callbacks));
  CHECK(rates == std::vector<float>{0.02f, 0.02f, 0.01f, 0.005f});
  const std::vector<double>& shown = *result.history.find("learning_rate");
  CHECK(std::vector<float>(shown.begin(), shown.end()) == rates);
}

TEST_CASE("fit: the history of a resumed run knows no learning rate of the epochs before it was shown") {
  const moru::test::TemporaryDirectory directory;
  const Dataset data = make_linear_data(40);
  FitOptions options = quiet(2);
  options.checkpoint_directory = directory.path();
  require_fit(fit(*make_linear_session(), data, nullptr, options));
  options.epochs = 4;
  options.resume = true;
  std::vector<Callback> callbacks = {learning_rate_schedule([](int64_t, double) { return 0.25; })};
  const FitResult result = require_fit(fit(*make_linear_session(), data, nullptr, options, callbacks));
  CHECK(result.resumed);
  const std::vector<double>& rates = *result.history.find("learning_rate");
  REQUIRE(rates.size() == 4);
  CHECK(std::isnan(rates[1]));
  CHECK(rates[2] == 0.25);
  CHECK(result.history.find("loss")->size() == 4);
}

TEST_CASE("fit: no step after the first epoch allocates, the short last batch included") {
  const auto session = make_linear_session({.sample_weight = true});
  const Dataset data = make_linear_data(32 * 50 + 7);
  std::vector<int64_t> at_step;
  at_step.reserve(51 * 4);
  Callback watch;
  watch.name = "watch";
  watch.on_step_end = [&](TrainingState&) {
    at_step.push_back(allocations);
    return Status();
  };
  FitOptions options = quiet(4);
  options.class_weight = {{3, 2.0}};
  require_fit(fit(*session, data, nullptr, options, std::span(&watch, 1)));
  REQUIRE(at_step.size() == 51 * 4);
  CHECK(at_step[0] > 0);
  for (size_t epoch = 1; epoch < 4; ++epoch) CHECK(at_step[epoch * 51] == at_step[epoch * 51 + 50]);
}

TEST_CASE("fit: an epoch of five-microsecond steps takes at most 1.3 times its steps alone") {
  constexpr int64_t steps = 1000;
  const Dataset data = make_linear_data(steps * 32), validation = make_linear_data(32, 2);
  const auto session = make_linear_session({.sample_weight = true});
  const uint32_t entry = *session->program().find_entry("train_step");
  train_step_seconds = 5e-6;
  std::vector<Callback> callbacks = {stop_on_nan()};
  // The fastest of each, because other processes, and a processor that slows down for them, only ever add.
  double epoch = 1e9, alone = 1e9;
  for (int repeat = 0; repeat < 400 && (repeat < 20 || epoch / alone >= 1.3); ++repeat) {
    epoch = std::min(epoch, require_fit(fit(*session, data, &validation, quiet(1), callbacks)).seconds);
    BatchFeeder feeder = std::move(BatchFeeder::create(*session, entry, data, 32)).value();
    REQUIRE(feeder.feed_range(0, 32).ok());
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < steps; ++i) REQUIRE(session->run(entry).ok());
    alone = std::min(alone, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  train_step_seconds = 0;
  MESSAGE("epoch / steps alone: " << epoch / alone);
#ifdef NDEBUG
  CHECK(epoch / alone < 1.3);
#else
  std::cout << "skipped: the bound on an epoch's overhead holds for release builds\n";
#endif
}
