// moru bench: how long a prediction or a training step takes.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "runtime/session.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/arrays.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/moru/profiled_entry.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, recipe;
  bool train = false, json = false, kernels = false;
  int64_t warm_up = 5;
  double seconds = 1.0;
  OpenSizes sizes = {.default_batch = 32};
  int threads = 1;
  uint64_t seed = 0;
  CompileFlags flags;
};

/// Without a recipe: squared error on every output, and Adam.
PreparedModel default_training(const ModelSource& source) {
  PreparedModel prepared;
  prepared.trains = true;
  prepared.training.optimizer = {.op = "adam", .attributes = {}};
  prepared.training.losses.assign(source.model.outputs.size(), {.op = "mean_squared_error", .attributes = {}});
  return prepared;
}

void check_finite(const Session& session, uint32_t slot) {
  const TensorView view = session.view(slot);
  const std::string& name = session.program().slots()[slot].name;
  const auto check = [&](auto elements) {
    for (const auto element : elements)
      if (!std::isfinite(static_cast<double>(element)))
        fail("'" + name + "' is not finite: its time would mean nothing");
  };
  check(view.elements<float>());
  check(view.elements<double>());
}

int run(const Options& options) {
  using Clock = std::chrono::steady_clock;
  ModelSource source = open_model(options.model, options.seed, options.recipe);
  PreparedModel prepared = prepare_model(source, options.train);
  if (options.train && !prepared.trains) prepared = default_training(source);
  const auto before = Clock::now();
  const std::shared_ptr<const Program> program = make_program(source, options.flags, prepared);
  const double compile_ms = std::chrono::duration<double, std::milli>(Clock::now() - before).count();
  const char* entry_name = options.train ? "train_step" : "predict";
  const std::optional<uint32_t> entry = program->find_entry(entry_name);
  if (!entry) fail("'" + source.path + "' has no entry '" + entry_name + "'\n  hint: compile it with a recipe");

  const std::map<std::string, int64_t> symbols = bind_symbols(*program, options.sizes);
  const std::vector<SavedTensor> tensors = random_tensors(*program, entry_name, symbols, options.seed);
  const std::unique_ptr<Session> session = need(Session::create(program, {.threads = options.threads}));
  bind_all(*session, tensors);

  std::vector<double> microseconds;
  const auto step = [&] {
    const auto begin = Clock::now();
    need(session->run(*entry));
    return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
  };
  for (int64_t i = 0; i < options.warm_up; ++i) step();
  const auto end = Clock::now() + std::chrono::duration<double>(options.seconds);
  while (microseconds.size() < 10 || Clock::now() < end) microseconds.push_back(step());
  for (const uint32_t output : program->entries()[*entry].outputs) check_finite(*session, output);

  std::sort(microseconds.begin(), microseconds.end());
  const double median = microseconds[microseconds.size() / 2], least = microseconds.front();
  const auto batch = symbols.find("batch");
  const int64_t samples = batch != symbols.end() ? batch->second : tensors.empty() || tensors[0].shape.empty() ? 1 : tensors[0].shape[0];
  const double samples_per_second = static_cast<double>(samples) / median * 1e6;
  std::optional<KernelProfile> kernels;
  if (options.kernels)
    kernels =
        profile_entry(source, options.flags, prepared, entry_name, symbols, tensors, options.threads, options.seconds)
            .kernels;
  if (options.json) {
    JsonWriter json;
    json.begin_object();
    json.key("model").text(source.path);
    json.key("entry").text(entry_name);
    json.key("sizes").begin_object();
    for (const auto& [name, size] : symbols) json.key(name).integer(size);
    json.end_object();
    json.key("threads").integer(options.threads);
    json.key("target").text(program->target());
    json.key("steps").integer(static_cast<int64_t>(microseconds.size()));
    json.key("median_us").number(median);
    json.key("min_us").number(least);
    json.key("samples_per_second").number(samples_per_second);
    json.key("compile_ms").number(compile_ms);
    json.key("arena_bytes").integer(static_cast<int64_t>(session->arena_bytes()));
    if (kernels) write_kernel_profile(json, *kernels);
    json.end_object();
    std::fputs(json.finish().c_str(), stdout);
    return 0;
  }
  std::string sizes;
  for (const auto& [name, size] : symbols) sizes += (sizes.empty() ? "" : ", ") + name + "=" + std::to_string(size);
  if (sizes.empty()) sizes = std::to_string(samples) + (samples == 1 ? " sample" : " samples");
  std::printf("%s  %s, %d thread%s, %s\n", entry_name, sizes.c_str(), options.threads, options.threads == 1 ? "" : "s",
              program->target().c_str());
  std::printf("median %.1f us, min %.1f us of %zu steps; %.0f samples/s; compiled in %.0f ms; arena %.2f MiB\n", median,
              least, microseconds.size(), samples_per_second, compile_ms,
              static_cast<double>(session->arena_bytes()) / (1 << 20));
  if (kernels) std::printf("\n%s", kernel_profile_text(*kernels, median, options.threads).c_str());
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("bench", "Measure a prediction, or a training step, on random data");
  command->footer(
      "Examples: moru bench model.json --batch 64 --json\n"
      "          moru bench recipe.json --train\n"
      "          moru bench recipe.json --train --kernels\n"
      "          moru bench model.json --size time=1000\n"
      "--kernels lists what a step consists of, the longest first, by the layers it computes: its time, arithmetic and\n"
      "traffic, and how near that comes to the roofline: the peak of one core, or the bandwidth of the cache that holds\n"
      "what the kernel touches. The times are of a build that reads the processor's counter between kernels.");
  command->add_option("MODEL", options->model, "A .moru, .so or Keras JSON file, or a recipe")->required();
  command->add_flag("--train", options->train, "Measure a training step; without a recipe by squared error and Adam");
  command->add_option("--recipe", options->recipe, "Train by this recipe")->type_name("R.json");
  add_open_sizes(*command, options->sizes, "Samples per step (default: 32)");
  command->add_option("--seconds", options->seconds, "How long to measure (default: 1)")
      ->check(CLI::Range(0.0, 3600.0))
      ->type_name("S");
  command->add_option("--warm-up", options->warm_up, "Steps before that (default: 5)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->type_name("N");
  command->add_option("--threads", options->threads, "Threads to use")->check(CLI::Range(1, 1024))->type_name("N");
  command->add_option("--seed", options->seed, "Seed of the data and of weights that the model lacks")->type_name("S");
  command->add_flag("--kernels", options->kernels, "List the step's kernels: times, GFLOP/s, percent of the roofline");
  command->add_flag("--json", options->json, "Print it as JSON");
  add_compile_flags(*command, options->flags);
  add_memory_budget(*command, options->flags);
  command->callback([options, &job] {
    options->flags.budget_batch = options->sizes.wanted_batch();
    options->flags.threads = options->threads;
    job = [options] { return run(*options); };
  });
}

}  // namespace moru::cli
