#include "compiler/codegen/standalone_plan.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "compiler/interpret/kernel_interpreter.h"
#include "compiler/io/model_io.h"
#include "compiler/ir/accesses.h"
#include "compiler/passes/size_requirements.h"
#include "compiler/support/error.h"
#include "schema/kernel_abi.h"

namespace moru {

namespace {

using Place = StandaloneSlot::Place;

constexpr uint64_t header_bytes = MORU_BUFFER_ALIGNMENT;  // of the arena: whose it is, and whether it is prepared

uint64_t round_up(uint64_t bytes) {
  return (bytes + MORU_BUFFER_ALIGNMENT - 1) / MORU_BUFFER_ALIGNMENT * MORU_BUFFER_ALIGNMENT;
}
Dim round_up(const Dim& bytes) { return MORU_BUFFER_ALIGNMENT * ceil_div(bytes, MORU_BUFFER_ALIGNMENT); }
Dim slot_bytes(const Type& type) { return element_count(type.shape) * dtype_bytes(type.dtype); }

template <typename T>
uint64_t pattern_of(double value) {
  const T element = static_cast<T>(value);
  uint64_t pattern = 0;
  for (size_t at = 0; at < sizeof pattern; at += sizeof element)
    std::memcpy(reinterpret_cast<char*>(&pattern) + at, &element, sizeof element);
  return pattern;
}

uint64_t initial_pattern(const Slot& slot) {
  switch (slot.type.dtype) {
    case DType::f32:
      return pattern_of<float>(slot.initial);
    case DType::f64:
      return pattern_of<double>(slot.initial);
    case DType::i32:
      return pattern_of<int32_t>(slot.initial);
    case DType::i64:
      return pattern_of<int64_t>(slot.initial);
    case DType::boolean:
      return pattern_of<uint8_t>(slot.initial != 0.0 ? 1.0 : 0.0);
    case DType::bf16:  // derived, so nothing but zeros before it is computed
      return 0;
  }
  throw InternalError("unknown element type");
}

class Planner {
 public:
  Planner(const Lowered& lowered, const Model& model) : lowered_(lowered), module_(lowered.module) {
    const WeightsSection section = make_weights_section(model);
    for (const WeightPlace& place : section.places) places_[place.path] = place;
    for (const std::span<const std::byte> piece : section.pieces)
      weights_.insert(weights_.end(), piece.begin(), piece.end());
    for (size_t e = 0; e < lowered.kernels.kernels.size(); ++e) {
      const Kernel& kernel = lowered.kernels.kernels[e];
      AccessVisitor([&](const Access& access, AccessKind kind) {
        const int32_t slot = kernel.buffers[access.buffer].slot;
        if (slot < 0) return;
        if (kind != AccessKind::write) reads_[kernel.entry].insert(static_cast<size_t>(slot));
        if (kind != AccessKind::read) writes_[kernel.entry].insert(static_cast<size_t>(slot));
      })(kernel.body);
    }
  }

  StandalonePlan plan(const std::vector<std::string>& wanted) {
    for (const Kernel& kernel : lowered_.kernels.kernels) {
      const bool is_wanted = wanted.empty() || std::find(wanted.begin(), wanted.end(), kernel.entry) != wanted.end();
      if (is_wanted && kernel.entry != "prepare") names_.push_back(kernel.entry);
    }
    check_internal(!names_.empty(), "a library without entries");
    for (const std::string& name : names_) written_.insert(writes_[name].begin(), writes_[name].end());
    const bool uses_derived = std::any_of(names_.begin(), names_.end(),
                                          [&](const auto& name) { return touches(reads_[name], SlotKind::derived); });
    needs_prepare_ = uses_derived && meet(reads_["prepare"], written_);
    choose_slots();
    if (uses_derived && !needs_prepare_) compute_derived();
    for (size_t s = 0; s < chosen_.size(); ++s) place(s);
    if (arena_ > header_bytes) plan_.state_bytes = arena_;

    plan_.kernels.symbols = lowered_.kernels.symbols;
    plan_.kernels.slot_count = static_cast<int32_t>(chosen_.size());
    if (needs_prepare_) plan_.prepare = add_entry("prepare");
    for (const std::string& name : names_) plan_.entries.push_back(add_entry(name));
    return std::move(plan_);
  }

