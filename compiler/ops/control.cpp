// Loops: scan carries state along an axis, tile runs a body over chunks of rows. The reference interpreter runs their
// bodies itself (interpret/reference.cpp); their gradients are graphs of their own and made by a pass, so there is
// neither `reference` nor `gradient` here.
#include <algorithm>

#include "compiler/ops/infer.h"

namespace moru {

namespace {

const Graph& only_body(const OpContext& context, std::string_view op) {
  if (context.bodies.size() != 1)
    refuse(context, op, "needs one body but got " + std::to_string(context.bodies.size()));
  const Graph& body = context.bodies[0];
  for (const GraphInput& input : body.inputs)
    if (input.value >= body.types.size()) refuse(context, op, "has a body with an input that is no value");
  for (const GraphResult& result : body.results)
    if (result.value >= body.types.size()) refuse(context, op, "has a body with a result that is no value");
  return body;
}

void check_body_input(const OpContext& context, std::string_view op, const Graph& body, size_t index,
                      const Type& wanted, std::string_view role) {
  const Type& got = body.type(body.inputs[index].value);
  if (got.dtype != wanted.dtype || !are_equal(context, wanted.shape, got.shape))
    refuse(context, op,
           "gives its body a " + type_text(wanted) + " as input " + std::to_string(index) + " (" + std::string(role) +
               ") but the body takes a " + type_text(got));
}

size_t count_attribute(const Attributes& attributes, std::string_view name) {
  return static_cast<size_t>(attributes.integer(name));
}

void check_input_count(const OpContext& context, std::string_view op, size_t leading, size_t body_inputs,
                       size_t extra_body_inputs) {
  const size_t inputs = context.inputs.size();
  if (inputs < leading)
    refuse(context, op, "takes at least " + std::to_string(leading) + " inputs but got " + std::to_string(inputs));
  if (body_inputs != inputs + extra_body_inputs)
    refuse(context, op,
           "needs a body with " + std::to_string(inputs + extra_body_inputs) + " inputs but got one with " +
               std::to_string(body_inputs));
}

std::vector<Type> infer_scan(const OpContext& context) {
  constexpr std::string_view name = "scan";
  const Attributes& attributes = context.attributes;
  const Graph& body = only_body(context, name);
  const size_t carries = count_attribute(attributes, "carries");
  const size_t sequences = count_attribute(attributes, "sequences");
  const std::vector<int64_t>& axes = attributes.integers("axes");
  const std::vector<int64_t>& output_axes = attributes.integers("output_axes");
  check_input_count(context, name, carries + sequences, body.inputs.size(), 0);
  if (axes.size() != sequences)
    refuse(context, name,
           "has " + std::to_string(sequences) + " sequences but 'axes' names " + std::to_string(axes.size()));

  std::optional<Dim> trip;
  if (attributes.has("trip")) trip = dim_attribute(context, name, "trip");
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    Type wanted = context.inputs[i];
    std::string_view role = i < carries ? "a carry" : "an invariant";
    if (i >= carries && i < carries + sequences) {
      role = "a slice of a sequence";
      const int64_t axis = axes[i - carries];
      if (axis < 0 || axis >= static_cast<int64_t>(wanted.shape.size()))
        refuse(context, name, "axis " + std::to_string(axis) + " does not exist in the sequence " + type_text(wanted));
      const Dim length = wanted.shape[static_cast<size_t>(axis)];
      if (trip && !are_equal(context, *trip, length))
        refuse(context, name,
               "has sequences of different lengths: " + trip->text() + " and " + length.text() + " (axis " +
                   std::to_string(axis) + " of " + type_text(wanted) + ")");
      trip = length;
      wanted.shape.erase(wanted.shape.begin() + axis);
    }
    check_body_input(context, name, body, i, wanted, role);
  }
  if (!trip) refuse(context, name, "has no sequence, so that it needs the attribute 'trip'");
  if (trip->is_constant() && trip->constant() < 0) refuse(context, name, "would run " + trip->text() + " times");

