#include "compiler/ops/infer.h"
#include "compiler/ops/philox.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

std::vector<Op> random_ops() {
  Op op;
  op.name = "random_uniform";
  op.family = OpFamily::random;
  op.doc =
      "y = independent uniform numbers in [0, 1), multiples of 2^-24, a pure function of seed, step, stream and flat "
      "element index + offset: Philox-2x32-10, the exact formula is in philox.h.  seed, step, offset: i64[]; y: f32 "
      "`shape`";
  op.inputs = {{.name = "seed"}, {.name = "step"}, {.name = "offset", .optional = true}};
  op.attributes = {
      {.name = "shape", .type = AttributeType::shape},
      {.name = "stream", .type = AttributeType::integer, .doc = "which draw this is: one number per node and call"}};
  op.differentiable = false;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const char* names[] = {"seed", "step", "offset"};
    for (size_t i = 0; i < context.inputs.size(); ++i)
      if (context.present[i] && context.inputs[i] != Type{DType::i64, {}})
        refuse(context, "random_uniform",
               std::string("needs an i64[] as '") + names[i] + "' but got " + type_text(context.inputs[i]));
    check_extents(context, "random_uniform", context.attributes.shape("shape"), "shape");
    return {{DType::f32, context.attributes.shape("shape")}};
  };
  op.reference = [](std::span<const HostTensor> inputs, const Attributes& attributes) {
    auto scalar = [&](size_t i) {
      return i < inputs.size() && !inputs[i].data.empty() ? static_cast<int64_t>(inputs[i].data[0]) : int64_t{0};
    };
    const int64_t seed = scalar(0), step = scalar(1), offset = scalar(2);
    const int64_t stream = attributes.integer("stream");
    HostTensor y = make_tensor(DType::f32, constant_shape(attributes.shape("shape")));
    for (int64_t i = 0; i < y.elements(); ++i)
      y.data[static_cast<size_t>(i)] = static_cast<double>(random_uniform(seed, step, stream, i + offset));
    return std::vector<HostTensor>{std::move(y)};
  };
  auto number = [](double value) { return Example::Tensor{.shape = {}, .dtype = DType::i64, .values = {value}}; };
  op.examples = {
      {.inputs = {number(1), number(7)}, .attributes = {{"shape", Shape{7, 33}}, {"stream", 3}}},
      {.inputs = {number(-5), number(0), number(4096)}, .attributes = {{"shape", Shape{17}}, {"stream", 0}}},
      {.inputs = {number(0x1p40), number(0x1p33), number(0x1p32)}, .attributes = {{"shape", Shape{}}, {"stream", -1}}}};
  return {std::move(op)};
}

}  // namespace moru
