// moru reduce, and what it is made of: failures that are planted in ops are found, kept and shrunk.
#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "compiler/interpret/reference.h"
#include "tests/tools/moru_process.h"
#include "tools/moru/reduce_graph.h"

using namespace moru;
using namespace moru::cli;
using namespace moru::test;

namespace {

/// Two dense layers and a loss; `op` stands in the middle.
std::string network(const std::string& op) {
  return R"(module {
    slot input "x": f32[batch, 12]
    slot parameter "a/kernel": f32[12, 8] trainable
    slot parameter "b/kernel": f32[8, 6] trainable
    slot output "y": f32[batch, 6]
    slot output "sum": f32[batch]
    entry predict {
      %0 = input "x": f32[batch, 12]
      %1 = input "a/kernel": f32[12, 8]
      %2 = input "b/kernel": f32[8, 6]
      %3: f32[batch, 8] = contract(%0, %1) {spec="ab,bc->ac"}
      %4: f32[batch, 8] = tanh(%3)
      %5: f32[batch, 8] = )" + op + R"((%4)  # culprit
      %6: f32[batch, 8] = mul(%5, %4)
      %7: f32[batch, 6] = contract(%6, %2) {spec="ab,bc->ac"}
      %8: f32[batch, 6] = sigmoid(%7)
      %9: f32[batch] = reduce_sum(%8) {axes=(1), keep_dims=false}
      result "y" = %8
      result "sum" = %9
    }
  })";
}

/// The network whose node in the middle is not `exp` but `wrong`, which differs from it in one way.
Module planted(const Op& wrong) {
  Module module = parse_module(network("exp"));
  for (Node& node : module.entries[0].nodes)
    if (node.op->name == "exp") node.op = &wrong;
  return module;
}

/// Shrinks it, and checks that nothing but the planted op is left, on one element of each axis.
void check_reduces(const Module& module, const std::string& kind, const Op& wrong) {
  const FailureOptions options;
  const GraphFailure failure = find_failure(module, options);
  CHECK(failure.kind == kind);
  CAPTURE(failure.text);
  const Reduction reduction =
      reduce_module(module, [&](const Module& m) { return find_failure(m, options).kind == failure.kind; }, 500);
  const Graph& graph = reduction.module.entries.at(0);
  CAPTURE(module_text(reduction.module));
  REQUIRE(graph.nodes.size() == 1);
  CHECK(graph.nodes[0].op == &wrong);
  CHECK(graph.nodes[0].origin == "culprit");
  CHECK(graph.inputs.size() == 1);
  CHECK(graph.type(graph.inputs[0].value).shape == Shape{Dim::symbol("batch"), 1});
  CHECK(reduction.module.slots.size() == 2);
  CHECK(find_failure(reduction.module, options).kind == kind);
}

}  // namespace

TEST_CASE("reduce: a sound graph does not fail, in any of the ways") {
  const GraphFailure failure = find_failure(parse_module(network("exp")), {});
  CHECK(failure.kind == "");
  CHECK(failure.text == "");
}

TEST_CASE("reduce: a lowering that differs from its reference is shrunk to the op alone") {
  Op wrong = get_op("exp");
  wrong.lower = [](std::span<const Expr> x, const Attributes&) { return x[0]; };
  check_reduces(planted(wrong), "kernels", wrong);
}

TEST_CASE("reduce: a compiler that crashes does not take the reducer with it") {
  Op wrong = get_op("exp");
  wrong.lower = [](std::span<const Expr>, const Attributes&) -> Expr { std::abort(); };
  check_reduces(planted(wrong), "crash: signal 6", wrong);
}

TEST_CASE("reduce: an error stays the same error, whatever it says of names and sizes") {
  Op wrong = get_op("exp");
  wrong.expand = [](Builder&, std::span<const Value> x, const Attributes&) -> std::vector<Value> {
    throw std::logic_error("cannot expand 'culprit' of 12 " + shape_text(x[0].shape()) + " elements");
  };
  check_reduces(planted(wrong), "error: cannot expand  of   elements", wrong);
}

TEST_CASE("reduce: a result that is no number, and a compiler that does not come to an end") {
  Op wrong = get_op("exp");
  wrong.lower = [](std::span<const Expr>, const Attributes&) { return expr::constant(INFINITY, DType::f32); };
  wrong.scalar = {};
  wrong.reference = [](std::span<const HostTensor> x, const Attributes&) {
    HostTensor y = x[0];
    std::fill(y.data.begin(), y.data.end(), INFINITY);
    return std::vector<HostTensor>{y};
  };
  check_reduces(planted(wrong), "nan", wrong);

  Op endless = get_op("exp");
  endless.lower = [](std::span<const Expr>, const Attributes&) -> Expr {
    for (;;) ::pause();
  };
  CHECK(find_failure(planted(endless), {.seconds = 1, .disable = {}}).kind == "timeout");
}

