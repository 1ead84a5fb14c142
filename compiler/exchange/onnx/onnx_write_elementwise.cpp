// Elementwise ops and activations as ONNX operators. They do not mind in which order a tensor has its axes.
#include <cmath>

#include "compiler/exchange/onnx/onnx_tensor.h"
#include "compiler/exchange/onnx/onnx_writer.h"

namespace moru {

namespace {

struct Name {
  std::string_view op, onnx;
};
// The same by another name.
constexpr Name names[] = {
    {"neg", "Neg"},
    {"abs", "Abs"},
    {"sign", "Sign"},
    {"sqrt", "Sqrt"},
    {"reciprocal", "Reciprocal"},
    {"floor", "Floor"},
    {"ceil", "Ceil"},
    {"round", "Round"},
    {"logical_not", "Not"},
    {"exp", "Exp"},
    {"log", "Log"},
    {"tanh", "Tanh"},
    {"sigmoid", "Sigmoid"},
    {"erf", "Erf"},
    {"sin", "Sin"},
    {"cos", "Cos"},
    {"atan", "Atan"},
    {"exponential", "Exp"},
    {"softplus", "Softplus"},
    {"softsign", "Softsign"},
    {"selu", "Selu"},
    {"add", "Add"},
    {"sub", "Sub"},
    {"mul", "Mul"},
    {"div", "Div"},
    {"maximum", "Max"},
    {"minimum", "Min"},
    {"power", "Pow"},
    {"equal", "Equal"},
    {"less", "Less"},
    {"less_equal", "LessOrEqual"},
    {"greater", "Greater"},
    {"greater_equal", "GreaterOrEqual"},
    {"logical_and", "And"},
    {"logical_or", "Or"},
    {"divide_integers", "Div"},
    {"select", "Where"},
};

// The operands' tensors with their axes in one order, and that order.
struct Operands {
  std::vector<std::string> names;
  std::vector<int64_t> permutation;
};

Operands operands_of(OnnxOpWriter& w) {
  Operands operands;
  bool same = true, any = false;
  for (size_t i = 0; i < w.inputs.size(); ++i) {
    if (w.types[i].shape.empty()) continue;  // a number
    same = same && (!any || w.inputs[i].permutation == operands.permutation);
    operands.permutation = w.inputs[i].permutation;
    any = true;
  }
  for (const Type& type : w.types)
    same = same && (type.shape.empty() || type.shape.size() == w.output_types[0].shape.size());
  if (!same) operands.permutation.clear();
  for (const OnnxValue& input : w.inputs) operands.names.push_back(same ? input.name : w.writer.plain(input));
  return operands;
}

bool named(OnnxOpWriter& w) {
  for (const Name& name : names) {
    if (name.op != w.op.name) continue;
    Operands operands = operands_of(w);
    w.set({w.writer.node(std::string(name.onnx), operands.names), operands.permutation});
    return true;
  }
  return false;
}

// Formulas of one operand.
template <typename Formula>
bool formula(OnnxOpWriter& w, Formula make) {
  const DType dtype = w.types[0].dtype;
  const auto number = [&](double value) { return w.writer.number(value, dtype); };
  w.set({make(w.inputs[0].name, number), w.inputs[0].permutation});
  return true;
}

bool rsqrt(OnnxOpWriter& w) {
  return formula(w,
                 [&](const std::string& x, auto) { return w.writer.node("Reciprocal", {w.writer.node("Sqrt", {x})}); });
}
bool square(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto) { return w.writer.node("Mul", {x, x}); });
}
bool expm1(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto number) {
    return w.writer.node("Sub", {w.writer.node("Exp", {x}), number(1.0)});
  });
}
bool log1p(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto number) {
    return w.writer.node("Log", {w.writer.node("Add", {x, number(1.0)})});
  });
}
bool relu6(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto number) {
    return w.writer.node("Clip", {x, number(0.0), number(6.0)});
  });
}
bool relu(OnnxOpWriter& w) {
  const auto argument = [&](const char* name) { return w.attributes.has(name) ? w.attributes.real(name) : 0.0; };
  const double slope = argument("negative_slope"), threshold = argument("threshold");
  return formula(w, [&](const std::string& x, auto number) {
    std::string y;
    if (threshold != 0.0) {
      const std::string below = w.writer.node("Mul", {w.writer.node("Sub", {x, number(threshold)}), number(slope)});
      y = w.writer.node("Where", {w.writer.node("Greater", {x, number(threshold)}), x, below});
    } else {
      y = slope == 0.0 ? w.writer.node("Relu", {x}) : w.writer.node("LeakyRelu", {x}, {{"alpha", slope}});
    }
    return w.attributes.has("max_value") ? w.writer.node("Min", {y, number(w.attributes.real("max_value"))}) : y;
  });
}
bool leaky_relu(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto) {
    return w.writer.node("LeakyRelu", {x}, {{"alpha", w.attributes.real("negative_slope")}});
  });
}
bool elu(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto) {
    return w.writer.node("Elu", {x}, {{"alpha", w.attributes.real("alpha")}});
  });
}
bool hard_sigmoid(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto) {
    return w.writer.node("HardSigmoid", {x}, {{"alpha", 1.0 / 6.0}, {"beta", 0.5}});
  });
}
bool hard_sigmoid_keras2(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto) {
    return w.writer.node("HardSigmoid", {x}, {{"alpha", 0.2}, {"beta", 0.5}});
  });
}
bool silu(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto) {
    return w.writer.node("Mul", {x, w.writer.node("Sigmoid", {x})});
  });
}
bool mish(OnnxOpWriter& w) {
  return formula(w, [&](const std::string& x, auto) {
    if (w.writer.opset() >= 18) return w.writer.node("Mish", {x});
    return w.writer.node("Mul", {x, w.writer.node("Tanh", {w.writer.node("Softplus", {x})})});
  });
}
bool gelu(OnnxOpWriter& w) {
  const bool approximate = w.attributes.boolean("approximate");
  return formula(w, [&](const std::string& x, auto number) {
    OnnxWriter& to = w.writer;
    if (to.opset() >= 20) return to.node("Gelu", {x}, {{"approximate", std::string(approximate ? "tanh" : "none")}});
    const std::string half = to.node("Mul", {x, number(0.5)});
    if (!approximate)
      return to.node(
          "Mul", {half, to.node("Add", {to.node("Erf", {to.node("Mul", {x, number(std::sqrt(0.5))})}), number(1.0)})});
    const std::string cube = to.node("Mul", {to.node("Mul", {x, x}), to.node("Mul", {x, number(0.044715)})});
    const std::string inner =
        to.node("Mul", {to.node("Add", {x, cube}), number(std::sqrt(2.0 / 3.14159265358979323846))});
    return to.node("Mul", {half, to.node("Add", {to.node("Tanh", {inner}), number(1.0)})});
  });
}
bool not_equal(OnnxOpWriter& w) {
  Operands operands = operands_of(w);
  w.set({w.writer.node("Not", {w.writer.node("Equal", operands.names)}), operands.permutation});
  return true;
}
bool same(OnnxOpWriter& w) {
  w.set(w.inputs[0]);
  return true;
}
bool cast(OnnxOpWriter& w) {
  if (w.types[0].dtype == w.output_types[0].dtype) return same(w);
  return formula(w, [&](const std::string& x, auto) {
    return w.writer.side_node("Cast", {x}, {{"to", int64_t{onnx_type_of(w.output_types[0].dtype)}}});
  });
}
bool narrow(OnnxOpWriter& w) {
  const Narrow type = find_narrow(w.attributes.string("type")).value();
  const DType held = held_in(type), wide = w.types[0].dtype;
  OnnxAttributes rule;
  if (is_float(held) && narrow_bits(type) == 8) {
    if (!w.attributes.boolean("saturate")) rule.emplace_back("saturate", int64_t{0});
    const std::string direction = w.attributes.string("round_mode");
    if (type == Narrow::f8e8m0 && direction != "up") rule.emplace_back("round_mode", direction);
  }
  return formula(w, [&](const std::string& x, auto) {
    const std::string y = w.writer.widened(w.writer.narrowed(w.writer.as_type(x, wide, held), type, rule), type);
    return w.writer.as_type(y, held, wide);
  });
}

