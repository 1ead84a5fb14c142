#include "runtime/session.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "runtime/aligned_buffer.h"
#include "runtime/cpu_target.h"
#include "runtime/index_check.h"
#include "runtime/program_reader.h"

namespace moru {
namespace {

// What entries do to parameters is known by name; an entry of another name is taken to read derived slots and to change
// parameters, which costs a superfluous `prepare` at worst.
bool reads_derived_slots(std::string_view entry) {
  return entry != "train_step" && entry != "init" && entry != "prepare" && entry != "reset_metrics" &&
         entry != "reset_states" && entry != "metric_results" && entry != "finish_training";
}
bool changes_parameters(std::string_view entry) {
  return entry != "predict" && entry != "evaluate" && entry != "prepare" && entry != "reset_metrics" &&
         entry != "reset_states" && entry != "metric_results";
}
/// Kinds that a session without parameters of its own borrows, or, for layer state, copies.
bool is_shareable(SlotKind kind) { return kind == SlotKind::parameter || kind == SlotKind::layer_state; }
bool is_kept(SlotKind kind) { return is_saved(kind) || kind == SlotKind::derived; }
bool is_aligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % MORU_BUFFER_ALIGNMENT == 0; }

template <typename T>
void fill(std::byte* memory, uint64_t bytes, double value) {
  T* elements = reinterpret_cast<T*>(memory);
  std::fill(elements, elements + bytes / sizeof(T), static_cast<T>(value));
}

void fill_slot(DType dtype, std::byte* memory, uint64_t bytes, double value) {
  switch (dtype) {
    case DType::f32:
      return fill<float>(memory, bytes, value);
    case DType::f64:
      return fill<double>(memory, bytes, value);
    case DType::i32:
      return fill<int32_t>(memory, bytes, value);
    case DType::i64:
      return fill<int64_t>(memory, bytes, value);
    case DType::boolean:
      return fill<uint8_t>(memory, bytes, value != 0.0 ? 1.0 : 0.0);
    case DType::bf16:  // derived, so nothing but zeros before it is computed
      return fill<uint16_t>(memory, bytes, 0.0);
  }
}

/// Parameters and layer state, which sessions may share.
struct ParameterStore {
  explicit ParameterStore(const Allocator& allocator) : memory(allocator) {}
  AlignedBuffer memory;
  std::vector<std::byte*> addresses;  // by slot; null for other kinds
  std::atomic<uint64_t> version{1};   // raised whenever a value may have changed
};

struct SlotState {
  std::byte* kept = nullptr;       // where a parameter, state or derived slot lies
  std::vector<int64_t> shape;      // constant for kept slots, else that of the last run
  uint64_t bytes = 0;              // of `shape`
  const void* contents = nullptr;  // what view() shows

  bool bound = false;                // by the caller:
  const void* source = nullptr;      //   inputs
  void* destination = nullptr;       //   outputs
  std::vector<int64_t> bound_shape;  //   inputs
  uint64_t bound_bytes = 0;
  AlignedBuffer memory;  // a copy of an input that is not aligned; an output
  bool told = false;     // that the input is copied
};

/// Sizes and addresses for one entry, as of its last run.
struct EntryState {
  bool reads_derived = false;
  bool changes_parameters = false;
  uint64_t seen_shapes = 0;             // Impl::shape_generation of the last resolution; 0: none
  std::vector<int64_t> symbols;         // empty until laid out
  std::vector<int64_t> kernel_symbols;  // the same, 0 for what is unknown
  std::vector<int64_t> output_sizes;    // shapes of the outputs, one behind the other
  std::vector<uint64_t> output_bytes;
  std::vector<uint64_t> arena_offsets;
  uint64_t arena_bytes = 0;
  const std::byte* arena_base = nullptr;
  std::vector<void*> buffers;  // as in moru_kernel_call
};

struct SymbolSource {
  uint32_t slot = 0;
  uint32_t axis = 0;
};

}  // namespace

