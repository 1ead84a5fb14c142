// moru compare: runs a model by the ops' reference formulas, by interpreted kernels and by native code, and names the
// first node where they part.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "compiler/interpret/reference.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/arrays.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/interpreted_program.h"
#include "tools/moru/model_source.h"
#include "tools/moru/native_program.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, recipe;
  std::vector<std::string> arrays;
  OpenSizes sizes = {.default_batch = 5};
  double tolerance = 1e-4;
  uint64_t seed = 0;
  bool nodes = false, json = false;
  CompileFlags flags;
};

struct Difference {
  double absolute = 0;
  uint64_t ulp = 0;  // of f32 and f64
};

/// Neighbouring numbers have neighbouring ranks, across zero too.
template <typename Float, typename Integer>
int64_t rank(Float value) {
  Integer bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits < 0 ? int64_t{std::numeric_limits<Integer>::min()} - bits : int64_t{bits};
}

Difference difference(const SavedTensor& a, const SavedTensor& b) {
  Difference out;
  const std::vector<double> left = to_doubles(a), right = to_doubles(b);
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (left[i] == right[i] || (std::isnan(left[i]) && std::isnan(right[i]))) continue;
    const double gap = std::abs(left[i] - right[i]);
    out.absolute = std::isnan(gap) ? INFINITY : std::max(out.absolute, gap);
    const int64_t from =
        a.dtype == DType::f64 ? rank<double, int64_t>(left[i]) : rank<float, int32_t>(static_cast<float>(left[i]));
    const int64_t to =
        a.dtype == DType::f64 ? rank<double, int64_t>(right[i]) : rank<float, int32_t>(static_cast<float>(right[i]));
    const auto steps = static_cast<uint64_t>(from > to ? from - to : to - from);
    out.ulp = std::max(out.ulp, steps);
  }
  return out;
}

struct Row {
  std::string name;
  std::string type;
  Difference kernels;  // from the reference
  Difference native;   // from the kernels
  double scale = 1;    // the largest reference value
};

/// Runs one entry in all three ways and compares the slots `results` asks for.
std::vector<Row> compare_entry(Model model, const Options& options, const TrainingSpec* training,
                               const std::string& entry, const std::vector<SavedTensor>& given,
                               const std::function<std::vector<std::string>(const Model&)>& results) {
  const CompileOptions compile_options = make_compile_options(options.flags, model, training);
  CompiledModel compiled;
  const std::shared_ptr<const Program> program =
      need(make_native_program(model, compile_options, make_emit_options(options.flags), {}, &compiled));
  std::vector<SavedTensor> tensors;
  if (given.empty()) {
    tensors = random_tensors(*program, entry, bind_symbols(*program, options.sizes),
                             options.seed);
  } else {
    tensors = match_inputs(*program, given);
  }

  // What the user's ops mean: before any pass but the ones that training cannot do without.
  PipelineOptions reference_options;
  reference_options.training = training;
  const bool is_rounded = model.dtype_policy != DTypePolicy::float32;  // which expand says to contractions
  reference_options.stop_after = training ? "expand_update" : is_rounded ? "expand" : "make_entries";
  const Lowered reference = run_pipeline(model, reference_options);
  std::map<std::string, HostTensor> slots;
  for (const ParameterPath& path : all_parameters(model)) {
    const std::span<const std::byte> bytes = path.parameter->bytes();
    slots[path.path] = to_host({path.path, path.parameter->dtype, path.parameter->shape, {bytes.begin(), bytes.end()}});
  }
  InterpretedProgram kernels(compiled.lowered, model);
  const std::unique_ptr<Session> session = need(Session::create(program));
  for (const SavedTensor& tensor : tensors) {
    slots[tensor.name] = to_host(tensor);
    kernels.set(tensor);
    need(session->bind(*program->find_slot(tensor.name), tensor.bytes.data(), tensor.shape));
  }
  interpret_entry(reference.module, entry, slots);
  kernels.run(entry);
  need(session->run(*program->find_entry(entry)));

  std::vector<Row> rows;
  for (const std::string& name : results(model)) {
    const SavedTensor wanted = from_host(name, slots.at(name)), interpreted = kernels.get(name);
    const SavedTensor native = capture_slot(*session, *program->find_slot(name));
    Row row{name, std::string(dtype_name(wanted.dtype)) + sizes_text(wanted.shape), difference(wanted, interpreted),
            difference(interpreted, native)};
    for (const double value : to_doubles(wanted)) row.scale = std::max(row.scale, std::abs(value));
    rows.push_back(std::move(row));
  }
  return rows;
}

/// The model with every node's result as an output, in order, so that the first that differs can be named.
Model with_every_node(Model model) {
  model.outputs.clear();
  model.output_names.clear();
  for (uint32_t n = 0; n < model.nodes.size(); ++n) {
    const ModelNode& node = model.nodes[n];
    if (model.layers[node.layer].class_name == "InputLayer") continue;
    for (uint32_t i = 0; i < node.outputs.size(); ++i) {
      model.outputs.push_back({n, i});
      model.output_names.push_back(node.outputs.size() == 1 ? node.name : node.name + "." + std::to_string(i));
    }
  }
  return model;
}

