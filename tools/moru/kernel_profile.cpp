#include "tools/moru/kernel_profile.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace moru {

namespace {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string joined(const std::vector<std::string>& names, size_t most) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), most); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > most) text += " and " + std::to_string(names.size() - most) + " more";
  return text;
}

BufferId first_written(const Statement& statement) {
  if (const Store* store = std::get_if<Store>(&statement.node)) return store->access.buffer;
  if (const Reduce* reduce = std::get_if<Reduce>(&statement.node)) return reduce->target.buffer;
  if (const Transpose* transpose = std::get_if<Transpose>(&statement.node)) return transpose->to.buffer;
  if (const Contraction* c = std::get_if<Contraction>(&statement.node))
    return c->epilogue.empty() ? no_buffer : c->epilogue.front().access.buffer;
  const For& loop = std::get<For>(statement.node);
  return loop.body.empty() ? no_buffer : first_written(loop.body.front());
}

/// Origins of the loops around `region`; the loops of one tile or scan have the same.
std::string loops_text(const ProfileRegion& region, const Block& block, size_t depth = 0) {
  if (depth == region.loops.size()) return {};
  for (const Statement& statement : block) {
    const For* loop = std::get_if<For>(&statement.node);
    if (loop != region.loops[depth]) continue;
    const std::string inner = loops_text(region, loop->body, depth + 1);
    const std::string& name = statement.origin;
    if (inner.empty()) return name;
    return inner == name || inner.starts_with(name + ", ") ? inner : name + ", " + inner;
  }
  return {};
}

std::string what_text(const ProfileRegion& region, const std::map<std::string, int64_t, std::less<>>& symbols) {
  std::string text = describe_statement(region.loops, region.statements.front(), symbols);
  return region.statements.size() == 1 ? text : text + " x " + std::to_string(region.statements.size());
}

struct Sample {
  double ticks = 0;
  double runs = 0;
};

Sample read_region(const ProfileTable& table, size_t region) {
  Sample sum;
  for (size_t worker = 0; worker < table.workers; ++worker) {
    const ProfileCell cell = table.cell(worker, region);
    sum.ticks += static_cast<double>(cell.ticks);
    sum.runs += static_cast<double>(cell.runs);
  }
  return sum;
}

}  // namespace

double KernelTime::gigaflops_per_second() const { return is_measurable ? work.flops / microseconds / 1e3 : NAN; }
double KernelTime::gigabytes_per_second() const {
  return is_measurable ? (work.bytes_read + work.bytes_written) / microseconds / 1e3 : NAN;
}
double KernelTime::roofline_percent() const { return is_measurable ? 100 * bound.microseconds / microseconds : NAN; }

KernelProfile profile_kernels(const KernelModule& module, std::string_view entry,
                              const std::map<std::string, int64_t, std::less<>>& symbols, const ProfileTable& table,
                              const std::function<void()>& step, double seconds, const Roofline& roofline) {
  const ProfilePlan plan = plan_profile(module);
  std::vector<size_t> measured;
  for (size_t i = 0; i < plan.regions.size(); ++i)
    if (plan.regions[i].kernel->entry == entry) measured.push_back(i);

  constexpr size_t most_steps = 4000;
  for (int i = 0; i < 5; ++i) step();
  std::vector<std::vector<double>> ticks(measured.size());
  std::vector<double> runs(measured.size()), costs, steps;
  std::vector<Sample> before(measured.size());
  Sample cost_before = read_region(table, table.regions);
  for (size_t k = 0; k < measured.size(); ++k) before[k] = read_region(table, measured[k]);
  const auto begin = Clock::now();
  const auto microseconds_since = [](Clock::time_point from) {
    return std::chrono::duration<double, std::micro>(Clock::now() - from).count();
  };
  double first_us = 0, last_us = 0;
  uint64_t first_tick = 0;
  while (steps.size() < 10 || (steps.size() < most_steps && microseconds_since(begin) < seconds * 1e6)) {
    last_us = microseconds_since(begin);
    step();
    steps.push_back(microseconds_since(begin) - last_us);
    if (steps.size() == 1) first_us = last_us, first_tick = *table.started;
    for (size_t k = 0; k < measured.size(); ++k) {
      const Sample now = read_region(table, measured[k]);
      ticks[k].push_back(now.ticks - before[k].ticks);
      runs[k] = now.runs - before[k].runs;
      before[k] = now;
    }
    const Sample cost = read_region(table, table.regions);
    costs.push_back((cost.ticks - cost_before.ticks) / std::max(1.0, cost.runs - cost_before.runs));
    cost_before = cost;
  }
  const double ticks_per_us = static_cast<double>(*table.started - first_tick) / (last_us - first_us);
  const double cost = median(std::move(costs));

  KernelProfile profile;
  profile.roofline = roofline;
  profile.step_us = median(std::move(steps));
  for (size_t k = 0; k < measured.size(); ++k) {
    if (runs[k] == 0) continue;
    const ProfileRegion& region = plan.regions[measured[k]];
    KernelTime kernel;
    kernel.origin = joined(list_origins(region.statements), 3);
    kernel.what = what_text(region, symbols);
    const BufferId written = first_written(region.statements.front());
    if (written != no_buffer) kernel.writes = region.kernel->buffers[written].name;
    kernel.loops = loops_text(region, region.kernel->body);
    const double taken = median(std::move(ticks[k])), measuring = cost * runs[k];
    kernel.microseconds = std::max(0.0, taken - measuring) / ticks_per_us;
    kernel.is_measurable = taken >= 2 * measuring && taken > 0;
    kernel.work = count_work(*region.kernel, region.loops, region.statements, symbols);
    kernel.bound = attainable(roofline, kernel.work);
    profile.kernels_us += kernel.microseconds;
    profile.kernels.push_back(std::move(kernel));
  }
  std::stable_sort(profile.kernels.begin(), profile.kernels.end(),
                   [](const KernelTime& a, const KernelTime& b) { return a.microseconds > b.microseconds; });
  return profile;
}

