// Runs the entries of a module on the same tensors in every way there is: by the ops' references, as interpreted
// kernels and as native code, and compares. Buffers lie apart between canaries, or in one arena as plan_memory says, so
// that a wrong lifetime shows; what nobody wrote yet is NaN.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "compiler/codegen/emit.h"
#include "compiler/interpret/kernel_interpreter.h"
#include "compiler/interpret/reference.h"
#include "compiler/passes/lower.h"
#include "compiler/passes/plan_memory.h"
#include "compiler/support/narrow.h"
#include "schema/kernel_abi.h"

namespace moru::test {

using Slots = std::map<std::string, HostTensor>;
using Symbols = std::map<std::string, int64_t>;

inline int64_t value_of(const Dim& dim, const Symbols& symbols) {
  return dim.evaluate([&](std::string_view name) { return symbols.at(std::string(name)); });
}

inline void write_elements(const HostTensor& tensor, uint8_t* to) {
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    const double value = tensor.data[i];
    auto put = [&](auto element) { std::memcpy(to + i * sizeof element, &element, sizeof element); };
    switch (tensor.dtype) {
      case DType::f32:
        put(static_cast<float>(value));
        break;
      case DType::f64:
        put(value);
        break;
      case DType::i32:
        put(static_cast<int32_t>(value));
        break;
      case DType::i64:
        put(static_cast<int64_t>(value));
        break;
      case DType::boolean:
        to[i] = value != 0.0;
        break;
      case DType::bf16:
        put(bf16_bits(static_cast<float>(value)));
        break;
    }
  }
}

inline void read_elements(const uint8_t* from, HostTensor& tensor) {
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    auto take = [&](auto element) {
      std::memcpy(&element, from + i * sizeof element, sizeof element);
      tensor.data[i] = static_cast<double>(element);
    };
    switch (tensor.dtype) {
      case DType::f32:
        take(float{});
        break;
      case DType::f64:
        take(double{});
        break;
      case DType::i32:
        take(int32_t{});
        break;
      case DType::i64:
        take(int64_t{});
        break;
      case DType::boolean:
        take(uint8_t{});
        break;
      case DType::bf16: {
        uint16_t bits = 0;
        std::memcpy(&bits, from + i * sizeof bits, sizeof bits);
        tensor.data[i] = static_cast<double>(bf16_value(bits));
        break;
      }
    }
  }
}

enum class Placement { apart, planned };

/// The memory of one run of a kernel.
class KernelMemoryOf {
 public:
  KernelMemoryOf(const Module& module, const Kernel& kernel, const MemoryPlan& plan, const Slots& slots,
                 const Symbols& symbols, Placement placement)
      : module_(module), kernel_(kernel), symbols_(symbols) {
    std::vector<size_t> offsets(kernel.buffers.size(), 0);
    size_t bytes = guard;
    size_t arena = 0;
    if (placement == Placement::planned) {
      arena = bytes;
      bytes += static_cast<size_t>(value_of(plan.total_bytes, symbols)) + guard;
      for (const BufferPlace& place : plan.places)
        offsets[place.buffer] = arena + static_cast<size_t>(value_of(place.offset, symbols));
    }
    for (size_t b = 0; b < kernel.buffers.size(); ++b) {
      sizes_.push_back(
          static_cast<size_t>(value_of(kernel.buffers[b].elements, symbols) * dtype_bytes(kernel.buffers[b].dtype)));
      if (placement == Placement::planned && kernel.buffers[b].slot < 0) continue;
      offsets[b] = bytes;
      bytes += (sizes_[b] + 63) / 64 * 64 + guard;
      guarded_.push_back(b);
    }
    memory_.reset(static_cast<uint8_t*>(std::aligned_alloc(64, bytes)));
    std::memset(memory_.get(), canary, bytes);
    if (placement == Placement::planned)
      std::memset(memory_.get() + arena, 0xFF, static_cast<size_t>(value_of(plan.total_bytes, symbols)));
    for (size_t b = 0; b < kernel.buffers.size(); ++b) {
      pointers_.push_back(memory_.get() + offsets[b]);
      if (kernel.buffers[b].slot < 0) {
        if (placement == Placement::apart) std::memset(pointer(b), 0xFF, sizes_[b]);
        continue;
      }
      const Slot& slot = module.slots[static_cast<size_t>(kernel.buffers[b].slot)];
      auto given = slots.find(slot.name);
      if (given == slots.end()) {
        std::memset(pointer(b), 0xFF, sizes_[b]);
      } else {
        REQUIRE_MESSAGE(static_cast<size_t>(given->second.elements() * dtype_bytes(slot.type.dtype)) == sizes_[b],
                        slot.name);
        write_elements(given->second, pointer(b));
      }
    }
  }

