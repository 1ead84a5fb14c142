// Reads and writes NumPy's .npy files, versions 1.0, 2.0 and 3.0 (numpy/lib/format.py), for the element types that
// models take and give. Files may be hostile: nothing is allocated before the header agrees with the file's size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/mapped_file.h"
#include "runtime/status.h"
#include "schema/types.h"

namespace moru {

enum class NpyType : uint8_t { f4, f8, i1, i2, i4, i8, u1, b1, f2, u2, u4, u8 };

/// The type of arrays of that element type.
NpyType npy_type_of(DType dtype);

/// A dense array in row-major order, in the machine's byte order.
struct NpyArray {
  NpyType type = NpyType::f4;
  std::vector<int64_t> shape;  // empty for a scalar
  std::vector<std::byte> data;

  int64_t element_count() const;
};

/// Reads a whole file; column-major arrays and the other byte order are converted, and f2 becomes f4. Errors name the file: not .npy,
/// damaged header, unsupported element type, more elements than memory can address, fewer or more bytes than the shape
/// needs.
Result<NpyArray> read_npy(const std::string& path);
Result<NpyArray> parse_npy(std::span<const std::byte> bytes, const std::string& name);

/// An array that is used where it lies in its file.
struct MappedNpy {
  std::vector<int64_t> shape;
  std::shared_ptr<const MappedFile> file;
  std::span<const std::byte> data;
};

/// Maps a file that holds `dtype` row by row in the machine's byte order, and at least `least_bytes` of it; none where it
/// must be read (and converted). Errors are those of read_npy.
Result<std::optional<MappedNpy>> map_npy(const std::string& path, DType dtype, uint64_t least_bytes);

/// Writes version 1.0, row-major, at most 32 axes. The file appears whole or not at all.
Status write_npy(const std::string& path, NpyType type, std::span<const int64_t> shape, std::span<const std::byte> data);
Status write_npy(const std::string& path, DType dtype, std::span<const int64_t> shape, std::span<const std::byte> data);

/// The elements as `dtype` (f32, f64, i32, i64 or boolean). An integer that `dtype` cannot hold and a fraction that
/// would be cut off are errors that name the first such element; f64 to f32 rounds.
Result<std::vector<std::byte>> convert_npy(const NpyArray& array, DType dtype, const std::string& name);

}  // namespace moru