 private:
  bool touches(const std::set<size_t>& slots, SlotKind kind) const {
    return std::any_of(slots.begin(), slots.end(), [&](size_t slot) { return module_.slots[slot].kind == kind; });
  }
  static bool meet(const std::set<size_t>& a, const std::set<size_t>& b) {
    return std::any_of(a.begin(), a.end(), [&](size_t slot) { return b.count(slot) != 0; });
  }
  size_t index_of(const std::string& slot) const {
    return static_cast<size_t>(module_.find_slot(slot) - module_.slots.data());
  }
  size_t find_kernel(const std::string& entry) const {
    const auto& kernels = lowered_.kernels.kernels;
    const auto found = std::find_if(kernels.begin(), kernels.end(), [&](const Kernel& k) { return k.entry == entry; });
    check_internal(found != kernels.end(), "an entry has no kernel");
    return static_cast<size_t>(found - kernels.begin());
  }

  /// Arguments of the entries, and what their kernels touch, in the program's order.
  void choose_slots() {
    std::set<size_t> used;
    std::vector<std::string> all = names_;
    if (needs_prepare_) all.push_back("prepare");
    for (const std::string& name : all) {
      used.insert(reads_[name].begin(), reads_[name].end());
      used.insert(writes_[name].begin(), writes_[name].end());
      const Graph& graph = module_.entries[find_kernel(name)];
      for (const GraphInput& input : graph.inputs)
        if (is_bound_by_caller(module_.find_slot(input.slot)->kind)) used.insert(index_of(input.slot));
    }
    chosen_.assign(used.begin(), used.end());
  }