struct Session::Impl {
  std::shared_ptr<const Program> program;
  Allocator allocator;
  Logger logger;
  std::unique_ptr<ThreadPool> own_pool;
  WorkerPool workers;
  std::shared_ptr<ParameterStore> store;
  bool borrows = false;
  AlignedBuffer kept;       // what is not in the store
  uint64_t kept_bytes = 0;  // kept and own store
  std::vector<SlotState> slots;
  std::vector<EntryState> entries;
  AlignedBuffer arena;
  uint64_t shape_generation = 1;  // raised whenever a binding changes its shape
  std::vector<int64_t> symbols;   // being resolved
  std::vector<SymbolSource> sources;
  std::optional<uint32_t> prepare;
  uint64_t prepared_version = 0;  // of the store; 0: derived slots were never computed
  uint64_t copied_version = 0;    // of the store, when layer state was copied from it

  Status allocate(const Session* share);
  void initialize(uint32_t slot);
  void copy_layer_state();
  Status run_entry(uint32_t entry);
  Status resolve_symbols(uint32_t entry);
  Status check_sizes(uint32_t entry) const;
  Status lay_out(uint32_t entry);
  Status place_arena(uint32_t entry);
  Status connect_inputs(uint32_t entry);
  Status connect_outputs(uint32_t entry);
  void deliver_outputs(uint32_t entry);
  void log(LogLevel level, const std::string& message) const {
    if (logger.write != nullptr) logger.write(logger.context, static_cast<int32_t>(level), message.c_str());
  }