  void interpret() { interpret_kernel(kernel_, pointers_, symbols_); }

  void run(moru_entry_function entry, const KernelModule& kernels,
           void (*parallel_for)(void*, int64_t, moru_chunk_body, const void*), void* pool) {
    const bool found = entry != nullptr;
    REQUIRE(found);
    std::vector<void*> addresses(static_cast<size_t>(kernels.slot_count), nullptr);
    for (size_t b = 0; b < kernel_.buffers.size(); ++b) {
      if (kernel_.buffers[b].slot >= 0)
        addresses[static_cast<size_t>(kernel_.buffers[b].slot)] = pointers_[b];
      else
        addresses.push_back(pointers_[b]);
    }
    std::vector<int64_t> values;
    for (const std::string& name : kernels.symbols) values.push_back(symbols_.at(name));
    const moru_kernel_call call{addresses.data(), values.data(), parallel_for, pool};
    REQUIRE(entry(&call) == MORU_KERNEL_OK);
  }

  std::string overrun() const {
    for (size_t b : guarded_) {
      for (const uint8_t* p = pointer(b) - guard; p < pointer(b); ++p)
        if (*p != canary) return "memory before '" + kernel_.buffers[b].name + "' was written";
      const uint8_t* end = pointer(b) + (sizes_[b] + 63) / 64 * 64;
      for (const uint8_t* p = pointer(b) + sizes_[b]; p < end + guard; ++p)
        if (*p != canary) return "memory behind '" + kernel_.buffers[b].name + "' was written";
    }
    return "";
  }

  /// The first slot whose bytes differ, NaN being equal to NaN; or "".
  std::string difference(const KernelMemoryOf& other) const {
    for (size_t b = 0; b < kernel_.buffers.size(); ++b) {
      if (kernel_.buffers[b].slot < 0 || std::memcmp(pointer(b), other.pointer(b), sizes_[b]) == 0) continue;
      const HostTensor x = tensor(b), y = other.tensor(b);
      for (size_t i = 0; i < x.data.size(); ++i)
        if (!(x.data[i] == y.data[i] && std::signbit(x.data[i]) == std::signbit(y.data[i])) &&
            !(std::isnan(x.data[i]) && std::isnan(y.data[i]))) {
          char text[200];
          std::snprintf(text, sizeof text, "'%s'[%zu] is %.17g and %.17g", kernel_.buffers[b].name.c_str(), i,
                        x.data[i], y.data[i]);
          return text;
        }
    }
    return "";
  }

  HostTensor slot(const std::string& name) const {
    for (size_t b = 0; b < kernel_.buffers.size(); ++b)
      if (kernel_.buffers[b].slot >= 0 && kernel_.buffers[b].name == name) return tensor(b);
    FAIL("no slot '" << name << "'");
    return {};
  }

 private:
  static constexpr size_t guard = 64;
  static constexpr uint8_t canary = 0xA5;
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  const Module& module_;
  const Kernel& kernel_;
  Symbols symbols_;
  std::unique_ptr<uint8_t, Free> memory_;
  std::vector<void*> pointers_;
  std::vector<size_t> sizes_, guarded_;

  uint8_t* pointer(size_t b) const { return static_cast<uint8_t*>(pointers_[b]); }
  HostTensor tensor(size_t b) const {
    const Slot& slot = module_.slots[static_cast<size_t>(kernel_.buffers[b].slot)];
    HostTensor out{slot.type.dtype, {}, {}};
    for (const Dim& dim : slot.type.shape) out.shape.push_back(value_of(dim, symbols_));
    out.data.resize(static_cast<size_t>(element_count(out.shape)));
    read_elements(pointer(b), out);
    return out;
  }
};

inline void run_in_turn(void*, int64_t chunks, moru_chunk_body body, const void* context) {
  for (int64_t chunk = 0; chunk < chunks; ++chunk) body(context, chunk, 0);
}

/// A module that was lowered, planned and compiled for several vector widths.
struct LoweredModule {
  Module module;
  KernelModule kernels;
  std::vector<MemoryPlan> plans;
  std::vector<std::unique_ptr<JitCode>> codes;

  explicit LoweredModule(Module from, std::vector<int> vector_bytes = {16, 32, 64})
      : module(std::move(from)), kernels(lower(module)) {
    for (Kernel& kernel : kernels.kernels) {
      verify_kernel(kernel, "lower");
      plans.push_back(plan_memory(kernel));
      verify_kernel(kernel, "plan_memory");
    }
    for (int bytes : vector_bytes) {
      EmitOptions options;
      options.vector_bytes = bytes;
      options.threads = 1;
      codes.push_back(jit_compile(kernels, Target::host(), options));
    }
  }

