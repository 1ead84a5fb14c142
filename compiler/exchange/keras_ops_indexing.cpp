// keras.ops that choose elements: take, one_hot, Python's x[...], and those that order them.
#include <algorithm>
#include <optional>

#include "compiler/exchange/formulas.h"
#include "compiler/exchange/keras_ops.h"
#include "compiler/exchange/keras_values.h"

namespace moru {
namespace {

using Call = const OperationCall&;
using Values = std::vector<Value>;
using Integers = std::vector<int64_t>;

// Rows of x along an axis, for indices of any shape.
Value taken(Value x, int64_t axis, Value indices) {
  Builder& b = *x.builder;
  Integers front = {axis};
  for (int64_t i = 0; i < static_cast<int64_t>(x.rank()); ++i)
    if (i != axis) front.push_back(i);
  const Value rows =
      b.call("gather", {b.transpose(x, front), wrapped_indices(indices, x.shape()[static_cast<size_t>(axis)])});
  const auto more = static_cast<int64_t>(indices.rank());
  Integers back;
  for (int64_t i = 0; i < axis; ++i) back.push_back(more + i);
  for (int64_t i = 0; i < more; ++i) back.push_back(i);
  for (int64_t i = axis + 1; i < static_cast<int64_t>(x.rank()); ++i) back.push_back(more + i - 1);
  return b.transpose(rows, back);
}

Values take(Call c) {
  const Value x = c.tensor("x");
  if (!c.has("axis")) c.fail("from all elements is unsupported", "name its axis");
  Value indices = c.tensor("indices");
  if (!is_integer(indices.type().dtype)) indices = c.builder().cast(indices, DType::i32);
  return {taken(x, c.axis(c.integer("axis"), x.rank()), indices)};
}

struct Range {
  std::optional<int64_t> start, stop;
  int64_t step = 1;
};

std::optional<Range> range_of(Call c, const Json& key) {
  if (!key.is_object() || !key.contains("class_name") || key["class_name"] != "__slice__") return std::nullopt;
  Range range;
  const Json config = key.value("config", Json::object());
  const auto number = [&](const char* name) -> std::optional<int64_t> {
    if (!config.contains(name) || config[name].is_null()) return std::nullopt;
    if (!config[name].is_number_integer())
      c.fail("has a slice with " + std::string(name) + " = " + json_text(config[name]));
    return config[name].get<int64_t>();
  };
  range.start = number("start");
  range.stop = number("stop");
  range.step = number("step").value_or(1);
  if (range.step == 0) c.fail("has a slice whose step is 0");
  return range;
}

// x[start:stop:step] along one axis, numpy's rule. Where the extent is open, ends are counted as far as that is
// possible.
Value sliced(Call c, Value x, int64_t axis, Range range) {
  Builder& b = c.builder();
  if (range.step < 0) {
    const bool whole = !range.start && !range.stop;
    if (!whole && !x.shape()[static_cast<size_t>(axis)].is_constant())
      c.fail("goes backwards through part of an open axis");
    x = b.call("reverse", {x}, {{"axis", axis}});
    const Dim& extent = x.shape()[static_cast<size_t>(axis)];
    const auto mirrored = [&](int64_t at) {
      const int64_t n = extent.constant(), front = std::clamp(at < 0 ? at + n : at, int64_t{-1}, n - 1);
      return n - 1 - front;
    };
    return sliced(c, x, axis,
                  {range.start ? std::optional(mirrored(*range.start)) : std::nullopt,
                   range.stop ? std::optional(mirrored(*range.stop)) : std::nullopt, -range.step});
  }
  const Dim extent = x.shape()[static_cast<size_t>(axis)];
  const auto place = [&](std::optional<int64_t> at, const Dim& otherwise) -> Dim {
    if (!at) return otherwise;
    if (extent.is_constant()) return std::clamp(*at < 0 ? *at + extent.constant() : *at, int64_t{0}, extent.constant());
    return *at < 0 ? extent + *at : Dim(*at);
  };
  const Dim begin = place(range.start, 0), end = place(range.stop, extent);
  const Dim size = end - begin;
  if (size.is_constant() && size.constant() < 1)
    c.fail("leaves nothing of axis " + std::to_string(axis) + " of " + shape_text(x.shape()));
  if (!(begin.is_constant(0) && end == extent)) x = b.slice(x, axis, begin, size);
  if (range.step == 1) return x;
  x = b.call("window", {x},
             {{"axis", axis},
              {"count", Shape{ceil_div(size, range.step)}},
              {"size", 1},
              {"stride", range.step},
              {"dilation", 1}});
  Shape shape = x.shape();
  shape.erase(shape.begin() + axis + 1);
  return b.reshape(x, shape);
}

Values get_item(Call c) {
  Builder& b = c.builder();
  Value x = c.tensor("x");
  const Json* given = c.find("key");
  if (given == nullptr) c.fail("lacks its argument 'key'");
  const Json keys = given->is_array() ? *given : Json::array({*given});
  const auto is_ellipsis = [](const Json& key) {
    return key.is_object() && key.contains("class_name") && key["class_name"] == "__ellipsis__";
  };
  const auto is_tensor = [](const Json& key) { return key.is_object() && key.contains(tensor_key); };
  size_t named = 0;
  for (const Json& key : keys) named += key.is_null() || is_ellipsis(key) ? 0 : 1;
  if (named > x.rank()) c.fail("names " + std::to_string(named) + " axes of " + shape_text(x.shape()));
  int64_t axis = 0;
  for (const Json& key : keys) {
    if (key.is_null()) {
      Shape shape = x.shape();
      shape.insert(shape.begin() + axis++, 1);
      x = b.reshape(x, shape);
    } else if (is_ellipsis(key)) {
      size_t behind = 0;  // the axes that what stands behind the dots names, from the end
      for (size_t i = keys.size(); i-- > 0 && !is_ellipsis(keys[i]);) behind += keys[i].is_null() ? 0 : 1;
      axis = static_cast<int64_t>(x.rank() - behind);
    } else if (const std::optional<Range> range = range_of(c, key)) {
      x = sliced(c, x, axis++, *range);
    } else if (key.is_number_integer()) {
      const int64_t at = key.get<int64_t>();
      const Dim& extent = x.shape()[static_cast<size_t>(axis)];
      if (extent.is_constant() && (at >= extent.constant() || at < -extent.constant()))
        c.fail("takes element " + std::to_string(at) + " of axis " + std::to_string(axis) + " of " +
               shape_text(x.shape()));
      x = b.slice(x, axis, at < 0 ? extent + at : Dim(at), 1);
      Shape shape = x.shape();
      shape.erase(shape.begin() + axis);
      x = b.reshape(x, shape);
    } else if (is_tensor(key) && keys.size() == 1) {
      const Value indices = c.tensor("key");
      if (!is_integer(indices.type().dtype)) c.fail("takes elements by a mask, so how many is not known before");
      x = taken(x, axis, indices);
    } else {
      c.fail("has the key " + json_text(key) + ", which is unsupported");
    }
  }
  return {x};
}

Values one_hot(Call c) {
  Value x = c.tensor("x");
  Builder& b = c.builder();
  if (!is_integer(x.type().dtype)) x = b.cast(x, DType::i32);
  const DType dtype = c.has("dtype") ? dtype_argument(c, "dtype") : DType::f32;
  Value y = b.call("one_hot", {x}, {{"depth", c.integer("num_classes")}, {"dtype", "f32"}});
  const int64_t axis = c.axis(c.integer("axis", -1), y.rank());
  Integers permutation;
  for (int64_t i = 0; i + 1 < static_cast<int64_t>(y.rank()); ++i) permutation.push_back(i);
  permutation.insert(permutation.begin() + axis, static_cast<int64_t>(y.rank()) - 1);
  return {b.cast(b.transpose(y, permutation), dtype)};
}

// numpy's rule: indices and x broadcast along the other axes.
Values take_along_axis(Call c) {
  Builder& b = c.builder();
  Value x = c.tensor("x"), indices = c.tensor("indices");
  if (!is_integer(indices.type().dtype)) indices = b.cast(indices, DType::i32);
  if (!c.has("axis")) {
    x = b.reshape(x, {element_count(x.shape())});
    indices = b.reshape(indices, {element_count(indices.shape())});
  }
  const int64_t axis = c.has("axis") ? c.axis(c.integer("axis"), x.rank()) : 0;
  if (indices.rank() != x.rank())
    c.fail("needs indices with as many axes as its input " + shape_text(x.shape()) + " but got " + shape_text(indices.shape()));
  Shape wide = x.shape(), chosen = indices.shape();
  for (size_t i = 0; i < wide.size(); ++i) {
    if (static_cast<int64_t>(i) == axis) continue;
    if (wide[i].is_constant(1)) wide[i] = chosen[i];
    if (chosen[i].is_constant(1)) chosen[i] = wide[i];
    if (wide[i] != chosen[i]) c.fail("has indices " + shape_text(indices.shape()) + " for " + shape_text(x.shape()));
  }
  x = b.broadcast_to(x, wide);
  indices = b.cast(b.broadcast_to(indices, chosen), DType::i64);
  return {b.call("gather", {b.reshape(x, {element_count(wide)}), element_positions(indices, wide, axis)})};
}

// An axis in whole, in ascending order, and where its elements stood.
Ordered sorted(Call c, Value x, int64_t axis) { return first_in_order(numeric(c, x), axis, x.shape()[static_cast<size_t>(axis)], false); }

Values sort(Call c) {
  Value x = c.tensor("x");
  const bool flat = !c.has("axis") && c.gives("axis");  // axis=None
  if (flat) x = c.builder().reshape(x, {element_count(x.shape())});
  const Ordered found = sorted(c, x, flat ? 0 : c.axis(c.integer("axis", -1), x.rank()));
  return {c.name() == "Sort" ? found.values : c.builder().cast(found.positions, DType::i32)};
}

Values top_k(Call c) {
  const Value x = numeric(c, c.tensor("x"));
  const int64_t axis = c.axis(-1, x.rank()), k = c.integer("k");
  const Dim count = x.dim(-1);
  if (k < 1 || (count.is_constant() && k > count.constant())) c.fail("asks for " + std::to_string(k) + " of " + count.text() + " elements");
  const Ordered found = first_in_order(x, axis, k, true);
  return {found.values, c.builder().cast(found.positions, DType::i32)};
}

Values median(Call c) {
  Builder& b = c.builder();
  const Value x = c.floats("x");
  const Integers axes = c.axes("axis", x);
  // The axes as one, at the back.
  Integers order;
  Shape kept, joined;
  Dim count = 1;
  for (size_t i = 0; i < x.rank(); ++i) {
    const bool along = std::ranges::find(axes, static_cast<int64_t>(i)) != axes.end();
    kept.push_back(along ? Dim(1) : x.shape()[i]);
    if (along) count = count * x.shape()[i];
    if (!along) order.push_back(static_cast<int64_t>(i)), joined.push_back(x.shape()[i]);
  }
  if (!count.is_constant()) c.fail("needs a known extent along its axes but got " + shape_text(x.shape()));
  const Shape others = joined;
  order.insert(order.end(), axes.begin(), axes.end());
  joined.push_back(count);
  const auto last = static_cast<int64_t>(joined.size()) - 1;
  const Value ascending = sorted(c, b.reshape(b.transpose(x, order), joined), last).values;
  const int64_t middle = (count.constant() - 1) / 2, width = 2 - count.constant() % 2;
  const Value y = b.reduce("reduce_mean", b.slice(ascending, last, middle, width), {last});
  return {c.flag("keepdims", false) ? b.reshape(y, kept) : y};
}

// A part of `shape` from numbers that are known, or one that are data.
Values slice(Call c) {
  Builder& b = c.builder();
  Value x = c.tensor("inputs");
  const Integers shape = c.integers("shape");
  const Json* given = c.find("start_indices");
  if (given == nullptr) c.fail("lacks its argument 'start_indices'");
  if (shape.size() != x.rank()) c.fail("has a shape of " + std::to_string(shape.size()) + " axes for " + shape_text(x.shape()));
  const Json* numbers = given->is_array() ? given : &array_of(*given);
  if (!numbers->is_array()) c.fail("starts where data say, which is unsupported", "slice at numbers, or take elements by their indices");
  const Integers start = c.integers("start_indices");
  if (start.size() != x.rank()) c.fail("starts at " + json_text(*given) + " of " + shape_text(x.shape()));
  for (size_t i = 0; i < shape.size(); ++i) {
    const Dim extent = x.shape()[i], size = shape[i] < 0 ? extent - start[i] : Dim(shape[i]);
    if (start[i] == 0 && size == extent) continue;
    if (start[i] < 0 || (extent.is_constant() && size.is_constant() && start[i] + size.constant() > extent.constant()))
      c.fail("takes [" + std::to_string(start[i]) + ", " + (start[i] + size).text() + ") of an axis of " + extent.text());
    x = b.slice(x, static_cast<int64_t>(i), start[i], size);
  }
  return {x};
}

constexpr KerasOp ops[] = {
    {"TakeAlongAxis", "x indices", take_along_axis},
    {"Sort", "x", sort},
    {"Argsort", "x", sort},
    {"TopK", "x", top_k},
    {"Median", "x", median},
    {"Slice", "inputs start_indices", slice},
    {"Take", "x indices", take},
    {"GetItem", "x key", get_item},
    {"OneHot", "x", one_hot},
};

}  // namespace

std::span<const KerasOp> keras_indexing_ops() { return ops; }

}  // namespace moru
