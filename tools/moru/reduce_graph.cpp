#include "tools/moru/reduce_graph.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>

#include "compiler/codegen/emit.h"
#include "compiler/interpret/reference.h"
#include "compiler/passes/drop_dead.h"
#include "compiler/passes/rewrite.h"
#include "compiler/pipeline.h"
#include "compiler/support/error.h"
#include "tools/moru/arrays.h"
#include "tools/moru/commands.h"
#include "tools/moru/interpreted_program.h"

namespace moru::cli {
namespace {

/// A message without what changes while a graph shrinks: names, numbers, shapes.
std::string cause_of(const std::string& message) {
  std::string cause;
  char closing = 0;
  for (const char c : message.substr(0, message.find('\n'))) {
    if (closing) {
      if (c == closing) closing = 0;
    } else if (c == '\'' || c == '"' || c == '[' || c == '(') {
      closing = c == '[' ? ']' : c == '(' ? ')' : c;
    } else if (!std::isdigit(static_cast<unsigned char>(c))) {
      cause += c;
    }
  }
  return cause;
}

HostTensor value_of(const Slot& slot, const std::vector<int64_t>& shape) {
  HostTensor tensor = make_tensor(slot.type.dtype, shape, slot.initial);
  if (!is_bound_by_caller(slot.kind) && slot.kind != SlotKind::parameter) return tensor;
  std::seed_seq seed(slot.name.begin(), slot.name.end());
  std::mt19937_64 random(seed);
  const double low = slot.kind == SlotKind::target      ? 0.0
                     : slot.kind == SlotKind::parameter && !slot.trainable ? 0.5
                                                                           : -1.0;
  const double range = slot.kind == SlotKind::target || low > 0 ? 1.0 : 2.0;
  const auto limit = static_cast<uint64_t>(slot.index_limit > 0 ? slot.index_limit : 3);
  for (double& value : tensor.data) {
    const uint64_t word = random();
    if (slot.kind == SlotKind::sample_weight)
      value = 1.0;
    else if (slot.type.dtype == DType::boolean)
      value = static_cast<double>(word % 2);
    else if (is_float(slot.type.dtype))
      value = low + range * static_cast<double>(word >> 11) * 0x1p-53;
    else
      value = static_cast<double>(word % limit);
  }
  round_to_dtype(tensor);
  return tensor;
}

GraphFailure differ(const std::string& kind, const std::string& slot, const std::string& what, size_t element, double got,
                    double wanted) {
  char text[200];
  std::snprintf(text, sizeof text, "'%s' element %zu is %.9g by the %s", slot.c_str(), element, got, what.c_str());
  char other[80];
  std::snprintf(other, sizeof other, ", but %.9g by the %s", wanted, kind == "kernels" ? "reference" : "kernels");
  return {kind, std::string(text) + other};
}

GraphFailure run_all_ways(const Module& module, const FailureOptions& options) {
  const std::string& entry = module.entries.at(0).name;
  Lowered lowered;
  std::unique_ptr<JitCode> code;
  std::map<std::string, HostTensor> slots;
  try {
    PipelineOptions pipeline;
    pipeline.disable = options.disable;
    lowered = run_pipeline(module, pipeline);
    EmitOptions emit;
    emit.threads = 1;  // of a process that has only this one
    code = jit_compile(lowered.kernels, Target::host(), emit);
  } catch (const std::exception& error) {
    return {"error: " + cause_of(error.what()), error.what()};
  }
  try {
    const auto extent = [&](const Dim& dim) { return dim.evaluate([&](std::string_view) { return options.size; }); };
    for (const Slot& slot : module.slots) {
      std::vector<int64_t> shape;
      for (const Dim& dim : slot.type.shape) shape.push_back(extent(dim));
      slots[slot.name] = value_of(slot, shape);
    }
    Model none;
    InterpretedProgram kernels(lowered, none), native(lowered, none);
    native.use(*code);
    for (const auto& [name, tensor] : slots) {
      const Slot& slot = *module.find_slot(name);
      if (!is_bound_by_caller(slot.kind) && slot.kind != SlotKind::parameter) continue;
      kernels.set(from_host(name, tensor));
      native.set(from_host(name, tensor));
    }
    interpret_entry(module, entry, slots);
    kernels.run(entry);
    native.run(entry);
    GraphFailure found;
    for (const GraphResult& result : module.entries[0].results) {
      const std::vector<double>& wanted = slots.at(result.slot).data;
      const SavedTensor by_kernels = kernels.get(result.slot), by_native = native.get(result.slot);
      const std::vector<double> interpreted = to_doubles(by_kernels), run = to_doubles(by_native);
      double scale = 1;
      for (double value : wanted)
        if (std::isfinite(value)) scale = std::max(scale, std::fabs(value));
      const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
      for (size_t i = 0; i < wanted.size(); ++i) {
        if (!same(interpreted[i], wanted[i]) && !(std::fabs(interpreted[i] - wanted[i]) <= options.tolerance * scale))
          return differ("kernels", result.slot, "kernels", i, interpreted[i], wanted[i]);
        if (!same(run[i], interpreted[i])) return differ("native", result.slot, "native code", i, run[i], interpreted[i]);
        if (!std::isfinite(wanted[i]) && !found)
          found = {"nan", "'" + result.slot + "' element " + std::to_string(i) + " is " + std::to_string(wanted[i])};
      }
    }
    return found;
  } catch (const Failure& failure) {
    return {"run: " + cause_of(failure.status.message()), failure.status.message()};
  } catch (const std::exception& error) {
    return {"run: " + cause_of(error.what()), error.what()};
  }
}

}  // namespace

GraphFailure find_failure(const Module& module, const FailureOptions& options) {
  int ends[2];
  if (::pipe(ends) != 0) fail("cannot start a process: " + std::string(std::strerror(errno)));
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) fail("cannot start a process: " + std::string(std::strerror(errno)));
  if (child == 0) {
    ::close(ends[0]);
    // A crash is to end this process, whatever the parent does about its own.
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM}) ::signal(signal, SIG_DFL);
    std::string answer;
    const GraphFailure failure = run_all_ways(module, options);
    answer = failure.kind + '\0' + failure.text;
    for (size_t at = 0; at < answer.size();) {
      const ssize_t written = ::write(ends[1], answer.data() + at, answer.size() - at);
      if (written <= 0) ::_exit(1);
      at += static_cast<size_t>(written);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string answer;
  bool late = false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  for (char buffer[4096];;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ready{ends[0], POLLIN, 0};
    const int polled = ::poll(&ready, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
    if (polled < 0 && errno == EINTR) continue;
    late = polled == 0;
    if (late) break;
    const ssize_t count = ::read(ends[0], buffer, sizeof buffer);
    if (count <= 0) break;
    answer.append(buffer, static_cast<size_t>(count));
  }
  ::close(ends[0]);
  if (late) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (late) return {"timeout", "it takes more than " + std::to_string(options.seconds) + " s"};
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return {"crash: signal " + std::to_string(signal), "it ends by signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")"};
  }
  if (WEXITSTATUS(status) != 0)
    return {"crash: exit " + std::to_string(WEXITSTATUS(status)), "it exits with " + std::to_string(WEXITSTATUS(status))};
  const size_t middle = answer.find('\0');
  return {answer.substr(0, middle), answer.substr(middle + 1)};
}

