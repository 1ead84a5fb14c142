#include "compiler/exchange/onnx/onnx_tensor.h"

#include <onnx/onnx_pb.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "compiler/exchange/onnx/onnx_file.h"
#include "compiler/exchange/refusal.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using exchange::refuse_file;

using Proto = onnx::TensorProto;

// ONNX's element types: those up to BFLOAT16 by the names that every version of its schema has.
struct Named {
  int32_t type;
  DType dtype;
  Narrow narrow = Narrow::none;
  int64_t opset = 1;  // with which its operators came
};
constexpr Named element_types[] = {
    {Proto::FLOAT, DType::f32},
    {Proto::DOUBLE, DType::f64},
    {Proto::INT32, DType::i32},
    {Proto::INT64, DType::i64},
    {Proto::BOOL, DType::boolean},
    {Proto::FLOAT16, DType::f32, Narrow::f16},
    {Proto::BFLOAT16, DType::f32, Narrow::bf16, 13},
    {Proto::INT8, DType::i32, Narrow::i8},
    {Proto::INT16, DType::i32, Narrow::i16},
    {Proto::UINT8, DType::i32, Narrow::u8},
    {Proto::UINT16, DType::i32, Narrow::u16},
    {Proto::UINT32, DType::i64, Narrow::u32},
    {Proto::UINT64, DType::i64, Narrow::u64},
    {17, DType::f32, Narrow::f8e4m3fn, 19},
    {18, DType::f32, Narrow::f8e4m3fnuz, 19},
    {19, DType::f32, Narrow::f8e5m2, 19},
    {20, DType::f32, Narrow::f8e5m2fnuz, 19},
    {21, DType::i32, Narrow::u4, 21},
    {22, DType::i32, Narrow::i4, 21},
    {23, DType::f32, Narrow::f4e2m1, 23},
    {24, DType::f32, Narrow::f8e8m0, 24},
    {25, DType::i32, Narrow::u2, 25},
    {26, DType::i32, Narrow::i2, 25},
};

std::string element_type_name(int32_t type) {
  return Proto::DataType_IsValid(type) ? Proto::DataType_Name(static_cast<Proto::DataType>(type))
                                       : std::to_string(type);
}

template <typename To, typename Numbers>
std::vector<std::byte> bytes_of(const Numbers& numbers) {
  std::vector<std::byte> bytes(static_cast<size_t>(numbers.size()) * sizeof(To));
  for (int i = 0; i < numbers.size(); ++i) {
    const To element = static_cast<To>(numbers.Get(i));
    std::memcpy(bytes.data() + static_cast<size_t>(i) * sizeof(To), &element, sizeof(To));
  }
  return bytes;
}

// A path inside the model's folder: a file may not name others on this machine.
std::string external_path(const std::string& folder, const std::string& location, const std::string& what) {
  namespace fs = std::filesystem;
  const fs::path path(location);
  const fs::path normal = path.lexically_normal();
  std::error_code error;
  const fs::path full = fs::weakly_canonical(fs::path(folder.empty() ? "." : folder) / normal, error);
  const fs::path root = fs::weakly_canonical(fs::path(folder.empty() ? "." : folder), error);
  const fs::path inside = full.lexically_relative(root);
  if (location.empty() || path.is_absolute() || inside.empty() || *inside.begin() == "..")
    refuse_file(what + " has its values in '" + location + "', which is outside of the model's folder");
  return full.string();
}

}  // namespace

// As raw data would be. Types without a field of their own are in int32_data, f16 as bits.
std::vector<std::byte> typed_bytes(const Proto& tensor, ElementType type) {
  switch (type.narrow) {
    case Narrow::none:
      break;
    case Narrow::i8:
    case Narrow::u8:
    case Narrow::f8e4m3fn:
    case Narrow::f8e4m3fnuz:
    case Narrow::f8e5m2:
    case Narrow::f8e5m2fnuz:
    case Narrow::f8e8m0:
    case Narrow::f4e2m1:  // as many as a byte holds
    case Narrow::i4:
    case Narrow::u4:
    case Narrow::i2:
    case Narrow::u2:
      return bytes_of<uint8_t>(tensor.int32_data());
    case Narrow::f16:
    case Narrow::bf16:
    case Narrow::i16:
    case Narrow::u16:
      return bytes_of<uint16_t>(tensor.int32_data());
    case Narrow::u32:
      return bytes_of<uint32_t>(tensor.uint64_data());
    case Narrow::u64:
      return bytes_of<uint64_t>(tensor.uint64_data());
  }
  switch (type.dtype) {
    case DType::f32:
      return bytes_of<float>(tensor.float_data());
    case DType::f64:
      return bytes_of<double>(tensor.double_data());
    case DType::i32:
      return bytes_of<int32_t>(tensor.int32_data());
    case DType::i64:
      return bytes_of<int64_t>(tensor.int64_data());
    case DType::boolean:
      return bytes_of<uint8_t>(tensor.int32_data());
    case DType::bf16:  // held in f32, narrow
      break;
  }
  return {};
}

