// Contractions, reductions, what moves elements, and loops as ONNX operators.
#include <algorithm>
#include <limits>
#include <numeric>

#include "compiler/exchange/onnx/onnx_tensor.h"
#include "compiler/exchange/onnx/onnx_writer.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

int64_t rank_of(const Type& type) { return static_cast<int64_t>(type.shape.size()); }

/// Where the tensor of a value has the value's axis; negative ones count from the end.
int64_t tensor_axis(const OnnxValue& value, int64_t axis, int64_t rank) {
  if (axis < 0) axis += rank;
  return value.permutation.empty() ? axis : value.permutation[static_cast<size_t>(axis)];
}

int64_t axis_of(const OnnxOpWriter& w, size_t input = 0) {
  return tensor_axis(w.inputs[input], w.attributes.integer("axis"), rank_of(w.types[input]));
}

Dim dim_of(const OnnxOpWriter& w, std::string_view attribute) { return w.attributes.shape(attribute).at(0); }

// --- contraction ---

bool contract(OnnxOpWriter& w) {
  const std::string& spec = w.attributes.string("spec");
  const size_t comma = spec.find(','), arrow = spec.find("->");
  const std::string a = spec.substr(0, comma), b = spec.substr(comma + 1, arrow - comma - 1), y = spec.substr(arrow + 2);
  const std::string x0 = w.plain(0), x1 = w.plain(1);
  // [batch..., k] . [k, n], or [batch..., m, k] . [batch..., k, n] with equal batches
  const bool plain = b.size() == 2 && a.size() >= 2 && a.back() == b[0] && y == a.substr(0, a.size() - 1) + b[1];
  const bool batched = a.size() == b.size() && a.size() > 2 && a.substr(0, a.size() - 2) == b.substr(0, b.size() - 2) &&
                       a.back() == b[b.size() - 2] && y == a.substr(0, a.size() - 1) + b.back();
  if (plain || batched) {
    w.set(w.writer.node("MatMul", {x0, x1}));
  } else if (a.size() == 2 && b.size() == 2 && y == std::string{a[0], b[0]} && a[1] == b[1]) {
    w.set(w.writer.node("Gemm", {x0, x1}, {{"transB", int64_t{1}}}));
  } else if (a.size() == 2 && b.size() == 2 && y == std::string{a[1], b[1]} && a[0] == b[0]) {
    w.set(w.writer.node("Gemm", {x0, x1}, {{"transA", int64_t{1}}}));
  } else {
    w.set(w.writer.node("Einsum", {x0, x1}, {{"equation", spec}}));
  }
  return true;
}

// --- reductions ---

bool reduce(OnnxOpWriter& w) {
  const std::string_view name = w.op.name;
  const std::string type = name == "reduce_sum"   ? "ReduceSum"
                           : name == "reduce_max" ? "ReduceMax"
                           : name == "reduce_min" ? "ReduceMin"
                                                  : "ReduceMean";
  const int64_t rank = rank_of(w.types[0]);
  const bool keep = w.attributes.boolean("keep_dims");
  Integers axes;
  for (int64_t axis : w.attributes.integers("axes")) axes.push_back(tensor_axis(w.inputs[0], axis, rank));
  std::sort(axes.begin(), axes.end());
  if (axes.empty()) {
    w.set(w.inputs[0]);
    return true;
  }
  // The order of what remains follows that of the tensor's axes.
  Integers permutation = w.inputs[0].permutation;
  if (!keep && !permutation.empty()) {
    Integers left;
    for (int64_t axis : permutation) {
      if (std::binary_search(axes.begin(), axes.end(), axis)) continue;
      left.push_back(axis - (std::lower_bound(axes.begin(), axes.end(), axis) - axes.begin()));
    }
    permutation = left;
  }
  const OnnxAttribute keep_dims = int64_t{keep};
  const bool as_input = w.writer.opset() >= 18 || name == "reduce_sum";
  w.set({as_input ? w.writer.node(type, {w.inputs[0].name, w.writer.integers(axes)}, {{"keepdims", keep_dims}})
                  : w.writer.node(type, {w.inputs[0].name}, {{"axes", axes}, {"keepdims", keep_dims}}),
         permutation});
  return true;
}

