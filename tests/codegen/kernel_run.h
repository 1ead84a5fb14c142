// Runs one kernel natively and interpreted on equal memory and compares every byte, canaries behind the buffers included.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "compiler/codegen/emit.h"
#include "compiler/interpret/kernel_interpreter.h"
#include "compiler/support/narrow.h"

namespace moru::test {

using Symbols = std::map<std::string, int64_t>;

/// Deterministic random numbers; the seed is what a failing test prints.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  uint64_t bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545F4914F6CDD1Du;
  }
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>((bits() >> 16) % static_cast<uint64_t>(high - low + 1));
  }
  bool chance(int percent) { return between(0, 99) < percent; }
  double real() { return static_cast<double>(bits() >> 11) * 0x1p-53 * 4 - 2; }

 private:
  uint64_t state_;
};

/// One buffer's memory with a canary before and behind; behind it only from the next multiple of 64 bytes on.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t bytes) : bytes_(bytes), padded_((bytes + 63) / 64 * 64) {
    memory_ = static_cast<uint8_t*>(std::aligned_alloc(64, padded_ + 2 * guard));
    std::memset(memory_, canary, padded_ + 2 * guard);
  }
  ~GuardedBuffer() { std::free(memory_); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;
  uint8_t* data() const { return memory_ + guard; }
  size_t bytes() const { return bytes_; }
  bool is_untouched_outside() const {
    for (size_t i = 0; i < guard; ++i) {
      if (memory_[i] != canary) return false;
    }
    for (size_t i = guard + bytes_; i < padded_ + 2 * guard; ++i) {
      if (memory_[i] != canary) return false;
    }
    return true;
  }

 private:
  static constexpr size_t guard = 128;
  static constexpr uint8_t canary = 0xA5;
  uint8_t* memory_;
  size_t bytes_, padded_;
};

inline void fill_random(DType dtype, uint8_t* data, int64_t elements, Random& random, bool special) {
  constexpr float rare[] = {INFINITY, -INFINITY, NAN, -0.0f, 0.0f, 1e-42f, 3.4e38f, -1e10f, 2147483648.0f};
  for (int64_t i = 0; i < elements; ++i) {
    const bool is_special = special && random.chance(6);
    const float odd = rare[random.between(0, 8)];
    switch (dtype) {
      case DType::f32: reinterpret_cast<float*>(data)[i] = is_special ? odd : static_cast<float>(random.real()); break;
      case DType::f64: reinterpret_cast<double*>(data)[i] = is_special ? static_cast<double>(odd) : random.real(); break;
      case DType::i32: reinterpret_cast<int32_t*>(data)[i] = static_cast<int32_t>(is_special ? random.bits() : static_cast<uint64_t>(random.between(-9, 9))); break;
      case DType::i64: reinterpret_cast<int64_t*>(data)[i] = static_cast<int64_t>(is_special ? random.bits() : static_cast<uint64_t>(random.between(-9, 9))); break;
      case DType::boolean: data[i] = random.chance(50) ? 1 : 0; break;
      case DType::bf16: reinterpret_cast<uint16_t*>(data)[i] = bf16_bits(static_cast<float>(random.real())); break;
    }
  }
}

/// The memory of one run of a kernel: equal for equal seeds.
struct KernelMemory {
  std::vector<std::unique_ptr<GuardedBuffer>> buffers;
  std::vector<void*> pointers;

  KernelMemory(const Kernel& kernel, const Symbols& symbols, uint64_t seed, bool special = true) {
    Random random(seed);
    for (const Buffer& buffer : kernel.buffers) {
      const int64_t elements = buffer.elements.evaluate([&](std::string_view name) { return symbols.at(std::string(name)); });
      buffers.push_back(std::make_unique<GuardedBuffer>(static_cast<size_t>(elements * dtype_bytes(buffer.dtype))));
      fill_random(buffer.dtype, buffers.back()->data(), elements, random, special);
      pointers.push_back(buffers.back()->data());
    }
  }
};

