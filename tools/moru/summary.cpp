// moru summary: what Keras' model.summary() shows.
#include "compiler/model/summary.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/moru/commands.h"
#include "tools/moru/model_source.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model;
  bool json = false, expand_nested = false, masks = false;
};

int run(const Options& options) {
  const ModelSource source = open_model(options.model);
  const std::string text =
      options.json ? summary_json(source.model) : summary_text(source.model, {.expand_nested = options.expand_nested, .masks = options.masks});
  std::fputs(text.c_str(), stdout);
  if (!text.ends_with('\n')) std::fputc('\n', stdout);
  return 0;
}

}  // namespace

void add_summary(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("summary", "Show a model's layers, shapes, weights and connections");
  command->footer("Example: moru summary model.json --expand-nested");
  command->add_option("MODEL", options->model, "A .moru, .so or Keras JSON file, or a recipe")->required();
  command->add_flag("--json", options->json, "Print it as JSON");
  command->add_flag("--expand-nested", options->expand_nested, "List the layers of nested models too");
  command->add_flag("--masks", options->masks, "Show which layers make, use, pass and end masks");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
