#include "compiler/interpret/reference.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "compiler/ir/scalar_arithmetic.h"
#include "compiler/ir/scan_view.h"
#include "compiler/ops/tensor_loops.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using Symbols = std::map<std::string, int64_t, std::less<>>;

int64_t evaluate(const Dim& dim, const Symbols& symbols) {
  return dim.evaluate([&](std::string_view name) -> int64_t {
    auto found = symbols.find(name);
    if (found == symbols.end())
      throw CompileError({.stage = "interpret",
                          .what = "dimension '" + std::string(name) + "' is not bound by the shape of any input"});
    return found->second;
  });
}

std::vector<int64_t> evaluate(const Shape& shape, const Symbols& symbols) {
  std::vector<int64_t> extents;
  for (const Dim& dim : shape) extents.push_back(evaluate(dim, symbols));
  return extents;
}

Attributes bind_attributes(const Attributes& attributes, const Symbols& symbols) {
  Attributes bound = attributes;
  for (const auto& [name, entry] : attributes.entries()) {
    if (const auto* shape = std::get_if<Shape>(&entry.value)) {
      const std::vector<int64_t> extents = evaluate(*shape, symbols);
      bound.set(name, Shape(extents.begin(), extents.end()));
    } else if (const auto* nested = std::get_if<AttributeValue::Nested>(&entry.value)) {
      bound.set(name, bind_attributes(**nested, symbols));
    }
  }
  return bound;
}

std::string input_name(const Graph& graph, size_t index) {
  const GraphInput& input = graph.inputs[index];
  if (!input.slot.empty()) return "'" + input.slot + "'";
  return std::to_string(index);
}

// The one unknown symbol of a dimension that is linear in it with a constant factor, solved for dim = extent.
bool solve(const Dim& dim, int64_t extent, Symbols& symbols) {
  std::vector<std::string> names;
  dim.collect_symbols(names);
  std::erase_if(names, [&](const std::string& name) { return symbols.contains(name); });
  if (names.size() != 1) return false;
  const std::optional<Dim> factor = dim.coefficient(names[0]);
  if (!factor) return false;
  const int64_t by = evaluate(*factor, symbols);
  const int64_t rest = evaluate(dim - *factor * Dim::symbol(names[0]), symbols);
  if (by == 0 || (extent - rest) % by != 0) return false;
  symbols[names[0]] = (extent - rest) / by;
  return true;
}

Symbols bind_symbols(const Graph& graph, std::span<const HostTensor> inputs, Symbols symbols) {
  if (inputs.size() != graph.inputs.size())
    throw CompileError({.stage = "interpret",
                        .what = "'" + graph.name + "' takes " + std::to_string(graph.inputs.size()) +
                                " inputs but got " + std::to_string(inputs.size())});
  auto mismatch = [&](size_t i) {
    throw CompileError({.stage = "interpret",
                        .what = "input " + input_name(graph, i) + " must be " +
                                type_text(graph.type(graph.inputs[i].value)) + " but got " +
                                std::string(dtype_name(inputs[i].dtype)) + shape_text(inputs[i].shape)});
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Type& type = graph.type(graph.inputs[i].value);
    if (type.dtype != inputs[i].dtype || type.shape.size() != inputs[i].shape.size() ||
        element_count(std::span<const int64_t>(inputs[i].shape)) != inputs[i].elements())
      mismatch(i);
  }
  for (bool progress = true; progress;) {
    progress = false;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Shape& shape = graph.type(graph.inputs[i].value).shape;
      for (size_t axis = 0; axis < shape.size(); ++axis) progress |= solve(shape[axis], inputs[i].shape[axis], symbols);
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    if (evaluate(graph.type(graph.inputs[i].value).shape, symbols) != inputs[i].shape) mismatch(i);
  return symbols;
}

// A graph with every symbol bound: made once, run as often as a loop goes round.
struct Plan {
  struct Step {
    const Node* node = nullptr;
    Attributes attributes;
    std::vector<std::vector<int64_t>> shapes;  // of the outputs
    std::vector<ValueId> last_used;            // values that nothing behind this step reads
    std::unique_ptr<Plan> body;                // of a scan
  };
  const Graph* graph = nullptr;
  Symbols symbols;
  std::vector<Step> steps;
};

Plan make_plan(const Graph& graph, const Symbols& symbols) {
  Plan plan;
  plan.graph = &graph;
  plan.symbols = symbols;
  std::vector<size_t> last_use(graph.types.size(), SIZE_MAX);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (ValueId output : graph.nodes[n].outputs) last_use[output] = n;
    for (ValueId input : graph.nodes[n].inputs)
      if (input != no_value) last_use[input] = n;
  }
  for (const GraphInput& input : graph.inputs) last_use[input.value] = SIZE_MAX;
  for (const GraphResult& result : graph.results) last_use[result.value] = SIZE_MAX;
  for (const Node& node : graph.nodes) {
    Plan::Step step;
    step.node = &node;
    step.attributes = bind_attributes(node.attributes, symbols);
    for (ValueId output : node.outputs) step.shapes.push_back(evaluate(graph.type(output).shape, symbols));
    if (node.op->name == "scan") step.body = std::make_unique<Plan>(make_plan(node.bodies.at(0), symbols));
    plan.steps.push_back(std::move(step));
  }
  for (ValueId value = 0; value < last_use.size(); ++value)
    if (last_use[value] != SIZE_MAX) plan.steps[last_use[value]].last_used.push_back(value);
  return plan;
}

