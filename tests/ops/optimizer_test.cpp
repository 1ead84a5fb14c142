// Optimizer updates against hand-computed steps, and what the conformance test cannot say.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "compiler/interpret/reference.h"
#include "compiler/passes/expand.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

// Minimises w^2/2 from w = 10 (gradient w) for some steps, in f32 on the expanded graph; returns w after each.
std::vector<double> descent(const char* optimizer, double learning_rate, int steps, Attributes attributes = {}) {
  const Op& op = get_op(optimizer);
  attributes = check_attributes(op, std::move(attributes), "optimizer");
  Type parameter{DType::f32, {1}};
  bool present[] = {true};
  std::vector<ParameterSpec> specs = op.parameters({{&parameter, 1}, present, attributes, {}, "w"});
  Graph graph;
  Builder b(graph);
  std::vector<Value> inputs = {b.input(parameter), b.input(parameter), b.input({DType::i64, {}}), b.input({DType::f32, {}})};
  HostTensor w = make_tensor(DType::f32, {1}, 10.0);
  std::vector<HostTensor> states;
  for (const ParameterSpec& spec : specs) {
    inputs.push_back(b.input({spec.dtype, spec.shape}));
    std::vector<int64_t> shape;
    for (const Dim& extent : spec.shape) shape.push_back(extent.constant());
    states.push_back(make_tensor(spec.dtype, shape, std::get<AttributeValue::Nested>(spec.initializer.value)->real("value")));
    round_to_dtype(states.back());
  }
  for (Value output : b.call_all(optimizer, inputs, attributes)) b.result(output);
  Graph expanded = expand(graph);
  HostTensor rate = make_tensor(DType::f32, {}, learning_rate);
  round_to_dtype(rate);
  std::vector<double> path;
  for (int step = 1; step <= steps; ++step) {
    std::vector<HostTensor> tensors = {w, w, make_tensor(DType::i64, {}, step), rate};
    tensors.insert(tensors.end(), states.begin(), states.end());
    std::vector<HostTensor> results = interpret_graph(expanded, tensors);
    w = results[0];
    states.assign(results.begin() + 1, results.end());
    path.push_back(w.data[0]);
  }
  return path;
}

void check_path(const std::vector<double>& path, const std::vector<double>& wanted) {
  REQUIRE(path.size() == wanted.size());
  for (size_t i = 0; i < path.size(); ++i) CHECK(std::fabs(path[i] - wanted[i]) < 1e-5 * (1.0 + std::fabs(wanted[i])));
}

}  // namespace

TEST_CASE("sgd: the velocity holds the learning rate, and nesterov looks ahead") {
  check_path(descent("sgd_update", 0.1, 2), {9.0, 8.1});
  check_path(descent("sgd_update", 0.1, 2, {{"momentum", 0.5}}), {9.0, 9.0 + (-0.5 - 0.9)});
  check_path(descent("sgd_update", 0.1, 2, {{"momentum", 0.5}, {"nesterov", true}}), {8.5, 8.5 + 0.5 * (-0.5 - 0.85) - 0.85});
}

TEST_CASE("rmsprop: the first step of Keras' documentation, 9.683772") {
  check_path(descent("rmsprop_update", 0.1, 1), {9.683772});
}

TEST_CASE("adam: the first step is the learning rate, whatever the gradient, also with a beta_2 near one") {
  check_path(descent("adam_update", 0.1, 1), {9.9});
  check_path(descent("adam_update", 0.1, 1, {{"beta_2", 0.999999}}), {9.9});
  CHECK(descent("adam_update", 0.1, 200).back() < 0.5);
}

TEST_CASE("adamw: decays the parameter by learning rate times weight decay before the update") {
  check_path(descent("adamw_update", 0.1, 1, {{"weight_decay", 0.5}}), {10.0 - 0.1 * 0.5 * 10.0 - 0.1});
  check_path(descent("adamw_update", 0.1, 1), {10.0 - 0.1 * 0.004 * 10.0 - 0.1});
}