  if (body.results.size() < carries || body.results.size() - carries != output_axes.size())
    refuse(context, name,
           "needs a body with " + std::to_string(carries) + " next carries and " + std::to_string(output_axes.size()) +
               " outputs (one for each of 'output_axes') but its body has " + std::to_string(body.results.size()) +
               " results");
  std::vector<Type> types;
  for (size_t i = 0; i < carries; ++i) {
    const Type& next = body.type(body.results[i].value);
    if (next.dtype != context.inputs[i].dtype || !are_equal(context, context.inputs[i].shape, next.shape))
      refuse(context, name,
             "carry " + std::to_string(i) + " starts as " + type_text(context.inputs[i]) + " but the body makes it " +
                 type_text(next));
    types.push_back(next);
  }
  for (size_t i = 0; i < output_axes.size(); ++i) {
    Type stacked = body.type(body.results[carries + i].value);
    if (output_axes[i] < 0 || output_axes[i] > static_cast<int64_t>(stacked.shape.size()))
      refuse(context, name, "cannot stack " + type_text(stacked) + " along axis " + std::to_string(output_axes[i]),
             "the axis must be from 0 to " + std::to_string(stacked.shape.size()));
    stacked.shape.insert(stacked.shape.begin() + output_axes[i], *trip);
    types.push_back(std::move(stacked));
  }
  return types;
}

bool mentions(const Type& type, std::string_view symbol) {
  return std::any_of(type.shape.begin(), type.shape.end(), [&](const Dim& dim) { return dim.contains(symbol); });
}

std::vector<Type> infer_tile(const OpContext& context) {
  constexpr std::string_view name = "tile";
  const Attributes& attributes = context.attributes;
  const Graph& body = only_body(context, name);
  const size_t slices = count_attribute(attributes, "slices");
  const size_t sums = count_attribute(attributes, "sums");
  const std::string& symbol = attributes.string("symbol");
  check_input_count(context, name, slices, body.inputs.size(), 1);
  const Dim rows = Dim::symbol(symbol);

  Dim total;
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    Type wanted = context.inputs[i];
    if (mentions(wanted, symbol))
      refuse(context, name,
             "cannot use the symbol '" + symbol + "' for its rows, since input " + std::to_string(i) + " is " +
                 type_text(wanted),
             "choose another 'symbol'");
    if (i < slices) {
      if (wanted.shape.empty())
        refuse(context, name, "cannot cut rows from input " + std::to_string(i) + ", which is " + type_text(wanted));
      if (i > 0 && !are_equal(context, total, wanted.shape[0]))
        refuse(context, name,
               "has inputs with different numbers of rows: " + total.text() + " and " + wanted.shape[0].text() + " (" +
                   type_text(wanted) + ")");
      total = wanted.shape[0];
      wanted.shape[0] = rows;
    }
    check_body_input(context, name, body, i, wanted, i < slices ? "rows" : "an invariant");
  }
  check_body_input(context, name, body, context.inputs.size(), {DType::i64, {}}, "the index of the first row");

  if (body.results.size() < sums)
    refuse(
        context, name,
        "has " + std::to_string(sums) + " sums but its body has " + std::to_string(body.results.size()) + " results");
  std::vector<Type> types;
  for (size_t i = 0; i < body.results.size(); ++i) {
    Type type = body.type(body.results[i].value);
    if (i < sums) {
      if (mentions(type, symbol))
        refuse(context, name, "cannot add up result " + std::to_string(i) + ", whose type is " + type_text(type),
               "a sum must not have the rows of a chunk as an axis");
      if (type.dtype == DType::boolean)
        refuse(context, name, "cannot add up booleans (result " + std::to_string(i) + ")");
    } else {
      // factor * rows in a chunk become factor * total.
      std::optional<Dim> factor = type.shape.empty() ? std::nullopt : type.shape[0].coefficient(symbol);
      Type rest = type;
      if (!rest.shape.empty()) rest.shape.erase(rest.shape.begin());
      if (!factor || factor->is_constant(0) || type.shape[0] != *factor * rows || mentions(rest, symbol))
        refuse(context, name,
               "cannot join the chunks of result " + std::to_string(i) + ", whose type is " + type_text(type),
               "its first axis, and no other, must be a multiple of '" + symbol + "'");
      type.shape[0] = *factor * total;
    }
    types.push_back(std::move(type));
  }
  return types;
}

