// Every op, every example, every promise of its entry. A new op is tested by being in all_ops().
#include <doctest/doctest.h>

#include <set>

#include "compiler/interpret/reference.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/expand.h"
#include "compiler/support/error.h"
#include "tests/ops/op_case.h"

using namespace moru;
using namespace moru::test;

namespace {

const InterpretOptions in_f64{.numbers = Numbers::all_f64};

/// Calls check(case) for every example of every op that is not a loop (those need bodies: control_test.cpp).
template <typename Check>
void for_each_case(Check check) {
  for (const Op& op : all_ops()) {
    for (size_t i = 0; i < op.examples.size(); ++i) {
      CAPTURE(op.name);
      CAPTURE(i);
      try {
        check(make_case(op, i));
      } catch (const std::exception& error) {
        FAIL_CHECK(op.name << ", example " << i << ": " << std::string(error.what()));
      }
    }
  }
}

bool has_float_output(const OpCase& c) {
  return std::any_of(c.graph.results.begin(), c.graph.results.end(),
                     [&](const GraphResult& result) { return is_float(c.graph.type(result.value).dtype); });
}

// loss = sum over the float outputs of output * weight, with the weights as further inputs.
Value append_loss(Graph& graph, std::vector<HostTensor>& inputs, uint64_t seed) {
  Builder builder(graph);
  std::mt19937_64 random(seed);
  Value loss;
  const std::vector<GraphResult> results = graph.results;
  for (const GraphResult& result : results) {
    const Type type = graph.type(result.value);
    if (!is_float(type.dtype)) continue;
    Example::Tensor wanted{.shape = {}, .low = 0.3, .high = 1.7, .dtype = type.dtype};
    for (const Dim& dim : type.shape) wanted.shape.push_back(dim.constant());
    inputs.push_back(random_tensor(wanted, random));
    const Value weight = builder.input(type);
    std::vector<int64_t> axes;
    for (size_t axis = 0; axis < type.shape.size(); ++axis) axes.push_back(static_cast<int64_t>(axis));
    Value part = builder.reduce("reduce_sum", builder.value(result.value) * weight, axes);
    part = builder.cast(part, DType::f64);
    loss = loss ? loss + part : part;
  }
  graph.results.clear();
  builder.result(loss);
  return loss;
}

void check_gradient(const OpCase& c) {
  std::vector<HostTensor> inputs = c.inputs;
  Graph forward = c.graph;
  append_loss(forward, inputs, seed_of(*c.op, 1000));

  Graph backward = expand(forward);
  std::vector<size_t> wanted_inputs;
  std::vector<ValueId> wanted;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    if (!is_float(c.inputs[i].dtype)) continue;
    wanted_inputs.push_back(i);
    wanted.push_back(backward.inputs[i].value);
  }
  if (wanted.empty()) return;
  const std::vector<ValueId> gradients = append_gradients(backward, backward.results[0].value, wanted);
  for (ValueId gradient : gradients) backward.add_result(gradient);
  verify_graph(backward, "append_gradients");
  const std::vector<HostTensor> results = interpret_graph(backward, inputs, in_f64);

  auto loss = [&] { return interpret_graph(forward, inputs, in_f64)[0].data[0]; };
  bool any_nonzero = false;
  for (size_t k = 0; k < wanted_inputs.size(); ++k) {
    const HostTensor& gradient = results[k + 1];
    HostTensor& input = inputs[wanted_inputs[k]];
    REQUIRE(gradient.shape == input.shape);
    const size_t stride = std::max<size_t>(1, input.data.size() / 13);
    for (size_t i = 0; i < input.data.size(); i += stride) {
      const double x = input.data[i];
      const double h = 1e-5 * std::max(1.0, std::fabs(x));
      input.data[i] = x + h;
      const double above = loss();
      input.data[i] = x - h;
      const double below = loss();
      input.data[i] = x;
      const double expected = (above - below) / (2 * h);
      CAPTURE(k);
      CAPTURE(i);
      CAPTURE(x);
      if (!near(gradient.data[i], expected, 2e-6))
        FAIL_CHECK("gradient of input " << wanted_inputs[k] << " at element " << i << " (x = " << x << ") is "
                                        << gradient.data[i] << " but central differences say " << expected);
    }
    for (double value : gradient.data) any_nonzero |= value != 0.0;
  }
  // A single element may lie on the flat side of a relu.
  size_t elements = 0;
  for (size_t i : wanted_inputs) elements += inputs[i].data.size();
  if (elements > 8) CHECK_MESSAGE(any_nonzero, "all gradients are zero");
}

