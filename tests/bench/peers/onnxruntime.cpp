// ONNX Runtime (see peer.h): predictions through its C API. The library is opened by the path in its last argument; its
// table of functions only ever grows, so the few that are needed are called by their place in it.
//
//   onnxruntime WORKLOAD predict BATCH THREADS DIR MODEL.onnx LIBRARY
#include <dlfcn.h>

#include "tests/bench/peers/peer.h"

namespace {

void** table = nullptr;

template <typename Function>
Function at(int place) {
  return reinterpret_cast<Function>(table[place]);
}
void check(void* status) {
  if (status != nullptr) peer::fail(at<const char* (*)(void*)>(2)(status));
}

constexpr int create_environment = 3, create_session = 7, run_session = 9, create_options = 10, set_optimization = 23, set_threads = 24,
              create_tensor = 49, create_memory_info = 69;
constexpr int type_float = 1, type_int64 = 7, all_optimizations = 99;

struct Tensors {
  std::vector<const char*> names;
  std::vector<void*> values;
  std::vector<std::vector<char>> memory;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) peer::fail("usage: onnxruntime WORKLOAD predict BATCH THREADS DIR MODEL.onnx LIBRARY");
  const peer::Job job = peer::parse_job(6, argv);
  void* library = dlopen(argv[7], RTLD_NOW);
  if (library == nullptr) peer::fail(dlerror());
  struct Base {
    void** (*get_api)(uint32_t);
    const char* (*get_version)();
  };
  const auto get_base = reinterpret_cast<const Base* (*)()>(dlsym(library, "OrtGetApiBase"));
  if (get_base == nullptr || (table = get_base()->get_api(17)) == nullptr) peer::fail("this library is no ONNX Runtime of version 1.17 or later");
  void *environment = nullptr, *memory_info = nullptr, *options = nullptr, *session = nullptr;
  check(at<void* (*)(int, const char*, void**)>(create_environment)(3, "peer", &environment));
  check(at<void* (*)(int, int, void**)>(create_memory_info)(1, 0, &memory_info));
  check(at<void* (*)(void**)>(create_options)(&options));
  check(at<void* (*)(void*, int)>(set_optimization)(options, all_optimizations));
  check(at<void* (*)(void*, int)>(set_threads)(options, job.threads));
  check(at<void* (*)(void*, const char*, void*, void**)>(create_session)(environment, argv[6], options, &session));

  const auto add = [&](Tensors& tensors, const char* name, std::vector<int64_t> shape, const void* data, size_t bytes, int type) {
    tensors.names.push_back(name);
    tensors.memory.emplace_back(bytes);
    if (data != nullptr) std::memcpy(tensors.memory.back().data(), data, bytes);
    void* value = nullptr;
    using Create = void* (*)(void*, void*, size_t, const int64_t*, size_t, int, void**);
    check(at<Create>(create_tensor)(memory_info, tensors.memory.back().data(), bytes, shape.data(), shape.size(), type, &value));
    tensors.values.push_back(value);
  };
  Tensors inputs, outputs;
  const auto floats = [&](const char* name, std::vector<int64_t> row) {
    row.insert(row.begin(), job.batch);
    const std::vector<float> values = peer::load(job, name);
    add(inputs, name, row, values.data(), values.size() * 4, type_float);
  };
  const auto result = [&](const char* name, int64_t size) {
    add(outputs, name, {job.batch, size}, nullptr, static_cast<size_t>(job.batch * size) * 4, type_float);
  };
  if (job.workload == "T1") floats("x", {12});
  if (job.workload == "T2") floats("x", {784});
  if (job.workload == "T3") floats("x", {24, 11});
  if (job.workload == "T4") floats("x", {12, 5});
  if (job.workload == "T6") floats("x", {1, 28, 28});
  if (job.workload == "T7") floats("x", {64, 128});
  if (job.workload == "T5") {
    floats("a", {10});
    floats("b", {24, 5});
    const std::vector<int32_t> narrow = peer::load<int32_t>(job, "c");
    const std::vector<int64_t> wide(narrow.begin(), narrow.end());
    add(inputs, "c", {job.batch}, wide.data(), wide.size() * 8, type_int64);
    result("value", 1);
    result("kind", 3);
  } else {
    result("y", job.workload == "T2" || job.workload == "T6" || job.workload == "T7" ? 10 : 1);
  }
  using Run = void* (*)(void*, void*, const char* const*, void* const*, size_t, const char* const*, size_t, void**);
  const Run run = at<Run>(run_session);
  const auto step = [&] {
    check(run(session, nullptr, inputs.names.data(), inputs.values.data(), inputs.values.size(), outputs.names.data(), outputs.values.size(),
              outputs.values.data()));
  };
  const auto predictions = [&] {
    std::vector<double> values;
    for (const std::vector<char>& memory : outputs.memory)
      peer::append_sample(values, reinterpret_cast<const float*>(memory.data()), memory.size() / 4);
    return values;
  };
  return peer::serve({[&] {
                        step();
                        return predictions();
                      },
                      step, predictions});
}
