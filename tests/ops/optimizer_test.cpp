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

TEST_CASE("optimizers: unsupported arguments and wrong gradients are refused") {
  auto error = [](Attributes attributes) -> std::string {
    try {
      descent("adam_update", 0.1, 1, std::move(attributes));
    } catch (const CompileError& refused) {
      return refused.what();
    }
    return "no error";
  };
  CHECK(error({{"use_ema", true}}).find("use_ema=true is unsupported") != std::string::npos);
  CHECK(error({{"loss_scale_factor", 8.0}}).find("loss_scale_factor is unsupported") != std::string::npos);
  CHECK(error({{"beta_1", 1.5}}).find("attribute 'beta_1' is 1.5 but must be from 0 to 1") != std::string::npos);
  CHECK(error({{"clipnorm", 1.0}, {"global_clipnorm", 1.0}, {"clipvalue", 0.5}}) == "no error");
}
