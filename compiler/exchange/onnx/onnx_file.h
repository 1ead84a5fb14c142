// OnnxFile: a model's file without its weights. The values of large initializers stay where they are, so that they are
// read once, straight to where they are wanted.
#pragma once

#include <onnx/onnx_pb.h>

#include <functional>
#include <map>
#include <span>
#include <string>

#include "compiler/exchange/onnx/onnx_tensor.h"

namespace moru {

/// Bytes of a file, or of what was read from it before.
struct FileRange {
  std::string path = {};
  uint64_t offset = 0, bytes = 0;
  std::span<const std::byte> content = {};  // the whole file where it is in memory
};

/// The place of external data, checked to lie in `folder`.
FileRange external_range(const onnx::TensorProto& tensor, const std::string& folder, uint64_t needed,
                         const std::string& what);
/// What the typed fields (float_data, int32_data, ...) hold, as raw_data would: types without a field of their own are
/// in int32_data, f16 as bits.
std::vector<std::byte> typed_bytes(const onnx::TensorProto& tensor, ElementType type);

struct OnnxFile {
  onnx::ModelProto proto;
  std::map<const onnx::TensorProto*, FileRange> values;  // of the initializers that lack them in `proto`

  explicit OnnxFile(const std::string& path);
  /// A file that is in memory already; `bytes` must outlive this.
  OnnxFile(std::span<const std::byte> bytes, const std::string& path);
  OnnxFile(const OnnxFile&) = delete;
  OnnxFile& operator=(const OnnxFile&) = delete;

 private:
  void read(const FileRange& whole);
};

/// A tensor whose values still lie where they are stored: in a file, or in `tensor`, which must outlive this.
class StoredTensor {
 public:
  /// `own` is the tensor's place in the model's file, where it is not in `tensor`; `folder` is where external data may
  /// lie. Throws CompileError that names `what`.
  StoredTensor(const onnx::TensorProto& tensor, const std::string& folder, std::string what,
               const FileRange* own = nullptr);
  StoredTensor(StoredTensor&&) = default;

  ElementType dtype;
  std::vector<int64_t> shape;

  std::vector<std::byte> bytes() const;  // in the type that holds them
  std::vector<float> floats() const;     // of f32 and what is held in it

 private:
  std::string what_;
  uint64_t elements_ = 0;
  FileRange range_ = {};
  std::span<const std::byte> inside_ = {};
  std::vector<std::byte> typed_ = {};

  template <typename Element>
  std::vector<Element> read() const;
};

}  // namespace moru
