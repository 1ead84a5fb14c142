// Sizes that a file calls by different names, or computes in different ways, and that have to be equal.
#include "compiler/exchange/equal_sizes.h"

#include "compiler/exchange/keras_json.h"
#include "tests/exchange/onnx_case.h"

namespace moru::test {
namespace {

CompileError refusal(const std::string& a, const std::string& b) { return CompileError({.what = "differ", .unequal = {{a, b}}}); }

std::vector<float> counted(int64_t count) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(i));
  return values;
}

}  // namespace

TEST_CASE("equal sizes: the name that came first or the number is kept, and nothing is learned twice") {
  EqualSizes sizes;
  CHECK(sizes.size_of("n") == Dim::symbol("n"));
  sizes.size_of("m");
  sizes.size_of("k");
  CHECK_FALSE(sizes.learn(CompileError({.what = "not about sizes"})));
  CHECK_FALSE(sizes.learn(refusal("3", "4")));
  CHECK_FALSE(sizes.learn(refusal("n", "0")));
  CHECK_FALSE(sizes.learn(refusal("n", "2*m")));
  CHECK_FALSE(sizes.learn(refusal("inside", "4")));
  CHECK(sizes.learn(refusal("k", "m")));
  CHECK(sizes.size_of("k") == Dim::symbol("m"));
  CHECK(sizes.learn(refusal("n", "m")));
  CHECK(sizes.size_of("k") == Dim::symbol("n"));
  CHECK(sizes.learn(refusal("7", "n")));
  for (const char* name : {"n", "m", "k"}) CHECK(sizes.size_of(name) == Dim(7));
  CHECK_FALSE(sizes.learn(refusal("n", "7")));
  CHECK(sizes.covers(Dim::parse("2*n + floor(m, 2)")));
  CHECK_FALSE(sizes.covers(Dim::parse("inside")));
}

TEST_CASE("onnx sizes: inputs whose sizes have different names and that an operator joins have one size") {
  struct Join {
    const char* op;
    std::vector<std::string> a, b;
    std::vector<int64_t> a_shape, b_shape, b_wrong;
  };
  for (const Join& join : {Join{"Add", {"unk__1", "3"}, {"unk__2", "3"}, {2, 3}, {2, 3}, {4, 3}},
                           Join{"Concat", {"n", "3"}, {"m", "t"}, {2, 3}, {2, 1}, {3, 1}},
                           Join{"MatMul", {"n", "k"}, {"j", "3"}, {2, 4}, {4, 3}, {5, 3}}}) {
    CAPTURE(join.op);
    OnnxCase model;
    model.input("a", join.a);
    model.input("b", join.b);
    onnx::NodeProto& node = model.node(join.op, {"a", "b"}, {"y"});
    if (join.op == std::string("Concat")) set_integer(node, "axis", 1);
    model.output("y");
    const auto given = [](const char* name, const std::vector<int64_t>& shape) { return floats(name, shape, counted(shape[0] * shape[1])); };
    CHECK(model.run({given("a", join.a_shape), given("b", join.b_shape)})[0].shape.size() == 2);
    CHECK_THROWS_WITH(model.run({given("a", join.a_shape), given("b", join.b_wrong)}), doctest::Contains("'b'"));
  }
}

TEST_CASE("onnx sizes: a Reshape to a number of samples says how many there are") {
  OnnxCase model;
  model.input("x", {"n", "6"});
  add_initializer<int64_t>(model.graph(), "shape", onnx_long, {3}, {4, 3, 2});
  model.node("Reshape", {"x", "shape"}, {"y"});
  model.output("y");
  model.write();
  const Model imported = import_onnx(model.path());
  CHECK(type_text(imported.type(imported.inputs[0])) == "f32[4, 6]");
  CHECK(model.run({floats("x", {4, 6}, counted(24))})[0].shape == std::vector<int64_t>{4, 3, 2});
}

