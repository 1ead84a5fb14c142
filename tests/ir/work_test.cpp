#include "compiler/ir/work.h"

#include <doctest/doctest.h>

#include "compiler/support/error.h"

using namespace moru;

namespace {

using Sizes = std::map<std::string, int64_t, std::less<>>;

// The work of a kernel's one statement, or of the statement at the bottom of `depth` loops.
Work work_of(const std::string& text, const Sizes& sizes, size_t depth = 0) {
  const Kernel kernel = parse_kernel(text);
  std::vector<const For*> loops;
  const Block* block = &kernel.body;
  for (; depth > 0; --depth) {
    loops.push_back(&std::get<For>(block->front().node));
    block = &loops.back()->body;
  }
  return count_work(kernel, loops, *block, sizes);
}

}  // namespace

TEST_CASE("work: a contraction is two flops per multiply-add, and touches each matrix once") {
  const Work work = work_of(R"(kernel "k" {
    buffer "x": f32[20*batch] slot 0
    buffer "w": f32[600] slot 1
    buffer "b": f32[30] slot 2
    buffer "y": f32[30*batch] slot 3
    contract f32 rows (i: batch) columns (j: 30) depth (k: 20) a "x"[20*i + k] b "w"[30*k + j] init load "b"[j] {
      "y"[30*i + j] = max(acc, 0)
    }
  })",
                            {{"batch", 7}});
  CHECK(work.runs == 1);
  CHECK(work.flops == 2 * 7 * 30 * 20 + 7 * 30);
  CHECK(work.lane_operations == 7 * 30 * 20 + 7 * 30);
  CHECK(work.bytes_read == 4 * (20 * 7 + 600 + 30));
  CHECK(work.bytes_written == 4 * 30 * 7);
  CHECK(work.working_set == work.bytes_read + work.bytes_written);
}

TEST_CASE("work: an f64 contraction takes two lanes per multiply-add and eight bytes per element") {
  const Work work = work_of(R"(kernel "k" {
    buffer "x": f64[6] slot 0
    buffer "w": f64[12] slot 1
    buffer "y": f64[8] slot 2
    contract f64 rows (i: 2) columns (j: 4) depth (k: 3) a "x"[3*i + k] b "w"[4*k + j] { "y"[4*i + j] = acc }
  })",
                            {});
  CHECK(work.flops == 2 * 24);
  CHECK(work.lane_operations == 2 * 24);
  CHECK(work.bytes_read == 8 * 18);
  CHECK(work.bytes_written == 8 * 8);
}

TEST_CASE("work: shared subexpressions count once, an fma as two flops in one place, integers as no flops") {
  const Work work = work_of(R"(kernel "k" {
    buffer "x": f32[n] slot 0
    buffer "y": f32[n] slot 1
    buffer "z": i32[n] slot 2
    vector i: n {
      let %0 = (load "x"[i] * 3)
      "y"[i] = fma(%0, %0, sqrt(%0))
      "z"[i] = shl(convert_i32(load "x"[i]), i32(2))
    }
  })",
                            {{"n", 100}});
  // mul, sqrt, fma; convert and shl.
  CHECK(work.flops == 100 * 4);
  CHECK(work.lane_operations == 100 * 5);
  CHECK(work.bytes_read == 4 * 100);
  CHECK(work.bytes_written == 4 * 200);
}

TEST_CASE("work: elements that several accesses share are read once, and what is updated in place is touched once") {
  const Work stencil = work_of(R"(kernel "k" {
    buffer "x": f32[n + 2] slot 0
    buffer "y": f32[n] slot 1
    vector i: n {
      "y"[i] = ((load "x"[i] + load "x"[i + 1]) + load "x"[i + 2])
    }
  })",
                               {{"n", 50}});
  CHECK(stencil.bytes_read == 4 * 52);
  CHECK(stencil.flops == 100);

  const Work gates = work_of(R"(kernel "k" {
    buffer "x": f32[256*n] slot 0
    buffer "y": f32[64*n] slot 1
    for r: n {
      vector i: 64 {
        "y"[64*r + i] = (load "x"[256*r + i] + load "x"[256*r + i + 128])
      }
    }
  })",
                             {{"n", 8}});
  CHECK(gates.bytes_read == 4 * 8 * 128);
  CHECK(gates.bytes_written == 4 * 8 * 64);

  const Work in_place = work_of(R"(kernel "k" {
    buffer "y": f32[n] slot 0
    vector i: n {
      "y"[i] += 1
    }
  })",
                                {{"n", 9}});
  CHECK(in_place.flops == 9);
  CHECK(in_place.bytes_read == 36);
  CHECK(in_place.bytes_written == 36);
  CHECK(in_place.working_set == 36);
}

