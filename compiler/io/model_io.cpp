#include "compiler/io/model_io.h"

#include <flatbuffers/flatbuffers.h>

#include <bit>
#include <cstring>
#include <set>

#include "compiler/model/infer_model.h"
#include "compiler/ops/names.h"
#include "compiler/support/error.h"
#include "model_generated.h"

namespace moru {
namespace {

namespace fbs = moru::schema;

static_assert(std::endian::native == std::endian::little, "weights are stored little endian");

// A nested model in a layer in a model, ...: deeper than anyone draws, shallow enough for the stack.
constexpr int max_depth = 32;

// --- writing ---

class Writer {
 public:
  explicit Writer(const WeightsSection& weights) : weights_(weights) {
    // A real of -0.0 equals the default and would be left out.
    builder_.ForceDefaults(true);
  }

  std::vector<std::byte> write(const Model& model) {
    const auto root = write_model(model, true);
    builder_.Finish(root, fbs::ModelIdentifier());
    const auto* begin = reinterpret_cast<const std::byte*>(builder_.GetBufferPointer());
    return {begin, begin + builder_.GetSize()};
  }

 private:
  const WeightsSection& weights_;
  size_t next_place_ = 0;
  flatbuffers::FlatBufferBuilder builder_;

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fbs::ModelAttribute>>> write_attributes(
      const Attributes& attributes) {
    std::vector<flatbuffers::Offset<fbs::ModelAttribute>> entries;
    for (const auto& [name, value] : attributes.entries()) {
      const auto value_offset = write_value(value);
      entries.push_back(fbs::CreateModelAttribute(builder_, builder_.CreateString(name), value_offset));
    }
    return builder_.CreateVector(entries);
  }

  flatbuffers::Offset<fbs::ModelValue> write_value(const AttributeValue& attribute) {
    const auto& value = attribute.value;
    flatbuffers::Offset<flatbuffers::String> text;
    flatbuffers::Offset<flatbuffers::Vector<int64_t>> integers;
    flatbuffers::Offset<flatbuffers::Vector<double>> reals;
    flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>> texts;
    flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fbs::ModelAttribute>>> nested;
    auto kind = fbs::ModelValueKind::none;
    if (std::holds_alternative<bool>(value)) {
      kind = fbs::ModelValueKind::boolean;
    } else if (std::holds_alternative<int64_t>(value)) {
      kind = fbs::ModelValueKind::integer;
    } else if (std::holds_alternative<double>(value)) {
      kind = fbs::ModelValueKind::real;
    } else if (const auto* string = std::get_if<std::string>(&value)) {
      kind = fbs::ModelValueKind::text;
      text = builder_.CreateString(*string);
    } else if (const auto* integer_list = std::get_if<std::vector<int64_t>>(&value)) {
      kind = fbs::ModelValueKind::integers;
      integers = builder_.CreateVector(*integer_list);
    } else if (const auto* real_list = std::get_if<std::vector<double>>(&value)) {
      kind = fbs::ModelValueKind::reals;
      reals = builder_.CreateVector(*real_list);
    } else if (const auto* strings = std::get_if<std::vector<std::string>>(&value)) {
      kind = fbs::ModelValueKind::texts;
      texts = builder_.CreateVectorOfStrings(*strings);
    } else if (const auto* shape = std::get_if<Shape>(&value)) {
      kind = fbs::ModelValueKind::shape;
      std::vector<std::string> dims;
      for (const Dim& dim : *shape) dims.push_back(dim.text());
      texts = builder_.CreateVectorOfStrings(dims);
    } else if (const auto* attributes = std::get_if<AttributeValue::Nested>(&value); attributes && *attributes) {
      kind = fbs::ModelValueKind::nested;
      nested = write_attributes(**attributes);
    }
    fbs::ModelValueBuilder result(builder_);
    result.add_kind(kind);
    if (const auto* boolean = std::get_if<bool>(&value)) result.add_boolean(*boolean);
    if (const auto* integer = std::get_if<int64_t>(&value)) result.add_integer(*integer);
    if (const auto* real = std::get_if<double>(&value)) result.add_real(*real);
    if (!text.IsNull()) result.add_text(text);
    if (!integers.IsNull()) result.add_integers(integers);
    if (!reals.IsNull()) result.add_reals(reals);
    if (!texts.IsNull()) result.add_texts(texts);
    if (!nested.IsNull()) result.add_nested(nested);
    return result.Finish();
  }

