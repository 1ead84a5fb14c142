// Times training steps and predictions of the workloads, one JSON line each.
//
//   bench_steps [--only T1,T3] [--batch N] [--threads N] [--predict] [--verify] [--disable PASS] [--dump] [--kernels]
//               [--dtype-policy mixed_bfloat16]
//
// Before a time is printed the step has run and its loss was checked to be finite and to fall. Medians and minima of 25
// samples of about 0.05 s. --kernels adds where the time goes, as `moru bench --kernels` does.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <set>

#include "compiler/model/initializers.h"
#include "tests/bench/workloads.h"
#include "tests/support/clock.h"
#include "tools/moru/kernel_profile.h"
#include "tools/moru/native_program.h"

using namespace moru;

namespace {

using moru::test::now;

struct Bound {
  std::vector<std::vector<float>> floats;
  std::vector<std::vector<int32_t>> integers;
};

// Random inputs and a target that depends on them.
void bind_random(Session& session, int64_t batch, Bound& bound) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const Program& program = session.program();
  for (uint32_t i = 0; i < program.slots().size(); ++i) {
    const ProgramSlot& slot = program.slots()[i];
    if (!is_bound_by_caller(slot.kind)) continue;
    std::vector<int64_t> shape;
    int64_t count = 1;
    for (const DimExpression& dim : slot.shape) {
      int64_t extent = dim.evaluate(std::vector<int64_t>(program.symbols().size(), batch)).value_or(batch);
      shape.push_back(extent);
      count *= extent;
    }
    const void* data = nullptr;
    if (slot.dtype == DType::f32) {
      bound.floats.emplace_back(static_cast<size_t>(count));
      for (float& v : bound.floats.back()) v = normal(random);
      data = bound.floats.back().data();
    } else {
      bound.integers.emplace_back(static_cast<size_t>(count));
      for (int32_t& v : bound.integers.back())
        v = static_cast<int32_t>(random() % (slot.index_limit ? static_cast<uint32_t>(slot.index_limit) : 3));
      data = bound.integers.back().data();
    }
    Status status = session.bind(i, data, shape);
    if (!status.ok()) {
      std::fprintf(stderr, "error: %s\n", status.message().c_str());
      std::exit(1);
    }
  }
}

