#include "compiler/exchange/onnx/onnx_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "compiler/exchange/refusal.h"
#include "compiler/support/elements.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using exchange::refuse_file;

constexpr uint64_t least_outside = 4096;  // bytes from which on an initializer's values stay in the file
constexpr uint64_t window_bytes = 65536;      // that are read at once where fields are small
constexpr size_t piece_bytes = size_t{1} << 18;

// Walks through protobuf's wire format (https://protobuf.dev/programming-guides/encoding) without reading what is
// skipped.
class WireReader {
 public:
  explicit WireReader(const FileRange& whole) : whole_(whole) {
    if (whole.content.data() == nullptr) file_.open(whole.path, std::ios::binary);
  }

  uint64_t at() const { return at_; }
  void skip(uint64_t bytes) { at_ += bytes; }

  [[noreturn]] void damaged() const {
    refuse_file("'" + whole_.path + "' is no ONNX model, or it is damaged", "an ONNX file holds one ModelProto");
  }

  std::string take(uint64_t bytes) {
    if (bytes > whole_.bytes - at_) damaged();
    std::string result;
    while (result.size() < bytes) {
      fill();
      const size_t some = std::min<uint64_t>(bytes - result.size(), begin_ + window_.size() - at_);
      result.append(window_, at_ - begin_, some);
      at_ += some;
    }
    return result;
  }

  uint64_t varint(uint64_t end) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ >= end) damaged();
      fill();
      const auto byte = static_cast<unsigned char>(window_[at_ - begin_]);
      ++at_;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    damaged();
  }

 private:
  const FileRange& whole_;
  std::ifstream file_;
  uint64_t at_ = 0, begin_ = 0;
  std::string window_;  // of the file's bytes, from begin_ on

  void fill() {
    if (at_ >= begin_ && at_ < begin_ + window_.size()) return;
    if (at_ >= whole_.bytes) damaged();
    begin_ = at_;
    window_.resize(std::min<uint64_t>(whole_.bytes - at_, window_bytes));
    if (whole_.content.data() != nullptr) {
      std::memcpy(window_.data(), whole_.content.data() + begin_, window_.size());
      return;
    }
    file_.seekg(static_cast<std::streamoff>(begin_));
    if (!file_.read(window_.data(), static_cast<std::streamsize>(window_.size()))) damaged();
  }
};

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

// The way from a ModelProto to its initializers' values: the numbers of the fields graph, initializer and raw_data.
constexpr uint64_t path_to_values[] = {7, 5, 9};

// The message that ends at `end`, without values that stay in the file: `leave_out` gets their places.
std::string skeleton(WireReader& reader, uint64_t end, size_t depth,
                     const std::function<void(uint64_t begin, uint64_t bytes)>& leave_out,
                     const std::function<void()>& initializer_ends) {
  std::string out;
  while (reader.at() < end) {
    const uint64_t key = reader.varint(end);
    const uint64_t field = key >> 3, wire = key & 7;
    if (wire == 2) {
      const uint64_t bytes = reader.varint(end);
      if (bytes > end - reader.at()) reader.damaged();
      const bool on_the_way = depth < std::size(path_to_values) && field == path_to_values[depth];
      if (on_the_way && depth + 1 == std::size(path_to_values) && bytes >= least_outside) {
        leave_out(reader.at(), bytes);
        reader.skip(bytes);
        continue;
      }
      std::string content;
      if (on_the_way && depth + 1 < std::size(path_to_values)) {
        content = skeleton(reader, reader.at() + bytes, depth + 1, leave_out, initializer_ends);
        if (depth == 1) initializer_ends();
      } else {
        content = reader.take(bytes);
      }
      append_varint(out, key);
      append_varint(out, content.size());
      out += content;
      continue;
    }
    append_varint(out, key);
    if (wire == 0)
      append_varint(out, reader.varint(end));
    else if ((wire == 1 || wire == 5) && end - reader.at() >= (wire == 1 ? 8 : 4))
      out += reader.take(wire == 1 ? 8 : 4);
    else
      reader.damaged();
  }
  if (reader.at() != end) reader.damaged();
  return out;
}