TEST_CASE("adagrad: the accumulator starts at its initial value and epsilon is inside the root") {
  check_path(descent("adagrad_update", 0.5, 1, {{"initial_accumulator_value", 44.0}, {"epsilon", 0.25}}),
             {10.0 - 0.5 * 10.0 / std::sqrt(144.25)});
}

TEST_CASE("nadam: the product of the momenta is carried over the steps") {
  double mu_1 = 0.9 * (1 - 0.5 * 0.96), mu_2 = 0.9 * (1 - 0.5 * 0.96 * 0.96);
  double m_hat = mu_2 * 1.0 / (1 - mu_1 * mu_2) + (1 - mu_1) * 10.0 / (1 - mu_1);
  check_path(descent("nadam_update", 0.1, 1), {10.0 - 0.1 * m_hat / (10.0 + 1e-7)});
  CHECK(descent("nadam_update", 0.1, 200).back() < 0.5);
}

namespace {

// The parameter after each of some steps with the given gradients, in f32 on the expanded graph.
std::vector<std::vector<double>> trained(const char* optimizer, std::vector<int64_t> shape, const std::vector<double>& start,
                                         const std::vector<std::vector<double>>& gradients, double learning_rate,
                                         Attributes attributes = {}) {
  const Op& op = get_op(optimizer);
  attributes = check_attributes(op, std::move(attributes), "optimizer");
  Type parameter{DType::f32, Shape(shape.begin(), shape.end())};
  bool present[] = {true};
  Graph graph;
  Builder b(graph);
  std::vector<Value> inputs = {b.input(parameter), b.input(parameter), b.input({DType::i64, {}}), b.input({DType::f32, {}})};
  std::vector<HostTensor> state = {HostTensor{DType::f32, shape, start}};
  for (const ParameterSpec& spec : op.parameters({{&parameter, 1}, present, attributes, {}, "w"})) {
    inputs.push_back(b.input({spec.dtype, spec.shape}));
    std::vector<int64_t> extents;
    for (const Dim& extent : spec.shape) extents.push_back(extent.constant());
    state.push_back(make_tensor(spec.dtype, extents, std::get<AttributeValue::Nested>(spec.initializer.value)->real("value")));
    round_to_dtype(state.back());
  }
  for (Value output : b.call_all(optimizer, inputs, attributes)) b.result(output);
  Graph expanded = expand(graph);
  HostTensor rate = make_tensor(DType::f32, {}, learning_rate);
  round_to_dtype(rate);
  std::vector<std::vector<double>> path;
  for (size_t step = 0; step < gradients.size(); ++step) {
    HostTensor gradient{DType::f32, shape, gradients[step]};
    round_to_dtype(gradient);
    std::vector<HostTensor> tensors = {state[0], gradient, make_tensor(DType::i64, {}, static_cast<double>(step + 1)), rate};
    tensors.insert(tensors.end(), state.begin() + 1, state.end());
    state = interpret_graph(expanded, tensors);
    path.push_back(state[0].data);
  }
  return path;
}

void check_near(const std::vector<double>& got, const std::vector<double>& wanted, double tolerance) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(std::fabs(got[i] - wanted[i]) < tolerance);
}

}  // namespace

// The numbers are those of Keras' own tests of its optimizers, to the digits that stand there.
TEST_CASE("ftrl, lion, lamb and adafactor: the single steps of Keras' tests") {
  std::vector<double> w = {1, 2, 3, 4};
  std::vector<std::vector<double>> g = {{1, 6, 7, 2}};
  check_near(trained("ftrl_update", {4}, w, g, 0.5)[0], {0.2218, 1.3954, 2.3651, 2.8814}, 1e-4);
  check_near(trained("lion_update", {4}, w, g, 0.5)[0], {0.5, 1.5, 2.5, 3.5}, 1e-6);
  check_near(trained("lamb_update", {4}, w, g, 0.5)[0], {-0.3693, 0.6306, 1.6306, 2.6306}, 1e-4);
  check_near(trained("adafactor_update", {4}, w, g, 0.5)[0], {-0.3693, 0.6307, 1.6307, 2.6307}, 1e-4);
  check_near(trained("adafactor_update", {2, 2}, w, g, 0.5)[0], {0.7007, -0.0081, 1.2492, 3.4407}, 1e-4);
}