Attributes first_attributes(const Op& op) {
  if (!op.examples.empty()) return op.examples[0].attributes;
  return op.name == "tile" ? Attributes{{"chunk", 1}} : Attributes{};
}

void check_rejects(const Op& op, const AttributeSpec& spec, AttributeValue bad, const std::string& why) {
  Attributes attributes = first_attributes(op);
  attributes.set(std::string(spec.name), std::move(bad));
  std::string message;
  try {
    check_attributes(op, attributes, "my_node");
  } catch (const CompileError& error) {
    message = error.what();
  }
  CAPTURE(op.name);
  CAPTURE(spec.name);
  CAPTURE(why);
  CHECK_MESSAGE(!message.empty(), "a bad value was accepted");
  CHECK(message.find("'" + std::string(spec.name) + "'") != std::string::npos);
  CHECK(message.find("my_node") != std::string::npos);
}

AttributeValue number_of(const AttributeSpec& spec, double value) {
  switch (spec.type) {
    case AttributeType::integer:
      return static_cast<int64_t>(value);
    case AttributeType::integers:
      return std::vector<int64_t>{static_cast<int64_t>(value)};
    case AttributeType::reals:
      return std::vector<double>{value};
    default:
      return value;
  }
}

}  // namespace

TEST_CASE("ops: every name is unique and every entry has a doc, an infer and examples") {
  std::set<std::string_view> names;
  for (const Op& op : all_ops()) {
    CAPTURE(op.name);
    CHECK(names.insert(op.name).second);
    CHECK_FALSE(op.doc.empty());
    CHECK(static_cast<bool>(op.infer));
    CHECK(find_op(op.name) == &op);
    if (op.family == OpFamily::control) continue;  // loops need bodies: control_test.cpp
    CHECK_MESSAGE(!op.examples.empty(), "an op needs examples");
    CHECK(static_cast<bool>(op.reference));
    if (!op.expand && op.differentiable) CHECK(static_cast<bool>(op.gradient));
    if (op.family == OpFamily::elementwise) CHECK(static_cast<bool>(op.lower));
  }
}

TEST_CASE("ops: the reference yields the types that infer says, in f32 and in f64") {
  for_each_case([](const OpCase& c) {
    verify_graph(c.graph, "building");
    // interpret_graph compares the reference's shapes and element types with the graph's.
    const std::vector<HostTensor> declared = interpret_graph(c.graph, c.inputs);
    const std::vector<HostTensor> exact = interpret_graph(c.graph, c.inputs, in_f64);
    REQUIRE(declared.size() == exact.size());
    for (const HostTensor& output : declared)
      for (double value : output.data) {
        if (output.dtype == DType::f32 && !std::isnan(value))
          CHECK(static_cast<double>(static_cast<float>(value)) == value);
        if (is_integer(output.dtype)) CHECK(value == std::floor(value));
        if (output.dtype == DType::boolean) CHECK((value == 0.0 || value == 1.0));
      }
  });
}

TEST_CASE("ops: no op yields zeros on all of its examples") {
  for (const Op& op : all_ops()) {
    if (op.family == OpFamily::control || op.examples.empty()) continue;
    bool any_nonzero = false;
    for (size_t i = 0; i < op.examples.size(); ++i) {
      const OpCase c = make_case(op, i);
      for (const HostTensor& output : interpret_graph(c.graph, c.inputs))
        for (double value : output.data) any_nonzero |= value != 0.0;
    }
    CHECK_MESSAGE(any_nonzero, op.name << " yields zeros on all its examples");
  }
}

TEST_CASE("ops: attributes and graphs survive the way through text") {
  for_each_case([](const OpCase& c) {
    CHECK(Attributes::parse(c.attributes.text()) == c.attributes);
    const std::string text = graph_text(c.graph);
    CHECK(graph_text(parse_graph(text)) == text);
  });
}