bool arg_max(OnnxOpWriter& w) {
  int64_t axis = w.attributes.integer("axis");
  if (axis < 0) axis += rank_of(w.types[0]);
  w.set(w.writer.as_type(w.writer.node("ArgMax", {w.plain()}, {{"axis", axis}, {"keepdims", int64_t{0}}}), DType::i64,
                         w.output_types[0].dtype));
  return true;
}

// --- what moves elements ---

bool reshape(OnnxOpWriter& w) {
  w.set(w.writer.reshape(w.plain(), w.types[0].shape, w.output_types[0].shape, false));
  return true;
}

bool ensure_shape(OnnxOpWriter& w) {  // what reads it checks its sizes too
  w.set(w.inputs[0]);
  return true;
}

bool transpose(OnnxOpWriter& w) {
  OnnxValue value = w.inputs[0];
  Integers permutation = w.attributes.integers("permutation");
  if (!value.permutation.empty())
    for (int64_t& axis : permutation) axis = value.permutation[static_cast<size_t>(axis)];
  value.permutation = permutation;
  if (std::is_sorted(permutation.begin(), permutation.end())) value.permutation.clear();
  w.set(value);
  return true;
}

bool slice(OnnxOpWriter& w) {
  int64_t own = w.attributes.integer("axis");
  if (own < 0) own += rank_of(w.types[0]);
  const Dim begin = dim_of(w, "begin"), size = dim_of(w, "size"), extent = w.types[0].shape[static_cast<size_t>(own)];
  if (begin.is_constant(0) && size == extent) {
    w.set(w.inputs[0]);
    return true;
  }
  const std::string end = begin + size == extent ? w.writer.integers({std::numeric_limits<int64_t>::max()})
                                                 : w.writer.dims({begin + size});
  w.set({w.writer.node("Slice", {w.inputs[0].name, w.writer.dims({begin}), end, w.writer.integers({axis_of(w)})}),
         w.inputs[0].permutation});
  return true;
}

bool split(OnnxOpWriter& w) {
  const Integers& sizes = w.attributes.integers("sizes");
  const auto parts = w.writer.nodes("Split", {w.inputs[0].name, w.writer.integers(sizes)}, {{"axis", axis_of(w)}}, sizes.size());
  for (const std::string& part : parts) w.set({part, w.inputs[0].permutation});
  return true;
}

bool concat(OnnxOpWriter& w) {
  const bool same = std::all_of(w.inputs.begin(), w.inputs.end(),
                                [&](const OnnxValue& input) { return input.permutation == w.inputs[0].permutation; });
  std::vector<std::string> parts;
  for (const OnnxValue& input : w.inputs) parts.push_back(same ? input.name : w.writer.plain(input));
  int64_t axis = w.attributes.integer("axis");
  if (axis < 0) axis += rank_of(w.types[0]);
  w.set({w.writer.node("Concat", parts, {{"axis", same ? axis_of(w) : axis}}), same ? w.inputs[0].permutation : Integers()});
  return true;
}

bool pad(OnnxOpWriter& w) {
  const auto rank = static_cast<size_t>(rank_of(w.types[0]));
  const auto axis = static_cast<size_t>(axis_of(w));
  Shape pads(2 * rank, Dim(0));
  pads[axis] = dim_of(w, "before");
  pads[rank + axis] = dim_of(w, "after");
  if (pads[axis].is_constant(0) && pads[rank + axis].is_constant(0)) {
    w.set(w.inputs[0]);
    return true;
  }
  w.set({w.writer.node("Pad", {w.inputs[0].name, w.writer.dims(pads),
                               w.writer.number(w.attributes.real("value"), w.types[0].dtype)}),
         w.inputs[0].permutation});
  return true;
}

