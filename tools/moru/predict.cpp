// moru predict: raw rows in, answers in raw units out.
#include "runtime/training/predict.h"

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>

#include "runtime/atomic_file.h"
#include "runtime/data/gaps.h"
#include "runtime/data/prepare.h"
#include "runtime/training/predictions_table.h"
#include "runtime/training/progress.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/moru/recipe_model.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, data, output;
  int threads = 1;
  CompileFlags flags;
};

int run(const Options& options) {
  need(check_output(options.output, std::array{options.model, options.data}));
  ModelSource source = open_model(options.model);
  const Recipe recipe = require_fitted_recipe(source);
  const Dataset data = need(prepare_prediction(recipe, options.data));
  Progress(ProgressStyle::quiet, stderr).warn(describe_gaps(recipe, data.times()));
  if (!source.program) check_data(source.model, data, recipe, file_name(source.path), file_name(options.data));
  const PreparedModel prepared = prepare_model(source, false);
  const std::unique_ptr<Session> session =
      need(Session::create(make_program(source, options.flags, prepared), {.threads = options.threads}));
  const std::vector<SavedTensor> answers = need(predict(*session, data));
  const std::string table = need(predictions_csv(recipe, data, answers));
  if (options.output.empty() || options.output == "-") {
    std::fputs(table.c_str(), stdout);
  } else {
    need(write_file_atomically(options.output, table));
  }
  return 0;
}

}  // namespace

void add_predict(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("predict", "Predict from raw rows of a CSV with a trained model");
  command->footer("Example: moru predict runs/bikes/model.moru --data new.csv -o predictions.csv");
  command->add_option("MODEL", options->model, "A model that moru train made")->required();
  command->add_option("--data", options->data, "A CSV with the columns of the recipe; targets are not needed")
      ->required()
      ->type_name("F.csv");
  command->add_option("-o,--output", options->output, "Where the predictions go (default: standard output)")
      ->type_name("F.csv");
  command->add_option("--threads", options->threads, "Threads to use")->check(CLI::Range(1, 1024))->type_name("N");
  add_compile_flags(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
