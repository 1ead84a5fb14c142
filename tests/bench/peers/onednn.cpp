// oneDNN (see peer.h): products with the right operand packed beforehand, and of T3 the two LSTM layers alone, forward
// and backward (no dense layers, no loss, no optimizer).
#include <oneapi/dnnl/dnnl.hpp>

#include "tests/bench/peers/peer.h"

using namespace dnnl;

namespace {

engine cpu(engine::kind::cpu, 0);
stream queue(cpu);

memory make(const memory::desc& desc) { return memory(desc, cpu); }
memory make(const memory::desc& desc, const std::vector<float>& values) {
  memory result(desc, cpu);
  std::memcpy(result.get_data_handle(), values.data(), values.size() * 4);
  return result;
}
memory packed(memory& from, const memory::desc& desc) {
  memory to(desc, cpu);
  reorder(from, to).execute(queue, from, to);
  queue.wait();
  return to;
}

int serve_product(const peer::Job&, long m, long k, long n) {
  using tag = memory::format_tag;
  const auto f32 = memory::data_type::f32;
  const memory::desc a_desc({m, k}, f32, tag::ab), c_desc({m, n}, f32, tag::ab), b_plain({k, n}, f32, tag::ab), b_any({k, n}, f32, tag::any);
#if DNNL_VERSION_MAJOR >= 3
  const matmul::primitive_desc described(cpu, a_desc, b_any, c_desc);
#else
  const matmul::primitive_desc described(matmul::desc(a_desc, b_any, c_desc), cpu);
#endif
  memory a = make(a_desc, peer::operand(static_cast<size_t>(m * k), false)), b = make(b_plain, peer::operand(static_cast<size_t>(k * n), true));
  memory weights = packed(b, described.weights_desc()), c = make(c_desc);
  matmul product(described);
  const auto step = [&] {
    product.execute(queue, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, c}});
    queue.wait();
  };
  const auto result = [&] { return peer::sample(static_cast<const float*>(c.get_data_handle()), m, n); };
  return peer::serve({[&] {
                        step();
                        return result();
                      },
                      step, result});
}

#if DNNL_VERSION_MAJOR < 3

/// One LSTM layer over [time, batch, features]; gates i, f, c, o, as Keras orders them.
struct Layer {
  memory::dim time, batch, in, out;
  lstm_forward::primitive_desc forward_described;
  lstm_backward::primitive_desc backward_described;
  lstm_forward forward;
  lstm_backward backward;
  memory weights, recurrent, bias, y, workspace, weights_back, recurrent_back, d_weights, d_recurrent, d_bias, d_x, d_y;

  Layer(const peer::Job& job, const std::string& name, memory::dim time, memory::dim batch, memory::dim in, memory::dim out)
      : time(time), batch(batch), in(in), out(out) {
    using tag = memory::format_tag;
    const auto f32 = memory::data_type::f32;
    const memory::desc none, x_desc({time, batch, in}, f32, tag::tnc), y_desc({time, batch, out}, f32, tag::tnc);
    const memory::desc w_any({1, 1, in, 4, out}, f32, tag::any), r_any({1, 1, out, 4, out}, f32, tag::any), b_desc({1, 1, 4, out}, f32, tag::ldgo);
    forward_described = {lstm_forward::desc(prop_kind::forward_training, rnn_direction::unidirectional_left2right, x_desc, none, none,
                                            w_any, r_any, b_desc, y_desc, none, none), cpu};
    backward_described = {lstm_backward::desc(prop_kind::backward, rnn_direction::unidirectional_left2right, x_desc, none, none, w_any,
                                              r_any, b_desc, y_desc, none, none, x_desc, none, none, w_any, r_any, b_desc, y_desc, none, none),
                          cpu, forward_described};
    forward = lstm_forward(forward_described);
    backward = lstm_backward(backward_described);
    memory w = make({{1, 1, in, 4, out}, f32, tag::ldigo}, peer::load(job, name + "/kernel"));
    memory r = make({{1, 1, out, 4, out}, f32, tag::ldigo}, peer::load(job, name + "/recurrent_kernel"));
    weights = packed(w, forward_described.weights_layer_desc());
    recurrent = packed(r, forward_described.weights_iter_desc());
    weights_back = packed(w, backward_described.weights_layer_desc());
    recurrent_back = packed(r, backward_described.weights_iter_desc());
    bias = make(b_desc, peer::load(job, name + "/bias"));
    y = make(y_desc);
    d_y = make(y_desc);
    d_x = make(x_desc);
    workspace = make(forward_described.workspace_desc());
    d_weights = make(backward_described.diff_weights_layer_desc());
    d_recurrent = make(backward_described.diff_weights_iter_desc());
    d_bias = make(b_desc);
  }

