// What a layer remembers of the ONNX node that it was: its attribute "onnx". With it the node is written as it was read,
// where its meaning has not changed in between; its body serves everything else.
#pragma once

#include <onnx/onnx_pb.h>

#include <string>
#include <vector>

#include "compiler/exchange/onnx/onnx_tensor.h"
#include "compiler/exchange/onnx/onnx_writer.h"
#include "compiler/ir/attributes.h"
#include "compiler/model/model.h"

namespace moru {

constexpr std::string_view onnx_record_attribute = "onnx";

/// Where an input of the node comes from.
struct OnnxRecordInput {
  enum class Kind : uint8_t { absent, tensor, weight, constant } kind = Kind::absent;
  size_t tensor = 0;   // among the layer's inputs
  std::string weight;  // parameter of the layer
  Known constant;
  Narrow narrow = Narrow::none;  // as which the file has it
};

/// The record, or none: of nodes with graphs or large constants, and of other domains than ONNX's own. `outputs` are the
/// places of the layer's outputs among the node's.
AttributeValue record_onnx_node(const onnx::NodeProto& node, int64_t version, const std::vector<OnnxRecordInput>& inputs,
                                const std::vector<int64_t>& outputs);

/// The version of the operator set that the record's node is of; 0 without a record.
int64_t onnx_record_version(const Layer& layer);

/// Writes the node of the layer's record and returns the layer's outputs; none, having written nothing, where the record
/// is missing, or means something else in the file's operator set.
std::vector<OnnxValue> write_onnx_record(OnnxWriter& writer, const Layer& layer, std::span<const OnnxValue> tensors,
                                         std::span<const OnnxValue> weights);

}  // namespace moru