Module single_entry(const Module& module, std::string_view entry) {
  Module out;
  out.entries.push_back(*module.find_entry(entry));
  std::set<std::string> used;
  for (const GraphInput& input : out.entries[0].inputs) used.insert(input.slot);
  for (const GraphResult& result : out.entries[0].results) used.insert(result.slot);
  for (const Slot& slot : module.slots)
    if (used.count(slot.name)) out.slots.push_back(slot);
  return out;
}

size_t count_nodes(const Graph& graph) {
  size_t count = graph.nodes.size();
  for (const Node& node : graph.nodes)
    for (const Graph& body : node.bodies) count += count_nodes(body);
  return count;
}

namespace {

/// The graph again with only the values that it uses, numbered anew.
Graph compact(const Graph& graph) {
  Graph out;
  out.name = graph.name;
  std::vector<ValueId> now(graph.types.size(), no_value);
  const auto define = [&](ValueId value) {
    now[value] = out.add_value(graph.types[value], value < graph.names.size() ? graph.names[value] : std::string());
    return now[value];
  };
  for (const GraphInput& input : graph.inputs) out.inputs.push_back({define(input.value), input.slot});
  for (const Node& node : graph.nodes) {
    Node copy = node;
    for (ValueId& input : copy.inputs)
      if (input != no_value) input = now[input];
    for (ValueId& output : copy.outputs) output = define(output);
    out.nodes.push_back(std::move(copy));
  }
  for (const GraphResult& result : graph.results) out.results.push_back({now[result.value], result.slot});
  return out;
}

/// Tidies what a step left: dead nodes, unread inputs, unused values and slots.
Module tidy(Module module) {
  Graph& graph = module.entries[0];
  drop_dead(graph);
  graph = compact(graph);
  return single_entry(module, graph.name);
}

class Reducer {
 public:
  Reducer(const std::function<bool(const Module&)>& fails, int most_tries) : fails_(fails), most_tries_(most_tries) {}