  // Weights are visited in the order of all_parameters: a layer's own, then its submodel's.
  flatbuffers::Offset<fbs::ModelParameter> write_parameter(const Parameter& parameter) {
    WeightPlace place;
    if (!parameter.bytes().empty()) place = weights_.places.at(next_place_++);
    const auto name = builder_.CreateString(parameter.name);
    const auto shape = builder_.CreateVector(parameter.shape);
    const auto initializer = write_value(parameter.initializer);
    const auto regularizer = write_value(parameter.regularizer);
    return fbs::CreateModelParameter(builder_, name, shape, parameter.trainable, initializer, regularizer,
                                     parameter.has_values(), place.offset, place.bytes,
                                     static_cast<uint8_t>(parameter.dtype));
  }

  flatbuffers::Offset<fbs::ModelLayer> write_layer(const Layer& layer) {
    const auto name = builder_.CreateString(layer.name);
    const auto class_name = builder_.CreateString(layer.class_name);
    const auto attributes = write_attributes(layer.attributes);
    std::vector<flatbuffers::Offset<fbs::ModelParameter>> parameters;
    for (const Parameter& parameter : layer.parameters) parameters.push_back(write_parameter(parameter));
    const auto parameter_vector = builder_.CreateVector(parameters);
    flatbuffers::Offset<fbs::Model> submodel;
    if (layer.submodel != nullptr) submodel = write_model(*layer.submodel, false);
    flatbuffers::Offset<flatbuffers::String> body;
    if (layer.body != nullptr) body = builder_.CreateString(graph_text(*layer.body));
    return fbs::CreateModelLayer(builder_, name, class_name, attributes, parameter_vector, layer.trainable, submodel,
                                 body);
  }

  flatbuffers::Offset<flatbuffers::Vector<const fbs::ModelTensor*>> write_tensors(const std::vector<TensorRef>& refs) {
    std::vector<fbs::ModelTensor> tensors;
    for (const TensorRef& ref : refs) tensors.emplace_back(ref.node, ref.output);
    return builder_.CreateVectorOfStructs(tensors);
  }

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fbs::ModelKeyword>>> write_keywords(
      const std::vector<KeywordTensor>& given) {
    std::vector<flatbuffers::Offset<fbs::ModelKeyword>> keywords;
    for (const KeywordTensor& keyword : given) {
      const TensorRef ref = keyword.tensor.value_or(TensorRef{});
      const fbs::ModelTensor tensor(ref.node, ref.output);
      keywords.push_back(fbs::CreateModelKeyword(builder_, builder_.CreateString(keyword.name),
                                                 keyword.tensor ? &tensor : nullptr));
    }
    return builder_.CreateVector(keywords);
  }