class Interpreter {
 public:
  explicit Interpreter(const InterpretOptions& options) : options_(options) {}

  /// Takes the inputs by moving them into the values and gives them back: bodies read large invariants without copies.
  std::vector<HostTensor> run(const Plan& plan, std::vector<HostTensor>& inputs, bool outermost = false) {
    const Graph& graph = *plan.graph;
    std::vector<HostTensor> values(graph.types.size());
    for (size_t i = 0; i < inputs.size(); ++i) values[graph.inputs[i].value] = std::move(inputs[i]);

    for (const Plan::Step& step : plan.steps) {
      const Node& node = *step.node;
      std::vector<HostTensor> arguments = take(node, values);
      std::vector<HostTensor> outputs = apply(step, plan.symbols, arguments);
      check(step, graph, outputs);
      if (options_.numbers == Numbers::declared)
        for (HostTensor& output : outputs) round_to_dtype(output);
      if (outermost && options_.observe) options_.observe(node, outputs);
      for (size_t i = arguments.size(); i-- > 0;)
        if (node.inputs[i] != no_value) values[node.inputs[i]] = std::move(arguments[i]);
      for (size_t i = 0; i < outputs.size(); ++i) values[node.outputs[i]] = std::move(outputs[i]);
      for (ValueId value : step.last_used) values[value] = {};
    }

    std::vector<HostTensor> results;
    results.reserve(graph.results.size());
    for (const GraphResult& result : graph.results) results.push_back(values[result.value]);
    for (size_t i = 0; i < inputs.size(); ++i) inputs[i] = std::move(values[graph.inputs[i].value]);
    return results;
  }

 private:
  const InterpretOptions& options_;

