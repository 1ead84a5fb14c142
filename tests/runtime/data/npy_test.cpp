#include "runtime/data/npy.h"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "tests/runtime/data/data_files.h"

using namespace moru;

namespace {

/// A file as numpy.save would write it.
std::string npy_file(const std::string& dictionary, std::string_view data, char version = 1) {
  std::string header = dictionary + "\n";
  std::string file = "\x93NUMPY";
  file += version;
  file += '\0';
  file += static_cast<char>(header.size() & 0xFF);
  file += static_cast<char>(header.size() >> 8);
  if (version > 1) file += std::string(2, '\0');
  return file + header + std::string(data);
}

template <typename T>
std::string bytes_of(std::initializer_list<T> values) {
  std::string out;
  for (const T value : values) out.append(reinterpret_cast<const char*>(&value), sizeof value);
  return out;
}

Result<NpyArray> parse(const std::string& file) { return parse_npy(std::as_bytes(std::span(file)), "a.npy"); }

std::string message_of(const std::string& file) {
  const Result<NpyArray> array = parse(file);
  REQUIRE_FALSE(array.ok());
  return array.status().message();
}

std::vector<float> floats(const NpyArray& array) {
  Result<std::vector<std::byte>> bytes = convert_npy(array, DType::f32, "a.npy");
  REQUIRE(bytes.ok());
  std::vector<float> out(bytes->size() / 4);
  std::memcpy(out.data(), bytes->data(), bytes->size());
  return out;
}

}  // namespace

TEST_CASE("npy: every element type reads, in versions 1, 2 and 3") {
  CHECK(floats(*parse(npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
                               bytes_of<float>({1.5f, -2})))) == std::vector<float>{1.5f, -2});
  CHECK(floats(*parse(npy_file("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", bytes_of<double>({0.1, 3}),
                               2))) == std::vector<float>{0.1f, 3});
  CHECK(floats(*parse(npy_file("{'shape': (1,), 'descr': '|i1', 'fortran_order': False}", bytes_of<int8_t>({-3}),
                               3))) == std::vector<float>{-3});
  CHECK(floats(*parse(npy_file("{'descr': '<i2', 'fortran_order': False, 'shape': ()}", bytes_of<int16_t>({-300})))) ==
        std::vector<float>{-300});
  CHECK(floats(*parse(npy_file("{'descr': '<i4', 'fortran_order': False, 'shape': (1, 1)}", bytes_of<int32_t>({7})))) ==
        std::vector<float>{7});
  CHECK(floats(*parse(npy_file("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", bytes_of<int64_t>({9})))) ==
        std::vector<float>{9});
  CHECK(floats(*parse(npy_file("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", bytes_of<uint8_t>({200})))) ==
        std::vector<float>{200});
  CHECK(floats(*parse(npy_file("{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}",
                               bytes_of<uint8_t>({1, 0})))) == std::vector<float>{1, 0});
  const Result<NpyArray> empty = parse(npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5)}", ""));
  REQUIRE(empty.ok());
  CHECK(empty->element_count() == 0);
}

TEST_CASE("npy: column-major and big-endian arrays are turned round") {
  // numpy: [[1, 2, 3], [4, 5, 6]] in Fortran order is 1 4 2 5 3 6.
  const Result<NpyArray> array =
      parse(npy_file("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", bytes_of<float>({1, 4, 2, 5, 3, 6})));
  REQUIRE(array.ok());
  CHECK(floats(*array) == std::vector<float>{1, 2, 3, 4, 5, 6});
  const Result<NpyArray> cube =
      parse(npy_file("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1, 2)}", bytes_of<float>({1, 3, 2, 4})));
  REQUIRE(cube.ok());
  CHECK(floats(*cube) == std::vector<float>{1, 2, 3, 4});
  CHECK(floats(*parse(npy_file("{'descr': '>i4', 'fortran_order': False, 'shape': (1,)}",
                               std::string("\0\0\1\2", 4)))) == std::vector<float>{258});
}

