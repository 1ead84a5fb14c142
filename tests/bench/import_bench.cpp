// How long it takes to import model files of 100 MB beside only reading them, and how much memory: each run in a process
// of its own.
//
//   import_bench [DIRECTORY]      where the files are made; default: the temporary directory
#include <fcntl.h>
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

#include "compiler/exchange/keras_archive.h"
#include "compiler/exchange/onnx/onnx_export.h"
#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/model/layers.h"
#include "runtime/mapped_file.h"

namespace {

constexpr int layers = 25;
constexpr int64_t width = 1024;  // 4 MiB of weights each

moru::Model make_model() {
  moru::ModelBuilder builder("large");
  moru::Tensor x = builder.input("x", {width});
  for (int i = 0; i < layers; ++i) x = builder.call(moru::layers::dense(width), x);
  moru::Model model = builder.build({x});
  moru::initialize_parameters(model, 1);
  return model;
}

void write_file(const std::string& path, const std::vector<std::byte>& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

struct Format {
  const char* ending;
  std::vector<std::byte> (*write)(const moru::Model& model);
  void (*import)(const std::string& path);
};

void import_keras(const std::string& path) {
  const auto file = moru::MappedFile::open(path);
  if (!file) std::exit(1);
  moru::import_keras_file((*file)->bytes(), path);
}

constexpr Format formats[] = {
    {".onnx", [](const moru::Model& model) { return moru::export_onnx(model); },
     [](const std::string& path) { moru::import_onnx(path); }},
    {".keras", [](const moru::Model& model) { return moru::export_keras_archive(model); }, import_keras},
    {".h5", [](const moru::Model& model) { return moru::export_keras_h5(model); }, import_keras},
};

struct Measured {
  double seconds = 0.0;
  long peak_kilobytes = 0;  // resident, pages of the file that is mapped among them
};

Measured measure(const std::function<void()>& work) {
  std::fflush(nullptr);  // or processes that are forked print it again
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
  if (count > 2 || !std::filesystem::is_directory(folder)) {
    std::fprintf(stderr, "import_bench [DIRECTORY]: '%s' is not a folder to make files in\n", folder.c_str());
    return 2;
  }
  for (const Format& format : formats) {
    const std::string path = (folder / ("import_bench_" + std::to_string(::getpid()) + format.ending)).string();
    const pid_t maker = ::fork();  // so that its memory is not counted
    if (maker == 0) {
      write_file(path, format.write(make_model()));
      ::_exit(0);
    }
    ::waitpid(maker, nullptr, 0);
    const Measured read = best([&] { read_whole(path); });
    const Measured imported = best([&] { format.import(path); });
    const double megabytes = static_cast<double>(std::filesystem::file_size(path)) / 1e6;
    std::filesystem::remove(path);
    std::printf("%-7s %.0f MB: read in %.1f ms, imported in %.1f ms (%.2f times), peak memory %.2f times the file\n",
                format.ending, megabytes, read.seconds * 1e3, imported.seconds * 1e3, imported.seconds / read.seconds,
                static_cast<double>(imported.peak_kilobytes) * 1024.0 / 1e6 / megabytes);
  }
}
