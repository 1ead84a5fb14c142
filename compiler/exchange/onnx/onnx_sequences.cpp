// ONNX's sequences and optional values. They exist only while importing: a sequence is a list of values, whose length
// and whose places must be known then, or what the turns of a loop made, as one tensor.
#include <algorithm>

#include "compiler/exchange/onnx/onnx_graph.h"
#include "compiler/support/error.h"

namespace moru {

uint32_t OnnxGraph::add_sequence(const Call& call, std::vector<uint32_t> elements) {
  return add_value({.name = name_of(call.node),
                    .class_name = call.node.op_type(),
                    .origin = name_of(call.node),
                    .elements = std::move(elements)});
}

std::vector<uint32_t> OnnxGraph::sequence_of(const Call& call, uint32_t id) {
  if (id == UINT32_MAX || !values_[id].is_sequence()) fail(call, "needs a sequence as its first input");
  if (values_[id].grows) fail(call, "reads a sequence that a loop appends to");
  if (!values_[id].elements) {
    const uint32_t stack = *values_[id].stack;
    const Shape shape = values_[stack].type.shape;
    if (!shape[0].is_constant()) fail(call, "needs a sequence of a known length but got one of " + shape[0].text());
    values_[id].elements = build_values(call, {stack}, static_cast<size_t>(shape[0].constant()), [&](OnnxNode& node) {
      for (int64_t i = 0; i < shape[0].constant(); ++i)
        node.set_as(static_cast<size_t>(i),
                    node.builder().reshape(node.builder().slice(node.raw(0), 0, i, 1), {shape.begin() + 1, shape.end()}),
                    node.dtype(0));
    });
  }
  return *values_[id].elements;
}

// The elements of a stack along `axis`: each at a place of its own, or merged with the axis that is there.
uint32_t OnnxGraph::move_first_axis(const Call& call, uint32_t id, int64_t axis, bool merge) {
  return build_values(call, {id}, 1, [&](OnnxNode& node) {
    moru::Value value = node.raw(0);
    const auto at = node.axis(axis, value.rank() - (merge ? 1 : 0));
    std::vector<int64_t> order;
    for (size_t i = 1; i < value.rank(); ++i) order.push_back(static_cast<int64_t>(i));
    order.insert(order.begin() + at, 0);
    value = node.builder().transpose(value, order);
    if (merge) {
      Shape shape = value.shape();
      shape[static_cast<size_t>(at)] *= shape[static_cast<size_t>(at) + 1];
      shape.erase(shape.begin() + at + 1);
      value = node.builder().reshape(value, shape);
    }
    node.set_as(0, value, node.dtype(0));
  })[0];
}

// Where in a sequence of `count` elements; negative places count from the end.
size_t OnnxGraph::place_of(const Call& call, uint32_t id, size_t count) {
  const Known known = find_known(id);
  if (!known || known->elements() != 1 || known->is_symbolic())
    fail(call, "needs to know a place in a sequence when compiling");
  const auto length = static_cast<int64_t>(count);
  const auto place = static_cast<int64_t>(known->number(0));
  if (place < -length || place >= length)
    fail(call, "names the place " + std::to_string(place) + " of a sequence of " + std::to_string(length));
  return static_cast<size_t>(place < 0 ? place + length : place);
}

void OnnxGraph::translate_sequence(const Call& call) {
  const std::vector<uint32_t> inputs = inputs_of(call);
  const std::string& op = call.node.op_type();
  auto input = [&](size_t index) { return index < inputs.size() ? inputs[index] : UINT32_MAX; };
  if (op == "SequenceConstruct" || op == "SequenceEmpty") return set_outputs(call, {add_sequence(call, inputs)});
  const Value given = input(0) == UINT32_MAX ? Value{} : values_[input(0)];
  if (given.grows && op == "SequenceInsert" && input(2) == UINT32_MAX) {
    std::vector<uint32_t> longer = *given.elements;
    longer.push_back(input(1));
    set_outputs(call, {add_sequence(call, std::move(longer))});
    values_[call.scope.at(call.node.output(0))].grows = true;
    return;
  }
  if (given.stack && op == "SequenceLength") {
    auto length = std::make_shared<KnownValue>();
    length->dims = {values_[*given.stack].type.shape[0]};
    return set_outputs(call, {add_constant(std::move(length), name_of(call.node))});
  }
  std::vector<uint32_t> elements = sequence_of(call, input(0));
  if (op == "SequenceLength") {
    const auto length = static_cast<int64_t>(elements.size());
    return set_outputs(call, {add_constant(known_integer(length), name_of(call.node))});
  }
  if (op == "SequenceAt") return set_outputs(call, {elements[place_of(call, input(1), elements.size())]});
  if (op == "SequenceErase") {
    if (elements.empty()) fail(call, "takes an element from an empty sequence");
    const size_t place = input(1) == UINT32_MAX ? elements.size() - 1 : place_of(call, input(1), elements.size());
    elements.erase(elements.begin() + static_cast<std::ptrdiff_t>(place));
  } else {  // SequenceInsert
    size_t place = elements.size();
    if (input(2) != UINT32_MAX) {
      // One place more than there are elements; negative ones count from the old end.
      const Known known = find_known(input(2));
      const bool behind = known && known->elements() == 1 && !known->is_symbolic() &&
                          known->number(0) == static_cast<double>(elements.size());
      if (!behind) place = place_of(call, input(2), elements.size());
    }
    elements.insert(elements.begin() + static_cast<std::ptrdiff_t>(place), input(1));
  }
  set_outputs(call, {add_sequence(call, std::move(elements))});
}

void OnnxGraph::translate_split_to_sequence(const Call& call) {
  const std::vector<uint32_t> inputs = inputs_of(call);
  if (inputs.empty() || inputs[0] == UINT32_MAX) fail(call, "lacks its input");
  const Shape shape = values_[inputs[0]].type.shape;
  int64_t axis = 0;
  bool keep = true;
  for (const auto& attribute : call.node.attribute()) {
    if (attribute.name() == "axis") axis = attribute.i();
    if (attribute.name() == "keepdims") keep = attribute.i() != 0;
  }
  const auto rank = static_cast<int64_t>(shape.size());
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank || !shape[static_cast<size_t>(axis)].is_constant())
    fail(call, "needs an axis of a known extent but got " + shape_text(shape));
  const int64_t extent = shape[static_cast<size_t>(axis)].constant();
  std::vector<int64_t> sizes;
  const bool given = inputs.size() > 1 && inputs[1] != UINT32_MAX;
  const Known known = given ? find_known(inputs[1]) : nullptr;
  if (given && (!known || known->is_symbolic())) fail(call, "needs to know the parts' sizes when compiling");
  if (known && !known->shape.empty()) {
    for (const Dim& size : known->dims) sizes.push_back(size.constant());
  } else {
    const int64_t each = known ? known->dims[0].constant() : 1;
    if (each < 1) fail(call, "has parts of " + std::to_string(each) + " elements");
    for (int64_t at = 0; at < extent; at += each) sizes.push_back(std::min(each, extent - at));
  }
  int64_t sum = 0;
  for (int64_t size : sizes) sum += size;
  if (sum != extent) fail(call, "has parts of " + std::to_string(sum) + " elements in all for " + shape_text(shape));
  const std::vector<uint32_t> parts = build_values(call, {inputs[0]}, sizes.size(), [&](OnnxNode& node) {
    int64_t at = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      moru::Value part = node.builder().slice(node.raw(0), axis, at, sizes[i]);
      at += sizes[i];
      if (!given && !keep) {
        Shape without = part.shape();
        without.erase(without.begin() + axis);
        part = node.builder().reshape(part, without);
      }
      node.set_as(i, part, node.dtype(0));
    }
  });
  set_outputs(call, {add_sequence(call, parts)});
}

