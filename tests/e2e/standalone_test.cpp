// Libraries that need no runtime give the bits of the runtime: their objects are loaded into this process and called.
#include <doctest/doctest.h>
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "compiler/codegen/link.h"
#include "compiler/codegen/loaded_objects.h"
#include "compiler/codegen/standalone_object.h"
#include "compiler/ir/builder.h"
#include "compiler/model/functional.h"
#include "compiler/support/error.h"
#include "runtime/include/moru/moru.h"
#include "tests/e2e/workload_session.h"
#include "tests/runtime/temporary_directory.h"
#include "tools/moru/standalone_files.h"

using namespace moru;
using namespace moru::test;

namespace {

/// A library with its arena. All workloads' functions take one size: the batch.
struct Library {
  StandalonePlan plan;
  LoadedObjects loaded;
  std::vector<std::byte> memory;
  std::byte* arena = nullptr;
  uint64_t bytes = 0;

  Library(StandalonePlan planned, const Target& target) : plan(std::move(planned)), loaded(objects(plan, target)) {}

  static ObjectCode kernels(const StandalonePlan& plan, const Target& target) {
    EmitOptions emit;
    emit.prefix = plan.prefix;
    return emit_objects(plan.kernels, target, emit);
  }

  static std::vector<std::vector<uint8_t>> objects(const StandalonePlan& plan, const Target& target) {
    std::vector<std::vector<uint8_t>> list = kernels(plan, target).objects;
    list.push_back(standalone_object(plan, target));
    return list;
  }

  template <typename Function>
  Function* find(const std::string& name) const {
    return reinterpret_cast<Function*>(loaded.find(standalone_function(plan, name)));
  }

  void make_arena(int64_t batch) {
    bytes = find<uint64_t(int64_t)>("arena_bytes")(batch);
    memory.assign(bytes + 64, std::byte{0xA5});  // what the caller leaves in it means nothing
    arena = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  }
  int32_t init() const { return find<int32_t(void*, uint64_t)>("init")(arena, bytes); }

  /// Calls an entry with the tensors of that name, and gives its outputs, each between canaries.
  int32_t run(const std::string& name, int64_t batch, const std::vector<SavedTensor>& tensors,
              std::vector<std::vector<std::byte>>& outputs) const {
    const auto entry =
        std::find_if(plan.entries.begin(), plan.entries.end(), [&](const auto& e) { return e.name == name; });
    REQUIRE(entry != plan.entries.end());
    std::vector<void*> arguments;
    for (const size_t input : entry->inputs) {
      const auto tensor =
          std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == plan.slots[input].name; });
      REQUIRE(tensor != tensors.end());
      arguments.push_back(const_cast<std::byte*>(tensor->bytes.data()));
    }
    outputs.clear();
    for (const size_t output : entry->outputs) {
      const Type& type = plan.slots[output].type;
      const int64_t elements =
          element_count(type.shape).evaluate([&](std::string_view) { return std::min<int64_t>(batch, 64); });
      outputs.emplace_back(static_cast<size_t>(elements * dtype_bytes(type.dtype)) + 8, std::byte{0x5A});
    }
    for (std::vector<std::byte>& output : outputs) arguments.push_back(output.data() + 4);
    int32_t code = -1;
    if (entry->symbols.empty()) {
      arguments.resize(4);
      code = find<int32_t(void*, uint64_t, void*, void*, void*, void*)>(name)(arena, bytes, arguments[0], arguments[1],
                                                                              arguments[2], arguments[3]);
    } else {
      REQUIRE(entry->symbols == std::vector<std::string>{"batch"});
      arguments.resize(8);
      code = find<int32_t(void*, uint64_t, int64_t, void*, void*, void*, void*, void*, void*, void*, void*)>(name)(
          arena, bytes, batch, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5],
          arguments[6], arguments[7]);
    }
    for (std::vector<std::byte>& output : outputs) {
      for (size_t i = 0; i < 4; ++i)
        CHECK((output[i] == std::byte{0x5A} && output[output.size() - 1 - i] == std::byte{0x5A}));
      output = {output.begin() + 4, output.end() - 4};
    }
    return code;
  }
};

Library make_library(WorkloadRun& run, const std::vector<std::string>& entries, const Target& target) {
  CompileOptions options = run.options;
  options.target = target;
  const CompiledModel compiled = compile(run.model, options);
  return Library(plan_standalone(compiled.lowered, run.model, compiled.hash, "t_", entries), target);
}

/// The outputs of an entry as the runtime gives them.
std::vector<std::vector<std::byte>> outputs_of(Session& session, const StandaloneEntry& entry,
                                               const StandalonePlan& plan) {
  std::vector<std::vector<std::byte>> outputs;
  for (const size_t output : entry.outputs) {
    const TensorView view = session.view(*session.program().find_slot(plan.slots[output].name));
    int64_t count = 1;
    for (const int64_t size : view.shape) count *= size;
    const auto* data = static_cast<const std::byte*>(view.data);
    outputs.emplace_back(data, data + count * dtype_bytes(view.dtype));
  }
  return outputs;
}

}  // namespace