  flatbuffers::Offset<fbs::Model> write_model(const Model& model, bool outermost) {
    std::vector<flatbuffers::Offset<fbs::ModelLayer>> layers;
    for (const Layer& layer : model.layers) layers.push_back(write_layer(layer));
    std::vector<flatbuffers::Offset<fbs::ModelNode>> nodes;
    for (const ModelNode& node : model.nodes) {
      const auto inputs = write_tensors(node.inputs);
      const auto keywords = write_keywords(node.keywords);
      nodes.push_back(fbs::CreateModelNode(builder_, node.layer, inputs, builder_.CreateString(node.name), keywords));
    }
    const auto name = builder_.CreateString(model.name);
    const auto layer_vector = builder_.CreateVector(layers);
    const auto node_vector = builder_.CreateVector(nodes);
    const auto inputs = write_tensors(model.inputs);
    const auto outputs = write_tensors(model.outputs);
    const auto output_names = builder_.CreateVectorOfStrings(model.output_names);
    const auto source = builder_.CreateString(model.source);
    const auto dialect = builder_.CreateString(model.dialect);
    flatbuffers::Offset<flatbuffers::String> version;
    if (outermost) version = builder_.CreateString(MORU_VERSION);
    flatbuffers::Offset<flatbuffers::String> policy;
    if (model.dtype_policy != DTypePolicy::float32) policy = builder_.CreateString(std::string(dtype_policy_name(model.dtype_policy)));
    return fbs::CreateModel(builder_, name, layer_vector, node_vector, inputs, outputs, output_names, model.sequential,
                            source, dialect, version, policy);
  }
};

// --- reading ---

// The verifier does not see to the alignment of a vector's elements, so these are copied as bytes.
template <typename T>
std::vector<T> read_numbers(const flatbuffers::Vector<T>* stored) {
  std::vector<T> numbers(stored == nullptr ? 0 : stored->size());
  if (!numbers.empty()) std::memcpy(numbers.data(), stored->Data(), numbers.size() * sizeof(T));
  return numbers;
}

class Reader {
 public:
  Reader(std::span<const std::byte> weights, std::string_view source) : weights_(weights), source_(source) {}

  [[noreturn]] void refuse(const std::string& what, const std::string& hint = {}) const {
    throw CompileError(
        {.stage = "read",
         .node = {},
         .op = {},
         .what = (source_.empty() ? std::string("the model") : "'" + std::string(source_) + "'") + " " + what,
         .detail = {},
         .hint = hint});
  }
  void check(bool condition, const std::string& what) const {
    if (!condition) refuse("is damaged: " + what);
  }

  Model read_model(const fbs::Model& stored, int depth) {
    check(depth < max_depth, "models are nested too deep");
    Model model{.name = stored.name()->str()};
    model.sequential = stored.sequential();
    if (stored.source() != nullptr) model.source = stored.source()->str();
    if (stored.dialect() != nullptr) model.dialect = stored.dialect()->str();
    if (stored.dtype_policy() != nullptr) {
      const std::optional<DTypePolicy> policy = find_dtype_policy(stored.dtype_policy()->string_view());
      if (!policy) refuse("has the dtype policy '" + stored.dtype_policy()->str() + "', which this version does not know");
      model.dtype_policy = *policy;
    }
    std::set<std::string> names;
    if (stored.layers() != nullptr) {
      for (const fbs::ModelLayer* layer : *stored.layers()) {
        model.layers.push_back(read_layer(*layer, depth));
        const std::string& name = model.layers.back().name;
        check(names.insert(name).second, "two layers are named '" + name + "'");
      }
    }
    if (stored.nodes() != nullptr) {
      for (const fbs::ModelNode* node : *stored.nodes()) model.nodes.push_back(read_node(*node, model));
    }
    // Types need the inputs' types, and bounds need the types: outputs are counted by infer_model with at().
    model.inputs = read_tensors(stored.inputs(), model.nodes.size(), "the model's inputs");
    std::set<uint32_t> input_nodes;
    for (const TensorRef& ref : model.inputs) {
      const Layer& layer = model.layers[model.nodes[ref.node].layer];
      check(layer.class_name == "InputLayer" && ref.output == 0, "the input '" + layer.name + "' is not an InputLayer");
      check(input_nodes.insert(ref.node).second, "the input '" + layer.name + "' stands there twice");
    }
    for (uint32_t i = 0; i < model.nodes.size(); ++i) {
      const Layer& layer = model.layers[model.nodes[i].layer];
      check(layer.class_name != "InputLayer" || input_nodes.count(i) != 0,
            "the InputLayer '" + layer.name + "' is not among the inputs");
    }
    model.outputs = read_tensors(stored.outputs(), model.nodes.size(), "the model's outputs");
    check(!model.outputs.empty(), "it has no outputs");
    const size_t output_names = stored.output_names() == nullptr ? 0 : stored.output_names()->size();
    check(output_names == model.outputs.size(), "its outputs and their names differ in number");
    for (const flatbuffers::String* name : *stored.output_names()) model.output_names.push_back(name->str());
    check(std::set<std::string>(model.output_names.begin(), model.output_names.end()).size() == output_names,
          "two outputs have one name");
    infer_types(model);
    return model;
  }