  std::string describe(uint32_t slot) const {
    return "slot '" + program->slots()[slot].name + "' (" + std::string(slot_kind_name(program->slots()[slot].kind)) +
           " " + program->slot_type_text(slot) + ")";
  }
};

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;
const Program& Session::program() const { return *impl_->program; }

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Program> program, SessionOptions options) {
  if (program == nullptr) return Status(StatusCode::invalid_argument, "no program was given");
  if (!program->has_native_code()) {
    return Status(StatusCode::no_native_code, "the program has no native code; compile it or load a compiled library");
  }
  if (!processor_supports(program->target())) {
    return Status(StatusCode::no_native_code, "the program was compiled for " + program->target() +
                                                  ", which this processor cannot run; compile it for this machine");
  }
  if (options.share_parameters_of != nullptr && options.share_parameters_of->program().hash() != program->hash()) {
    return Status(StatusCode::program_mismatch, "sessions can share parameters only over the same program");
  }
  auto impl = std::make_unique<Impl>();
  impl->program = std::move(program);
  if ((options.allocator.allocate == nullptr) != (options.allocator.release == nullptr))
    return Status(StatusCode::invalid_argument, "an allocator needs both functions, to allocate and to release");
  impl->allocator = options.allocator;
  impl->logger = options.logger;
  if (options.workers.run != nullptr) {
    if (options.workers.workers < 1 || options.workers.workers > ThreadPool::most_threads)
      return Status(StatusCode::invalid_argument, "a pool has 1 to " + std::to_string(ThreadPool::most_threads) + " workers, not " +
                                                      std::to_string(options.workers.workers));
    impl->workers = options.workers;
  } else {
    ThreadPool* pool = options.pool;
    if (pool == nullptr) {
      Result<std::unique_ptr<ThreadPool>> own = ThreadPool::create(options.threads);
      if (!own.ok()) return own.status();
      impl->own_pool = *std::move(own);
      pool = impl->own_pool.get();
    }
    impl->workers = {&ThreadPool::parallel_for_callback, pool, pool->size()};
  }
  MORU_RETURN_IF_ERROR(impl->allocate(options.share_parameters_of));
  impl->log(LogLevel::info, "a session for " + impl->program->level() + " with " + std::to_string(impl->workers.workers) +
                                " threads; parameters and state take " + std::to_string(impl->kept_bytes) + " bytes");
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

Status Session::Impl::allocate(const Session* share) {
  std::span<const ProgramSlot> descriptions = program->slots();
  slots.resize(descriptions.size());
  borrows = share != nullptr;
  for (SlotState& slot : slots) slot.memory = AlignedBuffer(allocator);
  kept = AlignedBuffer(allocator);
  arena = AlignedBuffer(allocator);
  store = borrows ? share->impl_->store : std::make_shared<ParameterStore>(allocator);

  uint64_t store_bytes = 0;
  uint64_t own_bytes = 0;
  auto lies_in_store = [&](SlotKind kind) { return borrows ? kind == SlotKind::parameter : is_shareable(kind); };
  for (uint32_t i = 0; i < slots.size(); ++i) {
    SlotState& slot = slots[i];
    slot.shape.assign(descriptions[i].shape.size(), 0);
    slot.bound_shape.assign(descriptions[i].shape.size(), 0);
    if (!is_kept(descriptions[i].kind)) continue;
    for (size_t axis = 0; axis < slot.shape.size(); ++axis)
      slot.shape[axis] = *descriptions[i].shape[axis].evaluate({});
    slot.bytes = *tensor_bytes(descriptions[i].dtype, slot.shape);
    (lies_in_store(descriptions[i].kind) ? store_bytes : own_bytes) += round_up_to_alignment(slot.bytes);
  }

  if (!borrows) {
    MORU_RETURN_IF_ERROR(store->memory.reserve(store_bytes, "parameters and layer state"));
    store->addresses.resize(slots.size());
    kept_bytes += store_bytes;
  }
  MORU_RETURN_IF_ERROR(kept.reserve(own_bytes, "optimizer, metric and other state"));
  kept_bytes += own_bytes;

  std::byte* next_in_store = store->memory.data();
  std::byte* next_own = kept.data();
  for (uint32_t i = 0; i < slots.size(); ++i) {
    if (!is_kept(descriptions[i].kind)) continue;
    bool in_store = lies_in_store(descriptions[i].kind);
    if (in_store && borrows) {
      slots[i].kept = store->addresses[i];
    } else {
      std::byte*& next = in_store ? next_in_store : next_own;
      slots[i].kept = next;
      next += round_up_to_alignment(slots[i].bytes);
      if (in_store) store->addresses[i] = slots[i].kept;
      initialize(i);
    }
    slots[i].contents = slots[i].kept;
  }
  if (borrows) copy_layer_state();

  prepare = program->find_entry("prepare");
  symbols.assign(program->symbols().size(), DimExpression::unknown);
  sources.resize(symbols.size());
  entries.resize(program->entries().size());
  for (uint32_t i = 0; i < entries.size(); ++i) {
    const ProgramEntry& description = program->entries()[i];
    EntryState& entry = entries[i];
    entry.reads_derived = reads_derived_slots(description.name);
    entry.changes_parameters = changes_parameters(description.name);
    entry.kernel_symbols.assign(symbols.size(), 0);
    entry.symbols.reserve(symbols.size());
    size_t sizes = 0;
    for (uint32_t slot : description.outputs) sizes += slots[slot].shape.size();
    entry.output_sizes.assign(sizes, 0);
    entry.output_bytes.assign(description.outputs.size(), 0);
    entry.arena_offsets.assign(description.arena.size(), 0);
    entry.buffers.assign(slots.size() + description.arena.size(), nullptr);
    for (uint32_t slot = 0; slot < slots.size(); ++slot) entry.buffers[slot] = slots[slot].kept;
  }
  return {};
}

void Session::Impl::initialize(uint32_t slot) {
  const ProgramSlot& description = program->slots()[slot];
  std::byte* memory = slots[slot].kept;
  uint64_t bytes = slots[slot].bytes;
  if (bytes == 0) return;
  std::memset(memory + bytes, 0, round_up_to_alignment(bytes) - bytes);
  if (description.has_data) {
    std::memcpy(memory, program->slot_data(slot).data(), bytes);
  } else {
    fill_slot(description.dtype, memory, bytes, description.initial);
  }
}

// A session that borrows parameters keeps layer state of its own, because predicting may change it (a stateful
// recurrent layer's carry) and may happen in several sessions at once.
void Session::Impl::copy_layer_state() {
  copied_version = store->version.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < slots.size(); ++i) {
    if (program->slots()[i].kind != SlotKind::layer_state || slots[i].bytes == 0) continue;
    std::memcpy(slots[i].kept, store->addresses[i], slots[i].bytes);
  }
}

