// Loops: their types, their meaning against loops written by hand, and their refusals.
#include <doctest/doctest.h>

#include <cmath>

#include "compiler/interpret/reference.h"
#include "compiler/ir/builder.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

const Dim batch = Dim::symbol("batch");
const Dim time_steps = Dim::symbol("time");

// carry [batch, 2], slice [batch, 2], weight [2]:  next = carry * weight + slice; y = next * slice
Graph accumulate_body(const Dim& rows = batch) {
  Graph body;
  Builder b(body);
  const Value carry = b.input({DType::f32, {rows, 2}});
  const Value x = b.input({DType::f32, {rows, 2}});
  const Value weight = b.input({DType::f32, {2}});
  const Value next = carry * weight + x;
  b.result(next);
  b.result(next * x);
  return body;
}

Graph scan_graph(bool reverse, int64_t output_axis) {
  Graph graph;
  graph.name = "scan_test";
  Builder b(graph);
  const Value inputs[] = {b.input({DType::f32, {batch, 2}}), b.input({DType::f32, {batch, time_steps, 2}}),
                          b.input({DType::f32, {2}})};
  for (const Value& output : b.call_all("scan", inputs,
                                        {{"carries", 1},
                                         {"sequences", 1},
                                         {"axes", std::vector<int64_t>{1}},
                                         {"output_axes", std::vector<int64_t>{output_axis}},
                                         {"reverse", reverse}},
                                        {accumulate_body()}))
    b.result(output);
  return graph;
}

double element(int64_t i) { return static_cast<double>((i * 7 + 3) % 11) * 0.25 - 1.0; }

HostTensor numbered(std::vector<int64_t> shape) {
  HostTensor tensor = make_tensor(DType::f32, std::move(shape));
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.data[static_cast<size_t>(i)] = element(i);
  return tensor;
}

