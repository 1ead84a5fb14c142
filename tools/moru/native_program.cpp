#include "tools/moru/native_program.h"

#include "runtime/moru_file.h"

namespace moru {

Result<std::vector<std::byte>> make_moru_file(const Model& model, const CompiledModel& compiled,
                                              std::span<const std::byte> recipe) {
  std::vector<std::byte> model_bytes = write_model(model);
  WeightsSection weights = make_weights_section(model);
  std::vector<MoruSection> sections;
  sections.push_back({SectionKind::model, {model_bytes}});
  sections.push_back({SectionKind::program, {compiled.program}});
  if (!recipe.empty()) sections.push_back({SectionKind::recipe, {recipe}});
  sections.push_back({SectionKind::weights, weights.pieces});
  return make_moru_bytes(sections);
}

namespace {

// What a Program from the JIT stands on; it goes when the last Program does.
struct JitProgram {
  std::vector<std::byte> file_memory;
  std::unique_ptr<JitCode> code;
  moru_kernel_library library = {};
};

}  // namespace

Result<std::shared_ptr<const Program>> make_native_program(Model& model, const CompileOptions& options,
                                                           const EmitOptions& emit, std::span<const std::byte> recipe,
                                                           CompiledModel* compiled_out, const JitCode** code_out) {
  CompiledModel compiled = compile(model, options);
  auto jit = std::make_shared<JitProgram>();
  jit->code = jit_compile(compiled.lowered.kernels, compiled.target, emit);
  compiled.lowered.times.append(jit->code->times());
  jit->library = *jit->code->library();
  jit->library.program_hash = compiled.hash;
  StageTimes& times = compiled.lowered.times;
  Result<std::vector<std::byte>> bytes = std::vector<std::byte>{};
  times.run("package", [&] { bytes = make_moru_file(model, compiled, recipe); });
  if (!bytes) return bytes.status();
  // Sections are aligned within the file, so the file must be aligned in memory.
  jit->file_memory.resize(bytes->size() + MORU_BUFFER_ALIGNMENT);
  auto address = reinterpret_cast<uintptr_t>(jit->file_memory.data());
  std::byte* aligned =
      jit->file_memory.data() + (MORU_BUFFER_ALIGNMENT - address % MORU_BUFFER_ALIGNMENT) % MORU_BUFFER_ALIGNMENT;
  std::copy(bytes->begin(), bytes->end(), aligned);
  Result<std::shared_ptr<const MoruFile>> file = MoruFile::from_memory({aligned, bytes->size()}, jit);
  if (!file) return file.status();
  if (code_out) *code_out = jit->code.get();
  Result<std::shared_ptr<const Program>> program = std::shared_ptr<const Program>();
  times.run("load", [&] { program = Program::load(*file, &jit->library, jit); });
  if (compiled_out) *compiled_out = std::move(compiled);
  return program;
}

}  // namespace moru
