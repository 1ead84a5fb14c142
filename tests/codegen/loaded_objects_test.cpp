// Objects loaded without LLVM: what they compute, what a malformed one does.
#include "compiler/codegen/loaded_objects.h"

#include <doctest/doctest.h>

#include <random>

#include "compiler/codegen/emit.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

// Constants, calls between functions and between objects, a parallel body whose address is taken.
KernelModule module_with_relocations() {
  KernelModule module;
  module.symbols = {"batch", "workers"};
  module.slot_count = 3;
  module.kernels.push_back(parse_kernel(R"(kernel "run" {
    buffer "x": f32[64*batch] slot 0
    buffer "w": f32[4096] slot 1
    buffer "y": f32[64*batch] slot 2
    parallel p: 2 {
      for i: floor(batch, 2) {
        vector j: 64 {
          "y"[64*i + 32*batch*p + j] = ((load "x"[64*i + 32*batch*p + j] * 3.25) + 0.1)
        }
      }
    }
    contract f32 rows (i: batch) columns (j: 64) depth (k: 64) a "x"[64*i + k] b "w"[64*k + j] init load "y"[64*i + j] {
      "y"[64*i + j] = max(acc, 0.7)
    }
    for i: batch { reduce add k: 64 into "x"[64*i] { load "y"[64*i + k] } }
  })"));
  return module;
}

EmitOptions with_threads(int threads) {
  EmitOptions options;
  options.threads = threads;
  return options;
}

void run_in_order(void*, int64_t count, moru_chunk_body body, const void* context) {
  for (int64_t chunk = 0; chunk < count; ++chunk) body(context, chunk, 0);
}

}  // namespace

TEST_CASE("loaded_objects: code in several objects runs, and gives the bits of code in one") {
  const KernelModule module = module_with_relocations();
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2}) {
    const auto code = jit_compile(module, Target::host(), with_threads(threads));
    std::vector<float> memory(64 * 10 * 2 + 4096 + 64);
    auto* begin = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
    for (size_t i = 0; i < 640 + 4096 + 640; ++i) begin[i] = static_cast<float>(i * 7919 % 1000) / 500.0f - 1.0f;
    void* const buffers[] = {begin, begin + 640, begin + 640 + 4096};
    const int64_t symbols[] = {10, 1};
    const moru_kernel_call call = {buffers, symbols, run_in_order, nullptr};
    const moru_entry_function run = code->find_entry("run");
    const bool is_there = run != nullptr;
    REQUIRE(is_there);
    CHECK(run(&call) == MORU_KERNEL_OK);
    results.emplace_back(begin, begin + 640 + 4096 + 640);
  }
  CHECK(results[0] == results[1]);
  float most = 0;
  for (size_t i = 0; i < 640; ++i) most = std::max(most, results[0][640 + 4096 + i]);
  CHECK(most > 1.0f);
}

TEST_CASE("loaded_objects: the relocations of other targets are known too") {
  for (const char* target : {"x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"}) {
    CAPTURE(target);
    const ObjectCode code = emit_objects(module_with_relocations(), Target::parse(target), with_threads(2));
    const LoadedObjects loaded(code.objects);
    CHECK(loaded.find(entry_symbol(code.prefix, "run")) != nullptr);
    CHECK_THROWS_AS(loaded.find("nothing"), InternalError);
  }
}

TEST_CASE("loaded_objects: a damaged object is refused, or loaded: never read outside of itself") {
  const ObjectCode code = emit_objects(module_with_relocations(), Target::host(), with_threads(1));
  const std::vector<uint8_t>& whole = code.objects[0];
  size_t refused = 0;
  for (size_t length = 0; length < whole.size(); length += 61) {
    std::vector<std::vector<uint8_t>> objects = {{whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}};
    CHECK_THROWS_AS(LoadedObjects{objects}, InternalError);
  }
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::vector<uint8_t>> objects = {whole};
    // Headers, symbols and relocations lie at the ends.
    const size_t reach = std::min<size_t>(whole.size(), 3000);
    const size_t at = i % 2 ? whole.size() - 1 - random() % reach : random() % 64;
    objects[0][at] ^= static_cast<uint8_t>(1u << random() % 8);
    try {
      LoadedObjects loaded(objects);
    } catch (const InternalError&) {
      ++refused;
    }
  }
  CHECK(refused > 100);
}
