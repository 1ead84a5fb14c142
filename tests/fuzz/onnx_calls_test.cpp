// ONNX operators called on what their specification does not foresee: any number of tensors of any rank, extents of 0, sizes that
// only a run tells, attributes of other operators and such with senseless numbers.
#include <doctest/doctest.h>
#include <onnx/onnx_pb.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/exchange/onnx/onnx_node.h"
#include "compiler/pipeline.h"
#include "compiler/support/error.h"

namespace moru::test {
namespace {

class Caller {
 public:
  explicit Caller(uint64_t seed) : random_(seed) {}

  onnx::ModelProto call(const OnnxOp& op) {
    onnx::ModelProto model;
    model.set_ir_version(8);
    add_set(model, "", std::max<int64_t>(op.domain.empty() ? op.since : 1, below(26)));
    if (!op.domain.empty()) add_set(model, std::string(op.domain), op.since);
    onnx::GraphProto& graph = *model.mutable_graph();
    onnx::NodeProto& node = *graph.add_node();
    node.set_op_type(std::string(op.type));
    node.set_domain(std::string(op.domain));
    // Often tensors of one rank and type, as most operators want them.
    const int common_rank = below(5), common_type = one_of(types);
    for (int i = below(one_of({2, 3, 5, 9})); i > 0; --i) {
      if (below(20) == 0) {
        node.add_input("");
        continue;
      }
      const std::string name = "input" + std::to_string(i);
      node.add_input(name);
      const int rank = below(3) > 0 ? common_rank : below(6), type = below(4) > 0 ? common_type : one_of(types);
      if (below(2) == 0)
        add_input(graph, name, type, rank);
      else
        add_constant(graph, name, type, below(2) == 0 ? rank : 1);
    }
    for (int i = 1 + below(3); i > 0; --i) {
      node.add_output("output" + std::to_string(i));
      graph.add_output()->set_name(node.output(node.output_size() - 1));
    }
    add_attributes(node);
    return model;
  }

 private:
  std::mt19937_64 random_;

  static constexpr std::initializer_list<int> types = {onnx::TensorProto::FLOAT, onnx::TensorProto::FLOAT,  onnx::TensorProto::FLOAT,
                                                       onnx::TensorProto::INT64, onnx::TensorProto::INT64,  onnx::TensorProto::INT32,
                                                       onnx::TensorProto::BOOL,  onnx::TensorProto::UINT8,  onnx::TensorProto::DOUBLE,
                                                       onnx::TensorProto::INT8,  onnx::TensorProto::FLOAT16};

  int below(int count) { return std::uniform_int_distribution<int>(0, count - 1)(random_); }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + below(static_cast<int>(choices.size())));
  }
  int number() { return one_of({0, 1, 1, 1, 2, 2, 3, 4, -1, -2, 7}); }

  static void add_set(onnx::ModelProto& model, const std::string& domain, int64_t version) {
    onnx::OperatorSetIdProto& set = *model.add_opset_import();
    set.set_domain(domain);
    set.set_version(version);
  }

  void add_input(onnx::GraphProto& graph, const std::string& name, int type, int rank) {
    onnx::ValueInfoProto& info = *graph.add_input();
    info.set_name(name);
    auto& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    tensor.mutable_shape();
    for (int k = 0; k < rank; ++k) {
      auto& dim = *tensor.mutable_shape()->add_dim();
      if (below(3) == 0)
        dim.set_dim_param(one_of({"n", "m", "time"}));
      else
        dim.set_dim_value(one_of({0, 1, 1, 2, 3, 4}));
    }
  }

  void add_constant(onnx::GraphProto& graph, const std::string& name, int type, int rank) {
    onnx::TensorProto& tensor = *graph.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    int64_t count = 1;
    for (int k = 0; k < rank; ++k) {
      tensor.add_dims(one_of({0, 1, 1, 2, 3, 4}));
      count *= tensor.dims(k);
    }
    for (int64_t i = 0; i < count; ++i) {
      const int value = type == onnx::TensorProto::BOOL ? below(2) : type == onnx::TensorProto::UINT8 ? below(5) : number();
      if (type == onnx::TensorProto::FLOAT)
        tensor.add_float_data(static_cast<float>(value));
      else if (type == onnx::TensorProto::DOUBLE)
        tensor.add_double_data(value);
      else if (type == onnx::TensorProto::INT64)
        tensor.add_int64_data(value);
      else
        tensor.add_int32_data(type == onnx::TensorProto::FLOAT16 ? 0x3c00 : value);
    }
  }