 private:
  std::span<const std::byte> weights_;
  std::string_view source_;

  AttributeValue read_value(const fbs::ModelValue* stored, int depth) {
    if (stored == nullptr) return {};
    check(depth < max_depth, "attributes are nested too deep");
    switch (stored->kind()) {
      case fbs::ModelValueKind::none:
        return {};
      case fbs::ModelValueKind::boolean:
        return stored->boolean();
      case fbs::ModelValueKind::integer:
        return stored->integer();
      case fbs::ModelValueKind::real:
        return stored->real();
      case fbs::ModelValueKind::text:
        return stored->text() == nullptr ? std::string() : stored->text()->str();
      case fbs::ModelValueKind::integers:
        return read_numbers(stored->integers());
      case fbs::ModelValueKind::reals:
        return read_numbers(stored->reals());
      case fbs::ModelValueKind::texts: {
        std::vector<std::string> list;
        if (stored->texts() != nullptr) {
          for (const flatbuffers::String* text : *stored->texts()) list.push_back(text->str());
        }
        return list;
      }
      case fbs::ModelValueKind::shape: {
        Shape shape;
        if (stored->texts() != nullptr) {
          for (const flatbuffers::String* text : *stored->texts()) shape.push_back(Dim::parse(text->string_view()));
        }
        return shape;
      }
      case fbs::ModelValueKind::nested:
        return read_attributes(stored->nested(), depth + 1);
    }
    refuse("is damaged: an attribute has an unknown kind");
  }

  Attributes read_attributes(const flatbuffers::Vector<flatbuffers::Offset<fbs::ModelAttribute>>* stored, int depth) {
    Attributes attributes;
    if (stored == nullptr) return attributes;
    for (const fbs::ModelAttribute* attribute : *stored) {
      std::string name = attribute->name()->str();
      check(attributes.find(name) == nullptr, "the attribute '" + name + "' stands there twice");
      AttributeValue value = read_value(attribute->value(), depth);
      check(name != "class" || std::holds_alternative<std::string>(value.value),
            "the class of an attribute is no name");
      attributes.set(std::move(name), std::move(value));
    }
    return attributes;
  }

  Parameter read_parameter(const fbs::ModelParameter& stored, const std::string& layer) {
    Parameter parameter{.name = stored.name()->str(),
                        .shape = {},
                        .data = {},
                        .initializer = read_value(stored.initializer(), 0),
                        .regularizer = read_value(stored.regularizer(), 0),
                        .trainable = stored.trainable()};
    const std::string path = "the weight '" + layer + "/" + parameter.name + "'";
    uint64_t elements = 1;
    for (int64_t extent : read_numbers(stored.shape())) {
      constexpr auto most = static_cast<uint64_t>(most_weight_elements);
      check(extent >= 0 && (extent == 0 || elements <= most / static_cast<uint64_t>(extent)),
            path + " has an impossible shape");
      elements *= static_cast<uint64_t>(extent);
      parameter.shape.push_back(extent);
    }
    check(is_exchanged(stored.dtype()), path + " has an unknown element type");
    parameter.dtype = static_cast<DType>(stored.dtype());
    const auto element_bytes = static_cast<uint64_t>(dtype_bytes(parameter.dtype));
    check(stored.has_data() || parameter.dtype == DType::f32, path + " has no values");
    if (!stored.has_data()) return parameter;
    const uint64_t offset = stored.data_offset(), bytes = stored.data_bytes();
    check(bytes == elements * element_bytes, path + " has " + std::to_string(bytes) + " bytes of data but needs " +
                                                 std::to_string(elements * element_bytes));
    check(offset % weight_alignment_bytes == 0, path + " is not aligned");
    check(offset <= weights_.size() && bytes <= weights_.size() - offset, path + " lies outside of the weights");
    if (parameter.dtype == DType::f32) {
      parameter.data.resize(elements);
      if (bytes > 0) std::memcpy(parameter.data.data(), weights_.data() + offset, bytes);
    } else {
      parameter.raw.assign(weights_.data() + offset, weights_.data() + offset + bytes);
    }
    return parameter;
  }

