// moru gradcheck: the gradients of a model's loss beside finite differences, weight by weight and input by input.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "compiler/interpret/gradient_check.h"
#include "compiler/passes/expand.h"
#include "runtime/data/wording.h"
#include "runtime/training/batch_feeder.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/advice.h"
#include "tools/moru/arrays.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/moru/recipe_model.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, recipe;
  RecipeChanges changes;
  OpenSizes sizes = {.default_batch = 4};
  size_t samples = 16;
  double tolerance = 1e-5;
  bool random = false, json = false;
  CompileFlags flags;
};

/// What the graph of the loss is run on, and where it comes from.
struct Batch {
  std::map<std::string, HostTensor> slots;
  std::string source;
};

/// One input's worst probe (a wrong one before one that rounding explains), and what there is to say of all of them.
struct Row {
  const InputProbes* input = nullptr;
  const GradientProbe* worst = nullptr;  // of those that are no kinks; null where all are
  double error = 0;
  bool wrong = false;
  std::vector<const GradientProbe*> kinks;
  SlotKind kind = SlotKind::parameter;
};

std::string position_text(const std::vector<int64_t>& shape, size_t element) {
  std::vector<int64_t> position(shape.size());
  for (size_t axis = shape.size(); axis-- > 0;) {
    position[axis] = static_cast<int64_t>(element) % shape[axis];
    element /= static_cast<size_t>(shape[axis]);
  }
  return sizes_text(position);
}

/// The first samples of the training part, as training would bring them, or random tensors.
Batch make_batch(ModelSource& source, const Options& options, const PreparedModel& prepared) {
  std::optional<PreparedData> data;
  if (prepared.trains && !options.random) {
    data = need(prepare_training(*source.recipe));
    check_training(source, data->train);
    set_statistics(source.model, data->recipe);
  }
  // The program only lends its slots: what is compared is interpreted.
  source.program = nullptr;
  const std::shared_ptr<const Program> program = make_program(source, options.flags, prepared);
  const std::unique_ptr<Session> session = need(Session::create(program));
  const uint32_t entry = *program->find_entry(prepared.trains ? "train_step" : "predict");
  Batch batch;
  if (data) {
    const int64_t rows = std::min(options.sizes.wanted_batch(), data->train.size());
    BatchFeeder feeder =
        need(BatchFeeder::create(*session, entry, data->train, rows, source.recipe->fit.class_weight));
    need(feeder.feed_range(0, rows));
    need(session->run(entry));  // binds them
    for (const uint32_t slot : program->entries()[entry].inputs)
      if (is_bound_by_caller(program->slots()[slot].kind))
        batch.slots[program->slots()[slot].name] = to_host(capture_slot(*session, slot));
    batch.source = std::to_string(rows) + (rows == 1 ? " sample" : " samples") + " of the training data";
  } else {
    const auto symbols = bind_symbols(*program, options.sizes);
    for (const SavedTensor& tensor : random_tensors(*program, program->entries()[entry].name, symbols,
                                                    options.changes.seed.value_or(0)))
      batch.slots[tensor.name] = to_host(tensor);
    batch.source = symbols.contains("batch") ? std::to_string(symbols.at("batch")) + " random samples" : "random data";
  }
  return batch;
}

/// Nodes on the way of floats that no gradient passes, as "'layer' (op)".
std::vector<std::string> blocking_nodes(const Graph& graph) {
  std::vector<std::string> found;
  const auto floats = [](const Graph& g, const std::vector<ValueId>& values) {
    return std::any_of(values.begin(), values.end(),
                       [&](ValueId value) { return value != no_value && is_float(g.type(value).dtype); });
  };
  const std::function<void(const Graph&)> visit = [&](const Graph& g) {
    for (const Node& node : g.nodes) {
      for (const Graph& body : node.bodies) visit(body);
      if (node.op->differentiable || !floats(g, node.inputs) || !floats(g, node.outputs)) continue;
      const std::string text = (node.origin.empty() ? "" : "'" + node.origin + "' ") + "(" + std::string(node.op->name) + ")";
      if (std::find(found.begin(), found.end(), text) == found.end()) found.push_back(text);
    }
  };
  visit(expand(graph));
  return found;
}

Row judge(const InputProbes& input, SlotKind kind, double tolerance) {
  Row row{.input = &input, .kinks = {}, .kind = kind};
  for (const GradientProbe& probe : input.probes) {
    if (is_kink(input, probe, tolerance)) {
      row.kinks.push_back(&probe);
      continue;
    }
    const double error = relative_error(input, probe);
    const bool wrong = is_wrong(input, probe, tolerance);
    if (row.worst && (wrong == row.wrong ? !(error > row.error) : row.wrong)) continue;
    row.worst = &probe;
    row.error = error;
    row.wrong = wrong;
  }
  return row;
}

