#include "runtime/moru_file.h"

#include <doctest/doctest.h>

#include <cstring>

#include "tests/runtime/small_program.h"
#include "tests/runtime/temporary_directory.h"

using namespace moru;
using namespace moru::test;

namespace {

std::vector<std::byte> filled(size_t bytes, int value) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(value));
}
std::vector<std::byte> copy(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

TEST_CASE("moru file: sections come back from disk and from memory, 64-byte aligned") {
  TemporaryDirectory directory;
  auto model = filled(100, 1);
  auto first = filled(64, 2);
  auto second = filled(7, 3);
  MoruSection sections[] = {
      {SectionKind::model, {model}}, {SectionKind::weights, {first, second}}, {SectionKind::recipe, {}}};
  REQUIRE(write_moru_file(directory / "m.moru", sections).ok());

  auto file = MoruFile::open(directory / "m.moru");
  REQUIRE(file.ok());
  auto both = first;
  both.insert(both.end(), second.begin(), second.end());
  CHECK(copy((*file)->section(SectionKind::model)) == model);
  CHECK(copy((*file)->section(SectionKind::weights)) == both);
  CHECK((*file)->has(SectionKind::recipe));
  CHECK(!(*file)->has(SectionKind::program));
  CHECK((*file)->section(SectionKind::program).empty());
  CHECK(reinterpret_cast<uintptr_t>((*file)->section(SectionKind::weights).data()) % 64 == 0);

  auto bytes = make_moru_bytes(sections);
  REQUIRE(bytes.ok());
  CHECK(*bytes == read_bytes(directory / "m.moru"));
  auto embedded = MoruFile::from_memory(*bytes);
  REQUIRE(embedded.ok());
  CHECK(copy((*embedded)->section(SectionKind::weights)) == both);
  CHECK(directory.names() == std::vector<std::string>{"m.moru"});
}

TEST_CASE("moru file: the layout is the documented one, byte by byte") {
  auto model = filled(3, 9);
  MoruSection sections[] = {{SectionKind::model, {model}}};
  auto bytes = *make_moru_bytes(sections);
  auto number = [&](size_t offset, size_t width) {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data() + offset, width);
    return value;
  };
  CHECK(std::memcmp(bytes.data(), "MORU", 4) == 0);
  CHECK(number(4, 4) == 1);     // version
  CHECK(number(8, 4) == 1);     // sections
  CHECK(number(12, 4) == 0);    // flags
  CHECK(number(16, 8) == 192);  // bytes of the file
  CHECK(number(64, 4) == 1);    // kind: model
  CHECK(number(72, 8) == 128);  // offset
  CHECK(number(80, 8) == 3);    // bytes
  CHECK(bytes.size() == 192);
  CHECK(bytes[128] == std::byte{9});
  CHECK(bytes[131] == std::byte{0});
}

TEST_CASE("moru file: new weights replace the old ones, other sections stay, also over the open file itself") {
  TemporaryDirectory directory;
  std::string path = directory / "m.moru";
  write_bytes(path, small_moru());
  auto file = *MoruFile::open(path);
  auto old_weights = copy(file->section(SectionKind::weights));
  auto weights = filled(500, 5);
  REQUIRE(write_with_sections(*file, path, {{SectionKind::weights, {weights}}}).ok());
  CHECK(copy(file->section(SectionKind::weights)) == old_weights);

  auto again = *MoruFile::open(path);
  CHECK(copy(again->section(SectionKind::weights)) == weights);
  CHECK(copy(again->section(SectionKind::model)) == copy(file->section(SectionKind::model)));
  CHECK(copy(again->section(SectionKind::program)) == copy(file->section(SectionKind::program)));
  // Without pieces it goes.
  REQUIRE(write_with_sections(*again, path, {{SectionKind::program, {}}, {SectionKind::recipe, {weights}}}).ok());
  auto last = *MoruFile::open(path);
  CHECK_FALSE(last->has(SectionKind::program));
  CHECK(copy(last->section(SectionKind::recipe)) == weights);
  CHECK(copy(last->section(SectionKind::weights)) == weights);
}

