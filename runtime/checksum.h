// XXH3 with 64 bits and seed 0, the checksum of every Moru file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace moru {

uint64_t checksum(std::span<const std::byte> bytes);

/// A hash as 16 hexadecimal digits.
std::string hash_text(uint64_t hash);

/// The checksum of pieces, as if they lay one behind the other.
class StreamingChecksum {
 public:
  StreamingChecksum();
  ~StreamingChecksum();
  StreamingChecksum(const StreamingChecksum&) = delete;
  StreamingChecksum& operator=(const StreamingChecksum&) = delete;
  void add(std::span<const std::byte> bytes);
  uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moru