std::string kink_text(const Row& row) {
  const GradientProbe& probe = *row.kinks.front();
  const std::string element = position_text(row.input->shape, probe.element);
  return "note: the loss has a kink at '" + row.input->name + "' " + element +
         (row.kinks.size() > 1 ? " and " + std::to_string(row.kinks.size() - 1) + " other elements" : "") +
         ": it rises by " + number_text(probe.below, 6) + " to its left and by " + number_text(probe.above, 6) +
         " to its right (as relu does at 0); the gradient is " + number_text(probe.gradient, 6);
}

void print_table(const std::vector<Row>& rows, const std::string& source, double loss) {
  std::printf("loss %.9g, on %s\n", loss, source.c_str());
  std::printf("  %-36s %-16s %9s %14s %14s  %s\n", "", "", "checked", "max |gradient|", "relative error", "where");
  for (const Row& row : rows)
    std::printf("  %-36s %-16s %4zu/%-7lld %11.3g %14.3g  %s\n", row.input->name.c_str(), sizes_text(row.input->shape).c_str(),
                row.input->probes.size(), static_cast<long long>(element_count(std::span<const int64_t>(row.input->shape))),
                row.input->largest_gradient, row.error,
                row.worst ? position_text(row.input->shape, row.worst->element).c_str() : "");
}

void write_probe(JsonWriter& json, const Row& row, const GradientProbe& probe) {
  json.begin_object();
  json.key("element").integer(static_cast<int64_t>(probe.element));
  json.key("position").text(position_text(row.input->shape, probe.element));
  json.key("value").number(probe.at);
  json.key("gradient").number(probe.gradient);
  json.key("difference").number(probe.difference());
  json.key("below").number(probe.below);
  json.key("above").number(probe.above);
  json.key("relative_error").number(relative_error(*row.input, probe));
  json.end_object();
}

