// Runs a test's body in a child process, because what it does to the process (limits, user id, mounts) is for ever.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace moru::test {

/// What the child's body returned, as text; "crashed" where it did not come to that.
template <typename Body>
std::string in_child(Body&& body) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    std::string answer = body();
    ssize_t written = ::write(ends[1], answer.data(), answer.size());
    ::_exit(written == static_cast<ssize_t>(answer.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string answer;
  char buffer[4096];
  for (ssize_t count = 0; (count = ::read(ends[0], buffer, sizeof(buffer))) > 0;) {
    answer.append(buffer, static_cast<size_t>(count));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? answer : "crashed";
}

}  // namespace moru::test