TEST_CASE("work: a window reads no more than it spans, a gather no more than the table") {
  const Work window = work_of(R"(kernel "k" {
    buffer "x": f32[19] slot 0
    buffer "w": f32[12] slot 1
    buffer "y": f32[64] slot 2
    contract f32 rows (i: 16) columns (j: 4) depth (k: 3) a "x"[i + k] b "w"[4*k + j] { "y"[4*i + j] = acc }
  })",
                              {});
  CHECK(window.bytes_read == 4 * (18 + 12));
  const std::string gather = R"(kernel "k" {
    buffer "t": f32[80] slot 0
    buffer "c": i32[n] slot 1
    buffer "y": f32[8*n] slot 2
    for r: n {
      vector i: 8 {
        "y"[8*r + i] = load "t"[i; convert_i64((load "c"[r] * i32(8)))]
      }
    }
  })";
  CHECK(work_of(gather, {{"n", 5}}).bytes_read == 4 * (5 * 8 + 5));
  CHECK(work_of(gather, {{"n", 500}}).bytes_read == 4 * (80 + 500));
}

TEST_CASE("work: a reduction reads its elements and writes one; a transpose moves every element") {
  const Work reduction = work_of(R"(kernel "k" {
    buffer "x": f32[12*n] slot 0
    buffer "s": f32[n] slot 1
    for r: n {
      reduce add i: 12 into "s"[r] { (load "x"[12*r + i] * load "x"[12*r + i]) }
    }
  })",
                                 {{"n", 3}});
  CHECK(reduction.flops == 3 * 12 * 2);
  CHECK(reduction.bytes_read == 4 * 36);
  CHECK(reduction.bytes_written == 4 * 3);
  const Work transpose = work_of(R"(kernel "k" {
    buffer "x": f32[12*n] slot 0
    buffer "y": f32[12*n] slot 1
    transpose (n, 12) from "x"[0] stride (12) to "y"[0] stride (n)
  })",
                                 {{"n", 3}});
  CHECK(transpose.flops == 0);
  CHECK(transpose.bytes_read == 144);
  CHECK(transpose.bytes_written == 144);
}

TEST_CASE("work: the loops around a statement multiply its runs, and sizes that vary are summed") {
  // Chunks of 32 rows, the last one short: 32 + 32 + 6.
  const std::string text = R"(kernel "k" {
    buffer "x": f32[10*batch] slot 0
    buffer "y": f32[10*batch] slot 1
    parallel c: ceil(batch, 32) {
      for t: 5 {
        for r: -max(-32, -batch + 32*c) {
          vector i: 10 {
            "y"[320*c + 10*r + i] = (load "x"[320*c + 10*r + i] + 1)
          }
        }
      }
    }
  })";
  const Work work = work_of(text, {{"batch", 70}, {"workers", 1}}, 2);
  CHECK(work.runs == 15);
  CHECK(work.flops == 5 * 700);
  CHECK(work.bytes_read == 4 * 5 * 700);
  CHECK(work.working_set == 4 * 2 * 320);
  // Nothing runs where an extent is zero or less.
  const Work none = work_of(text, {{"batch", 0}, {"workers", 1}}, 2);
  CHECK(none.runs == 0);
  CHECK(none.flops == 0);
}

TEST_CASE("work: a size that is missing is named") {
  CHECK_THROWS_WITH_AS(work_of(R"(kernel "k" {
    buffer "y": f32[n] slot 0
    vector i: n {
      "y"[i] = 1
    }
  })",
                               {}),
                       doctest::Contains("'n'"), InternalError);
}

TEST_CASE("work: statements are described by kind and extents") {
  const Kernel kernel = parse_kernel(R"(kernel "k" {
    buffer "x": f32[20*batch] slot 0
    buffer "w": f32[600] slot 1
    buffer "y": f32[30*batch] slot 2
    contract f32 rows (i: batch) columns (j: 5, l: 6) depth (k: 20) a "x"[20*i + k] b "w"[30*k + 6*j + l] { "y"[30*i + 6*j + l] = acc }
    for r: batch {
      vector i: 30 {
        "y"[30*r + i] = 0
      }
    }
    for r: batch {
      reduce max i: 30 into "x"[r] { load "y"[30*r + i] }
    }
    transpose (batch, 20) from "x"[0] stride (20) to "y"[0] stride (batch)
    "y"[0] = 1
  })");
  const auto describe = [&](size_t i) { return describe_statement({}, kernel.body[i], {{"batch", 4}}); };
  CHECK(describe(0) == "contract 4 x 30 x 20");
  CHECK(describe(1) == "loop 4 x 30");
  CHECK(describe(2) == "loop 4, reduce 30");
  CHECK(describe(3) == "transpose 4 x 20");
  CHECK(describe(4) == "scalar");
}
