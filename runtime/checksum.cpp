#include "runtime/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace moru {

uint64_t checksum(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string hash_text(uint64_t hash) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; hash >>= 4) text[i] = digits[hash & 15];
  return text;
}

struct StreamingChecksum::State {
  XXH3_state_t state;
};

StreamingChecksum::StreamingChecksum() : state_(std::make_unique<State>()) { XXH3_64bits_reset(&state_->state); }
StreamingChecksum::~StreamingChecksum() = default;
void StreamingChecksum::add(std::span<const std::byte> bytes) {
  if (!bytes.empty()) XXH3_64bits_update(&state_->state, bytes.data(), bytes.size());
}
uint64_t StreamingChecksum::value() const { return XXH3_64bits_digest(&state_->state); }

}  // namespace moru