TEST_CASE("moru file: a file cut off at any length is an error, never a crash") {
  auto bytes = small_moru();
  for (size_t length = 0; length < bytes.size(); ++length) {
    // A copy of exactly that length, so that a sanitizer sees any read behind it.
    std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
    auto file = MoruFile::from_memory(cut);
    CAPTURE(length);
    REQUIRE(!file.ok());
    CHECK(file.status().code() == (length < 4 ? StatusCode::wrong_format : StatusCode::corrupt));
  }
}

TEST_CASE("moru file: any flipped bit outside the padding is found") {
  auto bytes = small_moru();
  auto whole = *MoruFile::from_memory(bytes);
  std::vector<bool> covered(bytes.size());
  std::fill(covered.begin(), covered.begin() + 64 + 3 * 32, true);
  for (SectionKind kind : {SectionKind::model, SectionKind::program, SectionKind::weights}) {
    auto section = whole->section(kind);
    auto offset = section.data() - bytes.data();
    std::fill(covered.begin() + offset, covered.begin() + offset + static_cast<std::ptrdiff_t>(section.size()), true);
  }
  for (size_t position = 0; position < bytes.size(); ++position) {
    for (int bit = 0; bit < 8; ++bit) {
      auto damaged = bytes;
      damaged[position] ^= static_cast<std::byte>(1 << bit);
      bool ok = MoruFile::from_memory(damaged).ok();
      if (ok != !covered[position]) FAIL("byte ", position, " bit ", bit, " gives ok = ", ok);
    }
  }
}

TEST_CASE("moru file: errors say which file and what is wrong") {
  TemporaryDirectory directory;
  auto message = [](const std::string& path) { return MoruFile::open(path).status().message(); };
  CHECK(message(directory / "none.moru") ==
        "cannot open '" + directory.path() + "/none.moru': No such file or directory");
  write_bytes(directory / "text", std::as_bytes(std::span("a,b,c\n1,2,3\n")));
  CHECK(message(directory / "text") == "'" + directory.path() + "/text' is not a .moru file");
  CHECK(message(directory.path()) == "cannot read '" + directory.path() + "': Is a directory");

  auto bytes = small_moru();
  auto newer = bytes;
  newer[4] = std::byte{2};
  CHECK(MoruFile::from_memory(newer).status().message() ==
        "the embedded .moru file has format version 2; this version of Moru reads version 1");
  bytes.erase(bytes.end() - 10, bytes.end());
  CHECK(MoruFile::from_memory(bytes).status().message().find("is damaged: it should have") != std::string::npos);
  auto twice = filled(8, 1);
  MoruSection sections[] = {{SectionKind::model, {twice}}, {SectionKind::model, {twice}}};
  CHECK(make_moru_bytes(sections).status().message() == "a .moru file cannot have two sections of kind model");
}

TEST_CASE("moru file: weights beyond 4 GiB are written, mapped and replaced (run with --no-skip)" * doctest::skip()) {
  TemporaryDirectory directory;
  std::vector<std::byte> piece(size_t{64} << 20, std::byte{1});
  std::vector<std::byte> last = filled(3, 2);
  MoruSection section = {SectionKind::weights, std::vector<std::span<const std::byte>>(65, piece)};
  section.pieces.emplace_back(last);
  REQUIRE(write_moru_file(directory / "m.moru", std::span(&section, 1)).ok());
  auto file = MoruFile::open(directory / "m.moru");
  REQUIRE(file.ok());
  auto weights = (*file)->section(SectionKind::weights);
  CHECK(weights.size() == piece.size() * 65 + 3);
  CHECK(weights.back() == std::byte{2});
  REQUIRE(write_with_sections(**file, directory / "m.moru", {{SectionKind::weights, {last}}}).ok());
  CHECK(copy((*MoruFile::open(directory / "m.moru"))->section(SectionKind::weights)) == last);
}
