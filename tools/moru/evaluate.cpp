// moru evaluate: losses and metrics of a trained model on the rows of a CSV.
#include "runtime/training/evaluate.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "runtime/data/gaps.h"
#include "runtime/data/prepare.h"
#include "runtime/data/wording.h"
#include "runtime/training/json_writer.h"
#include "runtime/training/predict.h"
#include "runtime/training/progress.h"
#include "runtime/training/train_from_recipe.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/moru/recipe_model.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, data;
  int threads = 1;
  bool json = false;
  CompileFlags flags;
};

int run(const Options& options) {
  ModelSource source = open_model(options.model);
  const Recipe recipe = require_fitted_recipe(source);
  const Dataset data = need(prepare_evaluation(recipe, options.data));
  Progress(ProgressStyle::quiet, stderr).warn(describe_gaps(recipe, data.times()));
  if (!source.program) check_data(source.model, data, recipe, file_name(source.path), file_name(options.data));
  const PreparedModel prepared = prepare_model(source, true);
  const std::unique_ptr<Session> session =
      need(Session::create(make_program(source, options.flags, prepared), {.threads = options.threads}));
  const std::vector<SavedTensor> answers = need(predict(*session, data));
  const std::vector<NamedValue> values = need(measure(*session, recipe, data, answers));
  if (options.json) {
    JsonWriter json;
    json.begin_object();
    json.key("samples").integer(data.size());
    for (const NamedValue& value : values) json.key(value.name).number(value.value);
    json.end_object();
    std::fputs(json.finish().c_str(), stdout);
    return 0;
  }
  std::printf("samples: %lld\n", static_cast<long long>(data.size()));
  for (const NamedValue& value : values) std::printf("%s: %s\n", value.name.c_str(), number_text(value.value, 6).c_str());
  return 0;
}

}  // namespace

void add_evaluate(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("evaluate", "Losses and metrics of a trained model on the rows of a CSV, in raw units");
  command->footer("Example: moru evaluate runs/bikes/model.moru --data 2019.csv --json");
  command->add_option("MODEL", options->model, "A model that moru train made")->required();
  command->add_option("--data", options->data, "A CSV with the columns of the recipe, targets included")
      ->required()
      ->type_name("F.csv");
  command->add_option("--threads", options->threads, "Threads to use")->check(CLI::Range(1, 1024))->type_name("N");
  command->add_flag("--json", options->json, "Print it as JSON");
  add_compile_flags(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
