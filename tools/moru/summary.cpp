// moru summary: what Keras' model.summary() shows.
#include "compiler/model/summary.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "compiler/codegen/profile.h"
#include "compiler/ir/work.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model;
  bool json = false, expand_nested = false, masks = false, cost = false;
  int64_t batch = 32;
};

/// What one run of an entry does, and the memory it takes for what lies between its inputs and its outputs.
struct EntryCost {
  std::string entry;
  double flops = 0, bytes_read = 0, bytes_written = 0;
  int64_t arena_bytes = 0;
};

/// Of a prediction, and of a training step where the model has a recipe; one thread, open dimensions of `batch`.
std::vector<EntryCost> list_costs(ModelSource& source, int64_t batch) {
  const PreparedModel prepared = prepare_model(source, true);
  PipelineOptions pipeline;
  pipeline.training = prepared.trains ? &prepared.training : nullptr;
  const Lowered lowered = run_pipeline(source.model, pipeline);
  std::map<std::string, int64_t, std::less<>> symbols;
  for (const std::string& symbol : lowered.kernels.symbols) symbols[symbol] = symbol == "workers" ? 1 : batch;
  const ProfilePlan plan = plan_profile(lowered.kernels);
  std::vector<EntryCost> list;
  for (size_t k = 0; k < lowered.kernels.kernels.size(); ++k) {
    const Kernel& kernel = lowered.kernels.kernels[k];
    if (kernel.entry != "predict" && kernel.entry != "train_step") continue;
    EntryCost cost{.entry = kernel.entry};
    for (const ProfileRegion& region : plan.regions) {
      if (region.kernel != &kernel) continue;
      const Work work = count_work(kernel, region.loops, region.statements, symbols);
      cost.flops += work.flops;
      cost.bytes_read += work.bytes_read;
      cost.bytes_written += work.bytes_written;
    }
    cost.arena_bytes = lowered.plans[k].total_bytes.evaluate([&](std::string_view name) { return symbols.find(name)->second; });
    list.push_back(std::move(cost));
  }
  return list;
}

std::string scaled(double value, const char* unit) {
  static constexpr const char* prefixes[] = {"", "K", "M", "G", "T"};
  size_t prefix = 0;
  for (; value >= 1000 && prefix + 1 < std::size(prefixes); ++prefix) value /= 1000;
  char text[48];
  std::snprintf(text, sizeof text, "%.3g %s%s", value, prefixes[prefix], unit);
  return text;
}

int run(const Options& options) {
  ModelSource source = open_drawn_model(options.model);
  std::string text =
      options.json ? summary_json(source.model) : summary_text(source.model, {.expand_nested = options.expand_nested, .masks = options.masks});
  if (!text.ends_with('\n')) text += '\n';
  if (options.cost) {
    const std::vector<EntryCost> costs = list_costs(source, options.batch);
    if (options.json) {
      nlohmann::ordered_json json = nlohmann::ordered_json::parse(text);
      json["cost"] = {{"batch", options.batch}, {"entries", nlohmann::ordered_json::array()}};
      for (const EntryCost& cost : costs)
        json["cost"]["entries"].push_back({{"entry", cost.entry},
                                           {"flops", cost.flops},
                                           {"bytes_read", cost.bytes_read},
                                           {"bytes_written", cost.bytes_written},
                                           {"arena_bytes", cost.arena_bytes}});
      text = json.dump(2) + "\n";
    } else {
      for (const EntryCost& cost : costs)
        text += " " + cost.entry + ", batch " + std::to_string(options.batch) + ": " + scaled(cost.flops, "FLOP") + ", reads " +
                scaled(cost.bytes_read, "B") + ", writes " + scaled(cost.bytes_written, "B") + ", arena " +
                scaled(static_cast<double>(cost.arena_bytes), "B") + "\n";
    }
  }
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace

void add_summary(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("summary", "Show a model's layers, shapes, weights and connections");
  command->footer("Examples: moru summary model.json --expand-nested\n          moru summary recipe.json --cost --batch 64");
  command->add_option("MODEL", options->model, "A .moru, .so or Keras JSON file, or a recipe")->required();
  command->add_flag("--json", options->json, "Print it as JSON");
  command->add_flag("--expand-nested", options->expand_nested, "List the layers of nested models too");
  command->add_flag("--masks", options->masks, "Show which layers make, use, pass and end masks");
  command->add_flag("--cost", options->cost,
                    "Count arithmetic, memory traffic and the memory of a prediction and, of a recipe, of a training step");
  command->add_option("--batch", options->batch, "Samples to count for (default: 32)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->type_name("N");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