FileRange external_range(const Proto& tensor, const std::string& folder, uint64_t needed, const std::string& what) {
  std::string location;
  uint64_t offset = 0;
  auto number = [&](const std::string& text) {
    uint64_t value = 0;
    for (char c : text) {
      if (c < '0' || c > '9' || value > (uint64_t{1} << 56)) refuse_file(what + " has the impossible place '" + text + "'");
      value = value * 10 + static_cast<uint64_t>(c - '0');
    }
    return value;
  };
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = number(entry.value());
  }
  return {external_path(folder, location, what), offset, needed};
}

ElementType dtype_of_onnx(int32_t element_type, const std::string& what) {
  for (const Named& named : element_types)
    if (named.type == element_type) return {named.dtype, named.narrow};
  refuse_file(what + " has the element type " + element_type_name(element_type) + ", which is not supported");
}

int32_t onnx_type_of(ElementType type) {
  for (const Named& named : element_types)
    if (named.dtype == type.dtype && named.narrow == type.narrow) return named.type;
  throw InternalError("an element type without a name in ONNX");
}

int64_t onnx_opset_of(ElementType type) {
  for (const Named& named : element_types)
    if (named.dtype == type.dtype && named.narrow == type.narrow) return named.opset;
  throw InternalError("an element type without a name in ONNX");
}

Known known_of(const OnnxTensor& tensor) {
  auto value = std::make_shared<KnownValue>(*known_of(tensor.dtype.dtype, tensor.shape, tensor.bytes));
  value->narrow = tensor.dtype.narrow;
  return value;
}

OnnxTensor read_onnx_tensor_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Proto tensor;
  if (!file) refuse_file("'" + path + "' cannot be read");
  if (!tensor.ParseFromIstream(&file)) refuse_file("'" + path + "' holds no ONNX tensor, or it is damaged");
  return read_onnx_tensor(tensor, {}, "'" + path + "'");
}

void write_onnx_tensor_file(const std::string& path, const std::string& name, ElementType type,
                            std::span<const int64_t> shape, std::span<const std::byte> bytes) {
  Proto tensor;
  tensor.set_name(name);
  tensor.set_data_type(onnx_type_of(type));
  for (int64_t extent : shape) tensor.add_dims(extent);
  const std::vector<std::byte> stored = narrow_elements(bytes, type.narrow);
  tensor.set_raw_data(stored.data(), stored.size());
  std::ofstream file(path, std::ios::binary);
  if (!file || !tensor.SerializeToOstream(&file) || !file.flush()) refuse_file("'" + path + "' cannot be written");
}

bool KnownValue::is_symbolic() const {
  for (const Dim& dim : dims)
    if (!dim.is_constant()) return true;
  return false;
}

Known known_integer(int64_t number, DType dtype) {
  auto value = std::make_shared<KnownValue>();
  value->dtype = dtype;
  value->dims = {Dim(number)};
  return value;
}

Known known_of(const HostTensor& tensor) {
  auto value = std::make_shared<KnownValue>();
  value->dtype = tensor.dtype;
  value->shape = tensor.shape;
  if (is_float(tensor.dtype)) {
    value->reals = tensor.data;
  } else {
    for (double element : tensor.data) value->dims.emplace_back(static_cast<int64_t>(element));
  }
  return value;
}

HostTensor host_of(const KnownValue& value) {
  HostTensor tensor = make_tensor(value.dtype, value.shape);
  for (size_t i = 0; i < tensor.data.size(); ++i) tensor.data[i] = value.number(i);
  return tensor;
}

Known known_of(DType dtype, std::span<const int64_t> shape, std::span<const std::byte> bytes) {
  auto value = std::make_shared<KnownValue>();
  value->dtype = dtype;
  value->shape.assign(shape.begin(), shape.end());
  const auto width = static_cast<size_t>(dtype_bytes(dtype));
  for (size_t at = 0; at + width <= bytes.size(); at += width) {
    const auto load = [&](auto element) {
      std::memcpy(&element, bytes.data() + at, sizeof element);
      return element;
    };
    switch (dtype) {
      case DType::f32:
        value->reals.push_back(static_cast<double>(load(float{})));
        break;
      case DType::f64:
        value->reals.push_back(load(double{}));
        break;
      case DType::i32:
        value->dims.emplace_back(load(int32_t{}));
        break;
      case DType::i64:
        value->dims.emplace_back(load(int64_t{}));
        break;
      case DType::boolean:
        value->dims.emplace_back(load(uint8_t{}) != 0);
        break;
      case DType::bf16:
        break;
    }
  }
  return value;
}

int64_t checked_elements(std::span<const int64_t> shape, const std::string& what) {
  int64_t elements = 1;
  for (int64_t extent : shape) {
    constexpr int64_t most = int64_t{1} << 40;
    if (extent < 0 || (extent > 0 && elements > most / extent))
      refuse_file(what + " has the impossible shape " + shape_text(shape));
    elements *= extent;
  }
  return elements;
}

OnnxTensor read_onnx_tensor(const Proto& tensor, const std::string& folder, const std::string& what) {
  const StoredTensor stored(tensor, folder, what);
  return {stored.dtype, stored.shape, stored.bytes()};
}

}  // namespace moru
