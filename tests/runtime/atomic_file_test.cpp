#include "runtime/atomic_file.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "runtime/checkpoint.h"
#include "runtime/moru_file.h"
#include "tests/runtime/in_child.h"
#include "tests/runtime/temporary_directory.h"

using namespace moru;
using namespace moru::test;

namespace {

std::string text_of(const std::string& path) {
  auto bytes = read_bytes(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A checkpoint and a .moru file of a few hundred kilobytes each.
Status write_large_files(const std::string& directory, bool checkpoint) {
  std::vector<std::byte> bytes(400'000, std::byte{7});
  if (!checkpoint) {
    MoruSection section = {SectionKind::weights, {bytes}};
    return write_moru_file(directory + "/m.moru", std::span(&section, 1));
  }
  Checkpoint contents;
  contents.slots.push_back({"w", DType::f32, {100'000}, bytes});
  return save_checkpoint(directory, contents).status();
}

}  // namespace

TEST_CASE("atomic file: the old contents stay until commit, and no temporary file is left") {
  TemporaryDirectory directory;
  REQUIRE(write_file_atomically(directory / "f", "old").ok());
  {
    auto file = AtomicFile::create(directory / "f");
    REQUIRE(file.ok());
    REQUIRE(file->write(std::as_bytes(std::span("half", 4))).ok());
    CHECK(text_of(directory / "f") == "old");
    CHECK(directory.names().size() == 2);
  }
  CHECK(text_of(directory / "f") == "old");
  CHECK(directory.names().size() == 1);
  REQUIRE(write_file_atomically(directory / "f", "new").ok());
  CHECK(text_of(directory / "f") == "new");
  CHECK(directory.names().size() == 1);
}

TEST_CASE("atomic file: a directory that is not there is one clear error") {
  TemporaryDirectory directory;
  Status status = write_file_atomically(directory / "none/f", "x");
  CHECK(status.code() == StatusCode::file_not_found);
  CHECK(status.message() == "cannot write '" + directory.path() + "/none/f': No such file or directory");
}

TEST_CASE("atomic file: a limit on the size of files leaves nothing behind") {
  for (bool checkpoint : {false, true}) {
    TemporaryDirectory directory;
    std::string message = in_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      rlimit limit = {100'000, 100'000};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      Status status = write_large_files(directory.path(), checkpoint);
      return std::string(status_code_name(status.code())) + " " + status.message();
    });
    std::string name = checkpoint ? "ckpt-0.moruckpt" : "m.moru";
    CHECK(message == "no_space cannot write '" + directory.path() + "/" + name + "': File too large");
    CHECK(directory.names().empty());
  }
}

TEST_CASE("atomic file: a full disk leaves the old file whole and nothing behind") {
  for (bool checkpoint : {false, true}) {
    TemporaryDirectory directory;
    std::string message = in_child([&]() -> std::string {
      if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          ::mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=200k") != 0) {
        return "no mount";
      }
      if (!write_file_atomically(directory / "m.moru", "old").ok()) return "cannot write at all";
      Status status = write_large_files(directory.path(), checkpoint);
      if (directory.names() != std::vector<std::string>{"m.moru"} || text_of(directory / "m.moru") != "old")
        return "litter";
      return std::string(status_code_name(status.code())) + " " + status.message();
    });
    if (message == "no mount") {
      MESSAGE("skipped: mounting a small file system needs root");
      return;
    }
    std::string name = checkpoint ? "ckpt-0.moruckpt" : "m.moru";
    CHECK(message == "no_space cannot write '" + directory.path() + "/" + name + "': No space left on device");
  }
}

TEST_CASE("atomic file: a directory without permission is one clear error") {
  TemporaryDirectory directory;
  REQUIRE(::chmod(directory.path().c_str(), 0555) == 0);
  for (bool checkpoint : {false, true}) {
    std::string message = in_child([&]() -> std::string {
      if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) return "still root";
      Status status = write_large_files(directory.path(), checkpoint);
      return std::string(status_code_name(status.code())) + " " + status.message();
    });
    std::string name = checkpoint ? "ckpt-0.moruckpt" : "m.moru";
    CHECK(message == "permission_denied cannot write '" + directory.path() + "/" + name + "': Permission denied");
    CHECK(directory.names().empty());
  }
}

TEST_CASE("atomic file: a link stays a link, and what is no regular file is written to as it is") {
  TemporaryDirectory directory;
  REQUIRE(write_file_atomically(directory / "f", "old").ok());
  REQUIRE(::symlink("f", (directory / "link").c_str()) == 0);
  REQUIRE(::symlink("new", (directory / "dangling").c_str()) == 0);
  CHECK(write_file_atomically(directory / "link", "new").ok());
  CHECK(write_file_atomically(directory / "dangling", "made").ok());
  CHECK(text_of(directory / "f") == "new");
  CHECK(text_of(directory / "new") == "made");
  for (const char* name : {"link", "dangling"}) CHECK(std::filesystem::is_symlink(directory / name));
  CHECK(directory.names().size() == 4);

  const Status full = write_file_atomically("/dev/full", "text");
  CHECK(full.code() == StatusCode::no_space);
  CHECK(write_file_atomically("/dev/null", "text").ok());
  for (const char* device : {"/dev/full", "/dev/null"}) CHECK(std::filesystem::is_character_file(device));
}

TEST_CASE("atomic file: a line is added whole or not at all") {
  TemporaryDirectory directory;
  const std::string path = directory / "log";
  CHECK(append_to_file(path, "x").code() == StatusCode::file_not_found);
  REQUIRE(write_file_atomically(path, "one\n").ok());
  REQUIRE(append_to_file(path, "two\n").ok());
  CHECK(std::filesystem::file_size(path) == 8);
  // Room for half of the next one.
  const std::string answer = in_child([&] {
    const rlimit limit = {10, 10};
    ::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &limit);
    return append_to_file(path, "three\n").message();
  });
  CHECK(answer == "cannot write '" + path + "': File too large");
  CHECK(std::filesystem::file_size(path) == 8);
}

TEST_CASE("atomic file: an output that is an input is refused by whatever path") {
  TemporaryDirectory directory;
  REQUIRE(write_file_atomically(directory / "f", "old").ok());
  REQUIRE(::symlink("f", (directory / "link").c_str()) == 0);
  const std::vector<std::string> inputs = {"", directory / "missing", directory / "f"};
  CHECK(check_output(directory / "g", inputs).ok());
  CHECK(check_output("", inputs).ok());
  CHECK(check_output(directory / "missing", inputs).ok());
  for (const std::string& output : {directory / "f", directory / "link", directory.path() + "/./f"})
    CHECK(check_output(output, inputs).code() == StatusCode::invalid_argument);
}
