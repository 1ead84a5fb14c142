// Calls of keras.ops that are nodes of a functional model: what a config says of one, and the graph that it becomes.
// keras_ops.h has the tables of operations.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/exchange/json_text.h"
#include "compiler/ir/builder.h"

namespace moru {

struct KerasOperation {
  std::string module;      // "keras.src.ops.numpy"
  std::string class_name;  // "Mean"
  Json config;             // the arguments that it was made with
  Json args, kwargs;       // those of its call; a tensor of the model is {"tensor": its number}

  /// For an attribute of the layer that the operation becomes, from which export reads it.
  std::string text() const;
  static KerasOperation parse(const std::string& text, std::string class_name);
};

/// The attribute's name.
inline constexpr const char* operation_attribute = "keras";

/// The key that stands for a tensor of the model among arguments.
inline constexpr const char* tensor_key = "tensor";

/// True for an entry of a config's layers that is an operation: "module": "keras.src.ops.numpy".
bool is_keras_operation(const Json& layer);
bool knows_keras_operation(std::string_view class_name);
/// The names of its call's arguments, apart from those that it is made with.
std::string_view keras_operation_signature(std::string_view class_name);

/// The graph from the operation's tensors to its results. Throws CompileError that names `node` where an argument is
/// missing, of another kind than Keras has it, or unsupported.
Graph keras_operation_graph(const KerasOperation& operation, std::span<const Type> tensors, const std::string& node);

/// The arguments of one operation while its graph is built. Numbers among them take the element type of the tensors
/// that they meet, as in Keras: a real makes integers f32.
class OperationCall {
 public:
  OperationCall(const KerasOperation& operation, std::string_view signature, Builder& builder,
                std::vector<Value> tensors, std::string node);

  Builder& builder() const { return builder_; }
  const std::string& name() const { return operation_.class_name; }
  [[noreturn]] void fail(const std::string& what, std::string hint = {}) const;

  bool has(std::string_view argument) const { return find(argument) != nullptr; }  // and is not null
  bool gives(std::string_view argument) const { return arguments_.contains(argument); }  // null or not
  const Json* find(std::string_view argument) const;

  /// A tensor, or a constant as a tensor: f32 for reals, i32 for whole numbers.
  Value tensor(std::string_view argument) const;
  /// Several arguments, of one element type.
  std::vector<Value> operands(std::initializer_list<std::string_view> arguments) const;
  /// A list of tensors, of one element type.
  std::vector<Value> tensors(std::string_view argument) const;
  /// As tensor(), integers and booleans as f32.
  Value floats(std::string_view argument) const;

  int64_t integer(std::string_view argument, std::optional<int64_t> fallback = {}) const;
  double real(std::string_view argument, std::optional<double> fallback = {}) const;
  bool flag(std::string_view argument, bool fallback) const;
  std::string text(std::string_view argument, std::string fallback) const;
  /// One integer, or a list of them.
  std::vector<int64_t> integers(std::string_view argument) const;
  /// Axes of x, from the front and ascending; all where the argument is null or missing.
  std::vector<int64_t> axes(std::string_view argument, const Value& x) const;
  int64_t axis(int64_t given, size_t rank) const;

  Value constant(const Json& value, std::optional<DType> dtype = {}) const;

 private:
  const KerasOperation& operation_;
  Builder& builder_;
  std::vector<Value> tensors_;
  std::string node_;
  std::map<std::string, Json, std::less<>> arguments_;

  std::vector<Value> unified(const std::vector<const Json*>& arguments) const;
  Value plain(const Json& value) const;
};

}  // namespace moru
