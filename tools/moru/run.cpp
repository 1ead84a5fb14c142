// moru run: tensors in, tensors out, as .npy files.
#include <CLI/CLI.hpp>

#include "compiler/support/error.h"
#include "runtime/session.h"
#include "runtime/training/predict.h"
#include "tools/moru/arrays.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/interpreted_program.h"
#include "tools/moru/model_source.h"
#include "tools/moru/native_program.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, output_directory;
  std::vector<std::string> arrays;
  int threads = 1;
  uint64_t seed = 0;
  bool interpret = false;
  CompileFlags flags;
};

/// The inputs under the model's names, in the types that its slots have.
std::vector<SavedTensor> run_interpreted(ModelSource& source, const CompileFlags& flags,
                                         std::vector<SavedTensor> inputs) {
  const CompileOptions options = make_compile_options(flags, source.model, nullptr);
  const CompiledModel compiled = compile(source.model, options);
  const WeightsSection weights = make_weights_section(source.model);
  std::vector<std::byte> weight_bytes;
  for (const std::span<const std::byte> piece : weights.pieces)
    weight_bytes.insert(weight_bytes.end(), piece.begin(), piece.end());
  const std::shared_ptr<const Program> program = need(Program::load(compiled.program, weight_bytes));
  InterpretedProgram interpreted(compiled.lowered, source.model);
  for (const SavedTensor& input : match_inputs(*program, std::move(inputs))) interpreted.set(input);
  interpreted.run("predict");
  std::vector<SavedTensor> outputs;
  for (const std::string& name : source.model.output_names) outputs.push_back(interpreted.get(name));
  return outputs;
}

int run_on(const Options& options, std::vector<SavedTensor> inputs, const OnnxImportOptions& onnx) {
  ModelSource source = open_model(options.model, options.seed, {}, {}, onnx);
  std::vector<Narrow> stored;
  for (const TensorRef& ref : source.model.outputs) stored.push_back(stored_as(source.model, ref));
  if (options.interpret) {
    write_arrays(options.output_directory, run_interpreted(source, options.flags, std::move(inputs)), stored);
    return 0;
  }
  const std::shared_ptr<const Program> program = make_program(source, options.flags, {});
  inputs = match_inputs(*program, std::move(inputs));
  const std::unique_ptr<Session> session = need(Session::create(program, {.threads = options.threads}));
  write_arrays(options.output_directory, need(predict_tensors(*session, inputs)), stored);
  return 0;
}

int run(const Options& options) {
  std::vector<SavedTensor> inputs;
  for (const std::string& argument : options.arrays) inputs.push_back(read_argument(argument));
  OnnxImportOptions onnx;
  for (const SavedTensor& input : inputs) onnx.bindings.push_back({input.name, input.dtype, input.shape, input.bytes});
  try {
    return run_on(options, std::move(inputs), onnx);
  } catch (const CompileError&) {
    if (!options.model.ends_with(".onnx")) throw;
  }
  // Shapes that fit only for the sizes of these inputs.
  onnx.bind_sizes = true;
  inputs.clear();
  for (const OnnxBinding& b : onnx.bindings) inputs.push_back({b.name, b.dtype, b.shape, b.bytes});
  return run_on(options, std::move(inputs), onnx);
}

}  // namespace

void add_run(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "Run a model on tensors: .npy files in, one .npy file per output");
  command->footer(
      "Examples: moru run model.moru x.npy --output-dir out\n"
      "          moru run model.json window=w.npy calendar=c.npy --output-dir out --threads 4\n"
      "Every byte of an output's name outside A-Za-z0-9._- becomes %XX in its file's name.");
  command->add_option("MODEL", options->model, "A .moru, .so, ONNX or Keras JSON file, or a recipe")->required();
  command->add_option("ARRAY", options->arrays, "NAME=FILE.npy for every input; FILE.npy where there is one")
      ->type_name("NAME=FILE.npy");
  command->add_option("--output-dir", options->output_directory, "Where <output name>.npy go")
      ->required()
      ->type_name("DIR");
  command->add_option("--threads", options->threads, "Threads to use; the result has the same bits with any number")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command->add_option("--seed", options->seed, "Seed of weights that the model lacks (default: 0)")->type_name("S");
  command->add_flag("--interpret", options->interpret,
                    "Interpret the kernels instead of compiling them: slow, same bits");
  add_compile_flags(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
