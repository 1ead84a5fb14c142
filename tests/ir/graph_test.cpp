#include "compiler/ir/graph.h"

#include <doctest/doctest.h>

#include <clocale>
#include <string>

#include "compiler/ir/builder.h"
#include "compiler/ops/op.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

const char* module_example = R"(module {
  slot input "x": f32[batch, 5, 3]
  slot input "ids": i32[batch] limit 5000000000
  slot parameter "lstm/kernel": f32[3, 4] trainable
  slot control "rate": f32[] initial 0.1
  slot output "a \"quoted\" name": f32[batch, 4]
  entry predict {
    %0 = input "x": f32[batch, 5, 3]
    %1 = input "lstm/kernel": f32[3, 4]
    %2: f32[batch, 4] = fill() {dtype="f32", shape=[batch, 4], value=0.5}  # lstm
    %3: f32[batch, 4], %4: f32[batch, 5, 4] = scan(%2, %0, %1) {axes=(1), carries=1, output_axes=(1), reverse=true, sequences=1, trip=none} body {
      %0 = input: f32[batch, 4]
      %1 = input: f32[batch, 3]
      %2 = input: f32[3, 4]
      %3: f32[batch, 4] = contract(%1, %2) {spec="ab,bc->ac"}  # lstm:2
      %4: f32[batch, 4] = add(%3, %0)
      result %4
      result %3
    }  # lstm
    result "a \"quoted\" name" = %3
  }
}
)";

std::string reason_of(const Graph& graph) {
  try {
    verify_graph(graph, "a test");
  } catch (const InternalError& error) {
    return error.what();
  }
  return "";
}

Graph small_graph() {
  Graph graph = parse_graph(R"(entry small {
    %0 = input "x": f32[batch, 3]
    %1: f32[batch, 3] = tanh(%0)  # squash
    %2: f32[batch, 3] = add(%1, %0)
    result "y" = %2
  })");
  verify_graph(graph, "parsing");
  return graph;
}

void check_parse_error(const std::string& text, const std::string& what, const std::string& line) {
  CAPTURE(text.substr(0, 100));
  try {
    parse_module(text);
    FAIL_CHECK("was accepted");
  } catch (const CompileError& error) {
    const std::string message = error.what();
    CHECK_MESSAGE(message.find(what) != std::string::npos, message.substr(0, 200));
    CHECK_MESSAGE(message.find("line " + line) != std::string::npos, message.substr(0, 200));
  }
}

}  // namespace

TEST_CASE("graph: a module with a loop, attributes, origins and odd names prints as it was parsed") {
  const Module module = parse_module(module_example);
  verify_module(module, "parsing");
  CHECK(module_text(module) == module_example);
  CHECK(module.slots[1].index_limit == 5000000000);
  CHECK(module.slots[2].trainable);
  CHECK(module.slots[3].initial == 0.1);
  CHECK(module.find_slot("a \"quoted\" name") == &module.slots[4]);
  const Graph& graph = *module.find_entry("predict");
  CHECK(graph.nodes[0].origin == "lstm");
  CHECK(graph.nodes[1].origin == "lstm");
  CHECK(graph.nodes[1].bodies[0].nodes[0].origin == "lstm:2");
  CHECK(graph.nodes[1].attributes.boolean("reverse"));
  CHECK(module.find_entry("train_step") == nullptr);
}

TEST_CASE("graph: an absent optional input prints as _ and comes back") {
  const char* text = R"(entry f {
  %0 = input "x": f32[batch, 3]
  %1 = input "kernel": f32[3, 2]
  %2: f32[batch, 2] = dense(%0, %1, _) {units=2}
  result "y" = %2
}
)";
  const Graph graph = parse_graph(text);
  CHECK(graph.nodes[0].inputs[2] == no_value);
  CHECK(graph_text(graph) == text);
}

TEST_CASE("graph: the verifier names every broken invariant, the node and the pass") {
  Graph graph = small_graph();
  CHECK(reason_of(graph).empty());

  graph = small_graph();
  std::swap(graph.nodes[0], graph.nodes[1]);
  CHECK(reason_of(graph).find("graph 'small' is wrong after a test: node 0 (add) uses %1 before its definition") !=
        std::string::npos);

  graph = small_graph();
  graph.nodes[1].outputs[0] = graph.nodes[0].outputs[0];
  CHECK(reason_of(graph).find("defines %1 again") != std::string::npos);

  graph = small_graph();
  graph.types[2] = {DType::f32, {3}};
  CHECK(reason_of(graph).find("output 0 is f32[3] but should be f32[batch, 3]") != std::string::npos);

  graph = small_graph();
  graph.types[0] = {DType::i32, {3}};
  CHECK(reason_of(graph).find("squash") != std::string::npos);

  graph = small_graph();
  graph.nodes[0].inputs[0] = 77;
  CHECK(reason_of(graph).find("uses %77") != std::string::npos);

  graph = small_graph();
  graph.nodes[0].op = nullptr;
  CHECK(reason_of(graph).find("has no op") != std::string::npos);

  graph = small_graph();
  graph.nodes[0].outputs.push_back(graph.add_value({DType::f32, {}}));
  CHECK(reason_of(graph).find("wrong number of outputs") != std::string::npos);

  graph = small_graph();
  graph.add_result(graph.add_value({DType::f32, {}}), "z");
  CHECK(reason_of(graph).find("result 'z' is not defined") != std::string::npos);

  graph = small_graph();
  graph.inputs.push_back({99, "w"});
  CHECK(reason_of(graph).find("an input defines a value that does not exist") != std::string::npos);
}