TEST_CASE("reduce: what is left is what the predicate asks for, inside loops too, at the smallest extents that do") {
  const Module module = parse_module(R"(module {
    slot input "h": f32[batch, 6]
    slot input "x": f32[batch, 9, 6]
    slot input "w": f32[6, 6]
    slot output "y": f32[batch, 6]
    entry predict {
      %0 = input "h": f32[batch, 6]
      %1 = input "x": f32[batch, 9, 6]
      %2 = input "w": f32[6, 6]
      %3: f32[batch, 6] = relu(%0)
      %4: f32[batch, 6], %5: f32[batch, 9, 6] = scan(%3, %1, %2) {axes=(1), carries=1, output_axes=(1), reverse=true, sequences=1, trip=none} body {
        %0 = input: f32[batch, 6]
        %1 = input: f32[batch, 6]
        %2 = input: f32[6, 6]
        %3: f32[batch, 6] = contract(%0, %2) {spec="ab,bc->ac"}
        %4: f32[batch, 6] = add(%3, %1)
        %5: f32[batch, 6] = tanh(%4)
        %6: f32[batch, 6] = mul(%5, %3)
        result %6
        result %4
      }
      %6: f32[batch, 6] = exp(%4)
      result "y" = %6
    }
  })");
  const auto fails = [](const Module& m) {  // a tanh in a loop over at least three steps
    for (const Node& node : m.entries[0].nodes) {
      if (node.op->name != "scan") continue;
      const Dim& steps = m.entries[0].type(node.inputs[1]).shape[1];
      for (const Node& inner : node.bodies[0].nodes)
        if (inner.op->name == "tanh" && steps.is_constant() && steps.constant() >= 3) return true;
    }
    return false;
  };
  const Reduction reduction = reduce_module(module, fails, 1000);
  const Graph& graph = reduction.module.entries[0];
  CAPTURE(graph_text(graph));
  REQUIRE(graph.nodes.size() == 1);
  CHECK(graph.nodes[0].bodies[0].nodes.size() == 1);
  CHECK(graph.type(graph.nodes[0].inputs[1]).shape == Shape{Dim::symbol("batch"), 3, 1});
  CHECK(fails(parse_module(module_text(reduction.module))));
  CHECK(reduce_module(module, fails, 3).tries == 3);
}

TEST_CASE("moru reduce: text of a graph that fails becomes smaller text that fails, and is read back") {
  const SmallProject project;
  write_file(project / "log.txt", network("log"));  // of what tanh leaves, half of it negative
  const Outcome outcome = project.moru({"reduce", project / "log.txt", "-o", project / "small.txt"});
  CHECK(outcome.code == 0);
  CHECK(outcome.err.find("predict of '" + (project / "log.txt") + "' fails: ") != std::string::npos);
  CHECK(outcome.err.find("from 7 nodes to 1 in ") != std::string::npos);
  const Module small = parse_module(read_file(project / "small.txt"));
  REQUIRE(small.entries.size() == 1);
  REQUIRE(small.entries[0].nodes.size() == 1);
  CHECK(small.entries[0].nodes[0].op->name == "log");
  const Outcome again = project.moru({"reduce", project / "small.txt", "--json"});
  CHECK(again.code == 0);
  const nlohmann::json report = nlohmann::json::parse(again.out);
  CHECK(report["failure"] == "nan");
  CHECK(report["nodes"] == 1);
  CHECK(report["text"] == read_file(project / "small.txt"));
  CHECK(project.moru({"opt", project / "small.txt", "--passes", "simplify"}).code == 0);

  const Outcome other = project.moru({"reduce", project / "log.txt", "--fails", "native"});
  CHECK(other.code == 1);
  CHECK(other.err.find("does not fail in this way") != std::string::npos);
}

TEST_CASE("moru reduce: a model and a recipe that work do not fail") {
  const SmallProject project;
  for (const char* name : {"model.json", "recipe.json"}) {
    const Outcome outcome = project.moru({"reduce", project / name});
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find("does not fail: it compiles, and reference, kernels and native code agree") != std::string::npos);
  }
}
