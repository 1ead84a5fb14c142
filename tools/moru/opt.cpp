// moru opt: graph passes on text, for tests and bug reports.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "compiler/pipeline.h"
#include "compiler/support/error.h"
#include "runtime/atomic_file.h"
#include "tools/moru/commands.h"
#include "tools/moru/model_source.h"

namespace moru::cli {
namespace {

struct Options {
  std::string input = "-", output;
  std::vector<std::string> passes;
};

int run(const Options& options) {
  const std::string text =
      options.input == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : read_text(options.input);
  Module module = parse_module(text);
  try {
    verify_module(module, "parsing");
  } catch (const InternalError& error) {
    // Elsewhere a broken invariant is our fault; here the graph is the user's.
    fail((options.input == "-" ? std::string("standard input") : "'" + options.input + "'") +
         " is not a valid module: " + error.what());
  }
  run_passes(module, options.passes);
  const std::string result = module_text(module);
  if (options.output.empty() || options.output == "-") {
    std::fputs(result.c_str(), stdout);
  } else {
    need(write_file_atomically(options.output, result));
  }
  return 0;
}

}  // namespace

void add_opt(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("opt", "Run graph passes on a module written as text, and print what they make of it");
  command->footer("Example: moru dump model.json --after expand | moru opt --passes=simplify,drop_dead");
  command->add_option("FILE", options->input, "A module as `moru dump` prints it; - or nothing: standard input")
      ->type_name("FILE");
  command->add_option("--passes", options->passes, "Names of passes, in order (see moru passes)")
      ->delimiter(',')
      ->type_name("A,B");
  command->add_option("-o,--output", options->output, "Where the result goes (default: standard output)")
      ->type_name("FILE");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