  std::vector<uint8_t> initial_bytes(size_t slot) const {
    const Slot& description = module_.slots[slot];
    if (const auto computed = derived_.find(slot); computed != derived_.end()) return computed->second;
    std::vector<uint8_t> bytes(static_cast<size_t>(slot_bytes(description.type).constant()));
    if (const auto found = places_.find(description.name); found != places_.end()) {
      check_internal(found->second.bytes == bytes.size(), "a parameter's data has another size than its slot");
      std::memcpy(bytes.data(), weights_.data() + found->second.offset, bytes.size());
    } else {
      const uint64_t pattern = initial_pattern(description);
      for (size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = reinterpret_cast<const uint8_t*>(&pattern)[i % sizeof pattern];
    }
    return bytes;
  }

  /// Runs `prepare` on the initial values, which nothing in the library changes.
  void compute_derived() {
    const size_t e = find_kernel("prepare");
    const Kernel& kernel = lowered_.kernels.kernels[e];
    std::vector<std::vector<uint8_t>> memory(kernel.buffers.size());
    std::vector<void*> addresses;
    const auto one = [](std::string_view) { return int64_t{1}; };
    for (size_t b = 0; b < memory.size(); ++b) {
      const Buffer& buffer = kernel.buffers[b];
      const auto slot = static_cast<size_t>(buffer.slot);
      const bool is_read = buffer.slot >= 0 && reads_["prepare"].count(slot) != 0;
      if (is_read) memory[b] = initial_bytes(slot);
      memory[b].resize(std::max<size_t>(
          memory[b].size(), static_cast<size_t>(buffer.elements.evaluate(one) * dtype_bytes(buffer.dtype))));
      addresses.push_back(memory[b].data());
    }
    interpret_kernel(kernel, addresses, {});
    for (size_t b = 0; b < memory.size(); ++b)
      if (kernel.buffers[b].slot >= 0 && writes_["prepare"].count(static_cast<size_t>(kernel.buffers[b].slot)) != 0)
        derived_[static_cast<size_t>(kernel.buffers[b].slot)] = std::move(memory[b]);
  }

  uint64_t add_data(const std::vector<uint8_t>& bytes) {
    const uint64_t offset = plan_.data.size();
    plan_.data.insert(plan_.data.end(), bytes.begin(), bytes.end());
    plan_.data.resize(round_up(plan_.data.size()));
    return offset;
  }

  void place(size_t index) {
    const size_t slot = chosen_[index];
    const Slot& description = module_.slots[slot];
    StandaloneSlot& placed = plan_.slots.emplace_back();
    placed.name = description.name;
    placed.kind = description.kind;
    placed.type = description.type;
    placed.index_limit = description.index_limit;
    if (is_bound_by_caller(description.kind) || description.kind == SlotKind::output) return;
    placed.bytes = static_cast<uint64_t>(slot_bytes(description.type).constant());
    const bool is_constant = description.kind == SlotKind::derived
                                 ? !needs_prepare_
                                 : description.kind != SlotKind::control && written_.count(slot) == 0;
    if (is_constant) {
      placed.place = Place::library;
      placed.offset = add_data(initial_bytes(slot));
      return;
    }
    placed.place = Place::arena;
    placed.offset = arena_;
    arena_ += round_up(placed.bytes);
    if (description.kind == SlotKind::derived) return;
    if (places_.count(description.name) != 0)
      plan_.initial.push_back({placed.offset, placed.bytes, add_data(initial_bytes(slot)), 0});
    else if (const uint64_t pattern = initial_pattern(description); pattern != 0)
      plan_.initial.push_back({placed.offset, placed.bytes, std::nullopt, pattern});
  }

  /// The kernel over the slots of the library. Slot buffers that it does not touch get any slot's number.
  Kernel renumbered(Kernel kernel) const {
    for (Buffer& buffer : kernel.buffers) {
      if (buffer.slot < 0) continue;
      const auto found = std::lower_bound(chosen_.begin(), chosen_.end(), static_cast<size_t>(buffer.slot));
      const bool is_chosen = found != chosen_.end() && *found == static_cast<size_t>(buffer.slot);
      buffer.slot = is_chosen ? static_cast<int32_t>(found - chosen_.begin()) : 0;
    }
    return kernel;
  }
  size_t library_slot(const std::string& name) const {
    const auto found = std::lower_bound(chosen_.begin(), chosen_.end(), index_of(name));
    check_internal(found != chosen_.end() && *found == index_of(name), "an entry's slot is not in the library");
    return static_cast<size_t>(found - chosen_.begin());
  }
  size_t add_kernel(Kernel kernel) {
    plan_.kernels.kernels.push_back(std::move(kernel));
    return plan_.kernels.kernels.size() - 1;
  }

  StandaloneEntry add_entry(const std::string& name) {
    const size_t e = find_kernel(name);
    const Graph& graph = module_.entries[e];
    StandaloneEntry entry;
    entry.name = name;
    for (const GraphInput& input : graph.inputs)
      if (is_bound_by_caller(module_.find_slot(input.slot)->kind)) entry.inputs.push_back(library_slot(input.slot));
    for (const GraphResult& result : graph.results)
      if (module_.find_slot(result.slot)->kind == SlotKind::output) entry.outputs.push_back(library_slot(result.slot));
    std::vector<std::string> used;
    for (const size_t slot : entry.arguments())
      for (const Dim& dim : plan_.slots[slot].type.shape) dim.collect_symbols(used);
    for (const std::string& symbol : plan_.kernels.symbols)
      if (std::find(used.begin(), used.end(), symbol) != used.end()) entry.symbols.push_back(symbol);
    entry.reads_derived = needs_prepare_ && name != "prepare" && touches(reads_[name], SlotKind::derived);
    entry.changes_parameters = needs_prepare_ && meet(writes_[name], reads_["prepare"]);
    entry.arena_buffers = lowered_.plans[e].places.size();
    for (const SizeRequirement& requirement : find_size_requirements(graph)) entry.not_negative.push_back(requirement.not_negative);
    entry.kernel = add_kernel(renumbered(lowered_.kernels.kernels[e]));
    add_sizes_kernel(entry, lowered_.plans[e]);
    add_check_kernel(entry);
    return entry;
  }

  void add_sizes_kernel(StandaloneEntry& entry, const MemoryPlan& memory) {
    const auto for_one_worker = [](const Dim& dim) { return dim.substitute("workers", 1); };
    std::vector<Dim> sizes, copies, bytes;
    for (const BufferPlace& place : memory.places) sizes.push_back(for_one_worker(place.offset));
    Dim total = round_up(for_one_worker(memory.total_bytes));
    for (const size_t slot : entry.arguments()) {
      bytes.push_back(slot_bytes(plan_.slots[slot].type));
      copies.push_back(total);
      total += round_up(bytes.back());
    }
    sizes.insert(sizes.end(), copies.begin(), copies.end());
    sizes.insert(sizes.end(), bytes.begin(), bytes.end());
    entry.scratch_bytes = entry.reads_derived ? max(total, plan_.prepare->scratch_bytes) : total;
    sizes.push_back(entry.scratch_bytes);
    sizes.insert(sizes.end(), entry.not_negative.begin(), entry.not_negative.end());
    Kernel kernel{entry.name + "_sizes", {{"sizes", DType::i64, Dim(static_cast<int64_t>(sizes.size())), -1}}, {}};
    for (size_t i = 0; i < sizes.size(); ++i)
      kernel.body.push_back({Store{{0, Dim(static_cast<int64_t>(i)), nullptr}, expr::index(sizes[i]), false}, ""});
    entry.sizes_kernel = add_kernel(std::move(kernel));
  }

  void add_check_kernel(StandaloneEntry& entry) {
    Kernel kernel{
        entry.name + "_check", {{"outside", DType::i64, Dim(static_cast<int64_t>(entry.inputs.size())), -1}}, {}};
    for (size_t i = 0; i < entry.inputs.size(); ++i) {
      const StandaloneSlot& slot = plan_.slots[entry.inputs[i]];
      const auto at = Dim(static_cast<int64_t>(i));
      if (slot.index_limit == 0) {
        kernel.body.push_back({Store{{0, at, nullptr}, expr::integer(0, DType::i64), false}, slot.name});
        continue;
      }
      const auto buffer = static_cast<BufferId>(kernel.buffers.size());
      kernel.buffers.push_back(
          {slot.name, slot.type.dtype, element_count(slot.type.shape), static_cast<int32_t>(entry.inputs[i])});
      const Expr value = expr::load(kernel.buffers.back(), buffer, Dim::symbol("k"));
      const auto number = [&](int64_t n) { return expr::integer(n, slot.type.dtype); };
      const int64_t last =
          slot.type.dtype == DType::i32 ? std::min<int64_t>(slot.index_limit - 1, INT32_MAX) : slot.index_limit - 1;
      const Expr outside = expr::binary(ExprOp::logical_or, expr::binary(ExprOp::less, value, number(0)),
                                        expr::binary(ExprOp::less, number(last), value));
      const Expr one = expr::select(outside, expr::integer(1, DType::i64), expr::integer(0, DType::i64));
      kernel.body.push_back(
          {Reduce{"k", kernel.buffers.back().elements, ReduceOp::add, one, {0, at, nullptr}, false}, slot.name});
    }
    if (kernel.buffers.size() > 1) entry.check_kernel = add_kernel(std::move(kernel));
  }

  const Lowered& lowered_;
  const Module& module_;
  std::map<std::string, WeightPlace> places_;
  std::vector<std::byte> weights_;
  std::map<std::string, std::set<size_t>> reads_, writes_;  // slots, by entry
  std::vector<std::string> names_;
  std::set<size_t> written_;  // by any of them
  bool needs_prepare_ = false;
  std::vector<size_t> chosen_;  // the program's slots that are in the library
  std::map<size_t, std::vector<uint8_t>> derived_;
  uint64_t arena_ = header_bytes;
  StandalonePlan plan_;
};

}  // namespace

std::vector<size_t> StandaloneEntry::arguments() const {
  std::vector<size_t> slots = inputs;
  slots.insert(slots.end(), outputs.begin(), outputs.end());
  return slots;
}

StandaloneSizes::StandaloneSizes(const StandaloneEntry& entry) {
  const size_t arguments = entry.inputs.size() + entry.outputs.size();
  buffers = 0;
  copies = entry.arena_buffers;
  bytes = copies + arguments;
  total = bytes + arguments;
  not_negative = total + 1;
  end = not_negative + entry.not_negative.size();
}

std::vector<std::string> StandalonePlan::symbols() const {
  std::vector<std::string> list;
  for (const std::string& symbol : kernels.symbols)
    for (const StandaloneEntry& entry : entries)
      if (std::find(entry.symbols.begin(), entry.symbols.end(), symbol) != entry.symbols.end()) {
        list.push_back(symbol);
        break;
      }
  return list;
}

Dim StandalonePlan::arena_bytes() const {
  Dim most = 0;
  for (const StandaloneEntry& entry : entries) most = max(most, entry.scratch_bytes);
  return most + static_cast<int64_t>(state_bytes);
}

StandalonePlan plan_standalone(const Lowered& lowered, const Model& model, uint64_t hash, const std::string& prefix,
                               const std::vector<std::string>& entries) {
  StandalonePlan plan = Planner(lowered, model).plan(entries);
  plan.prefix = prefix;
  plan.hash = hash;
  return plan;
}

}  // namespace moru
