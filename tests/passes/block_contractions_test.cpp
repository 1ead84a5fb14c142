// Blocked contractions: the same bits as before, interpreted, whatever the number of rows.
#include <doctest/doctest.h>

#include "compiler/passes/block_contractions.h"
#include "tests/passes/kernel_pass_case.h"

using namespace moru;

namespace {

void check_same_bits(const std::string& text, const std::vector<int64_t>& batches) {
  const Kernel before = parse_kernel(text);
  verify_kernel(before, "parsing");
  Kernel after = before;
  block_contractions(after, 16 << 10);
  verify_kernel(after, "block_contractions");
  CHECK(count(kernel_text(after), "panel#") > 2);
  CHECK(kernel_text(parse_kernel(kernel_text(after))) == kernel_text(after));
  check_same_slots(before, after, batches);
}

}  // namespace

TEST_CASE("block_contractions: rows in blocks, columns in panels with a rest, an epilogue that reads what it replaces") {
  check_same_bits(R"(kernel "entry" {
    buffer "x": f32[100*batch] slot 0
    buffer "w": f32[17000] slot 1
    buffer "bias": f32[170] slot 2
    buffer "y": f32[170*batch] slot 3
    contract f32 rows (i: batch) columns (j: 170) depth (k: 100) a "x"[100*i + k] b "w"[170*k + j] init load "bias"[j] {
      "y"[170*i + j] = (max(acc, 0) + load "y"[170*i + j])
    }
  })",
                  {1, 7, 47, 48, 130, 200});
}

TEST_CASE("block_contractions: several axes on every side") {
  check_same_bits(R"(kernel "entry" {
    buffer "x": f32[180*batch] slot 0
    buffer "w": f32[46080] slot 1
    buffer "y": f32[768*batch] slot 2
    contract f32 rows (i: batch, t: 3) columns (g: 2, j: 128) depth (s: 3, k: 20) a "x"[180*i + 60*t + 20*s + k] b "w"[5120*s + 256*k + 128*g + j] {
      "y"[768*i + 256*t + 128*g + j] = acc
    }
  })",
                  {1, 16, 17, 64});
}

TEST_CASE("block_contractions: a depth that is open, inside a parallel loop with a panel for each worker") {
  check_same_bits(R"(kernel "entry" {
    buffer "x": f32[240*batch] slot 0
    buffer "dy": f32[384*batch] slot 1
    buffer "y": f32[30720] slot 2
    parallel p: 3 {
      contract f32 rows (i: 80) columns (j: 128) depth (k: batch) a "x"[240*k + i + 80*p] b "dy"[384*k + j + 128*p] {
        "y"[10240*p + 128*i + j] = acc
      }
    }
  })",
                  {1, 5, 64, 100});
}

TEST_CASE("block_contractions: what is small, or lies in one piece, stays as it is") {
  const std::string text = R"(kernel "entry" {
    buffer "x": f32[100*batch] slot 0
    buffer "w": f32[6400] slot 1
    buffer "y": f32[64*batch] slot 2
    contract f32 rows (i: batch) columns (j: 64) depth (k: 100) a "x"[100*i + k] b "w"[64*k + j] {
      "y"[64*i + j] = acc
    }
    contract f32 rows (r: 8) columns (c: 64) depth (d: 100) a "x"[100*r + d] b "w"[64*d + c] {
      "y"[64*r + c] = acc
    }
  })";
  Kernel kernel = parse_kernel(text);
  const std::string before = kernel_text(kernel);
  block_contractions(kernel, 16 << 10);
  CHECK(kernel_text(kernel) == before);
}

TEST_CASE("block_contractions: panels of a transposed copy are transposed from where it came from") {
  const std::string text = R"(kernel "entry" {
    buffer "dy": f32[130*batch] slot 0
    buffer "w": f32[26000] slot 1
    buffer "wt": f32[26000]
    buffer "y": f32[200*batch] slot 2
    transpose (200, 130) from "w"[0] stride (130) to "wt"[0] stride (200)
    contract f32 rows (i: batch) columns (j: 200) depth (k: 130) a "dy"[130*i + k] b "wt"[200*k + j] {
      "y"[200*i + j] = acc
    }
  })";
  check_same_bits(text, {1, 47, 48, 200});
  Kernel kernel = parse_kernel(text);
  block_contractions(kernel, 16 << 10);
  CHECK(count(kernel_text(kernel), "to \"wt\"") == 1);
  CHECK(std::holds_alternative<For>(kernel.body[0].node));  // the copy as a whole is for few rows only
}