bool bitwise(OnnxOpWriter& w) {
  if (w.writer.opset() < 18) {
    w.writer.problem("operators on bits came with ONNX's operator set 18");
    return true;
  }
  const char* type = w.op.name == "bitwise_and" ? "BitwiseAnd" : w.op.name == "bitwise_or" ? "BitwiseOr" : "BitwiseXor";
  const Operands operands = operands_of(w);
  w.set({w.writer.node(type, operands.names), operands.permutation});
  return true;
}

// BitShift takes unsigned numbers, and counts that are less than their bits.
bool shift(OnnxOpWriter& w) {
  const Operands operands = operands_of(w);
  const auto cast = [&](const std::string& x, ElementType to) {
    return w.writer.side_node("Cast", {x}, {{"to", w.writer.type_number(to)}});
  };
  const ElementType wide(DType::i64, Narrow::u64);
  // A negative count is a large one without its sign.
  const std::string count = cast(operands.names[1], wide), bits = cast(w.writer.number(64, DType::i64), wide);
  const std::string inside = w.writer.side_node("Less", {count, bits});
  const std::string least = w.writer.side_node("Where", {inside, count, cast(w.writer.number(0, DType::i64), wide)});
  const std::string direction = w.op.name == "shift_left" ? "LEFT" : "RIGHT";
  const std::string shifted = w.writer.side_node("BitShift", {cast(operands.names[0], wide), least}, {{"direction", direction}});
  w.set({w.writer.node("Where", {inside, cast(shifted, DType::i64), w.writer.number(0, DType::i64)}), operands.permutation});
  return true;
}

