#include "compiler/codegen/loaded_objects.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "compiler/support/error.h"

namespace moru {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw InternalError("loading generated code: " + what); }

// What a page of memory may be used for; sections of a kind lie together.
enum class Use : uint8_t { execute, read, write };
constexpr size_t uses = 3;

class ObjectReader {
 public:
  explicit ObjectReader(std::span<const uint8_t> bytes) : bytes_(bytes), header_(read<Elf64_Ehdr>(0)) {
    const bool is_known = std::memcmp(header_.e_ident, ELFMAG, SELFMAG) == 0 && header_.e_ident[EI_CLASS] == ELFCLASS64 &&
                          header_.e_ident[EI_DATA] == ELFDATA2LSB && header_.e_type == ET_REL &&
                          (header_.e_machine == EM_X86_64 || header_.e_machine == EM_AARCH64);
    if (!is_known) refuse("not a relocatable ELF object of a known machine");
    for (size_t i = 0; i < header_.e_shnum; ++i) sections_.push_back(read<Elf64_Shdr>(header_.e_shoff + i * sizeof(Elf64_Shdr)));
  }

  uint16_t machine() const { return header_.e_machine; }
  const std::vector<Elf64_Shdr>& sections() const { return sections_; }
  const Elf64_Shdr& section(size_t index) const {
    if (index >= sections_.size()) refuse("a section that does not exist");
    return sections_[index];
  }

  /// Sections that take memory; unwinding tables do not: generated code throws nothing.
  bool is_loaded(size_t index) const {
    const Elf64_Shdr& s = section(index);
    return (s.sh_flags & SHF_ALLOC) != 0 && s.sh_size > 0 && s.sh_type != SHT_NOTE && name_of(index) != ".eh_frame";
  }
  static Use use_of(const Elf64_Shdr& s) {
    // Relocated constants (.data.rel.ro) are marked writable, but are not written to.
    return (s.sh_flags & SHF_EXECINSTR) != 0 ? Use::execute : (s.sh_flags & SHF_WRITE) != 0 ? Use::write : Use::read;
  }

  std::span<const uint8_t> contents(const Elf64_Shdr& s) const { return part(s.sh_offset, s.sh_size); }

  template <typename Entry>
  size_t count(const Elf64_Shdr& s) const {
    return s.sh_size / sizeof(Entry);
  }
  template <typename Entry>
  Entry entry(const Elf64_Shdr& s, size_t index) const {
    if (index >= count<Entry>(s)) refuse("a table that ends too early");
    return read<Entry>(s.sh_offset + index * sizeof(Entry));
  }
  std::string_view text(const Elf64_Shdr& strings, uint64_t offset) const {
    const std::span<const uint8_t> all = contents(strings);
    if (offset >= all.size() || all.back() != 0) refuse("a name outside of its table");
    return reinterpret_cast<const char*>(all.data()) + offset;
  }
  std::string_view name_of(size_t index) const { return text(section(header_.e_shstrndx), section(index).sh_name); }

 private:
  std::span<const uint8_t> bytes_;
  Elf64_Ehdr header_;
  std::vector<Elf64_Shdr> sections_;

  std::span<const uint8_t> part(uint64_t offset, uint64_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) refuse("an object that ends too early");
    return bytes_.subspan(offset, size);
  }
  template <typename T>
  T read(uint64_t offset) const {
    T value;
    std::memcpy(&value, part(offset, sizeof value).data(), sizeof value);
    return value;
  }
};

void put(uint8_t* place, uint64_t value, size_t bytes) { std::memcpy(place, &value, bytes); }

uint64_t as_signed(int64_t value, int bits, const char* what) {
  if (value < -(int64_t{1} << (bits - 1)) || value >= int64_t{1} << (bits - 1)) refuse(std::string(what) + " is out of reach");
  return static_cast<uint64_t>(value);
}

