// A Model as an ONNX file. Layers become the operators that a person would use for them (LSTM, Gemm, Conv, ...); what has
// no such operator is written by its expansion into simpler ops, loops as Scan.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/model/model.h"

namespace moru {

constexpr int64_t oldest_onnx_opset = 13, newest_onnx_opset = 26, default_onnx_opset = 17;

struct OnnxExportOptions {
  std::optional<int64_t> opset = {};  // by default 17, or that of the file for a model that came from ONNX
  std::map<std::string, std::string> metadata = {};  // becomes metadata_props
};

/// The bytes of a ModelProto. Inputs, outputs, layers and weights keep their names; extents that are open in the model
/// are open in the file, under their symbols' names. State that a layer keeps between calls becomes an input, whose
/// default is its first value, and an output "<name>/next". Every parameter must have values. Throws CompileError that
/// lists all that ONNX cannot say, by the names of the layers.
std::vector<std::byte> export_onnx(const Model& model, const OnnxExportOptions& options = {});

}  // namespace moru