bool bitcast(OnnxOpWriter& w) {
  if (w.types[0].dtype == w.output_types[0].dtype) return same(w);
  if (w.writer.opset() < 26) {
    w.writer.problem("taking the bits of numbers for others came with ONNX's operator set 26");
    return true;
  }
  return formula(w, [&](const std::string& x, auto) {
    return w.writer.node("BitCast", {x}, {{"to", int64_t{onnx_type_of(w.output_types[0].dtype)}}});
  });
}

// Softmax along an axis, wherever the tensor has it.
bool softmax(OnnxOpWriter& w) {
  const int64_t rank = static_cast<int64_t>(w.types[0].shape.size());
  int64_t axis = w.attributes.integer("axis");
  if (axis < 0) axis += rank;
  if (!w.inputs[0].permutation.empty()) axis = w.inputs[0].permutation[static_cast<size_t>(axis)];
  const char* type = w.op.name == "softmax" ? "Softmax" : "LogSoftmax";
  return formula(w, [&](const std::string& x, auto) { return w.writer.node(type, {x}, {{"axis", axis}}); });
}

const std::vector<OnnxWriteEntry>& entries() {
  static const std::vector<OnnxWriteEntry> all = [] {
    std::vector<OnnxWriteEntry> list = {
        {"rsqrt", rsqrt},
        {"square", square},
        {"expm1", expm1},
        {"log1p", log1p},
        {"relu6", relu6},
        {"relu", relu},
        {"leaky_relu", leaky_relu},
        {"elu", elu},
        {"hard_sigmoid", hard_sigmoid},
        {"hard_sigmoid_keras2", hard_sigmoid_keras2},
        {"silu", silu},
        {"mish", mish},
        {"gelu", gelu},
        {"not_equal", not_equal},
        {"linear", same},
        {"stop_gradient", same},
        {"cast", cast},
        {"narrow", narrow},
        {"bitwise_and", bitwise},
        {"bitwise_or", bitwise},
        {"bitwise_xor", bitwise},
        {"shift_left", shift},
        {"shift_right", shift},
        {"bitcast", bitcast},
        {"softmax", softmax},
        {"log_softmax", softmax},
    };
    for (const Name& name : names) list.push_back({name.op, named});
    return list;
  }();
  return all;
}

}  // namespace

std::span<const OnnxWriteEntry> onnx_write_elementwise() { return entries(); }

}  // namespace moru
