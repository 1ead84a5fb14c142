#include "compiler/io/training_io.h"

#include <flatbuffers/flatbuffers.h>

#include <cstring>

#include "compiler/io/model_io.h"
#include "compiler/support/error.h"
#include "training_generated.h"

namespace moru {
namespace {

namespace fbs = moru::schema;

uint64_t aligned(uint64_t offset) { return (offset + weight_alignment_bytes - 1) / weight_alignment_bytes * weight_alignment_bytes; }

std::vector<std::byte> write_table(const SavedTraining& state, uint64_t first_offset) {
  flatbuffers::FlatBufferBuilder builder;
  builder.ForceDefaults(true);  // offsets have their place, whatever they are
  std::vector<flatbuffers::Offset<fbs::TrainingVariable>> variables;
  uint64_t offset = first_offset;
  for (const NamedTensor& tensor : state.variables) {
    const auto name = builder.CreateString(tensor.name);
    const auto shape = builder.CreateVector(tensor.shape);
    variables.push_back(fbs::CreateTrainingVariable(builder, name, static_cast<uint8_t>(tensor.type.dtype), shape, offset,
                                                    tensor.bytes.size()));
    offset = aligned(offset + tensor.bytes.size());
  }
  const auto config = builder.CreateString(state.compile_config);
  builder.Finish(fbs::CreateTraining(builder, config, builder.CreateVector(variables)), fbs::TrainingIdentifier());
  const auto* begin = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {begin, begin + builder.GetSize()};
}

}  // namespace

std::vector<std::byte> write_training(const SavedTraining& state) {
  // The table's size does not depend on the offsets in it.
  const uint64_t first = aligned(weight_alignment_bytes + write_table(state, 0).size());
  const std::vector<std::byte> table = write_table(state, first);
  const uint64_t table_bytes = table.size();
  std::vector<std::byte> section(first);
  std::memcpy(section.data(), &table_bytes, sizeof table_bytes);
  std::memcpy(section.data() + weight_alignment_bytes, table.data(), table.size());
  for (const NamedTensor& tensor : state.variables) {
    section.insert(section.end(), tensor.bytes.begin(), tensor.bytes.end());
    section.resize(aligned(section.size()));
  }
  return section;
}

SavedTraining read_training(std::span<const std::byte> bytes, std::string_view source) {
  const auto check = [&](bool condition, const char* what) {
    if (!condition)
      throw CompileError({.stage = "read", .what = "'" + std::string(source) + "' is damaged: its training section " + what});
  };
  uint64_t table_bytes = 0;
  check(bytes.size() >= weight_alignment_bytes, "is too short");
  std::memcpy(&table_bytes, bytes.data(), sizeof table_bytes);
  check(table_bytes >= 8 && table_bytes <= bytes.size() - weight_alignment_bytes, "has a table that does not end in it");
  const auto* table = reinterpret_cast<const uint8_t*>(bytes.data()) + weight_alignment_bytes;
  flatbuffers::Verifier verifier(table, table_bytes, 64, 1'000'000);
  check(fbs::TrainingBufferHasIdentifier(table) && fbs::VerifyTrainingBuffer(verifier), "is not well-formed");
  const fbs::Training& stored = *fbs::GetTraining(table);
  SavedTraining state;
  if (stored.compile_config() != nullptr) state.compile_config = stored.compile_config()->str();
  if (stored.variables() == nullptr) return state;
  for (const fbs::TrainingVariable* variable : *stored.variables()) {
    check(is_exchanged(variable->dtype()), "has an unknown element type");
    NamedTensor tensor{variable->name()->str(), static_cast<DType>(variable->dtype()), {}, {}};
    uint64_t needed = static_cast<uint64_t>(dtype_bytes(tensor.type.dtype));
    if (variable->shape() != nullptr) {
      tensor.shape.resize(variable->shape()->size());
      if (!tensor.shape.empty())
        std::memcpy(tensor.shape.data(), variable->shape()->Data(), tensor.shape.size() * sizeof(int64_t));
    }
    for (int64_t extent : tensor.shape)
      check(extent >= 0 && !__builtin_mul_overflow(needed, static_cast<uint64_t>(extent), &needed), "has an impossible shape");
    const uint64_t offset = variable->offset();
    check(variable->bytes() == needed && offset <= bytes.size() && needed <= bytes.size() - offset,
          "names a tensor outside of it");
    const auto values = bytes.subspan(offset, needed);
    tensor.bytes.assign(values.begin(), values.end());
    state.variables.push_back(std::move(tensor));
  }
  return state;
}

}  // namespace moru