TEST_CASE("npy: what is written reads back, and begins at a multiple of 64 bytes") {
  const test::TemporaryDirectory folder;
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{6}, {2, 3}, {1, 2, 3, 1}}) {
    const std::string path = folder / "x.npy";
    REQUIRE(write_npy(path, DType::f32, shape, std::as_bytes(std::span(values))).ok());
    CHECK((std::filesystem::file_size(path) - 24) % 64 == 0);
    const Result<NpyArray> back = read_npy(path);
    REQUIRE(back.ok());
    CHECK(back->shape == shape);
    CHECK(floats(*back) == values);
  }
  const std::vector<int64_t> labels = {3, -1};
  const std::vector<int64_t> two = {2};
  REQUIRE(write_npy(folder / "y.npy", DType::i64, two, std::as_bytes(std::span(labels))).ok());
  CHECK(read_npy(folder / "y.npy")->type == NpyType::i8);
  CHECK_FALSE(write_npy(folder / "z.npy", DType::f32, two, std::as_bytes(std::span(labels))).ok());
  CHECK_FALSE(std::filesystem::exists(folder / "z.npy"));
}

TEST_CASE("npy: hostile files are refused in words") {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}";
  const std::string end = "\n  hint: write it again with numpy.save";
  const std::string front = "a.npy: is not a usable .npy file: ";
  CHECK(message_of("hello") ==
        "a.npy: is not a .npy file (it does not begin with \\x93NUMPY)\n  hint: write arrays with numpy.save; .npz "
        "archives and "
        "pickles are not supported");
  CHECK(message_of(npy_file(good, "1234")) == front + "its shape needs 8 bytes of data and it holds 4" + end);
  CHECK(message_of(npy_file(good, "123456789")) == front + "its shape needs 8 bytes of data and it holds 9" + end);
  CHECK(message_of(npy_file(good, "12345678", 9)) == front + "its format version is 9.x" + end);
  CHECK(message_of(npy_file(good, "").substr(0, 30)) == front + "it ends inside its header" + end);
  CHECK(message_of(npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", "")) ==
        front + "its shape has more elements than memory can address" + end);
  CHECK(message_of(npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "")) ==
        front + "'shape' holds a size beyond 63 bits" + end);
  CHECK(message_of(npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "")) ==
        front + "'shape' holds something that is not a size" + end);
  CHECK(message_of(npy_file("{'descr': '<f4', 'fortran_order': False}", "")) ==
        front + "the header lacks 'descr', 'fortran_order' or 'shape'" + end);
  CHECK(message_of(npy_file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "")) ==
        front + "'descr' is not a plain element type; structured arrays are not supported" + end);
  CHECK(message_of(npy_file("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "")) ==
        "a.npy: elements of type '|O' are not supported\n  hint: convert with array.astype('float32'); the types are "
        "f4, f8, i1, i2, "
        "i4, i8, u1 and b1");
  const std::string file = npy_file(good, "12345678");
  for (std::size_t length = 0; length < file.size(); ++length) CHECK_FALSE(parse(file.substr(0, length)).ok());
  for (std::size_t at = 0; at < file.size() - 8; ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string damaged = file;
      damaged[at] = static_cast<char>(byte);
      (void)parse(damaged);
    }
  }
}

TEST_CASE("npy: numbers that an integer type cannot hold are refused by their position") {
  const NpyArray wide = *parse(
      npy_file("{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}", bytes_of<int64_t>({1, int64_t{1} << 40})));
  CHECK(convert_npy(wide, DType::i32, "a.npy").status().message() ==
        "a.npy: element 1 (of i8) does not fit i32\n  hint: convert the array before, or change \"type\"");
  CHECK(convert_npy(wide, DType::i64, "a.npy").ok());
  const NpyArray fraction =
      *parse(npy_file("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", bytes_of<double>({0.5})));
  CHECK_FALSE(convert_npy(fraction, DType::i32, "a.npy").ok());
  const NpyArray edge = *parse(
      npy_file("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", bytes_of<double>({9223372036854775808.0})));
  CHECK_FALSE(convert_npy(edge, DType::i64, "a.npy").ok());
  const NpyArray not_a_number = *parse(npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
                                                bytes_of<float>({std::numeric_limits<float>::quiet_NaN()})));
  CHECK_FALSE(convert_npy(not_a_number, DType::i64, "a.npy").ok());
}
