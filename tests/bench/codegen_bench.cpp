// Speed of generated code, kernel by kernel, and of generating it. Every kernel's result is first compared with the
// interpreter's. Times are minima of repeated runs, since other processes share the machine.
//   codegen_bench [--target T] [--vector-bytes N] [--optimization N] [--assembly KERNEL] [filter]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "compiler/codegen/emit.h"
#include "compiler/interpret/kernel_interpreter.h"
#include "compiler/ops/random_expr.h"
#include "compiler/ops/transcendentals.h"
#include "tests/support/clock.h"

using namespace moru;

namespace {

using moru::test::now;

/// CPU time of this thread: what compiling costs whatever else the machine does.
double cpu_now() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Memory {
  explicit Memory(size_t bytes) : data(std::aligned_alloc(64, (bytes + 127) / 64 * 64)) {
    std::memset(data, 0, (bytes + 127) / 64 * 64);
  }
  ~Memory() { std::free(data); }
  Memory(const Memory&) = delete;
  void* data;
};

struct Case {
  std::string name;
  Kernel kernel;
  double operations;  // floating-point operations, or elements where `per_element`
  bool per_element = false;
  std::map<std::string, int64_t> symbols = {{"batch", 32}, {"time", 24}, {"workers", 1}};
};

Dim d(const std::string& text) { return Dim::parse(text); }

std::string text(const char* format, long a = 0, long b = 0, long c = 0, long e = 0, long f = 0, long g = 0) {
  char line[2000];
  std::snprintf(line, sizeof line, format, a, b, c, e, f, g);
  return line;
}

// y[rows, columns] = x[rows, depth] w[depth, columns] + bias
// The right operand in panels of 64 columns: w[panel][k][column].
Case panels(const char* name, long rows, long depth, long columns) {
  std::string source =
      text("kernel entry {\n  buffer \"x\": f32[%ld]\n  buffer \"w\": f32[%ld]\n  buffer \"y\": f32[%ld]\n", depth * rows,
           depth * columns, rows * columns) +
      text("  contract f32 rows (i: %ld) columns (p: %ld, j: 64) depth (k: %ld) a \"x\"[%ld*i + k] b \"w\"[%ld*p + 64*k + j] {\n",
           rows, columns / 64, depth, depth, depth * 64) +
      text("    \"y\"[%ld*i + 64*p + j] = acc\n  }\n}\n", columns);
  return {name, parse_kernel(source), 2.0 * static_cast<double>(rows * depth * columns)};
}

Case forward(const char* name, const std::string& rows, long depth, long columns, double nominal_rows) {
  std::string source =
      "kernel entry {\n  buffer \"x\": f32[" + std::to_string(depth) + "*(" + rows + ")]\n" +
      text("  buffer \"w\": f32[%ld]\n  buffer \"bias\": f32[%ld]\n", depth * columns, columns) +
      "  buffer \"y\": f32[" + std::to_string(columns) + "*(" + rows + ")]\n  contract f32 rows (i: " + rows +
      text(") columns (j: %ld) depth (k: %ld) a \"x\"[%ld*i + k] b \"w\"[%ld*k + j] init load \"bias\"[j] {\n", columns,
           depth, depth, columns) +
      text("    \"y\"[%ld*i + j] = acc\n  }\n}\n", columns);
  return {name, parse_kernel(source), 2 * nominal_rows * static_cast<double>(depth * columns)};
}

// dw[features, columns] = sum over samples of x[sample, features] dy[sample, columns]
Case gradient(const char* name, long features, const std::string& samples, long columns, double nominal_samples) {
  std::string source = "kernel entry {\n  buffer \"x\": f32[" + std::to_string(features) + "*" + samples +
                       "]\n  buffer \"dy\": f32[" + std::to_string(columns) + "*" + samples + "]\n" +
                       text("  buffer \"dw\": f32[%ld]\n", features * columns) +
                       text("  contract f32 rows (i: %ld) columns (j: %ld) depth (k: ", features, columns) + samples +
                       text(") a \"x\"[i + %ld*k] b \"dy\"[%ld*k + j] {\n    \"dw\"[%ld*i + j] = acc\n  }\n}\n",
                            features, columns, columns);
  return {name, parse_kernel(source), 2 * nominal_samples * static_cast<double>(features * columns)};
}

Kernel make_kernel(std::vector<std::pair<std::string, Dim>> buffers, const std::function<Block(const Kernel&)>& body) {
  Kernel kernel;
  kernel.entry = "entry";
  for (auto& [name, elements] : buffers) kernel.buffers.push_back({name, DType::f32, elements, -1});
  kernel.body = body(kernel);
  return kernel;
}

Expr at(const Kernel& kernel, BufferId id, const std::string& offset) {
  return expr::load(kernel.buffers[id], id, d(offset));
}

Statement vector_loop(std::string var, Dim extent, std::vector<Store> stores) {
  For loop{std::move(var), std::move(extent), ForKind::vector, {}};
  for (Store& stored : stores) loop.body.push_back({std::move(stored), {}});
  return {std::move(loop), {}};
}

Case map(const char* name, long elements, const std::function<Expr(Expr)>& f) {
  Kernel kernel = make_kernel({{"x", elements}, {"y", elements}}, [&](const Kernel& k) {
    return Block{vector_loop("i", elements, {{{1, d("i"), nullptr}, f(at(k, 0, "i")), false}})};
  });
  return {name, kernel, static_cast<double>(elements), true};
}

Case lstm_cell(const char* name, long hidden) {
  const std::string h = std::to_string(hidden), g = std::to_string(4 * hidden);
  Kernel kernel = make_kernel(
      {{"z", d(g + "*batch")},
       {"c", d(h + "*batch")},
       {"cn", d(h + "*batch")},
       {"tc", d(h + "*batch")},
       {"h", d(h + "*batch")}},
      [&](const Kernel& k) {
        const auto gate = [&](int which) { return at(k, 0, g + "*i + j + " + std::to_string(which * hidden)); };
        Expr i = sigmoid_expr(gate(0)), f = sigmoid_expr(gate(1)), u = tanh_expr(gate(2)), o = sigmoid_expr(gate(3));
        Expr c = f * at(k, 1, h + "*i + j") + i * u;
        Expr t = tanh_expr(c);
        const auto to = [&](BufferId id, const std::string& offset) { return Access{id, d(offset), nullptr}; };
        For rows{"i",
                 d("batch"),
                 ForKind::serial,
                 {vector_loop("j", hidden,
                              {{to(2, h + "*i + j"), c, false},
                               {to(3, h + "*i + j"), t, false},
                               {to(4, h + "*i + j"), o * t, false}})}};
        return Block{{rows, {}}};
      });
  return {name, kernel, 32.0 * static_cast<double>(hidden), true};
}

// p -= rate * m' / (sqrt(v') + epsilon), then v' and m'
Case adam(const char* name, long elements) {
  Kernel kernel =
      make_kernel({{"p", elements}, {"g", elements}, {"m", elements}, {"v", elements}}, [&](const Kernel& k) {
        Expr g = at(k, 1, "i");
        Expr m = at(k, 2, "i") * expr::constant(0.9) + g * expr::constant(0.1);
        Expr v = at(k, 3, "i") * expr::constant(0.999) + g * g * expr::constant(0.001);
        Expr step = expr::constant(1e-3) * m / (expr::unary(ExprOp::sqrt, v) + 1e-7);
        const auto to = [&](BufferId id) { return Access{id, d("i"), nullptr}; };
        return Block{
            vector_loop("i", elements, {{to(0), at(k, 0, "i") - step, false}, {to(2), m, false}, {to(3), v, false}})};
      });
  return {name, kernel, static_cast<double>(elements), true};
}

std::vector<Case> make_cases() {
  std::vector<Case> cases;
  cases.push_back(forward("forward 32x64x256", "batch", 64, 256, 32));
  cases.push_back(forward("forward 32x64x128", "batch", 64, 128, 32));
  cases.push_back(forward("forward 32x256x64", "batch", 256, 64, 32));
  cases.push_back(forward("forward 32x128x32", "batch", 128, 32, 32));
  cases.push_back(forward("forward 32x768x32", "batch", 768, 32, 32));
  cases.push_back(forward("forward 32x12x64", "batch", 12, 64, 32));
  cases.push_back(forward("forward 32x64x32", "batch", 64, 32, 32));
  cases.push_back(forward("forward 32x32x1", "batch", 32, 1, 32));
  cases.push_back(forward("forward 32x64x11", "batch", 64, 11, 32));
  cases.push_back(forward("forward 32x64x75", "batch", 64, 75, 32));
  cases.push_back(forward("forward 768x11x256", "24*batch", 11, 256, 768));
  cases.push_back(forward("forward 768x64x128", "24*batch", 64, 128, 768));
  cases.push_back(forward("forward 768x128x64", "24*batch", 128, 64, 768));
  cases.push_back(forward("forward 256x512x512", "8*batch", 512, 512, 256));
  for (long size : {64, 128, 256, 512, 1024}) {
    const std::string name = "square " + std::to_string(size);
    cases.push_back(forward(name.c_str(), std::to_string(size), size, size, static_cast<double>(size)));
  }
  for (long size : {64, 128, 256, 512, 1024}) {
    const std::string name = "panels " + std::to_string(size);
    cases.push_back(panels(name.c_str(), size, size, size));
  }
  for (long batch : {1, 2, 8, 33}) {
    Case one = forward("", "batch", 64, 256, static_cast<double>(batch));
    one.name = "forward " + std::to_string(batch) + "x64x256 (batch)";
    one.symbols["batch"] = batch;
    cases.push_back(one);
  }
  cases.push_back(forward("forward 1x784x512 (batch)", "batch", 784, 512, 1));
  cases.back().symbols["batch"] = 1;
  cases.push_back(gradient("gradient 64x(24*32)x128", 64, "time*batch", 128, 768));
  cases.push_back(gradient("gradient 64x(24*32)x256", 64, "time*batch", 256, 768));
  cases.push_back(gradient("gradient 32x(24*32)x128", 32, "time*batch", 128, 768));
  cases.push_back(gradient("gradient 11x(24*32)x256", 11, "time*batch", 256, 768));
  cases.push_back(gradient("gradient 768x32x32", 768, "batch", 32, 32));
  cases.push_back(gradient("gradient 64x32x32", 64, "batch", 32, 32));
  cases.push_back(gradient("gradient 32x32x1", 32, "batch", 1, 32));
  cases.push_back(map("sigmoid", 4096, sigmoid_expr));
  cases.push_back(map("tanh", 4096, tanh_expr));
  cases.push_back(map("exp", 4096, exp_expr));
  cases.push_back(map("log", 4096, log_expr));
  cases.push_back(map("erf", 4096, erf_expr));
  cases.push_back(map("relu", 4096, [](Expr x) { return expr::binary(ExprOp::max, x, expr::constant(0.0)); }));
  // The element's index, as a dropout of a row of 4096 draws its numbers.
  cases.push_back(map("random", 4096, [](Expr x) {
    return x * random_uniform_expr(expr::index(Dim::symbol("i")), expr::integer(7, DType::i64),
                                   expr::integer(3, DType::i64), 11);
  }));
  cases.push_back(map("multiply", 4096, [](Expr x) { return x * x; }));
  cases.push_back(lstm_cell("lstm cell 32x64", 64));
  cases.push_back(adam("adam 40000", 40000));
  cases.push_back({"column sums 768x256", parse_kernel(R"(kernel entry {
    buffer "x": f32[256*time*batch]
    buffer "s": f32[256]
    for j: 256 { reduce add i: time*batch into "s"[j] { load "x"[256*i + j] } }
  })"),
                   768.0 * 256, true});
  cases.push_back({"row sums 256x768", parse_kernel(R"(kernel entry {
    buffer "x": f32[256*time*batch]
    buffer "s": f32[time*batch]
    for j: time*batch { reduce add i: 256 into "s"[j] { load "x"[256*j + i] } }
  })"),
                   768.0 * 256, true});
  cases.push_back({"transpose 768x32", parse_kernel(R"(kernel entry {
    buffer "x": f32[24576]
    buffer "y": f32[24576]
    transpose (768, 32) from "x"[0] stride (32) to "y"[0] stride (768)
  })"),
                   24576, true});
  cases.push_back({"transpose 512x512", parse_kernel(R"(kernel entry {
    buffer "x": f32[262144]
    buffer "y": f32[262144]
    transpose (512, 512) from "x"[0] stride (512) to "y"[0] stride (512)
  })"),
                   262144, true});
  return cases;
}

