// keras.ops that multiply matrices, and those that are layers without weights.
#include "compiler/exchange/einsum.h"
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

Values einsum_of(Call c) {
  return {einsum(c.tensors("operands"), c.text("subscripts", ""), [&](const std::string& what) { c.fail("has the subscripts " + what); })};
}

// Of all elements of one with all of the other.
Values outer(Call c) {
  Builder& b = c.builder();
  const Values x = c.operands({"x1", "x2"});
  return {b.reshape(x[0], {element_count(x[0].shape()), 1}) * b.reshape(x[1], {1, element_count(x[1].shape())})};
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
    {"Einsum", "*operands", einsum_of},
    {"Outer", "x1 x2", outer},
    {"MaxPool", "inputs", pool},
    {"AveragePool", "inputs", pool},
    {"AdaptiveMaxPool", "inputs", pool},
    {"AdaptiveAveragePool", "inputs", pool},
    {"Resize", "images", resize},
};

}  // namespace

std::span<const KerasOp> keras_product_ops() { return ops; }

}  // namespace moru
