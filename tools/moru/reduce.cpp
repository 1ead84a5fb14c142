// moru reduce: the smallest graph that still fails as a model's does, as text.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "compiler/support/error.h"
#include "runtime/atomic_file.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/moru/reduce_graph.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, recipe, output, fails = "any";
  FailureOptions failure;
  int tries = 2000;
  bool quiet = false, json = false;
  std::vector<std::string> disable;
};

/// The modules to look for a failure in: text's, or a model's as it is drawn and, where it trains, with its gradients.
std::vector<Module> list_modules(const Options& options) {
  std::vector<Module> list;
  const auto add_entries = [&](const Module& module) {
    for (const Graph& entry : module.entries)
      if (!entry.nodes.empty()) list.push_back(single_entry(module, entry.name));
  };
  const std::string ending = options.model.substr(options.model.find_last_of("./") + 1);
  if (ending == "txt" || ending == "graph") {
    const Module module = parse_module(read_text(options.model));
    try {
      verify_module(module, "parsing");
    } catch (const InternalError& error) {
      fail("'" + options.model + "' is not a valid module: " + error.what());
    }
    add_entries(module);
  } else {
    ModelSource source = open_model(options.model, {}, options.recipe);
    const PreparedModel prepared = prepare_model(source, true);
    PipelineOptions pipeline;
    pipeline.disable = options.failure.disable;
    pipeline.stop_after = "make_entries";
    add_entries(run_pipeline(source.model, pipeline).module);
    if (prepared.trains) {
      pipeline.training = &prepared.training;
      pipeline.stop_after = "expand_update";
      const Module trained = run_pipeline(source.model, pipeline).module;
      for (const Graph& entry : trained.entries)
        if (entry.name == "train_step" || entry.name == "evaluate") list.push_back(single_entry(trained, entry.name));
    }
  }
  return list;
}

int run(const Options& given) {
  Options options = given;
  options.failure.disable.insert(options.disable.begin(), options.disable.end());
  const auto wanted = [&](const GraphFailure& failure) {
    return failure && (options.fails == "any" || failure.kind == options.fails ||
                       failure.kind.starts_with(options.fails + ":") ||
                       (options.fails == "error" && failure.kind.starts_with("run:")));
  };
  Module module;
  GraphFailure failure;
  for (Module& one : list_modules(options)) {
    failure = find_failure(one, options.failure);
    if (!wanted(failure)) continue;
    module = std::move(one);
    break;
  }
  if (module.entries.empty())
    fail("'" + options.model + "' does not fail" + (options.fails == "any" ? "" : " in this way") +
         ": it compiles, and reference, kernels and native code agree on random values" +
         "\n  hint: try another --batch or a smaller --tolerance; moru compare tells about your own arrays");
  const auto note = [&](const std::string& text) {
    if (!options.quiet && !options.json) std::fprintf(stderr, "%s\n", text.c_str());
  };
  const std::string entry = module.entries[0].name;
  const size_t before = count_nodes(module.entries[0]);
  note(entry + " of '" + options.model + "' fails: " + failure.text);
  const auto fails = [&](const Module& candidate) {
    return find_failure(candidate, options.failure).kind == failure.kind;
  };
  Reduction reduction = reduce_module(module, fails, options.tries);
  // A layer that fails alone may be cut further inside.
  Module inside = reduction.module;
  try {
    run_passes(inside, std::vector<std::string>{"expand"});
    if (module_text(inside) != module_text(reduction.module) && fails(inside)) {
      const Reduction further = reduce_module(inside, fails, options.tries - reduction.tries);
      reduction.tries += further.tries;
      if (module_text(further.module).size() < module_text(reduction.module).size()) reduction.module = further.module;
    }
  } catch (const std::exception&) {
    // What cannot be expanded is as small as it gets.
  }
  const std::string text = module_text(reduction.module);
  const size_t after = count_nodes(reduction.module.entries[0]);
  if (!options.output.empty()) need(write_file_atomically(options.output, text));
  if (options.json) {
    JsonWriter json;
    json.begin_object();
    json.key("entry").text(entry);
    json.key("failure").text(failure.kind);
    json.key("message").text(find_failure(reduction.module, options.failure).text);
    json.key("nodes_before").integer(static_cast<int64_t>(before));
    json.key("nodes").integer(static_cast<int64_t>(after));
    json.key("tries").integer(reduction.tries);
    json.key("text").text(text);
    json.end_object();
    std::fputs(json.finish().c_str(), stdout);
    return 0;
  }
  if (options.output.empty()) std::fputs(text.c_str(), stdout);
  note("from " + std::to_string(before) + " nodes to " + std::to_string(after) + " in " + std::to_string(reduction.tries) +
       " tries; it still fails: " + find_failure(reduction.module, options.failure).text);
  if (!options.output.empty()) note("written to " + options.output + "; moru reduce and moru opt read it");
  return 0;
}

}  // namespace

void add_reduce(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("reduce", "Shrink a model that fails to the smallest graph that still does");
  command->footer(
      "Examples: moru reduce recipe.json -o small.txt\n"
      "          moru reduce small.txt                    # text that it wrote, or moru dump\n"
      "          moru reduce model.keras --fails native\n"
      "A failure is an error of the compiler, a crash, a disagreement of reference, interpreted kernels and native code,\n"
      "or a result that is no number. Values are random but follow from the names, so that the text alone repeats it.");
  command->add_option("MODEL", options->model, "A model, a recipe, or a module as text (.txt, as moru dump prints it)")->required();
  command->add_option("--recipe", options->recipe, "A recipe, which adds a training step")->type_name("R.json");
  command->add_option("-o,--output", options->output, "Where the text goes (default: standard output)")->type_name("FILE.txt");
  command->add_option("--fails", options->fails, "Which failure: any, error, crash, timeout, kernels, native, nan (default: any)")
      ->check(CLI::IsMember(std::set<std::string>{"any", "error", "crash", "timeout", "kernels", "native", "nan"}))
      ->type_name("KIND");
  command->add_option("--batch", options->failure.size, "The size of open dimensions (default: 5)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
      ->type_name("N");
  command
      ->add_option("--tolerance", options->failure.tolerance,
                   "Of kernels against the reference, relative to the largest value (default: 1e-4)")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("T");
  command->add_option("--seconds", options->failure.seconds, "What takes longer is a failure of its own (default: 60)")
      ->check(CLI::Range(1, 3600))
      ->type_name("S");
  command->add_option("--tries", options->tries, "Graphs to try at most (default: 2000)")
      ->check(CLI::Range(1, 1000000))
      ->type_name("N");
  command->add_option("--disable", options->disable, "Leave out this pass; may be given several times")->type_name("PASS");
  command->add_flag("--quiet", options->quiet, "Say nothing but the text");
  command->add_flag("--json", options->json, "Print it as JSON");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