  Reduction run(Module module) {
    best_ = std::move(module);
    for (bool progress = true; progress && tries_ < most_tries_;) {
      progress = drop_nodes();
      progress |= drop_results();
      progress |= bypass_nodes();
      progress |= shrink_extents();
      progress |= default_attributes();
    }
    return {best_, tries_};
  }

 private:
  const std::function<bool(const Module&)>& fails_;
  const int most_tries_;
  int tries_ = 0, made_ = 0;
  Module best_;

  const Graph& graph() const { return best_.entries[0]; }

  /// What gets smaller with every step: nodes, results, extents, attributes that are not their defaults.
  static std::array<int64_t, 4> cost(const Module& module) {
    std::array<int64_t, 4> sum = {0, static_cast<int64_t>(module.entries[0].results.size()), 0, 0};
    const std::function<void(const Graph&)> visit = [&](const Graph& g) {
      sum[0] += static_cast<int64_t>(g.nodes.size());
      for (const Type& type : g.types)
        for (const Dim& dim : type.shape)
          if (dim.is_constant()) sum[2] += dim.constant();
      for (const Node& node : g.nodes) {
        for (const AttributeSpec& spec : node.op->attributes) {
          const AttributeValue* value = node.attributes.find(spec.name);
          sum[3] += value && !(*value == spec.default_value);
        }
        for (const Graph& body : node.bodies) visit(body);
      }
    };
    visit(module.entries[0]);
    return sum;
  }

  bool accept(Module candidate) {
    if (tries_ >= most_tries_) return false;
    try {
      verify_module(candidate, "reducing");
      candidate = tidy(std::move(candidate));
      if (candidate.entries[0].results.empty() || !(cost(candidate) < cost(best_))) return false;
      verify_module(candidate, "reducing");
    } catch (const std::exception&) {
      return false;  // not a graph
    }
    ++tries_;
    if (!fails_(candidate)) return false;
    best_ = std::move(candidate);
    return true;
  }

  std::string new_slot(Module& module, SlotKind kind, const Type& type) {
    std::string name;
    do name = (kind == SlotKind::input ? "in" : "out") + std::to_string(made_++);
    while (module.find_slot(name));
    module.slots.push_back({.name = name, .kind = kind, .type = type});
    return name;
  }

