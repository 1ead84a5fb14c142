#include "runtime/training/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "runtime/atomic_file.h"

namespace moru {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0x82f63b78u : 0u);
    table[i] = c;
  }
  return table;
}
constexpr std::array<uint32_t, 256> crc_table = make_crc_table();

template <typename T>
void append_little_endian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>((value >> (8 * i)) & 0xFF);
}

uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(std::as_bytes(std::span(bytes)));
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// Protobuf: a key is the field's number and its wire type, 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>((value & 0x7F) | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}
void append_key(std::string& out, uint32_t field, uint32_t wire) { append_varint(out, field << 3 | wire); }
void append_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  append_key(out, field, 2);
  append_varint(out, bytes.size());
  out += bytes;
}

std::string event(double wall_time, int64_t step) {
  std::string out;
  append_key(out, 1, 1);
  append_little_endian(out, std::bit_cast<uint64_t>(wall_time));
  append_key(out, 2, 0);
  append_varint(out, static_cast<uint64_t>(step));
  return out;
}

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

/// The event that every file begins with.
std::string version_event(double wall_time) {
  std::string out = event(wall_time, 0);
  append_bytes(out, 3, "brain.Event:2");
  return out;
}

/// One event file, appended to and flushed by epoch.
class EventFile {
 public:
  explicit EventFile(std::string directory) : directory_(std::move(directory)) {}
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;
  ~EventFile() {
    if (file_ != nullptr) std::fclose(file_);
  }

  Status add(int64_t step, const std::string& tag, double value) {
    if (file_ == nullptr) MORU_RETURN_IF_ERROR(open());
    return write(scalar_event(now(), step, tag, static_cast<float>(value)));
  }
  Status flush() {
    if (file_ != nullptr && std::fflush(file_) != 0) return failed();
    return Status();
  }

 private:
  Status open() {
    std::error_code error;
    std::filesystem::create_directories(directory_, error);
    if (error) return file_error("make the folder", directory_, error.value());
    // TensorBoard recognises files by "tfevents" in their name.
    std::array<char, 256> host = {};
    if (::gethostname(host.data(), host.size() - 1) != 0) host = {"localhost"};
    std::array<char, 400> name;
    std::snprintf(name.data(), name.size(), "/events.out.tfevents.%010lld.%s.%lld.moru", static_cast<long long>(now()),
                  host.data(), static_cast<long long>(::getpid()));
    path_ = directory_ + name.data();
    errno = 0;
    file_ = std::fopen(path_.c_str(), "ab");
    if (file_ == nullptr) return failed();
    return write(version_event(now()));
  }
  Status write(const std::string& bytes) {
    const std::string record = tf_record(bytes);
    if (std::fwrite(record.data(), 1, record.size(), file_) != record.size()) return failed();
    return Status();
  }
  Status failed() const { return file_error("write", path_, errno != 0 ? errno : EIO); }

  std::string directory_, path_;
  std::FILE* file_ = nullptr;
};

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) {
  uint32_t c = ~0u;
  for (const std::byte byte : bytes) c = crc_table[(c ^ static_cast<uint32_t>(byte)) & 0xFF] ^ (c >> 8);
  return ~c;
}

std::string tf_record(std::string_view bytes) {
  std::string out;
  append_little_endian(out, static_cast<uint64_t>(bytes.size()));
  append_little_endian(out, masked_crc(out));
  out += bytes;
  append_little_endian(out, masked_crc(bytes));
  return out;
}

std::string scalar_event(double wall_time, int64_t step, std::string_view tag, float value) {
  std::string scalar, summary, out = event(wall_time, step);
  append_bytes(scalar, 1, tag);
  append_key(scalar, 2, 5);
  append_little_endian(scalar, std::bit_cast<uint32_t>(value));
  append_bytes(summary, 1, scalar);
  append_bytes(out, 5, summary);
  return out;
}

Callback tensorboard(const std::string& directory) {
  struct Files {
    explicit Files(const std::string& folder) : train(folder + "/train"), validation(folder + "/validation") {}
    EventFile train, validation;
  };
  auto files = std::make_shared<Files>(directory);
  Callback callback;
  callback.name = "tensorboard";
  callback.on_epoch_end = [files](TrainingState& state) -> Status {
    for (const SavedSeries& series : state.history.series) {
      const bool validation = series.name.starts_with("val_");
      if ((validation && !state.validated) || series.name == "learning_rate") continue;
      EventFile& file = validation ? files->validation : files->train;
      MORU_RETURN_IF_ERROR(
          file.add(state.epoch, "epoch_" + series.name.substr(validation ? 4 : 0), series.values.back()));
    }
    const std::optional<uint32_t> slot = state.session.program().find_slot("learning_rate");
    if (slot && state.session.program().slots()[*slot].dtype == DType::f32) {
      const auto rate = state.session.view(*slot).elements<float>();
      if (rate.size() == 1)
        MORU_RETURN_IF_ERROR(files->train.add(state.epoch, "epoch_learning_rate", static_cast<double>(rate[0])));
    }
    MORU_RETURN_IF_ERROR(files->train.flush());
    return files->validation.flush();
  };
  return callback;
}

}  // namespace moru