TEST_CASE("block_contractions: a transposed copy stays where its source is replaced before the contraction") {
  const std::string text = R"(kernel "entry" {
    buffer "dy": f32[130*batch] slot 0
    buffer "w": f32[26000] slot 1
    buffer "wt": f32[26000]
    buffer "y": f32[200*batch] slot 2
    transpose (200, 130) from "w"[0] stride (130) to "wt"[0] stride (200)
    vector m: 26000 {
      "w"[m] = (load "w"[m] * 2)
    }
    contract f32 rows (i: batch) columns (j: 200) depth (k: 130) a "dy"[130*i + k] b "wt"[200*k + j] {
      "y"[200*i + j] = acc
    }
  })";
  check_same_bits(text, {1, 48, 200});
  Kernel kernel = parse_kernel(text);
  block_contractions(kernel, 16 << 10);
  CHECK(std::holds_alternative<Transpose>(kernel.body[0].node));
}

TEST_CASE("block_contractions: threads share the panels of a contraction with much work, each with a copy of its own") {
  const std::string text = R"(kernel "entry" {
    buffer "x": f32[200*batch] slot 0
    buffer "w": f32[51200] slot 1
    buffer "y": f32[256*batch] slot 2
    contract f32 rows (i: batch) columns (j: 256) depth (k: 200) a "x"[200*i + k] b "w"[256*k + j] {
      "y"[256*i + j] = acc
    }
  })";
  check_same_bits(text, {1, 60, 200});
  Kernel kernel = parse_kernel(text);
  block_contractions(kernel, 16 << 10);
  CHECK(count(kernel_text(kernel), "parallel panel") == 1);
  CHECK(count(kernel_text(kernel), "workers") == 1);
}

TEST_CASE("block_contractions: a deep contraction keeps its sums between parts of the depth") {
  check_same_bits(R"(kernel "entry" {
    buffer "x": f32[2500*batch] slot 0
    buffer "w": f32[320000] slot 1
    buffer "bias": f32[128] slot 2
    buffer "y": f32[128*batch] slot 3
    contract f32 rows (i: batch) columns (j: 128) depth (k: 2500) a "x"[2500*i + k] b "w"[128*k + j] init load "bias"[j] {
      "y"[128*i + j] = max(acc, 0)
    }
  })",
                  {1, 60});
}

TEST_CASE("block_contractions: panels that lie in one piece each are not copied") {
  const std::string text = R"(kernel "entry" {
    buffer "x": f32[1024*batch] slot 0
    buffer "w": f32[262144] slot 1
    buffer "y": f32[256*batch] slot 2
    contract f32 rows (i: batch) columns (p: 4, j: 64) depth (k: 1024) a "x"[1024*i + k] b "w"[65536*p + 64*k + j] {
      "y"[256*i + 64*p + j] = acc
    }
  })";
  const Kernel before = parse_kernel(text);
  Kernel kernel = before;
  block_contractions(kernel, 16 << 10);
  CHECK(count(kernel_text(kernel), "parallel p: 4") == 1);
  CHECK(count(kernel_text(kernel), "panel#") == 0);
  for (const int64_t batch : {1, 50, 130}) {
    const std::map<std::string, int64_t> symbols = {{"batch", batch}, {"workers", 2}};
    const auto wanted = run_kernel(before, symbols), got = run_kernel(kernel, symbols);
    CHECK(std::memcmp(wanted[2].data(), got[2].data(), wanted[2].size() * 4) == 0);
  }
}

TEST_CASE("block_contractions: of few results and a great depth the outermost axis of the depth is cut off") {
  const std::string text = R"(kernel "entry" {
    buffer "x": f32[1024*batch] slot 0
    buffer "dy": f32[8192*batch] slot 1
    buffer "y": f32[288] slot 2
    contract f32 rows (p: 3, q: 3) columns (o: 32) depth (b: batch, i: 16, j: 16) a "x"[1024*b + 32*i + j + 32*p + q] b "dy"[8192*b + 512*i + 32*j + o] {
      "y"[96*p + 32*q + o] = (acc * 0.5)
    }
  })";
  Kernel after = parse_kernel(text);
  block_contractions(after, 128 << 10);
  verify_kernel(after, "block_contractions");
  CHECK(after.body.size() == 3);
  check_same_slots(parse_kernel(text), after, {1, 2, 7});
}