  /// Without nodes [begin, end): what they yielded is read from outside, and what only they read is a result.
  Module without(size_t begin, size_t end) {
    Module module = best_;
    Graph& g = module.entries[0];
    std::set<ValueId> gone, read, results;
    for (size_t n = 0; n < g.nodes.size(); ++n) {
      const bool leaves = n >= begin && n < end;
      for (ValueId output : g.nodes[n].outputs)
        if (leaves) gone.insert(output);
      if (!leaves) read.insert(g.nodes[n].inputs.begin(), g.nodes[n].inputs.end());
    }
    for (size_t n = begin; n < end; ++n)
      for (ValueId input : g.nodes[n].inputs) results.insert(input);
    g.nodes.erase(g.nodes.begin() + static_cast<std::ptrdiff_t>(begin), g.nodes.begin() + static_cast<std::ptrdiff_t>(end));
    std::erase_if(g.results, [&](const GraphResult& result) { return gone.count(result.value) > 0; });
    for (ValueId value : gone)
      if (read.count(value)) g.inputs.push_back({value, new_slot(module, SlotKind::input, g.types[value])});
    for (const GraphResult& result : g.results) results.erase(result.value);
    for (const Node& node : g.nodes)
      for (ValueId output : node.outputs)
        if (results.count(output) && !read.count(output))
          g.results.push_back({output, new_slot(module, SlotKind::output, g.types[output])});
    return module;
  }

  bool drop_nodes() {
    bool any = false;
    for (size_t size = std::max<size_t>(1, graph().nodes.size() / 2);; size /= 2) {
      for (size_t end = graph().nodes.size(); end > 0;) {
        const size_t begin = end > size ? end - size : 0;
        if (graph().nodes.size() > 1 && (end - begin) < graph().nodes.size() && accept(without(begin, end))) {
          any = true;
          end = std::min(begin, graph().nodes.size());
        } else {
          end = begin;
        }
      }
      if (size <= 1) return any;
    }
  }

  bool drop_results() {
    bool any = false;
    for (size_t i = graph().results.size(); i-- > 0 && graph().results.size() > 1;) {
      if (i >= graph().results.size()) continue;
      Module module = best_;
      module.entries[0].results.erase(module.entries[0].results.begin() + static_cast<std::ptrdiff_t>(i));
      any |= accept(std::move(module));
    }
    return any;
  }

  /// Calls change(graph, node index) on a copy of the module for every node, inside loops too, and keeps what fails.
  bool for_each_node(const std::function<bool(Graph&, size_t)>& change) {
    bool any = false;
    // Nodes are counted through all bodies; a change that is kept may make fewer of them.
    for (size_t number = 0;; ++number) {
      Module module = best_;
      size_t left = number;
      bool found = false, changed = false;
      const std::function<void(Graph&)> visit = [&](Graph& g) {
        for (size_t n = 0; n < g.nodes.size() && !found; ++n) {
          if (left == 0) {
            found = true;
            changed = change(g, n);
            return;
          }
          --left;
          for (Graph& body : g.nodes[n].bodies) visit(body);
        }
      };
      visit(module.entries[0]);
      if (!found || tries_ >= most_tries_) return any;
      if (changed) any |= accept(std::move(module));
    }
  }

  bool bypass_nodes() {
    return for_each_node([](Graph& g, size_t n) {
      std::vector<ValueId> replacement(g.types.size());
      for (ValueId v = 0; v < replacement.size(); ++v) replacement[v] = v;
      bool any = false;
      for (ValueId output : g.nodes[n].outputs)
        for (ValueId input : g.nodes[n].inputs)
          if (input != no_value && replacement[output] == output && g.types[input] == g.types[output]) {
            replacement[output] = input;
            any = true;
          }
      if (any) replace_uses(g, replacement);
      return any;
    });
  }

  static void replace_extent(Shape& shape, int64_t from, int64_t to) {
    for (Dim& dim : shape)
      if (dim.is_constant(from)) dim = Dim(to);
  }

