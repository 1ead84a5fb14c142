#include "tools/moru/native_program.h"

#include <sys/stat.h>

#include <cstring>
#include <sstream>

#include "compiler/codegen/object_cache.h"
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

// Loads program and code from memory that looks like a file.
Result<std::shared_ptr<const Program>> load_program(const Model& model, std::shared_ptr<JitProgram> jit,
                                                    const CompiledModel& compiled, std::span<const std::byte> recipe,
                                                    StageTimes& times) {
  jit->library = *jit->code->library();
  jit->library.program_hash = compiled.hash;
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
  Result<std::shared_ptr<const Program>> program = std::shared_ptr<const Program>();
  times.run("load", [&] { program = Program::load(*file, &jit->library, jit); });
  return program;
}

std::vector<uint8_t> as_blob(const void* data, size_t bytes) {
  const auto* begin = static_cast<const uint8_t*>(data);
  return {begin, begin + bytes};
}

/// What a cached program is known by: the graphs of its entries over their slots, everything that the passes behind them
/// and the emitter depend on, and the program that runs them: this executable.
std::vector<std::string> program_identity(const Model& model, const Module& module, const CompileOptions& options,
                                          const EmitOptions& emit) {
  std::vector<std::string> parts = {"program",
                                    module_text(module),
                                    options.target.text(),
                                    model.source,
                                    std::to_string(options.seed),
                                    std::to_string(emit.vector_bytes),
                                    std::to_string(emit.optimization),
                                    emit.prefix,
                                    std::to_string(options.memory_budget.bytes),
                                    std::to_string(options.memory_budget.batch),
                                    std::to_string(options.memory_budget.threads)};
  for (const std::string& name : model.output_names) parts.push_back("output " + name);
  for (const std::string& pass : options.pipeline.disable) parts.push_back("without " + pass);
  for (const WeightPlace& place : make_weights_section(model).places)
    parts.push_back(place.path + " " + std::to_string(place.offset) + " " + std::to_string(place.bytes));
  struct stat self{};
  if (::stat("/proc/self/exe", &self) != 0) return {};
  parts.push_back(std::to_string(self.st_size) + " " + std::to_string(self.st_mtim.tv_sec) + "." + std::to_string(self.st_mtim.tv_nsec));
  return parts;
}

}  // namespace

Result<std::shared_ptr<const Program>> make_native_program(Model& model, const CompileOptions& options,
                                                           const EmitOptions& emit, std::span<const std::byte> recipe,
                                                           CompiledModel* compiled_out, const JitCode** code_out) {
  CompiledModel compiled = compile(model, options);
  auto jit = std::make_shared<JitProgram>();
  jit->code = jit_compile(compiled.lowered.kernels, compiled.target, emit);
  compiled.lowered.times.append(jit->code->times());
  if (code_out) *code_out = jit->code.get();
  Result<std::shared_ptr<const Program>> program = load_program(model, jit, compiled, recipe, compiled.lowered.times);
  if (compiled_out) *compiled_out = std::move(compiled);
  return program;
}

Result<std::shared_ptr<const Program>> find_or_make_native_program(Model& model, const CompileOptions& options,
                                                                   const EmitOptions& emit,
                                                                   std::span<const std::byte> recipe, StageTimes& times) {
  const ObjectCache cache(options.pipeline.dump || !options.pipeline.stop_after.empty() ? std::string() : emit.cache_directory);
  if (!cache.is_enabled()) {
    CompiledModel compiled;
    Result<std::shared_ptr<const Program>> program = make_native_program(model, options, emit, recipe, &compiled);
    times.append(compiled.lowered.times);
    return program;
  }
  CompileOptions front = options;
  front.pipeline.stop_after = "make_entries";
  Lowered entries = run_pipeline(model, front.pipeline);
  times.append(entries.times);
  const std::vector<std::string> identity = program_identity(model, entries.module, options, emit);
  // Blobs: the program section, its hash, the entries' names, the objects.
  std::vector<std::vector<uint8_t>> blobs;
  std::string key;
  bool is_found = false;
  times.run("cache", [&] {
    key = identity.empty() ? std::string() : cache.key(identity);
    is_found = !key.empty() && cache.find(key, blobs) && blobs.size() > 3 && blobs[1].size() == sizeof(uint64_t);
  });
  auto jit = std::make_shared<JitProgram>();
  CompiledModel compiled;
  if (is_found) {
    compiled.target = options.target;
    const auto* program = reinterpret_cast<const std::byte*>(blobs[0].data());
    compiled.program.assign(program, program + blobs[0].size());
    std::memcpy(&compiled.hash, blobs[1].data(), sizeof compiled.hash);
    ObjectCode code;
    code.target = options.target;
    code.prefix = emit.prefix;
    code.from_cache = true;
    std::istringstream names(std::string(blobs[2].begin(), blobs[2].end()));
    for (std::string name; std::getline(names, name);) code.entries.push_back(name);
    code.objects.assign(std::make_move_iterator(blobs.begin() + 3), std::make_move_iterator(blobs.end()));
    jit->code = jit_load(code);
    times.append(jit->code->times());
    return load_program(model, jit, compiled, recipe, times);
  }
  compiled = compile(model, options);
  EmitOptions whole = emit;
  whole.cache_directory.clear();  // its objects are kept with the program
  const ObjectCode code = emit_objects(compiled.lowered.kernels, compiled.target, whole);
  jit->code = jit_load(code);
  times.append(compiled.lowered.times);
  times.append(jit->code->times());
  if (!key.empty()) {
    times.run("cache", [&] {
      std::string names;
      for (const std::string& name : code.entries) names += name + "\n";
      blobs = {as_blob(compiled.program.data(), compiled.program.size()), as_blob(&compiled.hash, sizeof compiled.hash),
               as_blob(names.data(), names.size())};
      blobs.insert(blobs.end(), code.objects.begin(), code.objects.end());
      cache.keep(key, blobs);
    });
  }
  return load_program(model, jit, compiled, recipe, times);
}

}  // namespace moru
