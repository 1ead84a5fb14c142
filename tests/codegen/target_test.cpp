#include <doctest/doctest.h>

#include "compiler/codegen/emit.h"
#include "compiler/codegen/target.h"
#include "compiler/support/error.h"

using namespace moru;

TEST_CASE("a target's text parses to the same target") {
  for (const char* text : {"x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16", "aarch64", "aarch64-sve256", "riscv64", "wasm32-simd", "x86-64-v2+x86-64-v3+x86-64-v4", "x86-64-v2+x86-64-v4,l2=512", "x86-64-v4,tune=znver5,l1=48,l2=512", "host"}) {
    const Target target = Target::parse(text);
    const Target again = Target::parse(target.text());
    CHECK(again.text() == target.text());
    CHECK(again.level == target.level);
    CHECK(again.tune == target.tune);
    CHECK(again.triple == target.triple);
    CHECK(again.pointer_bytes == target.pointer_bytes);
    CHECK(again.vector_bytes == target.vector_bytes);
    CHECK(again.l1_bytes == target.l1_bytes);
    CHECK(again.l2_bytes == target.l2_bytes);
    if (std::string(text) != "host") CHECK(target.text() == text);
  }
}

TEST_CASE("a target that is not known is refused with those that are") {
  for (const char* text : {"", "x86-64-v5", "x86-64-v3,", "x86-64-v3,tune=", "x86-64-v3,tune=a b", "x86-64-v3,l1=0", "x86-64-v3,l1=4x", "aarch64,sve"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(Target::parse(text), doctest::Contains("unknown target"), CompileError);
    CHECK_THROWS_WITH_AS(Target::parse(text), doctest::Contains("x86-64-v4"), CompileError);
  }
}

TEST_CASE("every target that is listed compiles a kernel, and parses by its name") {
  KernelModule module;
  module.symbols = {"workers"};
  module.kernels.push_back(parse_kernel(R"(kernel entry {
    buffer "x": f32[37]
    buffer "y": f32[37]
    vector i: 37 { "y"[i] = fma(load "x"[i], load "x"[i], 1) }
  })"));
  for (const TargetDescription& described : list_targets()) {
    CAPTURE(described.target.level);
    CHECK(Target::parse(described.target.level).triple == described.target.triple);
    CHECK_FALSE(described.about.empty());
    const std::string text = emit_assembly(module, described.target);
    CHECK(text.find("moru_entry_entry") != std::string::npos);
    // No fma but where the machine has one, and nothing of a library.
    CHECK((text.find("fmaf") == std::string::npos && text.find("memcpy") == std::string::npos));
    const std::vector<std::vector<uint8_t>> objects = emit_objects(module, described.target).objects;
    REQUIRE(objects.size() == 1);
    const std::string magic(objects[0].begin(), objects[0].begin() + 4);
    CHECK(magic == (described.target.is_wasm() ? std::string("\0asm", 4) : std::string("\x7f" "ELF")));
  }
}

TEST_CASE("levels of one family join in rising order, others do not") {
  const Target target = Target::parse("x86-64-v4+x86-64-v2,l2=256");
  CHECK(target.text() == "x86-64-v2+x86-64-v4,l2=256");
  CHECK(target.vector_bytes == 16);
  REQUIRE(target.levels().size() == 2);
  CHECK(target.levels()[0].text() == "x86-64-v2,l2=256");
  CHECK(target.levels()[1].text() == "x86-64-v4,l2=256");
  CHECK_THROWS_WITH_AS(target.check_one_level(), doctest::Contains("only a .so or .o has code for several levels"), CompileError);
  CHECK_THROWS_WITH_AS(Target::parse("x86-64-v2+aarch64"), doctest::Contains("'aarch64' and 'x86-64-v2' cannot be in one artifact"), CompileError);
  CHECK_THROWS_WITH_AS(Target::parse("x86-64-v2+x86-64-v2"), doctest::Contains("'x86-64-v2' is named twice"), CompileError);
  CHECK_THROWS_WITH_AS(Target::parse("x86-64-v2+"), doctest::Contains("unknown target 'x86-64-v2+'"), CompileError);
}

TEST_CASE("the host's target needs nothing that the processor lacks") {
#if defined(__x86_64__)
  const Target host = Target::host();
  __builtin_cpu_init();
  if (host.level == "x86-64-v4") CHECK(__builtin_cpu_supports("avx512vl"));
  if (host.has_fma) CHECK(__builtin_cpu_supports("fma"));
  if (host.vector_bytes >= 32) CHECK(__builtin_cpu_supports("avx2"));
#endif
}
