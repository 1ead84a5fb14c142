#include <doctest/doctest.h>

#include <dlfcn.h>

#include <filesystem>
#include <fstream>

#include "compiler/codegen/link.h"
#include "compiler/support/error.h"
#include "runtime/cpu_target.h"
#include "tests/codegen/random_kernels.h"
#include "tests/support/command_output.h"

using namespace moru;
using namespace moru::test;

namespace {

struct Folder {
  Folder() : path((std::filesystem::temp_directory_path() / ("moru-codegen-test-" + std::to_string(getpid()))).string()) {
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

KernelModule random_module(uint64_t seed) {
  KernelModule module;
  module.symbols = {"n", "batch", "time", "workers"};
  Random random(seed);
  for (int i = 0; i < 8; ++i) module.kernels.push_back(KernelMaker("entry_" + std::to_string(i), random.bits(), false).make());
  return module;
}

std::vector<uint8_t> some_file(size_t bytes) {
  std::vector<uint8_t> file(bytes);
  for (size_t i = 0; i < bytes; ++i) file[i] = static_cast<uint8_t>(i * 31 + i / 256);
  return file;
}

int run(const std::string& command) { return run_command(command + " 2>&1").code; }

std::string output_of(const std::string& command) { return run_command(command).out; }

const Symbols sizes = {{"n", 37}, {"batch", 11}, {"time", 3}, {"workers", 3}};

}  // namespace

TEST_CASE("a shared object gives the interpreter's bits, exports one symbol and carries the file aligned and whole") {
  const Folder folder;
  const KernelModule module = random_module(21);
  EmitOptions options;
  options.vector_bytes = 32;
  const std::vector<uint8_t> file = some_file(100003);
  const std::string path = folder.path + "/model.so";
  write_shared_object(path, emit_objects(module, Target::host(), options), file, 0x1234567890ABCDEFu);

  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE_MESSAGE(handle != nullptr, dlerror());
  const auto getter = reinterpret_cast<moru_kernel_library_getter>(dlsym(handle, MORU_KERNEL_LIBRARY_SYMBOL));
  REQUIRE((getter != nullptr));
  const moru_kernel_library* library = getter();
  CHECK(library->abi_version == MORU_KERNEL_ABI_VERSION);
  CHECK(library->program_hash == 0x1234567890ABCDEFu);
  CHECK(library->file_bytes == file.size());
  CHECK(reinterpret_cast<uintptr_t>(library->file) % 64 == 0);
  CHECK(std::equal(file.begin(), file.end(), library->file));
  REQUIRE(library->entry_count == module.kernels.size());
  for (size_t i = 0; i < module.kernels.size(); ++i) {
    CHECK(std::string(library->entries[i].name) == module.kernels[i].entry);
    CHECK(Expectation(module, module.kernels[i], sizes, 4).compare(library->entries[i].function) == "");
  }
  dlclose(handle);

  const std::string symbols = output_of("nm -D " + path);
  CHECK(symbols.find(std::string(" T ") + MORU_KERNEL_LIBRARY_SYMBOL) != std::string::npos);
  CHECK(std::count(symbols.begin(), symbols.end(), '\n') == 1);
  CHECK(output_of("readelf -d " + path).find("NEEDED") == std::string::npos);
}

TEST_CASE("a shared object of several levels has every entry for each of them, and the best that runs here is taken") {
  if (!Target::host().is_x86()) return;
  const Folder folder;
  const KernelModule module = random_module(22);
  const std::string path = folder.path + "/model.so";
  const ObjectCode code = emit_objects(module, Target::parse("x86-64-v4+x86-64-v2+x86-64-v3"));
  CHECK(code.target.text() == "x86-64-v2+x86-64-v3+x86-64-v4");
  write_shared_object(path, code, {}, 1);
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE_MESSAGE(handle != nullptr, dlerror());
  const moru_kernel_library* library = reinterpret_cast<moru_kernel_library_getter>(dlsym(handle, MORU_KERNEL_LIBRARY_SYMBOL))();
  CHECK(library->abi_version == MORU_KERNEL_ABI_VERSION_VARIANTS);
  REQUIRE(library->variant_count == 2);
  CHECK(std::string(library->variants[0].target) == "x86-64-v3");
  CHECK(std::string(library->variants[1].target) == "x86-64-v4");
  CHECK(choose_entries(*library).level == (Target::host().level == "x86-64-v2" ? "" : Target::host().level));
  CHECK(choose_entries(*library, [](std::string_view level) { return level == "x86-64-v3"; }).level == "x86-64-v3");
  CHECK(choose_entries(*library, [](std::string_view) { return false; }).entries == library->entries);
  for (uint64_t variant = 0; variant <= library->variant_count; ++variant) {
    const moru_kernel_entry* entries = variant == 0 ? library->entries : library->variants[variant - 1].entries;
    if (variant > 0 && !processor_supports(library->variants[variant - 1].target)) continue;
    for (size_t i = 0; i < module.kernels.size(); ++i) {
      CHECK(std::string(entries[i].name) == module.kernels[i].entry);
      CHECK(Expectation(module, module.kernels[i], sizes, 4).compare(entries[i].function) == "");
    }
  }
  dlclose(handle);
}

TEST_CASE("two static objects with their own prefixes link into one C program that finds both") {
  const Folder folder;
  const KernelModule first = random_module(1), second = random_module(2);
  for (const auto& [prefix, module] : {std::pair<std::string, const KernelModule*>{"alpha_", &first}, {"beta_", &second}}) {
    EmitOptions options;
    options.prefix = prefix;
    const ObjectCode code = emit_objects(*module, Target::host(), options);
    write_static_object(folder.path + "/" + prefix + ".o", code, some_file(prefix.size()), prefix.size());
    std::ofstream(folder.path + "/" + prefix + ".h") << c_header(prefix, code.entries, "a */ model");
  }
  std::ofstream(folder.path + "/main.c") << R"(
    #include "alpha_.h"
    #include "beta_.h"
    #include "schema/kernel_abi.h"
    int main(void) {
      const moru_kernel_library* a = alpha_kernel_library_get();
      const moru_kernel_library* b = beta_kernel_library_get();
      return a->program_hash == 6 && b->program_hash == 5 && a->file_bytes == 6 && b->entry_count == 8 &&
             a->entries[0].function != b->entries[0].function ? 0 : 1;
    })";
  const std::string in = folder.path + "/";
  CHECK(run("cc -std=c99 -Wall -Werror -I" MORU_SOURCE_DIR " -o " + in + "main " + in + "main.c " + in + "alpha_.o " + in + "beta_.o") == 0);
  CHECK(run(in + "main") == 0);
}

TEST_CASE("an object for another processor is made, and linked where lld is installed") {
  const Folder folder;
  const ObjectCode code = emit_objects(random_module(3), Target::parse("aarch64"));
  for (const auto& object : code.objects) {
    CHECK(object[0] == 0x7f);
    CHECK(object[18] == 183);  // e_machine: AArch64
  }
  if (run("command -v ld.lld-19 ld.lld aarch64-linux-gnu-ld > /dev/null") != 0) {
    MESSAGE("skipped: no linker for aarch64 is installed (lld-19)");
    return;
  }
  write_shared_object(folder.path + "/model.so", code, {}, 1);
  CHECK(output_of("readelf -h " + folder.path + "/model.so").find("AArch64") != std::string::npos);
}

TEST_CASE("linking says what is wrong: a place that cannot be written, a machine without a linker") {
  const ObjectCode code = emit_objects(random_module(4), Target::host());
  CHECK_THROWS_WITH_AS(write_shared_object("/nowhere/at/all.so", code, {}, 1), doctest::Contains("cannot write /nowhere/at/all.so"), CompileError);
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  CHECK_THROWS_WITH_AS(write_shared_object("/tmp/never.so", code, {}, 1), doctest::Contains("binutils"), CompileError);
  setenv("PATH", path.c_str(), 1);
}

TEST_CASE("a cached object is found again, and another target, option or kernel is another object") {
  const Folder folder;
  const KernelModule module = random_module(5);
  EmitOptions options;
  options.cache_directory = folder.path + "/cache";
  const ObjectCode made = emit_objects(module, Target::host(), options);
  CHECK(!made.from_cache);
  const ObjectCode found = emit_objects(module, Target::host(), options);
  CHECK(found.from_cache);
  CHECK(found.objects == made.objects);
  CHECK(Expectation(module, module.kernels[0], sizes, 4).compare(*jit_load(found)) == "");

  EmitOptions narrow = options;
  narrow.vector_bytes = 16;
  CHECK(!emit_objects(module, Target::host(), narrow).from_cache);
  CHECK(!emit_objects(module, Target::parse("x86-64-v3"), options).from_cache);
  CHECK(!emit_objects(random_module(6), Target::host(), options).from_cache);
  KernelModule more_slots = module;
  more_slots.slot_count = 3;
  CHECK(!emit_objects(more_slots, Target::host(), options).from_cache);
}

TEST_CASE("a damaged cache entry is compiled again, not loaded") {
  const Folder folder;
  const KernelModule module = random_module(7);
  EmitOptions options;
  options.cache_directory = folder.path + "/cache";
  const ObjectCode made = emit_objects(module, Target::host(), options);
  for (const auto& entry : std::filesystem::directory_iterator(options.cache_directory)) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(200);
    file.put('\x55');
    file.put('\xAA');
  }
  const ObjectCode again = emit_objects(module, Target::host(), options);
  CHECK(!again.from_cache);
  CHECK(again.objects == made.objects);
  std::filesystem::resize_file(std::filesystem::directory_iterator(options.cache_directory)->path(), 10);
  CHECK(!emit_objects(module, Target::host(), options).from_cache);
}
