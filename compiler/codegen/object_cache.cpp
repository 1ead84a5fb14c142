#include "compiler/codegen/object_cache.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <llvm/Config/llvm-config.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace moru {

namespace {

// Raised when the emitter changes what it makes of the same kernels.
constexpr const char* code_version = "4";
constexpr char magic[8] = {'m', 'o', 'r', 'u', 'o', 'b', 'j', '1'};

void append_number(std::string& text, uint64_t number) { text.append(reinterpret_cast<const char*>(&number), sizeof number); }

}  // namespace

std::string ObjectCache::key(const std::vector<std::string>& parts) const {
  std::string text = std::string("moru ") + MORU_VERSION + " code " + code_version + " llvm " LLVM_VERSION_STRING "\n";
  for (const std::string& part : parts) text += std::to_string(part.size()) + ":" + part + "\n";
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  char name[40];
  std::snprintf(name, sizeof name, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return name;
}

// magic, checksum of the rest, count, then each object's size and bytes.
bool ObjectCache::find(const std::string& key, std::vector<std::vector<uint8_t>>& objects) const {
  std::ifstream file(directory_ + "/" + key + ".objects", std::ios::binary);
  if (!file) return false;
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  constexpr size_t header = sizeof magic + sizeof(uint64_t);
  if (text.size() < header || std::memcmp(text.data(), magic, sizeof magic) != 0) return false;
  uint64_t checksum = 0;
  std::memcpy(&checksum, text.data() + sizeof magic, sizeof checksum);
  if (checksum != XXH3_64bits(text.data() + header, text.size() - header)) return false;
  size_t position = header;
  const auto read_number = [&](uint64_t& number) {
    if (text.size() - position < sizeof number) return false;
    std::memcpy(&number, text.data() + position, sizeof number);
    position += sizeof number;
    return true;
  };
  std::vector<std::vector<uint8_t>> found;
  uint64_t count = 0, size = 0;
  if (!read_number(count)) return false;
  for (uint64_t i = 0; i < count; ++i) {
    if (!read_number(size) || text.size() - position < size) return false;
    const auto* begin = reinterpret_cast<const uint8_t*>(text.data()) + position;
    found.emplace_back(begin, begin + size);
    position += size;
  }
  objects = std::move(found);
  return position == text.size();
}

void ObjectCache::keep(const std::string& key, const std::vector<std::vector<uint8_t>>& objects) const {
  std::string body;
  append_number(body, objects.size());
  for (const std::vector<uint8_t>& object : objects) {
    append_number(body, object.size());
    body.append(reinterpret_cast<const char*>(object.data()), object.size());
  }
  std::string text(magic, sizeof magic);
  append_number(text, XXH3_64bits(body.data(), body.size()));
  text += body;
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  const std::string path = directory_ + "/" + key + ".objects";
  // Of this thread alone: several may compile the same kernels.
  static std::atomic<uint64_t> next = 0;
  const std::string temporary = path + "." + std::to_string(getpid()) + "-" + std::to_string(next++);
  std::ofstream file(temporary, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file) {
    std::filesystem::remove(temporary, error);
    return;
  }
  std::filesystem::rename(temporary, path, error);
  if (error) std::filesystem::remove(temporary, error);
}

}  // namespace moru
