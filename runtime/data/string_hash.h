// Hashes of text that stay the same on every machine: those by which Keras' Hashing and StringLookup choose a bin.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace moru {

/// FarmHash's 64-bit fingerprint, which TensorFlow's to_hash_bucket_fast takes modulo the number of bins.
uint64_t fingerprint64(std::string_view text);

/// SipHash-2-4 under a key of two words, to_hash_bucket_strong's: Aumasson and Bernstein 2012, "SipHash: a fast short-input
/// PRF".
uint64_t sip_hash(std::string_view text, const std::array<uint64_t, 2>& key);

}  // namespace moru
