// moru: the command line. Exits with 0 on success, 1 after one message on stderr for the user's error, 2 on wrong
// usage.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <new>

#include "compiler/support/error.h"
#include "runtime/version.h"
#include "tools/moru/commands.h"

namespace {

int run(const moru::cli::Job& job) {
  const auto fail = [](const std::string& message) {
    std::fprintf(stderr, "error: %s\n", message.c_str());
    return 1;
  };
  const auto bug = [&](const char* what) {
    return fail("this is a bug in Moru, please report it: " + std::string(what));
  };
  try {
    const int code = job();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) return fail("cannot write to standard output");
    return code;
  } catch (const moru::cli::Failure& failure) {
    return fail(failure.status.message());
  } catch (const moru::CompileError& error) {
    return fail(error.what());
  } catch (const std::bad_alloc&) {
    return fail("out of memory");
  } catch (const std::exception& error) {
    return bug(error.what());
  }
}

}  // namespace

int main(int argument_count, char** arguments) {
  using namespace moru::cli;
  // A file-size limit then fails the write, which has a message, rather than the process.
  std::signal(SIGXFSZ, SIG_IGN);
  Job job;
  CLI::App app("Compiles, trains and runs neural networks as native code.", "moru");
  app.set_version_flag("--version", std::string("moru ") + moru::moru_version_text);
  app.footer(
      "Examples: moru train recipe.json --run-dir runs/bikes\n"
      "          moru predict runs/bikes/model.moru --data new.csv -o predictions.csv\n"
      "          moru compile model.json -o model.so\n"
      "`moru COMMAND --help` says more about one command. A MODEL is a .moru file, a compiled .so, a Keras model "
      "(.keras,\n"
      ".h5, or the .json of model.to_json()), an ONNX model (.onnx), or a recipe, which names one.");
  app.require_subcommand(1);
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    const CLI::App* used = failed;
    while (!used->get_subcommands().empty()) used = used->get_subcommands().front();
    const std::string name = used == failed ? "moru" : "moru " + used->get_name();
    return "error: " + std::string(error.what()) + "\n  hint: " + name + " --help\n";
  });
  for (const auto add : {add_import, add_convert, add_summary, add_compile, add_run, add_train, add_evaluate,
                         add_predict, add_report, add_backtest, add_bench, add_view, add_explain, add_opt, add_compare, add_gradcheck, add_reduce,
                         add_passes, add_ops, add_dump, add_checkpoint})
    add(app, job);

  if (argument_count > 1 && arguments[1][0] != '-') {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; }))
      names.push_back(command->get_name());
    if (std::find(names.begin(), names.end(), arguments[1]) == names.end()) {
      std::fprintf(stderr, "error: there is no command '%s'\n  hint: %s\n", arguments[1],
                   name_hint(arguments[1], names, "moru --help lists them").c_str());
      return 2;
    }
  }
  try {
    app.parse(argument_count, arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run(job);
}
