#include "tools/moru/arrays.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "compiler/exchange/onnx/onnx_tensor.h"
#include "compiler/support/narrow.h"
#include "runtime/atomic_file.h"
#include "runtime/data/npy.h"
#include "runtime/training/predict.h"
#include "tools/moru/commands.h"

namespace moru::cli {

DType dtype_of_npy(NpyType type) {
  switch (type) {
    case NpyType::f4:
      return DType::f32;
    case NpyType::f8:
      return DType::f64;
    case NpyType::i1:
    case NpyType::i2:
    case NpyType::u1:
    case NpyType::u2:
    case NpyType::i4:
      return DType::i32;
    case NpyType::b1:
      return DType::boolean;
    default:
      return DType::i64;
  }
}

namespace {

std::optional<NpyType> npy_type_of(Narrow narrow) {
  switch (narrow) {
    case Narrow::f16:
      return NpyType::f2;
    case Narrow::i8:
      return NpyType::i1;
    case Narrow::i16:
      return NpyType::i2;
    case Narrow::u8:
      return NpyType::u1;
    case Narrow::u16:
      return NpyType::u2;
    case Narrow::u32:
      return NpyType::u4;
    case Narrow::u64:
      return NpyType::u8;
    default:  // of which numpy has none
      return std::nullopt;
  }
}

/// Uniform in [0, 1), by SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
class Uniform {
 public:
  explicit Uniform(uint64_t seed) : state_(seed) {}
  double next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }

 private:
  uint64_t state_;
};

void put(SavedTensor& tensor, size_t index, double value) {
  const auto store = [&](auto element) {
    std::memcpy(tensor.bytes.data() + index * sizeof element, &element, sizeof element);
  };
  switch (tensor.dtype) {
    case DType::f32:
      return store(static_cast<float>(value));
    case DType::f64:
      return store(value);
    case DType::i32:
      return store(static_cast<int32_t>(value));
    case DType::i64:
      return store(static_cast<int64_t>(value));
    case DType::boolean:
      return store(static_cast<uint8_t>(value != 0));
    case DType::bf16:
      return store(bf16_bits(static_cast<float>(value)));
  }
}

double random_value(const ProgramSlot& slot, Uniform& uniform) {
  if (slot.kind == SlotKind::sample_weight) return 1;
  const double value = uniform.next();
  if (slot.dtype == DType::boolean) return value < 0.5 ? 0 : 1;
  if (is_integer(slot.dtype))
    return std::floor(value * static_cast<double>(slot.index_limit > 0 ? slot.index_limit : 2));
  return slot.kind == SlotKind::target ? value : 2 * value - 1;
}

}  // namespace

SavedTensor read_argument(const std::string& argument) {
  const size_t equals = argument.find('=');
  SavedTensor tensor;
  if (equals != std::string::npos) tensor.name = argument.substr(0, equals);
  const std::string path = equals == std::string::npos ? argument : argument.substr(equals + 1);
  if (path.ends_with(".pb")) {
    OnnxTensor stored = read_onnx_tensor_file(path);
    tensor.dtype = stored.dtype;
    tensor.shape = std::move(stored.shape);
    tensor.bytes = std::move(stored.bytes);
    return tensor;
  }
  NpyArray array = need(read_npy(path));
  tensor.dtype = dtype_of_npy(array.type);
  tensor.bytes = need(convert_npy(array, tensor.dtype, path));
  tensor.shape = std::move(array.shape);
  return tensor;
}

void write_arrays(const std::string& directory, std::span<const SavedTensor> tensors,
                  std::span<const Narrow> stored_as) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) need(file_error("make", directory, error.value()));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const SavedTensor& tensor = tensors[i];
    const Narrow narrow = i < stored_as.size() ? stored_as[i] : Narrow::none;
    const std::string path = directory + "/" + output_file_name(tensor.name);
    if (narrow == Narrow::none) {
      need(write_npy(path + ".npy", tensor.dtype, tensor.shape, tensor.bytes));
    } else if (const std::optional<NpyType> type = npy_type_of(narrow)) {
      need(write_npy(path + ".npy", *type, tensor.shape, narrow_elements(tensor.bytes, narrow)));
    } else {
      write_onnx_tensor_file(path + ".pb", tensor.name, {tensor.dtype, narrow}, tensor.shape, tensor.bytes);
    }
  }
}

