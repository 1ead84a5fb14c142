// Loops over the batch that became one: the same bits as before, interpreted.
#include "compiler/passes/fuse_rows.h"

#include <doctest/doctest.h>

#include "tests/passes/kernel_pass_case.h"

using namespace moru;

namespace {

Kernel fused(const std::string& text) {
  Kernel kernel = parse_kernel(text);
  verify_kernel(kernel, "parsing");
  fuse_rows(kernel, 16 << 10);
  verify_kernel(kernel, "fuse_rows");
  CHECK(kernel_text(parse_kernel(kernel_text(kernel))) == kernel_text(kernel));
  return kernel;
}

}  // namespace

TEST_CASE("fuse_rows: loops, a flat loop and a contraction over the same rows; what is between them keeps one row") {
  const std::string text = R"(kernel "entry" {
    buffer "x": f32[600*batch] slot 0
    buffer "w": f32[960] slot 1
    buffer "t": f32[600*batch]
    buffer "u": f32[640*batch]
    buffer "y": f32[640*batch] slot 2
    for b: batch {
      for i: 20 {
        vector c: 30 {
          "t"[600*b + 30*i + c] = (load "x"[600*b + 30*i + c] * 2)
        }
      }
    }
    contract f32 rows (b: batch, i: 20) columns (o: 32) depth (c: 30) a "t"[600*b + 30*i + c] b "w"[32*c + o] {
      "u"[640*b + 32*i + o] = acc
    }
    vector e: 640*batch {
      "y"[e] = max(load "u"[e], 0)
    }
  })";
  const Kernel after = fused(text);
  REQUIRE(after.body.size() == 1);
  CHECK(std::get<For>(after.body[0].node).body.size() == 3);
  CHECK(after.buffers[2].elements == Dim(600));
  CHECK(after.buffers[3].elements == Dim(640));
  CHECK(after.buffers[4].elements == Dim(640) * Dim::symbol("batch"));
  check_same_slots(parse_kernel(text), after, {1, 2, 33});
}

TEST_CASE("fuse_rows: sums over the rows are carried in memory, and what sets them to zero comes before") {
  const std::string text = R"(kernel "entry" {
    buffer "x": f32[1280*batch] slot 0
    buffer "z": f32[1280*batch]
    buffer "total": f32[20] slot 1
    buffer "gram": f32[400] slot 2
    for b: batch {
      for i: 64 {
        vector c: 20 {
          "z"[1280*b + 20*i + c] = (load "x"[1280*b + 20*i + c] + 1)
        }
      }
    }
    vector c: 20 {
      "total"[c] = 0
    }
    for b: batch {
      for i: 64 {
        vector c: 20 {
          "total"[c] += load "z"[1280*b + 20*i + c]
        }
      }
    }
    contract f32 rows (r: 20) columns (c: 20) depth (b: batch, i: 64) a "z"[1280*b + 20*i + r] b "x"[1280*b + 20*i + c] init load "gram"[20*r + c] {
      "gram"[20*r + c] = acc
    }
  })";
  const Kernel after = fused(text);
  REQUIRE(after.body.size() == 4);  // total = 0; sums = gram; the loop; gram = sums
  CHECK(std::get<For>(after.body[2].node).body.size() == 3);
  CHECK(after.buffers[1].elements == Dim(1280));
  check_same_slots(parse_kernel(text), after, {1, 5});
}

TEST_CASE("fuse_rows: each worker keeps a row of its own") {
  const std::string text = R"(kernel "entry" {
    buffer "x": f32[4096*batch] slot 0
    buffer "t": f32[8192*workers]
    buffer "y": f32[4096*batch] slot 1
    parallel k: ceil(batch, 8) {
      for b: -max(-8, 8*k - batch) {
        vector c: 1024 {
          "t"[1024*b + c + 8192*worker] = (load "x"[1024*b + 8192*k + c] * 3)
        }
      }
      for b: -max(-8, 8*k - batch) {
        vector c: 1024 {
          "y"[1024*b + 8192*k + c] = (load "t"[1024*b + c + 8192*worker] - 1)
        }
      }
    }
  })";
  const Kernel after = fused(text);
  CHECK(after.buffers[1].elements == Dim(1024) * Dim::symbol("workers"));
  CHECK(std::get<For>(after.body[0].node).body.size() == 1);
}

TEST_CASE("fuse_rows: a loop moves down to the one that reads it, past what is not done row by row") {
  const std::string text = R"(kernel "entry" {
    buffer "x": f32[2048*batch] slot 0
    buffer "w": f32[2560] slot 1
    buffer "t": f32[2048*batch]
    buffer "s": f32[10*batch] slot 2
    buffer "y": f32[2048*batch] slot 3
    for b: batch {
      vector c: 2048 {
        "t"[2048*b + c] = (load "x"[2048*b + c] * 2)
      }
    }
    contract f32 rows (b: batch) columns (o: 10) depth (c: 256) a "x"[2048*b + c] b "w"[10*c + o] {
      "s"[10*b + o] = acc
    }
    for b: batch {
      vector c: 2048 {
        "y"[2048*b + c] = (load "t"[2048*b + c] + load "s"[10*b])
      }
    }
  })";
  const Kernel after = fused(text);
  REQUIRE(after.body.size() == 2);
  CHECK(std::holds_alternative<Contraction>(after.body[0].node));
  check_same_slots(parse_kernel(text), after, {1, 9});
}

TEST_CASE("fuse_rows: rows that need other rows, small ones and contractions of the batch alone stay as they are") {
  for (const char* body : {R"(
    for b: batch {
      vector c: 1024 {
        "t"[1024*b + c] = (load "x"[1024*b + c] * 2)
      }
    }
    for b: batch {
      vector c: 1024 {
        "y"[1024*b + c] = load "t"[1024*batch - 1024*b + c - 1024]
      }
    })",
                           R"(
    for b: batch {
      vector c: 4 {
        "t"[4*b + c] = (load "x"[4*b + c] * 2)
      }
    }
    for b: batch {
      vector c: 4 {
        "y"[4*b + c] = load "t"[4*b + c]
      }
    })",
                           R"(
    for b: batch {
      vector c: 1024 {
        "t"[1024*b + c] = (load "x"[1024*b + c] * 2)
      }
    }
    contract f32 rows (b: batch) columns (o: 16) depth (c: 32) a "t"[1024*b + c] b "x"[16*c + o] {
      "y"[1024*b + o] = acc
    })"}) {
    const std::string text = std::string(R"(kernel "entry" {
    buffer "x": f32[1024*batch] slot 0
    buffer "t": f32[1024*batch]
    buffer "y": f32[1024*batch] slot 1)") +
                             body + "\n}";
    const Kernel before = parse_kernel(text);
    CHECK(kernel_text(fused(text)) == kernel_text(before));
  }
}
