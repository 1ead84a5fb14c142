// Kernels before and after a pass, interpreted on the same data.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "compiler/interpret/kernel_interpreter.h"
#include "compiler/ir/kernels.h"

namespace moru {

/// What every buffer holds after a run that began with data that depends on the buffer's name alone.
inline std::vector<std::vector<float>> run_kernel(const Kernel& kernel, const std::map<std::string, int64_t>& symbols) {
  std::vector<std::vector<float>> memory;
  std::vector<void*> pointers;
  for (const Buffer& buffer : kernel.buffers) {
    const int64_t elements =
        buffer.elements.evaluate([&](std::string_view name) { return symbols.at(std::string(name)); });
    std::seed_seq seed(buffer.name.begin(), buffer.name.end());
    std::mt19937 random(seed);
    memory.emplace_back(static_cast<size_t>(elements) + 16);
    for (float& v : memory.back()) v = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
  }
  for (auto& buffer : memory) pointers.push_back(buffer.data());
  interpret_kernel(kernel, pointers, symbols);
  return memory;
}

inline size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

/// The slots' memory has the same bits after both kernels, for each size of the batch.
inline void check_same_slots(const Kernel& before, const Kernel& after, const std::vector<int64_t>& batches) {
  for (const int64_t batch : batches) {
    CAPTURE(batch);
    const std::map<std::string, int64_t> symbols = {{"batch", batch}, {"workers", 2}};
    const auto wanted = run_kernel(before, symbols), got = run_kernel(after, symbols);
    for (size_t b = 0; b < before.buffers.size(); ++b) {
      if (before.buffers[b].slot < 0) continue;
      CAPTURE(before.buffers[b].name);
      CHECK(std::memcmp(wanted[b].data(), got[b].data(), wanted[b].size() * 4) == 0);
    }
  }
}

}  // namespace moru
