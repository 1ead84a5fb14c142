// How long it takes to import an ONNX file of 100 MB beside only reading it, and how much memory: each run in a process
// of its own.
//
//   onnx_import_bench [DIRECTORY]      where the file is made; default: the temporary directory
#include <fcntl.h>
#include <onnx/onnx_pb.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "compiler/exchange/onnx/onnx_import.h"

namespace {

constexpr int layers = 25;
constexpr int64_t width = 1024;  // 4 MiB of weights each

void write_model(const std::string& path) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *model.mutable_graph();
  onnx::ValueInfoProto& input = *graph.add_input();
  input.set_name("x0");
  auto* type = input.mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  type->mutable_shape()->add_dim()->set_dim_param("batch");
  type->mutable_shape()->add_dim()->set_dim_value(width);
  for (int i = 0; i < layers; ++i) {
    onnx::NodeProto& node = *graph.add_node();
    node.set_op_type("MatMul");
    node.add_input("x" + std::to_string(i));
    node.add_input("w" + std::to_string(i));
    node.add_output("x" + std::to_string(i + 1));
    onnx::TensorProto& weight = *graph.add_initializer();
    weight.set_name("w" + std::to_string(i));
    weight.set_data_type(onnx::TensorProto::FLOAT);
    weight.add_dims(width);
    weight.add_dims(width);
    std::vector<float> values(static_cast<size_t>(width * width));
    for (size_t k = 0; k < values.size(); ++k) values[k] = static_cast<float>(k % 251) * 1e-3f;
    weight.set_raw_data(values.data(), values.size() * sizeof(float));
  }
  graph.add_output()->set_name("x" + std::to_string(layers));
  std::ofstream file(path, std::ios::binary);
  model.SerializeToOstream(&file);
}

struct Measured {
  double seconds = 0.0;
  long peak_kilobytes = 0;
};

Measured measure(const std::function<void()>& work) {
  int ends[2];
  if (::pipe(ends) != 0) std::exit(1);
  if (::fork() == 0) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    Measured measured{std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 0};
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    measured.peak_kilobytes = usage.ru_maxrss;
    if (::write(ends[1], &measured, sizeof measured) != sizeof measured) ::_exit(1);
    ::_exit(0);
  }
  Measured measured;
  if (::read(ends[0], &measured, sizeof measured) != sizeof measured) std::exit(1);
  ::wait(nullptr);
  ::close(ends[0]);
  ::close(ends[1]);
  return measured;
}

Measured best(const std::function<void()>& work) {
  Measured result = measure(work);
  for (int i = 0; i < 9; ++i) {
    const Measured again = measure(work);
    if (again.seconds < result.seconds) result = again;
  }
  return result;
}

void read_whole(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY);
  std::vector<char> bytes;
  bytes.reserve(std::filesystem::file_size(path));
  char* const begin = bytes.data();
  for (ssize_t at = 0, got = 1; got > 0; at += got)
    got = ::read(file, begin + at, bytes.capacity() - static_cast<size_t>(at));
  ::close(file);
}

}  // namespace

int main(int count, char** arguments) {
  const std::filesystem::path folder =
      count > 1 ? std::filesystem::path(arguments[1]) : std::filesystem::temp_directory_path();
  const std::string path = (folder / ("onnx_import_bench_" + std::to_string(::getpid()) + ".onnx")).string();
  pid_t maker = ::fork();  // so that its memory is not counted
  if (maker == 0) {
    write_model(path);
    ::_exit(0);
  }
  ::waitpid(maker, nullptr, 0);
  const Measured read = best([&] { read_whole(path); });
  const Measured imported = best([&] { moru::import_onnx(path); });
  const double megabytes = static_cast<double>(std::filesystem::file_size(path)) / 1e6;
  std::filesystem::remove(path);
  std::printf("%.0f MB: read in %.1f ms, imported in %.1f ms (%.2f times), peak memory %.2f times the file\n",
              megabytes, read.seconds * 1e3, imported.seconds * 1e3, imported.seconds / read.seconds,
              static_cast<double>(imported.peak_kilobytes) * 1024.0 / 1e6 / megabytes);
}