  // A reference takes its inputs side by side: they are lent to it, and copied only where one value is used twice.
  static std::vector<HostTensor> take(const Node& node, std::vector<HostTensor>& values) {
    std::vector<HostTensor> arguments;
    arguments.reserve(node.inputs.size());
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      if (input == no_value) {
        arguments.emplace_back();
        continue;
      }
      const auto first =
          static_cast<size_t>(std::find(node.inputs.begin(), node.inputs.end(), input) - node.inputs.begin());
      if (first < i)
        arguments.push_back(arguments[first]);
      else
        arguments.push_back(std::move(values[input]));
    }
    return arguments;
  }

  std::vector<HostTensor> apply(const Plan::Step& step, const Symbols& symbols, std::vector<HostTensor>& arguments) {
    const Op& op = *step.node->op;
    if (op.name == "scan") return scan(step, arguments);
    if (op.name == "tile") return tile(step, symbols, arguments);
    if (op.reference) return refer(op, arguments, step);
    if (!op.expand) throw InternalError("op '" + std::string(op.name) + "' has neither a reference nor an expansion");
    return run_expansion(step, arguments);
  }

  // A refusal of data says which node it was.
  static std::vector<HostTensor> refer(const Op& op, const std::vector<HostTensor>& arguments, const Plan::Step& step) try {
    return op.reference(arguments, step.attributes);
  } catch (const CompileError& error) {
    if (!error.parts().node.empty()) throw;
    CompileError::Parts parts = error.parts();
    parts.node = step.node->origin;
    throw CompileError(std::move(parts));
  }

  std::vector<HostTensor> run_expansion(const Plan::Step& step, std::vector<HostTensor>& arguments) {
    Graph graph;
    Builder builder(graph, step.node->origin);
    std::vector<Value> inputs;
    std::vector<HostTensor> present;
    for (size_t i = 0; i < arguments.size(); ++i) {
      if (step.node->inputs[i] == no_value) {
        inputs.push_back({});
        continue;
      }
      inputs.push_back(
          builder.input({arguments[i].dtype, Shape(arguments[i].shape.begin(), arguments[i].shape.end())}));
      present.push_back(arguments[i]);
    }
    for (const Value& value : step.node->op->expand(builder, inputs, step.attributes)) builder.result(value);
    return run(make_plan(graph, {}), present);
  }

  static void check(const Plan::Step& step, const Graph& graph, const std::vector<HostTensor>& outputs) {
    const Node& node = *step.node;
    const std::string name = std::string(node.op->name) + (node.origin.empty() ? "" : " (" + node.origin + ")");
    if (outputs.size() != node.outputs.size())
      throw InternalError(name + ": the reference yields " + std::to_string(outputs.size()) + " outputs, not " +
                          std::to_string(node.outputs.size()));
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Type& type = graph.type(node.outputs[i]);
      if (outputs[i].dtype != type.dtype || outputs[i].shape != step.shapes[i] ||
          outputs[i].elements() != element_count(std::span<const int64_t>(step.shapes[i])))
        throw InternalError(name + ": the reference's output " + std::to_string(i) + " is " +
                            std::string(dtype_name(outputs[i].dtype)) + shape_text(outputs[i].shape) +
                            " but should be " + std::string(dtype_name(type.dtype)) + shape_text(step.shapes[i]));
    }
  }

  std::vector<HostTensor> scan(const Plan::Step& step, std::vector<HostTensor>& arguments) {
    const ScanView view(*step.node);
    const size_t carries = view.carries, sequences = view.sequences;
    const std::vector<int64_t>&axes = view.axes, &output_axes = view.output_axes;
    const int64_t trip =
        sequences > 0 ? arguments[carries].shape[static_cast<size_t>(axes[0])] : step.attributes.shape("trip")[0].constant();

    std::vector<HostTensor> inputs(arguments.size());
    for (size_t i = 0; i < carries; ++i) inputs[i] = arguments[i];
    std::vector<std::vector<int64_t>> slice_shapes, slice_strides;
    for (size_t i = 0; i < sequences; ++i) {
      slice_shapes.push_back(arguments[carries + i].shape);
      slice_strides.push_back(strides_of(slice_shapes.back()));
      slice_shapes.back().erase(slice_shapes.back().begin() + axes[i]);
      slice_strides.back().erase(slice_strides.back().begin() + axes[i]);
    }
    for (size_t i = carries + sequences; i < arguments.size(); ++i) inputs[i] = std::move(arguments[i]);

    std::vector<HostTensor> outputs;
    for (size_t i = 0; i < step.shapes.size(); ++i) {
      const Graph& body = step.node->bodies[0];
      outputs.push_back(i < carries ? HostTensor{}
                                    : make_tensor(body.type(body.results[i].value).dtype, step.shapes[i]));
    }
    for (int64_t round = 0; round < trip; ++round) {
      const int64_t time = view.reverse ? trip - 1 - round : round;
      for (size_t i = 0; i < sequences; ++i) {
        const HostTensor& sequence = arguments[carries + i];
        HostTensor slice = make_tensor(sequence.dtype, slice_shapes[i]);
        const int64_t begin = time * strides_of(sequence.shape)[static_cast<size_t>(axes[i])];
        copy_strided(slice.shape, slice, 0, strides_of(slice.shape), sequence, begin, slice_strides[i]);
        inputs[carries + i] = std::move(slice);
      }
      std::vector<HostTensor> results = run(*step.body, inputs);
      for (size_t i = 0; i < carries; ++i) inputs[i] = std::move(results[i]);
      for (size_t i = 0; i < output_axes.size(); ++i) {
        const HostTensor& slice = results[carries + i];
        HostTensor& stacked = outputs[carries + i];
        std::vector<int64_t> strides = strides_of(stacked.shape);
        const int64_t begin = time * strides[static_cast<size_t>(output_axes[i])];
        strides.erase(strides.begin() + output_axes[i]);
        copy_strided(slice.shape, stacked, begin, strides, slice, 0, strides_of(slice.shape));
      }
    }
    for (size_t i = 0; i < carries; ++i) outputs[i] = std::move(inputs[i]);
    for (size_t i = carries + sequences; i < arguments.size(); ++i) arguments[i] = std::move(inputs[i]);
    return outputs;
  }

  std::vector<HostTensor> tile(const Plan::Step& step, const Symbols& symbols, std::vector<HostTensor>& arguments) {
    const Attributes& attributes = step.attributes;
    const Graph& body = step.node->bodies.at(0);
    const auto slices = static_cast<size_t>(attributes.integer("slices"));
    const auto sums = static_cast<size_t>(attributes.integer("sums"));
    const int64_t chunk = attributes.integer("chunk");
    const int64_t total = arguments[0].shape[0];

    std::vector<HostTensor> outputs;
    for (size_t i = 0; i < step.shapes.size(); ++i)
      outputs.push_back(make_tensor(body.type(body.results[i].value).dtype, step.shapes[i]));
    std::vector<HostTensor> inputs(arguments.size() + 1);
    for (size_t i = slices; i < arguments.size(); ++i) inputs[i] = std::move(arguments[i]);
    std::map<int64_t, Plan> plans;  // by the number of rows: full chunks and a last short one
    for (int64_t first = 0; first < total; first += chunk) {
      const int64_t rows = std::min(chunk, total - first);
      if (!plans.contains(rows)) {
        Symbols inner = symbols;
        inner[attributes.string("symbol")] = rows;
        plans.emplace(rows, make_plan(body, inner));
      }
      for (size_t i = 0; i < slices; ++i) {
        std::vector<int64_t> shape = arguments[i].shape;
        shape[0] = rows;
        inputs[i] = make_tensor(arguments[i].dtype, shape);
        const auto begin = arguments[i].data.begin() + first * (arguments[i].elements() / total);
        std::copy_n(begin, inputs[i].elements(), inputs[i].data.begin());
      }
      inputs.back() = make_tensor(DType::i64, {}, static_cast<double>(first));
      const std::vector<HostTensor> results = run(plans.at(rows), inputs);
      for (size_t i = 0; i < results.size(); ++i) {
        if (i < sums) {
          for (size_t k = 0; k < results[i].data.size(); ++k) outputs[i].data[k] += results[i].data[k];
          if (options_.numbers == Numbers::declared) round_to_dtype(outputs[i]);
        } else {
          const auto begin = outputs[i].data.begin() + first * (outputs[i].elements() / total);
          std::copy(results[i].data.begin(), results[i].data.end(), begin);
        }
      }
    }
    for (size_t i = slices; i < arguments.size(); ++i) arguments[i] = std::move(inputs[i]);
    return outputs;
  }
};

}  // namespace

