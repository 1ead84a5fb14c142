#include "compiler/model/summary.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "compiler/model/infer_model.h"

namespace moru {

std::string with_commas(int64_t number) {
  std::string digits = std::to_string(number);
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

namespace {

using Json = nlohmann::ordered_json;

enum Column : size_t { layer_column, shape_column, parameters_column, connections_column, mask_column, column_count };
using Row = std::array<std::string, column_count>;
constexpr std::array<size_t, column_count> most_width = {32, 22, 11, 22, 22};

struct Counts {
  int64_t total = 0;
  int64_t trainable = 0;
};

Counts count_parameters(const Model& model, bool trainable = true);

Counts count_parameters(const Layer& layer, bool trainable) {
  Counts counts;
  for (const Parameter& parameter : layer.parameters) {
    int64_t elements = 1;
    for (int64_t extent : parameter.shape) elements *= extent;
    counts.total += elements;
    if (trainable && layer.trainable && parameter.trainable) counts.trainable += elements;
  }
  if (layer.submodel != nullptr) {
    const Counts inner = count_parameters(*layer.submodel, trainable && layer.trainable);
    counts.total += inner.total;
    counts.trainable += inner.trainable;
  }
  return counts;
}

Counts count_parameters(const Model& model, bool trainable) {
  Counts counts;
  for (const Layer& layer : model.layers) {
    const Counts of_layer = count_parameters(layer, trainable);
    counts.total += of_layer.total;
    counts.trainable += of_layer.trainable;
  }
  return counts;
}

std::string size_text(int64_t elements) {
  double size = 4.0 * static_cast<double>(elements);
  const char* unit = "B";
  for (const char* larger : {"KB", "MB", "GB", "TB"}) {
    if (size < 1024.0) break;
    size /= 1024.0;
    unit = larger;
  }
  char text[48];
  std::snprintf(text, sizeof text, "%.2f %s", size, unit);
  return text;
}

std::string keras_shape(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += shape[i].is_constant() ? shape[i].text() : "None";
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string output_text(const ModelNode& node) {
  if (node.outputs.size() == 1) return keras_shape(node.outputs[0].shape);
  std::string text = "[";
  for (size_t i = 0; i < node.outputs.size(); ++i) text += (i > 0 ? ", " : "") + keras_shape(node.outputs[i].shape);
  return text + "]";
}

// "encoder[0][0]": layer, its call, its output; of every call of the layer.
std::vector<std::string> connections(const Model& model, uint32_t layer) {
  std::map<uint32_t, int> calls;
  std::vector<int> call_of;
  for (const ModelNode& node : model.nodes) call_of.push_back(calls[node.layer]++);
  std::vector<std::string> texts;
  for (const ModelNode& node : model.nodes) {
    if (node.layer != layer) continue;
    std::vector<TensorRef> read = node.inputs;
    for (const KeywordTensor& keyword : node.keywords)
      if (keyword.tensor) read.push_back(*keyword.tensor);
    for (const TensorRef& ref : read) {
      texts.push_back(model.layers[model.nodes[ref.node].layer].name + "[" + std::to_string(call_of[ref.node]) + "][" +
                      std::to_string(ref.output) + "]");
    }
  }
  return texts;
}

const ModelNode* first_call(const Model& model, uint32_t layer) {
  for (const ModelNode& node : model.nodes) {
    if (node.layer == layer) return &node;
  }
  return nullptr;
}

// What the layer does to the masks of its inputs at this call.
std::string mask_text(const Model& model, const ModelNode& node) {
  const Layer& layer = model.layers[node.layer];
  const auto at = [&](TensorRef ref) { return std::pair(model.type(ref), model.mask(ref)); };
  const CallMasks<std::optional<Type>> masks = call_masks(node, at);
  bool arrives = false, used = false;
  for (const std::optional<Type>& mask : masks.of_tensors) arrives |= mask.has_value();
  for (const auto& [name, mask] : masks.keywords) arrives |= mask.has_value();
  if (const Op* op = layer.submodel == nullptr ? find_layer(layer.class_name) : nullptr)
    for (const InputSpec& input : op->inputs)
      used |= input.name != "seed" && input.name != "step" && is_supplied(input.name) && masks.find(*op, input.name).has_value();
  const auto out = std::ranges::find_if(node.masks, [](const std::optional<Type>& mask) { return mask.has_value(); });
  if (out == node.masks.end()) return used ? "uses it" : arrives ? "ends it" : "-";
  return (!arrives ? "makes " : used ? "uses, passes " : "passes ") + keras_shape((*out)->shape);
}

void collect_rows(const Model& model, const SummaryOptions& options, const std::string& indent,
                  std::vector<Row>& rows) {
  for (uint32_t i = 0; i < model.layers.size(); ++i) {
    const Layer& layer = model.layers[i];
    if (layer.class_name == "InputLayer" && model.sequential) continue;
    const ModelNode* node = first_call(model, i);
    std::string connected;
    for (const std::string& source : connections(model, i)) connected += (connected.empty() ? "" : ", ") + source;
    rows.push_back({indent + layer.name + " (" + layer.class_name + ")", node == nullptr ? "?" : output_text(*node),
                    with_commas(count_parameters(layer, true).total), connected.empty() ? "-" : connected,
                    node == nullptr ? "?" : mask_text(model, *node)});
    if (options.expand_nested && layer.submodel != nullptr) {
      collect_rows(*layer.submodel, options, indent.empty() ? "  └ " : "  " + indent, rows);
    }
  }
}

// Columns a text takes, not bytes; wide characters of East Asia take two.
size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0) == 0x80) continue;
    width += byte >= 0xE3 && byte <= 0xED ? 2 : byte >= 0xF0 ? 2 : 1;
  }
  return width;
}

