#include "runtime/moru_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/atomic_file.h"
#include "runtime/checksum.h"
#include "runtime/mapped_file.h"

namespace moru {
namespace {

std::string_view section_kind_name(SectionKind kind) {
  switch (kind) {
    case SectionKind::model:
      return "model";
    case SectionKind::program:
      return "program";
    case SectionKind::recipe:
      return "recipe";
    case SectionKind::weights:
      return "weights";
    case SectionKind::code:
      return "code";
    case SectionKind::training:
      return "training";
  }
  return "unknown";
}

static_assert(std::endian::native == std::endian::little, "files are little-endian and used in place");

constexpr char magic[4] = {'M', 'O', 'R', 'U'};
constexpr uint32_t format_version = 1;
constexpr uint64_t section_alignment = 64;
constexpr uint32_t section_limit = 64;

// The byte layout of schema/README.md; no padding, so the structs are copied as they are.
struct FileHeader {
  char magic[4];
  uint32_t version;
  uint32_t section_count;
  uint32_t flags;  // 0
  uint64_t file_bytes;
  uint64_t checksum;  // of header and table, with this field taken as zero
  uint64_t reserved[4];
};
static_assert(sizeof(FileHeader) == 64);

struct TableRecord {
  uint32_t kind;
  uint32_t flags;  // 0
  uint64_t offset;
  uint64_t bytes;
  uint64_t checksum;
};
static_assert(sizeof(TableRecord) == 32);

constexpr uint64_t round_up(uint64_t value) {
  return (value + section_alignment - 1) / section_alignment * section_alignment;
}

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

uint64_t table_checksum(FileHeader header, std::span<const std::byte> table) {
  header.checksum = 0;
  StreamingChecksum sum;
  sum.add(bytes_of(header));
  sum.add(table);
  return sum.value();
}

Status corrupt(const std::string& name, const std::string& what) {
  return {StatusCode::corrupt, name + " is damaged: " + what};
}

/// Header, table, sections and the zeros between them, in file order, to whatever takes bytes.
template <typename Sink>
Status emit(std::span<const MoruSection> sections, Sink&& sink) {
  FileHeader header = {};
  std::memcpy(header.magic, magic, sizeof(magic));
  header.version = format_version;
  header.section_count = static_cast<uint32_t>(sections.size());
  if (sections.size() > section_limit) return {StatusCode::invalid_argument, "a .moru file has at most 64 sections"};

  std::vector<TableRecord> table(sections.size());
  uint64_t end = round_up(sizeof(FileHeader) + sections.size() * sizeof(TableRecord));
  for (size_t i = 0; i < sections.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (sections[j].kind == sections[i].kind) {
        return {StatusCode::invalid_argument,
                "a .moru file cannot have two sections of kind " + std::string(section_kind_name(sections[i].kind))};
      }
    }
    StreamingChecksum sum;
    uint64_t bytes = 0;
    for (std::span<const std::byte> piece : sections[i].pieces) {
      sum.add(piece);
      bytes += piece.size();
    }
    table[i] = {static_cast<uint32_t>(sections[i].kind), 0, end, bytes, sum.value()};
    end = round_up(end + bytes);
  }
  header.file_bytes = end;
  header.checksum = table_checksum(header, std::as_bytes(std::span(table)));

  static constexpr std::byte zeros[section_alignment] = {};
  uint64_t position = 0;
  auto put = [&](std::span<const std::byte> bytes) {
    position += bytes.size();
    return sink(bytes);
  };
  auto pad = [&] { return put(std::span(zeros, static_cast<size_t>(round_up(position) - position))); };

