// What every program under peers/ is: it prepares one workload, then obeys lines on standard input.
//
//   PROGRAM WORKLOAD MODE BATCH THREADS DIR     WORKLOAD T1 .. T7 or MxKxN (a matrix product), MODE train or predict
//   -> ready
//   check          -> check N N N ...           numbers that every program must agree on (see README.md)
//   run SECONDS    -> run MICROSECONDS          the mean of as many steps as fit
//   result         -> result N N N ...          what the last step gave: the loss, or the same numbers as a check
//
// DIR holds the initial weights and the data, one file an array: `moru_peer export` writes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

namespace peer {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "error: %s\n", what.c_str());
  std::exit(1);
}

struct Job {
  std::string workload, mode, directory;
  long batch = 0;
  int threads = 1;
  bool trains() const { return mode == "train"; }
};

inline Job parse_job(int argc, char** argv) {
  if (argc != 6) fail(std::string("usage: ") + argv[0] + " WORKLOAD MODE BATCH THREADS DIR");
  return {argv[1], argv[2], argv[5], std::atol(argv[3]), std::atoi(argv[4])};
}

/// The file of an array: slashes of its name become dots.
inline std::string file_of(const std::string& directory, std::string name) {
  for (char& c : name)
    if (c == '/') c = '.';
  return directory + "/" + name;
}

template <typename T = float>
std::vector<T> load(const Job& job, const std::string& name) {
  const std::string path = file_of(job.directory, name);
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) fail("cannot read " + path);
  std::vector<T> values;
  T buffer[4096];
  for (size_t n; (n = std::fread(buffer, sizeof(T), 4096, file)) > 0;) values.insert(values.end(), buffer, buffer + n);
  std::fclose(file);
  return values;
}

inline void save(const std::string& directory, const std::string& name, const void* data, size_t bytes) {
  const std::string path = file_of(directory, name);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr || std::fwrite(data, 1, bytes, file) != bytes || std::fclose(file) != 0) fail("cannot write " + path);
}

/// M, K and N of a workload "MxKxN"; false for any other.
inline bool parse_product(const std::string& workload, long& m, long& k, long& n) {
  return std::sscanf(workload.c_str(), "%ldx%ldx%ld", &m, &k, &n) == 3;
}

/// Element i of an operand, the same in every program.
inline float operand_element(size_t i, bool right) { return static_cast<float>((i * 7919 + (right ? 31 : 0)) % 1000) / 1000.0f - 0.5f; }
inline std::vector<float> operand(size_t count, bool right) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = operand_element(i, right);
  return values;
}
/// What an array is compared by: its elements, or of many about a thousand from all over it.
inline void append_sample(std::vector<double>& out, const float* values, size_t count) {
  for (size_t i = 0, stride = count / 1021 + 1; i < count; i += stride) out.push_back(values[i]);
}
inline std::vector<double> sample(const float* c, long m, long n) {
  std::vector<double> out;
  append_sample(out, c, static_cast<size_t>(m * n));
  return out;
}

struct Program {
  std::function<std::vector<double>()> check;  // called before the first run
  std::function<void()> step;
  std::function<std::vector<double>()> result;  // of the last step
};

inline int serve(const Program& program) {
  std::puts("ready");
  std::fflush(stdout);
  double seconds_per_step = 0;
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line == "check" || line == "result") {
      std::string out = line;
      char number[40];
      for (double value : line == "check" ? program.check() : program.result()) {
        std::snprintf(number, sizeof number, " %.9g", value);
        out += number;
      }
      std::puts(out.c_str());
    } else if (line.rfind("run ", 0) == 0) {
      const double wanted = std::atof(line.c_str() + 4);
      if (seconds_per_step == 0) {
        for (int i = 0; i < 3; ++i) program.step();
        const double begin = now();
        program.step();
        seconds_per_step = now() - begin;
      }
      const long steps = std::max(1L, static_cast<long>(wanted / std::max(seconds_per_step, 1e-7)));
      // The other programs have had the caches.
      for (long i = 0; i < std::min(steps, 3L); ++i) program.step();
      const double begin = now();
      for (long i = 0; i < steps; ++i) program.step();
      seconds_per_step = (now() - begin) / static_cast<double>(steps);
      std::printf("run %.4f\n", seconds_per_step * 1e6);
    } else {
      fail("what is '" + line + "'?");
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace peer
