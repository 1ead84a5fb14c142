// Turns Ctrl-C and a polite kill into "finish this step, then stop".
#pragma once

#include <csignal>

namespace moru {

/// While one is alive, the first SIGINT or SIGTERM only sets a flag; a second one ends the process as usual. The former
/// handlers come back when it is destroyed. Signals that were ignored stay ignored. At most one at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The number of the signal that arrived, or 0.
  static int signal() { return arrived_; }

 private:
  static void handle(int number);

  static volatile std::sig_atomic_t arrived_;
  struct sigaction former_interrupt_;
  struct sigaction former_terminate_;
};

}  // namespace moru
