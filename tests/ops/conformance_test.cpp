// Every op, every example, every promise of its entry. A new op is tested by being in all_ops().
#include <doctest/doctest.h>

#include <set>

#include "compiler/interpret/gradient_check.h"
#include "compiler/interpret/reference.h"
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

void check_gradient(const OpCase& c) {
  std::vector<HostTensor> inputs = c.inputs;
  Graph forward = c.graph;
  append_weighted_loss(forward, inputs, seed_of(*c.op, 1000));

  std::vector<size_t> positions;  // the weights of the loss stand behind them
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (is_float(c.inputs[i].dtype)) positions.push_back(i);
  bool any_nonzero = false;
  size_t elements = 0;
  for (const InputProbes& input : probe_gradients(forward, inputs, {.samples = 13}, positions)) {
    for (const GradientProbe& probe : input.probes)
      if (!near(probe.gradient, probe.difference(), 2e-6))
        FAIL_CHECK("gradient of input " << input.input << " at element " << probe.element << " (x = " << probe.at
                                        << ") is " << probe.gradient << " but central differences say "
                                        << probe.difference());
    any_nonzero |= input.largest_gradient != 0.0;
    elements += inputs[input.input].data.size();
  }
  // A single element may lie on the flat side of a relu.
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
    if (wanted.dtype == DType::bf16 || c.inputs[0].dtype == DType::bf16) return;  // which has no constants
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