// System V ABI, AMD64 supplement, table 4.9: S + A, less P where relative.
void relocate_x86_64(uint32_t type, uint8_t* place, uint64_t target) {
  const int64_t relative = static_cast<int64_t>(target - reinterpret_cast<uint64_t>(place));
  switch (type) {
    case R_X86_64_64: return put(place, target, 8);
    case R_X86_64_PC64: return put(place, static_cast<uint64_t>(relative), 8);
    case R_X86_64_PC32:
    case R_X86_64_PLT32: return put(place, as_signed(relative, 32, "a symbol"), 4);
    default: refuse("relocation " + std::to_string(type) + " of x86-64 is not known");
  }
}

// ELF for the Arm 64-bit Architecture, section 5.7.
void relocate_aarch64(uint32_t type, uint8_t* place, uint64_t target) {
  const int64_t relative = static_cast<int64_t>(target - reinterpret_cast<uint64_t>(place));
  uint32_t instruction = 0;
  std::memcpy(&instruction, place, 4);
  const auto with_low_bits = [&](int scale) {  // imm12 of an addition, or of a load of 1 << scale bytes
    const uint64_t low = (target & 0xfff) >> scale;
    put(place, (instruction & ~(uint32_t{0xfff} << 10)) | static_cast<uint32_t>(low << 10), 4);
  };
  switch (type) {
    case R_AARCH64_ABS64: return put(place, target, 8);
    case R_AARCH64_PREL32: return put(place, as_signed(relative, 32, "a symbol"), 4);
    case R_AARCH64_CALL26:
    case R_AARCH64_JUMP26: {
      const uint64_t words = as_signed(relative >> 2, 26, "a function") & 0x3ffffff;
      return put(place, (instruction & ~uint32_t{0x3ffffff}) | static_cast<uint32_t>(words), 4);
    }
    case R_AARCH64_ADR_PREL_PG_HI21: {
      const int64_t pages = static_cast<int64_t>(target >> 12) - static_cast<int64_t>(reinterpret_cast<uint64_t>(place) >> 12);
      const uint64_t bits = as_signed(pages, 21, "a page") & 0x1fffff;
      const auto low = static_cast<uint32_t>(bits & 3) << 29, high = static_cast<uint32_t>(bits >> 2) << 5;
      return put(place, (instruction & ~(uint32_t{3} << 29 | uint32_t{0x7ffff} << 5)) | low | high, 4);
    }
    case R_AARCH64_ADD_ABS_LO12_NC:
    case R_AARCH64_LDST8_ABS_LO12_NC: return with_low_bits(0);
    case R_AARCH64_LDST16_ABS_LO12_NC: return with_low_bits(1);
    case R_AARCH64_LDST32_ABS_LO12_NC: return with_low_bits(2);
    case R_AARCH64_LDST64_ABS_LO12_NC: return with_low_bits(3);
    case R_AARCH64_LDST128_ABS_LO12_NC: return with_low_bits(4);
    default: refuse("relocation " + std::to_string(type) + " of aarch64 is not known");
  }
}

uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

