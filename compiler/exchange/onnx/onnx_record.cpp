#include "compiler/exchange/onnx/onnx_record.h"

#include <algorithm>
#include <cstring>

#include "compiler/support/elements.h"

namespace moru {

namespace {

constexpr size_t max_constant_elements = 4096;

// The versions at which an operator's meaning changed, or the way in which it is given its arguments.
struct Change {
  std::string_view op;
  int64_t version;
};
constexpr Change changes[] = {
    {"BatchNormalization", 9}, {"BatchNormalization", 14}, {"Clip", 11},        {"DFT", 20},
    {"Dropout", 12},           {"GridSample", 20},         {"GroupNormalization", 21}, {"Hardmax", 13},
    {"LogSoftmax", 13},        {"Pad", 11},                {"ReduceL1", 18},    {"ReduceL2", 18},
    {"ReduceLogSum", 18},      {"ReduceLogSumExp", 18},    {"ReduceMax", 18},   {"ReduceMean", 18},
    {"ReduceMin", 18},         {"ReduceProd", 18},         {"ReduceSum", 13},   {"ReduceSumSquare", 18},
    {"Resize", 11},            {"RoiAlign", 16},          {"Scatter", 11},     {"Slice", 10},       {"Softmax", 13},
    {"Split", 13},             {"Split", 18},              {"Squeeze", 13},     {"TopK", 10},
    {"Unsqueeze", 13},         {"Upsample", 9},            {"Upsample", 10},
};
constexpr int64_t oldest_alike = 7;  // before it, broadcasting was an attribute

bool means_the_same(std::string_view op, int64_t from, int64_t to) {
  if (from < oldest_alike || to < from) return false;
  return std::none_of(std::begin(changes), std::end(changes), [&](const Change& change) {
    return change.op == op && from < change.version && change.version <= to;
  });
}

Attributes record_constant(const KnownValue& value) {
  Attributes record{{"dtype", std::string(dtype_name(value.dtype))}, {"shape", value.shape}};
  if (is_float(value.dtype))
    record.set("reals", value.reals);
  else
    record.set("dims", Shape(value.dims));
  return record;
}

std::string write_constant(OnnxWriter& writer, const Attributes& record, Narrow narrow) {
  const DType dtype = find_dtype(record.string("dtype")).value();
  const std::vector<int64_t>& shape = record.integers("shape");
  if (!is_float(dtype)) {
    const Shape& dims = record.shape("dims");
    if (!is_constant(dims)) {
      const std::string list = writer.reshape(writer.dims(dims), {Dim(static_cast<int64_t>(dims.size()))},
                                              Shape(shape.begin(), shape.end()), true);
      return writer.as_type(list, DType::i64, dtype);
    }
  }
  std::vector<std::byte> bytes;
  if (is_float(dtype)) {
    for (double real : record.reals("reals"))
      dtype == DType::f32 ? append_bytes(bytes, static_cast<float>(real)) : append_bytes(bytes, real);
  } else {
    for (const Dim& dim : record.shape("dims")) {
      const int64_t number = dim.constant();
      if (dtype == DType::i64) append_bytes(bytes, number);
      if (dtype == DType::i32) append_bytes(bytes, static_cast<int32_t>(number));
      if (dtype == DType::boolean) append_bytes(bytes, static_cast<uint8_t>(number != 0));
    }
  }
  return writer.initializer(writer.origin() + "/constant", {dtype, narrow}, shape, bytes);
}

Narrow narrow_output(const Layer& layer, size_t output) {
  if (!layer.attributes.has("stored_as")) return Narrow::none;
  const std::vector<std::string>& names = layer.attributes.strings("stored_as");
  return output < names.size() ? find_narrow(names[output]).value_or(Narrow::none) : Narrow::none;
}

}  // namespace

AttributeValue record_onnx_node(const onnx::NodeProto& node, int64_t version, const std::vector<OnnxRecordInput>& inputs,
                                const std::vector<int64_t>& outputs) {
  if (!node.domain().empty() && node.domain() != "ai.onnx") return {};
  Attributes attributes;
  for (const auto& attribute : node.attribute()) {
    using A = onnx::AttributeProto;
    const std::string& name = attribute.name();
    if (attribute.type() == A::INT || (attribute.type() == A::UNDEFINED && attribute.has_i()))
      attributes.set(name, attribute.i());
    else if (attribute.type() == A::FLOAT)
      attributes.set(name, static_cast<double>(attribute.f()));
    else if (attribute.type() == A::STRING)
      attributes.set(name, attribute.s());
    else if (attribute.type() == A::INTS)
      attributes.set(name, std::vector<int64_t>(attribute.ints().begin(), attribute.ints().end()));
    else if (attribute.type() == A::FLOATS)
      attributes.set(name, std::vector<double>(attribute.floats().begin(), attribute.floats().end()));
    else if (attribute.type() == A::STRINGS)
      attributes.set(name, std::vector<std::string>(attribute.strings().begin(), attribute.strings().end()));
    else
      return {};  // tensors and graphs: the body says the same
  }
  Attributes record{{"version", version}, {"outputs", outputs}, {"attributes", attributes}};
  std::vector<std::string> sources, narrow;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const OnnxRecordInput& input = inputs[i];
    using Kind = OnnxRecordInput::Kind;
    narrow.emplace_back(narrow_name(input.narrow));
    if (input.kind == Kind::constant) {
      if (input.constant->elements() > max_constant_elements) return {};
      record.set("constant " + std::to_string(i), record_constant(*input.constant));
    }
    sources.push_back(input.kind == Kind::absent   ? ""
                      : input.kind == Kind::tensor ? "tensor " + std::to_string(input.tensor)
                      : input.kind == Kind::weight ? "weight " + input.weight
                                                   : "constant " + std::to_string(i));
  }
  record.set("inputs", sources);
  if (std::any_of(narrow.begin(), narrow.end(), [](const std::string& name) { return !name.empty(); }))
    record.set("narrow", narrow);
  return record;
}

