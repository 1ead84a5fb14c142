// Layers that turn numbers into categories and categories into vectors: Discretization, IntegerLookup,
// CategoryEncoding. Their tables are constants of the graph.
#include <algorithm>
#include <cmath>
#include <map>

#include "compiler/ops/layer.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
using T = AttributeType;

// ---- categories as vectors ----

constexpr std::string_view modes_doc =
    "int: the index; one_hot: a vector for each; multi_hot, count: one vector for all along axis 1, of 1s or of counts";

AttributeSpec output_mode(std::string_view default_value, bool indices) {
  std::vector<std::string_view> choices = {"one_hot", "multi_hot", "count"};
  if (indices) choices.insert(choices.begin(), "int");
  return {.name = "output_mode",
          .type = T::string,
          .default_value = std::string(default_value),
          .choices = choices,
          .doc = modes_doc};
}

AttributeSpec sparse_attribute() {
  return {.name = "sparse", .type = T::boolean, .default_value = false, .doc = "unsupported"};
}

size_t joined_axis(size_t rank) { return rank > 1 ? 1 : 0; }

template <typename Extent>
std::vector<Extent> encoded_shape(std::vector<Extent> shape, std::string_view mode, int64_t depth) {
  if (mode == "int") return shape;
  if (mode == "one_hot") {
    if (shape.size() > 1 && shape.back() == Extent(1)) shape.pop_back();
  } else {
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(joined_axis(shape.size())));
  }
  shape.push_back(Extent(depth));
  return shape;
}

Value encoded(Value indices, std::string_view mode, int64_t depth, Value weights = {}) {
  if (mode == "int") return indices;
  Builder& b = *indices.builder;
  if (mode == "one_hot") {
    Shape shape = encoded_shape(indices.shape(), mode, depth);
    shape.pop_back();
    return b.call("one_hot", {b.reshape(indices, shape)}, {{"depth", depth}});
  }
  const auto axis = static_cast<int64_t>(joined_axis(indices.rank()));
  Value each = b.call("one_hot", {indices}, {{"depth", depth}});
  if (weights) {
    Shape column = weights.shape();
    column.push_back(1);
    each = each * b.reshape(to_float(weights), column);
  }
  return b.reduce(mode == "count" ? "reduce_sum" : "reduce_max", each, {axis});
}

// `indices` holds whole numbers; those outside 0 .. depth-1 count nowhere.
HostTensor encoded_reference(const HostTensor& indices, std::string_view mode, int64_t depth,
                             const HostTensor* weights = nullptr) {
  if (mode == "int") return indices;
  HostTensor y = make_tensor(DType::f32, encoded_shape(indices.shape, mode, depth));
  const size_t axis = joined_axis(indices.shape.size());
  const int64_t inner = mode == "one_hot" ? 1 : strides_of(indices.shape)[axis],
                extent = mode == "one_hot" ? 1 : indices.shape[axis];
  for (int64_t i = 0; i < indices.elements(); ++i) {
    const auto at = static_cast<size_t>(i);
    const double index = indices.data[at];
    if (index < 0 || index >= static_cast<double>(depth)) continue;
    const int64_t vector = mode == "one_hot" ? i : i / (inner * extent) * inner + i % inner;
    double& element = y.data[static_cast<size_t>(vector * depth) + static_cast<size_t>(index)];
    element = mode == "count" ? element + (weights ? weights->data[at] : 1.0) : 1.0;
  }
  return y;
}

void check_encodable(const OpContext& context, const Op& op) {
  refuse_attributes(context, op, {"sparse"});
  const Type& x = context.inputs[0];
  if (x.shape.empty()) fail(context, op, "needs an input [batch, ...] but got a scalar");
  if (context.attributes.string("output_mode") != "int" && context.attributes.string("output_mode") != "one_hot" &&
      x.shape.size() < 2)
    fail(context, op,
         "needs an input [batch, n] for output_mode '" + context.attributes.string("output_mode") + "' but got " +
             shape_text(x.shape));
}

HostTensor whole_numbers(HostTensor x) {
  for (double& element : x.data) element = std::trunc(element);
  return x;
}
Value whole_numbers(Value x) { return is_integer(x.type().dtype) ? x : x.builder->cast(x, DType::i32); }

