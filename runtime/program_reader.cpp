#include "runtime/program_reader.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "program_generated.h"
#include "runtime/flatbuffer_alignment.h"

namespace moru {
namespace {

constexpr int nesting_limit = 8;  // divisions inside divisions
constexpr size_t rank_limit = 32;
constexpr size_t name_limit = 4096;  // bytes
constexpr size_t table_limit = 1'000'000;
constexpr size_t decoded_limit = size_t{256} << 20;  // bytes; FlatBuffers may share one table many times

Status invalid(const std::string& what) { return {StatusCode::corrupt, "the program is damaged: " + what}; }

class Reader {
 public:
  Reader(const schema::Program& program, uint64_t weights_bytes) : program_(program), weights_bytes_(weights_bytes) {}

  Status read() {
    MORU_RETURN_IF_ERROR(read_head());
    MORU_RETURN_IF_ERROR(read_symbols());
    MORU_RETURN_IF_ERROR(read_slots());
    MORU_RETURN_IF_ERROR(check_data_ranges());
    MORU_RETURN_IF_ERROR(read_entries());
    return read_outputs();
  }

  ProgramTables tables;

 private:
  /// Counts decoded bytes; false once there are too many.
  bool spend(size_t bytes) {
    if (bytes > budget_) return false;
    budget_ -= bytes;
    return true;
  }
  static Status misaligned() { return invalid("its FlatBuffer is misaligned"); }
  static Status too_large() { return invalid("it is implausibly large"); }

  Status read_text(const flatbuffers::String* source, std::string& text) {
    if (source == nullptr) return {};
    if (source->size() > name_limit) return invalid("a name is longer than 4096 bytes");
    if (!spend(source->size() + sizeof(std::string))) return too_large();
    text.assign(source->c_str(), source->size());
    return {};
  }

  Status read_name(const flatbuffers::String* source, const char* of, std::unordered_set<std::string>& seen,
                   std::string& name) {
    MORU_RETURN_IF_ERROR(read_text(source, name));
    if (name.empty()) return invalid(std::string("a ") + of + " has no name");
    if (!seen.insert(name).second) return invalid(std::string("more than one ") + of + " is called '" + name + "'");
    return {};
  }

  Status read_head() {
    if (!are_fields_aligned(program_, {schema::Program::VT_HASH})) return misaligned();
    uint32_t abi = program_.abi_version();
    if (abi == 0) return invalid("it has no ABI version");
    if (abi > MORU_KERNEL_ABI_VERSION) {
      return {StatusCode::unsupported_version, "the program needs kernel ABI version " + std::to_string(abi) +
                                                   "; this runtime has version " +
                                                   std::to_string(MORU_KERNEL_ABI_VERSION)};
    }
    tables.hash = program_.hash();
    MORU_RETURN_IF_ERROR(read_text(program_.target(), tables.target));
    if (const schema::Provenance* provenance = program_.provenance()) {
      if (!are_fields_aligned(*provenance, {schema::Provenance::VT_SEED})) return misaligned();
      MORU_RETURN_IF_ERROR(read_text(provenance->moru_version(), tables.provenance.moru_version));
      MORU_RETURN_IF_ERROR(read_text(provenance->source(), tables.provenance.source));
      MORU_RETURN_IF_ERROR(read_text(provenance->data_fingerprint(), tables.provenance.data_fingerprint));
      tables.provenance.seed = provenance->seed();
    }
    return {};
  }

  Status read_symbols() {
    if (program_.symbols() == nullptr) return {};
    std::unordered_set<std::string> seen;
    for (const flatbuffers::String* source : *program_.symbols()) {
      std::string name;
      MORU_RETURN_IF_ERROR(read_name(source, "symbol", seen, name));
      tables.symbols.push_back(std::move(name));
    }
    return {};
  }

