#include "compiler/exchange/named_weights.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "compiler/exchange/json_text.h"
#include "compiler/exchange/refusal.h"
#include "compiler/ops/op.h"
#include "compiler/support/error.h"
#include "compiler/support/narrow_elements.h"

namespace moru {
namespace {

using exchange::refuse;

struct SafetensorsType {
  std::string_view name;
  ElementType type;
};
constexpr std::string_view header_metadata = "__metadata__";
const SafetensorsType safetensors_types[] = {
    {"F32", DType::f32},
    {"F64", DType::f64},
    {"I32", DType::i32},
    {"I64", DType::i64},
    {"BOOL", DType::boolean},
    {"F16", {DType::f32, Narrow::f16}},
    {"BF16", {DType::f32, Narrow::bf16}},
    {"I8", {DType::i32, Narrow::i8}},
    {"I16", {DType::i32, Narrow::i16}},
    {"U8", {DType::i32, Narrow::u8}},
    {"U16", {DType::i32, Narrow::u16}},
    {"U32", {DType::i64, Narrow::u32}},
    {"U64", {DType::i64, Narrow::u64}},
    {"F8_E4M3", {DType::f32, Narrow::f8e4m3fn}},
    {"F8_E5M2", {DType::f32, Narrow::f8e5m2}},
    {"F8_E8M0", {DType::f32, Narrow::f8e8m0}},
};

// "module.dense.kernel:0" and "module/dense/kernel" name one weight.
std::string plain_name(std::string name) {
  if (name.ends_with(":0")) name.resize(name.size() - 2);
  std::replace(name.begin(), name.end(), '.', '/');
  return name;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 8; ++i) text += (i ? ", '" : "'") + names[i] + "'";
  return names.size() > 8 ? text + " and " + std::to_string(names.size() - 8) + " more" : text;
}

std::optional<std::vector<float>> as_floats(const NamedTensor& tensor) {
  const size_t elements = tensor.bytes.size() / static_cast<size_t>(dtype_bytes(tensor.type.dtype));
  std::vector<float> values(elements);
  if (tensor.type.dtype == DType::f32) {
    if (elements > 0) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }
  if (tensor.type.dtype != DType::f64) return std::nullopt;
  for (size_t i = 0; i < elements; ++i) {
    double value = 0.0;
    std::memcpy(&value, tensor.bytes.data() + i * sizeof value, sizeof value);
    values[i] = static_cast<float>(value);
  }
  return values;
}

}  // namespace

std::vector<NamedTensor> named_weights(const Model& model) {
  std::vector<NamedTensor> tensors;
  // all_parameters hands out pointers for writing too; here they are only read.
  for (const ParameterPath& path : all_parameters(const_cast<Model&>(model))) {
    check_internal(path.parameter->has_values(), "a weight has no values");
    const auto bytes = path.parameter->bytes();
    tensors.push_back({path.path, path.parameter->dtype, path.parameter->shape, {bytes.begin(), bytes.end()}});
  }
  return tensors;
}

void assign_named_weights(Model& model, std::span<const NamedTensor> tensors, const std::string& source) {
  const std::vector<ParameterPath> parameters = all_parameters(model);
  std::map<std::string, const NamedTensor*> exact, plain;
  for (const NamedTensor& tensor : tensors) {
    exact[tensor.name] = &tensor;
    plain.emplace(plain_name(tensor.name), &tensor);
  }
  std::vector<std::string> missing, left_over, problems;
  std::vector<std::pair<Parameter*, const NamedTensor*>> pairs;
  std::set<const NamedTensor*> used;
  for (const ParameterPath& path : parameters) {
    auto found = exact.find(path.path);
    if (found == exact.end()) {
      found = plain.find(plain_name(path.path));
      if (found == plain.end()) {
        missing.push_back(path.path);
        continue;
      }
    }
    const NamedTensor& tensor = *found->second;
    used.insert(&tensor);
    pairs.emplace_back(path.parameter, &tensor);
    if (tensor.shape != path.parameter->shape)
      problems.push_back("'" + path.path + "' is " + shape_text(path.parameter->shape) + " in the model but " +
                         shape_text(tensor.shape) + " in the file");
    else if (is_float(tensor.type.dtype) != is_float(path.parameter->dtype) ||
             (!is_float(tensor.type.dtype) && tensor.type.dtype != path.parameter->dtype))
      problems.push_back("'" + path.path + "' has another element type than in the model");
  }
  for (const NamedTensor& tensor : tensors)
    if (!used.count(&tensor)) left_over.push_back(tensor.name);
  std::string detail;
  if (!missing.empty()) detail += "missing in the file: " + list_of(missing);
  if (!left_over.empty()) detail += (detail.empty() ? "" : "\n") + ("not in the model: " + list_of(left_over));
  for (const std::string& problem : problems) detail += (detail.empty() ? "" : "\n") + problem;
  if (!detail.empty())
    refuse(source, "its weights are not those of the model '" + model.name + "'",
           "weights are found by the names of layers and weights, as `moru convert MODEL W.safetensors` writes them",
           detail);
  for (const auto& [parameter, tensor] : pairs) {
    if (parameter->dtype == DType::f32)
      parameter->data = *as_floats(*tensor);
    else
      parameter->raw = tensor->bytes;
  }
}

