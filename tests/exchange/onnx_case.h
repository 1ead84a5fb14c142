// OnnxCase: a small ONNX model that a test writes down node by node, and its answers by native code.
#pragma once

#include <doctest/doctest.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/support/error.h"
#include "runtime/training/predict.h"
#include "tests/runtime/temporary_directory.h"
#include "tests/support/need.h"
#include "tools/moru/native_program.h"

namespace moru::test {

constexpr int32_t onnx_float = onnx::TensorProto::FLOAT, onnx_long = onnx::TensorProto::INT64,
                  onnx_byte = onnx::TensorProto::UINT8;

template <typename T>
SavedTensor tensor_of(std::string name, DType dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {std::move(name), dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}
inline SavedTensor floats(std::string name, std::vector<int64_t> shape, const std::vector<float>& values) {
  return tensor_of(std::move(name), DType::f32, std::move(shape), values);
}
inline SavedTensor longs(std::string name, std::vector<int64_t> shape, const std::vector<int64_t>& values) {
  return tensor_of(std::move(name), DType::i64, std::move(shape), values);
}
inline SavedTensor ints(std::string name, std::vector<int64_t> shape, const std::vector<int32_t>& values) {
  return tensor_of(std::move(name), DType::i32, std::move(shape), values);
}
template <typename T>
std::vector<T> values_of(const SavedTensor& tensor) {
  const auto* begin = reinterpret_cast<const T*>(tensor.bytes.data());
  return {begin, begin + tensor.bytes.size() / sizeof(T)};
}

inline void check_close(const std::vector<float>& got, const std::vector<float>& wanted, double tolerance = 1e-6) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(tolerance));
  }
}
inline void check_close(const SavedTensor& got, const std::vector<float>& wanted, double tolerance = 1e-6) {
  check_close(values_of<float>(got), wanted, tolerance);
}

inline onnx::NodeProto& add_node(onnx::GraphProto& graph, const std::string& op, const std::vector<std::string>& inputs,
                                 const std::vector<std::string>& outputs, const std::string& domain = "") {
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type(op);
  node.set_domain(domain);
  node.set_name("the_" + op);
  for (const std::string& input : inputs) node.add_input(input);
  for (const std::string& output : outputs) node.add_output(output);
  return node;
}

inline onnx::AttributeProto& attribute(onnx::NodeProto& node, const std::string& name,
                                       onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto& added = *node.add_attribute();
  added.set_name(name);
  added.set_type(type);
  return added;
}
inline void set_integer(onnx::NodeProto& node, const std::string& name, int64_t value) {
  attribute(node, name, onnx::AttributeProto::INT).set_i(value);
}
inline void set_strings(onnx::NodeProto& node, const std::string& name, const std::vector<std::string>& values) {
  onnx::AttributeProto& added = attribute(node, name, onnx::AttributeProto::STRINGS);
  for (const std::string& value : values) added.add_strings(value);
}
inline onnx::GraphProto& set_graph(onnx::NodeProto& node, const std::string& name) {
  return *attribute(node, name, onnx::AttributeProto::GRAPH).mutable_g();
}

/// A number is an extent, anything else a symbol.
inline void add_value(onnx::ValueInfoProto& info, const std::string& name, int32_t type,
                      const std::vector<std::string>& shape) {
  info.set_name(name);
  auto* tensor = info.mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  tensor->mutable_shape();
  for (const std::string& dim : shape) {
    auto* added = tensor->mutable_shape()->add_dim();
    if (dim.find_first_not_of("0123456789") == std::string::npos)
      added->set_dim_value(std::stoll(dim));
    else
      added->set_dim_param(dim);
  }
}

template <typename T>
void add_initializer(onnx::GraphProto& graph, const std::string& name, int32_t type, const std::vector<int64_t>& shape,
                     const std::vector<T>& values) {
  onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (int64_t extent : shape) tensor.add_dims(extent);
  tensor.set_raw_data(values.data(), values.size() * sizeof(T));
}

struct OnnxCase {
  TemporaryDirectory directory;
  onnx::ModelProto proto;

  explicit OnnxCase(int64_t version = 17) {
    proto.set_ir_version(8);
    proto.add_opset_import()->set_version(version);
    proto.mutable_graph()->set_name("case");
  }
  onnx::GraphProto& graph() { return *proto.mutable_graph(); }
  void input(const std::string& name, const std::vector<std::string>& shape, int32_t type = onnx_float) {
    add_value(*graph().add_input(), name, type, shape);
  }
  void output(const std::string& name) { graph().add_output()->set_name(name); }
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::string& domain = "") {
    return add_node(graph(), op, inputs, outputs, domain);
  }

  std::string path() const { return directory / "model.onnx"; }
  void write() const {
    std::ofstream file(path(), std::ios::binary);
    if (!proto.SerializeToOstream(&file)) throw std::runtime_error("cannot write " + path());
  }

  /// The outputs for these inputs; `bind` lets shapes depend on the inputs' values, as `moru run` does.
  std::vector<SavedTensor> run(const std::vector<SavedTensor>& inputs, bool bind = false) const {
    write();
    OnnxImportOptions options;
    if (bind)
      for (const SavedTensor& input : inputs)
        options.bindings.push_back({input.name, input.dtype, input.shape, input.bytes});
    return answers(import_onnx(path(), options), inputs);
  }
  static std::vector<SavedTensor> answers(Model model, const std::vector<SavedTensor>& inputs) {
    const auto program = need(make_native_program(model, {}));
    const auto session = need(Session::create(program));
    // What was wanted only as a number while importing is no input of the program.
    const std::vector<uint32_t>& slots = program->entries()[program->find_entry("predict").value()].inputs;
    std::vector<SavedTensor> read;
    for (const SavedTensor& input : inputs)
      if (std::any_of(slots.begin(), slots.end(),
                      [&](uint32_t slot) { return program->slots()[slot].name == input.name; }))
        read.push_back(input);
    return need(predict_tensors(*session, read));
  }
  std::string error(const std::vector<SavedTensor>& inputs = {}) const {
    try {
      run(inputs);
    } catch (const CompileError& error) {
      return error.what();
    }
    return "no error";
  }
};

}  // namespace moru::test