  Status read_dim(const schema::Dim* source, const std::string& of, int nesting, DimExpression& dim) {
    if (source == nullptr) return invalid(of + " has no size");
    if (nesting > nesting_limit) return invalid("a size of " + of + " is nested too deeply");
    if (source->terms() == nullptr) return {};
    for (const schema::Term* source_term : *source->terms()) {
      if (!spend(sizeof(DimExpression::Term))) return too_large();
      if (!are_fields_aligned(*source_term, {schema::Term::VT_COEFFICIENT})) return misaligned();
      DimExpression::Term& term = dim.terms.emplace_back();
      term.coefficient = source_term->coefficient();
      if (source_term->factors() == nullptr) continue;
      for (const schema::Factor* source_factor : *source_term->factors()) {
        if (!spend(sizeof(DimExpression::Factor))) return too_large();
        DimExpression::Factor& factor = term.factors.emplace_back();
        if (source_factor->kind() > schema::FactorKind::max)
          return invalid("a size of " + of + " has an unknown factor");
        factor.kind = static_cast<DimExpression::FactorKind>(source_factor->kind());
        factor.symbol = source_factor->symbol();
        if (factor.kind == DimExpression::FactorKind::symbol) {
          if (factor.symbol >= tables.symbols.size()) return invalid("a size of " + of + " names an unknown symbol");
          continue;
        }
        if (!spend(2 * sizeof(DimExpression))) return too_large();
        factor.operands.resize(2);
        MORU_RETURN_IF_ERROR(read_dim(source_factor->left(), of, nesting + 1, factor.operands[0]));
        MORU_RETURN_IF_ERROR(read_dim(source_factor->right(), of, nesting + 1, factor.operands[1]));
      }
    }
    return {};
  }

  Status read_slots() {
    if (program_.slots() == nullptr) return {};
    std::unordered_set<std::string> seen;
    tables.slots.reserve(program_.slots()->size());
    for (const schema::Slot* source : *program_.slots()) {
      if (!spend(sizeof(ProgramSlot))) return too_large();
      if (!are_fields_aligned(*source, {schema::Slot::VT_DATA_OFFSET, schema::Slot::VT_DATA_BYTES,
                                        schema::Slot::VT_INDEX_LIMIT, schema::Slot::VT_INITIAL})) {
        return misaligned();
      }
      ProgramSlot& slot = tables.slots.emplace_back();
      MORU_RETURN_IF_ERROR(read_name(source->name(), "slot", seen, slot.name));
      const std::string of = "slot '" + slot.name + "'";
      if (static_cast<uint8_t>(source->kind()) >= slot_kind_count) return invalid(of + " has an unknown kind");
      if (!is_exchanged(static_cast<uint8_t>(source->dtype())) &&
          !(static_cast<DType>(source->dtype()) == DType::bf16 && static_cast<SlotKind>(source->kind()) == SlotKind::derived)) return invalid(of + " has an unknown element type");
      slot.kind = static_cast<SlotKind>(source->kind());
      slot.dtype = static_cast<DType>(source->dtype());
      slot.trainable = source->trainable();
      slot.has_data = source->has_data();
      slot.data_offset = source->data_offset();
      slot.data_bytes = source->data_bytes();
      slot.index_limit = source->index_limit();
      slot.initial = source->initial();
      if (source->shape() != nullptr) {
        if (source->shape()->size() > rank_limit) return invalid(of + " has more than 32 axes");
        for (const schema::Dim* dim : *source->shape()) {
          if (!spend(sizeof(DimExpression))) return too_large();
          MORU_RETURN_IF_ERROR(read_dim(dim, of, 0, slot.shape.emplace_back()));
        }
      }
      if (slot.index_limit < 0 || (slot.index_limit > 0 && !is_integer(slot.dtype))) {
        return invalid(of + " has an index limit that makes no sense");
      }
      MORU_RETURN_IF_ERROR(check_storage(slot, of));
    }
    return {};
  }

