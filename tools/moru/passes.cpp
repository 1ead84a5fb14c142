// moru passes: the compiler's table of contents.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "compiler/pipeline.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/commands.h"

namespace moru::cli {
namespace {

int run(bool as_json) {
  if (as_json) {
    JsonWriter json;
    json.begin_array();
    for (const PassDescription& pass : describe_passes()) {
      json.begin_object();
      json.key("name").text(pass.name);
      json.key("when").text(pass.when);
      json.key("why").text(pass.why);
      json.end_object();
    }
    json.end_array();
    std::fputs(json.finish().c_str(), stdout);
    return 0;
  }
  for (const PassDescription& pass : describe_passes())
    std::printf("%-17s %-9s %s\n", std::string(pass.name).c_str(), std::string(pass.when).c_str(),
                std::string(pass.why).c_str());
  return 0;
}

}  // namespace

void add_passes(CLI::App& app, Job& job) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("passes", "List the compiler's passes in order, and why each stands there");
  command->footer("Example: moru passes --json");
  command->add_flag("--json", *json, "Print them as JSON");
  command->callback([json, &job] { job = [json] { return run(*json); }; });
}

}  // namespace moru::cli