  Layer read_layer(const fbs::ModelLayer& stored, int depth) {
    Layer layer{.name = stored.name()->str(), .class_name = stored.class_name()->str()};
    check(!layer.name.empty(), "a layer has no name");
    layer.trainable = stored.trainable();
    layer.attributes = read_attributes(stored.attributes(), 0);
    if (stored.parameters() != nullptr) {
      for (const fbs::ModelParameter* parameter : *stored.parameters()) {
        layer.parameters.push_back(read_parameter(*parameter, layer.name));
      }
    }
    if (stored.submodel() != nullptr) {
      check(is_model_class(layer.class_name) || layer.class_name == "TimeDistributed",
            "the layer '" + layer.name + "' (" + layer.class_name + ") holds a model");
      check(layer.parameters.empty(), "the nested model '" + layer.name + "' has weights of its own");
      layer.submodel = std::make_shared<Model>(read_model(*stored.submodel(), depth + 1));
      return layer;
    }
    if (stored.body() != nullptr) {
      layer.body = std::make_shared<const Graph>(read_body(layer, stored.body()->string_view()));
      return layer;
    }
    check(!is_model_class(layer.class_name), "the nested model '" + layer.name + "' is missing");
    if (layer.class_name == "InputLayer") {
      check_input_layer(layer);
      return layer;
    }
    const Op* op = find_layer(layer.class_name);
    if (op == nullptr) {
      refuse("has the layer '" + layer.name + "' of class '" + layer.class_name + "', which this version does not know",
             "it was written by a newer version of Moru, or the file is damaged");
    }
    layer.attributes = check_attributes(*op, std::move(layer.attributes), layer.name);
    return layer;
  }

  // What a graph's text says of types is checked against what its ops infer.
  Graph read_body(const Layer& layer, std::string_view text) const {
    try {
      Graph body = parse_graph(text);
      verify_graph(body, "reading");
      return body;
    } catch (const CompileError& error) {
      refuse("is damaged: the layer '" + layer.name + "' (" + layer.class_name + "): " + error.parts().what);
    } catch (const InternalError& error) {
      refuse("is damaged: the layer '" + layer.name + "' (" + layer.class_name + "): " + error.what());
    }
  }

  void check_input_layer(const Layer& layer) const {
    const AttributeValue* dtype = layer.attributes.find("dtype");
    const AttributeValue* shape = layer.attributes.find("shape");
    const bool well_formed = dtype != nullptr && std::holds_alternative<std::string>(dtype->value) &&
                             find_dtype(std::get<std::string>(dtype->value)).has_value() && shape != nullptr &&
                             std::holds_alternative<Shape>(shape->value);
    check(well_formed, "the input '" + layer.name + "' has no type");
    for (const Dim& dim : std::get<Shape>(shape->value)) {
      check(dim.as_symbol().has_value() || (dim.is_constant() && dim.constant() >= 0),
            "the input '" + layer.name + "' has the impossible shape " + shape_text(std::get<Shape>(shape->value)));
    }
  }