Op category_encoding() {
  return {
      .name = "category_encoding",
      .family = OpFamily::layer,
      .doc =
          "Whole numbers as vectors of num_tokens.   one_hot: [batch, n] or [batch, 1]   ->   [batch, n, num_tokens] "
          "or [batch, "
          "num_tokens];   multi_hot, count: [batch, n]   ->   [batch, num_tokens], count_weights: [batch, n] in place "
          "of 1",
      .class_name = "CategoryEncoding",
      .inputs = {{"x"}, {.name = "count_weights", .optional = true, .keyword = true}},
      .attributes = {{.name = "num_tokens", .type = T::integer, .least = 1},
                     output_mode("multi_hot", false),
                     sparse_attribute()},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("category_encoding");
        const Attributes& a = context.attributes;
        check_encodable(context, op);
        if (has_input(context, 1) && a.string("output_mode") != "count")
          fail(context, op, "takes count_weights with output_mode 'count' only");
        if (has_input(context, 1) && !are_equal(context, context.inputs[0].shape, context.inputs[1].shape))
          fail(context, op, "needs count_weights of the shape of its input but got " + shapes_text(context.inputs));
        return {{DType::f32, encoded_shape(context.inputs[0].shape, a.string("output_mode"), a.integer("num_tokens"))}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        return {encoded_reference(whole_numbers(inputs[0]), a.string("output_mode"), a.integer("num_tokens"),
                                  find_input(inputs, 1))};
      },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        return {
            encoded(whole_numbers(inputs[0]), a.string("output_mode"), a.integer("num_tokens"), find_input(inputs, 1))};
      },
      .examples = {{.inputs = {{{5, 3}, 0, 7, DType::i32}}, .attributes = {{"num_tokens", 7}}},
                   {.inputs = {{{5, 3}, -1, 8, DType::i64}},
                    .attributes = {{"num_tokens", 7}, {"output_mode", "one_hot"}}},
                   {.inputs = {{{5, 1}, 0, 4}},
                    .attributes = {{"num_tokens", 4}, {"output_mode", "one_hot"}},
                    .differentiable = false},
                   {.inputs = {{{5, 6}, 0, 4, DType::i32}},
                    .attributes = {{"num_tokens", 4}, {"output_mode", "count"}}},
                   {.inputs = {{{5, 6}, 0, 4, DType::i32}, {{5, 6}}},
                    .attributes = {{"num_tokens", 4}, {"output_mode", "count"}}}},
  };
}

// ---- numbers as categories ----

int64_t bins_of(const Attributes& a) { return static_cast<int64_t>(a.reals("bin_boundaries").size()) + 1; }

Op discretization() {
  using Reals = std::vector<double>;
  const Reals boundaries = {-0.5, 0.0, 0.25, 1.5};
  return {
      .name = "discretization",
      .family = OpFamily::layer,
      .doc =
          "The number of the bin that x lies in: how many of the ascending bin_boundaries are at most x; then as "
          "output_mode "
          "says.   x: [batch, ...]",
      .class_name = "Discretization",
      .takes_trainable = false,
      .inputs = {{"x"}},
      .attributes =
          {{.name = "bin_boundaries", .type = T::reals, .doc = "ascending"},
           {.name = "num_bins",
            .type = T::integer,
            .optional = true,
            .doc = "ignored: the boundaries are fitted in Keras"},
           {.name = "epsilon", .type = T::real, .optional = true, .doc = "ignored: the boundaries are fitted in Keras"},
           output_mode("int", true),
           sparse_attribute()},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("discretization");
        const Attributes& a = context.attributes;
        check_encodable(context, op);
        const Reals& given = a.reals("bin_boundaries");
        if (given.empty() || !std::is_sorted(given.begin(), given.end()))
          fail(context, op, given.empty() ? "bin_boundaries are empty" : "bin_boundaries do not ascend");
        const std::string& mode = a.string("output_mode");
        return {{mode == "int" ? DType::i32 : DType::f32, encoded_shape(context.inputs[0].shape, mode, bins_of(a))}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const Reals& given = a.reals("bin_boundaries");
        HostTensor bins = inputs[0];
        bins.dtype = DType::i32;
        for (double& x : bins.data)
          x = std::isnan(x) ? 0.0
                            : static_cast<double>(std::upper_bound(given.begin(), given.end(), x) - given.begin());
        return {encoded_reference(bins, a.string("output_mode"), bins_of(a))};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Value x = to_float(inputs[0]);
        Value bin;
        for (double boundary : a.reals("bin_boundaries")) {
          const Value above = b.cast(b.call("greater_equal", {x, b.constant(boundary, x.type().dtype)}), DType::i32);
          bin = bin ? bin + above : above;
        }
        return {encoded(bin, a.string("output_mode"), bins_of(a))};
      },
      .differentiable = false,
      .examples = {{.inputs = {{{5, 7}, -2, 2}}, .attributes = {{"bin_boundaries", boundaries}}},
                   {.inputs = {{.shape = {5}, .values = {-0.5, 0.0, 0.25, 1.5, 1.25}}},
                    .attributes = {{"bin_boundaries", boundaries}}},
                   {.inputs = {{{3, 17}, -2, 3, DType::i32}},
                    .attributes = {{"bin_boundaries", boundaries}, {"output_mode", "one_hot"}}},
                   {.inputs = {{{5, 7}, -2, 2}},
                    .attributes = {{"bin_boundaries", boundaries}, {"output_mode", "multi_hot"}}},
                   {.inputs = {{{5, 7}, -2, 2}},
                    .attributes = {{"bin_boundaries", Reals{0.0}}, {"output_mode", "count"}}}},
  };
}

