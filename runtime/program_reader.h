// From the bytes of a program section to plain structs: the FlatBuffers verifier, then one list of semantic checks.
// What passes here, the rest of the runtime relies on without looking again. The checks, in the order of the code:
//   sizes: under 2 GiB, bounded nesting and number of tables, bounded memory for the decoded form
//   identifier, ABI version
//   symbols: named, unique
//   slots: named, unique; known kind and dtype; rank at most 32; expressions over existing symbols
//     not bound by the caller: constant shape without overflow; data inside the weights section, 64-byte aligned, as
//     long as shape and dtype say, overlapping no other slot's
//   entries: named, unique; inputs are slots the caller binds, outputs are output slots, none twice
//   outputs: named, unique; their slots have the kinds their fields say
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/program.h"

namespace moru {

struct ProgramTables {
  uint64_t hash = 0;
  std::string target;
  std::vector<std::string> symbols;
  std::vector<ProgramSlot> slots;
  std::vector<ProgramEntry> entries;  // without functions
  std::vector<ProgramOutput> outputs;
  ProgramProvenance provenance;
};

Result<ProgramTables> read_program(std::span<const std::byte> program, uint64_t weights_bytes);

/// Bytes of a slot's elements at the given sizes, or nothing where a size is negative or the product overflows.
std::optional<uint64_t> tensor_bytes(DType dtype, std::span<const int64_t> shape);

}  // namespace moru