bool broadcast_to(OnnxOpWriter& w) {
  if (w.types[0].shape == w.output_types[0].shape) {
    w.set(w.inputs[0]);
    return true;
  }
  w.set(w.writer.node("Expand", {w.plain(), w.writer.dims(w.output_types[0].shape)}));
  return true;
}

bool reverse(OnnxOpWriter& w) {
  w.set({w.writer.node("Slice", {w.inputs[0].name, w.writer.integers({-1}),
                                 w.writer.integers({std::numeric_limits<int64_t>::min()}), w.writer.integers({axis_of(w)}),
                                 w.writer.integers({-1})}),
         w.inputs[0].permutation});
  return true;
}

bool fill(OnnxOpWriter& w) {
  const Type& type = w.output_types[0];
  const double value = w.attributes.real("value");
  Integers extents;
  bool constant = true;
  for (const Dim& dim : type.shape) {
    constant = constant && dim.is_constant();
    if (constant) extents.push_back(dim.constant());
  }
  if (type.shape.empty())
    w.set(w.writer.number(value, type.dtype));
  else if (constant && element_count(extents) <= 1024)
    w.set(w.writer.filled(value, extents, type.dtype));
  else
    w.set(w.writer.side_node("Expand", {w.writer.number(value, type.dtype), w.writer.dims(type.shape)}));
  return true;
}

std::string scalar_of(OnnxOpWriter& w, const Dim& dim) {
  return w.writer.reshape(w.writer.dims({dim}), {Dim(1)}, {}, true);
}

bool dim_value(OnnxOpWriter& w) {
  w.set(w.writer.as_type(scalar_of(w, dim_of(w, "dim")), DType::i64, w.output_types[0].dtype));
  return true;
}

std::string range(OnnxOpWriter& w, const Dim& count) {
  return w.writer.side_node("Range", {w.writer.number(0, DType::i64), scalar_of(w, count), w.writer.number(1, DType::i64)});
}

bool iota(OnnxOpWriter& w) {
  const Type& type = w.output_types[0];
  int64_t axis = w.attributes.integer("axis");
  if (axis < 0) axis += rank_of(type);
  const Dim extent = type.shape[static_cast<size_t>(axis)];
  Shape column(type.shape.size() - static_cast<size_t>(axis), Dim(1));
  column[0] = extent;
  std::string counted = w.writer.reshape(range(w, extent), {extent}, column, true);
  if (column != type.shape) counted = w.writer.side_node("Expand", {counted, w.writer.dims(type.shape)});
  w.set(w.writer.as_type(counted, DType::i64, type.dtype));
  return true;
}

bool window(OnnxOpWriter& w) {
  int64_t own = w.attributes.integer("axis");
  if (own < 0) own += rank_of(w.types[0]);
  const int64_t size = w.attributes.integer("size"), stride = w.attributes.integer("stride"),
                dilation = w.attributes.integer("dilation");
  const Dim count = dim_of(w, "count");
  Integers steps;
  for (int64_t j = 0; j < size; ++j) steps.push_back(j * dilation);
  const std::string first = w.writer.side_node(
      "Mul", {w.writer.reshape(range(w, count), {count}, {count, Dim(1)}, true), w.writer.number(static_cast<double>(stride), DType::i64)});
  w.set(w.writer.node("Gather", {w.plain(), w.writer.side_node("Add", {first, w.writer.integers(steps)})}, {{"axis", own}}));
  return true;
}

