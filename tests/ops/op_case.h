// One example of one op, made concrete: tensors, parameters, a graph of the single node. What the conformance tests of
// references, passes and generated code loop over.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "compiler/ir/builder.h"
#include "compiler/ir/graph.h"
#include "compiler/ops/op.h"

namespace moru::test {

struct OpCase {
  const Op* op = nullptr;
  const Example* example = nullptr;
  Attributes attributes;           // with defaults
  std::vector<HostTensor> inputs;  // those that are present, in order; f32 values are exact floats
  Graph graph;                     // reads `inputs`, applies the op, yields all its outputs
  std::vector<ValueId> values;     // of `inputs` in the graph
};

inline uint64_t seed_of(const Op& op, size_t example) {
  uint64_t seed = 0xcbf29ce484222325;
  for (char c : op.name) seed = (seed ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return seed + example;
}

/// Inputs are representable in f32, so that a case means the same in f32 and in f64.
inline double as_element(DType dtype, double value) {
  return dtype == DType::f32 ? static_cast<double>(static_cast<float>(value)) : value;
}

inline HostTensor random_tensor(const Example::Tensor& wanted, std::mt19937_64& random) {
  HostTensor tensor = make_tensor(wanted.dtype, wanted.shape);
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    double unit = static_cast<double>(random() >> 11) * 0x1p-53;
    double value = wanted.low + (wanted.high - wanted.low) * unit;
    if (!is_float(wanted.dtype)) value = std::floor(value);
    if (!wanted.values.empty()) value = wanted.values[i % wanted.values.size()];
    tensor.data[i] = as_element(wanted.dtype, value);
  }
  return tensor;
}

inline Type type_of(const HostTensor& tensor) {
  return {tensor.dtype, Shape(tensor.shape.begin(), tensor.shape.end())};
}

/// A parameter's values: around 1 where it starts as ones (scales, variances), around 0 otherwise.
inline HostTensor random_parameter(const ParameterSpec& spec, std::mt19937_64& random) {
  Example::Tensor wanted{.shape = {}, .low = -0.7, .high = 0.7, .dtype = spec.dtype};
  for (const Dim& dim : spec.shape) wanted.shape.push_back(dim.constant());
  std::string text = Attributes{{"initializer", spec.initializer}}.text();
  if (text.find("Ones") != std::string::npos || text.find("\"ones\"") != std::string::npos)
    wanted.low = 0.5, wanted.high = 1.5;
  return random_tensor(wanted, random);
}

inline OpCase make_case(const Op& op, size_t index) {
  OpCase c;
  c.op = &op;
  c.example = &op.examples.at(index);
  c.attributes = check_attributes(op, c.example->attributes, "example");
  std::mt19937_64 random(seed_of(op, index));

  std::vector<HostTensor> slots;  // by input position; absent ones have no elements and no axes
  for (const Example::Tensor& wanted : c.example->inputs)
    slots.push_back(wanted.absent ? HostTensor{} : random_tensor(wanted, random));
  if (op.parameters && op.family != OpFamily::optimizer) {  // an optimizer's examples give its state themselves
    std::vector<Type> types;
    for (const HostTensor& tensor : slots) types.push_back(type_of(tensor));
    std::vector<char> present;
    for (const Example::Tensor& wanted : c.example->inputs) present.push_back(!wanted.absent);
    OpContext context{
        types, {reinterpret_cast<const bool*>(present.data()), present.size()}, c.attributes, {}, "example"};
    for (const ParameterSpec& spec : op.parameters(context)) {
      auto named =
          std::find_if(op.inputs.begin(), op.inputs.end(), [&](const InputSpec& s) { return s.name == spec.name; });
      size_t at = named == op.inputs.end() ? slots.size() : static_cast<size_t>(named - op.inputs.begin());
      if (at < c.example->inputs.size() && !c.example->inputs[at].absent) continue;  // the example gives it
      if (at >= slots.size()) slots.resize(at + 1);
      slots[at] = random_parameter(spec, random);
    }
  }
  c.graph.name = op.name;
  Builder builder(c.graph, "example");
  std::vector<Value> inputs;
  for (HostTensor& tensor : slots) {
    if (tensor.shape.empty() && tensor.data.empty()) {
      inputs.push_back({});
      continue;
    }
    inputs.push_back(builder.input(type_of(tensor)));
    c.values.push_back(inputs.back().id);
    c.inputs.push_back(std::move(tensor));
  }
  for (const Value& output : builder.call_all(op.name, inputs, c.example->attributes)) builder.result(output);
  return c;
}

/// |got - wanted| <= tolerance * (1 + |wanted|), NaN equal to NaN, infinities equal to themselves.
inline bool near(double got, double wanted, double tolerance) {
  if (std::isnan(got) || std::isnan(wanted)) return std::isnan(got) && std::isnan(wanted);
  if (std::isinf(got) || std::isinf(wanted)) return got == wanted;
  return std::fabs(got - wanted) <= tolerance * (1.0 + std::fabs(wanted));
}

}  // namespace moru::test
