// moru import: a Keras or ONNX model as a `.moru`, with its weights; those it lacks come from their initializers.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>

#include "compiler/ops/op.h"
#include "runtime/atomic_file.h"
#include "tools/moru/commands.h"
#include "tools/moru/model_source.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, output, weights;
  std::optional<uint64_t> seed;
};

int run(const Options& options) {
  need(check_output(options.output, std::array{options.model, options.weights}));
  ModelSource source = open_model(options.model, options.seed, {}, options.weights);
  const std::vector<std::byte> bytes = moru_bytes(source);
  need(write_file_atomically(options.output, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  int64_t elements = 0;
  for (const ParameterPath& path : all_parameters(source.model)) elements += element_count(path.parameter->shape);
  std::printf("%s: '%s', %zu layers, %lld parameters\n", options.output.c_str(), source.model.name.c_str(),
              source.model.layers.size(), static_cast<long long>(elements));
  return 0;
}

}  // namespace

void add_import(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("import", "Read a Keras or ONNX model and write it as a .moru file");
  command->footer(
      "Examples: moru import model.keras -o model.moru\n"
      "          moru import model.json --weights model.weights.h5 -o model.moru");
  command->add_option("MODEL", options->model, "A .keras or .h5 file, or the text of model.to_json(), of Keras 2 or 3; or an .onnx file")
      ->required()
      ->type_name("MODEL");
  command->add_option("--weights", options->weights, "Weights to take instead of the model's: .h5 of Keras 2 or 3, .safetensors or .npz, or a run's checkpoint")
      ->type_name("W");
  command->add_option("-o,--output", options->output, "The file to write")
      ->required()
      ->type_name("M.moru")
      ->check(CLI::Validator(ending_check(".moru"), ""));
  command->add_option("--seed", options->seed, "Seed of the initial weights (default: 0, or that of the recipe)")
      ->type_name("S");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
