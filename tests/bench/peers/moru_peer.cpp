// Moru among its peers (see peer.h), and the one that writes the weights and data which all of them begin with:
//
//   moru_peer export WORKLOAD BATCH DIR
//   moru_peer save WORKLOAD FILE.moru
#include <random>

#include "compiler/model/initializers.h"
#include "compiler/passes/block_contractions.h"
#include "compiler/passes/plan_memory.h"
#include "compiler/io/model_io.h"
#include "runtime/moru_file.h"
#include "runtime/thread_pool.h"
#include "tests/bench/peers/peer.h"
#include "tests/bench/workloads.h"
#include "tools/moru/native_program.h"

using namespace moru;

namespace {

template <typename T>
T need(Result<T> result) {
  if (!result) peer::fail(result.status().message());
  return std::move(*result);
}
void need(const Status& status) {
  if (!status.ok()) peer::fail(status.message());
}

const bench::Workload& find(const std::string& name) {
  const bench::Workload* workload = bench::find_workload(name);
  if (workload == nullptr) peer::fail("there is no workload '" + name + "'");
  return *workload;
}

struct Running {
  std::shared_ptr<const Program> program;
  std::unique_ptr<Session> session;
  std::vector<std::vector<std::byte>> data;  // bound

  Running(const bench::Workload& workload, double dropout_rate, int threads) {
    Model model = workload.model(dropout_rate);
    initialize_parameters(model, 1);
    CompileOptions options;
    options.pipeline.training = &workload.training;
    program = need(make_native_program(model, options));
    session = need(Session::create(program, {.threads = threads}));
  }

  void for_each_input(int64_t batch, const std::function<void(uint32_t slot, const ProgramSlot&, const std::vector<int64_t>& shape,
                                                             int64_t count)>& visit) const {
    for (uint32_t i = 0; i < program->slots().size(); ++i) {
      const ProgramSlot& slot = program->slots()[i];
      if (!is_bound_by_caller(slot.kind)) continue;
      std::vector<int64_t> shape;
      int64_t count = 1;
      for (const DimExpression& dim : slot.shape) {
        shape.push_back(dim.evaluate(std::vector<int64_t>(program->symbols().size(), batch)).value_or(batch));
        count *= shape.back();
      }
      visit(i, slot, shape, count);
    }
  }

  void bind(const peer::Job& job) {
    for_each_input(job.batch, [&](uint32_t i, const ProgramSlot& slot, const std::vector<int64_t>& shape, int64_t) {
      data.push_back(peer::load<std::byte>(job, slot.name));
      need(session->bind(i, data.back().data(), shape));
    });
  }