/// Where two runs differ, or "". NaN equals NaN: which one an operation returns is not fixed.
inline std::string difference(const Kernel& kernel, const KernelMemory& native, const KernelMemory& expected) {
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    const DType dtype = kernel.buffers[b].dtype;
    const size_t size = static_cast<size_t>(dtype_bytes(dtype));
    for (size_t at = 0; at < native.buffers[b]->bytes(); at += size) {
      const uint8_t* got = native.buffers[b]->data() + at;
      const uint8_t* want = expected.buffers[b]->data() + at;
      if (std::memcmp(got, want, size) == 0) continue;
      double got_value = 0, want_value = 0;
      if (dtype == DType::f32) {
        float x, y;
        std::memcpy(&x, got, 4);
        std::memcpy(&y, want, 4);
        got_value = static_cast<double>(x), want_value = static_cast<double>(y);
      } else if (dtype == DType::f64) {
        std::memcpy(&got_value, got, 8);
        std::memcpy(&want_value, want, 8);
      } else {
        int64_t x = 0, y = 0;
        std::memcpy(&x, got, size);
        std::memcpy(&y, want, size);
        got_value = static_cast<double>(x), want_value = static_cast<double>(y);
      }
      if (is_float(dtype) && std::isnan(got_value) && std::isnan(want_value)) continue;
      char text[200];
      std::snprintf(text, sizeof text, "\"%s\"[%zu] is %.17g, expected %.17g", kernel.buffers[b].name.c_str(), at / size, got_value, want_value);
      return text;
    }
    if (!native.buffers[b]->is_untouched_outside()) return "memory around \"" + kernel.buffers[b].name + "\" was written";
  }
  return "";
}

/// Runs the chunks on three threads, none of them in order.
inline void parallel_for(void*, int64_t chunks, moru_chunk_body body, const void* context) {
  std::vector<std::thread> threads;
  for (int64_t worker = 0; worker < 3; ++worker) {
    threads.emplace_back([=] {
      for (int64_t chunk = chunks - 1 - worker; chunk >= 0; chunk -= 3) body(context, chunk, worker);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

inline int32_t run_native(moru_entry_function entry, const KernelModule& module, const Kernel& kernel, const Symbols& symbols,
                          const KernelMemory& memory) {
  // Slots come first, then the arena's buffers; an address that no buffer has is null.
  std::vector<void*> addresses(static_cast<size_t>(module.slot_count), nullptr);
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    if (kernel.buffers[b].slot >= 0) addresses[static_cast<size_t>(kernel.buffers[b].slot)] = memory.pointers[b];
    else addresses.push_back(memory.pointers[b]);
  }
  std::vector<int64_t> values;
  for (const std::string& name : module.symbols) values.push_back(symbols.at(name));
  const moru_kernel_call call{addresses.data(), values.data(), parallel_for, nullptr};
  return entry(&call);
}

/// A kernel, its sizes and memory, and what the interpreter makes of it: native code is compared with that.
class Expectation {
 public:
  Expectation(const KernelModule& module, const Kernel& kernel, Symbols symbols, uint64_t seed, bool special = true)
      : module_(module), kernel_(kernel), symbols_(std::move(symbols)), seed_(seed), special_(special),
        expected_(kernel, symbols_, seed, special) {
    interpret_kernel(kernel, expected_.pointers, symbols_);
  }

  /// What differs, or "".
  std::string compare(const JitCode& code) const { return compare(code.find_entry(kernel_.entry)); }
  std::string compare(moru_entry_function entry) const {
    if (!entry) return "there is no entry " + kernel_.entry;
    const KernelMemory native(kernel_, symbols_, seed_, special_);
    if (run_native(entry, module_, kernel_, symbols_, native) != MORU_KERNEL_OK) return "the entry failed";
    return difference(kernel_, native, expected_);
  }

  std::string text() const {
    std::string sizes;
    for (const auto& [name, value] : symbols_) sizes += name + "=" + std::to_string(value) + " ";
    return "seed " + std::to_string(seed_) + ", " + sizes + "\n" + kernel_text(kernel_);
  }

 private:
  const KernelModule& module_;
  const Kernel& kernel_;
  Symbols symbols_;
  uint64_t seed_;
  bool special_;
  KernelMemory expected_;
};

}  // namespace moru::test