  static void replace_extent(Graph& g, int64_t from, int64_t to, bool numbers) {
    for (Type& type : g.types) replace_extent(type.shape, from, to);
    for (Node& node : g.nodes) {
      const Attributes old = node.attributes;
      for (const auto& [name, value] : old.entries()) {
        if (const auto* shape = std::get_if<Shape>(&value.value)) {
          Shape changed = *shape;
          replace_extent(changed, from, to);
          node.attributes.set(name, changed);
        } else if (const auto* number = std::get_if<int64_t>(&value.value); number && numbers && *number == from) {
          node.attributes.set(name, to);
        } else if (const auto* list = std::get_if<std::vector<int64_t>>(&value.value); list && numbers) {
          std::vector<int64_t> changed = *list;
          std::replace(changed.begin(), changed.end(), from, to);
          node.attributes.set(name, changed);
        }
      }
      for (Graph& body : node.bodies) replace_extent(body, from, to, numbers);
    }
  }

  /// What nodes without loops yield follows from what they read: sums of extents, for example.
  static void infer_again(Graph& g) {
    for (Node& node : g.nodes) {
      if (!node.bodies.empty()) continue;
      std::vector<Type> types;
      std::vector<char> present;
      for (ValueId input : node.inputs) {
        types.push_back(input == no_value ? Type{} : g.types[input]);
        present.push_back(input != no_value);
      }
      const std::vector<Type> outputs = infer_node(*node.op, types, {reinterpret_cast<const bool*>(present.data()), present.size()},
                                                   node.attributes, node.bodies, node.origin);
      for (size_t i = 0; i < node.outputs.size(); ++i) g.types[node.outputs[i]] = outputs.at(i);
    }
  }

  bool try_extent(int64_t from, int64_t to, bool numbers) {
    Module module = best_;
    Graph& g = module.entries[0];
    replace_extent(g, from, to, numbers);
    try {
      infer_again(g);
    } catch (const std::exception&) {
      return false;
    }
    const auto retype = [&](const std::string& name, ValueId value) {
      for (Slot& slot : module.slots)
        if (slot.name == name) slot.type = g.types[value];
    };
    for (const GraphInput& input : g.inputs) retype(input.slot, input.value);
    for (const GraphResult& result : g.results) retype(result.slot, result.value);
    for (Slot& slot : module.slots)
      if (slot.index_limit == from) slot.index_limit = to;
    return accept(std::move(module));
  }

  bool shrink_extents() {
    std::set<int64_t, std::greater<>> extents;
    const std::function<void(const Graph&)> visit = [&](const Graph& g) {
      for (const Type& type : g.types)
        for (const Dim& dim : type.shape)
          if (dim.is_constant() && dim.constant() > 1) extents.insert(dim.constant());
      for (const Node& node : g.nodes)
        for (const Graph& body : node.bodies) visit(body);
    };
    visit(graph());
    bool any = false;
    for (const int64_t extent : extents) {
      std::set<int64_t> smaller;
      for (int64_t to : {int64_t{1}, int64_t{2}, int64_t{3}, extent / 4, extent / 2, extent - 1})
        if (to >= 1 && to < extent) smaller.insert(to);
      bool done = false;
      for (auto to = smaller.begin(); to != smaller.end() && !done; ++to)
        done = try_extent(extent, *to, false) || try_extent(extent, *to, true);
      any |= done;
    }
    return any;
  }

  bool default_attributes() {
    bool any = false;
    for (size_t position = 0;; ++position) {
      bool there = false;
      any |= for_each_node([&](Graph& g, size_t n) {
        Node& node = g.nodes[n];
        if (position >= node.op->attributes.size()) return false;
        there = true;
        if (!node.bodies.empty()) return false;  // they say what its operands are
        const AttributeSpec& spec = node.op->attributes[position];
        if (spec.default_value.is_none() && !spec.optional) return false;
        const AttributeValue* value = node.attributes.find(spec.name);
        if (!value || *value == spec.default_value) return false;
        node.attributes.set(std::string(spec.name), spec.default_value);
        return true;
      });
      if (!there) return any;
    }
  }
};

}  // namespace

Reduction reduce_module(const Module& module, const std::function<bool(const Module&)>& fails, int most_tries) {
  return Reducer(fails, most_tries).run(module);
}

}  // namespace moru::cli