std::vector<SavedTensor> match_inputs(const Program& program, std::vector<SavedTensor> given) {
  const ProgramEntry& entry = program.entries()[program.find_entry("predict").value()];
  std::string names;
  for (const ProgramSlot& slot : program.slots())
    if (slot.kind == SlotKind::input) names += (names.empty() ? "'" : ", '") + slot.name + "'";
  for (const SavedTensor& tensor : given) {
    const bool known = std::any_of(program.slots().begin(), program.slots().end(), [&](const ProgramSlot& slot) {
      return slot.kind == SlotKind::input && slot.name == tensor.name;
    });
    if (!known && !tensor.name.empty())
      fail("'" + tensor.name + "' is not an input of the model; its inputs are " + names);
    if (tensor.name.empty() && given.size() > 1)
      fail("where there are several arrays, each needs its input's name, as NAME=FILE.npy; the inputs are " + names);
  }
  std::vector<SavedTensor> inputs;
  for (const uint32_t slot : entry.inputs) {
    const ProgramSlot& wanted = program.slots()[slot];
    if (wanted.kind != SlotKind::input) continue;
    const auto found = std::find_if(given.begin(), given.end(), [&](const SavedTensor& tensor) {
      return tensor.name == wanted.name || (tensor.name.empty() && given.size() == 1);
    });
    if (found == given.end())
      fail("the model needs the input '" + wanted.name + "', which is not given\n  hint: its inputs are " + names);
    SavedTensor input = *found;
    given.erase(found);
    if (input.dtype != wanted.dtype) {
      const NpyArray array = {npy_type_of(input.dtype), input.shape, input.bytes};
      input.bytes = need(convert_npy(array, wanted.dtype, "input '" + wanted.name + "'"));
      input.dtype = wanted.dtype;
    }
    input.name = wanted.name;
    inputs.push_back(std::move(input));
  }
  // An input that no output depends on may be given all the same.
  std::erase_if(given, [&](const SavedTensor& tensor) {
    const auto slot = program.find_slot(tensor.name);
    return tensor.name.empty() ||
           (slot && std::find(entry.inputs.begin(), entry.inputs.end(), *slot) == entry.inputs.end());
  });
  if (!given.empty()) fail("the input '" + given.front().name + "' is given twice");
  return inputs;
}

void add_open_sizes(CLI::App& command, OpenSizes& sizes, const std::string& doc) {
  command.add_option("--batch", sizes.batch, doc)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->type_name("N");
  command.add_option("--size", sizes.sizes, "The size of another open dimension (default: that of the batch)")->type_name("NAME=N");
}

std::map<std::string, int64_t> bind_symbols(const Program& program, const OpenSizes& sizes) {
  std::map<std::string, int64_t> symbols;
  std::string names;
  for (const std::string& symbol : program.symbols()) {
    if (symbol == "workers") continue;
    symbols[symbol] = sizes.wanted_batch();
    names += (names.empty() ? "'" : ", '") + symbol + "'";
  }
  if (sizes.batch && !symbols.contains("batch"))
    fail("--batch " + std::to_string(*sizes.batch) + " is for a model that leaves its batch open, and the inputs of this one have sizes of their own\n  hint: leave out --batch");
  for (const std::string& text : sizes.sizes) {
    const size_t equals = text.find('=');
    int64_t size = 0;
    const char* end = text.data() + text.size();
    if (equals == std::string::npos || equals == 0 || std::from_chars(text.data() + equals + 1, end, size).ptr != end || size < 1)
      fail("--size takes NAME=NUMBER, such as time=24, not '" + text + "'");
    const std::string name = text.substr(0, equals);
    if (!symbols.count(name))
      fail("the model has no open dimension '" + name + "'; it has " + (names.empty() ? "none" : names));
    symbols[name] = size;
  }
  return symbols;
}

