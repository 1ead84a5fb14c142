#include "compiler/exchange/hdf5_isolation.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "compiler/support/error.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MORU_IS_SANITIZED true
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MORU_IS_SANITIZED true
#endif
#ifdef MORU_IS_SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

namespace moru {
namespace {

#ifdef MORU_IS_SANITIZED
constexpr bool limits_memory = false;  // sanitizers reserve more than any limit
#else
constexpr bool limits_memory = true;
#endif

// What honest files need many times over: gzip unpacks some 100 MB a second.
constexpr uint64_t free_bytes = uint64_t{256} << 20, bytes_per_byte = 8;
constexpr rlim_t free_seconds = 3;
constexpr uint64_t file_bytes_per_second = uint64_t{8} << 20;

enum class Answer : uint8_t { tree = 1, refused = 2 };

// --- a tree as bytes; both ends are this program ---

class Sender {
 public:
  Sender(int pipe, std::span<const std::byte> file) : pipe_(pipe), file_(file) { buffer_.reserve(capacity); }
  void bytes(const void* data, size_t size) {
    const auto* begin = static_cast<const char*>(data);
    if (buffer_.size() + size > capacity) flush();
    if (size > capacity) return send(begin, size);
    buffer_.append(begin, size);
  }
  void number(uint64_t value) { bytes(&value, sizeof value); }
  void text(const std::string& value) {
    number(value.size());
    bytes(value.data(), value.size());
  }
  template <typename Element>
  void list(const std::vector<Element>& values) {
    number(values.size());
    bytes(values.data(), values.size() * sizeof(Element));
  }
  void group(const Hdf5Group& group) {
    number(group.attributes.size());
    for (const auto& [name, attribute] : group.attributes) {
      text(name);
      number(attribute.texts.size());
      for (const std::string& one : attribute.texts) text(one);
    }
    number(group.datasets.size());
    for (const auto& [name, dataset] : group.datasets) {
      text(name);
      list(dataset.shape);
      number(dataset.integer);
      list(dataset.reals);
      list(dataset.integers);
      number(dataset.stored.empty() ? 0 : static_cast<uint64_t>(dataset.stored.data() - file_.data()));
      number(dataset.stored.size());
    }
    number(group.groups.size());
    for (const auto& [name, inner] : group.groups) {
      text(name);
      this->group(*inner);
    }
  }
  void flush() {
    send(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

 private:
  static constexpr size_t capacity = 1 << 16;
  int pipe_;
  std::span<const std::byte> file_;
  std::string buffer_;

  void send(const char* data, size_t size) {
    while (size > 0) {
      const ssize_t sent = ::write(pipe_, data, size);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) ::_exit(1);
      data += sent;
      size -= static_cast<size_t>(sent);
    }
  }
};

class Receiver {
 public:
  Receiver(int pipe, std::span<const std::byte> file) : pipe_(pipe), file_(file) {}
  bool complete() const { return complete_; }
  void bytes(void* data, size_t size) {
    auto* to = static_cast<char*>(data);
    while (size > 0 && complete_) {
      const ssize_t got = ::read(pipe_, to, size);
      if (got < 0 && errno == EINTR) continue;
      complete_ = got > 0;
      if (!complete_) return;
      to += got;
      size -= static_cast<size_t>(got);
    }
  }
  uint64_t number() {
    uint64_t value = 0;
    bytes(&value, sizeof value);
    return complete_ ? value : 0;
  }
  std::string text() {
    std::string value(number(), '\0');
    bytes(value.data(), value.size());
    return value;
  }
  template <typename Element>
  std::vector<Element> list() {
    std::vector<Element> values(number());
    bytes(values.data(), values.size() * sizeof(Element));
    return values;
  }
  void group(Hdf5Group& group) {
    for (uint64_t i = number(); i-- > 0 && complete_;) {
      Hdf5Attribute& attribute = group.attributes[text()];
      for (uint64_t k = number(); k-- > 0 && complete_;) attribute.texts.push_back(text());
    }
    for (uint64_t i = number(); i-- > 0 && complete_;) {
      Hdf5Dataset& dataset = group.datasets[text()];
      dataset.shape = list<int64_t>();
      dataset.integer = number() != 0;
      dataset.reals = list<float>();
      dataset.integers = list<int64_t>();
      const uint64_t offset = number(), size = number();
      complete_ = complete_ && offset <= file_.size() && size <= file_.size() - offset;
      if (complete_) dataset.stored = file_.subspan(offset, size);
    }
    for (uint64_t i = number(); i-- > 0 && complete_;) {
      std::unique_ptr<Hdf5Group>& inner = group.groups[text()];
      inner = std::make_unique<Hdf5Group>();
      this->group(*inner);
    }
  }