  std::vector<TensorRef> read_tensors(const flatbuffers::Vector<const fbs::ModelTensor*>* stored, size_t nodes,
                                      const std::string& where) const {
    std::vector<TensorRef> refs;
    if (stored == nullptr) return refs;
    for (const fbs::ModelTensor* tensor : *stored) {
      check(tensor->node() < nodes, where + " name a tensor that does not exist before them");
      refs.push_back({tensor->node(), tensor->output()});
    }
    return refs;
  }

  ModelNode read_node(const fbs::ModelNode& stored, const Model& model) const {
    ModelNode node{.layer = stored.layer(), .inputs = {}, .outputs = {}, .name = stored.name()->str()};
    check(node.layer < model.layers.size(), "the node '" + node.name + "' calls a layer that does not exist");
    node.inputs = read_tensors(stored.inputs(), model.nodes.size(), "the inputs of '" + node.name + "'");
    if (stored.keywords() != nullptr) {
      for (const fbs::ModelKeyword* keyword : *stored.keywords()) {
        node.keywords.push_back({.name = keyword->name()->str()});
        const fbs::ModelTensor* tensor = keyword->tensor();
        if (tensor == nullptr) continue;
        check(tensor->node() < model.nodes.size(), "'" + node.name + "' takes a tensor that does not exist before it");
        node.keywords.back().tensor = TensorRef{tensor->node(), tensor->output()};
      }
    }
    check(model.layers[node.layer].class_name != "InputLayer" || node.inputs.empty(),
          "the input '" + node.name + "' is called on a tensor");
    return node;
  }

  void infer_types(Model& model) const {
    MaskedTypes inputs;
    for (const TensorRef& ref : model.inputs) {
      inputs.types.push_back(input_layer_type(model.layers[model.nodes[ref.node].layer]));
    }
    std::vector<MaskedTypes> types;
    try {
      infer_model(model, "", inputs, &types);
    } catch (const std::out_of_range&) {
      refuse("is damaged: a node or an output names an output that its layer does not have");
    }
    for (size_t i = 0; i < types.size(); ++i) {
      model.nodes[i].outputs = std::move(types[i].types);
      model.nodes[i].masks = std::move(types[i].masks);
    }
  }
};

}  // namespace

WeightsSection make_weights_section(const Model& model) {
  static constexpr std::byte padding[weight_alignment_bytes] = {};
  WeightsSection section;
  // all_parameters hands out pointers for writing too; here they are only read.
  for (const ParameterPath& path : all_parameters(const_cast<Model&>(model))) {
    const std::span<const std::byte> bytes = path.parameter->bytes();
    if (bytes.empty()) continue;
    section.places.push_back({path.path, section.bytes, bytes.size()});
    section.pieces.push_back(bytes);
    section.bytes += bytes.size();
    const uint64_t rest = (weight_alignment_bytes - section.bytes % weight_alignment_bytes) % weight_alignment_bytes;
    if (rest > 0) section.pieces.push_back(std::span(padding).first(rest));
    section.bytes += rest;
  }
  return section;
}

std::vector<std::byte> write_model(const Model& model) {
  const WeightsSection weights = make_weights_section(model);
  return Writer(weights).write(model);
}

Model read_model(std::span<const std::byte> bytes, std::span<const std::byte> weights, std::string_view source) {
  Reader reader(weights, source);
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  if (bytes.size() < 8 || !fbs::ModelBufferHasIdentifier(data)) reader.refuse("holds no model");
  flatbuffers::Verifier verifier(data, bytes.size(), 4 * max_depth, 10'000'000);
  if (!fbs::VerifyModelBuffer(verifier)) reader.refuse("is damaged: its model section is not well-formed");
  return reader.read_model(*fbs::GetModel(data), 0);
}

}  // namespace moru