// The sum over windows as a product with a matrix of zeros and ones: rows are the elements of all windows.
bool window_sum(OnnxOpWriter& w) {
  int64_t own = w.attributes.integer("axis");
  const int64_t rank = rank_of(w.types[0]), stride = w.attributes.integer("stride"),
                dilation = w.attributes.integer("dilation");
  if (own < 0) own += rank - 1;
  const Shape& shape = w.types[0].shape;
  const Dim windows = shape[static_cast<size_t>(own)], size = shape[static_cast<size_t>(own) + 1], extent = dim_of(w, "extent");
  if (!windows.is_constant() || !size.is_constant() || !extent.is_constant() || w.types[0].dtype != DType::f32) {
    w.writer.problem("a sum over windows whose number is open has no counterpart in ONNX");
    w.set("unsupported");
    return true;
  }
  OnnxWeight matrix{{windows.constant() * size.constant(), extent.constant()}, {}};
  matrix.data.resize(static_cast<size_t>(matrix.shape[0] * matrix.shape[1]));
  for (int64_t i = 0; i < windows.constant(); ++i)
    for (int64_t j = 0; j < size.constant(); ++j)
      matrix.data[static_cast<size_t>((i * size.constant() + j) * extent.constant() + i * stride + j * dilation)] += 1.0f;
  Integers order;
  for (int64_t axis = 0; axis < rank; ++axis)
    if (axis != own && axis != own + 1) order.push_back(axis);
  order.push_back(own);
  order.push_back(own + 1);
  Shape moved, joined;
  for (int64_t axis : order) moved.push_back(shape[static_cast<size_t>(axis)]);
  joined.assign(moved.begin(), moved.end() - 2);
  joined.emplace_back(matrix.shape[0]);
  const std::string rows = w.writer.reshape(w.writer.ordered(w.inputs[0], order), moved, joined, true);
  const std::string sums = w.writer.node("MatMul", {rows, w.writer.weight("window_sum", matrix)});
  order.pop_back();
  for (int64_t& axis : order) axis -= axis > own;
  w.set(OnnxWriter::from_ordered(sums, order));
  return true;
}

bool gather(OnnxOpWriter& w) {
  w.set(w.writer.node("Gather", {w.plain(0), w.plain(1)}, {{"axis", int64_t{0}}}));
  return true;
}

bool scatter_add(OnnxOpWriter& w) {
  if (w.writer.opset() < 16) {
    w.writer.problem("adding at indices needs opset 16");
    w.set("unsupported");
    return true;
  }
  const Type& type = w.output_types[0];
  const std::string zeros = w.writer.side_node("Expand", {w.writer.number(0, type.dtype), w.writer.dims(type.shape)});
  const std::string indices = w.writer.side_node(
      "Unsqueeze", {w.writer.as_type(w.plain(0), w.types[0].dtype, DType::i64), w.writer.integers({rank_of(w.types[0])})});
  w.set(w.writer.node("ScatterND", {zeros, indices, w.plain(1)}, {{"reduction", std::string("add")}}));
  return true;
}

// --- loops ---