 private:
  int pipe_;
  std::span<const std::byte> file_;
  bool complete_ = true;
};

// --- the two ends ---

// What the process has mapped already.
uint64_t mapped_bytes() {
  unsigned long pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%lu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

void set_limits(uint64_t file_bytes) {
  const rlim_t seconds = free_seconds + file_bytes / file_bytes_per_second;
  const rlimit time = {seconds, seconds + 1};
  ::setrlimit(RLIMIT_CPU, &time);
  const rlimit none = {0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  const rlim_t memory = mapped_bytes() + free_bytes + bytes_per_byte * file_bytes;
  const rlimit space = {memory, memory};
  if (limits_memory) ::setrlimit(RLIMIT_AS, &space);
}

[[noreturn]] void run_child(int pipe, std::span<const std::byte> file, const std::function<std::unique_ptr<Hdf5Group>()>& read) {
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU}) ::signal(signal, SIG_DFL);
#ifdef MORU_IS_SANITIZED
  __sanitizer_set_death_callback(nullptr);  // a fuzzer would take the library's fault for one of Moru's
#endif
  set_limits(file.size());
  Sender sender(pipe, file);
  const auto send_answer = [&](Answer answer) { sender.bytes(&answer, sizeof answer); };
  try {
    const std::unique_ptr<Hdf5Group> root = read();
    send_answer(Answer::tree);
    sender.group(*root);
  } catch (const CompileError& error) {
    const CompileError::Parts& parts = error.parts();
    send_answer(Answer::refused);
    for (const std::string* part : {&parts.stage, &parts.node, &parts.op, &parts.what, &parts.detail, &parts.hint})
      sender.text(*part);
  } catch (...) {
    ::_exit(2);  // out of memory
  }
  sender.flush();
  ::_exit(0);
}

}  // namespace

std::unique_ptr<Hdf5Group> read_in_child(const std::string& source, std::span<const std::byte> file,
                                         const std::function<std::unique_ptr<Hdf5Group>()>& read) {
  int ends[2];
  if (::pipe(ends) != 0) return read();
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) {  // no process to be had: better without limits than not at all
    ::close(ends[0]);
    ::close(ends[1]);
    return read();
  }
  if (child == 0) {
    ::close(ends[0]);
    run_child(ends[1], file, read);
  }
  ::close(ends[1]);
  auto root = std::make_unique<Hdf5Group>();
  CompileError::Parts parts;
  Receiver receiver(ends[0], file);
  Answer answer{};
  receiver.bytes(&answer, sizeof answer);
  if (answer == Answer::tree) receiver.group(*root);
  if (answer == Answer::refused)
    for (std::string* part : {&parts.stage, &parts.node, &parts.op, &parts.what, &parts.detail, &parts.hint})
      *part = receiver.text();
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const bool finished = WIFEXITED(status) && WEXITSTATUS(status) == 0 && receiver.complete();
  if (finished && answer == Answer::refused) throw CompileError(std::move(parts));
  if (finished && answer == Answer::tree) return root;
  const bool too_long = WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL);
  throw CompileError({.stage = "import",
                      .what = source + (too_long ? ": reading it as HDF5 takes far longer than a file of its size should"
                                                 : ": cannot be read as HDF5: the file is damaged"),
                      .hint = "copy it again from where it came from"});
}

}  // namespace moru
