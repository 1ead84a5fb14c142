// ONNX models into Moru's Model: each node becomes a layer of its operator's name whose body is a graph of Moru's ops,
// float initializers become parameters that can be trained, and what only computes shapes is computed here, with
// symbols where an input leaves an extent open.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/model/model.h"

namespace moru {

/// An input's values, for models whose shapes depend on them (the shape of a Reshape, the limit of a Range).
struct OnnxBinding {
  std::string name;  // empty: the only input
  DType dtype = DType::i64;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

/// The key under which a file's metadata_props keep the element types of a model's layers (DTypePolicy) where these are not
/// f32: ONNX' own operators have f32, and leave it to the one who runs them to multiply in bf16.
constexpr const char* onnx_dtype_policy_key = "moru.dtype_policy";

struct OnnxImportOptions {
  std::vector<OnnxBinding> bindings = {};
  bool bind_sizes = false;  // open extents of the inputs are those of the bindings too
};

/// Reads `path`. The file may be hostile. Throws CompileError: for operators that Moru lacks, with all of them and the
/// names of their nodes; for damaged files, with the place.
/// `metadata`, if given, gets the file's metadata_props.
Model import_onnx(const std::string& path, const OnnxImportOptions& options = {},
                  std::map<std::string, std::string>* metadata = nullptr);
/// The same from memory; `path` names the file, and where tensors beside it lie.
Model import_onnx(std::span<const std::byte> bytes, const std::string& path, const OnnxImportOptions& options = {},
                  std::map<std::string, std::string>* metadata = nullptr);

}  // namespace moru