Op scan_op() {
  Op op;
  op.name = "scan";
  op.family = OpFamily::control;
  op.doc =
      "A loop over time. Inputs: the initial carries, sequences, invariants. The body takes carries, the sequences' "
      "slices at "
      "one time (axis removed) and invariants, and yields the next carries, then y's. Outputs: the final carries, then "
      "the y's "
      "stacked along output_axes, each at its own time, also when reverse, which runs from the last time to the first.";
  op.inputs = {{.name = "inputs", .optional = true, .variadic = true}};
  op.attributes = {
      {.name = "carries",
       .type = AttributeType::integer,
       .default_value = 0,
       .least = 0.0,
       .doc = "how many inputs are carries"},
      {.name = "sequences",
       .type = AttributeType::integer,
       .default_value = 0,
       .least = 0.0,
       .doc = "how many inputs behind them are sequences"},
      {.name = "axes",
       .type = AttributeType::integers,
       .default_value = std::vector<int64_t>{},
       .least = 0.0,
       .doc = "the time axis of each sequence"},
      {.name = "output_axes",
       .type = AttributeType::integers,
       .default_value = std::vector<int64_t>{},
       .least = 0.0,
       .doc = "the time axis of each stacked output"},
      {.name = "reverse",
       .type = AttributeType::boolean,
       .default_value = false,
       .doc = "run from the last time to the first"},
      {.name = "recompute",
       .type = AttributeType::boolean,
       .default_value = false,
       .doc = "keep only the carries for the gradient, and run the body again"},
      {.name = "over",
       .type = AttributeType::string,
       .optional = true,
       .choices = {"heads", "queries"},
       .doc = "what the loop is over where it is not time: of attention by blocks"},
      {.name = "trip",
       .type = AttributeType::shape,
       .optional = true,
       .doc = "one dimension: how often the body runs; needed without sequences"},
  };
  op.infer = infer_scan;
  return op;
}

Op tile_op() {
  Op op;
  op.name = "tile";
  op.family = OpFamily::control;
  op.doc =
      "A loop over chunks of rows. Inputs: tensors that are cut along axis 0, then invariants. The body takes a chunk "
      "of each "
      "(`symbol` in place of the number of rows), the invariants and, last, the index of the chunk's first row as "
      "i64[]. Its "
      "first `sums` results are added up in chunk order; the others are joined along axis 0.";
  op.inputs = {{.name = "inputs", .variadic = true}};
  op.attributes = {
      {.name = "chunk",
       .type = AttributeType::integer,
       .least = 1.0,
       .doc = "rows of a chunk; the last one may have fewer"},
      {.name = "symbol",
       .type = AttributeType::string,
       .default_value = "rows",
       .doc = "the rows of a chunk, in the body's shapes"},
      {.name = "slices",
       .type = AttributeType::integer,
       .default_value = 1,
       .least = 1.0,
       .doc = "how many inputs are cut"},
      {.name = "sums",
       .type = AttributeType::integer,
       .default_value = 0,
       .least = 0.0,
       .doc = "how many results are added up"},
      {.name = "partitions",
       .type = AttributeType::integer,
       .default_value = 4,
       .least = 1.0,
       .doc = "how many partial sums there are, each of neighbouring chunks: as many threads have something to do"},
  };
  op.infer = infer_tile;
  return op;
}

}  // namespace

std::vector<Op> control_ops() { return {scan_op(), tile_op()}; }

}  // namespace moru
