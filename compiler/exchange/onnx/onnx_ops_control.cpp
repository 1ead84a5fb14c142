// ONNX's loop over sequences.
#include <algorithm>

#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

Integers list_of(OnnxNode& n, const char* attribute, size_t count) {
  Integers list = n.integers(attribute, Integers(count, 0));
  if (list.size() != count)
    n.fail(std::string(attribute) + " has " + std::to_string(list.size()) + " numbers but needs " + std::to_string(count));
  return list;
}

Value reversed(OnnxNode& n, Value x, int64_t axis) { return n.builder().call("reverse", {x}, {{"axis", axis}}); }

// One `scan`; it runs in one direction, so sequences of the other one are turned around outside.
void scan(OnnxNode& n) {
  const int64_t given = static_cast<int64_t>(n.given_inputs()), sequences = n.integer("num_scan_inputs");
  if (sequences < 1 || sequences > given)
    n.fail("num_scan_inputs is " + std::to_string(sequences) + " but it has " + std::to_string(given) + " inputs");
  const auto carries = static_cast<size_t>(given - sequences);
  if (n.outputs() < carries) n.fail("has fewer outputs than states");
  const size_t stacked = n.outputs() - carries;
  Integers axes = list_of(n, "scan_input_axes", static_cast<size_t>(sequences));
  const Integers directions = list_of(n, "scan_input_directions", static_cast<size_t>(sequences)),
                 output_directions = list_of(n, "scan_output_directions", stacked);
  Integers output_axes = list_of(n, "scan_output_axes", stacked);
  const bool reverse = directions[0] != 0;
  std::vector<Value> inputs;
  std::vector<Type> types;
  std::vector<Narrow> narrow;
  for (size_t i = 0; i < carries + static_cast<size_t>(sequences); ++i) {
    Value value = n.raw(i);
    types.push_back(value.type());
    narrow.push_back(n.dtype(i).narrow);
    if (i >= carries) {
      int64_t& axis = axes[i - carries];
      axis = n.axis(axis, value.rank());
      types.back().shape.erase(types.back().shape.begin() + axis);
      if ((directions[i - carries] != 0) != reverse) value = reversed(n, value, axis);
    }
    inputs.push_back(value);
  }
  OnnxNode::Body body = n.body("body", types, narrow);
  if (body.graph.results.size() != n.outputs())
    n.fail("has " + std::to_string(n.outputs()) + " outputs but its body has " + std::to_string(body.graph.results.size()));
  for (size_t i = 0; i < carries; ++i)
    if (body.graph.type(body.graph.results[i].value) != types[i])
      n.fail("has a state " + type_text(types[i]) + " that its body replaces by " +
             type_text(body.graph.type(body.graph.results[i].value)));
  for (size_t i = 0; i < stacked; ++i)
    output_axes[i] =
        n.axis(output_axes[i], body.graph.type(body.graph.results[carries + i].value).shape.size() + 1);
  for (size_t index : body.captured) inputs.push_back(n.raw(index));
  for (const Known& table : body.tables) inputs.push_back(n.table(table));
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body.graph));
  const std::vector<Value> results = n.builder().call_all("scan", inputs,
                                                          {{"carries", static_cast<int64_t>(carries)},
                                                           {"sequences", sequences},
                                                           {"axes", axes},
                                                           {"output_axes", output_axes},
                                                           {"reverse", reverse}},
                                                          std::move(bodies));
  for (size_t i = 0; i < results.size(); ++i) {
    const bool turned = i >= carries && (output_directions[i - carries] != 0) != reverse;
    const Value value = turned ? reversed(n, results[i], output_axes[i - carries]) : results[i];
    n.set_as(i, value, value.type().dtype);
  }
}

constexpr OnnxOp ops[] = {{"Scan", 9, scan}};

}  // namespace

std::span<const OnnxOp> onnx_control_ops() { return ops; }

}  // namespace moru
