#include "runtime/data/npy.h"
#include "runtime/data/npy_head.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>

#include "runtime/atomic_file.h"
#include "runtime/data/wording.h"

namespace moru {
namespace {

static_assert(std::endian::native == std::endian::little, "descr is written as little endian");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t largest_header_bytes = std::size_t{1} << 20;
constexpr std::size_t most_axes = 32;

struct TypeName {
  NpyType type;
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<TypeName, 12> types = {{{NpyType::f4, "f4", 4},
                                            {NpyType::f8, "f8", 8},
                                            {NpyType::i1, "i1", 1},
                                            {NpyType::i2, "i2", 2},
                                            {NpyType::i4, "i4", 4},
                                            {NpyType::i8, "i8", 8},
                                            {NpyType::u1, "u1", 1},
                                            {NpyType::b1, "b1", 1},
                                            {NpyType::f2, "f2", 2},
                                            {NpyType::u2, "u2", 2},
                                            {NpyType::u4, "u4", 4},
                                            {NpyType::u8, "u8", 8}}};

// "f4", "i8", ...: as in the descr, without the byte order.
std::string_view npy_type_name(NpyType type) { return types[static_cast<std::size_t>(type)].name; }
std::size_t npy_type_bytes(NpyType type) { return types[static_cast<std::size_t>(type)].bytes; }

struct Header {
  NpyType type = NpyType::f4;
  bool swapped = false;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  std::size_t data_offset = 0;
  std::size_t data_bytes = 0;
};

/// The dictionary literal in a header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  /// Empty where all is well, else what is wrong.
  std::string parse(std::string& descr, Header& header) {
    bool has_descr = false, has_order = false, has_shape = false;
    if (!take('{')) return "the header is not a dictionary";
    while (!take('}')) {
      std::string key;
      if (!take_string(key) || !take(':')) return "the header is not a dictionary of strings";
      if (key == "descr" && !has_descr) {
        if (!take_string(descr)) return "'descr' is not a plain element type; structured arrays are not supported";
        has_descr = true;
      } else if (key == "fortran_order" && !has_order) {
        if (take_word("True"))
          header.fortran_order = true;
        else if (!take_word("False"))
          return "'fortran_order' is neither True nor False";
        has_order = true;
      } else if (key == "shape" && !has_shape) {
        if (std::string wrong = take_shape(header.shape); !wrong.empty()) return wrong;
        has_shape = true;
      } else {
        return "the header has an unknown or repeated key " + quote_cell(key);
      }
      if (!take(',') && peek() != '}') return "the header's dictionary is not closed";
    }
    skip_spaces();
    if (at_ != text_.size()) return "text follows the header's dictionary";
    if (!has_descr || !has_order || !has_shape) return "the header lacks 'descr', 'fortran_order' or 'shape'";
    return {};
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }
  char peek() {
    skip_spaces();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    skip_spaces();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  bool take_string(std::string& out) {
    const char quote = peek();
    if (quote != '\'' && quote != '"') return false;
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) return false;
    out = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return true;
  }
  std::string take_shape(std::vector<int64_t>& shape) {
    if (!take('(')) return "'shape' is not a tuple";
    while (!take(')')) {
      if (std::isdigit(static_cast<unsigned char>(peek())) == 0) return "'shape' holds something that is not a size";
      int64_t size = 0;
      for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0; ++at_) {
        if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, text_[at_] - '0', &size)) {
          return "'shape' holds a size beyond 63 bits";
        }
      }
      take_word("L");  // Python 2 wrote long integers so
      if (shape.size() == most_axes) return "'shape' has more than 32 axes";
      shape.push_back(size);
      if (!take(',') && peek() != ')') return "'shape' is not a tuple of sizes";
    }
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

Status damaged(const std::string& name, const std::string& what) {
  return data_error(name + ": is not a usable .npy file: " + what + "\n  hint: write it again with numpy.save",
                    StatusCode::corrupt);
}

uint32_t little_endian(std::span<const std::byte> bytes) {
  uint32_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = (value << 8) | static_cast<uint32_t>(bytes[i]);
  return value;
}

std::optional<NpyType> find_type(std::string_view name) {
  for (const TypeName& type : types) {
    if (type.name == name) return type.type;
  }
  return std::nullopt;
}

/// Reads the header at the beginning of `bytes`, which may be only the beginning of the file, and checks that the
/// `file_bytes` of the whole file are what the shape asks for.
Result<Header> parse_header(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& name) {
  if (bytes.size() < 10 || std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) {
    return data_error(
        name +
            ": is not a .npy file (it does not begin with \\x93NUMPY)\n  hint: write arrays with numpy.save; "
            ".npz archives and pickles are not supported",
        StatusCode::wrong_format);
  }
  const auto version = static_cast<unsigned>(bytes[6]);
  if (version < 1 || version > 3) return damaged(name, "its format version is " + std::to_string(version) + ".x");
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  const std::size_t header_begin = 8 + length_bytes;
  if (bytes.size() < header_begin) return damaged(name, "it ends inside its header");
  const std::size_t header_bytes = little_endian(bytes.subspan(8, length_bytes));
  if (header_bytes > largest_header_bytes)
    return damaged(name, "its header claims " + std::to_string(header_bytes) + " bytes");
  if (bytes.size() - header_begin < header_bytes) return damaged(name, "it ends inside its header");

  Header header;
  header.data_offset = header_begin + header_bytes;
  std::string descr;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + header_begin, header_bytes);
  if (const std::string wrong = HeaderParser(text).parse(descr, header); !wrong.empty()) return damaged(name, wrong);

