#include "runtime/data/string_hash.h"

#include <bit>
#include <cstddef>
#include <cstring>
#include <utility>

namespace moru {
namespace {

template <typename Word>
uint64_t word_at(const char* at) {
  static_assert(std::endian::native == std::endian::little);
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}
uint64_t word64(const char* at) { return word_at<uint64_t>(at); }
uint64_t word32(const char* at) { return word_at<uint32_t>(at); }

// Odd constants of the CityHash family.
constexpr uint64_t k0 = 0xc3a5c85c97cb3127, k1 = 0xb492b66fbe98f273, k2 = 0x9ae16a3b2f90404f;

uint64_t fold(uint64_t x) { return x ^ (x >> 47); }

uint64_t mix(uint64_t a, uint64_t b, uint64_t factor) {
  const uint64_t x = fold((a ^ b) * factor);
  return fold((b ^ x) * factor) * factor;
}

uint64_t hash_to_16(const char* s, size_t size) {
  const uint64_t factor = k2 + size * 2;
  if (size >= 8) {
    const uint64_t first = word64(s) + k2, last = word64(s + size - 8);
    return mix(std::rotr(last, 37) * factor + first, (std::rotr(first, 25) + last) * factor, factor);
  }
  if (size >= 4) return mix(size + (word32(s) << 3), word32(s + size - 4), factor);
  if (size == 0) return k2;
  const auto byte = [&](size_t i) { return static_cast<uint64_t>(static_cast<unsigned char>(s[i])); };
  const uint64_t y = byte(0) + (byte(size >> 1) << 8), z = size + (byte(size - 1) << 2);
  return fold((y * k2) ^ (z * k0)) * k2;
}

uint64_t hash_17_to_32(const char* s, size_t size) {
  const uint64_t factor = k2 + size * 2;
  const uint64_t a = word64(s) * k1, b = word64(s + 8), c = word64(s + size - 8) * factor, d = word64(s + size - 16) * k2;
  return mix(std::rotr(a + b, 43) + std::rotr(c, 30) + d, a + std::rotr(b + k2, 18) + c, factor);
}

uint64_t hash_33_to_64(const char* s, size_t size) {
  const uint64_t factor = k2 + size * 2;
  const uint64_t a = word64(s) * k2, b = word64(s + 8), c = word64(s + size - 8) * factor, d = word64(s + size - 16) * k2;
  const uint64_t y = std::rotr(a + b, 43) + std::rotr(c, 30) + d, z = mix(y, a + std::rotr(b + k2, 18) + c, factor);
  const uint64_t e = word64(s + 16) * factor, f = word64(s + 24);
  const uint64_t g = (y + word64(s + size - 32)) * factor, h = (z + word64(s + size - 24)) * factor;
  return mix(std::rotr(e + f, 43) + std::rotr(g, 30) + h, e + std::rotr(f + a, 18) + g, factor);
}

using Pair = std::pair<uint64_t, uint64_t>;

// 32 bytes, weakly, with two seeds.
Pair hash_32(const char* s, uint64_t a, uint64_t b) {
  const uint64_t w = word64(s), x = word64(s + 8), y = word64(s + 16), z = word64(s + 24);
  a += w;
  b = std::rotr(b + a + z, 21);
  const uint64_t sum = a + x + y;
  return {sum + z, b + std::rotr(sum, 44) + a};
}

uint64_t hash_long(const char* s, size_t size) {
  constexpr uint64_t seed = 81;
  uint64_t x = seed, y = seed * k1 + 113, z = fold(y * k2 + 113) * k2;
  Pair v(0, 0), w(0, 0);
  x = x * k2 + word64(s);
  const char* const last = s + (size - 1) / 64 * 64;  // whole blocks end here
  do {
    x = std::rotr(x + y + v.first + word64(s + 8), 37) * k1;
    y = std::rotr(y + v.second + word64(s + 48), 42) * k1;
    x ^= w.second;
    y += v.first + word64(s + 40);
    z = std::rotr(z + w.first, 33) * k1;
    v = hash_32(s, v.second * k1, x + w.first);
    w = hash_32(s + 32, z + w.second, y + word64(s + 16));
    std::swap(z, x);
    s += 64;
  } while (s != last);
  const uint64_t factor = k1 + ((z & 0xff) << 1);
  s = last + ((size - 1) & 63) - 63;  // the last 64 bytes
  w.first += (size - 1) & 63;
  v.first += w.first;
  w.first += v.first;
  x = std::rotr(x + y + v.first + word64(s + 8), 37) * factor;
  y = std::rotr(y + v.second + word64(s + 48), 42) * factor;
  x ^= w.second * 9;
  y += v.first * 9 + word64(s + 40);
  z = std::rotr(z + w.first, 33) * factor;
  v = hash_32(s, v.second * factor, x + w.first);
  w = hash_32(s + 32, z + w.second, y + word64(s + 16));
  std::swap(z, x);
  return mix(mix(v.first, w.first, factor) + fold(y) * k0 + z, mix(v.second, w.second, factor) + x, factor);
}

}  // namespace

uint64_t fingerprint64(std::string_view text) {
  const char* s = text.data();
  const size_t size = text.size();
  return size <= 16 ? hash_to_16(s, size) : size <= 32 ? hash_17_to_32(s, size) : size <= 64 ? hash_33_to_64(s, size) : hash_long(s, size);
}

uint64_t sip_hash(std::string_view text, const std::array<uint64_t, 2>& key) {
  uint64_t v0 = key[0] ^ 0x736f6d6570736575, v1 = key[1] ^ 0x646f72616e646f6d;
  uint64_t v2 = key[0] ^ 0x6c7967656e657261, v3 = key[1] ^ 0x7465646279746573;
  const auto rounds = [&](int count) {
    for (int i = 0; i < count; ++i) {
      v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
      v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
    }
  };
  const auto take = [&](uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  };
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) take(word64(text.data() + at));
  uint64_t rest = static_cast<uint64_t>(text.size()) << 56;
  for (size_t i = at; i < text.size(); ++i) rest |= static_cast<uint64_t>(static_cast<unsigned char>(text[i])) << (8 * (i - at));
  take(rest);
  v2 ^= 0xff;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace moru
