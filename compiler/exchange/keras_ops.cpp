#include "compiler/exchange/keras_ops.h"

#include <string>

#include "compiler/exchange/keras_values.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

constexpr auto families = {keras_elementwise_ops, keras_reduction_ops, keras_shape_ops, keras_indexing_ops, keras_product_ops};

const KerasOp* find_keras_op(std::string_view class_name) {
  for (const auto family : families)
    for (const KerasOp& op : family())
      if (op.name == class_name) return &op;
  return nullptr;
}

}  // namespace

Value numeric(const OperationCall& c, Value x) { return x.type().dtype == DType::boolean ? c.builder().cast(x, DType::i32) : x; }

DType dtype_argument(const OperationCall& c, std::string_view argument) {
  const Json* value = c.find(argument);
  std::string name;
  try {
    if (value != nullptr) name = import_dtype_name(*value);
  } catch (const KerasValueError& error) {
    c.fail("attribute '" + std::string(argument) + "' " + error.what);
  }
  if (name == "float16" || name == "bfloat16" || name == "float") name = "float32";  // all is computed in f32 at least
  if (name == "int" || name == "int8" || name == "int16" || name == "uint8" || name == "uint16") name = "int32";
  if (name == "uint32") name = "int64";
  const std::optional<DType> dtype = find_keras_dtype(name);
  if (!dtype) c.fail("has the dtype '" + name + "', which is unsupported");
  return *dtype;
}

bool knows_keras_operation(std::string_view class_name) { return find_keras_op(class_name) != nullptr; }

std::string_view keras_operation_signature(std::string_view class_name) {
  const KerasOp* op = find_keras_op(class_name);
  check_internal(op != nullptr, "an unknown operation is asked for");
  return op->signature;
}

Graph keras_operation_graph(const KerasOperation& operation, std::span<const Type> tensors, const std::string& node) {
  const KerasOp* entry = find_keras_op(operation.class_name);
  check_internal(entry != nullptr, "an unknown operation was read");
  Graph graph;
  Builder builder(graph, node);
  std::vector<Value> inputs;
  for (const Type& type : tensors) inputs.push_back(builder.input(type));
  const OperationCall call(operation, entry->signature, builder, std::move(inputs), node);
  for (const Value& result : entry->build(call)) builder.result(result);
  return graph;
}

}  // namespace moru