// Breaks a cell into lines of at most `width` columns: at spaces, and inside words that are longer.
std::vector<std::string> wrap(const std::string& text, size_t width) {
  std::vector<std::string> lines = {""};
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = begin;
    while (end < text.size() && text[end] == ' ') ++end;
    end = std::min(text.find(' ', end), text.size());
    std::string word = text.substr(begin, end - begin);
    begin = end;
    if (display_width(lines.back()) + display_width(word) > width && !lines.back().empty()) {
      lines.emplace_back();
      word.erase(0, word.find_first_not_of(' '));
    }
    for (size_t i = 0; i < word.size();) {
      size_t next = i + 1;
      while (next < word.size() && (static_cast<unsigned char>(word[next]) & 0xC0) == 0x80) ++next;
      const std::string character = word.substr(i, next - i);
      if (display_width(lines.back()) + display_width(character) > width) lines.emplace_back();
      lines.back() += character;
      i = next;
    }
  }
  return lines;
}

std::string repeated(std::string_view piece, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += piece;
  return text;
}

class Table {
 public:
  Table(std::vector<Row> rows, Row header, std::vector<Column> columns)
      : rows_(std::move(rows)), header_(std::move(header)), columns_(std::move(columns)) {
    for (Column column : columns_) {
      widths_[column] = display_width(header_[column]);
      for (const Row& row : rows_) widths_[column] = std::max(widths_[column], display_width(row[column]));
      widths_[column] = std::min(widths_[column], most_width[column]);
    }
  }

  std::string text() const {
    std::string out = rule("┏", "━", "┳", "┓") + line(header_, "┃") + rule("┡", "━", "╇", "┩");
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (i > 0) out += rule("├", "─", "┼", "┤");
      out += line(rows_[i], "│");
    }
    return out + rule("└", "─", "┴", "┘");
  }

 private:
  std::vector<Row> rows_;
  Row header_;
  std::vector<Column> columns_;
  std::array<size_t, column_count> widths_ = {};

  std::string rule(std::string_view left, std::string_view bar, std::string_view middle, std::string_view right) const {
    std::string text(left);
    for (Column column : columns_) {
      if (column != columns_.front()) text += middle;
      text += repeated(bar, widths_[column] + 2);
    }
    return text + std::string(right) + "\n";
  }

  std::string line(const Row& row, std::string_view bar) const {
    std::array<std::vector<std::string>, column_count> cells;
    size_t height = 1;
    for (Column column : columns_) {
      cells[column] = wrap(row[column], widths_[column]);
      height = std::max(height, cells[column].size());
    }
    std::string text;
    for (size_t i = 0; i < height; ++i) {
      for (Column column : columns_) {
        const std::string cell = i < cells[column].size() ? cells[column][i] : "";
        const std::string padding = repeated(" ", widths_[column] - std::min(widths_[column], display_width(cell)));
        const bool number = column == parameters_column;
        text += std::string(bar) + " " + (number ? padding + cell : cell + padding) + " ";
      }
      text += std::string(bar) + "\n";
    }
    return text;
  }
};

