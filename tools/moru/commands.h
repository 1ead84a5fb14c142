// The subcommands of moru, one file each. Each function adds one subcommand to `app`; when the command line names it,
// `job` becomes what it does. main.cpp joins them, runs the job and words what went wrong.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/status.h"

namespace CLI {
class App;
}

namespace moru::cli {

/// Returns the exit code: 0, or what train says of a signal. Throws Failure, CompileError or InternalError.
using Job = std::function<int()>;

void add_import(CLI::App& app, Job& job);
void add_convert(CLI::App& app, Job& job);
void add_summary(CLI::App& app, Job& job);
void add_compile(CLI::App& app, Job& job);
void add_run(CLI::App& app, Job& job);
void add_train(CLI::App& app, Job& job);
void add_evaluate(CLI::App& app, Job& job);
void add_predict(CLI::App& app, Job& job);
void add_report(CLI::App& app, Job& job);
void add_backtest(CLI::App& app, Job& job);
void add_view(CLI::App& app, Job& job);
void add_explain(CLI::App& app, Job& job);
void add_bench(CLI::App& app, Job& job);
void add_opt(CLI::App& app, Job& job);
void add_compare(CLI::App& app, Job& job);
void add_gradcheck(CLI::App& app, Job& job);
void add_reduce(CLI::App& app, Job& job);
void add_passes(CLI::App& app, Job& job);
void add_ops(CLI::App& app, Job& job);
void add_dump(CLI::App& app, Job& job);
void add_checkpoint(CLI::App& app, Job& job);

/// A status on its way to main, which prints it and exits with 1: the runtime's errors beside the compiler's
/// exceptions.
struct Failure {
  Status status;
};

/// "did you mean 'train'?" where a known name is near, else `otherwise`.
std::string name_hint(const std::string& name, const std::vector<std::string>& known, const std::string& otherwise);

/// For CLI11: an error where a path does not end in `ending`, which says what is written.
inline auto ending_check(std::string ending) {
  return [ending = std::move(ending)](const std::string& path) {
    return path.ends_with(ending) ? std::string() : "'" + path + "' must end in " + ending + ", which is what is written";
  };
}

[[noreturn]] inline void fail(std::string message) {
  throw Failure{Status(StatusCode::invalid_argument, std::move(message))};
}

inline void need(const Status& status) {
  if (!status.ok()) throw Failure{status};
}

template <typename T>
T need(Result<T> result) {
  if (!result) throw Failure{result.status()};
  return *std::move(result);
}

}  // namespace moru::cli
