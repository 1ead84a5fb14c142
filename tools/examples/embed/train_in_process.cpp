// Draws a model, compiles it, trains it and predicts, all in this process.
#include <cmath>
#include <cstdio>
#include <vector>

#include "compiler/model/layers.h"
#include "runtime/training/fit.h"
#include "tools/moru/native_program.h"

using namespace moru;

template <typename T>
T need(Result<T> result) {
  if (result.ok()) return std::move(*result);
  std::fprintf(stderr, "error: %s\n", result.status().message().c_str());
  std::exit(1);
}

int main() {
  constexpr int64_t rows = 512, steps = 12;
  ModelBuilder m("waves");
  Tensor h = m.call(layers::gru(16), m.input("x", {steps, 1}));
  Model model = m.build({m.call(layers::dense(1, {.name = "next"}), h)});
  initialize_parameters(model, 7);

  TrainingSpec training;
  training.optimizer = {"adam", {{"learning_rate", 0.01}}};
  training.losses = {{"mean_squared_error", {}}};
  CompileOptions options;
  options.pipeline.training = &training;
  const auto program = need(make_native_program(model, options));
  const auto session = need(Session::create(program));

  std::vector<float> x(rows * steps), next(rows);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t t = 0; t < steps; ++t) x[static_cast<size_t>(row * steps + t)] = std::sin(0.37F * static_cast<float>(row + t));
    next[static_cast<size_t>(row)] = std::sin(0.37F * static_cast<float>(row + steps));
  }
  Dataset::Array inputs{.name = "x", .shape = {rows, steps, 1}, .data = std::as_bytes(std::span(x))};
  Dataset::Array targets{.name = "next", .shape = {rows, 1}, .data = std::as_bytes(std::span(next))};
  const auto data = need(Dataset::from_arrays({&inputs, 1}, {&targets, 1}));
  FitOptions fitting;
  fitting.epochs = 30;
  fitting.progress = ProgressStyle::quiet;
  const auto result = need(fit(*session, data, nullptr, fitting));
  std::printf("loss %g\n", *result.history.newest("loss"));
  return 0;
}
