// Layers that ONNX has an operator for, other than those over space and time.
#include <algorithm>
#include <numeric>

#include "compiler/exchange/onnx/onnx_writer.h"
#include "compiler/ops/layer.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

// Gemm for a matrix, MatMul and Add for more axes.
bool dense(OnnxOpWriter& w) {
  OnnxWriter& to = w.writer;
  const OnnxValue bias = w.find("bias");
  const DType dtype = w.output_types[0].dtype;
  const std::string x = to.as_type(w.plain(), w.types[0].dtype, dtype), kernel = to.plain(w.find("kernel"));
  std::string y;
  if (w.types[0].shape.size() == 2) {
    y = to.node("Gemm", {x, kernel, bias ? bias.name : ""});
  } else {
    y = to.node("MatMul", {x, kernel});
    if (bias) y = to.node("Add", {y, bias.name});
  }
  w.set(to.activate({y, {}}, w.output_types[0], *w.attributes.find("activation")));
  return true;
}

bool embedding(OnnxOpWriter& w) {
  OnnxWriter& to = w.writer;
  const DType dtype = is_float(w.types[0].dtype) ? DType::i64 : w.types[0].dtype;
  w.set(to.node("Gather", {to.plain(w.find("embeddings")), to.as_type(w.plain(), w.types[0].dtype, dtype)},
                {{"axis", int64_t{0}}}));
  return true;
}

bool flatten(OnnxOpWriter& w) {
  if (w.attributes.string("data_format") != "channels_last" || w.types[0].shape.empty()) return false;
  w.set(w.writer.node("Flatten", {w.plain()}, {{"axis", int64_t{1}}}));
  return true;
}

std::string or_filled(OnnxOpWriter& w, std::string_view input, double otherwise, int64_t extent) {
  const OnnxValue given = w.find(input);
  return given ? w.writer.plain(given) : w.writer.filled(otherwise, {extent}, w.output_types[0].dtype);
}

bool batch_normalization(OnnxOpWriter& w) {
  const size_t rank = w.types[0].shape.size();
  if (w.attributes.boolean("training") || rank < 2 || w.types[0].dtype != w.output_types[0].dtype) return false;
  int64_t axis = w.attributes.integer("axis");
  if (axis < 0) axis += static_cast<int64_t>(rank);
  const Dim extent = w.types[0].shape[static_cast<size_t>(axis)];
  if (axis == 0 || !extent.is_constant()) return false;
  Integers order(rank);
  std::iota(order.begin(), order.end(), int64_t{0});
  order.erase(order.begin() + axis);
  order.insert(order.begin() + 1, axis);
  const int64_t channels = extent.constant();
  w.set(OnnxWriter::from_ordered(
      w.writer.node("BatchNormalization",
                    {w.writer.ordered(w.inputs[0], order), or_filled(w, "gamma", 1.0, channels),
                     or_filled(w, "beta", 0.0, channels), w.writer.plain(w.find("moving_mean")),
                     w.writer.plain(w.find("moving_variance"))},
                    {{"epsilon", w.attributes.real("epsilon")}}),
      order));
  return true;
}

bool layer_normalization(OnnxOpWriter& w) {
  const Shape& shape = w.types[0].shape;
  const auto rank = static_cast<int64_t>(shape.size());
  Integers axes = w.attributes.integers("axis"), extents;
  for (int64_t& axis : axes)
    if (axis < 0) axis += rank;
  std::sort(axes.begin(), axes.end());
  bool last = !axes.empty();
  for (size_t i = 0; i < axes.size(); ++i) {
    last = last && axes[i] == rank - static_cast<int64_t>(axes.size() - i) && shape[static_cast<size_t>(axes[i])].is_constant();
    if (last) extents.push_back(shape[static_cast<size_t>(axes[i])].constant());
  }
  if (w.writer.opset() < 17 || !last || w.attributes.boolean("rms_scaling") || w.types[0].dtype != DType::f32) return false;
  const OnnxValue gamma = w.find("gamma"), beta = w.find("beta");
  w.set(w.writer.node("LayerNormalization",
                      {w.plain(), gamma ? w.writer.plain(gamma) : w.writer.filled(1.0, extents, DType::f32),
                       beta ? w.writer.plain(beta) : ""},
                      {{"axis", axes.front()}, {"epsilon", w.attributes.real("epsilon")}}));
  return true;
}

// Every step is one more row of the batch; a Dense layer takes the sequence as it is.
bool time_distributed(OnnxOpWriter& w) {
  OnnxWriter& to = w.writer;
  Attributes nested = w.attributes.nested("layer");
  const Op* op = find_layer(nested.string("class"));
  if (op == nullptr) return false;
  for (const char* name : {"class", "name", "trainable", "dtype"}) nested.erase(name);
  const Attributes attributes = check_attributes(*op, nested, to.origin());
  const bool rows = op->name != "dense";
  const auto place = [&](std::string_view name) { return static_cast<size_t>(std::ranges::find(w.op.inputs, name, &InputSpec::name) - w.op.inputs.begin()); };
  const size_t mask = place("mask"), weights = place("parameters");
  if (w.has_mask() && w.types[mask].shape.size() > 2) return false;  // the layer may look at it
  const Shape& shape = w.types[0].shape;
  Type x = w.types[0], y = w.output_types[0];
  if (rows) {
    for (Type* type : {&x, &y}) {
      type->shape.erase(type->shape.begin());
      type->shape[0] = shape[0] * shape[1];
    }
  }
  std::vector<std::string> names;
  if (op->parameters) {
    const bool present = true;
    for (const ParameterSpec& parameter : op->parameters({{&x, 1}, {&present, 1}, attributes, {}, to.origin()}))
      names.push_back(parameter.name);
  }
  std::vector<OnnxValue> tensors = {rows ? OnnxValue{to.reshape(w.plain(), shape, x.shape, true), {}} : w.inputs[0]};
  std::vector<Type> tensor_types = {x};
  const auto none = [](auto) { return OnnxValue{}; };
  const auto no_type = [](auto) { return Type{}; };
  const auto inputs = placed_inputs<OnnxValue>(*op, tensors, names, w.inputs.subspan(std::min(weights, w.inputs.size())), none);
  const auto types = placed_inputs<Type>(*op, tensor_types, names, w.types.subspan(std::min(weights, w.types.size())), no_type);
  const OnnxValue output = to.write_op(*op, attributes, inputs, types, {&y, 1}).front();
  w.set(rows ? OnnxValue{to.reshape(to.plain(output), y.shape, w.output_types[0].shape, true), {}} : output);
  return true;
}

constexpr OnnxWriteEntry entries[] = {
    {"dense", dense},
    {"embedding", embedding},
    {"flatten", flatten},
    {"batch_normalization", batch_normalization},
    {"layer_normalization", layer_normalization},
    {"time_distributed", time_distributed},
};

}  // namespace

std::span<const OnnxWriteEntry> onnx_write_layers() { return entries; }

}  // namespace moru