  std::function<void()> entry(const char* name) const {
    return [session = session.get(), entry = *program->find_entry(name)] { need(session->run(entry)); };
  }
};

// The weights of the first session and random data, in which the target depends on the inputs.
int export_workload(const std::string& name, int64_t batch, const std::string& directory) {
  const Running running(find(name), 0.2, 1);
  for (uint32_t i = 0; i < running.program->slots().size(); ++i) {
    const ProgramSlot& slot = running.program->slots()[i];
    if (slot.kind != SlotKind::parameter) continue;
    const TensorView view = running.session->view(i);
    peer::save(directory, slot.name, view.data, view.bytes());
  }
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  running.for_each_input(batch, [&](uint32_t, const ProgramSlot& slot, const std::vector<int64_t>&, int64_t count) {
    if (slot.dtype == DType::f32) {
      std::vector<float> values(static_cast<size_t>(count));
      for (float& v : values) v = normal(random);
      peer::save(directory, slot.name, values.data(), values.size() * 4);
    } else {
      std::vector<int32_t> values(static_cast<size_t>(count));
      const auto limit = static_cast<uint32_t>(slot.index_limit ? slot.index_limit : 3);
      for (int32_t& v : values) v = static_cast<int32_t>(random() % limit);
      peer::save(directory, slot.name, values.data(), values.size() * 4);
    }
  });
  return 0;
}

int save_workload(const std::string& name, const std::string& path) {
  Model model = find(name).model();
  initialize_parameters(model, 1);
  const std::vector<std::byte> bytes = write_model(model);
  const WeightsSection weights = make_weights_section(model);
  need(write_moru_file(path, std::vector<MoruSection>{{SectionKind::model, {bytes}}, {SectionKind::weights, weights.pieces}}));
  return 0;
}

int serve_workload(const peer::Job& job) {
  const bench::Workload& workload = find(job.workload);
  Running running(workload, 0.2, job.threads);
  running.bind(job);
  const auto step = running.entry(job.trains() ? "train_step" : "predict");
  const auto result = [&] {
    std::vector<double> out;
    const auto append = [&](uint32_t slot) {
      const auto values = running.session->view(slot).elements<float>();
      peer::append_sample(out, values.data(), values.size());
    };
    if (job.trains())
      append(*running.program->find_slot("loss"));
    else
      for (const ProgramOutput& output : running.program->outputs()) append(output.prediction);
    return out;
  };
  const auto check = [&]() -> std::vector<double> {
    std::vector<double> out;
    if (job.trains()) {
      Running without_dropout(workload, 0, job.threads);
      without_dropout.bind(job);
      const auto train = without_dropout.entry("train_step");
      for (int i = 0; i < 3; ++i) {
        train();
        out.push_back(without_dropout.session->view(*running.program->find_slot("loss")).elements<float>()[0]);
      }
      return out;
    }
    step();
    return result();
  };
  return peer::serve({check, step, result});
}

// A product whose right operand lies in panels of 64 columns, as weights of a program may.
int serve_product(const peer::Job& job, int64_t m, int64_t k, int64_t n) {
  if (n % 64 != 0) peer::fail("columns are a multiple of 64");
  char text[600];
  std::snprintf(text, sizeof text, R"(kernel "product" {
    buffer "x": f32[%ld] slot 0
    buffer "w": f32[%ld] slot 1
    buffer "y": f32[%ld] slot 2
    contract f32 rows (i: %ld) columns (p: %ld, j: 64) depth (k: %ld) a "x"[%ld*i + k] b "w"[%ld*p + 64*k + j] {
      "y"[%ld*i + 64*p + j] = acc
    }
  })", m * k, k * n, m * n, m, n / 64, k, k, 64 * k, n);
  const Target target = Target::host();
  KernelModule module{.symbols = {"workers"}, .kernels = {parse_kernel(text)}, .slot_count = 3};
  block_contractions(module.kernels[0], target.l2_bytes);
  const MemoryPlan plan = plan_memory(module.kernels[0]);
  const std::unique_ptr<JitCode> code = jit_compile(module, target);

  const std::vector<float> left = peer::operand(static_cast<size_t>(m * k), false);
  const auto floats = [](int64_t count) { return static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(count * 4 + 63) / 64 * 64)); };
  float *x = floats(m * k), *w = floats(k * n), *y = floats(m * n);
  std::copy(left.begin(), left.end(), x);
  for (int64_t row = 0; row < k; ++row)
    for (int64_t column = 0; column < n; ++column)
      w[column / 64 * 64 * k + row * 64 + column % 64] = peer::operand_element(static_cast<size_t>(row * n + column), true);
  const std::unique_ptr<ThreadPool> pool = need(ThreadPool::create(job.threads));
  const auto bytes = [&](const Dim& dim) { return dim.evaluate([&](std::string_view) { return int64_t{job.threads}; }); };
  auto* arena = reinterpret_cast<std::byte*>(floats(bytes(plan.total_bytes) / 4 + 16));
  std::vector<void*> buffers = {x, w, y};
  for (const BufferPlace& place : plan.places) buffers.push_back(arena + bytes(place.offset));
  const int64_t symbols[] = {job.threads};
  const moru_kernel_call call = {buffers.data(), symbols, ThreadPool::parallel_for_callback, pool.get()};
  const moru_entry_function run = code->find_entry("product");
  const auto step = [&] { run(&call); };
  const auto result = [&] { return peer::sample(y, m, n); };
  return peer::serve({[&] {
                        step();
                        return result();
                      },
                      step, result});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "export") return export_workload(argv[2], std::atol(argv[3]), argv[4]);
  if (argc == 4 && std::string(argv[1]) == "save") return save_workload(argv[2], argv[3]);
  const peer::Job job = peer::parse_job(argc, argv);
  long m = 0, k = 0, n = 0;
  if (peer::parse_product(job.workload, m, k, n)) return serve_product(job, m, k, n);
  return serve_workload(job);
}
