// Runs a command and prints its wall time and its peak memory: a process that is started from a large one (Python) counts
// the large one's memory as its own.
//
//   launch COMMAND...    -> MILLISECONDS MEBIBYTES
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

static double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const double begin = now();
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    execv(argv[1], argv + 1);
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child || status != 0) return 1;
  std::printf("%.4f %.3f\n", (now() - begin) * 1e3, static_cast<double>(usage.ru_maxrss) / 1024);
  return 0;
}
