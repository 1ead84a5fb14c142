#include "tools/report/explanation.h"

#include <algorithm>
#include <set>

#include "compiler/codegen/profile.h"
#include "compiler/ops/op.h"
#include "runtime/data/wording.h"
#include "tools/report/report_text.h"

namespace moru {
namespace {

/// "1 contraction", "3 contractions".
std::string count_text(int64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string bytes_text(double bytes) {
  if (bytes < 1024) return format("%.0f bytes", bytes);
  if (bytes < 1024 * 1024) return format("%.1f KiB", bytes / 1024);
  return format("%.2f MiB", bytes / 1024 / 1024);
}

struct Census {
  int64_t nodes = 0;                                     // those of bodies included, constants not
  std::map<std::string, int64_t> contractions_in_loops;  // of scans' bodies, by the user's node
  int64_t contractions = 0;
  int64_t loops = 0, recomputing = 0;  // scans
  int64_t stacked = 0;                 // results that scans keep for every time
  std::vector<std::string> tiles;
  std::set<std::string> attention;  // the users' nodes whose attention runs by blocks
};

void take_census(const Graph& graph, bool in_scan, Census& census) {
  for (const Node& node : graph.nodes) {
    const std::string_view name = node.op->name;
    if (name == "constant") continue;
    ++census.nodes;
    if (name == "contract") {
      ++census.contractions;
      if (in_scan) ++census.contractions_in_loops[node.origin];
    }
    const bool over_time = name == "scan" && !node.attributes.has("over");
    if (name == "scan" && !over_time) census.attention.insert(node.origin);
    if (over_time) {
      ++census.loops;
      if (node.attributes.has("recompute") && node.attributes.boolean("recompute")) ++census.recomputing;
      census.stacked += static_cast<int64_t>(node.outputs.size()) - node.attributes.integer("carries");
    }
    if (name == "tile") {
      Census inside;
      for (const Graph& body : node.bodies) take_census(body, false, inside);
      census.tiles.push_back(format("chunks of %lld rows: %lld operations, %lld sums over chunks in at most %lld parts",
                                    static_cast<long long>(node.attributes.integer("chunk")),
                                    static_cast<long long>(inside.nodes),
                                    static_cast<long long>(node.attributes.integer("sums")),
                                    static_cast<long long>(node.attributes.integer("partitions"))));
    }
    for (const Graph& body : node.bodies) take_census(body, in_scan || over_time, census);
  }
}

Census census_of(const Module& module, const std::string& entry) {
  Census census;
  if (const Graph* graph = module.find_entry(entry)) take_census(*graph, false, census);
  return census;
}

int64_t sum_of(const std::map<std::string, int64_t>& counts) {
  int64_t sum = 0;
  for (const auto& [name, count] : counts) sum += count;
  return sum;
}

/// By layer, what is no longer in a loop.
std::vector<std::string> left_the_loop(const Census& before, const Census& after) {
  std::vector<std::string> lines;
  for (const auto& [origin, count] : before.contractions_in_loops) {
    const auto now = after.contractions_in_loops.find(origin);
    const int64_t rest = now == after.contractions_in_loops.end() ? 0 : now->second;
    if (rest < count)
      lines.push_back(origin + ": " + count_text(count - rest, "contraction") + " of " + std::to_string(count) +
                      " left the loop, " + std::to_string(rest) + " stayed");
  }
  return lines;
}

bool is_only_a_sum(const Contraction& contraction) {
  return contraction.epilogue.size() == 1 && contraction.epilogue.front().value->op == ExprOp::accumulator &&
         contraction.init == nullptr;
}

struct KernelCensus {
  int64_t contractions = 0, with_epilogue = 0, nests = 0, fused_nests = 0, transposes = 0;
  std::vector<std::pair<size_t, std::string>> largest;  // layers in one nest, and its text
};

void add_origins(const Statement& statement, std::set<std::string>& names, int64_t& stores) {
  if (!statement.origin.empty()) names.insert(statement.origin);
  if (const For* loop = std::get_if<For>(&statement.node)) {
    for (const Statement& inner : loop->body) add_origins(inner, names, stores);
  } else {
    ++stores;
  }
}

KernelCensus kernel_census(const KernelModule& module, const std::string& entry) {
  KernelCensus census;
  for (const ProfileRegion& region : plan_profile(module).regions) {
    if (region.kernel->entry != entry) continue;
    std::set<std::string> origins;
    int64_t stores = 0;
    bool contracts = false;
    for (const Statement& statement : region.statements) {
      add_origins(statement, origins, stores);
      if (const Contraction* contraction = std::get_if<Contraction>(&statement.node)) {
        contracts = true;
        ++census.contractions;
        if (!is_only_a_sum(*contraction)) ++census.with_epilogue;
      }
      if (std::holds_alternative<Transpose>(statement.node)) ++census.transposes;
    }
    if (contracts) continue;
    ++census.nests;
    if (stores < 2) continue;
    ++census.fused_nests;
    std::string names;
    for (const std::string& origin : origins) names += (names.empty() ? "" : ", ") + origin;
    census.largest.emplace_back(static_cast<size_t>(stores),
                                count_text(stores, "statement") + " in one loop nest: " + shortened(names, 90));
  }
  std::stable_sort(census.largest.begin(), census.largest.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  return census;
}

/// Slots that the entry reads and writes: parameters and state that are replaced where they lie.
int64_t slots_in_place(const Module& module, const std::string& entry) {
  const Graph* graph = module.find_entry(entry);
  if (graph == nullptr) return 0;
  std::set<std::string> reads;
  for (const GraphInput& input : graph->inputs) reads.insert(input.slot);
  return std::count_if(graph->results.begin(), graph->results.end(),
                       [&](const GraphResult& result) { return reads.contains(result.slot); });
}

}  // namespace

std::vector<Fact> explain_program(const std::vector<Snapshot>& snapshots, const Lowered& lowered,
                                  const std::string& entry,
                                  const std::map<std::string, int64_t, std::less<>>& symbols) {
  std::vector<Fact> facts;
  // A pass that changed nothing has no snapshot.
  Census now;
  std::map<std::string, std::pair<Census, Census>> steps;
  for (const Snapshot& snapshot : snapshots) {
    const Census next = census_of(parse_module(snapshot.text), entry);
    steps[snapshot.pass] = {now, next};
    now = next;
  }
  const auto change = [&](const char* pass) -> const std::pair<Census, Census>* {
    const auto found = steps.find(pass);
    return found == steps.end() ? nullptr : &found->second;
  };
  if (const auto* expand = change("expand"))
    facts.push_back({"expanded",
                     format("%lld operations as drawn became %lld primitive ones, %lld of them contractions.",
                            static_cast<long long>(expand->first.nodes), static_cast<long long>(expand->second.nodes),
                            static_cast<long long>(expand->second.contractions)),
                     {},
                     {{"before", expand->first.nodes}, {"after", expand->second.nodes}}});
  if (const auto* differentiate = change("differentiate");
      differentiate != nullptr && differentiate->second.nodes > differentiate->first.nodes) {
    const auto* update = change("add_update");
    const int64_t gradients = differentiate->second.nodes - differentiate->first.nodes;
    const int64_t added = update == nullptr ? 0 : update->second.nodes - update->first.nodes;
    facts.push_back({"differentiated",
                     "Gradients added " + count_text(gradients, "operation") + ", the optimizer " +
                         std::to_string(added) + " more.",
                     {},
                     {{"gradients", gradients}, {"update", added}}});
  }
  const auto removed_by = [&](std::initializer_list<const char*> passes) {
    int64_t sum = 0;
    for (const char* pass : passes)
      if (const auto* step = change(pass)) sum += step->first.nodes - step->second.nodes;
    return sum;
  };
  const int64_t shared = removed_by({"share_common", "share_common_2"}),
                dead = removed_by({"drop_dead", "drop_dead_2", "drop_dead_3"}),
                simplified = removed_by({"fold_constants", "fold_constants_2", "simplify", "simplify_2"});
  facts.push_back({"shared",
                   count_text(shared, "operation") + (shared == 1 ? " that was" : " that were") + " computed twice " + (shared == 1 ? "is" : "are") + " computed once; " +
                       std::to_string(simplified) + " were folded or cancelled, " + std::to_string(dead) +
                       " were read by nobody.",
                   {},
                   {{"shared", shared}, {"simplified", simplified}, {"dead", dead}}});
  const auto moved = [&](const char* pass, const char* topic, const char* where) {
    const auto* step = change(pass);
    const int64_t before = step == nullptr ? 0 : sum_of(step->first.contractions_in_loops);
    const int64_t left = step == nullptr ? 0 : before - sum_of(step->second.contractions_in_loops);
    if (now.loops == 0) return;
    std::vector<std::string> details;
    if (step != nullptr) details = left_the_loop(step->first, step->second);
    facts.push_back({topic,
                     left > 0 ? std::to_string(left) + " of " + count_text(before, "contraction") +
                                    " left the loops over time and became one each, over all times, " + where + " the loop."
                              : std::string("No contraction could leave a loop over time ") + where + " it.",
                     std::move(details),
                     {{"before", before}, {"moved", left}}});
  };
  moved("hoist_scan", "hoisted", "ahead of");
  moved("sink_scan", "sunk", "behind");
  if (now.loops > 0) {
    facts.push_back({"kept",
                     format("%s over time keep%s %lld values for every time step; what the backward loops need "
                            "besides is computed again.",
                            count_text(now.loops, "loop").c_str(), now.loops == 1 ? "s" : "",
                            static_cast<long long>(now.stacked)),
                     {},
                     {{"loops", now.loops}, {"stacked", now.stacked}}});
    facts.push_back({"recomputed",
                     now.recomputing > 0
                         ? count_text(now.recomputing, "loop") + (now.recomputing == 1 ? " runs" : " run") + " segments of time again instead of keeping them."
                         : std::string("No segment of time is run again: no memory budget asks for it."),
                     {},
                     {{"loops", now.recomputing}}});
  }
  if (!now.attention.empty()) {
    const auto count = static_cast<int64_t>(now.attention.size());
    facts.push_back({"blocked",
                     "Attention of " + count_text(count, "layer") + " runs head by head and, where the sequence is long, by blocks of queries: its "
                         "scores are never stored whole.",
                     {now.attention.begin(), now.attention.end()},
                     {{"layers", count}}});
  }
  if (!now.tiles.empty())
    facts.push_back({"tiled",
                     "The batch is worked through in chunks, so that a chunk's results stay in the cache.",
                     now.tiles,
                     {{"tiles", now.tiles.size()}}});

  const KernelCensus kernels = kernel_census(lowered.kernels, entry);
  std::vector<std::string> largest;
  for (size_t i = 0; i < std::min<size_t>(kernels.largest.size(), 8); ++i) largest.push_back(kernels.largest[i].second);
  facts.push_back({"fused",
                   count_text(now.nodes, "operation") + " became " + count_text(kernels.contractions, "contraction") +
                       " (" + std::to_string(kernels.with_epilogue) +
                       " with what comes before or behind them inside), " + count_text(kernels.nests, "loop nest") +
                       " (" + std::to_string(kernels.fused_nests) + " of several statements) and " +
                       count_text(kernels.transposes, "transposition") + ".",
                   std::move(largest),
                   {{"operations", now.nodes},
                    {"contractions", kernels.contractions},
                    {"with_epilogue", kernels.with_epilogue},
                    {"loop_nests", kernels.nests},
                    {"fused_nests", kernels.fused_nests},
                    {"transposes", kernels.transposes}}});

  const auto value_of = [&](std::string_view symbol) {
    const auto found = symbols.find(symbol);
    return found == symbols.end() ? int64_t{1} : found->second;
  };
  for (size_t i = 0; i < lowered.plans.size(); ++i) {
    if (lowered.kernels.kernels[i].entry != entry) continue;
    int64_t unshared = 0;
    for (const BufferPlace& place : lowered.plans[i].places) unshared += place.bytes.evaluate(value_of);
    const int64_t total = lowered.plans[i].total_bytes.evaluate(value_of);
    const int64_t in_place = slots_in_place(lowered.module, entry);
    facts.push_back({"reused",
                     count_text(static_cast<int64_t>(lowered.plans[i].places.size()), "buffer") + " of together " +
                         bytes_text(static_cast<double>(unshared)) + " share " +
                         bytes_text(static_cast<double>(total)) + "; " + count_text(in_place, "slot") +
                         " (weights, state) " + (in_place == 1 ? "is" : "are") + " replaced in place.",
                     {},
                     {{"buffers", lowered.plans[i].places.size()},
                      {"unshared_bytes", unshared},
                      {"arena_bytes", total},
                      {"in_place", in_place}}});
  }
  return facts;
}

}  // namespace moru