void print_kernels(Model& model, const CompileOptions& options, const std::string& entry_name, int64_t batch,
                   int threads, double step_us) {
  CompiledModel compiled;
  const JitCode* code = nullptr;
  EmitOptions emit;
  emit.profile_workers = threads;
  std::shared_ptr<const Program> program = *make_native_program(model, options, emit, {}, &compiled, &code);
  std::unique_ptr<Session> session = *Session::create(program, {.threads = threads});
  Bound bound;
  bind_random(*session, batch, bound);
  const uint32_t entry = *program->find_entry(entry_name);
  static const Roofline roofline = measure_roofline(options.target);
  const KernelProfile profile =
      profile_kernels(compiled.lowered.kernels, entry_name, {{"batch", batch}, {"workers", threads}}, code->profile(),
                      [&] { if (!session->run(entry).ok()) std::abort(); }, 1.0, roofline);
  std::fputs(kernel_profile_text(profile, step_us, threads).c_str(), stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::string only;
  std::set<std::string, std::less<>> disable;
  std::vector<int64_t> batches = {32, 256};
  int threads = 1;
  int64_t budget = 0;
  DTypePolicy policy = DTypePolicy::float32;
  bool predict = false, verify = false, dump = false, kernels = false;
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    if (a == "--only" && i + 1 < argc)
      only = argv[++i];
    else if (a == "--batch" && i + 1 < argc)
      batches = {std::atoll(argv[++i])};
    else if (a == "--threads" && i + 1 < argc)
      threads = std::atoi(argv[++i]);
    else if (a == "--memory-budget" && i + 1 < argc)
      budget = std::atoll(argv[++i]);
    else if (const auto named = a == "--dtype-policy" && i + 1 < argc ? find_dtype_policy(argv[i + 1]) : std::nullopt)
      policy = *named, ++i;
    else if (a == "--predict")
      predict = true;
    else if (a == "--disable" && i + 1 < argc)
      disable.insert(argv[++i]);
    else if (a == "--dump")
      dump = true;
    else if (a == "--kernels")
      kernels = true;
    else if (a == "--verify")
      verify = true;
    else {
      std::fprintf(stderr, "usage: bench_steps [--only T1,T3] [--batch N] [--threads N] [--predict] [--verify] [--disable PASS] [--dump] [--memory-budget BYTES] "
                   "[--dtype-policy float32|mixed_bfloat16] [--kernels]\n");
      return 2;
    }
  }
  for (const bench::Workload& workload : bench::workloads()) {
    if (!only.empty() && only.find(workload.name) == std::string::npos) continue;
    Model model = workload.model();
    initialize_parameters(model, 1);
    model.dtype_policy = policy;
    CompileOptions options;
    if (policy == DTypePolicy::mixed_bfloat16) options.target = Target::host_for_bf16();
    options.pipeline.training = &workload.training;
    options.pipeline.verify = verify;
    options.pipeline.disable = disable;
    options.memory_budget = {budget, batches[0], threads};
    double begin = now();
    CompiledModel compiled;
    Result<std::shared_ptr<const Program>> program = make_native_program(model, options, {}, {}, &compiled);
    double compile_seconds = now() - begin;
    if (!program) {
      std::fprintf(stderr, "error: %s\n", program.status().message().c_str());
      return 1;
    }
    if (dump) {
      std::puts(kernel_module_text(compiled.lowered.kernels).c_str());
      continue;
    }
    double pass_us = 0;
    for (const StageTime& stage : compiled.lowered.times.list()) {
      if (stage.name == "package") break;
      pass_us += stage.microseconds;
    }
    std::printf("{\"workload\":\"%s\",\"compile_ms\":%.1f,\"passes_ms\":%.1f}\n", workload.name.c_str(),
                compile_seconds * 1e3, pass_us / 1e3);
    for (int64_t batch : batches) {
      auto session = Session::create(*program, {.threads = threads});
      if (!session) {
        std::fprintf(stderr, "error: %s\n", session.status().message().c_str());
        return 1;
      }
      Bound bound;
      bind_random(**session, batch, bound);
      const char* entry_name = predict ? "predict" : "train_step";
      uint32_t entry = *(*program)->find_entry(entry_name);
      auto run = [&] {
        Status status = (*session)->run(entry);
        if (!status.ok()) {
          std::fprintf(stderr, "error: %s\n", status.message().c_str());
          std::exit(1);
        }
      };
      float first = 0, last = 0;
      auto loss = [&] { return (*session)->view(*(*program)->find_slot("loss")).elements<float>()[0]; };
      run();
      if (!predict) first = loss();
      for (int i = 0; i < 60; ++i) run();
      if (!predict) {
        last = loss();
        if (!std::isfinite(last) || last >= first * 1.02f) {
          std::fprintf(stderr, "error: %s: the loss went from %g to %g\n", workload.name.c_str(), first, last);
          return 1;
        }
      }
      double t0 = now();
      run();
      run();
      double one = (now() - t0) / 2;
      long repeat = std::max(1L, static_cast<long>(0.05 / one));
      std::vector<double> samples;
      for (int s = 0; s < 25; ++s) {
        t0 = now();
        for (long i = 0; i < repeat; ++i) run();
        samples.push_back((now() - t0) / static_cast<double>(repeat));
      }
      std::sort(samples.begin(), samples.end());
      std::printf(
          "{\"workload\":\"%s\",\"mode\":\"%s\",\"batch\":%lld,\"threads\":%d,\"us_median\":%.2f,\"us_min\":%.2f,"
          "\"gflops\":%.1f,\"arena_bytes\":%llu}\n",
          workload.name.c_str(), predict ? "predict" : "train", static_cast<long long>(batch), threads,
          samples[12] * 1e6, samples[0] * 1e6,
          workload.flops_per_sample_training * (predict ? 1.0 / 3 : 1.0) * static_cast<double>(batch) / samples[12] /
              1e9,
          static_cast<unsigned long long>((*session)->arena_bytes()));
      std::fflush(stdout);
      if (kernels) print_kernels(model, options, entry_name, batch, threads, samples[12] * 1e6);
    }
  }
  return 0;
}