Status Session::bind(uint32_t slot, const void* data, std::span<const int64_t> shape) {
  if (slot >= impl_->slots.size()) return {StatusCode::not_found, "there is no slot " + std::to_string(slot)};
  const ProgramSlot& description = impl_->program->slots()[slot];
  SlotState& state = impl_->slots[slot];
  if (!is_bound_by_caller(description.kind)) {
    return {StatusCode::wrong_state, impl_->describe(slot) + " is not an input"};
  }
  if (shape.size() != state.bound_shape.size()) {
    return {StatusCode::shape_mismatch, impl_->describe(slot) + " has " + std::to_string(state.bound_shape.size()) +
                                            " axes but was given the shape " + sizes_text(shape)};
  }
  std::optional<uint64_t> bytes = tensor_bytes(description.dtype, shape);
  // No elements are there where the program says so, but not where a size is open.
  bool impossible = !bytes;
  for (size_t axis = 0; axis < shape.size() && !impossible; ++axis)
    impossible = shape[axis] == 0 && description.shape[axis].evaluate({}) != 0;
  if (impossible) {
    return {StatusCode::shape_mismatch, impl_->describe(slot) + " was given the impossible shape " + sizes_text(shape)};
  }
  if (data == nullptr && *bytes > 0)
    return {StatusCode::invalid_argument, impl_->describe(slot) + " was given no data"};
  if (!state.bound || !std::equal(shape.begin(), shape.end(), state.bound_shape.begin())) {
    std::copy(shape.begin(), shape.end(), state.bound_shape.begin());
    ++impl_->shape_generation;
  }
  state.bound = true;
  state.source = data;
  state.bound_bytes = *bytes;
  return {};
}

Status Session::bind_output(uint32_t slot, void* data, uint64_t bytes) {
  if (slot >= impl_->slots.size()) return {StatusCode::not_found, "there is no slot " + std::to_string(slot)};
  if (impl_->program->slots()[slot].kind != SlotKind::output) {
    return {StatusCode::wrong_state, impl_->describe(slot) + " is not an output"};
  }
  SlotState& state = impl_->slots[slot];
  state.bound = data != nullptr;
  state.destination = data;
  state.bound_bytes = bytes;
  return {};
}

Status Session::run(uint32_t entry) {
  Impl& impl = *impl_;
  if (entry >= impl.entries.size()) return {StatusCode::not_found, "there is no entry " + std::to_string(entry)};
  EntryState& state = impl.entries[entry];
  if (impl.borrows && state.changes_parameters) {
    return {StatusCode::wrong_state, "entry '" + impl.program->entries()[entry].name +
                                         "' changes parameters, but this session shares another session's"};
  }
  uint64_t version = impl.store->version.load(std::memory_order_acquire);
  if (impl.borrows && impl.copied_version != version) impl.copy_layer_state();
  if (state.reads_derived && impl.prepare && impl.prepared_version != version) {
    MORU_RETURN_IF_ERROR(impl.run_entry(*impl.prepare));
    impl.prepared_version = version;
  }
  Status status = impl.run_entry(entry);
  if (state.changes_parameters) impl.store->version.fetch_add(1, std::memory_order_release);
  if (status.ok() && impl.prepare == entry) impl.prepared_version = version;
  return status;
}

