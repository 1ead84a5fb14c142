#include "compiler/exchange/named_weights.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "compiler/model/layers.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

Model small_model() {
  ModelBuilder m("small");
  Tensor x = m.input("x", {3});
  Model model = m.build({m.call(layers::dense(2, {.name = "y"}), m.call(layers::dense(4, {.name = "hidden"}), x))});
  initialize_parameters(model, 1);
  return model;
}

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> with_header(std::string_view header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::vector<std::byte> file(8);
  std::memcpy(file.data(), &length, 8);
  const auto text = bytes_of(header);
  file.insert(file.end(), text.begin(), text.end());
  file.resize(file.size() + data_bytes);
  return file;
}

std::string error_of(const std::vector<std::byte>& file) {
  try {
    read_safetensors(file, "w.safetensors");
  } catch (const CompileError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("safetensors: weights go out and come back bit for bit, found by name in any order") {
  Model model = small_model();
  std::vector<NamedTensor> tensors = named_weights(model);
  REQUIRE(tensors.size() == 4);
  CHECK(tensors[0].name == "hidden/kernel");
  std::swap(tensors[0], tensors[3]);
  std::vector<NamedTensor> read = read_safetensors(write_safetensors(tensors), "w.safetensors");
  REQUIRE(read.size() == 4);
  CHECK(read[0].name == "y/bias");
  Model other = small_model();
  for (const ParameterPath& path : all_parameters(other)) path.parameter->data.assign(path.parameter->data.size(), 7.0f);
  for (NamedTensor& tensor : read) std::replace(tensor.name.begin(), tensor.name.end(), '/', '.');
  assign_named_weights(other, read, "w.safetensors");
  const std::vector<NamedTensor> first = named_weights(model), second = named_weights(other);
  for (size_t i = 0; i < first.size(); ++i) CHECK(first[i].bytes == second[i].bytes);
}

TEST_CASE("safetensors: narrow element types are widened") {
  const uint16_t halves[] = {0x3c00, 0xc000};  // 1, -2
  std::vector<std::byte> file = with_header(R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})", 0);
  const auto data = std::as_bytes(std::span(halves));
  file.insert(file.end(), data.begin(), data.end());
  const std::vector<NamedTensor> read = read_safetensors(file, "w.safetensors");
  REQUIRE(read.size() == 1);
  float values[2];
  REQUIRE(read[0].bytes.size() == sizeof values);
  std::memcpy(values, read[0].bytes.data(), sizeof values);
  CHECK(values[0] == 1.0f);
  CHECK(values[1] == -2.0f);
}

TEST_CASE("named weights: all that does not fit is said at once, and nothing is changed") {
  Model model = small_model();
  const std::vector<NamedTensor> before = named_weights(model);
  std::vector<NamedTensor> tensors = before;
  tensors[0].shape = {4, 3};
  tensors[1].name = "hidden/offset";
  std::string message;
  try {
    assign_named_weights(model, tensors, "w.npz");
  } catch (const CompileError& error) {
    message = error.what();
  }
  CHECK(message.find("missing in the file: 'hidden/bias'") != std::string::npos);
  CHECK(message.find("not in the model: 'hidden/offset'") != std::string::npos);
  CHECK(message.find("'hidden/kernel' is [3, 4] in the model but [4, 3] in the file") != std::string::npos);
  CHECK(message.find("hint: ") != std::string::npos);
  const std::vector<NamedTensor> after = named_weights(model);
  for (size_t i = 0; i < before.size(); ++i) CHECK(before[i].bytes == after[i].bytes);
}

TEST_CASE("safetensors: hostile files are refused with the place") {
  const auto says = [](const std::vector<std::byte>& file, const char* what) {
    const std::string message = error_of(file);
    INFO(message);
    CHECK(message.find(what) != std::string::npos);
  };
  says({}, "it has 0 bytes");
  says(with_header("", 0), "is empty");
  says(std::vector<std::byte>(8, std::byte{0xff}), "its header does not end within the file");
  says(with_header("[1]", 0), "no list of tensors");
  says(with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4), "lies outside of the file");
  says(with_header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "has 8 bytes but needs 12");
  says(with_header(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})", 8), "impossible shape");
  says(with_header(R"({"a":{"dtype":"F32","shape":[281474976710656,281474976710656,4],"data_offsets":[0,0]}})", 0),
       "impossible shape");
  says(with_header(R"({"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}})", 8), "element type \"C64\"");
  says(with_header(R"({"a":{"shape":[1],"data_offsets":[8,0]}})", 8), "element type none");
  says(with_header(R"({"a":7})", 8), "has no shape");
}