TEST_CASE("standalone: training steps and predictions have the runtime's bits") {
  for (const char* name : {"T1", "T3", "T4", "T5"}) {
    CAPTURE(name);
    WorkloadRun run(name);
    const std::shared_ptr<const Program> program = run.native();
    const std::unique_ptr<Session> session = open_session(program);
    Library library = make_library(run, {}, Target::host());
    library.make_arena(32);
    REQUIRE(library.init() == MORU_OK);
    std::vector<std::vector<std::byte>> outputs;
    for (const int64_t batch : {32, 5, 32}) {
      const std::vector<SavedTensor> samples = random_batch(*program, batch, static_cast<uint64_t>(batch));
      bind_batch(*session, samples);
      for (const StandaloneEntry& entry : library.plan.entries) {
        CAPTURE(entry.name);
        REQUIRE(library.run(entry.name, batch, samples, outputs) == MORU_OK);
        run_entry(*session, entry.name.c_str());
        CHECK(outputs == outputs_of(*session, entry, library.plan));
      }
    }
    // Everything that was learned: what the arena keeps, against the session's slots.
    for (const StandaloneSlot& slot : library.plan.slots) {
      if (slot.place != StandaloneSlot::Place::arena || slot.kind == SlotKind::derived) continue;
      CAPTURE(slot.name);
      const TensorView view = session->view(*program->find_slot(slot.name));
      CHECK(std::memcmp(view.data, library.arena + slot.offset, slot.bytes) == 0);
    }
  }
}

TEST_CASE("standalone: a library that only predicts keeps nothing, and holds no more than predicting takes") {
  for (const char* name : {"T1", "T2", "T3", "T5", "T6"}) {
    CAPTURE(name);
    WorkloadRun run(name);
    const std::shared_ptr<const Program> program = run.native();
    const std::unique_ptr<Session> session = open_session(program);
    Library library = make_library(run, {"predict"}, Target::host());
    CHECK(library.plan.state_bytes == 0);
    CHECK(library.plan.entries.size() == 1);
    CHECK_FALSE(library.plan.prepare.has_value());
    const std::vector<std::string> functions = standalone_functions(library.plan);
    CHECK(functions == std::vector<std::string>{"t_arena_bytes", "t_predict"});
    for (const StandaloneSlot& slot : library.plan.slots) CHECK(slot.kind != SlotKind::optimizer_state);
    library.make_arena(7);
    const std::vector<SavedTensor> samples = random_batch(*program, 7, 1);
    bind_batch(*session, samples);
    run_entry(*session, "predict");
    std::vector<std::vector<std::byte>> outputs;
    REQUIRE(library.run("predict", 7, samples, outputs) == MORU_OK);
    CHECK(outputs == outputs_of(*session, library.plan.entries[0], library.plan));
  }
}

/// What a program gets of an object that is linked into it: sections that are loaded, not symbols and relocations.
uintmax_t loaded_bytes(const std::vector<uint8_t>& object) {
  Elf64_Ehdr header;
  std::memcpy(&header, object.data(), sizeof header);
  uintmax_t bytes = 0;
  for (size_t i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    std::memcpy(&section, object.data() + header.e_shoff + i * sizeof section, sizeof section);
    if ((section.sh_flags & SHF_ALLOC) != 0) bytes += section.sh_size;
  }
  return bytes;
}

/// What a library takes, its weights included; none where a linker is missing.
std::optional<uintmax_t> library_bytes(const StandalonePlan& plan, const Target& target) {
  uintmax_t bytes = 0;
  if (!target.is_wasm()) {
    for (const std::vector<uint8_t>& object : Library::objects(plan, target)) bytes += loaded_bytes(object);
    return bytes;
  }
  const TemporaryDirectory directory;
  const std::string path = directory / "model.wasm";
  try {
    write_wasm_module(path, Library::kernels(plan, target), standalone_object(plan, target), standalone_functions(plan));
  } catch (const CompileError& error) {
    if (std::string(error.what()).find("no linker was found") == std::string::npos) throw;
    MESSAGE("SKIPPED: the size for " << target.level << " was not tested: " << error.what());
    return std::nullopt;
  }
  return std::filesystem::file_size(path);
}

TEST_CASE("standalone: prediction of T1 takes at most 20 kB beside its weights, of T3 120 kB, on every machine") {
  const std::pair<const char*, size_t> limits[] = {{"T1", 20'000}, {"T3", 120'000}};
  for (const auto& [name, limit] : limits) {
    WorkloadRun run(name);
    run.options.pipeline.training = nullptr;
    for (const auto& [target, about] : list_targets()) {
      CAPTURE(name);
      CAPTURE(target.level);
      const CompiledModel compiled = compile(run.model, {.target = target});
      const StandalonePlan plan = plan_standalone(compiled.lowered, run.model, compiled.hash, "t_", {"predict"});
      const std::optional<uintmax_t> bytes = library_bytes(plan, target);
      if (!bytes) continue;
      CHECK(*bytes > plan.data.size());
      CHECK(*bytes - plan.data.size() <= limit);
    }
  }
}