TEST_CASE("onnx sizes: what is equal only at some sizes is checked when it runs") {
  // Pairs of neighbours; then the same in the shape of x, added to it.
  OnnxCase model;
  model.input("x", {"n", "time"});
  add_initializer<int64_t>(model.graph(), "pairs", onnx_long, {3}, {0, -1, 2});
  add_initializer<float>(model.graph(), "factors", onnx_float, {2}, {1, 10});
  model.node("Reshape", {"x", "pairs"}, {"paired"});
  model.node("Mul", {"paired", "factors"}, {"scaled"});
  model.node("Shape", {"x"}, {"size"});
  model.node("Reshape", {"scaled", "size"}, {"flat"});
  model.node("Add", {"flat", "x"}, {"y"});
  model.output("y");
  CHECK(values_of<float>(model.run({floats("x", {1, 4}, {1, 2, 3, 4})})[0]) == std::vector<float>{2, 22, 6, 44});
  CHECK_THROWS_WITH(model.run({floats("x", {1, 5}, counted(5))}), doctest::Contains("needs time to be 2*floor(time, 2)"));
  // A half of an axis times the other, which is as long where the axis is even.
  OnnxCase halves(13);
  halves.input("x", {"time"});
  for (const auto& [name, at] : {std::pair<const char*, int64_t>{"0", 0}, {"2", 2}, {"end", INT64_MAX}})
    add_initializer<int64_t>(halves.graph(), name, onnx_long, {1}, {at});
  halves.node("Shape", {"x"}, {"size"});
  halves.node("Div", {"size", "2"}, {"half"});
  halves.node("Slice", {"x", "0", "half"}, {"front"});
  halves.node("Slice", {"x", "half", "end"}, {"back"});
  halves.node("Mul", {"front", "back"}, {"y"});
  halves.output("y");
  CHECK(values_of<float>(halves.run({floats("x", {4}, {1, 2, 3, 4})})[0]) == std::vector<float>{3, 8});
  CHECK_THROWS_WITH(halves.run({floats("x", {3}, {1, 2, 3})}), doctest::Contains("the_Mul"));
}

TEST_CASE("onnx sizes: an axis is padded to a multiple that is known when it runs") {
  // (4 - time % 4) % 4 zeros at the end, as PyTorch writes them: pairs of numbers, in the reverse order of the axes.
  OnnxCase model;
  model.input("x", {"1", "time"});
  for (const auto& [name, at] : {std::pair<const char*, int64_t>{"1", 1}, {"4", 4}, {"-1", -1}, {"first", INT64_MIN}})
    add_initializer<int64_t>(model.graph(), name, onnx_long, {1}, {at});
  add_initializer<int64_t>(model.graph(), "zeros", onnx_long, {3}, {0, 0, 0});
  add_initializer<int64_t>(model.graph(), "axis", onnx_long, {1}, {0});
  add_initializer<int64_t>(model.graph(), "by_axis", onnx_long, {2}, {-1, 2});
  model.node("Shape", {"x"}, {"size"});
  model.node("Gather", {"size", "1"}, {"time"});
  model.node("Mod", {"time", "4"}, {"over"});
  model.node("Sub", {"4", "over"}, {"less"});
  model.node("Mod", {"less", "4"}, {"pad"});
  add_initializer<int64_t>(model.graph(), "none", onnx_long, {1}, {0});
  set_integer(model.node("Concat", {"none", "pad", "none", "none"}, {"pads"}), "axis", 0);
  model.node("Reshape", {"pads", "by_axis"}, {"rows"});
  model.node("Slice", {"rows", "-1", "first", "axis", "-1"}, {"reversed"});
  auto& permutation = attribute(model.node("Transpose", {"reversed"}, {"columns"}), "perm", onnx::AttributeProto::INTS);
  permutation.add_ints(1);
  permutation.add_ints(0);
  model.node("Reshape", {"columns", "-1"}, {"in_order"});
  model.node("Pad", {"x", "in_order"}, {"y"});
  model.output("y");
  for (const int64_t time : {1, 3, 4, 6}) {
    const std::vector<SavedTensor> outputs = model.run({floats("x", {1, time}, counted(time))});
    std::vector<float> wanted = counted(time);
    wanted.resize(static_cast<size_t>((time + 3) / 4 * 4));
    CHECK(values_of<float>(outputs[0]) == wanted);
  }
}

TEST_CASE("keras sizes: of three open lengths only those are equal that the model merges") {
  const Model model = import_keras_json(R"({"class_name": "Functional", "config": {"name": "m", "layers": [
      {"class_name": "InputLayer", "name": "a", "config": {"name": "a", "batch_input_shape": [null, null, 3]}, "inbound_nodes": []},
      {"class_name": "InputLayer", "name": "b", "config": {"name": "b", "batch_input_shape": [null, null, 3]}, "inbound_nodes": []},
      {"class_name": "InputLayer", "name": "c", "config": {"name": "c", "batch_input_shape": [null, null, 3]}, "inbound_nodes": []},
      {"class_name": "Add", "name": "add", "config": {"name": "add"}, "inbound_nodes": [[["a", 0, 0, {}], ["c", 0, 0, {}]]]},
      {"class_name": "Attention", "name": "attend", "config": {"name": "attend"}, "inbound_nodes": [[["b", 0, 0, {}], ["add", 0, 0, {}]]]}],
      "input_layers": [["a", 0, 0], ["b", 0, 0], ["c", 0, 0]], "output_layers": [["attend", 0, 0]]}})", "test");
  const auto length = [&](size_t input) { return model.type(model.inputs[input]).shape[1]; };
  CHECK(length(0) == length(2));
  CHECK(length(0) != length(1));
}

}  // namespace moru::test