void round_to_dtype(HostTensor& tensor) {
  if (tensor.dtype == DType::f32) {
    for (double& value : tensor.data) value = static_cast<double>(static_cast<float>(value));
  } else if (tensor.dtype == DType::bf16) {
    for (double& value : tensor.data)
      value = static_cast<double>(scalar::convert<float>(scalar::convert<scalar::BFloat16>(static_cast<float>(value))));
  } else if (tensor.dtype == DType::i32) {
    for (double& value : tensor.data) value = static_cast<double>(static_cast<int32_t>(static_cast<int64_t>(value)));
  }
}

std::vector<HostTensor> interpret_graph(const Graph& graph, std::span<const HostTensor> inputs,
                                        const InterpretOptions& options) {
  const Symbols symbols = bind_symbols(graph, inputs, options.symbols);
  const Plan plan = make_plan(graph, symbols);
  std::vector<HostTensor> values(inputs.begin(), inputs.end());
  if (options.numbers == Numbers::declared)
    for (HostTensor& value : values) round_to_dtype(value);
  return Interpreter(options).run(plan, values, true);
}

void interpret_entry(const Module& module, std::string_view entry, std::map<std::string, HostTensor>& slots,
                     const InterpretOptions& options) {
  const Graph* graph = module.find_entry(entry);
  if (!graph) throw CompileError({.stage = "interpret", .what = "there is no entry '" + std::string(entry) + "'"});
  std::vector<HostTensor> inputs;
  for (const GraphInput& input : graph->inputs) {
    auto found = slots.find(input.slot);
    if (found == slots.end()) {
      const Slot* slot = module.find_slot(input.slot);
      if (!slot || is_bound_by_caller(slot->kind))
        throw CompileError(
            {.stage = "interpret",
             .what = "entry '" + std::string(entry) + "' needs '" + input.slot + "', which was not given"});
      HostTensor initial = make_tensor(slot->type.dtype, evaluate(slot->type.shape, options.symbols), slot->initial);
      found = slots.emplace(input.slot, std::move(initial)).first;
    }
    inputs.push_back(found->second);
  }
  std::vector<HostTensor> results = interpret_graph(*graph, inputs, options);
  for (size_t i = 0; i < results.size(); ++i) slots[graph->results[i].slot] = std::move(results[i]);
}

}  // namespace moru
