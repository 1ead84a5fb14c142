// How an ONNX file's tensors are read: values that stay in the file, beside it, typed and narrow, and damaged files.
#include <doctest/doctest.h>

#include "compiler/support/narrow.h"
#include "tests/exchange/onnx_case.h"

namespace moru::test {
namespace {

// y = x w, w: [64, 64] of 16 KiB, which stays in the file.
void add_product(OnnxCase& model, std::vector<float>& weights) {
  for (size_t i = 0; i < 64 * 64; ++i) weights.push_back(static_cast<float>(i % 7) - 3.0f);
  model.input("x", {"batch", "64"});
  model.node("MatMul", {"x", "w"}, {"y"});
  model.output("y");
}

std::vector<float> product(const std::vector<float>& weights) {
  std::vector<float> sums(64);
  for (size_t j = 0; j < 64; ++j)
    for (size_t i = 0; i < 64; ++i) sums[j] += weights[i * 64 + j];
  return sums;
}

const SavedTensor& ones() {
  static const SavedTensor x = floats("x", {1, 64}, std::vector<float>(64, 1.0f));
  return x;
}

onnx::TensorProto& add_external(OnnxCase& model, const std::string& location, int64_t offset) {
  onnx::TensorProto& tensor = *model.graph().add_initializer();
  tensor.set_name("w");
  tensor.set_data_type(onnx_float);
  tensor.add_dims(64);
  tensor.add_dims(64);
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] :
       {std::pair<std::string, std::string>{"location", location}, {"offset", std::to_string(offset)}}) {
    auto* entry = tensor.add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
  return tensor;
}

}  // namespace

TEST_CASE("onnx file: weights in the file, in typed fields and beside it are the same") {
  std::vector<float> weights;
  OnnxCase inside;
  add_product(inside, weights);
  add_initializer(inside.graph(), "w", onnx_float, {64, 64}, weights);
  CHECK(values_of<float>(inside.run({ones()})[0]) == product(weights));

  std::vector<float> same;
  OnnxCase typed;
  add_product(typed, same);
  onnx::TensorProto& tensor = *typed.graph().add_initializer();
  tensor.set_name("w");
  tensor.set_data_type(onnx_float);
  for (int64_t extent : {64, 64}) tensor.add_dims(extent);
  for (float weight : weights) tensor.add_float_data(weight);
  CHECK(values_of<float>(typed.run({ones()})[0]) == product(weights));

  same.clear();
  OnnxCase beside;
  add_product(beside, same);
  add_external(beside, "weights.bin", 3);
  std::ofstream file(beside.directory / "weights.bin", std::ios::binary);
  file << "odd";
  file.write(reinterpret_cast<const char*>(weights.data()),
             static_cast<std::streamsize>(weights.size() * sizeof(float)));
  file.close();
  CHECK(values_of<float>(beside.run({ones()})[0]) == product(weights));
}

TEST_CASE("onnx file: half precision weights are widened") {
  std::vector<float> weights;
  OnnxCase model;
  add_product(model, weights);
  std::vector<uint16_t> halves;
  for (float weight : weights) halves.push_back(f16_bits(weight));
  add_initializer(model.graph(), "h", onnx::TensorProto::FLOAT16, {64, 64}, halves);
  onnx::NodeProto& cast = add_node(model.graph(), "Cast", {"h"}, {"w"});
  set_integer(cast, "to", onnx_float);
  model.graph().mutable_node()->SwapElements(0, 1);
  CHECK(values_of<float>(model.run({ones()})[0]) == product(weights));
}

TEST_CASE("onnx file: external data that is missing, short or elsewhere is refused by name") {
  std::vector<float> weights;
  OnnxCase missing;
  add_product(missing, weights);
  add_external(missing, "none.bin", 0);
  CHECK(missing.error() == "the initializer 'w' has its values in '" + (missing.directory / "none.bin") +
                               "', which cannot be read\n  hint: it belongs beside the model");
  OnnxCase brief;
  add_product(brief, weights);
  add_external(brief, "brief.bin", 8);
  std::ofstream(brief.directory / "brief.bin") << "0123456789";
  CHECK(brief.error() == "the initializer 'w' has its values in '" + (brief.directory / "brief.bin") +
                             "', which is too short\n  hint: it has 10 bytes but 16384 from 8 are needed");
  OnnxCase outside;
  add_product(outside, weights);
  add_external(outside, "../secret.bin", 0);
  CHECK(outside.error() ==
        "the initializer 'w' has its values in '../secret.bin', which is outside of the model's folder");
}

TEST_CASE("onnx file: a file that ends anywhere else is damaged, not a crash") {
  std::vector<float> weights;
  OnnxCase model;
  add_product(model, weights);
  add_initializer(model.graph(), "w", onnx_float, {64, 64}, weights);
  std::string whole;
  REQUIRE(model.proto.SerializeToString(&whole));
  for (size_t end = 0; end < whole.size(); end += end < 200 || end + 200 > whole.size() ? 1 : 977) {
    std::ofstream(model.path(), std::ios::binary) << whole.substr(0, end);
    CHECK_THROWS_AS(import_onnx(model.path()), CompileError);
  }
  for (size_t at = 0; at < 120; ++at) {
    std::string other = whole;
    other[at] = static_cast<char>(other[at] ^ 0x41);
    std::ofstream(model.path(), std::ios::binary) << other;
    try {
      import_onnx(model.path());
    } catch (const CompileError&) {
    }
  }
}

TEST_CASE("onnx file: a weight of another size than its shape is refused by name") {
  std::vector<float> weights;
  OnnxCase model;
  add_product(model, weights);
  add_initializer(model.graph(), "w", onnx_float, {64, 65}, weights);
  CHECK(model.error() == "the initializer 'w' is damaged: it has 16384 bytes of values but needs 16640");
}

}  // namespace moru::test
