#include "tools/report/program_drawing.h"

#include <algorithm>
#include <map>
#include <set>

#include "compiler/codegen/profile.h"
#include "compiler/ir/accesses.h"
#include "compiler/ir/scan_view.h"
#include "compiler/ir/work.h"
#include "compiler/ops/op.h"

namespace moru {
namespace {

/// Draws a graph and its bodies; a value is known by the box that gives it, "" where none is drawn.
class GraphDrawer {
 public:
  std::vector<std::string> draw(const Graph& graph, const std::vector<std::string>& given, bool is_entry, DotGraph& out,
                                std::vector<DotEdge>& edges) {
    std::vector<std::string> source(graph.types.size());
    for (size_t i = 0; i < graph.inputs.size(); ++i) {
      const GraphInput& input = graph.inputs[i];
      source[input.value] = is_entry ? box(out, input.slot, {type_text(graph.type(input.value))}, "input")
                                     : (i < given.size() ? given[i] : "");
    }
    for (const Node& node : graph.nodes) {
      if (node.op->name == "constant") continue;
      if (!node.bodies.empty()) {
        draw_loop(node, source, out, edges);
        continue;
      }
      std::vector<std::string> lines;
      if (!node.origin.empty()) lines.push_back(node.origin);
      if (node.attributes.has("spec")) lines.push_back(node.attributes.string("spec"));
      if (!node.outputs.empty()) lines.push_back(type_text(graph.type(node.outputs.front())));
      const std::string id =
          box(out, std::string(node.op->name), lines, node.op->name == "contract" ? "contract" : "layer");
      for (const ValueId value : node.outputs) source[value] = id;
      connect(node.inputs, source, id, edges);
    }
    std::vector<std::string> results;
    for (const GraphResult& result : graph.results) {
      results.push_back(result.value == no_value ? "" : source[result.value]);
      if (!is_entry) continue;
      const bool replaces = std::any_of(graph.inputs.begin(), graph.inputs.end(),
                                        [&](const GraphInput& input) { return input.slot == result.slot; });
      const std::string id = box(out, result.slot, {replaces ? "new value" : "result"}, replaces ? "state" : "output");
      connect({result.value}, source, id, edges);
    }
    return results;
  }

 private:
  std::string box(DotGraph& out, const std::string& title, std::vector<std::string> lines, const std::string& style) {
    const std::string id = "n" + std::to_string(number_++);
    out.nodes.push_back({id, title, std::move(lines), style});
    return id;
  }

  static void connect(const std::vector<ValueId>& values, const std::vector<std::string>& source, const std::string& to,
                      std::vector<DotEdge>& edges) {
    std::set<std::string> known;
    for (const ValueId value : values)
      if (value != no_value && !source[value].empty() && known.insert(source[value]).second)
        edges.push_back({source[value], to, ""});
  }

  void draw_loop(const Node& node, std::vector<std::string>& source, DotGraph& out, std::vector<DotEdge>& edges) {
    const Graph& body = node.bodies.front();
    DotGraph frame;
    frame.name = std::string(node.op->name) + (node.origin.empty() ? "" : " of " + node.origin);
    size_t carries = 0;
    if (node.op->name == "scan") {
      const ScanView scan(node);
      carries = scan.carries;
      if (scan.reverse) frame.name += ", backwards";
    } else if (node.attributes.has("chunk")) {
      frame.name += ", " + std::to_string(node.attributes.integer("chunk")) + " rows at a time";
    }
    std::vector<std::string> given;
    for (size_t i = 0; i < body.inputs.size(); ++i) {
      const bool outside = i < node.inputs.size() && node.inputs[i] != no_value;
      std::string from = outside ? source[node.inputs[i]] : "";
      if (i < carries) {
        const std::string id = box(frame, "carry", {type_text(body.type(body.inputs[i].value))}, "state");
        if (!from.empty()) edges.push_back({from, id, ""});
        from = id;
      }
      given.push_back(from);
    }
    const std::vector<std::string> results = draw(body, given, false, frame, edges);
    for (size_t i = 0; i < node.outputs.size(); ++i) source[node.outputs[i]] = i < results.size() ? results[i] : "";
    out.frames.push_back(std::move(frame));
  }

  int number_ = 0;
};

const Statement* find_loop(const Block& block, const For* loop) {
  for (const Statement& statement : block) {
    const For* here = std::get_if<For>(&statement.node);
    if (here == nullptr) continue;
    if (here == loop) return &statement;
    if (const Statement* found = find_loop(here->body, loop)) return found;
  }
  return nullptr;
}

}  // namespace

DotGraph draw_graph(const Graph& graph) {
  DotGraph out;
  out.name = graph.name;
  std::vector<DotEdge> edges;
  GraphDrawer().draw(graph, {}, true, out, edges);
  out.edges = std::move(edges);
  return out;
}

DotGraph draw_kernel(const KernelModule& module, const Kernel& kernel) {
  DotGraph out;
  out.name = kernel.entry;
  std::map<std::string, int64_t, std::less<>> sizes;
  for (const std::string& symbol : module.symbols) sizes[symbol] = symbol == "workers" ? 1 : 32;
  std::map<BufferId, std::string> writer;
  std::set<std::pair<std::string, std::string>> drawn;
  const auto connect = [&](const std::string& from, const std::string& to) {
    if (from != to && drawn.insert({from, to}).second) out.edges.push_back({from, to, ""});
  };
  int number = 0;
  for (const ProfileRegion& region : plan_profile(module).regions) {
    if (region.kernel != &kernel) continue;
    // Frames in frames: each loop of the nest around the region, opened once for neighbours in it.
    DotGraph* frame = &out;
    for (const For* loop : region.loops) {
      const Statement* statement = find_loop(kernel.body, loop);
      std::string name = (statement == nullptr || statement->origin.empty() ? "loop" : statement->origin) + ": " +
                         loop->var + " < " + loop->extent.text();
      if (loop->kind == ForKind::parallel) name += ", parallel";
      const auto same = std::find_if(frame->frames.begin(), frame->frames.end(),
                                     [&](const DotGraph& one) { return one.name == name; });
      if (same == frame->frames.end()) {
        frame->frames.push_back({name, {}, {}, {}});
        frame = &frame->frames.back();
      } else {
        frame = &*same;
      }
    }
    const std::string id = "k" + std::to_string(number++);
    DotNode node{id, describe_statement(region.loops, region.statements.front(), sizes), {}, "layer"};
    if (std::holds_alternative<Contraction>(region.statements.front().node)) node.style = "contract";
    const std::vector<std::string> origins = list_origins(region.statements);
    constexpr size_t most = 6;
    for (size_t i = 0; i < std::min(origins.size(), most); ++i) node.lines.push_back(origins[i]);
    if (origins.size() > most) node.lines.push_back("and " + std::to_string(origins.size() - most) + " more");
    if (region.statements.size() > 1)
      node.lines.push_back(std::to_string(region.statements.size()) + " statements together");
    frame->nodes.push_back(std::move(node));
    std::set<BufferId> reads, writes;
    for (const Statement& statement : region.statements) {
      AccessVisitor visit([&](const Access& access, AccessKind kind) {
        if (kind != AccessKind::write) reads.insert(access.buffer);
        if (kind != AccessKind::read) writes.insert(access.buffer);
      });
      visit(statement);
    }
    for (const BufferId buffer : reads)
      if (const auto from = writer.find(buffer); from != writer.end()) connect(from->second, id);
    for (const BufferId buffer : writes) writer[buffer] = id;
  }
  return out;
}

}  // namespace moru
