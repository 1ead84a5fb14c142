#include "compiler/exchange/hdf5_file.h"

#include <hdf5.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include "compiler/exchange/hdf5_isolation.h"
#include "compiler/support/elements.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

constexpr int max_depth = 64;
constexpr size_t max_objects = 200000;
// deflate makes at best 1 of 1032 bytes; real weights shrink to about nine tenths, zeros to almost nothing.
constexpr uint64_t max_expansion = 1100;
constexpr uint64_t free_bytes = uint64_t{64} << 20;

// Closes a handle of the library at the end of its scope.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }
  bool valid() const { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

// The library prints its errors unless told not to.
void silence() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

class Reader {
 public:
  Reader(const std::string& source, std::span<const std::byte> file)
      : source_(source), file_(file), file_bytes_(file.size()) {}

  void read_group(hid_t group, const std::string& path, Hdf5Group& into, int depth) {
    if (depth > max_depth) refuse(path, "its groups nest deeper than " + std::to_string(max_depth) + " levels");
    H5O_info_t info;
    if (H5Oget_info2(group, &info, H5O_INFO_BASIC) < 0) damaged(path);
    if (!seen_.insert(info.addr).second) refuse(path, "this group is linked from two places, or lies within itself");
    read_attributes(group, path, into);
    for (const std::string& name : link_names(group, path)) {
      const std::string inner = path + (path.size() > 1 ? "/" : "") + name;
      if (++objects_ > max_objects) refuse({}, "holds more than " + std::to_string(max_objects) + " objects");
      H5L_info_t link;
      if (H5Lget_info(group, name.c_str(), &link, H5P_DEFAULT) < 0) damaged(inner);
      if (link.type != H5L_TYPE_HARD) refuse(inner, "is a link to elsewhere, which weights have no need of");
      const Handle object(H5Oopen(group, name.c_str(), H5P_DEFAULT), H5Oclose);
      if (!object.valid()) damaged(inner);
      std::string plain = name;
      std::replace(plain.begin(), plain.end(), '\\', '/');
      const size_t slash = plain.rfind('/');
      switch (H5Iget_type(object)) {
        case H5I_GROUP:
          read_group(object, inner, into.make_group(plain), depth + 1);
          break;
        case H5I_DATASET: {
          Hdf5Group& owner = slash == std::string::npos ? into : into.make_group(plain.substr(0, slash));
          read_dataset(object, inner, owner, slash == std::string::npos ? plain : plain.substr(slash + 1));
          break;
        }
        default:
          break;  // named types
      }
    }
  }

 private:
  const std::string& source_;
  std::span<const std::byte> file_;
  uint64_t file_bytes_;
  uint64_t total_bytes_ = 0;
  size_t objects_ = 0;
  std::set<haddr_t> seen_;

  [[noreturn]] void refuse(const std::string& path, const std::string& what, std::string hint = {}) const {
    throw CompileError({.stage = "import",
                        .what = source_ + ": " + (path.empty() ? "" : "'" + path + "': ") + what,
                        .hint = std::move(hint)});
  }
  [[noreturn]] void damaged(const std::string& path) const {
    refuse(path, "cannot be read: the file is damaged", "copy it again from where it came from");
  }

  static herr_t collect(hid_t, const char* name, const H5L_info_t*, void* to) {
    auto& names = *static_cast<std::vector<std::string>*>(to);
    if (names.size() > max_objects) return -1;
    names.emplace_back(name);
    return 0;
  }
  std::vector<std::string> link_names(hid_t group, const std::string& path) const {
    std::vector<std::string> names;
    hsize_t position = 0;
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, &position, collect, &names) < 0) damaged(path);
    for (const std::string& name : names)
      if (name.empty() || name == "." || name == "..") refuse(path, "holds the name '" + name + "'");
    return names;
  }

  uint64_t count_of(hid_t space, const std::string& path, std::vector<int64_t>* shape) const {
    if (H5Sget_simple_extent_type(space) == H5S_NULL) {
      if (shape) *shape = {0};
      return 0;
    }
    const int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > H5S_MAX_RANK) damaged(path);
    std::vector<hsize_t> extents(static_cast<size_t>(rank));
    if (rank > 0 && H5Sget_simple_extent_dims(space, extents.data(), nullptr) < 0) damaged(path);
    uint64_t count = 1;
    for (const hsize_t extent : extents) {
      if (extent > (uint64_t{1} << 40) || __builtin_mul_overflow(count, extent, &count) || count > (uint64_t{1} << 40))
        refuse(path, "says it has more elements than any weight");
      if (shape) shape->push_back(static_cast<int64_t>(extent));
    }
    return count;
  }

  // What a dataset or attribute would take, against what a file of this size can hold.
  void charge(uint64_t count, uint64_t element_bytes, const std::string& path) {
    if (count > 0 && element_bytes > (uint64_t{1} << 40) / count) refuse(path, "says it is larger than any weight");
    total_bytes_ += count * element_bytes;
    if (total_bytes_ > free_bytes && total_bytes_ / max_expansion > file_bytes_)
      refuse(path, "says it holds more than " + std::to_string(total_bytes_) + " bytes, but the file has only " +
                       std::to_string(file_bytes_));
  }

  void read_dataset(hid_t dataset, const std::string& path, Hdf5Group& owner, const std::string& name) {
    const Handle type(H5Dget_type(dataset), H5Tclose), space(H5Dget_space(dataset), H5Sclose);
    if (!type.valid() || !space.valid()) damaged(path);
    const H5T_class_t kind = H5Tget_class(type);
    if (kind != H5T_FLOAT && kind != H5T_INTEGER && kind != H5T_ENUM) return;  // texts, references: nothing of a weight
    Hdf5Dataset result;
    const uint64_t count = count_of(space, path, &result.shape);
    const size_t width = H5Tget_size(type);
    if (width == 0 || width > 16) refuse(path, "has elements of " + std::to_string(width) + " bytes");
    charge(count, std::max<size_t>(width, kind == H5T_FLOAT ? 4 : 8), path);
    const hsize_t stored = H5Dget_storage_size(dataset);
    if (stored > file_bytes_) damaged(path);
    if (count * width > (uint64_t{1} << 16) && count * width / max_expansion > stored)
      refuse(path,
             "says it has " + std::to_string(count) + " elements but stores only " + std::to_string(stored) + " bytes");
    result.integer = kind != H5T_FLOAT;
    if (result.integer) {
      result.integers.resize(count);
      const Handle base(kind == H5T_ENUM ? H5Tget_super(type) : H5Tcopy(type), H5Tclose);
      read_integers(dataset, kind == H5T_ENUM, base, width, result.integers, path);
    } else if (result.stored = find_stored(dataset, type, count * width); result.stored.empty()) {
      result.reals.resize(count);
      if (count > 0 && H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, result.reals.data()) < 0)
        unreadable(dataset, path);
    }
    if (!owner.datasets.emplace(name, std::move(result)).second) refuse(path, "occurs twice");
  }

  // Where the file holds just what is wanted, in one piece.
  std::span<const std::byte> find_stored(hid_t dataset, hid_t type, uint64_t bytes) const {
    const Handle plist(H5Dget_create_plist(dataset), H5Pclose);
    if (!plist.valid() || H5Pget_layout(plist) != H5D_CONTIGUOUS || H5Pget_external_count(plist) != 0 ||
        H5Tequal(type, H5T_NATIVE_FLOAT) <= 0 || H5Dget_storage_size(dataset) != bytes)
      return {};
    const haddr_t offset = H5Dget_offset(dataset);
    if (offset == HADDR_UNDEF || offset > file_.size() || bytes > file_.size() - offset) return {};
    return file_.subspan(offset, bytes);
  }

  void read_integers(hid_t dataset, bool enumeration, hid_t base, size_t width, std::vector<int64_t>& into,
                     const std::string& path) const {
    if (into.empty()) return;
    if (!enumeration) {
      if (H5Dread(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, into.data()) < 0) unreadable(dataset, path);
      return;
    }
    // numpy's booleans are an enumeration of one byte.
    if (!static_cast<bool>(H5Tget_class(base) == H5T_INTEGER) || width != 1) return;
    std::vector<int8_t> bytes(into.size());
    const Handle type(H5Dget_type(dataset), H5Tclose);
    if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) < 0) unreadable(dataset, path);
    std::copy(bytes.begin(), bytes.end(), into.begin());
  }

  [[noreturn]] void unreadable(hid_t dataset, const std::string& path) const {
    const Handle plist(H5Dget_create_plist(dataset), H5Pclose);
    const int filters = plist.valid() ? H5Pget_nfilters(plist) : 0;
    for (int i = 0; i < filters && i < 32; ++i) {
      char name[64] = "";
      unsigned flags = 0, config = 0;
      size_t values = 0;
      const H5Z_filter_t filter =
          H5Pget_filter2(plist, static_cast<unsigned>(i), &flags, &values, nullptr, sizeof name, name, &config);
      if (filter >= 0 && H5Zfilter_avail(filter) <= 0)
        refuse(path,
               "is compressed by the filter " + std::to_string(filter) + " ('" + std::string(name) +
                   "'), which is not part of HDF5",
               "save the weights again, uncompressed or with gzip");
    }
    damaged(path);
  }

  void read_attributes(hid_t group, const std::string& path, Hdf5Group& into) {
    H5O_info_t info;
    if (H5Oget_info2(group, &info, H5O_INFO_NUM_ATTRS) < 0) damaged(path);
    if (info.num_attrs > max_objects) damaged(path);
    for (hsize_t i = 0; i < info.num_attrs; ++i) {
      const Handle attribute(H5Aopen_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_NATIVE, i, H5P_DEFAULT, H5P_DEFAULT),
                             H5Aclose);
      if (!attribute.valid()) damaged(path);
      const ssize_t length = H5Aget_name(attribute, 0, nullptr);
      if (length < 0 || length > 65536) damaged(path);
      std::string name(static_cast<size_t>(length), '\0');
      if (H5Aget_name(attribute, name.size() + 1, name.data()) < 0) damaged(path);
      read_attribute(attribute, path + "@" + name, into.attributes[name]);
    }
  }

  void read_attribute(hid_t attribute, const std::string& path, Hdf5Attribute& into) {
    const Handle type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
    if (!type.valid() || !space.valid()) damaged(path);
    if (H5Tget_class(type) != H5T_STRING) return;
    const uint64_t count = count_of(space, path, nullptr);
    const size_t width = H5Tget_size(type);
    if (count == 0) return;
    if (H5Tis_variable_str(type) > 0) {
      if (count > file_bytes_ / 16) damaged(path);  // each is a reference of 16 bytes
      std::vector<char*> texts(count, nullptr);
      const Handle memory(H5Tcopy(H5T_C_S1), H5Tclose);
      H5Tset_size(memory, H5T_VARIABLE);
      H5Tset_cset(memory, H5Tget_cset(type));
      if (H5Aread(attribute, memory, texts.data()) < 0) damaged(path);
      uint64_t bytes = 0;
      for (const char* text : texts) {
        into.texts.emplace_back(text != nullptr ? text : "");
        bytes += into.texts.back().size();
      }
      H5Dvlen_reclaim(memory, space, H5P_DEFAULT, texts.data());
      charge(bytes, 1, path);
    } else {
      charge(count, width, path);
      if (count * width > file_bytes_) damaged(path);
      std::vector<char> bytes(count * width);
      if (H5Aread(attribute, type, bytes.data()) < 0) damaged(path);
      for (uint64_t i = 0; i < count; ++i) {
        std::string text(bytes.data() + i * width, strnlen(bytes.data() + i * width, width));
        if (H5Tget_strpad(type) == H5T_STR_SPACEPAD) text.erase(text.find_last_not_of(' ') + 1);
        into.texts.push_back(std::move(text));
      }
    }
  }
};

