#include "compiler/exchange/zip_file.h"

#include <zip.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "compiler/exchange/refusal.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

constexpr zip_int64_t max_entries = 10000;
// deflate makes at best 1 of 1032 bytes.
constexpr zip_uint64_t max_expansion = 1100;
constexpr zip_uint64_t max_total_bytes = zip_uint64_t{1} << 38;

using exchange::refuse;

bool leads_out(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.front() == '\\') return true;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find_first_of("/\\", begin), name.size());
    if (name.substr(begin, end - begin) == "..") return true;
    begin = end + 1;
  }
  return false;
}

struct CloseArchive {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct CloseFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

uint64_t number_at(std::span<const std::byte> bytes, size_t offset, size_t width) {
  uint64_t number = 0;
  for (size_t i = width; i-- > 0;) number = number << 8 | std::to_integer<uint64_t>(bytes[offset + i]);
  return number;
}

// Where entries begin, by index, which libzip does not tell: the list at the end of an archive says it (APPNOTE.TXT of
// PKWARE, 4.3.12 and 4.3.16). libzip has checked that list before. Empty for archives that are written in another way.
std::vector<uint64_t> entry_offsets(std::span<const std::byte> bytes, size_t count) {
  constexpr size_t end_bytes = 22, entry_bytes = 46;
  constexpr uint64_t end_mark = 0x06054b50, entry_mark = 0x02014b50, in_zip64 = 0xffffffff;
  size_t end = bytes.size();
  for (size_t at = bytes.size() < end_bytes ? 0 : bytes.size() - end_bytes + 1;
       at-- > 0 && bytes.size() - at <= 65536 + end_bytes;)
    if (number_at(bytes, at, 4) == end_mark) {
      end = at;
      break;
    }
  if (end == bytes.size()) return {};
  std::vector<uint64_t> offsets;
  uint64_t at = number_at(bytes, end + 16, 4);
  while (offsets.size() < count) {
    if (at > bytes.size() || bytes.size() - at < entry_bytes || number_at(bytes, at, 4) != entry_mark) return {};
    offsets.push_back(number_at(bytes, at + 42, 4));
    if (offsets.back() == in_zip64) return {};
    at += entry_bytes + number_at(bytes, at + 28, 2) + number_at(bytes, at + 30, 2) + number_at(bytes, at + 32, 2);
  }
  return offsets;
}

// The content of an entry that is stored as it is; empty where it is not to be found.
std::span<const std::byte> stored_content(std::span<const std::byte> bytes, uint64_t offset, uint64_t size) {
  constexpr size_t head_bytes = 30;
  constexpr uint64_t head_mark = 0x04034b50;
  if (offset > bytes.size() || bytes.size() - offset < head_bytes || number_at(bytes, offset, 4) != head_mark) return {};
  const uint64_t begin = offset + head_bytes + number_at(bytes, offset + 26, 2) + number_at(bytes, offset + 28, 2);
  if (begin > bytes.size() || size > bytes.size() - begin) return {};
  return bytes.subspan(begin, size);
}

}  // namespace

bool is_zip(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && std::memcmp(bytes.data(), "PK", 2) == 0 && bytes[2] <= std::byte{8};
}

