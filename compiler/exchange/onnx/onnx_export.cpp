#include "compiler/exchange/onnx/onnx_export.h"

#include <algorithm>
#include <map>

#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/exchange/onnx/onnx_record.h"
#include "compiler/exchange/onnx/onnx_writer.h"
#include "compiler/model/infer_model.h"
#include "compiler/passes/make_entries.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

[[noreturn]] void refuse(std::string what, std::string hint = {}, std::string detail = {}) {
  throw CompileError(
      {.stage = "export", .what = std::move(what), .detail = std::move(detail), .hint = std::move(hint)});
}

// The version of the file format that came with an operator set (onnx/docs/Versioning.md).
int64_t ir_version(int64_t opset) {
  return opset <= 14 ? 7 : opset <= 18 ? 8 : opset <= 20 ? 9 : opset <= 22 ? 10 : std::min<int64_t>(opset - 12, 13);
}

void check_problems(const Model& model, const std::vector<std::string>& problems) {
  if (problems.empty()) return;
  std::string list;
  for (const std::string& problem : problems) list += (list.empty() ? "" : "\n") + problem;
  refuse("the model '" + model.name + "' cannot be written as ONNX:", "write it as .moru, or replace these layers", list);
}

std::vector<std::byte> bytes_of(const onnx::ModelProto& proto) {
  constexpr size_t most = (size_t{1} << 31) - 1;
  const size_t size = proto.ByteSizeLong();
  if (size > most)
    refuse("the model takes " + std::to_string(size) + " bytes, more than an ONNX file can hold (2 GiB)",
           "write it as .moru");
  std::vector<std::byte> bytes(size);
  check_internal(proto.SerializeToArray(bytes.data(), static_cast<int>(size)), "protobuf could not write a model");
  return bytes;
}

class Exporter {
 public:
  Exporter(const Model& model, int64_t opset) : model_(model), writer_(opset) {}

  onnx::ModelProto& write() {
    const std::vector<std::string> input_names = model_.input_names();
    for (const std::string& name : input_names) writer_.reserve(name);
    for (const std::string& name : model_.output_names) writer_.reserve(name);
    std::vector<OnnxValue> inputs;
    for (size_t i = 0; i < input_names.size(); ++i)
      inputs.push_back(writer_.input(input_names[i], model_.type(model_.inputs[i]), stored_as(model_, model_.inputs[i])));
    const std::vector<OnnxValue> outputs = write_predict(inputs);
    for (size_t i = 0; i < outputs.size(); ++i)
      writer_.output(outputs[i], model_.output_names[i], model_.type(model_.outputs[i]), stored_as(model_, model_.outputs[i]));
    for (const State& state : states_) writer_.output(state.value, state.name + "/next", state.type, Narrow::none);
    writer_.finish();
    check_problems(model_, writer_.problems());
    return writer_.model();
  }

 private:
  struct State {
    OnnxValue value;
    std::string name;
    Type type;
  };
  const Model& model_;
  OnnxWriter writer_;
  std::vector<State> states_;
  std::map<std::string, OnnxValue> weights_;  // by path

  OnnxValue weight(const std::string& path, const Parameter& parameter) {
    check_internal(parameter.has_values(), "a weight has no values");
    OnnxValue& value = weights_[path];
    if (!value) value = writer_.parameter(path, parameter.dtype, parameter.shape, parameter.bytes());
    return value;
  }

  // Entry `predict`: the layers' ops with all that passes between them, masks too, and the nodes of an imported model as
  // they were read.
  std::vector<OnnxValue> write_predict(const std::vector<OnnxValue>& model_inputs) {
    // Both hand out what can be written to; here it is only read.
    Model& drawn = const_cast<Model&>(model_);
    std::vector<BodyPlace> places;
    const Module module = make_entries(drawn, nullptr, &places);
    const Graph& predict = *module.find_entry("predict");
    std::map<std::string, const Parameter*> parameters;
    for (const ParameterPath& path : all_parameters(drawn)) parameters[path.path] = path.parameter;
    const std::vector<std::string> names = model_.input_names();
    std::vector<OnnxValue> inputs;
    for (const GraphInput& input : predict.inputs) {
      const Slot& slot = *module.find_slot(input.slot);
      const auto parameter = parameters.find(input.slot);
      if (slot.kind == SlotKind::input)
        inputs.push_back(model_inputs.at(static_cast<size_t>(std::find(names.begin(), names.end(), input.slot) - names.begin())));
      else if (parameter != parameters.end())
        inputs.push_back(weight(input.slot, *parameter->second));
      else
        inputs.push_back(state(slot));
    }
    std::vector<OnnxGraphPart> parts;
    for (BodyPlace& place : places)
      if (place.first < place.behind) parts.push_back(recorded(std::move(place)));
    const std::vector<OnnxValue> results = writer_.write_graph(predict, inputs, parts);
    std::vector<OnnxValue> outputs;
    for (size_t i = 0; i < results.size(); ++i) {
      const GraphResult& result = predict.results[i];
      if (module.find_slot(result.slot)->kind == SlotKind::output)
        outputs.push_back(results[i]);
      else
        states_.push_back({results[i], result.slot, predict.type(result.value)});
    }
    return outputs;
  }

  OnnxGraphPart recorded(BodyPlace place) {
    const Layer& layer = model_.layers[model_.nodes[place.node].layer];
    const size_t weights = layer.parameters.size();
    return {place.first, place.behind, std::move(place.inputs), std::move(place.outputs),
            [this, &layer, weights, name = model_.nodes[place.node].name](std::span<const OnnxValue> given) {
              writer_.set_origin(name);
              return write_onnx_record(writer_, layer, given.first(given.size() - weights), given.last(weights));
            }};
  }

  // State between calls: an input that may be left out.
  OnnxValue state(const Slot& slot) {
    for (const Dim& dim : slot.type.shape)
      if (!dim.is_constant()) refuse("the state '" + slot.name + "' has no known size", "fix the batch size of the model");
    return writer_.state(slot.name, slot.type, slot.initial);
  }
};

int64_t default_opset(const Model& model) {
  int64_t newest = 0;
  for (const Layer& layer : model.layers) newest = std::max(newest, onnx_record_version(layer));
  return newest == 0 ? default_onnx_opset : std::clamp(newest, oldest_onnx_opset, newest_onnx_opset);
}

}  // namespace

std::vector<std::byte> export_onnx(const Model& model, const OnnxExportOptions& options) {
  const int64_t opset = options.opset.value_or(default_opset(model));
  if (opset < oldest_onnx_opset || opset > newest_onnx_opset)
    refuse("ONNX's operator set " + std::to_string(opset) + " cannot be written",
           "choose one from " + std::to_string(oldest_onnx_opset) + " to " + std::to_string(newest_onnx_opset));
  Exporter exporter(model, opset);
  onnx::ModelProto& proto = exporter.write();
  proto.set_ir_version(ir_version(opset));
  proto.set_producer_name("moru");
  proto.set_producer_version(MORU_VERSION);
  proto.mutable_graph()->set_name(model.name.empty() ? "model" : model.name);
  onnx::OperatorSetIdProto& set = *proto.add_opset_import();
  set.set_domain("");
  set.set_version(opset);
  std::map<std::string, std::string> metadata = options.metadata;
  if (model.dtype_policy != DTypePolicy::float32) metadata[onnx_dtype_policy_key] = dtype_policy_name(model.dtype_policy);
  for (const auto& [key, value] : metadata) {
    onnx::StringStringEntryProto& entry = *proto.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  return bytes_of(proto);
}

}  // namespace moru
