#include "runtime/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <tuple>

namespace moru {

Status file_error(const char* doing, const std::string& path, int error_number) {
  StatusCode code = StatusCode::io_error;
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      code = StatusCode::file_not_found;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = StatusCode::permission_denied;
      break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      code = StatusCode::no_space;
      break;
    default:
      break;
  }
  return {code, std::string("cannot ") + doing + " '" + path + "': " + std::generic_category().message(error_number)};
}

namespace {

// What a chain of symbolic links ends at, whether it is there or not.
std::string pointed_to(std::filesystem::path path) {
  constexpr int most_links = 40;  // as Linux has it
  std::error_code error;
  for (int i = 0; i < most_links && std::filesystem::is_symlink(path, error); ++i) {
    const std::filesystem::path next = std::filesystem::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / next;
  }
  return path.string();
}

std::string directory_of(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  AtomicFile file;
  file.path_ = path;
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    file.descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file.descriptor_ < 0) return file_error("write", path, errno);
    return file;
  }
  file.target_ = pointed_to(path);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    std::string name = file.target_ + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(attempt);
    int descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      file.descriptor_ = descriptor;
      file.temporary_ = std::move(name);
      return file;
    }
    if (errno != EEXIST && errno != EINTR) return file_error("write", path, errno);
  }
  return file_error("write", path, EEXIST);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept { *this = std::move(other); }

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this == &other) return *this;
  abandon();
  descriptor_ = std::exchange(other.descriptor_, -1);
  position_ = other.position_;
  path_ = std::move(other.path_);
  target_ = std::move(other.target_);
  temporary_ = std::exchange(other.temporary_, std::string());
  return *this;
}

AtomicFile::~AtomicFile() { abandon(); }

void AtomicFile::abandon() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    // Linux transfers at most 0x7ffff000 bytes a call.
    size_t count = std::min(bytes.size(), size_t{1} << 30);
    ssize_t written = ::write(descriptor_, bytes.data(), count);
    if (written < 0) {
      if (errno == EINTR) continue;
      return file_error("write", path_, errno);
    }
    position_ += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Status AtomicFile::commit() {
  const bool is_regular = !temporary_.empty();
  if (::fsync(descriptor_) != 0 && (is_regular || errno != EINVAL)) return file_error("write", path_, errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) return file_error("write", path_, errno);
  if (!is_regular) return {};
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) return file_error("write", path_, errno);
  temporary_.clear();

  // Without this the rename itself may be lost in a power failure. Some file systems cannot sync a directory.
  std::string directory = directory_of(target_);
  int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return {};
  int failed = ::fsync(descriptor) != 0 ? errno : 0;
  ::close(descriptor);
  if (failed != 0 && failed != EINVAL && failed != ENOTSUP) return file_error("write", path_, failed);
  return {};
}

Status check_output(const std::string& output, std::span<const std::string> inputs) {
  for (const std::string& input : inputs) {
    std::error_code error;
    if (!input.empty() && std::filesystem::is_regular_file(output, error) && std::filesystem::equivalent(output, input, error))
      return {StatusCode::invalid_argument,
              "'" + output + "' is what is read, and would be lost\n  hint: name another file to write"};
  }
  return {};
}

Status append_to_file(const std::string& path, std::string_view contents) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (descriptor < 0) return file_error("write", path, errno);
  const off_t end = ::lseek(descriptor, 0, SEEK_END);
  int failed = 0;
  while (failed == 0 && !contents.empty()) {
    const ssize_t written = ::write(descriptor, contents.data(), contents.size());
    if (written >= 0) contents.remove_prefix(static_cast<size_t>(written));
    else if (errno != EINTR) failed = errno;
  }
  if (failed != 0 && end >= 0) std::ignore = ::ftruncate(descriptor, end);
  if (::close(descriptor) != 0 && failed == 0) failed = errno;
  return failed == 0 ? Status() : file_error("write", path, failed);
}

Status write_file_atomically(const std::string& path, std::string_view contents) {
  Result<AtomicFile> file = AtomicFile::create(path);
  if (!file.ok()) return file.status();
  MORU_RETURN_IF_ERROR(file->write(std::as_bytes(std::span(contents.data(), contents.size()))));
  return file->commit();
}

}  // namespace moru