std::map<std::string, ZippedFile> read_zip(std::span<const std::byte> bytes, const std::string& source) {
  zip_error_t error;
  zip_error_init(&error);
  const auto damaged = [&](const std::string& why) {
    refuse(source, "cannot be read as a zip archive: " + why, "copy it again from where it came from");
  };
  zip_source_t* buffer = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  check_internal(buffer != nullptr, "libzip could not take a buffer");
  const std::unique_ptr<zip_t, CloseArchive> archive(zip_open_from_source(buffer, ZIP_RDONLY | ZIP_CHECKCONS, &error));
  if (!archive) {
    zip_source_free(buffer);
    const std::string why = zip_error_strerror(&error);
    zip_error_fini(&error);
    damaged(why);
  }
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  if (count > max_entries) refuse(source, "holds " + std::to_string(count) + " files, more than any model");
  const std::vector<uint64_t> offsets = entry_offsets(bytes, static_cast<size_t>(std::max<zip_int64_t>(count, 0)));
  std::map<std::string, ZippedFile> files;
  zip_uint64_t total = 0;
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(i), 0, &stat) != 0 || !(stat.valid & ZIP_STAT_NAME) ||
        !(stat.valid & ZIP_STAT_SIZE) || !(stat.valid & ZIP_STAT_COMP_SIZE))
      damaged("an entry has no name or size");
    const std::string name = stat.name;
    if (leads_out(name)) refuse(source, "holds a file named '" + name + "', which leads out of the archive");
    if (name.back() == '/') continue;
    if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) && stat.encryption_method != ZIP_EM_NONE)
      refuse(source, "'" + name + "' is encrypted");
    if (stat.comp_size > bytes.size() || stat.size / max_expansion > stat.comp_size)
      refuse(source, "'" + name + "' says it has " + std::to_string(stat.size) + " bytes, packed in " +
                         std::to_string(stat.comp_size) + ": no honest archive does");
    total += stat.size;
    if (total > max_total_bytes) refuse(source, "holds more bytes than any model");
    ZippedFile result;
    constexpr zip_uint32_t has_all = ZIP_STAT_COMP_METHOD | ZIP_STAT_CRC;
    if (!offsets.empty() && (stat.valid & has_all) == has_all && stat.comp_method == ZIP_CM_STORE)
      result.bytes = stored_content(bytes, offsets[static_cast<size_t>(i)], stat.size);
    if (!result.bytes.empty()) {
      if (crc32_z(0, reinterpret_cast<const Bytef*>(result.bytes.data()), result.bytes.size()) != stat.crc)
        damaged("'" + name + "': its checksum is wrong");
      if (!files.emplace(name, std::move(result)).second) refuse(source, "holds '" + name + "' twice");
      continue;
    }
    const std::unique_ptr<zip_file_t, CloseFile> file(zip_fopen_index(archive.get(), static_cast<zip_uint64_t>(i), 0));
    if (!file) damaged("'" + name + "': " + zip_strerror(archive.get()));
    std::vector<std::byte>& content = result.unpacked;
    // In pieces, so that a size that lies costs no more memory than what is there.
    constexpr zip_uint64_t piece = zip_uint64_t{1} << 22;
    while (content.size() < stat.size) {
      const size_t begin = content.size();
      content.resize(begin + std::min<zip_uint64_t>(piece, stat.size - begin));
      const zip_int64_t got = zip_fread(file.get(), content.data() + begin, content.size() - begin);
      if (got <= 0) damaged("'" + name + "' is shorter than it says, or its checksum is wrong");
      content.resize(begin + static_cast<size_t>(got));
    }
    std::byte beyond;
    if (zip_fread(file.get(), &beyond, 1) != 0) damaged("'" + name + "': its checksum is wrong");
    result.bytes = content;
    if (!files.emplace(name, std::move(result)).second) refuse(source, "holds '" + name + "' twice");
  }
  return files;
}

std::vector<std::byte> write_zip(const std::vector<std::pair<std::string, std::span<const std::byte>>>& files) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* buffer = zip_source_buffer_create(nullptr, 0, 0, &error);
  check_internal(buffer != nullptr, "libzip could not make a buffer");
  zip_source_keep(buffer);
  zip_t* archive = zip_open_from_source(buffer, ZIP_TRUNCATE, &error);
  check_internal(archive != nullptr, "libzip could not make an archive");
  for (const auto& [name, content] : files) {
    zip_source_t* data = zip_source_buffer(archive, content.data(), content.size(), 0);
    const zip_int64_t index = data ? zip_file_add(archive, name.c_str(), data, ZIP_FL_ENC_UTF_8) : -1;
    check_internal(index >= 0, "libzip could not add a file");
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0);
    // The first date that zip can say: the same model gives the same bytes.
    zip_file_set_dostime(archive, static_cast<zip_uint64_t>(index), 0, (0 << 9) | (1 << 5) | 1, 0);
  }
  check_internal(zip_close(archive) == 0, "libzip could not write");
  check_internal(zip_source_open(buffer) == 0, "libzip could not read back");
  zip_source_seek(buffer, 0, SEEK_END);
  std::vector<std::byte> bytes(static_cast<size_t>(zip_source_tell(buffer)));
  zip_source_seek(buffer, 0, SEEK_SET);
  check_internal(zip_source_read(buffer, bytes.data(), bytes.size()) == static_cast<zip_int64_t>(bytes.size()),
                 "libzip could not read back");
  zip_source_close(buffer);
  zip_source_free(buffer);
  return bytes;
}

}  // namespace moru