std::string kernel_profile_text(const KernelProfile& profile, double plain_step_us, int threads) {
  std::string text;
  char line[400];
  const auto print = [&](const char* format, auto... values) {
    std::snprintf(line, sizeof line, format, values...);
    text += line;
  };
  print("roofline of one core: %.0f GFLOP/s", profile.roofline.gigaflops);
  for (const MemoryLevel& level : profile.roofline.levels)
    print("; %s %.0f GB/s", level.name.c_str(), level.gigabytes_per_second);
  print("\n\n%10s %6s %6s %8s %8s %6s %-8s %s\n", "us", "share", "runs", "GFLOP/s", "GB/s", "roof", "bound", "kernel");
  double rest = 0;
  size_t hidden = 0;
  for (const KernelTime& kernel : profile.kernels) {
    const double share = 100 * kernel.microseconds / std::max(profile.kernels_us, 1e-9);
    if (share < 0.1) {
      rest += kernel.microseconds;
      ++hidden;
      continue;
    }
    print("%10.2f %5.1f%% %6.0f ", kernel.microseconds, share, kernel.work.runs);
    if (kernel.is_measurable) {
      print("%8.1f %8.1f %5.0f%% %-8s ", kernel.gigaflops_per_second(), kernel.gigabytes_per_second(),
            kernel.roofline_percent(), kernel.bound.by.c_str());
    } else {
      print("%8s %8s %6s %-8s ", "-", "-", "-", kernel.bound.by.c_str());
    }
    text += kernel.origin + ": " + kernel.what + " -> " + kernel.writes;
    if (!kernel.loops.empty()) text += "  in " + kernel.loops;
    text += "\n";
  }
  if (hidden > 0) print("%10.2f %5.1f%% in %zu more\n", rest, 100 * rest / profile.kernels_us, hidden);
  print("%10.2f us in all kernels%s; a step takes %.2f us, with the profile %.2f us\n", profile.kernels_us,
        threads > 1 ? " of all threads" : "", plain_step_us, profile.step_us);
  return text;
}

void write_kernel_profile(JsonWriter& json, const KernelProfile& profile) {
  json.key("kernels").begin_array();
  for (const KernelTime& kernel : profile.kernels) {
    json.begin_object();
    json.key("origin").text(kernel.origin);
    json.key("what").text(kernel.what);
    json.key("writes").text(kernel.writes);
    json.key("loops").text(kernel.loops);
    json.key("us").number(kernel.microseconds);
    json.key("share").number(kernel.microseconds / std::max(profile.kernels_us, 1e-9));
    json.key("runs").integer(static_cast<int64_t>(kernel.work.runs));
    json.key("flops").number(kernel.work.flops);
    json.key("bytes_read").number(kernel.work.bytes_read);
    json.key("bytes_written").number(kernel.work.bytes_written);
    json.key("working_set_bytes").number(kernel.work.working_set);
    json.key("gflops").number(kernel.gigaflops_per_second());
    json.key("gb_per_second").number(kernel.gigabytes_per_second());
    json.key("attainable_us").number(kernel.bound.microseconds);
    json.key("roofline_percent").number(kernel.roofline_percent());
    json.key("bound").text(kernel.bound.by);
    json.end_object();
  }
  json.end_array();
  json.key("kernels_us").number(profile.kernels_us);
  json.key("profiled_step_us").number(profile.step_us);
  json.key("roofline").begin_object();
  json.key("gflops").number(profile.roofline.gigaflops);
  json.key("levels").begin_array();
  for (const MemoryLevel& level : profile.roofline.levels) {
    json.begin_object();
    json.key("name").text(level.name);
    if (&level != &profile.roofline.levels.back()) json.key("bytes").integer(level.bytes);
    json.key("gb_per_second").number(level.gigabytes_per_second);
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

}  // namespace moru