void fill(const Kernel& kernel, size_t buffer, int64_t elements, void* data) {
  uint32_t state = 12345u + static_cast<uint32_t>(buffer);
  for (int64_t i = 0; i < elements; ++i) {
    state = state * 1664525u + 1013904223u;
    const double value = static_cast<double>(state >> 8) / 16777216.0 * 2 - 1;
    if (kernel.buffers[buffer].dtype == DType::f32) static_cast<float*>(data)[i] = static_cast<float>(value * value);
  }
}

void run_case(const Case& item, const Target& target, const EmitOptions& options) {
  KernelModule module;
  for (const auto& [name, value] : item.symbols) module.symbols.push_back(name);
  module.kernels.push_back(item.kernel);
  double compile_seconds = 1e9;
  ObjectCode code;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const double begin = cpu_now();
    code = emit_objects(module, target, options);
    compile_seconds = std::min(compile_seconds, cpu_now() - begin);
  }
  const auto jit = jit_load(code);
  size_t bytes_of_code = 0;
  for (const auto& object : code.objects) bytes_of_code += object.size();

  std::vector<std::unique_ptr<Memory>> native, expected;
  std::vector<void*> native_pointers, expected_pointers;
  std::vector<size_t> sizes;
  const auto value_of = [&](std::string_view name) { return item.symbols.at(std::string(name)); };
  for (size_t b = 0; b < item.kernel.buffers.size(); ++b) {
    const int64_t elements = item.kernel.buffers[b].elements.evaluate(value_of);
    sizes.push_back(static_cast<size_t>(elements * dtype_bytes(item.kernel.buffers[b].dtype)));
    for (auto* memories : {&native, &expected}) {
      memories->push_back(std::make_unique<Memory>(sizes.back()));
      fill(item.kernel, b, elements, memories->back()->data);
    }
    native_pointers.push_back(native.back()->data);
    expected_pointers.push_back(expected.back()->data);
  }
  std::vector<int64_t> symbols;
  for (const auto& [name, value] : item.symbols) symbols.push_back(value);
  const moru_kernel_call call{native_pointers.data(), symbols.data(), nullptr, nullptr};
  const moru_entry_function entry = jit->find_entry("entry");
  entry(&call);
  interpret_kernel(item.kernel, expected_pointers, item.symbols);
  bool equal = true;
  for (size_t b = 0; b < sizes.size(); ++b)
    equal = equal && std::memcmp(native_pointers[b], expected_pointers[b], sizes[b]) == 0;

  double best = 1e9;
  const double stop = now() + 0.25;
  double probe = now();
  entry(&call);
  probe = std::max(1e-8, now() - probe);
  const long inner = std::max(1L, static_cast<long>(2e-4 / probe));
  while (now() < stop) {
    const double begin = now();
    for (long i = 0; i < inner; ++i) entry(&call);
    best = std::min(best, (now() - begin) / static_cast<double>(inner));
  }
  std::printf("%-28s %10.3f us  %8.3f %s  %s  compiled in %6.2f ms, %zu bytes\n", item.name.c_str(), best * 1e6,
              item.per_element ? best * 1e9 / item.operations : item.operations / best / 1e9,
              item.per_element ? "ns/element" : "GFLOP/s   ", equal ? "equal bits" : "DIFFERENT BITS",
              compile_seconds * 1e3, bytes_of_code);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Target target = Target::host();
  EmitOptions options;
  options.threads = 1;
  std::string filter, assembly;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--target" && i + 1 < argc)
      target = Target::parse(argv[++i]);
    else if (argument == "--vector-bytes" && i + 1 < argc)
      options.vector_bytes = std::atoi(argv[++i]);
    else if (argument == "--optimization" && i + 1 < argc)
      options.optimization = std::atoi(argv[++i]);
    else if (argument == "--assembly" && i + 1 < argc)
      assembly = argv[++i];
    else if (argument == "--llvm" && i + 1 < argc)
      assembly = "@" + std::string(argv[++i]);
    else
      filter = argument;
  }
  std::vector<Case> cases = make_cases();
  std::printf("target %s\n", target.text().c_str());
  for (const Case& item : cases) {
    if (!assembly.empty()) {
      KernelModule module;
      for (const auto& [name, value] : item.symbols) module.symbols.push_back(name);
      module.kernels.push_back(item.kernel);
      if (item.name == assembly) std::puts(emit_assembly(module, target, options).c_str());
      if ("@" + item.name == assembly) std::puts(emit_llvm_ir(module, target, options).c_str());
      continue;
    }
    if (item.name.find(filter) != std::string::npos) run_case(item, target, options);
  }
  if ((!filter.empty() && filter != "all") || !assembly.empty()) return 0;

  // A program's worth of kernels at once.
  KernelModule all;
  for (const auto& [name, value] : cases[0].symbols) all.symbols.push_back(name);
  for (size_t i = 0; i < cases.size(); ++i) {
    all.kernels.push_back(cases[i].kernel);
    all.kernels.back().entry = "entry_" + std::to_string(i);
  }
  for (int threads : {1, 2}) {
    options.threads = threads;
    double emit_seconds = 1e9, load_seconds = 1e9, cpu_seconds = 1e9;
    for (int repeat = 0; repeat < 5; ++repeat) {
      const double begin = now(), cpu_begin = cpu_now();
      const ObjectCode code = emit_objects(all, target, options);
      emit_seconds = std::min(emit_seconds, now() - begin);
      cpu_seconds = std::min(cpu_seconds, cpu_now() - cpu_begin);
      const double loading = now();
      jit_load(code);
      load_seconds = std::min(load_seconds, now() - loading);
    }
    std::printf(
        "all %zu kernels, %d thread%s: compiled in %.1f ms (%.1f ms of CPU time on the first), linked into this "
        "process in %.1f ms\n",
        cases.size(), threads, threads == 1 ? "" : "s", emit_seconds * 1e3, cpu_seconds * 1e3, load_seconds * 1e3);
  }
}