  Status check_storage(const ProgramSlot& slot, const std::string& of) {
    if (is_bound_by_caller(slot.kind) || slot.kind == SlotKind::output) {
      if (slot.has_data) return invalid(of + " is bound by the caller and cannot have data");
      return {};
    }
    std::vector<int64_t> sizes;
    for (const DimExpression& dim : slot.shape) {
      std::optional<int64_t> size = dim.is_constant() ? dim.evaluate({}) : std::nullopt;
      if (!size) return invalid(of + " is kept between runs, so its sizes must be constants");
      sizes.push_back(*size);
    }
    std::optional<uint64_t> bytes = tensor_bytes(slot.dtype, sizes);
    if (!bytes) return invalid(of + " has impossible sizes " + sizes_text(sizes));
    if (__builtin_add_overflow(kept_bytes_, (*bytes + 63) / 64 * 64, &kept_bytes_) || kept_bytes_ > uint64_t{1} << 62) {
      return too_large();
    }
    if (!slot.has_data) {
      constexpr double exact_integers = 9007199254740992.0;  // 2^53
      if (is_integer(slot.dtype) && !(slot.initial >= -exact_integers && slot.initial <= exact_integers)) {
        return invalid(of + " has an initial value that is no integer");
      }
      if (slot.dtype == DType::i32 && !(slot.initial >= INT32_MIN && slot.initial <= INT32_MAX)) {
        return invalid(of + " has an initial value that does not fit i32");
      }
      return {};
    }
    if (!is_saved(slot.kind)) return invalid(of + " of kind " + std::string(slot_kind_name(slot.kind)) + " has data");
    if (slot.data_bytes != *bytes) {
      return invalid(of + " needs " + std::to_string(*bytes) + " bytes of data but has " +
                     std::to_string(slot.data_bytes));
    }
    if (slot.data_offset % MORU_BUFFER_ALIGNMENT != 0 || slot.data_offset > weights_bytes_ ||
        slot.data_bytes > weights_bytes_ - slot.data_offset) {
      return invalid("the data of " + of + " lies outside the weights section");
    }
    return {};
  }

  Status check_data_ranges() const {
    std::vector<const ProgramSlot*> with_data;
    for (const ProgramSlot& slot : tables.slots) {
      if (slot.has_data && slot.data_bytes != 0) with_data.push_back(&slot);
    }
    std::sort(with_data.begin(), with_data.end(),
              [](const ProgramSlot* a, const ProgramSlot* b) { return a->data_offset < b->data_offset; });
    for (size_t i = 1; i < with_data.size(); ++i) {
      if (with_data[i - 1]->data_offset + with_data[i - 1]->data_bytes > with_data[i]->data_offset) {
        return invalid("the data of slots '" + with_data[i - 1]->name + "' and '" + with_data[i]->name + "' overlap");
      }
    }
    return {};
  }

  Status read_slot_list(const flatbuffers::Vector<uint32_t>* source, const std::string& of, bool outputs,
                        std::vector<uint32_t>& list) {
    if (source == nullptr) return {};
    if (source->size() > tables.slots.size()) return invalid(of + " lists more slots than there are");
    if (!spend(source->size() * sizeof(uint32_t) + tables.slots.size() / 8)) return too_large();
    std::vector<bool> seen(tables.slots.size());
    for (uint32_t slot : *source) {
      if (slot >= tables.slots.size())
        return invalid(of + " names slot " + std::to_string(slot) + ", which is not there");
      const ProgramSlot& target = tables.slots[slot];
      if (outputs ? target.kind != SlotKind::output : !is_bound_by_caller(target.kind)) {
        return invalid(of + " lists slot '" + target.name + "' of kind " + std::string(slot_kind_name(target.kind)) +
                       " among its " + (outputs ? "outputs" : "inputs"));
      }
      if (seen[slot]) return invalid(of + " lists slot '" + target.name + "' twice");
      seen[slot] = true;
      list.push_back(slot);
    }
    return {};
  }

