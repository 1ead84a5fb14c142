#include "runtime/data/large_array.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/data/wording.h"

namespace moru {
namespace {

std::string scratch_folder() {
  const char* folder = std::getenv("TMPDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/tmp";
}

Status no_room(const char* what, std::size_t bytes, int error_number) {
  return data_error("cannot keep " + std::to_string(bytes) + " bytes of data in " + what + ": " + std::strerror(error_number) +
                        "\n  hint: free some space, or name another folder for temporary files in TMPDIR",
                    StatusCode::io_error);
}

/// A file that is gone when it is closed.
Result<int> open_scratch(const std::string& folder, std::size_t bytes) {
  const int unnamed = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (unnamed >= 0) return unnamed;
  std::string path = folder + "/moru-XXXXXX";  // where the file system has no files without a name
  const int named = ::mkostemp(path.data(), O_CLOEXEC);
  if (named < 0) return no_room(folder.c_str(), bytes, errno);
  ::unlink(path.c_str());
  return named;
}

}  // namespace

uint64_t large_bytes() {
  uint64_t bytes = uint64_t{256} << 20;
  if (const char* given = std::getenv("MORU_LARGE_BYTES")) std::from_chars(given, given + std::strlen(given), bytes);
  return bytes;
}

LargeBytes::~LargeBytes() {
  if (!is_mapped()) {
    std::free(data_);
    return;
  }
  ::munmap(data_, size_);
  ::close(descriptor_);
}

Status LargeBytes::move_to_file(std::size_t bytes) {
  const std::string folder = scratch_folder();
  Result<int> opened = open_scratch(folder, bytes);
  if (!opened.ok()) return opened.status();
  const int descriptor = *opened;
  const auto failed = [&](int error_number) {
    ::close(descriptor);
    return no_room(folder.c_str(), bytes, error_number);
  };
  if (const int error = ::posix_fallocate(descriptor, 0, static_cast<off_t>(bytes)); error != 0) return failed(error);
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (address == MAP_FAILED) return failed(errno);
  if (size_ > 0) std::memcpy(address, data_, std::min(size_, bytes));
  std::free(data_);
  data_ = static_cast<std::byte*>(address);
  size_ = bytes;
  descriptor_ = descriptor;
  return {};
}

Status LargeBytes::resize(std::size_t bytes) {
  if (bytes == size_) return {};
  if (is_mapped()) {
    if (bytes < size_) return {};
    const int error = ::posix_fallocate(descriptor_, 0, static_cast<off_t>(bytes));
    if (error != 0) return no_room(scratch_folder().c_str(), bytes, error);
    void* address = ::mremap(data_, size_, bytes, MREMAP_MAYMOVE);
    if (address == MAP_FAILED) return no_room("memory", bytes, errno);
    data_ = static_cast<std::byte*>(address);
    size_ = bytes;
    return {};
  }
  if (bytes >= threshold_ && bytes > 0) return move_to_file(bytes);
  void* address = std::realloc(data_, std::max<std::size_t>(bytes, 1));
  if (address == nullptr) return no_room("memory", bytes, ENOMEM);
  data_ = static_cast<std::byte*>(address);
  size_ = bytes;
  return {};
}

}  // namespace moru
