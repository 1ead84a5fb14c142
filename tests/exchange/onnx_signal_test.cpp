// Operators on signals, texts, regions of images and random numbers, beside numbers that can be counted by hand.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/exchange/onnx_case.h"

namespace moru::test {
namespace {

void set_integers(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values) {
  onnx::AttributeProto& added = attribute(node, name, onnx::AttributeProto::INTS);
  for (const int64_t value : values) added.add_ints(value);
}
void set_text(onnx::NodeProto& node, const std::string& name, const std::string& value) {
  attribute(node, name, onnx::AttributeProto::STRING).set_s(value);
}
void set_real(onnx::NodeProto& node, const std::string& name, float value) {
  attribute(node, name, onnx::AttributeProto::FLOAT).set_f(value);
}
void add_long(OnnxCase& model, const std::string& name, int64_t value) {
  add_initializer<int64_t>(model.graph(), name, onnx_long, {}, {value});
}

double mean_of(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value);
  return sum / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("onnx signal: a Fourier transform, its half, and back") {
  OnnxCase model(20);
  model.input("x", {"1", "4", "1"});
  model.node("DFT", {"x"}, {"whole"});
  set_integer(model.node("DFT", {"x"}, {"half"}), "onesided", 1);
  set_integer(model.node("DFT", {"whole"}, {"back"}), "inverse", 1);
  onnx::NodeProto& real = model.node("DFT", {"half"}, {"real"});
  set_integer(real, "inverse", 1);
  set_integer(real, "onesided", 1);
  add_long(model, "longer", 6);
  model.node("DFT", {"x", "longer"}, {"padded"});
  for (const char* output : {"whole", "half", "back", "real", "padded"}) model.output(output);
  const auto outputs = model.run({floats("x", {1, 4, 1}, {1, 2, 3, 4})});
  check_close(outputs[0], {10, 0, -2, 2, -2, 0, -2, -2});
  check_close(outputs[1], {10, 0, -2, 2, -2, 0});
  check_close(outputs[2], {1, 0, 2, 0, 3, 0, 4, 0});
  check_close(outputs[3], {1, 2, 3, 4});
  CHECK(outputs[4].shape == std::vector<int64_t>{1, 6, 2});
  check_close({outputs[4].name, outputs[4].dtype, {2}, {outputs[4].bytes.begin() + 24, outputs[4].bytes.begin() + 32}}, {-2, 0});
}

TEST_CASE("onnx signal: frames of a signal through a window") {
  OnnxCase model(17);
  model.input("x", {"batch", "8", "1"});
  add_long(model, "step", 2);
  add_long(model, "length", 4);
  add_initializer<float>(model.graph(), "window", onnx_float, {4}, {0, 1, 1, 0});
  model.node("STFT", {"x", "step", "", "length"}, {"plain"});
  model.node("STFT", {"x", "step", "window", "length"}, {"windowed"});
  for (const char* output : {"plain", "windowed"}) model.output(output);
  const auto outputs = model.run({floats("x", {1, 8, 1}, {1, 2, 3, 4, 5, 6, 7, 8})});
  check_close(outputs[0], {10, 0, -2, 2, -2, 0, 18, 0, -2, 2, -2, 0, 26, 0, -2, 2, -2, 0});
  check_close(outputs[1], {5, 0, -3, -2, 1, 0, 9, 0, -5, -4, 1, 0, 13, 0, -7, -6, 1, 0});
}

TEST_CASE("onnx signal: bands that are evenly spaced in mel, and one that no spectrum has") {
  OnnxCase model(17);
  add_long(model, "bands", 8);
  add_long(model, "length", 16);
  add_long(model, "rate", 8192);
  add_initializer<float>(model.graph(), "low", onnx_float, {}, {0});
  add_initializer<float>(model.graph(), "high", onnx_float, {}, {4096});
  model.node("MelWeightMatrix", {"bands", "length", "rate", "low", "high"}, {"y"});
  model.output("y");
  const auto outputs = model.run({});
  CHECK(outputs[0].shape == std::vector<int64_t>{9, 8});
  const std::vector<float> y = values_of<float>(outputs[0]);
  CHECK(std::vector<float>(y.begin(), y.begin() + 16) == std::vector<float>{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0});
  OnnxCase beyond(17);
  add_long(beyond, "bands", 8);
  add_long(beyond, "length", 16);
  add_long(beyond, "rate", 4096);
  add_initializer<float>(beyond.graph(), "low", onnx_float, {}, {0});
  add_initializer<float>(beyond.graph(), "high", onnx_float, {}, {4096});
  beyond.node("MelWeightMatrix", {"bands", "length", "rate", "low", "high"}, {"y"});
  beyond.output("y");
  CHECK(beyond.error({}).find("Hz, which a spectrum of 9 bins at the sample rate") != std::string::npos);
}

TEST_CASE("onnx regions: patches are summed at their places, with strides, dilations and pads") {
  OnnxCase model(18);
  model.input("x", {"1", "2", "3"});
  add_initializer<int64_t>(model.graph(), "image", onnx_long, {1}, {4});
  add_initializer<int64_t>(model.graph(), "block", onnx_long, {1}, {2});
  model.node("Col2Im", {"x", "image", "block"}, {"y"});
  onnx::NodeProto& apart = model.node("Col2Im", {"x", "image", "block"}, {"padded"});
  set_integers(apart, "dilations", {2});
  set_integers(apart, "pads", {1, 0});
  model.output("y");
  model.output("padded");
  const auto outputs = model.run({floats("x", {1, 2, 3}, {1, 2, 3, 10, 20, 30})});
  check_close(outputs[0], {1, 12, 23, 30});
  check_close(outputs[1], {2, 13, 20, 30});
}

TEST_CASE("onnx regions: boxes of a ramp have the coordinates of their middles, whatever the number of samples") {
  OnnxCase model(16);
  model.input("x", {"1", "1", "4", "8"});
  model.input("boxes", {"1", "4"});
  add_initializer<int64_t>(model.graph(), "batch", onnx_long, {1}, {0});
  for (const char* samples : {"2", "0"}) {
    onnx::NodeProto& node = model.node("RoiAlign", {"x", "boxes", "batch"}, {std::string("y") + samples});
    set_integer(node, "output_width", 2);
    set_integer(node, "sampling_ratio", std::stoll(samples));
    model.output(std::string("y") + samples);
  }
  std::vector<float> ramp;
  for (int i = 0; i < 32; ++i) ramp.push_back(static_cast<float>(i % 8));
  const std::vector<SavedTensor> inputs = {floats("x", {1, 1, 4, 8}, ramp), floats("boxes", {1, 4}, {1, 0, 5, 3})};
  const auto outputs = model.run(inputs, true);
  check_close(outputs[0], {1.5f, 3.5f});
  check_close(outputs[1], {1.5f, 3.5f});
  CHECK(model.error(inputs).find("needs the values of its input 'boxes' when compiling") != std::string::npos);
}

TEST_CASE("onnx regions: the largest element of each bin of a box") {
  OnnxCase model(12);
  model.input("x", {"1", "1", "4", "4"});
  model.input("boxes", {"2", "5"});
  set_integers(model.node("MaxRoiPool", {"x", "boxes"}, {"y"}), "pooled_shape", {2, 2});
  model.output("y");
  std::vector<float> x;
  for (int i = 0; i < 16; ++i) x.push_back(static_cast<float>(i));
  check_close(model.run({floats("x", {1, 1, 4, 4}, x), floats("boxes", {2, 5}, {0, 0, 0, 3, 3, 0, 1, 1, 2, 2})})[0],
              {5, 7, 13, 15, 5, 6, 9, 10});
}

TEST_CASE("onnx regions: a convolution whose places move, between elements and out of the image") {
  OnnxCase model(19);
  model.input("x", {"1", "1", "3", "3"});
  model.input("offset", {"1", "8", "2", "2"});
  add_initializer<float>(model.graph(), "w", onnx_float, {1, 1, 2, 2}, {1, 1, 1, 1});
  model.node("DeformConv", {"x", "w", "offset"}, {"y"});
  model.output("y");
  const SavedTensor x = floats("x", {1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  std::vector<float> offset(32, 0.0f);
  check_close(model.run({x, floats("offset", {1, 8, 2, 2}, offset)})[0], {12, 16, 24, 28});
  for (size_t tap = 0; tap < 4; ++tap)
    for (size_t place = 0; place < 4; ++place) offset[tap * 8 + 4 + place] = 0.5f;  // half a column to the right
  check_close(model.run({x, floats("offset", {1, 8, 2, 2}, offset)})[0], {14, 12.5, 26, 21.5});
}

TEST_CASE("onnx random: numbers have their distribution, differ between nodes, and are the same at every run") {
  OnnxCase model(22);
  model.input("p", {"4000"});
  model.input("scores", {"500", "3"});
  for (const char* name : {"a", "b"}) {
    onnx::NodeProto& node = model.node("RandomUniform", {}, {name});
    set_integers(node, "shape", {4000});
    set_real(node, "low", 2);
    set_real(node, "high", 4);
  }
  onnx::NodeProto& normal = model.node("RandomNormalLike", {"p"}, {"normal"});
  set_real(normal, "mean", 5);
  set_real(normal, "scale", 0.5f);
  model.node("Bernoulli", {"p"}, {"coin"});
  set_integer(model.node("Multinomial", {"scores"}, {"kind"}), "sample_size", 8);
  for (const char* output : {"a", "b", "normal", "coin", "kind"}) model.output(output);
  std::vector<float> scores;
  for (int i = 0; i < 500; ++i)
    for (const double probability : {0.7, 0.2, 0.1}) scores.push_back(static_cast<float>(std::log(probability)));
  const std::vector<SavedTensor> inputs = {floats("p", {4000}, std::vector<float>(4000, 0.3f)), floats("scores", {500, 3}, scores)};
  const auto outputs = model.run(inputs);
  const std::vector<float> a = values_of<float>(outputs[0]), normals = values_of<float>(outputs[2]);
  for (const float value : a) REQUIRE((value >= 2.0f && value < 4.0f));
  CHECK(mean_of(a) == doctest::Approx(3.0).epsilon(0.02));
  CHECK(a != values_of<float>(outputs[1]));
  CHECK(mean_of(normals) == doctest::Approx(5.0).epsilon(0.01));
  double squares = 0;
  for (const float value : normals) squares += (static_cast<double>(value) - 5.0) * (static_cast<double>(value) - 5.0);
  CHECK(std::sqrt(squares / 4000.0) == doctest::Approx(0.5).epsilon(0.05));
  CHECK(mean_of(values_of<float>(outputs[3])) == doctest::Approx(0.3).epsilon(0.1));
  int counts[3] = {0, 0, 0};
  for (const int32_t kind : values_of<int32_t>(outputs[4])) ++counts[kind];
  CHECK(counts[0] / 4000.0 == doctest::Approx(0.7).epsilon(0.05));
  CHECK(counts[2] / 4000.0 == doctest::Approx(0.1).epsilon(0.2));
  const auto again = model.run(inputs);
  for (size_t i = 0; i < outputs.size(); ++i) CHECK(outputs[i].bytes == again[i].bytes);
}

// The example of ONNX's own documentation.
TEST_CASE("onnx text: n-grams are counted with and without words between them") {
  const auto counted = [](int64_t least, int64_t skips, const std::string& mode) {
    OnnxCase model(9);
    model.input("x", {"12"}, onnx_long);
    onnx::NodeProto& node = model.node("TfIdfVectorizer", {"x"}, {"y"});
    set_text(node, "mode", mode);
    set_integer(node, "min_gram_length", least);
    set_integer(node, "max_gram_length", 2);
    set_integer(node, "max_skip_count", skips);
    set_integers(node, "ngram_counts", {0, 4});
    set_integers(node, "ngram_indexes", {0, 1, 2, 3, 4, 5, 6});
    set_integers(node, "pool_int64s", {2, 3, 5, 4, 5, 6, 7, 8, 6, 7});
    onnx::AttributeProto& weights = attribute(node, "weights", onnx::AttributeProto::FLOATS);
    for (int i = 1; i <= 7; ++i) weights.add_floats(static_cast<float>(i));
    model.output("y");
    return values_of<float>(model.run({longs("x", {12}, {1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8})})[0]);
  };
  CHECK(counted(2, 0, "TF") == std::vector<float>{0, 0, 0, 0, 1, 1, 1});
  CHECK(counted(2, 5, "TF") == std::vector<float>{0, 0, 0, 0, 1, 3, 1});
  CHECK(counted(1, 5, "TF") == std::vector<float>{0, 3, 1, 0, 1, 3, 1});
  CHECK(counted(1, 5, "IDF") == std::vector<float>{0, 2, 3, 0, 5, 6, 7});
  CHECK(counted(1, 5, "TFIDF") == std::vector<float>{0, 6, 3, 0, 5, 18, 7});
}

TEST_CASE("onnx elementwise: the bits of numbers as numbers") {
  OnnxCase model(26);
  model.input("x", {"3"});
  set_integer(model.node("BitCast", {"x"}, {"bits"}), "to", onnx::TensorProto::INT32);
  set_integer(model.node("BitCast", {"bits"}, {"y"}), "to", onnx_float);
  set_integer(model.node("BitCast", {"x"}, {"large"}), "to", onnx::TensorProto::UINT32);
  for (const char* output : {"bits", "y", "large"}) model.output(output);
  const auto outputs = model.run({floats("x", {3}, {1.0f, -2.0f, 0.0f})});
  CHECK(values_of<int32_t>(outputs[0]) == std::vector<int32_t>{0x3f800000, INT32_MIN + 0x40000000, 0});
  CHECK(values_of<float>(outputs[1]) == std::vector<float>{1, -2, 0});
  CHECK(values_of<int64_t>(outputs[2]) == std::vector<int64_t>{0x3f800000, 0xc0000000, 0});
}

TEST_CASE("onnx attention: a state that is added to, corrected and decayed") {
  const auto attended = [](const std::string& rule) {
    OnnxCase model(27);
    for (const char* input : {"q", "k", "v", "decay", "beta"}) model.input(input, {"1", "2", "1"});
    const bool gated = rule.starts_with("gated"), delta = rule.ends_with("delta");
    onnx::NodeProto& node = model.node("LinearAttention", {"q", "k", "v", "", gated ? "decay" : "", delta ? "beta" : ""}, {"y", "state"});
    set_text(node, "update_rule", rule);
    set_real(node, "scale", 1);
    set_integer(node, "q_num_heads", 1);
    set_integer(node, "kv_num_heads", 1);
    model.output("y");
    model.output("state");
    const float half = std::log(0.5f);
    const auto outputs = model.run({floats("q", {1, 2, 1}, {1, 1}), floats("k", {1, 2, 1}, {1, 2}), floats("v", {1, 2, 1}, {3, 4}),
                                    floats("decay", {1, 2, 1}, {half, half}), floats("beta", {1, 2, 1}, {1, 1})});
    std::vector<float> numbers = values_of<float>(outputs[0]);
    numbers.push_back(values_of<float>(outputs[1])[0]);
    for (float& number : numbers) number = std::round(number * 1000.0f) / 1000.0f;
    return numbers;
  };
  CHECK(attended("linear") == std::vector<float>{3, 11, 11});
  CHECK(attended("gated") == std::vector<float>{3, 9.5f, 9.5f});
  CHECK(attended("delta") == std::vector<float>{3, -1, -1});
  CHECK(attended("gated_delta") == std::vector<float>{3, 3.5f, 3.5f});
}

TEST_CASE("onnx attention: a cache without the axes of the keys is refused") {
  OnnxCase model(23);
  for (const char* input : {"q", "k", "v"}) model.input(input, {"1", "1", "2", "4"});
  for (const char* input : {"past_k", "past_v"}) model.input(input, {"3", "4"});
  model.node("Attention", {"q", "k", "v", "", "past_k", "past_v"}, {"y", "keys", "values"});
  model.output("y");
  CHECK(model.error() == "layer 'the_Attention' (Attention): needs a tensor of more axes than f32[3, 4]");
}

TEST_CASE("onnx: heads of no keys, and indices of other axes than the data, are refused") {
  OnnxCase attention(23);
  attention.input("q", {"2", "4", "3", "8"});
  for (const char* input : {"k", "v"}) attention.input(input, {"2", "0", "3", "8"});
  attention.node("Attention", {"q", "k", "v"}, {"y"});
  attention.output("y");
  CHECK(attention.error().find("4 heads of queries, which is no multiple of the 0 of keys") != std::string::npos);
  OnnxCase gather(13);
  gather.input("data", {"2", "3", "4"});
  gather.input("indices", {"2", "3"}, onnx_long);
  gather.node("GatherElements", {"data", "indices"}, {"y"});
  gather.output("y");
  CHECK(gather.error().find("needs a tensor with an axis 2 but got [2, 3]") != std::string::npos);
}

TEST_CASE("onnx attention: scores and probabilities pass through the node's graphs") {
  OnnxCase model(26);
  model.proto.add_opset_import()->set_domain("ai.onnx.preview");
  model.proto.mutable_opset_import()->rbegin()->set_version(1);
  model.input("q", {"1", "1", "1", "1"});
  for (const char* input : {"k", "v"}) model.input(input, {"1", "1", "2", "1"});
  const auto add = [&](const std::string& output, const char* graph, const char* op) {
    onnx::NodeProto& node = add_node(model.graph(), "FlexAttention", {"q", "k", "v"}, {output}, "ai.onnx.preview");
    set_real(node, "scale", 1);
    if (op != nullptr) {
      onnx::GraphProto& body = set_graph(node, graph);
      add_value(*body.add_input(), "given", onnx_float, {"1", "1", "1", "2"});
      add_node(body, op, {"given"}, {"made"});
      add_value(*body.add_output(), "made", onnx_float, {"1", "1", "1", "2"});
    }
    model.output(output);
  };
  add("plain", "", nullptr);
  add("scored", "score_mod", "Neg");
  add("doubled", "prob_mod", "Neg");
  const auto outputs = model.run({floats("q", {1, 1, 1, 1}, {1}), floats("k", {1, 1, 2, 1}, {0, std::log(3.0f)}),
                                  floats("v", {1, 1, 2, 1}, {4, 8})});
  check_close(outputs[0], {7});
  check_close(outputs[1], {5});
  check_close(outputs[2], {-7});
}

}  // namespace moru::test