  onnx::AttributeProto& add(onnx::NodeProto& node, const char* name, onnx::AttributeProto::AttributeType type) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(type);
    return attribute;
  }

  void add_attributes(onnx::NodeProto& node) {
    for (const char* name : {"axis", "keepdims", "to", "group", "batch_dims", "blocksize", "block_size", "hidden_size", "ceil_mode", "num_outputs",
                             "k", "p", "size", "largest", "detect_negative", "allowzero", "layout", "time_axis", "batch_axis", "num_heads",
                             "q_num_heads", "kv_num_heads", "upper", "num_groups", "start", "end", "select_last_index", "exclusive", "reverse",
                             "output_height", "output_width", "sampling_ratio", "onesided", "noop_with_empty_axes", "count_include_pad"})
      if (below(3) == 0) add(node, name, onnx::AttributeProto::INT).set_i(number());
    for (const char* name : {"axes", "perm", "kernel_shape", "strides", "pads", "dilations", "split", "shape", "starts", "ends", "steps", "output_shape",
                             "output_padding", "scales", "repeats", "pooled_shape"})
      if (below(3) == 0) {
        onnx::AttributeProto& attribute = add(node, name, onnx::AttributeProto::INTS);
        for (int i = below(5); i > 0; --i) attribute.add_ints(number());
      }
    for (const char* name : {"alpha", "beta", "gamma", "epsilon", "scale", "value_float", "mean", "high", "low", "spatial_scale", "clip", "seed"})
      if (below(5) == 0) add(node, name, onnx::AttributeProto::FLOAT).set_f(one_of({0.f, 0.5f, 1.f, -1.f, 1e30f}));
    for (const auto& [name, choices] : std::vector<std::pair<const char*, std::vector<const char*>>>{
             {"mode", {"constant", "reflect", "edge", "wrap", "linear", "nearest", "cubic", "DCR", "CRD", "fan"}},
             {"auto_pad", {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}},
             {"direction", {"forward", "reverse", "bidirectional", "LEFT"}},
             {"reduction", {"none", "add", "mul", "max", "mean", "sum"}},
             {"equation", {"ij,jk->ik", "i->", "...i,...i", "ii->i", "ij->ji", ",->", "i,j", "...", "->", "", "iij,jk->k"}}})
      if (below(2) == 0) add(node, name, onnx::AttributeProto::STRING).set_s(choices[static_cast<size_t>(below(static_cast<int>(choices.size())))]);
    if (below(4) == 0) {
      onnx::AttributeProto& attribute = add(node, "activations", onnx::AttributeProto::STRINGS);
      for (int i = below(7); i > 0; --i) attribute.add_strings(one_of({"Tanh", "Sigmoid", "Relu", "none"}));
    }
  }
};

}  // namespace

TEST_CASE("onnx: every operator is imported or refused, whatever it is called on") {
  size_t imported = 0, calls = 0;
  for (const OnnxOp* op : all_onnx_ops()) {
    CAPTURE(op->type);
    CAPTURE(op->since);
    for (uint64_t call = 0; call < 300; ++call) {
      const onnx::ModelProto model = Caller(calls).call(*op);
      const std::string bytes = model.SerializeAsString();
      ++calls;
      std::string fault;
      try {
        Model imported_model = import_onnx(std::as_bytes(std::span(bytes)), "call.onnx");
        ++imported;
        run_pipeline(imported_model, {});
      } catch (const CompileError&) {
      } catch (const std::exception& error) {
        fault = error.what();
      }
      if (!fault.empty()) FAIL_CHECK(fault << "\n" << model.graph().DebugString());
    }
  }
  CHECK(imported > calls / 50);
  MESSAGE(imported << " of " << calls << " calls make sense");
}

}  // namespace moru::test