// Invariants are values of the graph around the body, which ONNX lets it see.
bool scan(OnnxOpWriter& w) {
  const Graph& body = w.bodies[0];
  OnnxWriter& to = w.writer;
  const auto carries = static_cast<size_t>(w.attributes.integer("carries")),
             sequences = static_cast<size_t>(w.attributes.integer("sequences"));
  const Integers& axes = w.attributes.integers("axes");
  const Integers& output_axes = w.attributes.integers("output_axes");
  const int64_t direction = w.attributes.boolean("reverse") ? 1 : 0;
  std::vector<std::string> inputs;
  Integers input_axes;
  for (size_t i = 0; i < carries; ++i) inputs.push_back(w.plain(i));
  for (size_t i = 0; i < sequences; ++i) {
    inputs.push_back(w.inputs[carries + i].name);
    input_axes.push_back(tensor_axis(w.inputs[carries + i], axes[i], rank_of(w.types[carries + i])));
  }
  if (sequences == 0) {  // ONNX counts by the length of a sequence
    inputs.push_back(range(w, dim_of(w, "trip")));
    input_axes.push_back(0);
  }
  std::vector<OnnxValue> invariants;
  for (size_t i = carries + sequences; i < w.inputs.size(); ++i) invariants.push_back(w.inputs[i]);

  const size_t stacked = body.results.size() - carries;
  OnnxAttributes attributes = {{"num_scan_inputs", static_cast<int64_t>(std::max<size_t>(sequences, 1))},
                               {"scan_input_axes", input_axes},
                               {"scan_input_directions", Integers(input_axes.size(), direction)}};
  if (stacked > 0) {
    Integers positive = output_axes;
    for (size_t i = 0; i < positive.size(); ++i)
      if (positive[i] < 0) positive[i] += rank_of(w.output_types[carries + i]);
    attributes.emplace_back("scan_output_axes", positive);
    attributes.emplace_back("scan_output_directions", Integers(stacked, direction));
  }
  // Before its body, so that it is the node that bears the layer's name.
  for (const std::string& output : to.nodes("Scan", inputs, attributes, body.results.size())) w.set(output);
  onnx::AttributeProto& attribute = *to.last_node().add_attribute();
  attribute.set_name("body");
  attribute.set_type(onnx::AttributeProto::GRAPH);
  onnx::GraphProto& inner = *attribute.mutable_g();
  const std::string name = to.origin() + "/body";
  inner.set_name(name);
  onnx::GraphProto* outer = to.enter_body(&inner);
  std::vector<OnnxValue> values;
  for (size_t i = 0; i < carries + sequences; ++i) {
    const Type& type = body.type(body.inputs[i].value);
    const std::string value = to.unique_value(name + (i < carries ? "/carry" : "/step"));
    OnnxValue given{value, {}};
    Type declared = type;
    if (i >= carries && !w.inputs[i].permutation.empty()) {
      // The slice has the tensor's other axes in their order there.
      const int64_t cut = input_axes[i - carries];
      int64_t own = axes[i - carries];
      if (own < 0) own += rank_of(w.types[i]);
      for (size_t k = 0; k < w.inputs[i].permutation.size(); ++k) {
        if (static_cast<int64_t>(k) == own) continue;
        const int64_t axis = w.inputs[i].permutation[k];
        given.permutation.push_back(axis - (axis > cut));
      }
      for (size_t k = 0; k < given.permutation.size(); ++k)
        declared.shape[static_cast<size_t>(given.permutation[k])] = type.shape[k];
      if (std::is_sorted(given.permutation.begin(), given.permutation.end())) given.permutation.clear();
    }
    set_type(*inner.add_input(), value, declared);
    values.push_back(given);
  }
  if (sequences == 0) set_type(*inner.add_input(), to.unique_value(name + "/step"), {DType::i64, {}});
  values.insert(values.end(), invariants.begin(), invariants.end());
  const std::vector<OnnxValue> results = to.write_graph(body, values);
  for (size_t i = 0; i < results.size(); ++i)
    set_type(*inner.add_output(), to.side_node("Identity", {to.plain(results[i])}), body.type(body.results[i].value));
  to.leave_body(outer);

  return true;
}

constexpr OnnxWriteEntry entries[] = {
    {"contract", contract},     {"reduce_sum", reduce},   {"reduce_max", reduce},
    {"reduce_min", reduce},     {"reduce_mean", reduce},  {"arg_max", arg_max},
    {"reshape", reshape},       {"transpose", transpose}, {"pack", transpose},
    {"slice", slice},           {"split", split},         {"concat", concat},
    {"pad", pad},               {"broadcast_to", broadcast_to}, {"reverse", reverse},
    {"fill", fill},             {"dim_value", dim_value}, {"iota", iota},
    {"window", window},         {"window_sum", window_sum}, {"gather", gather},
    {"scatter_add", scatter_add}, {"scan", scan},         {"ensure_shape", ensure_shape},
};

}  // namespace

std::span<const OnnxWriteEntry> onnx_write_tensors() { return entries; }

}  // namespace moru