Json tensor_json(const Type& type) {
  Json json = Json::object();
  json["dtype"] = numpy_name(type.dtype);
  json["shape"] = Json::array();
  json["dims"] = Json::array();
  for (const Dim& dim : type.shape) {
    json["shape"].push_back(dim.is_constant() ? Json(dim.constant()) : Json(nullptr));
    json["dims"].push_back(dim.text());
  }
  return json;
}

Json named_tensor(const std::string& name, const Type& type, Narrow narrow) {
  Json json = Json::object();
  json["name"] = name;
  json.update(tensor_json(type));
  if (narrow != Narrow::none) json["dtype"] = std::string(narrow_numpy_name(narrow));
  return json;
}

Json layers_json(const Model& model, bool trainable) {
  Json layers = Json::array();
  for (uint32_t i = 0; i < model.layers.size(); ++i) {
    const Layer& layer = model.layers[i];
    Json json = Json::object();
    json["name"] = layer.name;
    json["class"] = layer.class_name;
    json["outputs"] = Json::array();
    if (const ModelNode* node = first_call(model, i); node != nullptr) {
      for (const Type& type : node->outputs) json["outputs"].push_back(tensor_json(type));
      json["mask"] = mask_text(model, *node);
    }
    json["parameters"] = count_parameters(layer, true).total;
    json["trainable"] = trainable && layer.trainable;
    json["connected_to"] = connections(model, i);
    json["weights"] = Json::array();
    for (const Parameter& parameter : layer.parameters) {
      json["weights"].push_back({{"name", parameter.name},
                                 {"shape", parameter.shape},
                                 {"trainable", trainable && layer.trainable && parameter.trainable}});
    }
    if (layer.submodel != nullptr) json["layers"] = layers_json(*layer.submodel, trainable && layer.trainable);
    layers.push_back(std::move(json));
  }
  return layers;
}

}  // namespace

std::string summary_text(const Model& model, const SummaryOptions& options) {
  std::vector<Row> rows;
  collect_rows(model, options, "", rows);
  const Row header = {"Layer (type)", "Output Shape", "Param #", "Connected to", "Mask"};
  std::vector<Column> columns = {layer_column, shape_column, parameters_column};
  if (!model.sequential) columns.push_back(connections_column);
  if (options.masks) columns.push_back(mask_column);
  std::string out = "Model: \"" + model.name + "\"\n";
  out += Table(std::move(rows), header, std::move(columns)).text();
  const Counts counts = count_parameters(model);
  const auto total = [&](const char* label, int64_t number) {
    out += std::string(" ") + label + " params: " + with_commas(number) + " (" + size_text(number) + ")\n";
  };
  total("Total", counts.total);
  total("Trainable", counts.trainable);
  total("Non-trainable", counts.total - counts.trainable);
  return out;
}

std::string summary_json(const Model& model) {
  Json json = Json::object();
  json["name"] = model.name;
  json["inputs"] = Json::array();
  const std::vector<std::string> input_names = model.input_names();
  for (size_t i = 0; i < model.inputs.size(); ++i) {
    json["inputs"].push_back(named_tensor(input_names[i], model.type(model.inputs[i]), stored_as(model, model.inputs[i])));
  }
  json["outputs"] = Json::array();
  for (size_t i = 0; i < model.outputs.size(); ++i) {
    json["outputs"].push_back(named_tensor(model.output_names[i], model.type(model.outputs[i]), stored_as(model, model.outputs[i])));
  }
  json["layers"] = layers_json(model, true);
  const Counts counts = count_parameters(model);
  json["parameters"] = {
      {"total", counts.total}, {"trainable", counts.trainable}, {"non_trainable", counts.total - counts.trainable}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace moru
