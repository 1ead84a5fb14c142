// The subcommands of moru-run: the jobs of `moru` that need no compiler. The model is a shared object made by
// `moru compile -o X.so`, with its program, weights and (for train and evaluate) recipe inside.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/data/recipe.h"
#include "runtime/program.h"
#include "runtime/session.h"
#include "runtime/status.h"

namespace moru::run {

/// What all subcommands take.
struct CommonOptions {
  std::string model;    // X.so
  std::string weights;  // a .moru or .moruckpt to take the weights from instead of those in the model
  int threads = 1;
  bool json = false;
};

struct TrainOptions {
  std::string data;
  std::string run_directory = "run";
  std::string tensorboard;
  bool resume = false;
  bool allow_other_program = false;
  bool quiet = false;
  std::optional<int64_t> epochs;
  std::optional<uint64_t> seed;
  std::string again;  // the command that resumes
};

struct PredictOptions {
  std::string data;    // a CSV by the recipe
  std::string output;  // predictions.csv; empty or "-": stdout
  std::vector<std::string> arrays;  // NAME=FILE.npy, or FILE.npy where the model has one input
  std::string output_directory = ".";
};

struct EvaluateOptions {
  std::string data;
};

/// Each returns the exit code: 0, or 1 with one message on stderr.
int run_train(const CommonOptions& common, const TrainOptions& options);
int run_predict(const CommonOptions& common, const PredictOptions& options);
int run_evaluate(const CommonOptions& common, const EvaluateOptions& options);
int run_info(const CommonOptions& common);

/// Prints "error: <message>" on stderr and returns 1.
int fail(const Status& status);

struct Model {
  std::shared_ptr<const Program> program;
  std::optional<Recipe> recipe;  // of the weights' file where it has one, else of the model
};
Result<Model> open_model(const CommonOptions& common);

/// A session with the weights asked for.
Result<std::unique_ptr<Session>> open_session(const CommonOptions& common, const Model& model);

/// The recipe, or an error that says why there must be one.
Result<Recipe> require_recipe(const CommonOptions& common, const Model& model);

}  // namespace moru::run