Status Session::Impl::run_entry(uint32_t entry) {
  const ProgramEntry& description = program->entries()[entry];
  EntryState& state = entries[entry];
  if (description.function == nullptr) {
    return {StatusCode::no_native_code, "entry '" + description.name + "' has no native code"};
  }
  if (state.seen_shapes != shape_generation) {
    state.seen_shapes = 0;
    MORU_RETURN_IF_ERROR(resolve_symbols(entry));
    MORU_RETURN_IF_ERROR(check_sizes(entry));
    if (state.symbols != symbols || symbols.empty()) MORU_RETURN_IF_ERROR(lay_out(entry));
    state.seen_shapes = shape_generation;
  }
  MORU_RETURN_IF_ERROR(connect_inputs(entry));
  MORU_RETURN_IF_ERROR(connect_outputs(entry));
  MORU_RETURN_IF_ERROR(place_arena(entry));

  moru_kernel_call call = {state.buffers.data(), state.kernel_symbols.data(), workers.run, workers.pool};
  int32_t code = description.function(&call);
  if (code != MORU_KERNEL_OK) {
    return {StatusCode::kernel_failed, "entry '" + description.name + "' failed with code " + std::to_string(code)};
  }
  deliver_outputs(entry);
  return {};
}

Status Session::Impl::resolve_symbols(uint32_t entry) {
  std::fill(symbols.begin(), symbols.end(), DimExpression::unknown);
  if (const std::optional<uint32_t> symbol = program->workers_symbol()) symbols[*symbol] = workers.workers;
  const ProgramEntry& description = program->entries()[entry];
  for (uint32_t slot : description.inputs) {
    if (!slots[slot].bound) {
      return {StatusCode::not_bound,
              "entry '" + description.name + "' needs " + describe(slot) + ", which is not bound"};
    }
    const std::vector<DimExpression>& dims = program->slots()[slot].shape;
    for (uint32_t axis = 0; axis < dims.size(); ++axis) {
      std::optional<uint32_t> symbol = dims[axis].as_symbol();
      if (!symbol || symbols[*symbol] != DimExpression::unknown) continue;
      symbols[*symbol] = slots[slot].bound_shape[axis];
      sources[*symbol] = {slot, axis};
    }
  }
  return {};
}

Status Session::Impl::check_sizes(uint32_t entry) const {
  for (uint32_t slot : program->entries()[entry].inputs) {
    const std::vector<DimExpression>& dims = program->slots()[slot].shape;
    for (uint32_t axis = 0; axis < dims.size(); ++axis) {
      std::optional<int64_t> expected = dims[axis].evaluate(symbols);
      int64_t actual = slots[slot].bound_shape[axis];
      if (expected == actual) continue;
      std::string message = describe(slot) + ": axis " + std::to_string(axis) + " ";
      if (!expected) {
        message += "is " + std::to_string(actual) + ", but its expected size " + dims[axis].text(program->symbols()) +
                   " cannot be computed from the bound inputs";
      } else {
        message += "must be " + std::to_string(*expected);
        if (!dims[axis].is_constant()) message += " (" + dims[axis].text(program->symbols());
        std::optional<uint32_t> symbol = dims[axis].as_symbol();
        if (symbol && symbol != program->workers_symbol()) {
          message += ", from slot '" + program->slots()[sources[*symbol].slot].name + "' axis " +
                     std::to_string(sources[*symbol].axis);
        }
        if (!dims[axis].is_constant()) message += ")";
        message += " but is " + std::to_string(actual);
      }
      return {StatusCode::shape_mismatch, message + "; the bound shape is " + sizes_text(slots[slot].bound_shape)};
    }
  }
  return {};
}

