// A program made by hand, its native code written in C++, so that the runtime is tested without the compiler:
//
//   prepare      packed = w
//   predict      y = x * packed + bias                      rows in parallel, through an arena buffer and worker
//   scratch train_step   d = x * w + bias - y_true;  loss = mean(d^2);  momentum = 0.9*momentum + x^T d;
//                w -= learning_rate * momentum;  step += 1;  rows += batch
//   lookup       looked = table[indices]
//   fail         returns code 7
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "program_generated.h"
#include "runtime/moru_file.h"
#include "runtime/program.h"
#include "runtime/session.h"

namespace moru::test {

enum SmallSlot : uint32_t {
  slot_x,
  slot_indices,
  slot_y,
  slot_y_true,
  slot_loss,
  slot_w,
  slot_bias,
  slot_momentum,
  slot_rows,
  slot_step,
  slot_learning_rate,
  slot_packed,
  slot_table,
  slot_looked,
  small_slot_count
};
enum SmallEntry : uint32_t { entry_prepare, entry_predict, entry_train_step, entry_lookup, entry_fail };
enum SmallSymbol : uint32_t { symbol_batch, symbol_workers };
constexpr int64_t features = 3;
constexpr int64_t outputs = 2;
constexpr int64_t table_rows = 5;
constexpr uint64_t small_hash = 0x123456789abcdef0;
constexpr uint64_t small_weights_bytes = 192;  // w at 0, bias at 64, table at 128

inline int prepare_runs = 0;

template <typename T>
T* buffer(const moru_kernel_call* call, size_t index) {
  return static_cast<T*>(call->buffers[index]);
}

inline int32_t run_prepare(const moru_kernel_call* call) {
  ++prepare_runs;
  std::memcpy(buffer<float>(call, slot_packed), buffer<float>(call, slot_w), features * outputs * sizeof(float));
  return MORU_KERNEL_OK;
}

struct PredictContext {
  const float* x;
  const float* weights;
  const float* bias;
  float* sums;     // arena: [batch, outputs]
  float* scratch;  // arena: [workers, 16]
};

inline void predict_row(const void* opaque, int64_t row, int64_t worker) {
  const PredictContext& context = *static_cast<const PredictContext*>(opaque);
  float* scratch = context.scratch + worker * 16;
  for (int64_t j = 0; j < outputs; ++j) {
    scratch[j] = 0.0F;
    for (int64_t k = 0; k < features; ++k)
      scratch[j] += context.x[row * features + k] * context.weights[k * outputs + j];
    context.sums[row * outputs + j] = scratch[j];
  }
}

inline int32_t run_predict(const moru_kernel_call* call) {
  int64_t batch = call->symbols[symbol_batch];
  PredictContext context = {buffer<float>(call, slot_x), buffer<float>(call, slot_packed),
                            buffer<float>(call, slot_bias), buffer<float>(call, small_slot_count),
                            buffer<float>(call, small_slot_count + 1)};
  call->parallel_for(call->pool, batch, predict_row, &context);
  float* y = buffer<float>(call, slot_y);
  for (int64_t i = 0; i < batch * outputs; ++i) y[i] = context.sums[i] + context.bias[i % outputs];
  // What the border allows: writing up to the next multiple of 64 bytes.
  for (int64_t i = batch * outputs; i % 16 != 0; ++i) y[i] = -1.0F;
  return MORU_KERNEL_OK;
}

inline int32_t run_train_step(const moru_kernel_call* call) {
  int64_t batch = call->symbols[symbol_batch];
  const float* x = buffer<float>(call, slot_x);
  float* w = buffer<float>(call, slot_w);
  float* momentum = buffer<float>(call, slot_momentum);
  float gradient[features * outputs] = {};
  double loss = 0.0;
  for (int64_t row = 0; row < batch; ++row) {
    for (int64_t j = 0; j < outputs; ++j) {
      float d = buffer<float>(call, slot_bias)[j] - buffer<float>(call, slot_y_true)[row * outputs + j];
      for (int64_t k = 0; k < features; ++k) d += x[row * features + k] * w[k * outputs + j];
      loss += static_cast<double>(d) * static_cast<double>(d);
      for (int64_t k = 0; k < features; ++k) gradient[k * outputs + j] += x[row * features + k] * d;
    }
  }
  for (int64_t i = 0; i < features * outputs; ++i) {
    momentum[i] = 0.9F * momentum[i] + gradient[i];
    w[i] -= *buffer<float>(call, slot_learning_rate) * momentum[i];
  }
  *buffer<float>(call, slot_loss) = static_cast<float>(loss / static_cast<double>(batch * outputs));
  *buffer<int64_t>(call, slot_step) += 1;
  *buffer<int64_t>(call, slot_rows) += batch;
  return MORU_KERNEL_OK;
}

inline int32_t run_lookup(const moru_kernel_call* call) {
  for (int64_t i = 0; i < call->symbols[symbol_batch]; ++i) {
    buffer<float>(call, slot_looked)[i] = buffer<float>(call, slot_table)[buffer<int32_t>(call, slot_indices)[i]];
  }
  return MORU_KERNEL_OK;
}

inline int32_t run_fail(const moru_kernel_call*) { return 7; }

inline constexpr moru_kernel_entry small_entries[] = {{"prepare", run_prepare},
                                                      {"predict", run_predict},
                                                      {"train_step", run_train_step},
                                                      {"lookup", run_lookup},
                                                      {"fail", run_fail}};
inline constexpr moru_kernel_library small_library = {MORU_KERNEL_ABI_VERSION, 5,       small_hash,
                                                      small_entries,           nullptr, 0, nullptr, 0};

// ---- the tables --------------------------------------------------------------------------------------------------

using DimOffset = flatbuffers::Offset<schema::Dim>;

/// Dims for a builder.
struct DimBuilder {
  flatbuffers::FlatBufferBuilder& builder;
  DimOffset number(int64_t value) const {
    std::vector<flatbuffers::Offset<schema::Term>> terms;
    if (value != 0) terms.push_back(schema::CreateTerm(builder, value));
    return schema::CreateDim(builder, builder.CreateVector(terms));
  }
  DimOffset symbol(uint32_t index, int64_t coefficient = 1) const {
    auto factor = schema::CreateFactor(builder, schema::FactorKind::symbol, index);
    return product(coefficient, factor);
  }
  DimOffset apply(schema::FactorKind kind, DimOffset left, DimOffset right) const {
    return product(1, schema::CreateFactor(builder, kind, 0, left, right));
  }
  DimOffset product(int64_t coefficient, flatbuffers::Offset<schema::Factor> factor) const {
    auto factors = builder.CreateVector(&factor, 1);
    auto term = schema::CreateTerm(builder, coefficient, factors);
    return schema::CreateDim(builder, builder.CreateVector(&term, 1));
  }
};

struct SlotSpec {
  std::string name;
  schema::SlotKind kind;
  schema::DType dtype = schema::DType::f32;
  std::vector<std::function<DimOffset(const DimBuilder&)>> shape = {};
  bool has_data = false;
  uint64_t data_offset = 0;
  uint64_t data_bytes = 0;
  int64_t index_limit = 0;
  double initial = 0.0;
};
struct EntrySpec {
  std::string name;
  std::vector<uint32_t> inputs;
  std::vector<uint32_t> outputs;
};

/// Everything a test may want to spoil before the bytes are made.
struct ProgramSpec {
  uint32_t abi_version = MORU_KERNEL_ABI_VERSION;
  std::string target;
  uint64_t hash = small_hash;
  std::vector<std::string> symbols = {"batch", "workers"};
  std::vector<SlotSpec> slots;
  std::vector<EntrySpec> entries;
  int64_t predict_arena_slack = 0;  // added to the size of predict's arena
  uint32_t prediction = slot_y;
};

inline ProgramSpec small_spec() {
  using enum schema::SlotKind;
  using schema::DType;
  auto batch = [](const DimBuilder& dims) { return dims.symbol(symbol_batch); };
  auto number = [](int64_t value) { return [value](const DimBuilder& dims) { return dims.number(value); }; };
  ProgramSpec spec;
  spec.slots = {
      {.name = "x", .kind = input, .shape = {batch, number(features)}},
      {.name = "indices", .kind = input, .dtype = DType::i32, .shape = {batch}, .index_limit = table_rows},
      {.name = "y", .kind = output, .shape = {batch, number(outputs)}},
      {.name = "y_true", .kind = target, .shape = {batch, number(outputs)}},
      {.name = "loss", .kind = output},
      {.name = "w",
       .kind = parameter,
       .shape = {number(features), number(outputs)},
       .has_data = true,
       .data_bytes = 24},
      {.name = "bias",
       .kind = parameter,
       .shape = {number(outputs)},
       .has_data = true,
       .data_offset = 64,
       .data_bytes = 8},
      {.name = "momentum", .kind = optimizer_state, .shape = {number(features), number(outputs)}},
      {.name = "rows", .kind = metric_state, .dtype = DType::i64},
      {.name = "step", .kind = control, .dtype = DType::i64},
      {.name = "learning_rate", .kind = control, .initial = 0.01},
      {.name = "packed", .kind = derived, .shape = {number(features), number(outputs)}},
      {.name = "table",
       .kind = parameter,
       .shape = {number(table_rows)},
       .has_data = true,
       .data_offset = 128,
       .data_bytes = 20},
      {.name = "looked", .kind = output, .shape = {batch}},
  };
  spec.entries = {{"prepare", {}, {}},
                  {"predict", {slot_x}, {slot_y}},
                  {"train_step", {slot_x, slot_y_true}, {slot_loss}},
                  {"lookup", {slot_indices}, {slot_looked}},
                  {"fail", {}, {}}};
  return spec;
}

inline std::vector<std::byte> make_program(const ProgramSpec& spec = small_spec()) {
  flatbuffers::FlatBufferBuilder builder;
  DimBuilder dims{builder};
  std::vector<flatbuffers::Offset<schema::Slot>> slots;
  for (const SlotSpec& slot : spec.slots) {
    std::vector<DimOffset> shape;
    for (const auto& dim : slot.shape) shape.push_back(dim(dims));
    auto shape_vector = builder.CreateVector(shape);
    auto name = builder.CreateString(slot.name);
    slots.push_back(schema::CreateSlot(builder, name, slot.kind, slot.dtype, shape_vector,
                                       slot.kind == schema::SlotKind::parameter, slot.has_data, slot.data_offset,
                                       slot.data_bytes, slot.index_limit, slot.initial));
  }
  std::vector<flatbuffers::Offset<schema::Entry>> entries;
  for (const EntrySpec& entry : spec.entries) {
    std::vector<flatbuffers::Offset<schema::ArenaBuffer>> arena;
    DimOffset arena_bytes = dims.number(0);
    if (entry.name == "predict") {
      // sums: [batch, outputs] f32, rounded up to 64 bytes; scratch: 64 bytes a worker behind it
      auto rounded = [&] {
        auto blocks = schema::CreateFactor(builder, schema::FactorKind::ceil_div, 0,
                                           dims.symbol(symbol_batch, outputs * 4), dims.number(64));
        return schema::CreateTerm(builder, 64, builder.CreateVector(&blocks, 1));
      };
      auto workers = [&] {
        auto factor = schema::CreateFactor(builder, schema::FactorKind::symbol, symbol_workers);
        return schema::CreateTerm(builder, 64, builder.CreateVector(&factor, 1));
      };
      auto sums_term = rounded();
      auto offset = schema::CreateDim(builder, builder.CreateVector(&sums_term, 1));
      auto sums_name = builder.CreateString("sums");
      auto sums_bytes = dims.symbol(symbol_batch, outputs * 4);
      auto sums_offset = dims.number(0);
      arena.push_back(schema::CreateArenaBuffer(builder, sums_name, sums_bytes, sums_offset));
      auto scratch_name = builder.CreateString("scratch");
      auto scratch_bytes = dims.symbol(symbol_workers, 64);
      arena.push_back(schema::CreateArenaBuffer(builder, scratch_name, scratch_bytes, offset));
      std::vector<flatbuffers::Offset<schema::Term>> total = {rounded(), workers()};
      if (spec.predict_arena_slack != 0) total.push_back(schema::CreateTerm(builder, spec.predict_arena_slack));
      arena_bytes = schema::CreateDim(builder, builder.CreateVector(total));
    }
    auto name = builder.CreateString(entry.name);
    auto input_vector = builder.CreateVector(entry.inputs);
    auto output_vector = builder.CreateVector(entry.outputs);
    auto arena_vector = builder.CreateVector(arena);
    entries.push_back(schema::CreateEntry(builder, name, input_vector, output_vector, arena_vector, arena_bytes));
  }
  auto output_name = builder.CreateString("y");
  auto output = schema::CreateOutput(builder, output_name, spec.prediction, slot_y_true, true);
  auto output_vector = builder.CreateVector(&output, 1);
  auto version = builder.CreateString("1.2.3");
  auto provenance = schema::CreateProvenance(builder, version, 0, 0, 42);
  auto symbols = builder.CreateVectorOfStrings(spec.symbols);
  auto slot_vector = builder.CreateVector(slots);
  auto entry_vector = builder.CreateVector(entries);
  auto target = builder.CreateString(spec.target);
  schema::FinishProgramBuffer(builder, schema::CreateProgram(builder, spec.abi_version, target, spec.hash, symbols,
                                                             slot_vector, entry_vector, output_vector, provenance));
  const std::byte* bytes = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {bytes, bytes + builder.GetSize()};
}

/// w = 1, 2, 3, 4, 5, 6; bias = 0.5, -0.5; table = 10, 20, 30, 40, 50
inline std::vector<std::byte> small_weights() {
  std::vector<std::byte> bytes(small_weights_bytes);
  auto put = [&](size_t offset, std::vector<float> values) {
    std::memcpy(bytes.data() + offset, values.data(), values.size() * sizeof(float));
  };
  put(0, {1, 2, 3, 4, 5, 6});
  put(64, {0.5F, -0.5F});
  put(128, {10, 20, 30, 40, 50});
  return bytes;
}

struct SmallBytes {
  std::vector<std::byte> program;
  std::vector<std::byte> weights;
};

inline Result<std::shared_ptr<const Program>> load_small(const ProgramSpec& spec = small_spec(),
                                                         const moru_kernel_library* library = &small_library) {
  auto bytes = std::make_shared<SmallBytes>(SmallBytes{make_program(spec), small_weights()});
  return Program::load(bytes->program, bytes->weights, library, bytes);
}

/// A whole .moru file; its model section is bytes that the runtime does not understand.
inline std::vector<std::byte> small_moru() {
  std::vector<std::byte> program = make_program();
  std::vector<std::byte> weights = small_weights();
  std::vector<std::byte> model(77, std::byte{0xab});
  MoruSection sections[] = {
      {SectionKind::model, {model}}, {SectionKind::program, {program}}, {SectionKind::weights, {weights}}};
  return *make_moru_bytes(sections);
}

/// Floats at an address that is `misalignment` bytes past a multiple of 64.
class Floats {
 public:
  explicit Floats(std::vector<float> values, size_t misalignment = 0) : memory_(values.size() * 4 + 192) {
    auto start = reinterpret_cast<uintptr_t>(memory_.data());
    data_ = reinterpret_cast<float*>((start + 63) / 64 * 64 + misalignment);
    std::memcpy(data_, values.data(), values.size() * 4);
  }
  float* data() const { return data_; }

 private:
  std::vector<std::byte> memory_;
  float* data_;
};

inline std::vector<float> ramp(int64_t count, float scale = 0.1F) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = scale * static_cast<float>(i % 17);
  return values;
}

inline std::vector<float> floats_of(const TensorView& view) {
  auto elements = view.elements<float>();
  return {elements.begin(), elements.end()};
}

}  // namespace moru::test
