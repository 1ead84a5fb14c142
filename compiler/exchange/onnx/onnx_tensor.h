// ONNX tensors and element types in Moru's terms: what a TensorProto holds, and values that are known when compiling.
// Whatever a file says about sizes is checked before memory is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compiler/ops/op.h"
#include "compiler/support/narrow.h"
#include "compiler/support/narrow_elements.h"

namespace onnx {
class TensorProto;
}

namespace moru {

/// The element type, or a CompileError that names `what` ("the input 'x'").
ElementType dtype_of_onnx(int32_t element_type, const std::string& what);
/// The number that ONNX gives the element type.
int32_t onnx_type_of(ElementType type);
/// The first operator set whose Cast knows it.
int64_t onnx_opset_of(ElementType type);

/// A value that is known when compiling. Integers and booleans are dimensions, so that shapes which depend on a symbol
/// can be computed with: the shape of an f32[batch, 24] is {batch, 24}.
struct KnownValue {
  DType dtype = DType::i64;
  std::vector<int64_t> shape;
  std::vector<Dim> dims;      // of integers and booleans
  std::vector<double> reals;  // of floats
  Narrow narrow = Narrow::none;

  size_t elements() const { return is_float(dtype) ? reals.size() : dims.size(); }
  bool is_symbolic() const;
  /// Element `index` as a number; of symbolic ones an InternalError.
  double number(size_t index) const {
    return is_float(dtype) ? reals[index] : static_cast<double>(dims[index].constant());
  }
};
using Known = std::shared_ptr<const KnownValue>;

/// A scalar.
Known known_integer(int64_t number, DType dtype = DType::i64);
Known known_of(const HostTensor& tensor);
HostTensor host_of(const KnownValue& value);
/// From raw memory, as a `.npy` or a parameter holds it.
Known known_of(DType dtype, std::span<const int64_t> shape, std::span<const std::byte> bytes);

/// A TensorProto's values, little endian and row-major.
struct OnnxTensor {
  ElementType dtype;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;  // in the type that holds it
};
Known known_of(const OnnxTensor& tensor);

/// A TensorProto in a file of its own, as test cases and `moru run` hold what .npy cannot say.
OnnxTensor read_onnx_tensor_file(const std::string& path);
/// `bytes` are in the type that holds the values.
void write_onnx_tensor_file(const std::string& path, const std::string& name, ElementType type,
                            std::span<const int64_t> shape, std::span<const std::byte> bytes);

/// Reads a tensor; `folder` is where external data may lie. Throws CompileError that names `what`.
OnnxTensor read_onnx_tensor(const onnx::TensorProto& tensor, const std::string& folder, const std::string& what);

/// Elements of a shape, checked against overflow and negative extents. Throws CompileError that names `what`.
int64_t checked_elements(std::span<const int64_t> shape, const std::string& what);

}  // namespace moru