int64_t onnx_record_version(const Layer& layer) {
  return layer.body != nullptr && layer.attributes.has(onnx_record_attribute)
             ? layer.attributes.nested(onnx_record_attribute).integer("version")
             : 0;
}

std::vector<OnnxValue> write_onnx_record(OnnxWriter& writer, const Layer& layer, std::span<const OnnxValue> tensors,
                                         std::span<const OnnxValue> weights) {
  const int64_t version = onnx_record_version(layer);
  if (version == 0 || !means_the_same(layer.class_name, version, writer.opset())) return {};
  const Attributes& record = layer.attributes.nested(onnx_record_attribute);
  std::vector<std::string> inputs;
  const std::vector<std::string>& sources = record.strings("inputs");
  for (size_t i = 0; i < sources.size(); ++i) {
    const std::string& source = sources[i];
    Narrow narrow = Narrow::none;
    if (record.has("narrow") && i < record.strings("narrow").size())
      narrow = find_narrow(record.strings("narrow")[i]).value_or(Narrow::none);
    if (source.starts_with("tensor ")) {
      const size_t index = std::stoul(source.substr(7));
      if (index >= tensors.size()) return {};
      const std::string plain = writer.plain(tensors[index]);
      inputs.push_back(narrow == Narrow::none ? plain : writer.narrowed(plain, narrow));
    } else if (source.starts_with("weight ")) {
      size_t index = 0;
      while (index < layer.parameters.size() && layer.parameters[index].name != source.substr(7)) ++index;
      if (index >= weights.size()) return {};
      inputs.push_back(narrow == Narrow::none ? weights[index].name : writer.narrow_parameter(weights[index], narrow));
    } else {
      inputs.push_back(source.empty() ? "" : write_constant(writer, record.nested(source), narrow));
    }
  }
  OnnxAttributes attributes;
  for (const auto& [name, value] : record.nested("attributes").entries())
    std::visit(
        [&](const auto& given) {
          if constexpr (std::is_constructible_v<OnnxAttribute, decltype(given)> &&
                        !std::is_same_v<std::decay_t<decltype(given)>, bool>)
            attributes.emplace_back(name, OnnxAttribute(given));
        },
        value.value);
  const std::vector<int64_t>& places = record.integers("outputs");
  const int64_t last = places.empty() ? 0 : *std::max_element(places.begin(), places.end());
  const auto made = writer.nodes(layer.class_name, inputs, attributes, static_cast<size_t>(last) + 1);
  std::vector<OnnxValue> outputs;
  for (int64_t place : places) {
    const std::string& name = made[static_cast<size_t>(place)];
    const Narrow narrow = narrow_output(layer, outputs.size());
    outputs.push_back({narrow == Narrow::none ? name : writer.widened(name, narrow), {}});
  }
  // What nobody asked for has no name: some operators do less then.
  for (int64_t place = 0; place < last; ++place)
    if (std::find(places.begin(), places.end(), place) == places.end())
      writer.last_node().mutable_output(static_cast<int>(place))->clear();
  return outputs;
}

}  // namespace moru