// The library takes files in memory, of which it would make several copies. It only reads them, and so gets the bytes
// where they are whenever it asks for memory for a copy.
struct ImageInPlace {
  std::span<const std::byte> bytes;
  H5FD_file_image_callbacks_t callbacks = {take, keep, nullptr, leave, share, leave_shared, this};

  explicit ImageInPlace(std::span<const std::byte> file) : bytes(file) {}
  ImageInPlace(const ImageInPlace&) = delete;
  ImageInPlace& operator=(const ImageInPlace&) = delete;

 private:
  static void* take(size_t size, H5FD_file_image_op_t, void* self) {
    const auto bytes = static_cast<const ImageInPlace*>(self)->bytes;
    return size == bytes.size() ? const_cast<std::byte*>(bytes.data()) : nullptr;
  }
  static void* keep(void* to, const void*, size_t, H5FD_file_image_op_t, void*) { return to; }
  static herr_t leave(void*, H5FD_file_image_op_t, void*) { return 0; }
  static void* share(void* self) { return self; }
  static herr_t leave_shared(void*) { return 0; }
};

void check_written(bool good) { check_internal(good, "the HDF5 library could not write"); }

void write_attribute(hid_t group, const std::string& name, const Hdf5Attribute& attribute) {
  // As h5py: one text is of variable length, a list of texts is padded to the longest.
  if (attribute.texts.empty()) {  // numpy's empty list is one of f64
    const hsize_t none = 0;
    const Handle space(H5Screate_simple(1, &none, nullptr), H5Sclose);
    const Handle id(H5Acreate2(group, name.c_str(), H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    check_written(id.valid());
    return;
  }
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_cset(type, attribute.scalar ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
  if (attribute.scalar) {
    H5Tset_size(type, H5T_VARIABLE);
    const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    const Handle id(H5Acreate2(group, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    const char* text = attribute.texts[0].c_str();
    check_written(id.valid() && H5Awrite(id, type, &text) >= 0);
    return;
  }
  size_t width = 1;
  for (const std::string& text : attribute.texts) width = std::max(width, text.size());
  H5Tset_size(type, width);
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  std::vector<char> bytes(width * attribute.texts.size(), '\0');
  for (size_t i = 0; i < attribute.texts.size(); ++i)
    std::memcpy(bytes.data() + i * width, attribute.texts[i].data(), attribute.texts[i].size());
  const hsize_t count = attribute.texts.size();
  const Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  const Handle id(H5Acreate2(group, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  check_written(id.valid() && H5Awrite(id, type, bytes.data()) >= 0);
}

void write_group(hid_t group, const Hdf5Group& content) {
  for (const auto& [name, attribute] : content.attributes) write_attribute(group, name, attribute);
  for (const auto& [name, inner] : content.groups) {
    const Handle id(H5Gcreate2(group, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    check_written(id.valid());
    write_group(id, *inner);
  }
  for (const auto& [name, dataset] : content.datasets) {
    std::vector<hsize_t> extents(dataset.shape.begin(), dataset.shape.end());
    const Handle space(extents.empty() ? H5Screate(H5S_SCALAR)
                                       : H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr),
                       H5Sclose);
    const Handle id(H5Dcreate2(group, name.c_str(), dataset.integer ? H5T_STD_I64LE : H5T_IEEE_F32LE, space,
                               H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                    H5Dclose);
    check_written(id.valid());
    const void* data = dataset.integer ? static_cast<const void*>(dataset.integers.data()) : dataset.reals.data();
    check_written(
        H5Dwrite(id, dataset.integer ? H5T_NATIVE_INT64 : H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
  }
}

}  // namespace

std::vector<float> Hdf5Dataset::floats() const {
  if (stored.empty()) return reals;
  std::vector<float> values;
  append_elements(values, stored);
  return values;
}

const Hdf5Group* Hdf5Group::find_group(std::string_view path) const {
  const Hdf5Group* group = this;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (name.empty()) continue;
    const auto found = group->groups.find(name);
    if (found == group->groups.end()) return nullptr;
    group = found->second.get();
  }
  return group;
}

const Hdf5Dataset* Hdf5Group::find_dataset(std::string_view path) const {
  const size_t slash = path.rfind('/');
  const Hdf5Group* owner = slash == std::string_view::npos ? this : find_group(path.substr(0, slash));
  if (owner == nullptr) return nullptr;
  const auto found = owner->datasets.find(slash == std::string_view::npos ? path : path.substr(slash + 1));
  return found == owner->datasets.end() ? nullptr : &found->second;
}

std::string Hdf5Group::text(std::string_view attribute) const {
  const auto found = attributes.find(attribute);
  return found == attributes.end() || found->second.texts.empty() ? std::string() : found->second.texts[0];
}

Hdf5Group& Hdf5Group::make_group(std::string_view path) {
  Hdf5Group* group = this;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string name(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (name.empty()) continue;
    std::unique_ptr<Hdf5Group>& inner = group->groups[name];
    if (!inner) inner = std::make_unique<Hdf5Group>();
    group = inner.get();
  }
  return *group;
}

bool is_hdf5(std::span<const std::byte> bytes) {
  static constexpr unsigned char signature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  return bytes.size() >= sizeof signature && std::memcmp(bytes.data(), signature, sizeof signature) == 0;
}

std::unique_ptr<Hdf5Group> read_hdf5(std::span<const std::byte> bytes, const std::string& source) {
  return read_in_child(source, bytes, [&] { return read_hdf5_here(bytes, source); });
}

std::unique_ptr<Hdf5Group> read_hdf5_here(std::span<const std::byte> bytes, const std::string& source) {
  silence();
  const auto damaged = [&] {
    throw CompileError({.stage = "import",
                        .what = source + ": cannot be read as HDF5: the file is damaged",
                        .hint = "copy it again from where it came from"});
  };
  if (!is_hdf5(bytes)) damaged();
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(access, 1 << 16, false);
  ImageInPlace in_place(bytes);
  if (H5Pset_file_image_callbacks(access, &in_place.callbacks) < 0 ||
      H5Pset_file_image(access, const_cast<std::byte*>(bytes.data()), bytes.size()) < 0) damaged();
  const Handle file(H5Fopen("image", H5F_ACC_RDONLY, access), H5Fclose);
  if (!file.valid()) damaged();
  auto root = std::make_unique<Hdf5Group>();
  const Handle group(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose);
  if (!group.valid()) damaged();
  Reader(source, bytes).read_group(group, "/", *root, 0);
  return root;
}

std::vector<std::byte> write_hdf5(const Hdf5Group& root) {
  silence();
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(access, 1 << 16, false);
  const Handle file(H5Fcreate("image", H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose);
  check_written(file.valid());
  const Handle group(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose);
  write_group(group, root);
  check_written(H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0);
  const ssize_t size = H5Fget_file_image(file, nullptr, 0);
  check_written(size > 0);
  std::vector<std::byte> bytes(static_cast<size_t>(size));
  check_written(H5Fget_file_image(file, bytes.data(), bytes.size()) == size);
  return bytes;
}

}  // namespace moru
