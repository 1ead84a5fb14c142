#include "compiler/io/program_io.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

#include "compiler/passes/size_requirements.h"
#include "compiler/support/error.h"
#include "program_generated.h"
#include "schema/kernel_abi.h"

namespace moru {

namespace {

namespace fb = schema;
using FlatBuilder = flatbuffers::FlatBufferBuilder;

class DimWriter {
 public:
  DimWriter(FlatBuilder& builder, const std::vector<std::string>& symbols) : builder_(builder), symbols_(symbols) {}

  flatbuffers::Offset<fb::Dim> write(const Dim& dim) {
    std::vector<flatbuffers::Offset<fb::Term>> terms;
    for (const DimTerm& term : dim.terms()) {
      std::vector<flatbuffers::Offset<fb::Factor>> factors;
      for (const DimFactor& factor : term.factors) factors.push_back(write(factor));
      terms.push_back(fb::CreateTermDirect(builder_, term.coefficient, &factors));
    }
    return fb::CreateDimDirect(builder_, &terms);
  }

 private:
  FlatBuilder& builder_;
  const std::vector<std::string>& symbols_;

  flatbuffers::Offset<fb::Factor> write(const DimFactor& factor) {
    if (factor.kind == DimFactor::Kind::symbol) {
      auto found = std::find(symbols_.begin(), symbols_.end(), factor.symbol);
      check_internal(found != symbols_.end(), "a dimension uses a symbol that the program does not declare");
      return fb::CreateFactor(builder_, fb::FactorKind::symbol, static_cast<uint32_t>(found - symbols_.begin()));
    }
    fb::FactorKind kind = factor.kind == DimFactor::Kind::floor_div  ? fb::FactorKind::floor_div
                          : factor.kind == DimFactor::Kind::ceil_div ? fb::FactorKind::ceil_div
                                                                     : fb::FactorKind::max;
    auto left = write(*factor.left), right = write(*factor.right);
    return fb::CreateFactor(builder_, kind, 0, left, right);
  }
};

}  // namespace

uint64_t hash_program(const Module& module, const KernelModule& kernels, const std::string& target) {
  std::string text =
      std::string("moru ") + MORU_VERSION + "\n" + target + "\n" + std::to_string(MORU_KERNEL_ABI_VERSION) + "\n";
  for (const Slot& slot : module.slots)
    text += std::string(slot_kind_name(slot.kind)) + " " + slot.name + " " + type_text(slot.type) +
            (slot.trainable ? " trainable\n" : "\n");
  text += kernel_module_text(kernels);
  return XXH3_64bits(text.data(), text.size());
}

std::vector<std::byte> write_program(const ProgramDescription& d) {
  FlatBuilder builder;
  DimWriter dims(builder, d.kernels->symbols);
  auto shape = [&](const Shape& s) {
    std::vector<flatbuffers::Offset<fb::Dim>> out;
    for (const Dim& dim : s) out.push_back(dims.write(dim));
    return out;
  };
  auto slot_index = [&](std::string_view name) {
    const Slot* slot = d.module->find_slot(name);
    return slot ? static_cast<uint32_t>(slot - d.module->slots.data()) : UINT32_MAX;
  };

  std::vector<flatbuffers::Offset<fb::Slot>> slots;
  for (const Slot& slot : d.module->slots) {
    const WeightPlace* place = nullptr;
    if (d.weights && (slot.kind == SlotKind::parameter || slot.kind == SlotKind::layer_state))
      for (const WeightPlace& w : *d.weights)
        if (w.path == slot.name) place = &w;
    auto extents = shape(slot.type.shape);
    slots.push_back(fb::CreateSlotDirect(builder, slot.name.c_str(), static_cast<fb::SlotKind>(slot.kind),
                                         static_cast<fb::DType>(slot.type.dtype), &extents, slot.trainable,
                                         place != nullptr, place ? place->offset : 0, place ? place->bytes : 0,
                                         slot.index_limit, slot.initial));
  }

  std::vector<flatbuffers::Offset<fb::Entry>> entries;
  for (size_t e = 0; e < d.kernels->kernels.size(); ++e) {
    const Kernel& kernel = d.kernels->kernels[e];
    const Graph& graph = d.module->entries[e];
    const MemoryPlan& plan = (*d.plans)[e];
    std::vector<uint32_t> inputs, outputs;
    for (const GraphInput& input : graph.inputs) {
      const Slot* slot = d.module->find_slot(input.slot);
      if (is_bound_by_caller(slot->kind)) inputs.push_back(slot_index(input.slot));
    }
    for (const GraphResult& result : graph.results)
      if (d.module->find_slot(result.slot)->kind == SlotKind::output) outputs.push_back(slot_index(result.slot));
    std::vector<flatbuffers::Offset<fb::ArenaBuffer>> arena;
    for (const BufferPlace& place : plan.places) {
      auto bytes = dims.write(place.bytes), offset = dims.write(place.offset);
      arena.push_back(fb::CreateArenaBufferDirect(builder, kernel.buffers[place.buffer].name.c_str(), bytes, offset));
    }
    auto total = dims.write(plan.total_bytes);
    std::vector<flatbuffers::Offset<fb::SizeRequirement>> requirements;
    for (const SizeRequirement& requirement : find_size_requirements(graph)) {
      auto not_negative = dims.write(requirement.not_negative);
      requirements.push_back(fb::CreateSizeRequirementDirect(builder, not_negative, requirement.what.c_str()));
    }
    entries.push_back(fb::CreateEntryDirect(builder, kernel.entry.c_str(), &inputs, &outputs, &arena, total, &requirements));
  }

  std::vector<flatbuffers::Offset<fb::Output>> outputs;
  for (const std::string& name : d.outputs) {
    uint32_t target = slot_index(name + "/target"), weight = slot_index(name + "/sample_weight");
    outputs.push_back(fb::CreateOutputDirect(builder, name.c_str(), slot_index(name), target == UINT32_MAX ? 0 : target,
                                             target != UINT32_MAX, weight == UINT32_MAX ? 0 : weight,
                                             weight != UINT32_MAX));
  }

  std::vector<flatbuffers::Offset<flatbuffers::String>> symbols;
  for (const std::string& symbol : d.kernels->symbols) symbols.push_back(builder.CreateString(symbol));
  auto provenance = fb::CreateProvenanceDirect(builder, MORU_VERSION, d.source.c_str(), nullptr, d.seed);
  auto program = fb::CreateProgramDirect(builder, MORU_KERNEL_ABI_VERSION, d.target.c_str(), d.hash, &symbols, &slots,
                                         &entries, &outputs, provenance);
  fb::FinishProgramBuffer(builder, program);
  const auto* bytes = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {bytes, bytes + builder.GetSize()};
}

}  // namespace moru