// Gives `take` the range's bytes in pieces of a few hundred kilobytes, each a multiple of 16 bytes but the last.
void read_range(const FileRange& range, const std::string& what,
                const std::function<void(std::span<const std::byte>)>& take) {
  if (range.content.data() != nullptr) return take(range.content.subspan(range.offset, range.bytes));
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(range.path, error);
  std::ifstream file;
  file.rdbuf()->pubsetbuf(nullptr, 0);  // pieces go straight to `piece`
  file.open(range.path, std::ios::binary);
  if (error || !file)
    refuse_file(what + " has its values in '" + range.path + "', which cannot be read", "it belongs beside the model");
  if (range.offset > size || range.bytes > size - range.offset)
    refuse_file(what + " has its values in '" + range.path + "', which is too short",
                "it has " + std::to_string(size) + " bytes but " + std::to_string(range.bytes) + " from " +
                    std::to_string(range.offset) + " are needed");
  std::vector<std::byte> piece(std::min<uint64_t>(range.bytes, piece_bytes));
  file.seekg(static_cast<std::streamoff>(range.offset));
  for (uint64_t left = range.bytes; left > 0;) {
    const size_t some = std::min<uint64_t>(left, piece.size());
    if (!file.read(reinterpret_cast<char*>(piece.data()), static_cast<std::streamsize>(some)))
      refuse_file(what + " has its values in '" + range.path + "', which cannot be read");
    take(std::span(piece).first(some));
    left -= some;
  }
}

}  // namespace

OnnxFile::OnnxFile(const std::string& path) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error) refuse_file("cannot read '" + path + "': " + error.message());
  read({path, 0, size});
}

OnnxFile::OnnxFile(std::span<const std::byte> bytes, const std::string& path) {
  if (bytes.empty()) refuse_file("'" + path + "' is empty, and no ONNX model");
  read({path, 0, bytes.size(), bytes});
}

void OnnxFile::read(const FileRange& whole) {
  WireReader reader(whole);
  std::vector<FileRange> ranges;  // by initializer
  FileRange last;
  const std::string rest = skeleton(
      reader, whole.bytes, 0,
      [&](uint64_t begin, uint64_t bytes) {
        last = {whole.path, begin, bytes, whole.content};
      },
      [&] {
        ranges.push_back(std::move(last));
        last = {};
      });
  if (!proto.ParseFromString(rest) || !proto.has_graph()) reader.damaged();
  if (ranges.size() != static_cast<size_t>(proto.graph().initializer_size())) reader.damaged();
  for (size_t i = 0; i < ranges.size(); ++i)
    if (ranges[i].bytes > 0) values[&proto.graph().initializer(static_cast<int>(i))] = std::move(ranges[i]);
}

StoredTensor::StoredTensor(const onnx::TensorProto& tensor, const std::string& folder, std::string what,
                           const FileRange* own)
    : dtype(dtype_of_onnx(tensor.data_type(), what)),
      shape(tensor.dims().begin(), tensor.dims().end()),
      what_(std::move(what)) {
  if (tensor.has_segment()) refuse_file(what_ + " is stored in segments, which is not supported");
  elements_ = static_cast<uint64_t>(checked_elements(shape, what_));
  const auto needed = static_cast<uint64_t>(stored_bytes(dtype, static_cast<int64_t>(elements_)));
  uint64_t given = needed;
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    range_ = external_range(tensor, folder, needed, what_);
  } else if (own) {
    range_ = *own;
    given = own->bytes;
  } else {
    if (!tensor.has_raw_data()) typed_ = typed_bytes(tensor, dtype);
    inside_ = tensor.has_raw_data() ? std::as_bytes(std::span(tensor.raw_data())) : std::span<const std::byte>(typed_);
    given = inside_.size();
  }
  if (given != needed)
    refuse_file(what_ + " is damaged: it has " + std::to_string(given) + " bytes of values but needs " +
                std::to_string(needed));
}

template <typename Element>
std::vector<Element> StoredTensor::read() const {
  std::vector<Element> result;
  const size_t size = elements_ * static_cast<uint64_t>(dtype_bytes(dtype.dtype)) / sizeof(Element);
  result.reserve(size);
  auto take = [&](std::span<const std::byte> stored) {
    if (dtype.narrow == Narrow::none)
      append_elements(result, stored);
    else
      append_elements<Element>(result, widen_elements(stored, dtype.narrow));
  };
  if (range_.bytes > 0)
    read_range(range_, what_, take);
  else
    take(inside_);
  result.resize(size);  // the last byte of packed elements may hold more
  return result;
}

std::vector<std::byte> StoredTensor::bytes() const {
  std::vector<std::byte> result = read<std::byte>();
  if (dtype.dtype == DType::boolean)
    for (std::byte& element : result) element = std::byte{element != std::byte{0}};
  return result;
}

std::vector<float> StoredTensor::floats() const {
  check_internal(dtype.dtype == DType::f32, "only f32 holds floats");
  return read<float>();
}

}  // namespace moru
