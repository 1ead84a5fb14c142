// Operators of ai.onnx.ml: scikit-learn's preparation of tables, and decision trees.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/exchange/onnx_case.h"

namespace moru::test {
namespace {

constexpr const char* ml = "ai.onnx.ml";

void set_reals(onnx::NodeProto& node, const std::string& name, const std::vector<float>& values) {
  onnx::AttributeProto& added = attribute(node, name, onnx::AttributeProto::FLOATS);
  for (float value : values) added.add_floats(value);
}
void set_integers(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values) {
  onnx::AttributeProto& added = attribute(node, name, onnx::AttributeProto::INTS);
  for (int64_t value : values) added.add_ints(value);
}
template <typename T>
void set_tensor(onnx::NodeProto& node, const std::string& name, int32_t type, const std::vector<T>& values) {
  onnx::TensorProto& tensor = *attribute(node, name, onnx::AttributeProto::TENSOR).mutable_t();
  tensor.set_data_type(type);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  tensor.set_raw_data(values.data(), values.size() * sizeof(T));
}

struct MlCase : OnnxCase {
  MlCase() {
    auto& set = *proto.add_opset_import();
    set.set_domain(ml);
    set.set_version(5);
  }
};

}  // namespace

TEST_CASE("onnx ml: columns are chosen, scaled, filled in, cut in two and brought to a length of one") {
  MlCase model;
  model.input("x", {"batch", "2"});
  onnx::NodeProto& imputer = model.node("Imputer", {"x"}, {"whole"}, ml);
  set_reals(imputer, "imputed_value_floats", {5, 6});
  attribute(imputer, "replaced_value_float", onnx::AttributeProto::FLOAT).set_f(NAN);
  onnx::NodeProto& scaler = model.node("Scaler", {"whole"}, {"scaled"}, ml);
  set_reals(scaler, "offset", {1, 2});
  set_reals(scaler, "scale", {2});
  attribute(model.node("Binarizer", {"scaled"}, {"halves"}, ml), "threshold", onnx::AttributeProto::FLOAT).set_f(4);
  attribute(model.node("Normalizer", {"whole"}, {"unit"}, ml), "norm", onnx::AttributeProto::STRING).set_s("L2");
  add_initializer<int64_t>(model.graph(), "columns", onnx_long, {3}, {1, 0, 1});
  model.node("ArrayFeatureExtractor", {"whole", "columns"}, {"chosen"}, ml);
  for (const char* output : {"scaled", "halves", "unit", "chosen"}) model.output(output);
  const auto outputs = model.run({floats("x", {2, 2}, {3, 4, NAN, NAN})});
  check_close(values_of<float>(outputs[0]), {4, 4, 8, 8});
  check_close(values_of<float>(outputs[1]), {0, 0, 1, 1});
  check_close(values_of<float>(outputs[2]), {0.6f, 0.8f, 5 / std::sqrt(61.0f), 6 / std::sqrt(61.0f)});
  CHECK(outputs[3].shape == std::vector<int64_t>{2, 3});
  check_close(values_of<float>(outputs[3]), {4, 3, 4, 6, 5, 6});
}

TEST_CASE("onnx ml: Normalizer divides by the greatest number, not by the greatest size, and leaves rows of zeros") {
  MlCase model;
  model.input("x", {"batch", "2"});
  model.node("Normalizer", {"x"}, {"y"}, ml);
  model.output("y");
  check_close(values_of<float>(model.run({floats("x", {3, 2}, {-4, 2, -1, -2, 0, 0})})[0]), {-2, 1, 1, 2, 0, 0});
}

TEST_CASE("onnx ml: trees add the weights of the leaves that a row reaches") {
  MlCase model;
  model.input("x", {"batch", "2"});
  onnx::NodeProto& trees = model.node("TreeEnsemble", {"x"}, {"y"}, ml);
  // Tree 0: x0 <= 1 ? (x1 < 0 ? leaf 0 : leaf 1) : leaf 2.  Tree 1: x0 in {4, 7} ? leaf 3 : leaf 0; NaN counts as in.
  set_integers(trees, "nodes_featureids", {0, 1, 0});
  set_tensor<uint8_t>(trees, "nodes_modes", onnx_byte, {0, 1, 6});
  set_tensor<float>(trees, "nodes_splits", onnx_float, {1, 0, 0});
  set_integers(trees, "nodes_truenodeids", {1, 0, 3});
  set_integers(trees, "nodes_trueleafs", {0, 1, 1});
  set_integers(trees, "nodes_falsenodeids", {2, 1, 0});
  set_integers(trees, "nodes_falseleafs", {1, 1, 1});
  set_integers(trees, "nodes_missing_value_tracks_true", {0, 0, 1});
  set_tensor<float>(trees, "membership_values", onnx_float, {4, 7, NAN});
  set_integers(trees, "leaf_targetids", {0, 1, 0, 1});
  set_tensor<float>(trees, "leaf_weights", onnx_float, {1, 10, 100, 1000});
  set_integers(trees, "tree_roots", {0, 2});
  set_integer(trees, "n_targets", 2);
  model.output("y");
  const auto outputs = model.run({floats("x", {5, 2}, {1, -1, 1, 0, 4, -1, 7.5f, 0, NAN, 0})});
  CHECK(outputs[0].shape == std::vector<int64_t>{5, 2});
  check_close(values_of<float>(outputs[0]), {2, 0, 1, 10, 100, 1000, 101, 0, 100, 1000});
  set_integer(trees, "aggregate_function", 3);
  CHECK(model.error() ==
        "layer 'the_TreeEnsemble' (TreeEnsemble): takes the least or the greatest over its trees, which is not supported");
}

}  // namespace moru::test
