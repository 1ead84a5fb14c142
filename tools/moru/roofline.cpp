#include "tools/moru/roofline.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "compiler/codegen/emit.h"
#include "runtime/aligned_buffer.h"
#include "runtime/status.h"

namespace moru {

namespace {

constexpr int64_t elements = 1024;     // of what stays in the first cache
constexpr int chains = 12, links = 6;  // short enough that several are in flight at a time

Statement loop(const char* var, Dim extent, ForKind kind, Block body) {
  return {For{var, std::move(extent), kind, std::move(body)}, ""};
}

/// Chains of multiply-adds on registers, enough of them to hide their latency.
Kernel peak_kernel() {
  Kernel kernel{"peak", {{"x", DType::f32, elements, 0}, {"y", DType::f32, elements, 1}}, {}};
  const Dim i = Dim::symbol("i");
  const Expr x = expr::load(kernel.buffers[0], 0, i);
  std::vector<Expr> chain;
  for (int c = 0; c < chains; ++c) chain.push_back(expr::fma(x, expr::constant(1.0 + c), x));
  for (int link = 0; link < links; ++link)
    for (int c = 0; c < chains; ++c) chain[static_cast<size_t>(c)] = expr::fma(chain[static_cast<size_t>(c)], x, x);
  Expr sum = chain[0];
  for (size_t c = 1; c < chain.size(); ++c) sum = expr::fma(chain[c], x, sum);
  Block store = {{Store{{1, i, nullptr}, sum, false}, ""}};
  Block inner = {loop("i", elements, ForKind::vector, std::move(store))};
  kernel.body = {loop("r", Dim::symbol("repeats"), ForKind::serial, std::move(inner))};
  return kernel;
}

/// Sums x in order, in lines of 64 bytes, sixteen to a round.
Kernel read_kernel() {
  constexpr int lines = 16, line = 16;
  const Dim blocks = Dim::symbol("blocks"), i = Dim::symbol("i"), j = Dim::symbol("j");
  Kernel kernel{"read", {{"x", DType::f32, blocks * lines * line, 0}, {"y", DType::f32, line, 1}}, {}};
  Expr sum = expr::load(kernel.buffers[0], 0, j * (lines * line) + i);
  for (int l = 1; l < lines; ++l) sum = sum + expr::load(kernel.buffers[0], 0, j * (lines * line) + i + l * line);
  Block store = {{Store{{1, i, nullptr}, sum, true}, ""}};
  Block inner = {loop("i", line, ForKind::vector, std::move(store))};
  Block block = {loop("j", blocks, ForKind::serial, std::move(inner))};
  kernel.body = {loop("r", Dim::symbol("repeats"), ForKind::serial, std::move(block))};
  return kernel;
}

/// Something to be measured in several rounds, of which the best counts: what else the machine does comes and goes.
struct Measurement {
  const char* entry;
  int64_t blocks = 0;
  int64_t repeats = 1;
  double seconds = 1e30;  // of one repeat
};

int64_t last_level_cache_bytes() {
#ifdef _SC_LEVEL3_CACHE_SIZE
  return std::max<int64_t>(0, sysconf(_SC_LEVEL3_CACHE_SIZE));
#else
  return 0;
#endif
}

}  // namespace

Roofline measure_roofline(const Target& target) {
  const KernelModule module{{"blocks", "repeats", "workers"}, {peak_kernel(), read_kernel()}, 2};
  const std::unique_ptr<JitCode> code = jit_compile(module, target);
  constexpr int64_t mib = int64_t{1} << 20;
  const int64_t l3 = last_level_cache_bytes();
  const int64_t outside = std::clamp<int64_t>(4 * std::max(l3, target.l2_bytes), 32 * mib, 256 * mib);
  AlignedBuffer x, y;
  Roofline roofline;
  if (!x.reserve(static_cast<uint64_t>(outside), "a measurement").ok() ||
      !y.reserve(elements * 4, "a measurement").ok())
    return roofline;
  float* values = static_cast<float*>(static_cast<void*>(x.data()));
  std::fill(values, values + outside / 4, 0.5f);
  const auto run = [&](const Measurement& m) {
    using Clock = std::chrono::steady_clock;
    void* buffers[] = {x.data(), y.data()};
    const int64_t symbols[] = {m.blocks, m.repeats, 1};
    const moru_kernel_call call{buffers, symbols, nullptr, nullptr};
    const auto begin = Clock::now();
    code->find_entry(m.entry)(&call);
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  constexpr int64_t block = 16 * 64;
  std::vector<Measurement> measurements = {{"peak"}};
  const auto add_level = [&](const char* name, int64_t holds, int64_t working_set) {
    roofline.levels.push_back({name, holds, 0});
    measurements.push_back({"read", working_set / block});
  };
  add_level("L1", target.l1_bytes, target.l1_bytes / 2);
  add_level("L2", target.l2_bytes, target.l2_bytes / 2);
  if (l3 > 2 * target.l2_bytes) add_level("L3", l3, std::min(l3 / 2, std::max(l3 / 4, 2 * target.l2_bytes)));
  add_level("memory", INT64_MAX, outside);
  for (Measurement& m : measurements) {
    run(m);  // brings it into the cache
    while (run(m) < 0.002) m.repeats *= 4;
  }
  for (int round = 0; round < 6; ++round)
    for (Measurement& m : measurements) m.seconds = std::min(m.seconds, run(m) / static_cast<double>(m.repeats));

  constexpr double multiply_adds = double{elements} * (chains * (links + 2.0) - 1.0);
  roofline.gigaflops = 2 * multiply_adds / measurements[0].seconds / 1e9;
  for (size_t i = 0; i < roofline.levels.size(); ++i)
    roofline.levels[i].gigabytes_per_second =
        static_cast<double>(measurements[i + 1].blocks * block) / measurements[i + 1].seconds / 1e9;
  return roofline;
}

RooflineBound attainable(const Roofline& roofline, const Work& work) {
  RooflineBound bound{work.lane_operations / (roofline.gigaflops / 2) / 1e3, "compute"};
  for (const MemoryLevel& level : roofline.levels) {
    if (work.working_set > static_cast<double>(level.bytes) && &level != &roofline.levels.back()) continue;
    const double microseconds = (work.bytes_read + work.bytes_written) / level.gigabytes_per_second / 1e3;
    if (microseconds > bound.microseconds) bound = {microseconds, level.name};
    break;
  }
  return bound;
}

}  // namespace moru