// The indices of an IntegerLookup: that of the mask, those of unknown numbers, those of the vocabulary.
struct Lookup {
  const Integers& vocabulary;
  int64_t unknown = 1;  // how many indices unknown numbers have
  bool has_mask = false;
  int64_t mask = 0;
  int64_t oov = 0, first = 0;  // the first index of unknown numbers, and of the vocabulary
  int64_t depth = 0;

  explicit Lookup(const Attributes& a) : vocabulary(a.integers("vocabulary")), unknown(a.integer("num_oov_indices")) {
    has_mask = a.has("mask_token");
    if (has_mask) mask = a.integer("mask_token");
    oov = has_mask && a.string("output_mode") == "int" ? 1 : 0;
    first = oov + unknown;
    depth = first + static_cast<int64_t>(vocabulary.size());
    if (a.boolean("pad_to_max_tokens")) depth = a.integer("max_tokens");
  }
};

int64_t floor_mod(int64_t a, int64_t b) { return ((a % b) + b) % b; }

HostTensor looked_up(const HostTensor& x, const Attributes& a) {
  const Lookup lookup(a);
  HostTensor y = whole_numbers(x);
  y.dtype = DType::i64;
  for (double& element : y.data) {
    const auto number = static_cast<int64_t>(element);
    const auto found = std::find(lookup.vocabulary.begin(), lookup.vocabulary.end(), number);
    int64_t index = found - lookup.vocabulary.begin();
    if (a.boolean("invert")) {
      const int64_t at = number - lookup.first;
      const bool known = at >= 0 && at < static_cast<int64_t>(lookup.vocabulary.size());
      element = static_cast<double>(known                            ? lookup.vocabulary[static_cast<size_t>(at)]
                                    : lookup.has_mask && number == 0 ? lookup.mask
                                                                     : a.integer("oov_token"));
      continue;
    }
    if (lookup.has_mask && number == lookup.mask)
      index = 0;
    else if (found != lookup.vocabulary.end())
      index += lookup.first;
    else
      index = lookup.unknown == 0 ? -1 : lookup.oov + floor_mod(number, lookup.unknown);
    element = static_cast<double>(index);
  }
  return encoded_reference(y, a.string("output_mode"), lookup.depth);
}

Value looked_up(Value x, const Attributes& a) {
  Builder& b = *x.builder;
  const Lookup lookup(a);
  x = b.cast(whole_numbers(x), DType::i64);
  auto constant = [&](int64_t number) { return b.constant(static_cast<double>(number), DType::i64); };
  auto replace = [&](Value y, int64_t from, int64_t to) {
    return b.select(b.call("equal", {x, constant(from)}), constant(to), y);
  };
  const auto count = static_cast<int64_t>(lookup.vocabulary.size());
  if (a.boolean("invert")) {
    Value y = b.broadcast_to(constant(a.integer("oov_token")), x.shape());
    for (int64_t i = 0; i < count; ++i) y = replace(y, lookup.first + i, lookup.vocabulary[static_cast<size_t>(i)]);
    return lookup.has_mask ? replace(y, 0, lookup.mask) : y;
  }
  Value index = b.broadcast_to(constant(lookup.unknown == 0 ? -1 : lookup.oov), x.shape());
  if (lookup.unknown > 1) {
    const Value n = constant(lookup.unknown), rest = x - b.call("divide_integers", {x, n}) * n;
    index = b.select(b.call("less", {rest, constant(0)}), rest + n, rest) + index;
  }
  for (int64_t i = 0; i < count; ++i)
    index = replace(index, lookup.vocabulary[static_cast<size_t>(i)], lookup.first + i);
  if (lookup.has_mask) index = replace(index, lookup.mask, 0);
  return encoded(index, a.string("output_mode"), lookup.depth);
}