  void run_forward(memory& x) {
    forward.execute(queue, {{DNNL_ARG_SRC_LAYER, x}, {DNNL_ARG_WEIGHTS_LAYER, weights}, {DNNL_ARG_WEIGHTS_ITER, recurrent},
                            {DNNL_ARG_BIAS, bias}, {DNNL_ARG_DST_LAYER, y}, {DNNL_ARG_WORKSPACE, workspace}});
  }
  void run_backward(memory& x, memory& d_result) {
    for (memory* gradient : {&d_weights, &d_recurrent, &d_bias})  // the library adds to what is there
      std::memset(gradient->get_data_handle(), 0, gradient->get_desc().get_size());
    backward.execute(queue, {{DNNL_ARG_SRC_LAYER, x}, {DNNL_ARG_WEIGHTS_LAYER, weights_back}, {DNNL_ARG_WEIGHTS_ITER, recurrent_back},
                             {DNNL_ARG_BIAS, bias}, {DNNL_ARG_DST_LAYER, y}, {DNNL_ARG_WORKSPACE, workspace},
                             {DNNL_ARG_DIFF_SRC_LAYER, d_x}, {DNNL_ARG_DIFF_WEIGHTS_LAYER, d_weights},
                             {DNNL_ARG_DIFF_WEIGHTS_ITER, d_recurrent}, {DNNL_ARG_DIFF_BIAS, d_bias},
                             {DNNL_ARG_DIFF_DST_LAYER, d_result}});
  }
};

// The first loss, from the layers' output and dense layers in plain loops: what a training program's first loss is.
double loss_of(const peer::Job& job, const Layer& last) {
  const auto hidden_weights = peer::load(job, "dense/kernel"), hidden_bias = peer::load(job, "dense/bias"),
             out_weights = peer::load(job, "dense_1/kernel"), out_bias = peer::load(job, "dense_1/bias"), target = peer::load(job, "dense_1/target");
  const auto* y = static_cast<const float*>(last.y.get_data_handle());
  double sum = 0;
  for (memory::dim b = 0; b < last.batch; ++b) {
    double result = out_bias[0];
    for (size_t h = 0; h < hidden_bias.size(); ++h) {
      double unit = hidden_bias[h];
      for (memory::dim t = 0; t < last.time; ++t)
        for (memory::dim f = 0; f < last.out; ++f)
          unit += y[(t * last.batch + b) * last.out + f] * hidden_weights[static_cast<size_t>(t * last.out + f) * hidden_bias.size() + h];
      result += std::max(unit, 0.0) * out_weights[h];
    }
    const double error = result - target[static_cast<size_t>(b)];
    sum += error * error / static_cast<double>(last.batch);
  }
  return sum;
}

int serve_lstm(const peer::Job& job) {
  const memory::dim batch = job.batch, time = 24;
  Layer first(job, "lstm", time, batch, 11, 64), second(job, "lstm_1", time, batch, 64, 32);
  const std::vector<float> rows = peer::load(job, "x");
  std::vector<float> by_time(rows.size());
  for (memory::dim b = 0; b < batch; ++b)
    for (memory::dim t = 0; t < time; ++t)
      for (memory::dim f = 0; f < 11; ++f) by_time[static_cast<size_t>((t * batch + b) * 11 + f)] = rows[static_cast<size_t>((b * time + t) * 11 + f)];
  memory x = make({{time, batch, 11}, memory::data_type::f32, memory::format_tag::tnc}, by_time);
  std::memset(second.d_y.get_data_handle(), 0, second.d_y.get_desc().get_size());
  const auto step = [&] {
    first.run_forward(x);
    second.run_forward(first.y);
    second.run_backward(first.y, second.d_y);
    first.run_backward(x, second.d_x);
    queue.wait();
  };
  const auto result = [&] { return std::vector<double>{loss_of(job, second)}; };
  return peer::serve({[&] {
                        step();
                        return result();
                      },
                      step, result});
}

#else
int serve_lstm(const peer::Job&) { peer::fail("the LSTM layers are written for oneDNN 2"); }
#endif

}  // namespace

int main(int argc, char** argv) {
  const peer::Job job = peer::parse_job(argc, argv);
  long m = 0, k = 0, n = 0;
  if (peer::parse_product(job.workload, m, k, n)) return serve_product(job, m, k, n);
  if (job.workload == "T3" && job.trains()) return serve_lstm(job);
  peer::fail("oneDNN does products, and the LSTM layers of T3");
}