TEST_CASE("ftrl, lamb and adafactor: the runs of Keras' tests") {
  std::vector<double> gradient;
  for (int i = 1; i <= 10; ++i) gradient.push_back(0.1 * i);
  std::vector<std::vector<double>> gradients = {std::vector<double>(10, 0.01), gradient, gradient, gradient, gradient};
  std::vector<double> ones(10, 1.0);
  auto ftrl = trained("ftrl_update", {10}, ones, gradients, 0.05,
                      {{"learning_rate_power", -0.2}, {"initial_accumulator_value", 0.4}, {"l1_regularization_strength", 0.05},
                       {"l2_regularization_strength", 0.15}, {"l2_shrinkage_regularization_strength", 0.01}, {"beta", 0.3}});
  check_near(ftrl[0], std::vector<double>(10, 0.0), 1e-4);
  check_near(ftrl[4], {-0.0164, -0.0328, -0.0481, -0.0623, -0.0753, -0.0875, -0.099, -0.1098, -0.1201, -0.1299}, 1e-4);
  auto lamb = trained("lamb_update", {10}, ones, gradients, 0.001);
  for (size_t step = 0; step < 5; ++step)
    check_near(lamb[step], std::vector<double>(10, std::vector<double>{0.999, 0.9982, 0.9974, 0.9965, 0.9955}[step]), 1e-3);
  auto adafactor = trained("adafactor_update", {10}, ones, gradients, 0.5,
                           {{"beta_2_decay", -0.65}, {"epsilon_1", 1e-15}, {"epsilon_2", 1e-4}, {"clip_threshold", 0.9}, {"relative_step", false}});
  check_near(adafactor[0], std::vector<double>(10, 0.55), 1e-4);
  check_near(adafactor[4], {0.0554, 0.0548, 0.0546, 0.0546, 0.0546, 0.0546, 0.0546, 0.0545, 0.0545, 0.0545}, 1e-4);
}

TEST_CASE("muon: orthogonalises as Keras' test says, and moves as far whatever the size of the gradient") {
  Attributes plain = {{"rms_rate", 0.0}, {"nesterov", false}, {"momentum", 0.0}};
  for (double size : {1.0, 1000.0}) {
    std::vector<double> g = {0.2499 * size, 0.9105 * size, 0.2655 * size, 0.8824 * size};
    check_near(trained("muon_update", {2, 2}, {0, 0, 0, 0}, {g}, 1.0, plain)[0], {0.4422, -0.6457, -0.7285, -0.2968}, 1e-3);
  }
  check_near(trained("muon_update", {2, 2}, {1, 2, 3, 4}, {{1, 6, 7, 2}}, 0.5, {{"weight_decay", 0.0}})[0],
             {0.988775, 1.887053, 2.873428, 3.97035}, 1e-2);
  check_near(trained("muon_update", {4}, {1, 2, 3, 4}, {{1, 6, 7, 2}}, 0.5, {{"weight_decay", 0.0}})[0], {0.5, 1.5, 2.5, 3.5}, 1e-4);
}

TEST_CASE("optimizers: arguments out of their range are refused") {
  auto error = [](Attributes attributes) -> std::string {
    try {
      descent("adam_update", 0.1, 1, std::move(attributes));
    } catch (const CompileError& refused) {
      return refused.what();
    }
    return "no error";
  };
  CHECK(error({{"beta_1", 1.5}}).find("attribute 'beta_1' is 1.5 but must be from 0 to 1") != std::string::npos);
  CHECK(error({{"clipnorm", 1.0}, {"global_clipnorm", 1.0}, {"clipvalue", 0.5}}) == "no error");
}
