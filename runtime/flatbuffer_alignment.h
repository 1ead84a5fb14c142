// What the FlatBuffers verifier of version 2.0 leaves out: that 8-byte fields and elements lie on multiples of 8, which
// reading them in place relies on. Included from .cpp files only.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstdint>
#include <initializer_list>

namespace moru {

/// Whether each of a table's 8-byte `fields` (the VT_ constants of its generated type) that is present is aligned.
template <typename GeneratedTable>
bool are_fields_aligned(const GeneratedTable& table, std::initializer_list<flatbuffers::voffset_t> fields) {
  const auto& fields_of = reinterpret_cast<const flatbuffers::Table&>(table);
  for (flatbuffers::voffset_t field : fields) {
    if (reinterpret_cast<uintptr_t>(fields_of.GetAddressOf(field)) % 8 != 0) return false;
  }
  return true;
}

/// Whether the elements of a vector of 8-byte numbers are aligned; true where there is no vector.
template <typename T>
bool is_vector_aligned(const flatbuffers::Vector<T>* vector) {
  return vector == nullptr || reinterpret_cast<uintptr_t>(vector->Data()) % 8 == 0;
}

}  // namespace moru
