#include "runtime/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/atomic_file.h"

namespace moru {

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  Result<std::shared_ptr<MappedFile>> file = map(path, PROT_READ);
  if (!file.ok()) return file.status();
  return std::shared_ptr<const MappedFile>(std::move(file.value()));
}

Result<std::shared_ptr<MappedFile>> MappedFile::open_copy(const std::string& path) { return map(path, PROT_READ | PROT_WRITE); }

Result<std::shared_ptr<MappedFile>> MappedFile::map(const std::string& path, int protection) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return file_error("open", path, errno);
  struct stat information = {};
  if (::fstat(descriptor, &information) != 0) {
    int error_number = errno;
    ::close(descriptor);
    return file_error("read", path, error_number);
  }
  if (!S_ISREG(information.st_mode)) {
    ::close(descriptor);
    return file_error("read", path, S_ISDIR(information.st_mode) ? EISDIR : EINVAL);
  }
  std::shared_ptr<MappedFile> file(new MappedFile());
  size_t size = static_cast<size_t>(information.st_size);
  if (size != 0) {
    void* address = ::mmap(nullptr, size, protection, MAP_PRIVATE, descriptor, 0);
    int error_number = errno;
    ::close(descriptor);
    if (address == MAP_FAILED) return file_error("map", path, error_number);
    file->bytes_ = {static_cast<std::byte*>(address), size};
  } else {
    ::close(descriptor);
  }
  return file;
}

void prefetch_mapped(std::span<const std::byte> part) noexcept {
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  if (part.empty()) return;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(part.data()) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(part.data()) + part.size();
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);  // a wish: it may fail
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace moru
