// moru-run X.so predict | train | evaluate | info: a compiled model at work, without the compiler.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "runtime/version.h"
#include "tools/moru-run/commands.h"
#include "tools/repeat_command.h"

int main(int argument_count, char** arguments) {
  using namespace moru::run;
  CommonOptions common;
  TrainOptions train;
  PredictOptions predict;
  EvaluateOptions evaluate;

  CLI::App app("Runs, trains and measures a model compiled by `moru compile -o X.so`, without the compiler.", "moru-run");
  app.set_version_flag("--version", std::string("moru-run ") + moru::moru_version_text);
  app.footer("Example: moru-run bikes.so predict --data new.csv -o predictions.csv\n"
             "`moru-run X.so COMMAND --help` says more about one command.");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("MODEL", common.model, "The compiled model, a shared object")->required()->type_name("X.so");
  app.add_option("--threads", common.threads, "Threads to use; the result has the same bits with any number")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  app.add_option("--weights", common.weights, "Take the weights from this .moru or .moruckpt instead of the model's own")
      ->type_name("FILE");
  app.add_flag("--json", common.json, "Print the result as JSON");

  CLI::App* train_command = app.add_subcommand("train", "Train by the recipe that the model carries");
  train_command->footer("Example: moru-run bikes.so train --data SeoulBikeData.csv --run-dir runs/bikes\n"
                        "A run that was interrupted or killed goes on with --resume and ends with the same bits.");
  train_command->add_option("--data", train.data, "The CSV to train on instead of the recipe's")->type_name("F.csv");
  train_command->add_option("--run-dir", train.run_directory, "Where checkpoints and results go (default: run)")
      ->type_name("DIR");
  train_command->add_flag("--resume", train.resume, "Go on from the newest good checkpoint in the run directory");
  train_command->add_flag("--allow-other-program", train.allow_other_program,
                          "Resume a checkpoint of another program: what fits, and not bit-equal");
  train_command->add_option("--epochs", train.epochs, "Epochs at most, instead of the recipe's")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  train_command->add_option("--seed", train.seed, "Seed of shuffling and dropout, instead of the recipe's")->type_name("S");
  train_command->add_flag("--quiet", train.quiet, "Show no progress, only warnings");
  train_command->add_option("--tensorboard", train.tensorboard, "Also write TensorBoard's event files into this folder")
      ->type_name("DIR");

  CLI::App* predict_command = app.add_subcommand("predict", "Predict from raw rows of a CSV, or from .npy arrays");
  predict_command->footer("Examples: moru-run bikes.so predict --data new.csv -o predictions.csv\n"
                          "          moru-run bikes.so predict x=x.npy --output-dir out");
  CLI::Option* rows = predict_command->add_option("--data", predict.data, "A CSV with the columns of the recipe")
                          ->type_name("F.csv");
  predict_command->add_option("-o,--output", predict.output, "Where the predictions go (default: standard output)")
      ->type_name("F.csv")
      ->needs(rows);
  CLI::Option* arrays =
      predict_command->add_option("ARRAY", predict.arrays, "NAME=FILE.npy for every input; FILE.npy where there is one")
          ->excludes(rows)
          ->type_name("NAME=FILE.npy");
  predict_command->add_option("--output-dir", predict.output_directory, "Where <output name>.npy go (default: .)")
      ->type_name("DIR")
      ->needs(arrays);

  CLI::App* evaluate_command = app.add_subcommand("evaluate", "Losses and metrics of the rows of a CSV");
  evaluate_command->footer("Example: moru-run bikes.so evaluate --data 2019.csv --weights runs/bikes/model.moru --json");
  evaluate_command->add_option("--data", evaluate.data, "A CSV with the columns of the recipe, targets included")
      ->required()
      ->type_name("F.csv");

  CLI::App* info_command = app.add_subcommand("info", "What the model takes, gives and can do");
  info_command->footer("Example: moru-run bikes.so info --json");

  try {
    app.parse(argument_count, arguments);
    if (predict_command->parsed() && predict.data.empty() && predict.arrays.empty()) {
      throw CLI::RequiredError("--data or NAME=FILE.npy");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (train_command->parsed()) {
    train.again = "moru-run" + moru::repeat_arguments(app) + " train" + moru::repeat_arguments(*train_command, "--resume") + " --resume";
    return run_train(common, train);
  }
  if (predict_command->parsed()) return run_predict(common, predict);
  if (evaluate_command->parsed()) return run_evaluate(common, evaluate);
  return run_info(common);
}