  Status read_entries() {
    if (program_.entries() == nullptr) return {};
    std::unordered_set<std::string> seen;
    for (const schema::Entry* source : *program_.entries()) {
      if (!spend(sizeof(ProgramEntry))) return too_large();
      ProgramEntry& entry = tables.entries.emplace_back();
      MORU_RETURN_IF_ERROR(read_name(source->name(), "entry", seen, entry.name));
      const std::string of = "entry '" + entry.name + "'";
      MORU_RETURN_IF_ERROR(read_slot_list(source->inputs(), of, false, entry.inputs));
      MORU_RETURN_IF_ERROR(read_slot_list(source->outputs(), of, true, entry.outputs));
      if (source->arena() != nullptr) {
        for (const schema::ArenaBuffer* buffer : *source->arena()) {
          if (!spend(sizeof(ProgramArenaBuffer))) return too_large();
          ProgramArenaBuffer& decoded = entry.arena.emplace_back();
          MORU_RETURN_IF_ERROR(read_text(buffer->name(), decoded.name));
          MORU_RETURN_IF_ERROR(read_dim(buffer->bytes(), of, 0, decoded.bytes));
          MORU_RETURN_IF_ERROR(read_dim(buffer->offset(), of, 0, decoded.offset));
        }
      }
      if (source->arena_bytes() != nullptr) {
        MORU_RETURN_IF_ERROR(read_dim(source->arena_bytes(), of, 0, entry.arena_bytes));
      } else if (!entry.arena.empty()) {
        return invalid(of + " has arena buffers but no arena size");
      }
      if (source->size_requirements() != nullptr) {
        for (const schema::SizeRequirement* requirement : *source->size_requirements()) {
          if (!spend(sizeof(ProgramSizeRequirement))) return too_large();
          ProgramSizeRequirement& decoded = entry.size_requirements.emplace_back();
          MORU_RETURN_IF_ERROR(read_text(requirement->what(), decoded.what));
          MORU_RETURN_IF_ERROR(read_dim(requirement->not_negative(), of, 0, decoded.not_negative));
        }
      }
    }
    return {};
  }

  Status check_pairing(uint32_t slot, SlotKind kind, const std::string& of) const {
    if (slot < tables.slots.size() && tables.slots[slot].kind == kind) return {};
    return invalid(of + " names slot " + std::to_string(slot) + " as its " + std::string(slot_kind_name(kind)) +
                   ", which it is not");
  }

  Status read_outputs() {
    if (program_.outputs() == nullptr) return {};
    std::unordered_set<std::string> seen;
    for (const schema::Output* source : *program_.outputs()) {
      if (!spend(sizeof(ProgramOutput))) return too_large();
      ProgramOutput& output = tables.outputs.emplace_back();
      MORU_RETURN_IF_ERROR(read_name(source->name(), "output", seen, output.name));
      const std::string of = "output '" + output.name + "'";
      output.prediction = source->prediction();
      MORU_RETURN_IF_ERROR(check_pairing(output.prediction, SlotKind::output, of));
      if (source->has_target()) {
        output.target = source->target();
        MORU_RETURN_IF_ERROR(check_pairing(*output.target, SlotKind::target, of));
      }
      if (source->has_sample_weight()) {
        output.sample_weight = source->sample_weight();
        MORU_RETURN_IF_ERROR(check_pairing(*output.sample_weight, SlotKind::sample_weight, of));
      }
    }
    return {};
  }

  const schema::Program& program_;
  uint64_t weights_bytes_;
  uint64_t kept_bytes_ = 0;
  size_t budget_ = decoded_limit;
};

}  // namespace

std::optional<uint64_t> tensor_bytes(DType dtype, std::span<const int64_t> shape) {
  int64_t bytes = dtype_bytes(dtype);
  for (int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes)) return std::nullopt;
  }
  return static_cast<uint64_t>(bytes);
}

Result<ProgramTables> read_program(std::span<const std::byte> program, uint64_t weights_bytes) {
  if (program.empty()) return invalid("it is empty");
  if (program.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) return invalid("it is larger than 2 GiB");

  // FlatBuffers reads 8-byte numbers in place; an embedded file need not lie on such an address.
  std::vector<uint64_t> aligned;
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(program.data());
  if (reinterpret_cast<uintptr_t>(bytes) % alignof(uint64_t) != 0) {
    aligned.resize((program.size() + 7) / 8);
    std::memcpy(aligned.data(), program.data(), program.size());
    bytes = reinterpret_cast<const uint8_t*>(aligned.data());
  }
  if (program.size() < 8 || !schema::ProgramBufferHasIdentifier(bytes)) {
    return Status(StatusCode::wrong_format, "the program section does not hold a program (identifier MORP)");
  }
  flatbuffers::Verifier verifier(bytes, program.size(), /*max_depth=*/64,
                                 static_cast<flatbuffers::uoffset_t>(table_limit));
  if (!schema::VerifyProgramBuffer(verifier)) return invalid("its FlatBuffer does not verify");

  Reader reader(*schema::GetProgram(bytes), weights_bytes);
  MORU_RETURN_IF_ERROR(reader.read());
  return std::move(reader.tables);
}

}  // namespace moru