/// Sizes of outputs and arena for the resolved symbols.
Status Session::Impl::lay_out(uint32_t entry) {
  const ProgramEntry& description = program->entries()[entry];
  EntryState& state = entries[entry];
  state.symbols.clear();
  state.arena_base = nullptr;
  auto impossible = [&](const std::string& what, const DimExpression& dim) {
    return Status(StatusCode::size_overflow, "entry '" + description.name + "': the size of " + what + ", " +
                                                 dim.text(program->symbols()) +
                                                 ", cannot be computed from the bound inputs");
  };
  size_t next_size = 0;
  for (size_t i = 0; i < description.outputs.size(); ++i) {
    uint32_t slot = description.outputs[i];
    const std::vector<DimExpression>& dims = program->slots()[slot].shape;
    std::span<int64_t> sizes(state.output_sizes.data() + next_size, dims.size());
    for (size_t axis = 0; axis < dims.size(); ++axis) {
      std::optional<int64_t> size = dims[axis].evaluate(symbols);
      if (!size || *size < 0) return impossible(describe(slot) + " axis " + std::to_string(axis), dims[axis]);
      sizes[axis] = *size;
    }
    std::optional<uint64_t> bytes = tensor_bytes(program->slots()[slot].dtype, sizes);
    if (!bytes)
      return {StatusCode::size_overflow, describe(slot) + " would have the impossible shape " + sizes_text(sizes)};
    state.output_bytes[i] = *bytes;
    next_size += dims.size();
  }

  for (const ProgramSizeRequirement& requirement : description.size_requirements) {
    const std::optional<int64_t> value = requirement.not_negative.evaluate(symbols);
    if (!value || *value < 0)
      return {StatusCode::shape_mismatch, "entry '" + description.name + "' cannot run at these sizes: " + requirement.what + ", and " +
                                              requirement.not_negative.text(program->symbols()) +
                                              (value ? " is " + std::to_string(*value) : " cannot be computed")};
  }

  std::optional<int64_t> total = description.arena_bytes.evaluate(symbols);
  if (!total || *total < 0) return impossible("the arena", description.arena_bytes);
  state.arena_bytes = static_cast<uint64_t>(*total);
  for (size_t i = 0; i < description.arena.size(); ++i) {
    const ProgramArenaBuffer& buffer = description.arena[i];
    std::optional<int64_t> offset = buffer.offset.evaluate(symbols);
    std::optional<int64_t> bytes = buffer.bytes.evaluate(symbols);
    if (!offset || *offset < 0) return impossible("the offset of arena buffer '" + buffer.name + "'", buffer.offset);
    if (!bytes || *bytes < 0) return impossible("arena buffer '" + buffer.name + "'", buffer.bytes);
    if (*offset % MORU_BUFFER_ALIGNMENT != 0 || *offset > *total || *bytes > *total - *offset) {
      return {StatusCode::corrupt, "the program is damaged: entry '" + description.name + "' places arena buffer '" +
                                       buffer.name + "' outside its arena"};
    }
    state.arena_offsets[i] = static_cast<uint64_t>(*offset);
  }
  for (size_t i = 0; i < symbols.size(); ++i) {
    state.kernel_symbols[i] = symbols[i] == DimExpression::unknown ? 0 : symbols[i];
  }
  state.symbols.assign(symbols.begin(), symbols.end());
  return {};
}

Status Session::Impl::place_arena(uint32_t entry) {
  EntryState& state = entries[entry];
  const uint64_t before = arena.capacity();
  MORU_RETURN_IF_ERROR(arena.reserve(std::max<uint64_t>(state.arena_bytes, 1), "intermediate results"));
  if (arena.capacity() != before && logger.write != nullptr)
    log(LogLevel::info, "entry '" + program->entries()[entry].name + "' takes " + std::to_string(arena.capacity()) +
                            " bytes for intermediate results");
  if (state.arena_base == arena.data()) return {};
  for (size_t i = 0; i < state.arena_offsets.size(); ++i) {
    state.buffers[slots.size() + i] = arena.data() + state.arena_offsets[i];
  }
  state.arena_base = arena.data();
  return {};
}

