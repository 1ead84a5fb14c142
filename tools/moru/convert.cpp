// moru convert: a model or its weights from one kind of file into another, by the names' endings.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <filesystem>

#include "compiler/exchange/onnx/onnx_export.h"
#include "runtime/atomic_file.h"
#include "tools/moru/commands.h"
#include "tools/moru/model_format.h"
#include "tools/moru/model_source.h"
#include "tools/moru/weights_file.h"

namespace moru::cli {
namespace {

struct Options {
  std::string from, to, weights, save_weights;
  FormatOptions format;
  std::optional<uint64_t> seed;
};

// Nothing is written before everything could be made.
void write(const std::string& path, std::span<const std::byte> bytes) {
  need(write_file_atomically(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
}

int convert_weights(const Options& options) {
  if (!is_named_weights(options.to))
    fail("'" + options.from + "' holds weights only, so '" + options.to +
         "' cannot be made of it alone\n  hint: give the model, and these weights with --weights " + options.from);
  const std::vector<NamedTensor> tensors = read_named_weights(options.from);
  write(options.to, named_weights_bytes(options.to, tensors));
  std::printf("%s: %zu tensors\n", options.to.c_str(), tensors.size());
  return 0;
}

int run(const Options& options) {
  const std::array inputs = {options.from, options.weights};
  need(check_output(options.to, inputs));
  need(check_output(options.save_weights, inputs));
  const ModelFormat& format = model_format(options.to);
  if (is_named_weights(options.from)) return convert_weights(options);
  const ModelFormat* weights_format = options.save_weights.empty() ? nullptr : &model_format(options.save_weights);
  if (weights_format != nullptr && !weights_format->weights_alone)
    fail("'" + options.save_weights + "' is no kind of file for weights alone\n  hint: .weights.h5, .safetensors or .npz");
  const ModelSource source = open_model(options.from, options.seed, {}, options.weights);
  const std::vector<std::byte> bytes = format.write(source, options.format, options.to);
  const std::vector<std::byte> weights =
      weights_format == nullptr ? std::vector<std::byte>() : weights_format->write(source, options.format, options.save_weights);
  write(options.to, bytes);
  if (weights_format != nullptr) write(options.save_weights, weights);
  std::printf("%s: '%s', %zu layers, %zu bytes\n", options.to.c_str(), source.model.name.c_str(),
              source.model.layers.size(), bytes.size());
  if (weights_format != nullptr) std::printf("%s: its weights, %zu bytes\n", options.save_weights.c_str(), weights.size());
  if (source.recipe && source.recipe->fitted && format.ending != ".moru" && format.ending != ".onnx" && !format.weights_alone)
    std::printf("note: a %s holds no recipe, by which raw rows are read; keep the .moru for moru predict and evaluate\n",
                std::string(format.ending).c_str());
  if (format.ending == ".json" && weights_format == nullptr)
    std::printf("note: a .json holds no weights; --save-weights W.weights.h5 writes them beside it\n");
  return 0;
}

}  // namespace

void add_convert(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("convert", "Write a model, or its weights, as another kind of file");
  command->footer(
      "Examples: moru convert model.keras model.onnx\n"
      "          moru convert model.json model.moru --weights model.weights.h5\n"
      "          moru convert model.moru model.json --save-weights model.weights.h5\n"
      "          moru convert run/recipe.json model.keras --weights run/checkpoints/ckpt-120.moruckpt\n"
      "          moru convert model.moru weights.safetensors");
  std::string endings = "What to write, by its ending; .moru and .onnx keep the recipe of a trained model, by which raw rows are read:";
  for (const ModelFormat& format : model_formats())
    endings += " " + std::string(format.ending) + " (" + std::string(format.what) + ")";
  command->add_option("FROM", options->from, "A .moru, Keras' .keras, .h5 or .json, an .onnx, or weights in .safetensors or .npz")
      ->required()
      ->type_name("FROM");
  command->add_option("TO", options->to, endings)->required()->type_name("TO");
  command
      ->add_option("--weights", options->weights,
                   "Weights to take instead of the model's: .h5 of Keras 2 or 3, .safetensors or .npz, or a run's checkpoint")
      ->type_name("W");
  command->add_option("--save-weights", options->save_weights, "Write the weights to a file of their own as well")
      ->type_name("W");
  command->add_option("--opset", options->format.opset, "The operator set of an .onnx: " + std::to_string(oldest_onnx_opset) + " to " +
                                                     std::to_string(newest_onnx_opset) +
                                                     " (default: " + std::to_string(default_onnx_opset) +
                                                     ", or that of the .onnx it comes from)")
      ->type_name("N");
  command->add_option("--seed", options->seed, "Seed of weights that the model lacks (default: 0, or that of the recipe)")
      ->type_name("S");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