  size_t index_of(const std::string& entry) const {
    for (size_t k = 0; k < kernels.kernels.size(); ++k)
      if (kernels.kernels[k].entry == entry) return k;
    FAIL("no entry '" << entry << "'");
    return 0;
  }
};

/// |got - wanted| <= tolerance * (largest |wanted| of the tensor + |wanted|); for f32 sums of a few hundred addends.
inline std::string far_apart(const HostTensor& got, const HostTensor& wanted, double tolerance, double scale = 1e-3) {
  for (double value : wanted.data)
    if (std::isfinite(value)) scale = std::max(scale, std::fabs(value));
  if (!is_float(wanted.dtype)) tolerance = 0.0;
  for (size_t i = 0; i < wanted.data.size(); ++i) {
    const double x = got.data[i], y = wanted.data[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    if (std::isfinite(x) && std::isfinite(y) && std::fabs(x - y) <= tolerance * (scale + std::fabs(y))) continue;
    char text[160];
    std::snprintf(text, sizeof text, "[%zu] is %.9g, the reference says %.9g", i, x, y);
    return text;
  }
  return "";
}

/// Runs one entry in every way on `slots` and updates them as the reference does.
inline void check_entry(const LoweredModule& lowered, const std::string& entry, Slots& slots, Symbols symbols,
                        double tolerance = 2e-5) {
  symbols.emplace("workers", 1);
  CAPTURE(entry);
  std::string sizes;
  for (const auto& [name, value] : symbols) sizes += name + "=" + std::to_string(value) + " ";
  CAPTURE(sizes);
  Slots before = slots;
  InterpretOptions options;
  for (const auto& [name, value] : symbols) options.symbols[name] = value;
  for (const Slot& slot : lowered.module.slots) {  // state starts with its initial values
    if (before.count(slot.name) || is_bound_by_caller(slot.kind)) continue;
    std::vector<int64_t> shape;
    for (const Dim& dim : slot.type.shape) shape.push_back(value_of(dim, symbols));
    before[slot.name] = make_tensor(slot.type.dtype, shape, slot.initial);
  }
  slots = before;
  interpret_entry(lowered.module, entry, slots, options);

  const size_t k = lowered.index_of(entry);
  const Kernel& kernel = lowered.kernels.kernels[k];
  auto memory = [&](Placement placement) {
    return KernelMemoryOf(lowered.module, kernel, lowered.plans[k], before, symbols, placement);
  };
  KernelMemoryOf interpreted = memory(Placement::apart);
  interpreted.interpret();
  CHECK(interpreted.overrun() == "");
  // Results that cancel to nothing, such as the gradient of a bias that softmax takes out again, are as exact as what they
  // are sums of.
  const std::vector<GraphResult>& results = lowered.module.find_entry(entry)->results;
  double scale = 1e-1;
  for (const GraphResult& result : results)
    for (double value : slots.at(result.slot).data)
      if (std::isfinite(value)) scale = std::max(scale, std::fabs(value));
  for (const GraphResult& result : results) {
    const std::string what = far_apart(interpreted.slot(result.slot), slots.at(result.slot), tolerance, 1e-2 * scale);
    CHECK_MESSAGE(what.empty(), entry << " " << result.slot << what << " (" << sizes << ")");
  }
  KernelMemoryOf planned = memory(Placement::planned);
  planned.interpret();
  CHECK_MESSAGE(planned.overrun() == "", "in the arena");
  CHECK_MESSAGE(planned.difference(interpreted) == "", "in the arena, then apart; " << entry << " " << sizes);
  for (const auto& code : lowered.codes)
    for (Placement placement : {Placement::apart, Placement::planned}) {
      KernelMemoryOf native = memory(placement);
      native.run(code->find_entry(entry), lowered.kernels, run_in_turn, nullptr);
      CHECK(native.overrun() == "");
      CHECK_MESSAGE(native.difference(interpreted) == "", "native, then interpreted; " << entry << " " << sizes);
    }
}

/// A value a test can print the seed of.
inline HostTensor random_tensor(DType dtype, std::vector<int64_t> shape, std::mt19937_64& random, double low = -1,
                                double high = 1) {
  HostTensor tensor = make_tensor(dtype, std::move(shape));
  for (double& value : tensor.data) {
    value = low + (high - low) * static_cast<double>(random() >> 11) * 0x1p-53;
    if (!is_float(dtype)) value = std::floor(value);
    if (dtype == DType::f32) value = static_cast<double>(static_cast<float>(value));
  }
  return tensor;
}

}  // namespace moru::test
