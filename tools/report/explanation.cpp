#include "tools/report/explanation.h"

#include <algorithm>
#include <set>

#include "compiler/codegen/profile.h"
#include "compiler/ir/scan_view.h"
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
    bool over_time = false;
    if (name == "scan") {
      const ScanView scan(node);
      over_time = scan.over.empty();
      if (over_time) {
        ++census.loops;
        census.recomputing += scan.recompute;
        census.stacked += static_cast<int64_t>(scan.stacks);
      } else {
        census.attention.insert(node.origin);
      }
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

/// Of those that are no loops.
int64_t count_statements(std::span<const Statement> statements) {
  int64_t count = 0;
  for (const Statement& statement : statements) {
    const For* loop = std::get_if<For>(&statement.node);
    count += loop != nullptr ? count_statements(loop->body) : 1;
  }
  return count;
}

KernelCensus kernel_census(const KernelModule& module, const std::string& entry) {
  KernelCensus census;
  for (const ProfileRegion& region : plan_profile(module).regions) {
    if (region.kernel->entry != entry) continue;
    bool contracts = false;
    for (const Statement& statement : region.statements) {
      if (const Contraction* contraction = std::get_if<Contraction>(&statement.node)) {
        contracts = true;
        ++census.contractions;
        if (!is_only_a_sum(*contraction)) ++census.with_epilogue;
      }
      if (std::holds_alternative<Transpose>(statement.node)) ++census.transposes;
    }
    if (contracts) continue;
    ++census.nests;
    const int64_t stores = count_statements(region.statements);
    if (stores < 2) continue;
    ++census.fused_nests;
    std::vector<std::string> origins = list_origins(region.statements);
    std::sort(origins.begin(), origins.end());
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

/// The entry before and behind each pass that changed something, and as it was at last.
class Steps {
 public:
  using Step = std::pair<Census, Census>;

  Steps(const std::vector<Snapshot>& snapshots, const std::string& entry) {
    for (const Snapshot& snapshot : snapshots) {
      const Census next = census_of(parse_module(snapshot.text), entry);
      steps_[snapshot.pass] = {last_, next};
      last_ = next;
    }
  }
  const Census& last() const { return last_; }
  const Step* find(const char* pass) const {
    const auto found = steps_.find(pass);
    return found == steps_.end() ? nullptr : &found->second;
  }
  int64_t removed_by(std::initializer_list<const char*> passes) const {
    int64_t sum = 0;
    for (const char* pass : passes)
      if (const Step* step = find(pass)) sum += step->first.nodes - step->second.nodes;
    return sum;
  }

 private:
  std::map<std::string, Step> steps_;
  Census last_;
};

Fact expanded_fact(const Steps::Step& expand) {
  return {"expanded",
          format("%lld operations as drawn became %lld primitive ones, %lld of them contractions.",
                 static_cast<long long>(expand.first.nodes), static_cast<long long>(expand.second.nodes),
                 static_cast<long long>(expand.second.contractions)),
          {},
          {{"before", expand.first.nodes}, {"after", expand.second.nodes}}};
}

Fact differentiated_fact(const Steps::Step& differentiate, const Steps::Step* update) {
  const int64_t gradients = differentiate.second.nodes - differentiate.first.nodes;
  const int64_t added = update == nullptr ? 0 : update->second.nodes - update->first.nodes;
  return {"differentiated",
          "Gradients added " + count_text(gradients, "operation") + ", the optimizer " + std::to_string(added) + " more.",
          {},
          {{"gradients", gradients}, {"update", added}}};
}

Fact shared_fact(const Steps& steps) {
  const int64_t shared = steps.removed_by({"share_common", "share_common_2"}),
                dead = steps.removed_by({"drop_dead", "drop_dead_2", "drop_dead_3"}),
                simplified = steps.removed_by({"fold_constants", "fold_constants_2", "simplify", "simplify_2"});
  return {"shared",
          count_text(shared, "operation") + (shared == 1 ? " that was" : " that were") + " computed twice " +
              (shared == 1 ? "is" : "are") + " computed once; " + std::to_string(simplified) + " were folded or cancelled, " +
              std::to_string(dead) + " were read by nobody.",
          {},
          {{"shared", shared}, {"simplified", simplified}, {"dead", dead}}};
}

/// Of the pass that moves contractions out of loops, to a place `where` the loop.
Fact moved_fact(const Steps::Step* step, const char* topic, const std::string& where) {
  const int64_t before = step == nullptr ? 0 : sum_of(step->first.contractions_in_loops);
  const int64_t left = step == nullptr ? 0 : before - sum_of(step->second.contractions_in_loops);
  return {topic,
          left > 0 ? std::to_string(left) + " of " + count_text(before, "contraction") +
                         " left the loops over time and became one each, over all times, " + where + " the loop."
                   : "No contraction could leave a loop over time " + where + " it.",
          step == nullptr ? std::vector<std::string>() : left_the_loop(step->first, step->second),
          {{"before", before}, {"moved", left}}};
}

Fact kept_fact(const Census& now) {
  return {"kept",
          format("%s over time keep%s %lld values for every time step; what the backward loops need besides is computed "
                 "again.",
                 count_text(now.loops, "loop").c_str(), now.loops == 1 ? "s" : "", static_cast<long long>(now.stacked)),
          {},
          {{"loops", now.loops}, {"stacked", now.stacked}}};
}

Fact recomputed_fact(const Census& now) {
  return {"recomputed",
          now.recomputing > 0 ? count_text(now.recomputing, "loop") + (now.recomputing == 1 ? " runs" : " run") +
                                    " segments of time again instead of keeping them."
                              : "No segment of time is run again: no memory budget asks for it.",
          {},
          {{"loops", now.recomputing}}};
}

Fact blocked_fact(const Census& now) {
  const auto count = static_cast<int64_t>(now.attention.size());
  return {"blocked",
          "Attention of " + count_text(count, "layer") +
              " runs head by head and, where the sequence is long, by blocks of queries: its scores are never stored whole.",
          {now.attention.begin(), now.attention.end()},
          {{"layers", count}}};
}

Fact fused_fact(const Census& now, const KernelCensus& kernels) {
  std::vector<std::string> largest;
  for (size_t i = 0; i < std::min<size_t>(kernels.largest.size(), 8); ++i) largest.push_back(kernels.largest[i].second);
  return {"fused",
          count_text(now.nodes, "operation") + " became " + count_text(kernels.contractions, "contraction") + " (" +
              std::to_string(kernels.with_epilogue) + " with what comes before or behind them inside), " +
              count_text(kernels.nests, "loop nest") + " (" + std::to_string(kernels.fused_nests) +
              " of several statements) and " + count_text(kernels.transposes, "transposition") + ".",
          std::move(largest),
          {{"operations", now.nodes},
           {"contractions", kernels.contractions},
           {"with_epilogue", kernels.with_epilogue},
           {"loop_nests", kernels.nests},
           {"fused_nests", kernels.fused_nests},
           {"transposes", kernels.transposes}}};
}

Fact reused_fact(const MemoryPlan& plan, int64_t in_place, const Sizes& sizes) {
  int64_t unshared = 0;
  for (const BufferPlace& place : plan.places) unshared += size_at(place.bytes, sizes);
  const int64_t total = size_at(plan.total_bytes, sizes);
  return {"reused",
          count_text(static_cast<int64_t>(plan.places.size()), "buffer") + " of together " +
              bytes_text(static_cast<double>(unshared)) + " share " + bytes_text(static_cast<double>(total)) + "; " +
              count_text(in_place, "slot") + " (weights, state) " + (in_place == 1 ? "is" : "are") + " replaced in place.",
          {},
          {{"buffers", plan.places.size()}, {"unshared_bytes", unshared}, {"arena_bytes", total}, {"in_place", in_place}}};
}

}  // namespace

std::vector<Fact> explain_program(const std::vector<Snapshot>& snapshots, const Lowered& lowered,
                                  const std::string& entry, const Sizes& sizes) {
  std::vector<Fact> facts;
  const Steps steps(snapshots, entry);
  const Census& now = steps.last();
  if (const Steps::Step* expand = steps.find("expand")) facts.push_back(expanded_fact(*expand));
  if (const Steps::Step* step = steps.find("differentiate"); step != nullptr && step->second.nodes > step->first.nodes)
    facts.push_back(differentiated_fact(*step, steps.find("add_update")));
  facts.push_back(shared_fact(steps));
  if (now.loops > 0) {
    facts.push_back(moved_fact(steps.find("hoist_scan"), "hoisted", "ahead of"));
    facts.push_back(moved_fact(steps.find("sink_scan"), "sunk", "behind"));
    facts.push_back(kept_fact(now));
    facts.push_back(recomputed_fact(now));
  }
  if (!now.attention.empty()) facts.push_back(blocked_fact(now));
  if (!now.tiles.empty())
    facts.push_back({"tiled",
                     "The batch is worked through in chunks, so that a chunk's results stay in the cache.",
                     now.tiles,
                     {{"tiles", now.tiles.size()}}});
  facts.push_back(fused_fact(now, kernel_census(lowered.kernels, entry)));
  for (size_t i = 0; i < lowered.plans.size(); ++i)
    if (lowered.kernels.kernels[i].entry == entry)
      facts.push_back(reused_fact(lowered.plans[i], slots_in_place(lowered.module, entry), sizes));
  return facts;
}

}  // namespace moru
