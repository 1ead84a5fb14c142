#include <doctest/doctest.h>

#include "compiler/codegen/target.h"
#include "compiler/support/error.h"

using namespace moru;

TEST_CASE("a target's text parses to the same target") {
  for (const char* text : {"x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16", "aarch64", "x86-64-v4,tune=znver5,l1=48,l2=512", "host"}) {
    const Target target = Target::parse(text);
    const Target again = Target::parse(target.text());
    CHECK(again.text() == target.text());
    CHECK(again.level == target.level);
    CHECK(again.tune == target.tune);
    CHECK(again.triple == target.triple);
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

TEST_CASE("the host's target needs nothing that the processor lacks") {
#if defined(__x86_64__)
  const Target host = Target::host();
  __builtin_cpu_init();
  if (host.level == "x86-64-v4") CHECK(__builtin_cpu_supports("avx512vl"));
  if (host.has_fma) CHECK(__builtin_cpu_supports("fma"));
  if (host.vector_bytes >= 32) CHECK(__builtin_cpu_supports("avx2"));
#endif
}