Status Session::Impl::connect_inputs(uint32_t entry) {
  for (uint32_t index : program->entries()[entry].inputs) {
    SlotState& slot = slots[index];
    const ProgramSlot& description = program->slots()[index];
    std::copy(slot.bound_shape.begin(), slot.bound_shape.end(), slot.shape.begin());
    slot.bytes = slot.bound_bytes;
    slot.contents = slot.source;
    if (!is_aligned(slot.source)) {
      MORU_RETURN_IF_ERROR(slot.memory.reserve(slot.bytes, "a copy of an input"));
      std::memcpy(slot.memory.data(), slot.source, slot.bytes);
      if (!slot.told && logger.write != nullptr)
        log(LogLevel::warning, describe(index) + " is copied at every run, since its memory is not 64-byte aligned");
      slot.told = true;
      slot.contents = slot.memory.data();
    }
    if (description.index_limit > 0) {
      TensorView tensor = {description.dtype, slot.shape, slot.contents};
      MORU_RETURN_IF_ERROR(check_indices(tensor, description.index_limit, description.name));
    }
    // Entries only read their inputs; the table is not const because outputs lie in it as well.
    entries[entry].buffers[index] = const_cast<void*>(slot.contents);
  }
  return {};
}

Status Session::Impl::connect_outputs(uint32_t entry) {
  const ProgramEntry& description = program->entries()[entry];
  EntryState& state = entries[entry];
  const int64_t* sizes = state.output_sizes.data();
  for (size_t i = 0; i < description.outputs.size(); ++i) {
    uint32_t index = description.outputs[i];
    SlotState& slot = slots[index];
    std::copy(sizes, sizes + slot.shape.size(), slot.shape.begin());
    sizes += slot.shape.size();
    slot.bytes = state.output_bytes[i];
    if (slot.bound && slot.bound_bytes < slot.bytes) {
      return {StatusCode::shape_mismatch, describe(index) + " needs " + std::to_string(slot.bytes) +
                                              " bytes for the shape " + sizes_text(slot.shape) + " but was bound to " +
                                              std::to_string(slot.bound_bytes)};
    }
    // Entries may write up to the next multiple of 64 bytes, which belongs to someone else in the caller's memory.
    bool in_place = slot.bound && is_aligned(slot.destination) && slot.bytes % MORU_BUFFER_ALIGNMENT == 0;
    if (!in_place) MORU_RETURN_IF_ERROR(slot.memory.reserve(std::max<uint64_t>(slot.bytes, 1), "an output"));
    state.buffers[index] = in_place ? slot.destination : slot.memory.data();
    slot.contents = slot.bound ? slot.destination : slot.memory.data();
  }
  return {};
}

void Session::Impl::deliver_outputs(uint32_t entry) {
  for (uint32_t index : program->entries()[entry].outputs) {
    const SlotState& slot = slots[index];
    const void* written = entries[entry].buffers[index];
    if (slot.bound && written != slot.destination && slot.bytes != 0)
      std::memcpy(slot.destination, written, slot.bytes);
  }
}

TensorView Session::view(uint32_t slot) const {
  if (slot >= impl_->slots.size()) return {};
  const SlotState& state = impl_->slots[slot];
  return {impl_->program->slots()[slot].dtype, state.shape, state.contents};
}

Status Session::assign(uint32_t slot, const void* data, uint64_t bytes) {
  Impl& impl = *impl_;
  if (slot >= impl.slots.size()) return {StatusCode::not_found, "there is no slot " + std::to_string(slot)};
  SlotKind kind = impl.program->slots()[slot].kind;
  if (!is_saved(kind)) return {StatusCode::wrong_state, impl.describe(slot) + " cannot be assigned to"};
  if (impl.borrows && is_shareable(kind)) {
    return {StatusCode::wrong_state, impl.describe(slot) + " belongs to another session, which this one shares"};
  }
  if (bytes != impl.slots[slot].bytes) {
    return {StatusCode::shape_mismatch, impl.describe(slot) + " has " + std::to_string(impl.slots[slot].bytes) +
                                            " bytes but was given " + std::to_string(bytes)};
  }
  if (bytes == 0) return {};
  if (data == nullptr) return {StatusCode::invalid_argument, impl.describe(slot) + " was given no data"};
  std::memmove(impl.slots[slot].kept, data, bytes);
  if (is_shareable(kind)) impl.store->version.fetch_add(1, std::memory_order_release);
  return {};
}

uint64_t Session::parameter_bytes() const { return impl_->kept_bytes; }
uint64_t Session::arena_bytes() const { return impl_->arena.capacity(); }

}  // namespace moru