  const char order = descr.empty() ? '\0' : descr[0];
  const bool has_order = order == '<' || order == '>' || order == '|' || order == '=';
  const std::optional<NpyType> type =
      find_type(has_order ? std::string_view(descr).substr(1) : std::string_view(descr));
  if (!type) {
    return data_error(
        name + ": elements of type " + quote_cell(descr) +
        " are not supported\n  hint: convert with array.astype('float32'); the types are f4, f8, i1, i2, i4, i8, "
        "u1 and b1");
  }
  header.type = *type;
  header.swapped = order == '>';
  uint64_t total = npy_type_bytes(header.type);
  bool empty = false;
  for (const int64_t size : header.shape) {
    empty = empty || size == 0;
    if (size != 0 && __builtin_mul_overflow(total, static_cast<uint64_t>(size), &total)) {
      return damaged(name, "its shape has more elements than memory can address");
    }
  }
  if (empty) total = 0;
  const uint64_t held = file_bytes - header.data_offset;
  if (held != total) {
    return damaged(name,
                   "its shape needs " + std::to_string(total) + " bytes of data and it holds " + std::to_string(held));
  }
  header.data_bytes = static_cast<std::size_t>(total);
  return header;
}

void swap_bytes(std::span<std::byte> data, std::size_t element_bytes) {
  for (std::size_t i = 0; i + element_bytes <= data.size(); i += element_bytes) {
    std::reverse(data.begin() + static_cast<std::ptrdiff_t>(i),
                 data.begin() + static_cast<std::ptrdiff_t>(i + element_bytes));
  }
}

/// Column-major to row-major: walks the source in order and adds up the target's strides.
std::vector<std::byte> to_row_major(std::span<const std::byte> data, std::span<const int64_t> shape,
                                    std::size_t element_bytes) {
  const std::size_t rank = shape.size();
  std::vector<std::size_t> stride(rank, element_bytes), index(rank, 0);
  for (std::size_t axis = rank; axis-- > 1;) stride[axis - 1] = stride[axis] * static_cast<std::size_t>(shape[axis]);
  std::vector<std::byte> out(data.size());
  std::size_t to = 0;
  for (std::size_t from = 0; from < data.size(); from += element_bytes) {
    std::memcpy(out.data() + to, data.data() + from, element_bytes);
    for (std::size_t axis = 0; axis < rank; ++axis) {
      to += stride[axis];
      if (++index[axis] < static_cast<std::size_t>(shape[axis])) break;
      to -= stride[axis] * static_cast<std::size_t>(shape[axis]);
      index[axis] = 0;
    }
  }
  return out;
}

std::vector<std::byte> halves_to_floats(std::span<const std::byte> from) {
  std::vector<std::byte> to(from.size() * 2);
  for (std::size_t i = 0; i < from.size() / 2; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from.data() + 2 * i, 2);
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float value = exponent == 0 ? static_cast<float>(mantissa) * 0x1p-24f
                                : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
    if (exponent == 31) value = mantissa ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
    if (bits & 0x8000) value = -value;
    std::memcpy(to.data() + 4 * i, &value, 4);
  }
  return to;
}