Op integer_lookup() {
  const Integers vocabulary = {12, 36, -7, 42};
  return {
      .name = "integer_lookup",
      .family = OpFamily::layer,
      .doc =
          "The index of a whole number: 0 for mask_token where there is one, then num_oov_indices for numbers that are "
          "not in "
          "the vocabulary (by their rest), then those of the vocabulary; then as output_mode says. invert: the number "
          "of an "
          "index.   x: [batch, ...]",
      .class_name = "IntegerLookup",
      .inputs = {{"x"}},
      .attributes =
          {{.name = "vocabulary", .type = T::integers, .doc = "the numbers with an index of their own"},
           {.name = "max_tokens", .type = T::integer, .optional = true, .least = 2},
           {.name = "num_oov_indices",
            .type = T::integer,
            .default_value = 1,
            .least = 0,
            .doc = "0: unknown numbers are -1"},
           {.name = "mask_token", .type = T::integer, .optional = true},
           {.name = "oov_token",
            .type = T::integer,
            .default_value = -1,
            .doc = "what invert makes of unknown indices"},
           {.name = "invert", .type = T::boolean, .default_value = false},
           output_mode("int", true),
           sparse_attribute(),
           {.name = "pad_to_max_tokens", .type = T::boolean, .default_value = false, .doc = "vectors of max_tokens"},
           {.name = "vocabulary_dtype",
            .type = T::string,
            .default_value = "int64",
            .choices = {"int64", "int32"},
            .doc = "ignored: numbers are looked up in the type of the input"},
           {.name = "vocabulary_size",
            .type = T::integer,
            .optional = true,
            .doc = "ignored: it follows from the vocabulary"},
           {.name = "idf_weights", .type = T::reals, .optional = true, .doc = "unsupported"},
           {.name = "oov_method",
            .type = T::string,
            .default_value = "floormod",
            .choices = {"floormod"},
            .doc = "the only one",
            .recent = true},
           {.name = "salt", .type = T::integer, .optional = true, .doc = "unsupported"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("integer_lookup");
        const Attributes& a = context.attributes;
        check_encodable(context, op);
        refuse_attributes(context, op, {"idf_weights", "salt"});
        const std::string& mode = a.string("output_mode");
        if (a.boolean("pad_to_max_tokens") && !a.has("max_tokens"))
          fail(context, op, "pad_to_max_tokens needs max_tokens");
        if (a.boolean("invert") && mode != "int") fail(context, op, "invert needs output_mode 'int'");
        if (mode != "int" && a.has("mask_token"))
          unsupported(context, op, "mask_token with output_mode '" + mode + "'");
        const Lookup lookup(a);
        Integers sorted = lookup.vocabulary;
        std::sort(sorted.begin(), sorted.end());
        if (sorted.empty() || std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
          fail(context, op, sorted.empty() ? "its vocabulary is empty" : "its vocabulary names a number twice",
               sorted.empty() ? "adapt the layer to data before it is saved, or give it a vocabulary" : "");
        if (lookup.depth < lookup.first + static_cast<int64_t>(sorted.size()))
          fail(context, op,
               "max_tokens is " + std::to_string(lookup.depth) + ", less than its vocabulary and unknown numbers need");
        return {{mode == "int" ? DType::i64 : DType::f32, encoded_shape(context.inputs[0].shape, mode, lookup.depth)}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        return {looked_up(inputs[0], a)};
      },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        return {looked_up(inputs[0], a)};
      },
      .differentiable = false,
      .examples = {{.inputs = {{.shape = {3, 2}, .dtype = DType::i32, .values = {12, 5, -7, 42, 36, 0}}},
                    .attributes = {{"vocabulary", vocabulary}}},
                   {.inputs = {{.shape = {5}, .dtype = DType::i64, .values = {12, 5, -8, 42, 3}}},
                    .attributes = {{"vocabulary", vocabulary}, {"num_oov_indices", 3}, {"mask_token", 5}}},
                   {.inputs = {{.shape = {2, 3}, .dtype = DType::i32, .values = {12, 5, -7, 42, 36, 12}}},
                    .attributes = {{"vocabulary", vocabulary},
                                   {"output_mode", "count"},
                                   {"max_tokens", 8},
                                   {"pad_to_max_tokens", true}}},
                   {.inputs = {{.shape = {4, 1}, .dtype = DType::i32, .values = {12, 5, -7, 42}}},
                    .attributes = {{"vocabulary", vocabulary}, {"output_mode", "one_hot"}, {"num_oov_indices", 0}}},
                   {.inputs = {{{3, 17}, 0, 8, DType::i64}},
                    .attributes = {{"vocabulary", vocabulary}, {"invert", true}, {"mask_token", 9}}}},
  };
}

}  // namespace

std::vector<Op> encoding_ops() { return {category_encoding(), discretization(), integer_lookup()}; }

}  // namespace moru
