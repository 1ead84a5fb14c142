// What the files of optimizers share: an update by its formula for the expansion and by its meaning for the reference.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

using Values = std::vector<Value>;
using Numbers = std::vector<double>;

// What an update's formula gets, for the expansion.
struct Update {
  Builder& b;
  Value parameter, gradient, step, learning_rate;  // step as a float
  std::span<const Value> states;
  const Attributes& a;

  Value call(std::string_view op, Value x) const { return b.call(op, {x}); }
  Value maximum(Value x, Value y) const { return b.call("maximum", {x, y}); }
  Value minimum(Value x, Value y) const { return b.call("minimum", {x, y}); }
  Value number(double x) const { return b.constant(x, parameter.type().dtype); }
  /// old + (target - old) * (1 - beta): a moving average
  Value average(Value old, Value target, double beta) const { return old + (target - old) * (1.0 - beta); }
  /// 1 - beta^step, exact to f32 also where beta^step is near 1
  Value one_minus_power(double beta) const {
    if (beta == 0.0) return number(1.0);
    return -call("expm1", step * std::log(beta));
  }
};

// The same for the reference: one element at a time.
struct UpdateElement {
  double parameter, gradient, step, learning_rate;
  Numbers states;
  const Attributes& a;
};

// And for updates in which the elements of a parameter depend on each other: all of it.
struct UpdateTensors {
  const HostTensor &parameter, &gradient;
  double step, learning_rate;
  std::span<const HostTensor> states;
  const Attributes& a;
};

struct State {
  const char* name;
  double initial = 0.0;
  std::optional<Shape> shape = {};  // where it is not that of the parameter
};

struct Optimizer {
  std::string_view name;
  std::string_view doc;
  double learning_rate;
  std::vector<AttributeSpec> attributes;
  std::vector<State> (*states)(const Attributes&, const Shape& parameter);
  Values (*expand)(const Update&);  // the new parameter, then the new states
  Numbers (*reference)(const UpdateElement&);
  std::vector<Attributes> examples;
  std::vector<HostTensor> (*tensors_reference)(const UpdateTensors&) = nullptr;  // instead of `reference`
  std::optional<double> weight_decay = {};                                       // its default
};

AttributeSpec optimizer_real(std::string_view name, double value, double least = 0.0, std::optional<double> most = {});
AttributeSpec optimizer_flag(std::string_view name, bool value = false);

/// Adam's update, which other optimizers use for some parameters.
Values adam_update(const Update& u, double beta_1, double beta_2);
Numbers adam_update(const UpdateElement& e, double beta_1, double beta_2);

/// The attributes that apply to one parameter, for optimizers that treat parameters differently (muon).
Attributes attributes_for_parameter(const Op& optimizer, Attributes attributes, std::string_view path, size_t rank);

/// The states that the optimizer keeps for one parameter, in the order of its inputs and outputs. `attributes` are those of
/// attributes_for_parameter.
std::vector<ParameterSpec> optimizer_states(const Op& optimizer, const Type& parameter, const Attributes& attributes,
                                            std::string_view path);

/// What the names of the optimizer's slots begin with: "adam" of adam_update.
std::string optimizer_prefix(const Op& optimizer);

std::vector<Optimizer> whole_tensor_optimizers();  // optimizer_tensors.cpp: lamb, adafactor, muon

}  // namespace moru