std::vector<SavedTensor> random_tensors(const Program& program, std::string_view entry,
                                        const std::map<std::string, int64_t>& symbols, uint64_t seed) {
  std::vector<int64_t> values;
  for (const std::string& symbol : program.symbols()) values.push_back(symbol == "workers" ? 1 : symbols.at(symbol));
  Uniform uniform(seed);
  std::vector<SavedTensor> tensors;
  for (const uint32_t number : program.entries()[program.find_entry(entry).value()].inputs) {
    const ProgramSlot& slot = program.slots()[number];
    if (!is_bound_by_caller(slot.kind)) continue;
    SavedTensor tensor{slot.name, slot.dtype, {}, {}};
    int64_t count = 1;
    for (const DimExpression& dim : slot.shape) {
      const std::optional<int64_t> size = dim.evaluate(values);
      if (!size || *size < 0)
        fail("'" + slot.name + "' has no size for these dimensions: " + program.slot_type_text(number));
      tensor.shape.push_back(*size);
      if (__builtin_mul_overflow(count, *size, &count) || count > (int64_t{1} << 40))
        fail("'" + slot.name + "' would have too many elements: " + program.slot_type_text(number) + " as " +
             sizes_text(tensor.shape));
    }
    tensor.bytes.resize(static_cast<size_t>(count * dtype_bytes(slot.dtype)));
    for (int64_t i = 0; i < count; ++i) put(tensor, static_cast<size_t>(i), random_value(slot, uniform));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

std::vector<double> to_doubles(const SavedTensor& tensor) {
  std::vector<double> values(tensor.bytes.size() / static_cast<size_t>(dtype_bytes(tensor.dtype)));
  const auto load = [&]<typename T>(T) {
    for (size_t i = 0; i < values.size(); ++i) {
      T element;
      std::memcpy(&element, tensor.bytes.data() + i * sizeof element, sizeof element);
      values[i] = static_cast<double>(element);
    }
  };
  switch (tensor.dtype) {
    case DType::f32:
      load(float{});
      break;
    case DType::f64:
      load(double{});
      break;
    case DType::i32:
      load(int32_t{});
      break;
    case DType::i64:
      load(int64_t{});
      break;
    case DType::boolean:
      load(uint8_t{});
      break;
    case DType::bf16:
      for (size_t i = 0; i < values.size(); ++i) {
        uint16_t bits = 0;
        std::memcpy(&bits, tensor.bytes.data() + i * sizeof bits, sizeof bits);
        values[i] = static_cast<double>(bf16_value(bits));
      }
      break;
  }
  return values;
}

HostTensor to_host(const SavedTensor& tensor) { return {tensor.dtype, tensor.shape, to_doubles(tensor)}; }

SavedTensor from_host(const std::string& name, const HostTensor& host) {
  SavedTensor tensor{name, host.dtype, host.shape, {}};
  tensor.bytes.resize(host.data.size() * static_cast<size_t>(dtype_bytes(host.dtype)));
  for (size_t i = 0; i < host.data.size(); ++i) {
    const auto put = [&](auto element) {
      std::memcpy(tensor.bytes.data() + i * sizeof element, &element, sizeof element);
    };
    switch (host.dtype) {
      case DType::f32:
        put(static_cast<float>(host.data[i]));
        break;
      case DType::f64:
        put(host.data[i]);
        break;
      case DType::i32:
        put(static_cast<int32_t>(host.data[i]));
        break;
      case DType::i64:
        put(static_cast<int64_t>(host.data[i]));
        break;
      case DType::boolean:
        put(static_cast<uint8_t>(host.data[i] != 0));
        break;
      case DType::bf16:
        put(bf16_bits(static_cast<float>(host.data[i])));
        break;
    }
  }
  return tensor;
}

}  // namespace moru::cli