LoadedObjects::LoadedObjects(std::span<const std::vector<uint8_t>> objects) {
  std::vector<ObjectReader> readers;
  for (const std::vector<uint8_t>& object : objects) readers.emplace_back(object);

  // Where each section lies within the pages of its use, then those pages one after the other.
  std::array<uint64_t, uses> size{};
  std::vector<std::vector<uint64_t>> place(readers.size());
  for (size_t r = 0; r < readers.size(); ++r) {
    place[r].resize(readers[r].sections().size());
    for (size_t s = 0; s < place[r].size(); ++s) {
      if (!readers[r].is_loaded(s)) continue;
      const Elf64_Shdr& section = readers[r].sections()[s];
      uint64_t& end = size[static_cast<size_t>(ObjectReader::use_of(section))];
      end = round_up(end, std::max<uint64_t>(section.sh_addralign, 1));
      place[r][s] = end;
      end += section.sh_size;
    }
  }
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::array<uint64_t, uses> start{};
  for (size_t use = 0; use < uses; ++use) {
    start[use] = bytes_;
    bytes_ += round_up(size[use], page);
  }
  if (bytes_ == 0) refuse("nothing to load");
  void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) refuse("not enough memory for " + std::to_string(bytes_) + " bytes of code");
  memory_ = static_cast<uint8_t*>(memory);

  try {
    const auto address = [&](size_t r, size_t s) {
      const Use use = ObjectReader::use_of(readers[r].section(s));
      return memory_ + start[static_cast<size_t>(use)] + place[r][s];
    };
    for (size_t r = 0; r < readers.size(); ++r) {
      for (size_t s = 0; s < readers[r].sections().size(); ++s) {
        const Elf64_Shdr& section = readers[r].sections()[s];
        if (!readers[r].is_loaded(s) || section.sh_type == SHT_NOBITS) continue;
        const std::span<const uint8_t> contents = readers[r].contents(section);
        std::memcpy(address(r, s), contents.data(), contents.size());
      }
      for (const Elf64_Shdr& table : readers[r].sections()) {
        if (table.sh_type != SHT_SYMTAB) continue;
        for (size_t i = 0; i < readers[r].count<Elf64_Sym>(table); ++i) {
          const auto symbol = readers[r].entry<Elf64_Sym>(table, i);
          if (ELF64_ST_BIND(symbol.st_info) == STB_LOCAL || symbol.st_shndx == SHN_UNDEF || !readers[r].is_loaded(symbol.st_shndx)) continue;
          const std::string_view name = readers[r].text(readers[r].section(table.sh_link), symbol.st_name);
          symbols_.emplace(name, reinterpret_cast<uint64_t>(address(r, symbol.st_shndx)) + symbol.st_value);
        }
      }
    }
    for (size_t r = 0; r < readers.size(); ++r) {
      const ObjectReader& reader = readers[r];
      for (const Elf64_Shdr& table : reader.sections()) {
        if (table.sh_type == SHT_REL) refuse("relocations without addends");
        if (table.sh_type != SHT_RELA || !reader.is_loaded(table.sh_info)) continue;
        const Elf64_Shdr& symbols = reader.section(table.sh_link);
        for (size_t i = 0; i < reader.count<Elf64_Rela>(table); ++i) {
          const auto relocation = reader.entry<Elf64_Rela>(table, i);
          const auto symbol = reader.entry<Elf64_Sym>(symbols, ELF64_R_SYM(relocation.r_info));
          uint64_t target = 0;
          if (symbol.st_shndx == SHN_UNDEF) {
            target = reinterpret_cast<uint64_t>(find(reader.text(reader.section(symbols.sh_link), symbol.st_name)));
          } else {
            if (!reader.is_loaded(symbol.st_shndx)) refuse("a symbol in a section that is not loaded");
            target = reinterpret_cast<uint64_t>(address(r, symbol.st_shndx)) + symbol.st_value;
          }
          target += static_cast<uint64_t>(relocation.r_addend);
          const uint64_t room = reader.section(table.sh_info).sh_size;
          if (relocation.r_offset > room || room - relocation.r_offset < 4) refuse("a relocation outside of its section");
          uint8_t* at = address(r, table.sh_info) + relocation.r_offset;
          const auto type = static_cast<uint32_t>(ELF64_R_TYPE(relocation.r_info));
          reader.machine() == EM_X86_64 ? relocate_x86_64(type, at, target) : relocate_aarch64(type, at, target);
        }
      }
    }
    constexpr std::array<int, uses> protection = {PROT_READ | PROT_EXEC, PROT_READ, PROT_READ | PROT_WRITE};
    for (size_t use = 0; use < uses; ++use) {
      if (size[use] == 0) continue;
      uint8_t* begin = memory_ + start[use];
      const uint64_t length = round_up(size[use], page);
      if (::mprotect(begin, length, protection[use]) != 0) refuse("the system does not allow to execute generated code");
    }
    __builtin___clear_cache(reinterpret_cast<char*>(memory_), reinterpret_cast<char*>(memory_ + bytes_));
  } catch (...) {
    ::munmap(memory_, bytes_);
    throw;
  }
}

LoadedObjects::~LoadedObjects() { ::munmap(memory_, bytes_); }

void* LoadedObjects::find(std::string_view symbol) const {
  const auto found = symbols_.find(std::string(symbol));
  if (found == symbols_.end()) refuse("there is no symbol '" + std::string(symbol) + "'");
  return reinterpret_cast<void*>(found->second);
}

}  // namespace moru