NpyArray make_array(Header header, std::vector<std::byte> data) {
  const std::size_t element_bytes = npy_type_bytes(header.type);
  if (header.swapped) swap_bytes(data, element_bytes);
  if (header.fortran_order && header.shape.size() > 1) data = to_row_major(data, header.shape, element_bytes);
  if (header.type == NpyType::f2) {
    data = halves_to_floats(data);
    header.type = NpyType::f4;
  }
  return NpyArray{header.type, std::move(header.shape), std::move(data)};
}

template <typename From, typename To>
std::optional<std::size_t> convert_elements(std::span<const std::byte> from, std::span<std::byte> to) {
  const std::size_t count = from.size() / sizeof(From);
  for (std::size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from.data() + i * sizeof(From), sizeof(From));
    if constexpr (std::is_integral_v<To>) {
      if constexpr (std::is_floating_point_v<From>) {
        // -min is the first power of two that does not fit, and exact in either float type.
        constexpr auto low = static_cast<From>(std::numeric_limits<To>::min());
        if (!(value >= low && value < -low) || value != std::trunc(value)) return i;
      } else if (!std::in_range<To>(value)) {
        return i;
      }
    }
    const To converted = static_cast<To>(value);
    std::memcpy(to.data() + i * sizeof(To), &converted, sizeof(To));
  }
  return std::nullopt;
}

template <typename To>
std::optional<std::size_t> convert_to(const NpyArray& array, std::span<std::byte> to) {
  switch (array.type) {
    case NpyType::f4:
      return convert_elements<float, To>(array.data, to);
    case NpyType::f8:
      return convert_elements<double, To>(array.data, to);
    case NpyType::i1:
      return convert_elements<int8_t, To>(array.data, to);
    case NpyType::i2:
      return convert_elements<int16_t, To>(array.data, to);
    case NpyType::i4:
      return convert_elements<int32_t, To>(array.data, to);
    case NpyType::i8:
      return convert_elements<int64_t, To>(array.data, to);
    case NpyType::u1:
    case NpyType::b1:
      return convert_elements<uint8_t, To>(array.data, to);
    case NpyType::u2:
      return convert_elements<uint16_t, To>(array.data, to);
    case NpyType::u4:
      return convert_elements<uint32_t, To>(array.data, to);
    case NpyType::u8:
      return convert_elements<uint64_t, To>(array.data, to);
    case NpyType::f2:
      break;  // was read as f4
  }
  return 0;
}

}  // namespace

NpyType npy_type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return NpyType::f4;
    case DType::f64:
      return NpyType::f8;
    case DType::i32:
      return NpyType::i4;
    case DType::i64:
      return NpyType::i8;
    case DType::boolean:
      return NpyType::b1;
    case DType::bf16:  // numpy has none
      break;
  }
  return NpyType::f4;
}

int64_t NpyArray::element_count() const { return static_cast<int64_t>(data.size() / npy_type_bytes(type)); }

Result<NpyArray> parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  Result<Header> header = parse_header(bytes, bytes.size(), name);
  if (!header.ok()) return header.status();
  const auto data = bytes.subspan(header->data_offset);
  return make_array(std::move(header.value()), std::vector<std::byte>(data.begin(), data.end()));
}

Result<NpyArray> read_npy(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) return file_error("open", path, errno);
  if (std::fseek(file.get(), 0, SEEK_END) != 0) return file_error("read", path, errno);
  const long end = std::ftell(file.get());
  if (end < 0) return file_error("read", path, errno);
  const auto file_bytes = static_cast<uint64_t>(end);
  std::rewind(file.get());
  std::vector<std::byte> beginning(static_cast<std::size_t>(std::min<uint64_t>(file_bytes, largest_header_bytes + 12)));
  // Where the file has become shorter, the system names no error.
  const auto cannot_read = [&] {
    return std::feof(file.get()) != 0 ? data_error(path + ": ends early\n  hint: something else may be writing to it")
                                      : file_error("read", path, errno);
  };
  if (std::fread(beginning.data(), 1, beginning.size(), file.get()) != beginning.size()) return cannot_read();
  Result<Header> header = parse_header(beginning, file_bytes, path);
  if (!header.ok()) return header.status();
  std::vector<std::byte> data(header->data_bytes);
  const std::size_t had = std::min(beginning.size() - header->data_offset, data.size());
  std::copy_n(beginning.begin() + static_cast<std::ptrdiff_t>(header->data_offset), had, data.begin());
  if (std::fread(data.data() + had, 1, data.size() - had, file.get()) != data.size() - had)
    return cannot_read();
  return make_array(std::move(header.value()), std::move(data));
}

