// keras.ops that multiply matrices, and those that are layers without weights.
#include <algorithm>

#include "compiler/exchange/formulas.h"
#include "compiler/exchange/keras_ops.h"

namespace moru {
namespace {

using Call = const OperationCall&;
using Values = std::vector<Value>;
using Integers = std::vector<int64_t>;

Values product(Call c) {
  const Values x = c.operands({"x1", "x2"});
  return {matmul(x[0], x[1])};
}

// Keras' dot: over the last axis of a and the last but one of b; without broadcasting of the others.
Values dot(Call c) {
  const Values x = c.operands({"x1", "x2"});
  if (x[0].rank() == 0 || x[1].rank() == 0) return {x[0] * x[1]};
  if (x[1].rank() <= 2) return {matmul(x[0], x[1])};
  std::string a, d, y;
  for (size_t i = 0; i + 1 < x[0].rank(); ++i) y += static_cast<char>('a' + static_cast<int>(i));
  a = y + 'Z';
  for (size_t i = 0; i < x[1].rank(); ++i) {
    const char label = static_cast<char>('A' + static_cast<int>(i));
    d += i + 2 == x[1].rank() ? 'Z' : label;
    if (i + 2 != x[1].rank()) y += label;
  }
  return {c.builder().contract(x[0], x[1], a + "," + d + "->" + y)};
}

// One or two operands, dots in front or within, each letter once in an operand.
Values einsum(Call c) {
  Values x = c.tensors("operands");
  std::string text;
  for (char letter : c.text("subscripts", "")) {
    if (letter != ' ') text += letter;
  }
  const auto bad = [&](const std::string& why) { c.fail("has the subscripts '" + text + "', " + why); };
  const size_t arrow = text.find("->");
  if (arrow == std::string::npos) bad("which do not say the result");
  std::vector<std::string> sides(1);
  for (char letter : text.substr(0, arrow)) {
    if (letter == ',')
      sides.emplace_back();
    else
      sides.back() += letter;
  }
  std::string result = text.substr(arrow + 2);
  if (sides.size() != x.size()) bad("but " + std::to_string(x.size()) + " operands");
  // Dots become letters that are free, those at the back shared.
  size_t most = 0;
  for (size_t i = 0; i < sides.size(); ++i)
    if (sides[i].find("...") != std::string::npos) {
      if (x[i].rank() + 3 < sides[i].size()) bad("which name more axes than " + shape_text(x[i].shape()) + " has");
      most = std::max(most, x[i].rank() + 3 - sides[i].size());
    }
  std::string free;
  for (char letter = 'Z'; free.size() < most && letter >= 'A'; --letter)
    if (text.find(letter) == std::string::npos) free = letter + free;
  const auto fill = [&](std::string& side, size_t count) {
    const size_t at = side.find("...");
    if (at != std::string::npos) side.replace(at, 3, free.substr(free.size() - count));
  };
  for (size_t i = 0; i < sides.size(); ++i) {
    if (sides[i].find("...") != std::string::npos) fill(sides[i], x[i].rank() + 3 - sides[i].size());
    if (sides[i].size() != x[i].rank()) bad("which do not fit " + shape_text(x[i].shape()));
  }
  fill(result, most);
  Builder& b = c.builder();
  const auto whole = [&](const Value& v) { return is_float(v.type().dtype) ? v : b.cast(v, DType::f32); };
  for (Value& v : x) v = whole(v);
  while (x.size() > 2) {  // from the left, keeping what anything later needs
    std::string needed = result, kept;
    for (size_t i = 2; i < sides.size(); ++i) needed += sides[i];
    for (char letter : sides[0] + sides[1])
      if (needed.find(letter) != std::string::npos && kept.find(letter) == std::string::npos) kept += letter;
    x[1] = b.contract(x[0], x[1], sides[0] + "," + sides[1] + "->" + kept);
    sides[1] = kept;
    x.erase(x.begin());
    sides.erase(sides.begin());
  }
  if (x.size() == 2) {
    // An extent of 1 of one operand that meets another one of the other is left out.
    for (size_t i = 0; i < 2; ++i) {
      Shape shape;
      std::string labels;
      for (size_t axis = 0; axis < sides[i].size(); ++axis) {
        const size_t other = sides[1 - i].find(sides[i][axis]);
        const bool repeats =
            x[i].shape()[axis].is_constant(1) && other != std::string::npos && !x[1 - i].shape()[other].is_constant(1);
        if (repeats) continue;
        shape.push_back(x[i].shape()[axis]);
        labels += sides[i][axis];
      }
      if (labels != sides[i]) x[i] = b.reshape(x[i], shape);
      sides[i] = labels;
    }
    return {b.contract(x[0], x[1], sides[0] + "," + sides[1] + "->" + result)};
  }
  Integers summed, permutation;
  std::string left;
  for (size_t i = 0; i < sides[0].size(); ++i) {
    if (result.find(sides[0][i]) == std::string::npos)
      summed.push_back(static_cast<int64_t>(i));
    else
      left += sides[0][i];
  }
  const Value y = summed.empty() ? x[0] : b.reduce("reduce_sum", x[0], summed);
  for (char letter : result) {
    const size_t at = left.find(letter);
    if (at == std::string::npos) bad(std::string("where '") + letter + "' is in no operand");
    permutation.push_back(static_cast<int64_t>(at));
  }
  return {b.transpose(y, permutation)};
}

Values as_layer(Call c, std::string_view op, Value x, Attributes attributes) {
  if (c.has("data_format")) attributes.set("data_format", c.text("data_format", ""));
  return c.builder().call_all(op, std::vector<Value>{x}, std::move(attributes));
}

Values pool(Call c) {
  const Value x = c.floats("inputs");
  if (x.rank() < 3 || x.rank() > 5)
    c.fail("needs an input [batch, space..., channels] but got " + shape_text(x.shape()));
  const std::string rank = std::to_string(x.rank() - 2) + "d";
  if (c.name().starts_with("Adaptive"))
    return as_layer(c, (c.name() == "AdaptiveMaxPool" ? "adaptive_max_pooling_" : "adaptive_average_pooling_") + rank,
                    x, {{"output_size", c.integers("output_size")}});
  Attributes attributes = {{"pool_size", c.integers("pool_size")}, {"padding", c.text("padding", "valid")}};
  if (c.has("strides")) attributes.set("strides", c.integers("strides"));
  return as_layer(c, (c.name() == "MaxPool" ? "max_pooling_" : "average_pooling_") + rank, x, std::move(attributes));
}

Values resize(Call c) {
  const Integers size = c.integers("size");
  if (size.size() != 2) c.fail("needs a height and a width as 'size'");
  Attributes attributes = {
      {"height", size[0]}, {"width", size[1]}, {"interpolation", c.text("interpolation", "bilinear")}};
  for (const char* name : {"antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio"})
    attributes.set(name, c.flag(name, false));
  attributes.set("fill_mode", c.text("fill_mode", "constant"));
  attributes.set("fill_value", c.real("fill_value", 0.0));
  return as_layer(c, "resizing", c.floats("images"), std::move(attributes));
}

constexpr KerasOp ops[] = {
    {"Matmul", "x1 x2", product},
    {"Dot", "x1 x2", dot},
    {"Einsum", "*operands", einsum},
    {"MaxPool", "inputs", pool},
    {"AveragePool", "inputs", pool},
    {"AdaptiveMaxPool", "inputs", pool},
    {"AdaptiveAveragePool", "inputs", pool},
    {"Resize", "images", resize},
};

}  // namespace

std::span<const KerasOp> keras_product_ops() { return ops; }

}  // namespace moru