bool kernels_part(const Row& row, double tolerance) { return !(row.kernels.absolute <= tolerance * row.scale); }
bool native_parts(const Row& row) { return row.native.ulp != 0 || row.native.absolute != 0; }

const Row* find_parting(const std::vector<Row>& rows, double tolerance) {
  for (const Row& row : rows)
    if (kernels_part(row, tolerance) || native_parts(row)) return &row;
  return nullptr;
}

void print_rows(const std::string& title, const std::vector<Row>& rows) {
  std::printf("%s\n  %-32s %-22s %24s %24s\n", title.c_str(), "", "", "kernels - reference", "native - kernels");
  for (const Row& row : rows)
    std::printf("  %-32s %-22s %12.3g %7llu ulp %12.3g %7llu ulp\n", row.name.c_str(), row.type.c_str(),
                row.kernels.absolute, static_cast<unsigned long long>(row.kernels.ulp), row.native.absolute,
                static_cast<unsigned long long>(row.native.ulp));
}

void write_rows(JsonWriter& json, const std::vector<Row>& rows) {
  json.begin_array();
  for (const Row& row : rows) {
    json.begin_object();
    json.key("name").text(row.name);
    json.key("type").text(row.type);
    json.key("kernels_absolute").number(row.kernels.absolute);
    json.key("kernels_ulp").integer(static_cast<int64_t>(row.kernels.ulp));
    json.key("native_absolute").number(row.native.absolute);
    json.key("native_ulp").integer(static_cast<int64_t>(row.native.ulp));
    json.end_object();
  }
  json.end_array();
}

void fail_at(const std::string& what, const Row& row, double tolerance) {
  char text[160];
  if (native_parts(row)) {
    std::snprintf(text, sizeof text, "native code differs from the interpreted kernels by up to %.3g (%llu ulp)",
                  row.native.absolute, static_cast<unsigned long long>(row.native.ulp));
  } else {
    std::snprintf(text, sizeof text, "the kernels differ from the reference by up to %.3g, more than %.3g",
                  row.kernels.absolute, tolerance * row.scale);
  }
  fail(what + " '" + row.name + "': " + text);
}

int run(const Options& options) {
  std::vector<SavedTensor> given;
  for (const std::string& argument : options.arrays) given.push_back(read_argument(argument));
  ModelSource source = open_model(options.model, options.seed, options.recipe);
  const PreparedModel prepared = prepare_model(source, given.empty());
  const auto outputs = [](const Model& model) { return model.output_names; };
  const std::vector<Row> results = compare_entry(source.model, options, nullptr, "predict", given, outputs);
  std::vector<Row> nodes, trained;
  if (options.nodes || find_parting(results, options.tolerance))
    nodes = compare_entry(with_every_node(source.model), options, nullptr, "predict", given, outputs);
  if (prepared.trains)
    trained = compare_entry(source.model, options, &prepared.training, "train_step", {}, [](const Model& model) {
      Model copy = model;
      std::vector<std::string> names = {"loss"};
      for (const ParameterPath& path : all_parameters(copy)) names.push_back(path.path);
      return names;
    });

  if (options.json) {
    JsonWriter json;
    json.begin_object();
    json.key("results");
    write_rows(json, results);
    json.key("nodes");
    write_rows(json, nodes);
    json.key("train_step");
    write_rows(json, trained);
    json.end_object();
    std::fputs(json.finish().c_str(), stdout);
  } else {
    print_rows("predict", results);
    if (!nodes.empty()) print_rows("predict, node by node", nodes);
    if (!trained.empty()) print_rows("train_step", trained);
  }
  if (const Row* row = find_parting(nodes, options.tolerance))
    fail_at("the first node that differs is", *row, options.tolerance);
  if (const Row* row = find_parting(results, options.tolerance))
    fail_at("every node alone agrees, but not the result", *row, options.tolerance);
  if (const Row* row = find_parting(trained, options.tolerance))
    fail_at("after one training step", *row, options.tolerance);
  return 0;
}

}  // namespace

void add_compare(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("compare", "Find the first node where reference, interpreted kernels and native code part");
  command->footer(
      "Examples: moru compare model.json\n"
      "          moru compare model.moru x.npy --nodes\n"
      "          moru compare recipe.json       # a training step too");
  command->add_option("MODEL", options->model, "A .moru, .so or Keras JSON file, or a recipe")->required();
  command->add_option("ARRAY", options->arrays, "NAME=FILE.npy for every input; without any, random data")
      ->type_name("NAME=FILE.npy");
  command->add_option("--recipe", options->recipe, "A recipe, which adds a training step")->type_name("R.json");
  add_open_sizes(*command, options->sizes, "Samples of random data (default: 5)");
  command
      ->add_option("--tolerance", options->tolerance,
                   "Of kernels against the reference, relative to the largest value (default: 1e-4); native code must "
                   "have the same bits as the kernels")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("T");
  command->add_option("--seed", options->seed, "Seed of the data and of weights that the model lacks")->type_name("S");
  command->add_flag("--nodes", options->nodes, "Compare every node even where the results agree");
  command->add_flag("--json", options->json, "Print it as JSON");
  add_compile_flags(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