std::vector<NamedTensor> read_safetensors(std::span<const std::byte> bytes, const std::string& source) {
  const auto damaged = [&](const std::string& why) {
    refuse(source, "is no safetensors file, or it is damaged: " + why, "copy it again from where it came from");
  };
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) damaged("it has " + std::to_string(bytes.size()) + " bytes");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  if (header_bytes > bytes.size() - sizeof header_bytes) damaged("its header does not end within the file");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof header_bytes, header_bytes);
  const Json header = parse_json(text, source + " (header)");
  if (!header.is_object()) damaged("its header is no list of tensors");
  const auto data = bytes.subspan(sizeof header_bytes + header_bytes);
  std::vector<NamedTensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == header_metadata) continue;
    const std::string what = "the tensor '" + name + "'";
    const auto integers = [&](const char* key) {
      std::vector<int64_t> values;
      if (!entry.is_object() || !entry.contains(key) || !entry[key].is_array()) damaged(what + " has no " + key);
      for (const Json& value : entry[key]) {
        if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{1} << 48)
          damaged(what + " has the impossible " + key + " " + json_text(entry[key]));
        values.push_back(value.get<int64_t>());
      }
      return values;
    };
    const std::vector<int64_t> shape = integers("shape"), place = integers("data_offsets");
    const std::string type_name = entry.is_object() && entry.contains("dtype") ? json_text(entry["dtype"]) : "none";
    const auto type = std::find_if(std::begin(safetensors_types), std::end(safetensors_types),
                                   [&](const SafetensorsType& t) { return type_name == '"' + std::string(t.name) + '"'; });
    if (type == std::end(safetensors_types)) refuse(source, what + " has the element type " + type_name + ", which is not supported");
    int64_t needed = stored_bytes(type->type, 1);
    for (int64_t extent : shape)
      if (__builtin_mul_overflow(needed, extent, &needed)) damaged(what + " has an impossible shape");
    if (place.size() != 2 || place[0] > place[1] || static_cast<uint64_t>(place[1]) > data.size())
      damaged(what + " lies outside of the file");
    if (place[1] - place[0] != needed)
      damaged(what + " has " + std::to_string(place[1] - place[0]) + " bytes but needs " + std::to_string(needed));
    const auto values = data.subspan(static_cast<size_t>(place[0]), static_cast<size_t>(needed));
    NamedTensor tensor{name, type->type, shape, {values.begin(), values.end()}};
    if (type->type.narrow != Narrow::none) tensor.bytes = widen_elements(values, type->type.narrow);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

std::vector<std::byte> write_safetensors(std::span<const NamedTensor> tensors) {
  Json header = Json::object();
  header[header_metadata] = Json{{"format", "moru"}};
  std::vector<std::byte> data;
  for (const NamedTensor& tensor : tensors) {
    const std::vector<std::byte> bytes =
        tensor.type.narrow == Narrow::none ? tensor.bytes : narrow_elements(tensor.bytes, tensor.type.narrow);
    const auto type = std::find_if(std::begin(safetensors_types), std::end(safetensors_types), [&](const SafetensorsType& t) {
      return t.type.dtype == tensor.type.dtype && t.type.narrow == tensor.type.narrow;
    });
    check_internal(type != std::end(safetensors_types), "an element type that safetensors lacks");
    Json entry = Json::object();
    entry["dtype"] = type->name;
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = {data.size(), data.size() + bytes.size()};
    header[tensor.name] = std::move(entry);
    data.insert(data.end(), bytes.begin(), bytes.end());
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data is aligned
  const uint64_t header_bytes = text.size();
  std::vector<std::byte> out(sizeof header_bytes + text.size() + data.size());
  std::memcpy(out.data(), &header_bytes, sizeof header_bytes);
  std::memcpy(out.data() + sizeof header_bytes, text.data(), text.size());
  if (!data.empty()) std::memcpy(out.data() + sizeof header_bytes + text.size(), data.data(), data.size());
  return out;
}

}  // namespace moru