void OnnxGraph::translate_concat_from_sequence(const Call& call) {
  const std::vector<uint32_t> inputs = inputs_of(call);
  int64_t axis = 0;
  bool fresh = false;
  for (const auto& attribute : call.node.attribute()) {
    if (attribute.name() == "axis") axis = attribute.i();
    if (attribute.name() == "new_axis") fresh = attribute.i() != 0;
  }
  const uint32_t sequence = inputs.empty() ? UINT32_MAX : inputs[0];
  if (sequence != UINT32_MAX && values_[sequence].stack)
    return set_outputs(call, {move_first_axis(call, *values_[sequence].stack, axis, !fresh)});
  const std::vector<uint32_t> parts = sequence_of(call, sequence);
  if (parts.empty()) fail(call, "joins an empty sequence, whose shape is not known");
  if (fresh) return set_outputs(call, {stack_values(call, parts, axis, {})});
  set_outputs(call, build_values(call, parts, 1, [&](OnnxNode& node) {
                std::vector<moru::Value> values;
                for (size_t i = 0; i < parts.size(); ++i) values.push_back(node.raw(i));
                node.set_as(0, node.builder().concat(values, node.axis(axis, node.rank(0))), node.dtype(0));
              }));
}

void OnnxGraph::translate_sequence_map(const Call& call) {
  const std::vector<uint32_t> inputs = inputs_of(call);
  const onnx::GraphProto& body = body_of(call, "body");
  const size_t turns = sequence_of(call, inputs.empty() ? UINT32_MAX : inputs[0]).size();
  std::vector<std::vector<uint32_t>> made(static_cast<size_t>(body.output_size()));
  for (size_t turn = 0; turn < turns; ++turn) {
    std::vector<uint32_t> arguments = inputs;
    for (uint32_t& argument : arguments) {
      if (argument == UINT32_MAX || !values_[argument].is_sequence()) continue;
      const std::vector<uint32_t> elements = sequence_of(call, argument);
      if (elements.size() != turns) fail(call, "has sequences of different lengths");
      argument = elements[turn];
    }
    const std::vector<uint32_t> results = run_body(call, body, arguments);
    for (size_t i = 0; i < results.size(); ++i) made[i].push_back(results[i]);
  }
  std::vector<uint32_t> outputs;
  for (std::vector<uint32_t>& elements : made) outputs.push_back(add_sequence(call, std::move(elements)));
  set_outputs(call, outputs);
}

// An optional value that is there is the value itself; one that is not is a value without a form.
void OnnxGraph::translate_optional(const Call& call) {
  const std::vector<uint32_t> inputs = inputs_of(call);
  const std::string& op = call.node.op_type();
  const uint32_t given = inputs.empty() ? UINT32_MAX : inputs[0];
  const bool has = given != UINT32_MAX && !values_[given].is_absent;
  if (op == "OptionalHasElement")
    return set_outputs(call, {add_constant(known_integer(has, DType::boolean), name_of(call.node))});
  if (has) return set_outputs(call, {given});
  if (op == "OptionalGetElement") fail(call, "asks for the value of an optional one that is not there");
  set_outputs(
      call,
      {add_value({.name = name_of(call.node), .class_name = op, .origin = name_of(call.node), .is_absent = true})});
}

}  // namespace moru