TEST_CASE("standalone: wrong calls are refused with the codes of moru.h, before anything is changed") {
  WorkloadRun run("T5");
  Library library = make_library(run, {}, Target::host());
  const std::shared_ptr<const Program> program = run.native();
  std::vector<SavedTensor> samples = random_batch(*program, 4, 1);
  std::vector<std::vector<std::byte>> outputs;
  library.make_arena(4);
  CHECK(library.run("predict", 4, samples, outputs) == MORU_WRONG_STATE);
  REQUIRE(library.init() == MORU_OK);
  CHECK(library.run("predict", 0, samples, outputs) == MORU_INVALID_ARGUMENT);
  CHECK(library.run("predict", int64_t{1} << 31, samples, outputs) == MORU_INVALID_ARGUMENT);
  const uint64_t bytes = library.bytes;
  library.bytes = library.plan.state_bytes + 64;
  CHECK(library.run("train_step", 4, samples, outputs) == MORU_OUT_OF_MEMORY);
  library.bytes = bytes;
  ++library.arena;
  CHECK(library.run("predict", 4, samples, outputs) == MORU_INVALID_ARGUMENT);
  --library.arena;
  // An index that the embedding has not, and one below 0.
  const std::vector<std::byte> before = library.memory;
  for (const int32_t index : {100, -1}) {
    for (SavedTensor& tensor : samples)
      if (tensor.name == "c") std::memcpy(tensor.bytes.data() + 4, &index, sizeof index);
    CHECK(library.run("train_step", 4, samples, outputs) == MORU_OUT_OF_RANGE);
  }
  CHECK(std::equal(library.arena, library.arena + library.plan.state_bytes,
                   before.data() + (library.arena - library.memory.data())));
}

TEST_CASE("standalone: a size at which the model would read behind a table is refused") {
  Graph body;
  Builder b(body);
  const Dim batch = Dim::symbol("batch");
  const Value x = b.input({DType::f32, {batch}}), table = b.input({DType::f32, {4}});
  b.result(x + b.slice(table, 0, 0, batch));
  ModelBuilder m("m");
  const Tensor input = m.input("x", {});
  const Parameter places{.name = "table", .shape = {4}};
  Model model = m.build({m.call({.class_name = "Places", .name = "y", .body = std::make_shared<const Graph>(std::move(body)), .parameters = {places}}, input)});
  all_parameters(model).at(0).parameter->data = {1, 2, 3, 4};
  CompileOptions options;
  options.target = Target::host();
  const CompiledModel compiled = compile(model, options);
  Library library(plan_standalone(compiled.lowered, model, compiled.hash, "t_", {"predict"}), options.target);
  const std::vector<float> values = {10, 20, 30, 40, 50};
  const auto bytes = std::as_bytes(std::span(values));
  std::vector<std::vector<std::byte>> outputs;
  const auto run = [&](int64_t size) {
    library.make_arena(size);
    return library.run("predict", size, {{"x", DType::f32, {size}, {bytes.begin(), bytes.end()}}}, outputs);
  };
  CHECK(run(4) == standalone_ok.value);
  float sums[4];
  std::memcpy(sums, outputs[0].data(), sizeof sums);
  for (size_t i = 0; i < 4; ++i) CHECK(sums[i] == 11.0f * static_cast<float>(i + 1));
  CHECK(run(5) == standalone_bad_argument.value);
}

TEST_CASE("standalone: codes have the numbers of moru.h") {
  CHECK(standalone_ok.value == MORU_OK);
  CHECK(standalone_bad_argument.value == MORU_INVALID_ARGUMENT);
  CHECK(standalone_out_of_range.value == MORU_OUT_OF_RANGE);
  CHECK(standalone_wrong_state.value == MORU_WRONG_STATE);
  CHECK(standalone_out_of_memory.value == MORU_OUT_OF_MEMORY);
}

TEST_CASE("standalone: the header speaks C whatever slots are called") {
  WorkloadRun run("T5");
  const CompiledModel compiled = compile(run.model, run.options);
  StandalonePlan plan = plan_standalone(compiled.lowered, run.model, compiled.hash, "t_", {"predict"});
  plan.slots[plan.entries[0].inputs[0]].name = "int";
  plan.slots[plan.entries[0].inputs[1]].name = "2nd*/x";
  plan.slots[plan.entries[0].inputs[2]].name = "batch";
  const std::string header = standalone_header(plan, Target::host(), "*/ a\nb", 1);
  CHECK(header.find("const float* int_ ") != std::string::npos);
  CHECK(header.find("const float* _2nd__x ") != std::string::npos);
  CHECK(header.find("const int32_t* batch_ ") != std::string::npos);
  CHECK(header.find("*/ a") == std::string::npos);
  CHECK(header.find("T_ARENA_BYTES ") != std::string::npos);
}
