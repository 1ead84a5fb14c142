#include "tools/moru/interpreted_program.h"

#include <algorithm>
#include <cstring>

#include "compiler/interpret/kernel_interpreter.h"
#include "compiler/support/error.h"
#include "runtime/aligned_buffer.h"
#include "schema/kernel_abi.h"
#include "tools/moru/commands.h"

namespace moru::cli {
namespace {

void fill(std::vector<std::byte>& memory, DType dtype, int64_t elements, double value) {
  // Kernels may read up to the next multiple of the alignment behind a buffer.
  memory.assign(static_cast<size_t>(elements * dtype_bytes(dtype)) + MORU_BUFFER_ALIGNMENT, std::byte{0});
  if (value == 0) return;
  const auto put = [&](auto element) {
    for (size_t i = 0; i < static_cast<size_t>(elements); ++i)
      std::memcpy(memory.data() + i * sizeof element, &element, sizeof element);
  };
  switch (dtype) {
    case DType::f32:
      return put(static_cast<float>(value));
    case DType::f64:
      return put(value);
    case DType::i32:
      return put(static_cast<int32_t>(value));
    case DType::i64:
      return put(static_cast<int64_t>(value));
    case DType::boolean:
      return put(static_cast<uint8_t>(1));
    case DType::bf16:  // derived: computed before it is read
      return;
  }
}

}  // namespace

InterpretedProgram::InterpretedProgram(const Lowered& lowered, Model& model)
    : lowered_(lowered), memory_(lowered.module.slots.size()) {
  symbols_["workers"] = 1;
  for (const ParameterPath& path : all_parameters(model)) {
    const size_t slot = find(path.path);
    make_memory(slot);
    std::memcpy(memory_[slot].data(), path.parameter->bytes().data(), path.parameter->bytes().size());
  }
}

size_t InterpretedProgram::find(const std::string& slot) const {
  const Slot* found = lowered_.module.find_slot(slot);
  if (!found) fail("the program has no slot '" + slot + "'");
  return static_cast<size_t>(found - lowered_.module.slots.data());
}

int64_t InterpretedProgram::evaluate(const Dim& dim) const {
  return dim.evaluate([&](std::string_view name) {
    const auto found = symbols_.find(std::string(name));
    if (found == symbols_.end()) fail("the size of '" + std::string(name) + "' is not known");
    return found->second;
  });
}

void InterpretedProgram::make_memory(size_t slot) {
  const Slot& described = lowered_.module.slots[slot];
  fill(memory_[slot], described.type.dtype, evaluate(element_count(described.type.shape)), described.initial);
}

void InterpretedProgram::set(const SavedTensor& tensor) {
  const size_t slot = find(tensor.name);
  const Type& type = lowered_.module.slots[slot].type;
  const std::string got = std::string(dtype_name(tensor.dtype)) + sizes_text(tensor.shape);
  const auto refuse = [&] { fail("'" + tensor.name + "' takes " + type_text(type) + " but got " + got); };
  if (tensor.dtype != type.dtype || tensor.shape.size() != type.shape.size()) refuse();
  for (size_t i = 0; i < tensor.shape.size(); ++i)
    if (const std::optional<std::string> symbol = type.shape[i].as_symbol()) {
      const auto [known, fresh] = symbols_.emplace(*symbol, tensor.shape[i]);
      if (!fresh && known->second != tensor.shape[i]) refuse();
    }
  for (size_t i = 0; i < tensor.shape.size(); ++i)
    if (evaluate(type.shape[i]) != tensor.shape[i]) refuse();
  make_memory(slot);
  std::memcpy(memory_[slot].data(), tensor.bytes.data(), tensor.bytes.size());
}

void InterpretedProgram::run(std::string_view entry) {
  const auto run_named = [&](std::string_view name) {
    const std::vector<Kernel>& kernels = lowered_.kernels.kernels;
    const auto found = std::find_if(kernels.begin(), kernels.end(), [&](const Kernel& k) { return k.entry == name; });
    if (found != kernels.end()) run_kernel(static_cast<size_t>(found - kernels.begin()));
    return found != kernels.end();
  };
  if (entry != "train_step") run_named("prepare");
  if (!run_named(entry)) fail("the program has no entry '" + std::string(entry) + "'");
}

void InterpretedProgram::run_kernel(size_t index) {
  const Kernel& kernel = lowered_.kernels.kernels[index];
  std::vector<void*> addresses;
  std::vector<std::vector<std::byte>> arena(kernel.buffers.size());
  for (size_t i = 0; i < kernel.buffers.size(); ++i) {
    const Buffer& buffer = kernel.buffers[i];
    if (buffer.slot >= 0) {
      const auto slot = static_cast<size_t>(buffer.slot);
      const Slot& described = lowered_.module.slots[slot];
      if (memory_[slot].empty()) {
        if (is_bound_by_caller(described.kind)) fail("the program needs '" + described.name + "', which is not given");
        make_memory(slot);
      }
      addresses.push_back(memory_[slot].data());
    } else {
      fill(arena[i], buffer.dtype, evaluate(buffer.elements), 0);
      addresses.push_back(arena[i].data());
    }
  }
  if (!code_) return interpret_kernel(kernel, addresses, symbols_);

  // Native code takes slots by number, and its buffers where the plan has them in one arena.
  const MemoryPlan& plan = lowered_.plans[index];
  AlignedBuffer planned;
  need(planned.reserve(static_cast<uint64_t>(evaluate(plan.total_bytes)) + MORU_BUFFER_ALIGNMENT, "the arena"));
  std::vector<void*> by_slot(lowered_.module.slots.size(), nullptr);
  std::vector<AlignedBuffer> aligned(by_slot.size());
  for (size_t i = 0; i < kernel.buffers.size(); ++i) {
    if (kernel.buffers[i].slot < 0) continue;
    const auto slot = static_cast<size_t>(kernel.buffers[i].slot);
    need(aligned[slot].reserve(memory_[slot].size(), "a slot"));
    std::memcpy(aligned[slot].data(), memory_[slot].data(), memory_[slot].size());
    by_slot[slot] = aligned[slot].data();
  }
  for (const BufferPlace& place : plan.places) by_slot.push_back(planned.data() + evaluate(place.offset));
  std::vector<int64_t> symbols;
  for (const std::string& name : lowered_.kernels.symbols) symbols.push_back(evaluate(Dim::symbol(name)));
  const auto in_turn = [](void*, int64_t chunks, moru_chunk_body body, const void* context) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) body(context, chunk, 0);
  };
  const moru_kernel_call call{by_slot.data(), symbols.data(), in_turn, nullptr};
  if (const int32_t code = code_->find_entry(kernel.entry)(&call); code != MORU_KERNEL_OK)
    fail("the entry '" + kernel.entry + "' failed with code " + std::to_string(code));
  for (size_t slot = 0; slot < aligned.size(); ++slot)
    if (by_slot[slot]) std::memcpy(memory_[slot].data(), aligned[slot].data(), memory_[slot].size());
}

SavedTensor InterpretedProgram::get(const std::string& name) const {
  const size_t slot = find(name);
  const Type& type = lowered_.module.slots[slot].type;
  SavedTensor tensor{name, type.dtype, {}, {}};
  for (const Dim& dim : type.shape) tensor.shape.push_back(evaluate(dim));
  const auto bytes = static_cast<size_t>(evaluate(element_count(type.shape)) * dtype_bytes(type.dtype));
  check_internal(memory_[slot].size() >= bytes, "a slot was read before it was written");
  tensor.bytes.assign(memory_[slot].begin(), memory_[slot].begin() + static_cast<std::ptrdiff_t>(bytes));
  return tensor;
}

}  // namespace moru::cli
