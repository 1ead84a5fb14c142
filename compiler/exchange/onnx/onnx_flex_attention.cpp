// ONNX's FlexAttention: attention whose scores and probabilities pass through graphs that the node carries.
#include <algorithm>
#include <cmath>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_graph.h"

namespace moru {

//   y = prob_mod(softmax(score_mod(scale q k^T))) v, computed in softmax_precision
// q: [batch, heads, queries, size], k: [batch, key heads, keys, size], v: [batch, key heads, keys, width]
void OnnxGraph::translate_flex_attention(const Call& call) {
  const std::vector<uint32_t> inputs = inputs_of(call);
  if (inputs.size() != 3 || std::count(inputs.begin(), inputs.end(), UINT32_MAX) > 0) fail(call, "needs queries, keys and values");
  const Value query = values_[inputs[0]], keys = values_[inputs[1]], value = values_[inputs[2]];
  for (const Value& one : {query, keys, value})
    if (one.is_sequence() || one.type.shape.size() != 4) fail(call, "needs tensors of four axes but got " + text_of(one));
  const Dim heads = query.type.shape[1], key_heads = keys.type.shape[1], size = query.type.shape[3];
  if (!heads.is_constant() || !key_heads.is_constant() || key_heads.constant() < 1 ||
      heads.constant() % key_heads.constant() != 0 || !size.is_constant())
    fail(call, "needs known numbers of heads, those of queries a multiple of those of keys, and heads of a known size");
  const int64_t times = heads.constant() / key_heads.constant();
  double scale = 1.0 / std::sqrt(static_cast<double>(size.constant()));
  ElementType precision = query.type.dtype;  // that of narrower floats is f32, in which they are held
  const onnx::GraphProto *score_mod = nullptr, *prob_mod = nullptr;
  for (const auto& attribute : call.node.attribute()) {
    if (attribute.name() == "scale") scale = static_cast<double>(attribute.f());
    if (attribute.name() == "softmax_precision") precision = dtype_of_onnx(static_cast<int32_t>(attribute.i()), "'softmax_precision'");
    if (attribute.name() == "score_mod") score_mod = &attribute.g();
    if (attribute.name() == "prob_mod") prob_mod = &attribute.g();
  }
  const auto modified = [&](uint32_t id, const onnx::GraphProto* body) {
    if (body == nullptr) return id;
    const std::vector<uint32_t> results = run_body(call, *body, {id});
    if (results.size() != 1 || values_[results[0]].is_sequence() || values_[results[0]].type.shape != values_[id].type.shape)
      fail(call, "has a graph that does not make one tensor of the shape of its input");
    return results[0];
  };
  const uint32_t scores = build_values(call, {inputs[0], inputs[1]}, 1, [&](OnnxNode& n) {
    const double root = std::sqrt(scale);
    n.set_as(0, n.builder().contract(n.in(0) * root, repeat_heads(n.in(1), times) * root, "bhqd,bhkd->bhqk"), precision);
  })[0];
  const uint32_t probabilities = build_values(call, {modified(scores, score_mod)}, 1, [&](OnnxNode& n) {
    n.set_as(0, softmax_along(n.builder().cast(n.in(0), precision), -1, false), precision);
  })[0];
  build(call, {modified(probabilities, prob_mod), inputs[2]}, [&](OnnxNode& n) {
    const moru::Value v = repeat_heads(n.builder().cast(n.in(1), precision), times);
    n.set_as(0, n.builder().contract(n.builder().cast(n.in(0), precision), v, "bhqk,bhkv->bhqv"), n.dtype(1));
  });
}

}  // namespace moru