Result<std::optional<MappedNpy>> map_npy(const std::string& path, DType dtype, uint64_t least_bytes) {
  Result<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
  if (!file.ok()) return file.status();
  const std::span<const std::byte> bytes = (*file)->bytes();
  Result<Header> header = parse_header(bytes, bytes.size(), path);
  if (!header.ok()) return header.status();
  const bool is_row_major = !header->fortran_order || header->shape.size() < 2;
  if (header->swapped || !is_row_major || header->type != npy_type_of(dtype) || header->data_bytes < least_bytes)
    return std::optional<MappedNpy>();
  return std::optional<MappedNpy>({std::move(header->shape), *file, bytes.subspan(header->data_offset)});
}

Status write_npy(const std::string& path, DType dtype, std::span<const int64_t> shape,
                 std::span<const std::byte> data) {
  return write_npy(path, npy_type_of(dtype), shape, data);
}

std::string npy_head(NpyType type, std::span<const int64_t> shape) {
  const char order = npy_type_bytes(type) == 1 ? '|' : '<';
  std::string dictionary =
      std::string("{'descr': '") + order + std::string(npy_type_name(type)) + "', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    dictionary += std::to_string(shape[i]);
    if (i + 1 < shape.size())
      dictionary += ", ";
    else if (shape.size() == 1)
      dictionary += ",";
  }
  dictionary += "), }";
  // The data begins at a multiple of 64, as NumPy does it, so that the file can be mapped. 32 axes fit version 1.0.
  const std::size_t unpadded = magic.size() + 4 + dictionary.size() + 1;
  dictionary.append((64 - unpadded % 64) % 64, ' ');
  dictionary += '\n';
  std::string head(magic);
  head += '\x01';
  head += '\0';
  head += static_cast<char>(dictionary.size() & 0xFF);
  head += static_cast<char>(dictionary.size() >> 8);
  return head + dictionary;
}

Status write_npy(const std::string& path, NpyType type, std::span<const int64_t> shape,
                 std::span<const std::byte> data) {
  uint64_t bytes = npy_type_bytes(type);
  for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
  if (bytes != data.size()) {
    return data_error(path + ": " + std::to_string(data.size()) + " bytes of data for a shape of " +
                      std::to_string(bytes));
  }
  const std::string head = npy_head(type, shape);
  Result<AtomicFile> file = AtomicFile::create(path);
  if (!file.ok()) return file.status();
  MORU_RETURN_IF_ERROR(file->write(std::as_bytes(std::span(head))));
  MORU_RETURN_IF_ERROR(file->write(data));
  return file->commit();
}

Result<std::vector<std::byte>> convert_npy(const NpyArray& array, DType dtype, const std::string& name) {
  if (npy_type_of(dtype) == array.type) return array.data;
  const auto count = static_cast<std::size_t>(array.element_count());
  std::vector<std::byte> out(count * static_cast<std::size_t>(dtype_bytes(dtype)));
  std::optional<std::size_t> bad;
  switch (dtype) {
    case DType::f32:
      bad = convert_to<float>(array, out);
      break;
    case DType::f64:
      bad = convert_to<double>(array, out);
      break;
    case DType::i32:
      bad = convert_to<int32_t>(array, out);
      break;
    case DType::i64:
      bad = convert_to<int64_t>(array, out);
      break;
    case DType::boolean:
      return data_error(name + ": holds elements of type " + std::string(npy_type_name(array.type)) +
                        " where booleans are needed\n  hint: convert with array.astype(bool)");
    case DType::bf16:
      return data_error(name + ": arrays cannot become bf16, which numpy lacks\n  hint: give float32");
  }
  if (bad) {
    return data_error(name + ": element " + std::to_string(*bad) + " (of " + std::string(npy_type_name(array.type)) +
                      ") does not fit " + std::string(dtype_name(dtype)) +
                      "\n  hint: convert the array before, or change \"type\"");
  }
  return out;
}

}  // namespace moru