std::string json_of(const std::vector<Row>& rows, const Options& options, const std::string& source, double loss) {
  JsonWriter json;
  json.begin_object();
  json.key("passed").boolean(std::none_of(rows.begin(), rows.end(), [](const Row& row) { return row.wrong; }));
  json.key("loss").number(loss);
  json.key("samples").text(source);
  json.key("tolerance").number(options.tolerance);
  json.key("tensors").begin_array();
  for (const Row& row : rows) {
    json.begin_object();
    json.key("name").text(row.input->name);
    json.key("kind").text(row.kind == SlotKind::parameter ? "parameter" : "input");
    json.key("shape").integers(row.input->shape);
    json.key("checked").integer(static_cast<int64_t>(row.input->probes.size()));
    json.key("largest_gradient").number(row.input->largest_gradient);
    json.key("relative_error").number(row.error);
    json.key("worst");
    if (row.worst)
      write_probe(json, row, *row.worst);
    else
      json.null();
    json.key("kinks").begin_array();
    for (const GradientProbe* probe : row.kinks) write_probe(json, row, *probe);
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.finish();
}

int run(const Options& options) {
  ModelSource source;
  if (options.changes.data.empty() && !options.changes.epochs) {
    source = open_model(options.model, options.changes.seed, options.recipe);
  } else {
    source = open_training(options.model, options.changes, options.recipe);
  }
  const PreparedModel prepared = prepare_model(source, true);
  Batch batch = make_batch(source, options, prepared);
  PipelineOptions pipeline;
  pipeline.training = prepared.trains ? &prepared.training : nullptr;
  pipeline.stop_after = "make_entries";
  const Module module = run_pipeline(source.model, pipeline).module;
  Graph graph = *module.find_entry(prepared.trains ? "train_step" : "predict");
  if (prepared.trains) std::erase_if(graph.results, [](const GraphResult& result) { return result.slot != "loss"; });

  for (const ParameterPath& path : all_parameters(source.model)) {
    const std::span<const std::byte> bytes = path.parameter->bytes();
    batch.slots[path.path] = to_host({path.path, path.parameter->dtype, path.parameter->shape, {bytes.begin(), bytes.end()}});
  }
  std::vector<HostTensor> inputs;
  std::vector<size_t> positions;
  for (const GraphInput& input : graph.inputs) {
    const Slot& slot = *module.find_slot(input.slot);
    const auto given = batch.slots.find(input.slot);
    if (given != batch.slots.end()) {
      inputs.push_back(given->second);
    } else {  // the program's own state at its beginning
      std::vector<int64_t> shape;
      for (const Dim& dim : slot.type.shape)
        shape.push_back(dim.evaluate([&](std::string_view name) -> int64_t {
          if (name != "batch") fail("'" + slot.name + "' has a shape that only a run tells: " + type_text(slot.type));
          return options.sizes.wanted_batch();
        }));
      inputs.push_back(make_tensor(slot.type.dtype, std::move(shape), slot.initial));
    }
    if ((slot.kind == SlotKind::parameter && slot.trainable) || slot.kind == SlotKind::input)
      positions.push_back(inputs.size() - 1);
  }
  if (!prepared.trains) append_weighted_loss(graph, inputs, options.changes.seed.value_or(0));
  const double loss = interpret_loss(graph, inputs);
  if (!std::isfinite(loss))
    fail("the loss is " + number_text(loss, 6) + " on " + batch.source + ", so it has no gradient\n  hint: moru compare " +
         options.model + " --nodes shows where numbers go wrong");

  const std::vector<InputProbes> probes = probe_gradients(
      graph, inputs,
      {.samples = options.samples, .seed = options.changes.seed.value_or(0), .tolerance = options.tolerance}, positions);
  std::vector<Row> rows;
  for (const InputProbes& input : probes)
    rows.push_back(judge(input, module.find_slot(input.name)->kind, options.tolerance));
  // Weights first, in the model's order, then what goes in.
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return a.kind == SlotKind::parameter && b.kind != SlotKind::parameter;
  });
  if (rows.empty()) fail("there is nothing to differentiate by: no trainable weight, and no input of floats");

  if (options.json)
    std::fputs(json_of(rows, options, batch.source, loss).c_str(), stdout);
  else
    print_table(rows, batch.source, loss);
  for (const Row& row : rows) {
    if (!row.kinks.empty()) std::fprintf(stderr, "%s\n", kink_text(row).c_str());
    if (row.input->largest_gradient == 0 && !row.wrong)
      std::fprintf(stderr, "note: the loss does not change with '%s' here: its gradient is zero everywhere\n",
                   row.input->name.c_str());
  }
  const auto worst = std::max_element(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return a.wrong != b.wrong ? b.wrong : a.error < b.error;
  });
  if (!worst->wrong) return 0;
  const GradientProbe& probe = *worst->worst;
  std::string message = "the gradient with respect to '" + worst->input->name + "' " +
                        position_text(worst->input->shape, probe.element) + " is " + number_text(probe.gradient, 6) +
                        ", but finite differences say " + number_text(probe.difference(), 6) + " (relative error " +
                        number_text(worst->error, 6) + ", more than " + number_text(options.tolerance, 6) + ")";
  std::string blocking;
  for (const std::string& node : blocking_nodes(graph)) blocking += (blocking.empty() ? "" : ", ") + node;
  if (!blocking.empty()) message += "\n  no gradient passes " + blocking;
  fail(message);
}

}  // namespace

void add_gradcheck(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("gradcheck", "Check the gradients of a model's loss against finite differences");
  command->footer(
      "Examples: moru gradcheck recipe.json                     # the recipe's loss, on its training data\n"
      "          moru gradcheck recipe.json --random --samples 4\n"
      "          moru gradcheck model.keras                     # without a loss: a weighted sum of the outputs\n"
      "Everything is computed in f64. Exits with 1 where a gradient is wrong by more than the tolerance.");
  command->add_option("MODEL", options->model, "A model, or a recipe, which adds the loss and the data")->required();
  command->add_option("--recipe", options->recipe, "A recipe for the model")->type_name("R.json");
  command->add_option("--data", options->changes.data, "The CSV to use instead of the recipe's")->type_name("F.csv");
  command->add_flag("--random", options->random, "Random samples instead of the recipe's data");
  add_open_sizes(*command, options->sizes, "Samples (default: 4)");
  command->add_option("--samples", options->samples, "Elements checked of each weight and input (default: 16)")
      ->check(CLI::Range(size_t{1}, size_t{1} << 20))
      ->type_name("N");
  command
      ->add_option("--tolerance", options->tolerance,
                   "How far apart gradient and difference may be, relative to the larger (default: 1e-5)")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("T");
  command->add_option("--seed", options->changes.seed, "Chooses the elements, random samples and weights the model lacks")
      ->type_name("S");
  command->add_flag("--json", options->json, "Print it as JSON");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