  MORU_RETURN_IF_ERROR(put(bytes_of(header)));
  MORU_RETURN_IF_ERROR(put(std::as_bytes(std::span(table))));
  MORU_RETURN_IF_ERROR(pad());
  for (const MoruSection& section : sections) {
    for (std::span<const std::byte> piece : section.pieces) MORU_RETURN_IF_ERROR(put(piece));
    MORU_RETURN_IF_ERROR(pad());
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const MoruFile>> MoruFile::open(const std::string& path) {
  Result<std::shared_ptr<const MappedFile>> mapped = MappedFile::open(path);
  if (!mapped.ok()) return mapped.status();
  std::shared_ptr<MoruFile> file(new MoruFile());
  file->keep_alive_ = *mapped;
  MORU_RETURN_IF_ERROR(file->parse((*mapped)->bytes(), "'" + path + "'"));
  return std::shared_ptr<const MoruFile>(std::move(file));
}

Result<std::shared_ptr<const MoruFile>> MoruFile::from_memory(std::span<const std::byte> bytes,
                                                              std::shared_ptr<const void> keep_alive) {
  std::shared_ptr<MoruFile> file(new MoruFile());
  file->keep_alive_ = std::move(keep_alive);
  MORU_RETURN_IF_ERROR(file->parse(bytes, "the embedded .moru file"));
  return std::shared_ptr<const MoruFile>(std::move(file));
}

Status MoruFile::parse(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < sizeof(magic) || std::memcmp(bytes.data(), magic, sizeof(magic)) != 0) {
    return {StatusCode::wrong_format, name + " is not a .moru file"};
  }
  if (bytes.size() < sizeof(FileHeader)) return corrupt(name, "it ends inside its header");
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.version != format_version) {
    return {StatusCode::unsupported_version, name + " has format version " + std::to_string(header.version) +
                                                 "; this version of Moru reads version " +
                                                 std::to_string(format_version)};
  }
  if (header.section_count > section_limit) return corrupt(name, "its section table is too long");
  if (header.file_bytes != bytes.size()) {
    return corrupt(
        name, "it should have " + std::to_string(header.file_bytes) + " bytes but has " + std::to_string(bytes.size()));
  }
  size_t table_bytes = header.section_count * sizeof(TableRecord);
  if (bytes.size() < sizeof(FileHeader) + table_bytes) return corrupt(name, "it ends inside its section table");
  std::span<const std::byte> table_span = bytes.subspan(sizeof(FileHeader), table_bytes);
  if (table_checksum(header, table_span) != header.checksum) {
    return corrupt(name, "the checksum of its section table differs");
  }

  uint64_t end = sizeof(FileHeader) + table_bytes;
  for (uint32_t i = 0; i < header.section_count; ++i) {
    TableRecord record;
    std::memcpy(&record, table_span.data() + i * sizeof(TableRecord), sizeof(record));
    SectionKind kind = static_cast<SectionKind>(record.kind);
    std::string section = "its section '" + std::string(section_kind_name(kind)) + "' ";
    if (record.offset % section_alignment != 0 || record.offset < end || record.offset > bytes.size() ||
        record.bytes > bytes.size() - record.offset) {
      return corrupt(name, section + "lies outside the file");
    }
    if (has(kind)) return corrupt(name, section + "occurs twice");
    std::span<const std::byte> contents = bytes.subspan(record.offset, record.bytes);
    if (checksum(contents) != record.checksum) return corrupt(name, section + "has another checksum");
    entries_.push_back({kind, contents});
    end = record.offset + record.bytes;
  }
  return {};
}

bool MoruFile::has(SectionKind kind) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.kind == kind; });
}

std::span<const std::byte> MoruFile::section(SectionKind kind) const {
  for (const Entry& entry : entries_) {
    if (entry.kind == kind) return entry.bytes;
  }
  return {};
}

std::vector<MoruSection> MoruFile::sections() const {
  std::vector<MoruSection> sections;
  for (const Entry& entry : entries_) sections.push_back({entry.kind, {entry.bytes}});
  return sections;
}

Status write_moru_file(const std::string& path, std::span<const MoruSection> sections) {
  Result<AtomicFile> file = AtomicFile::create(path);
  if (!file.ok()) return file.status();
  MORU_RETURN_IF_ERROR(emit(sections, [&](std::span<const std::byte> bytes) { return file->write(bytes); }));
  return file->commit();
}

Result<std::vector<std::byte>> make_moru_bytes(std::span<const MoruSection> sections) {
  std::vector<std::byte> result;
  Status status = emit(sections, [&](std::span<const std::byte> bytes) {
    result.insert(result.end(), bytes.begin(), bytes.end());
    return Status();
  });
  if (!status.ok()) return status;
  return result;
}

Status write_with_sections(const MoruFile& source, const std::string& path, std::vector<MoruSection> changed) {
  std::vector<MoruSection> sections = source.sections();
  for (MoruSection& section : changed) {
    const auto place = std::find_if(sections.begin(), sections.end(), [&](const MoruSection& one) { return one.kind == section.kind; });
    (place == sections.end() ? sections.emplace_back() : *place) = std::move(section);
  }
  std::erase_if(sections, [](const MoruSection& section) { return section.pieces.empty(); });
  return write_moru_file(path, sections);
}

}  // namespace moru