TEST_CASE("graph: the verifier looks into bodies") {
  Module module = parse_module(module_example);
  module.entries[0].nodes[1].bodies[0].nodes[1].inputs[0] = 4;
  CHECK_THROWS_WITH_AS(verify_module(module, "a test"), doctest::Contains("before its definition"), InternalError);
}

TEST_CASE("graph: the verifier holds entries to their slots") {
  auto reason = [](auto change) -> std::string {
    Module module = parse_module(module_example);
    change(module);
    try {
      verify_module(module, "a test");
    } catch (const InternalError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(reason([](Module& m) { m.slots.erase(m.slots.begin()); }).find("reads slot 'x', which does not exist") !=
        std::string::npos);
  CHECK(reason([](Module& m) { m.slots[2].type.shape[1] = 5; }).find("but the slot is f32[3, 5]") != std::string::npos);
  CHECK(reason([](Module& m) {
          m.slots[4].name = "other";
        }).find("writes slot 'a \"quoted\" name', which does not exist") != std::string::npos);
  CHECK(reason([](Module& m) { m.slots[4].type.dtype = DType::f64; }).find("but the slot is f64[batch, 4]") !=
        std::string::npos);
  CHECK(reason([](Module& m) { m.entries[0].results.push_back(m.entries[0].results[0]); }).find("is written twice") !=
        std::string::npos);
}

TEST_CASE("graph: a wrong text is refused with its line") {
  check_parse_error("graph {", "expected 'module'", "1");
  check_parse_error("module {\n  sloth input \"x\": f32[3]\n}", "expected 'slot' or 'entry'", "2");
  check_parse_error("module {\n  slot thing \"x\": f32[3]\n}", "unknown slot kind 'thing'", "2");
  check_parse_error("module {\n  slot input \"x\": f33[3]\n}", "unknown element type 'f33'", "2");
  check_parse_error("module {\n  slot input \"x\": f32[3\n}", "missing ']'", "3");
  check_parse_error("module {\n\n  slot input \"x\": f32[floor(3, 0)]\n}", "not positive", "3");
  check_parse_error("module {\n  slot input \"x\": f32[3] initial lots\n}", "expected a number", "2");
  check_parse_error("module {\n  slot input \"x\": f32[3] limit 99999999999999999999\n}", "expected a number", "2");
  check_parse_error("module {\n  entry f {\n    %0 = no_such_op()\n  }\n}", "there is no op 'no_such_op'", "3");
  check_parse_error("module {\n  entry f {\n    %0: f32[] = tanh(%1)\n  }\n}", "%1 is used before its definition", "3");
  check_parse_error("module {\n  entry f {\n    %0 = input: f32[]\n    %0 = input: f32[]\n  }\n}",
                    "%0 is defined twice", "4");
  check_parse_error("module {\n  entry f {\n    %99999999999 = input: f32[]\n  }\n}", "expected a number", "3");
  check_parse_error("module {\n  entry f {\n    %0: f32[] = fill() {value=}\n  }\n}", "", "3");
  check_parse_error("module {\n}\nmore", "unexpected text", "3");
  check_parse_error("module {", "expected", "1");
  check_parse_error("module {\n slot input \"x", "expected '\"'", "2");
}

TEST_CASE("graph: text is the same in every locale") {
  const std::string text = "module {\n  slot control \"rate\": f32[] initial 0.001\n}\n";
  const std::string before = std::setlocale(LC_ALL, nullptr);
  // With commas for points, where one of them is installed.
  for (const char* name : {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "ru_RU.UTF-8"})
    if (std::setlocale(LC_ALL, name) != nullptr) break;
  CHECK(module_text(parse_module(text)) == text);
  CHECK(parse_module(text).slots[0].initial == 0.001);
  std::setlocale(LC_ALL, before.c_str());
}

TEST_CASE("graph: deeply nested text is refused without exhausting the stack") {
  std::string bodies = "module {\n entry f {\n", lists = bodies;
  for (int i = 0; i < 100000; ++i) bodies += "%0: f32[] = scan() body {\n";
  check_parse_error(bodies, "nested too deep", "");
  lists += "%0: f32[] = fill() ";
  for (int i = 0; i < 100000; ++i) lists += "{a=";
  lists += std::string(100000, '}');
  check_parse_error(lists, "deep", "3");
}