std::string refusal(const std::string& op, std::vector<Type> inputs, Attributes attributes, std::vector<Graph> bodies) {
  Graph graph;
  Builder b(graph, "my_loop");
  std::vector<Value> values;
  for (const Type& type : inputs) values.push_back(b.input(type));
  try {
    b.call_all(op, values, std::move(attributes), std::move(bodies));
  } catch (const CompileError& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const char* part) {
  CAPTURE(text);
  CAPTURE(part);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("scan: forwards and in reverse it does what a loop does, outputs at their own times") {
  constexpr int64_t rows = 3, times = 5;
  for (bool reverse : {false, true})
    for (int64_t output_axis : {0, 1, 2}) {
      CAPTURE(reverse);
      CAPTURE(output_axis);
      const Graph graph = scan_graph(reverse, output_axis);
      verify_graph(graph, "building");
      Shape stacked = {batch, 2};
      stacked.insert(stacked.begin() + output_axis, time_steps);
      CHECK(graph.type(graph.results[1].value) == Type{DType::f32, stacked});

      const HostTensor start = numbered({rows, 2}), x = numbered({rows, times, 2});
      const HostTensor weight{DType::f32, {2}, {0.5, -0.75}};
      const HostTensor inputs[] = {start, x, weight};
      const std::vector<HostTensor> results = interpret_graph(graph, inputs, {.numbers = Numbers::all_f64});

      for (int64_t row = 0; row < rows; ++row)
        for (int64_t unit = 0; unit < 2; ++unit) {
          double carry = start.data[static_cast<size_t>(row * 2 + unit)];
          for (int64_t round = 0; round < times; ++round) {
            const int64_t t = reverse ? times - 1 - round : round;
            const double slice = x.data[static_cast<size_t>((row * times + t) * 2 + unit)];
            carry = carry * weight.data[static_cast<size_t>(unit)] + slice;
            const int64_t at = output_axis == 0   ? (t * rows + row) * 2 + unit
                               : output_axis == 1 ? (row * times + t) * 2 + unit
                                                  : (row * 2 + unit) * times + t;
            CHECK(results[1].data[static_cast<size_t>(at)] == doctest::Approx(carry * slice));
          }
          CHECK(results[0].data[static_cast<size_t>(row * 2 + unit)] == doctest::Approx(carry));
        }
    }
}

TEST_CASE("scan: without sequences it runs `trip` times, and not at all for 0") {
  for (int64_t trip : {0, 1, 6}) {
    Graph body;
    Builder inside(body);
    const Value carry = inside.input({DType::f32, {}});
    inside.result(carry * 2.0);
    inside.result(carry + 1.0);
    Graph graph;
    Builder b(graph);
    const Value start = b.input({DType::f32, {}});
    for (const Value& output :
         b.call_all("scan", std::span<const Value>(&start, 1),
                    {{"carries", 1}, {"trip", Shape{trip}}, {"output_axes", std::vector<int64_t>{0}}}, {body}))
      b.result(output);
    const HostTensor one = make_tensor(DType::f32, {}, 1.0);
    const std::vector<HostTensor> results = interpret_graph(graph, {&one, 1});
    CHECK(results[0].data[0] == std::exp2(static_cast<double>(trip)));
    REQUIRE(results[1].shape == std::vector<int64_t>{trip});
    for (int64_t t = 0; t < trip; ++t)
      CHECK(results[1].data[static_cast<size_t>(t)] == std::exp2(static_cast<double>(t)) + 1.0);
  }
}

TEST_CASE("scan: a body that does not fit is refused in words") {
  const Type carry{DType::f32, {batch, 2}}, sequence{DType::f32, {batch, time_steps, 2}}, weight{DType::f32, {2}};
  const Attributes good{
      {"carries", 1}, {"sequences", 1}, {"axes", std::vector<int64_t>{1}}, {"output_axes", std::vector<int64_t>{1}}};
  auto with = [&](const char* name, AttributeValue value) {
    Attributes attributes = good;
    attributes.set(name, std::move(value));
    return attributes;
  };
  const std::vector<Type> inputs = {carry, sequence, weight};
  CHECK(refusal("scan", inputs, good, {accumulate_body()}).empty());
  contains(refusal("scan", inputs, good, {}), "needs one body but got 0");
  contains(refusal("scan", {carry, sequence}, good, {accumulate_body()}),
           "needs a body with 2 inputs but got one with 3");
  contains(refusal("scan", inputs, with("axes", std::vector<int64_t>{}), {accumulate_body()}), "'axes' names 0");
  contains(refusal("scan", inputs, with("axes", std::vector<int64_t>{3}), {accumulate_body()}),
           "axis 3 does not exist");
  contains(refusal("scan", inputs, with("axes", std::vector<int64_t>{2}), {accumulate_body()}),
           "gives its body a f32[batch, time] as input 1 (a slice of a sequence) but the body takes a f32[batch, 2]");
  contains(refusal("scan", inputs, with("trip", Shape{7}), {accumulate_body()}), "different lengths: 7 and time");
  contains(refusal("scan", inputs, with("output_axes", std::vector<int64_t>{}), {accumulate_body()}),
           "1 next carries and 0 outputs");
  contains(refusal("scan", inputs, with("output_axes", std::vector<int64_t>{3}), {accumulate_body()}),
           "cannot stack f32[batch, 2] along axis 3");
  contains(refusal("scan", {carry, sequence, {DType::f32, {3}}}, good, {accumulate_body()}), "an invariant");
  Graph other = accumulate_body();
  other.results[0].value = other.inputs[2].value;
  contains(refusal("scan", inputs, good, {other}), "carry 0 starts as f32[batch, 2] but the body makes it f32[2]");
  contains(refusal("scan", {carry, weight}, {{"carries", 1}}, {[] {
                     Graph body;
                     Builder b(body);
                     b.result(b.input({DType::f32, {batch, 2}}));
                     b.input({DType::f32, {2}});
                     return body;
                   }()}),
           "needs the attribute 'trip'");
  CHECK_THROWS_WITH_AS(check_attributes(get_op("scan"), {{"carries", -1}}, "my_loop"), doctest::Contains("'carries'"),
                       CompileError);
}

namespace {

// x [rows, 3], weight [3], first []:  sums: sum over rows of x * weight, and of 1; joined: x + first row's index
Graph tile_body() {
  const Dim rows = Dim::symbol("rows");
  Graph body;
  Builder b(body);
  const Value x = b.input({DType::f32, {rows, 3}});
  const Value weight = b.input({DType::f32, {3}});
  const Value first = b.input({DType::i64, {}});
  b.result(b.reduce("reduce_sum", x * weight, {0}));
  b.result(b.dim_value(rows));
  b.result(x + b.cast(first, DType::f32));
  b.result(b.reshape(x, {rows * 3}));
  return body;
}

const Attributes tile_attributes{{"chunk", 4}, {"slices", 1}, {"sums", 2}};

}  // namespace

TEST_CASE("tile: chunks of rows, the last one short, give sums and joined rows") {
  Graph graph;
  Builder b(graph);
  const Value inputs[] = {b.input({DType::f32, {batch, 3}}), b.input({DType::f32, {3}})};
  for (const Value& output : b.call_all("tile", inputs, tile_attributes, {tile_body()})) b.result(output);
  verify_graph(graph, "building");
  CHECK(graph.type(graph.results[2].value) == Type{DType::f32, {batch, 3}});
  CHECK(graph.type(graph.results[3].value) == Type{DType::f32, {batch * 3}});
  for (int64_t rows : {1, 3, 4, 8, 10}) {
    const HostTensor x = numbered({rows, 3});
    const HostTensor tensors[] = {x, {DType::f32, {3}, {1.0, 2.0, -0.5}}};
    const std::vector<HostTensor> results = interpret_graph(graph, tensors);
    for (int64_t column = 0; column < 3; ++column) {
      double sum = 0;
      for (int64_t row = 0; row < rows; ++row) {
        const double value = x.data[static_cast<size_t>(row * 3 + column)];
        sum += value * tensors[1].data[static_cast<size_t>(column)];
        CHECK(results[2].data[static_cast<size_t>(row * 3 + column)] == value + static_cast<double>(row / 4 * 4));
      }
      CHECK(results[0].data[static_cast<size_t>(column)] == doctest::Approx(sum));
    }
    CHECK(results[1].data[0] == static_cast<double>(rows));
    CHECK(results[3].data == x.data);
  }
}

TEST_CASE("tile: a body that does not fit is refused in words") {
  const Type x{DType::f32, {batch, 3}}, weight{DType::f32, {3}};
  CHECK(refusal("tile", {x, weight}, tile_attributes, {tile_body()}).empty());
  contains(refusal("tile", {x}, tile_attributes, {tile_body()}), "needs a body with 2 inputs but got one with 3");
  contains(refusal("tile", {{DType::f32, {}}, weight}, tile_attributes, {tile_body()}), "cannot cut rows from input 0");
  contains(refusal("tile", {{DType::f32, {Dim::symbol("rows"), 3}}, weight}, tile_attributes, {tile_body()}),
           "cannot use the symbol 'rows'");
  contains(refusal("tile", {x, {DType::f32, {4}}}, tile_attributes, {tile_body()}), "input 1 (an invariant)");
  Attributes more_sums = tile_attributes;
  more_sums.set("sums", 3);
  contains(refusal("tile", {x, weight}, more_sums, {tile_body()}), "cannot add up result 2");
  Attributes fewer_sums = tile_attributes;
  fewer_sums.set("sums", 1);
  contains(refusal("tile", {x, weight}, fewer_sums, {tile_body()}), "cannot join the chunks of result 1");
}
