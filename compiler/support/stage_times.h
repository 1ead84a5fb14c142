// Where compiling spends its time: stages in the order in which they first ran.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace moru {

struct StageTime {
  std::string name;
  double microseconds = 0;         // of the clock on the wall
  double thread_microseconds = 0;  // of all threads that worked on it; the same where one did
};

class StageTimes {
 public:
  /// Runs `body` and adds its time to the stage `name`.
  template <class Body>
  void run(std::string_view name, Body&& body) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    const double taken = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
    add(name, taken, taken);
  }

  void add(std::string_view name, double microseconds, double thread_microseconds);

  /// The stages of threads that worked side by side for `microseconds`, which are shared out by what the threads spent.
  void add_parallel(const std::vector<StageTimes>& threads, double microseconds);

  /// All stages of `other` behind these.
  void append(const StageTimes& other);

  const std::vector<StageTime>& list() const { return list_; }
  double total_microseconds() const;

 private:
  std::vector<StageTime> list_;
};

}  // namespace moru