TEST_CASE("ops: an expansion means what its reference says") {
  for_each_case([](const OpCase& c) {
    if (!c.op->expand) return;
    const Graph expanded = expand(c.graph);
    verify_graph(expanded, "expand");
    for (const Node& node : expanded.nodes) CHECK(!node.op->expand);
    const std::vector<HostTensor> wanted = interpret_graph(c.graph, c.inputs, in_f64);
    const std::vector<HostTensor> got = interpret_graph(expanded, c.inputs, in_f64);
    REQUIRE(got.size() == wanted.size());
    for (size_t k = 0; k < got.size(); ++k) {
      REQUIRE(got[k].shape == wanted[k].shape);
      for (size_t i = 0; i < got[k].data.size(); ++i) {
        if (near(got[k].data[i], wanted[k].data[i], 1e-9)) continue;
        FAIL_CHECK("output " << k << " element " << i << " is " << got[k].data[i] << " expanded but "
                             << wanted[k].data[i] << " by reference");
        break;
      }
    }
  });
}

TEST_CASE("ops: gradients agree with central differences in f64 and are not all zero") {
  for_each_case([](const OpCase& c) {
    if (c.op->differentiable && c.example->differentiable && has_float_output(c)) check_gradient(c);
  });
}

TEST_CASE("ops: what elementwise ops lower to has the inferred type and the reference's values") {
  for_each_case([](const OpCase& c) {
    if (!c.op->lower) return;
    if (std::any_of(c.inputs.begin(), c.inputs.end(),
                    [&](const HostTensor& x) { return x.shape != c.inputs[0].shape; }))
      return;
    const HostTensor wanted = interpret_graph(c.graph, c.inputs)[0];
    for (size_t i = 0; i < wanted.data.size(); ++i) {
      std::vector<Expr> elements;
      for (const HostTensor& input : c.inputs)
        elements.push_back(is_float(input.dtype) ? expr::constant(input.data[i], input.dtype)
                                                 : expr::integer(static_cast<int64_t>(input.data[i]), input.dtype));
      const Expr lowered = c.op->lower(elements, c.attributes);
      REQUIRE(lowered->type == wanted.dtype);
      if (lowered->op != ExprOp::constant) {  // what depends on a NaN is not folded
        const bool infinite = std::any_of(c.inputs.begin(), c.inputs.end(),
                                          [&](const HostTensor& x) { return !std::isfinite(x.data[i]); });
        CHECK_MESSAGE((infinite || std::isnan(wanted.data[i])), "x = " << c.inputs[0].data[i] << " did not fold");
        continue;
      }
      const double got = is_float(wanted.dtype) ? lowered->number : static_cast<double>(lowered->bits);
      const double tolerance = is_float(wanted.dtype) ? 2e-6 : 0.0;
      if (near(got, wanted.data[i], tolerance)) continue;
      FAIL_CHECK("element " << i << " (x = " << c.inputs[0].data[i] << ") lowers to " << got
                            << " but the reference says " << wanted.data[i]);
      break;
    }
  });
}

TEST_CASE("ops: every bad attribute is refused by name") {
  for (const Op& op : all_ops()) {
    for (const AttributeSpec& spec : op.attributes) {
      if (!spec.choices.empty()) check_rejects(op, spec, "no_such_choice", "not among the choices");
      if (spec.least) check_rejects(op, spec, number_of(spec, *spec.least - 1.0), "too small");
      if (spec.most) check_rejects(op, spec, number_of(spec, *spec.most + 1.0), "too large");
      check_rejects(op, spec, spec.type == AttributeType::shape ? AttributeValue(true) : AttributeValue(Shape{1, 2}),
                    "of the wrong type");
      if (spec.default_value.is_none() && !spec.optional) check_rejects(op, spec, AttributeValue(), "missing");
    }
    Attributes attributes = first_attributes(op);
    attributes.set("no_such_attribute", 1);
    CHECK_THROWS_WITH_AS(check_attributes(op, attributes, "my_node"), doctest::Contains("no_such_attribute"),
                         CompileError);
  }
}
