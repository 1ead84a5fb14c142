// libtorch (see peer.h): T1 to T5 with torch's own modules and Adam.
#include <torch/torch.h>

#include <cmath>

#include "tests/bench/peers/peer.h"

namespace nn = torch::nn;
using torch::Tensor;

namespace {

Tensor tensor(const peer::Job& job, const std::string& name, at::IntArrayRef shape) {
  const std::vector<float> values = peer::load(job, name);
  return torch::tensor(values).reshape(shape);
}
Tensor integers(const peer::Job& job, const std::string& name) {
  const std::vector<int32_t> values = peer::load<int32_t>(job, name);
  return torch::tensor(values).to(torch::kInt64);
}

void assign(Tensor parameter, const Tensor& values) {
  torch::NoGradGuard guard;
  parameter.copy_(values.reshape(parameter.sizes()));
}

nn::Linear linear(const peer::Job& job, const std::string& name, int64_t in, int64_t out) {
  nn::Linear layer(in, out);
  assign(layer->weight, tensor(job, name + "/kernel", {in, out}).t());
  assign(layer->bias, tensor(job, name + "/bias", {out}));
  return layer;
}

// torch has two biases where Keras has one: the second begins with 0, and is left out of training where losses are compared.
template <typename Module>
Module recurrent(const peer::Job& job, Module layer, const std::string& name, int64_t in, int64_t units, int64_t gates, bool train_both) {
  auto parameters = layer->named_parameters();
  assign(parameters["weight_ih_l0"], tensor(job, name + "/kernel", {in, gates * units}).t());
  assign(parameters["weight_hh_l0"], tensor(job, name + "/recurrent_kernel", {units, gates * units}).t());
  assign(parameters["bias_ih_l0"], tensor(job, name + "/bias", {gates * units}));
  assign(parameters["bias_hh_l0"], torch::zeros({gates * units}));
  parameters["bias_hh_l0"].set_requires_grad(train_both);
  return layer;
}

// Gates of a GRU: Keras z, r, h; torch r, z, n. Both have both biases.
nn::GRU gru(const peer::Job& job, const std::string& name, int64_t in, int64_t units) {
  nn::GRU layer(nn::GRUOptions(in, units).batch_first(true));
  const auto reordered = [&](const Tensor& gates) {
    const std::vector<Tensor> parts = gates.chunk(3, 0);
    return torch::cat({parts[1], parts[0], parts[2]}, 0);
  };
  auto parameters = layer->named_parameters();
  const Tensor bias = tensor(job, name + "/bias", {2, 3 * units});
  assign(parameters["weight_ih_l0"], reordered(tensor(job, name + "/kernel", {in, 3 * units}).t()));
  assign(parameters["weight_hh_l0"], reordered(tensor(job, name + "/recurrent_kernel", {units, 3 * units}).t()));
  assign(parameters["bias_ih_l0"], reordered(bias[0]));
  assign(parameters["bias_hh_l0"], reordered(bias[1]));
  return layer;
}

/// The modules, the data, and how a loss is made of them.
struct Workload {
  std::vector<std::shared_ptr<nn::Module>> modules;
  std::function<std::vector<Tensor>(bool training)> outputs;
  std::function<Tensor(const std::vector<Tensor>&)> loss;

  std::vector<Tensor> parameters() const {
    std::vector<Tensor> all;
    for (const auto& module : modules)
      for (const Tensor& parameter : module->parameters())
        if (parameter.requires_grad()) all.push_back(parameter);
    return all;
  }
};

Workload make(const peer::Job& job, bool as_compared) {
  const int64_t n = job.batch;
  const double rate = as_compared ? 0.0 : 0.2;
  Workload w;
  const auto mean_squared = [](const Tensor& target) {
    return [target](const std::vector<Tensor>& out) { return torch::mse_loss(out[0], target); };
  };
  if (job.workload == "T1") {
    auto a = linear(job, "dense", 12, 64), b = linear(job, "dense_1", 64, 32), c = linear(job, "dense_2", 32, 1);
    w.modules = {a.ptr(), b.ptr(), c.ptr()};
    w.outputs = [=, x = tensor(job, "x", {n, 12})](bool training) mutable {
      return std::vector<Tensor>{c(torch::relu(b(torch::dropout(torch::relu(a(x)), rate, training))))};
    };
    w.loss = mean_squared(tensor(job, "dense_2/target", {n, 1}));
  } else if (job.workload == "T2") {
    auto a = linear(job, "dense", 784, 512), b = linear(job, "dense_1", 512, 512), c = linear(job, "dense_2", 512, 10);
    w.modules = {a.ptr(), b.ptr(), c.ptr()};
    w.outputs = [=, x = tensor(job, "x", {n, 784})](bool training) mutable {
      const Tensor hidden = torch::dropout(torch::relu(a(x)), rate, training);
      return std::vector<Tensor>{c(torch::dropout(torch::relu(b(hidden)), rate, training))};
    };
    w.loss = [target = integers(job, "dense_2/target")](const std::vector<Tensor>& out) { return torch::cross_entropy_loss(out[0], target); };
  } else if (job.workload == "T3") {
    auto a = recurrent(job, nn::LSTM(nn::LSTMOptions(11, 64).batch_first(true)), "lstm", 11, 64, 4, !as_compared);
    auto b = recurrent(job, nn::LSTM(nn::LSTMOptions(64, 32).batch_first(true)), "lstm_1", 64, 32, 4, !as_compared);
    auto c = linear(job, "dense", 768, 32), d = linear(job, "dense_1", 32, 1);
    w.modules = {a.ptr(), b.ptr(), c.ptr(), d.ptr()};
    w.outputs = [=, x = tensor(job, "x", {n, 24, 11})](bool) mutable {
      const Tensor sequence = std::get<0>(b->forward(std::get<0>(a->forward(x))));
      return std::vector<Tensor>{d(torch::relu(c(sequence.flatten(1))))};
    };
    w.loss = mean_squared(tensor(job, "dense_1/target", {n, 1}));
  } else if (job.workload == "T4") {
    auto a = recurrent(job, nn::RNN(nn::RNNOptions(5, 32).batch_first(true)), "simple_rnn", 5, 32, 1, !as_compared);
    auto b = recurrent(job, nn::RNN(nn::RNNOptions(32, 16).batch_first(true)), "simple_rnn_1", 32, 16, 1, !as_compared);
    auto c = linear(job, "dense", 16, 1);
    w.modules = {a.ptr(), b.ptr(), c.ptr()};
    w.outputs = [=, x = tensor(job, "x", {n, 12, 5})](bool) mutable {
      return std::vector<Tensor>{c(std::get<0>(b->forward(std::get<0>(a->forward(x)))).select(1, 11))};
    };
    w.loss = mean_squared(tensor(job, "dense/target", {n, 1}));
  } else if (job.workload == "T5") {
    auto g = gru(job, "gru", 5, 32);
    nn::Embedding e(100, 8);
    assign(e->weight, tensor(job, "embedding/embeddings", {100, 8}));
    auto d = linear(job, "dense", 50, 64), value = linear(job, "value", 64, 1), kind = linear(job, "kind", 64, 3);
    w.modules = {g.ptr(), e.ptr(), d.ptr(), value.ptr(), kind.ptr()};
    w.outputs = [=, x = tensor(job, "a", {n, 10}), s = tensor(job, "b", {n, 24, 5}), i = integers(job, "c")](bool) mutable {
      const Tensor z = torch::relu(d(torch::cat({x, std::get<0>(g->forward(s)).select(1, 23), e(i)}, 1)));
      return std::vector<Tensor>{value(z), kind(z)};
    };
    w.loss = [y = tensor(job, "value/target", {n, 1}), k = integers(job, "kind/target")](const std::vector<Tensor>& out) {
      return torch::mse_loss(out[0], y) + torch::cross_entropy_loss(out[1], k);
    };
  } else {
    peer::fail("libtorch does T1 to T5");
  }
  return w;
}

struct Trainer {
  Workload workload;
  torch::optim::Adam adam;
  bool compared;
  int steps = 0;
  Trainer(const peer::Job& job, bool as_compared)
      : workload(make(job, as_compared)), adam(workload.parameters(), torch::optim::AdamOptions(1e-3)), compared(as_compared) {}
  Tensor step() {
    // Keras adds epsilon before the bias of the second moment is corrected, torch behind it.
    if (compared)
      static_cast<torch::optim::AdamOptions&>(adam.param_groups()[0].options()).eps(1e-7 / std::sqrt(1 - std::pow(0.999, ++steps)));
    adam.zero_grad();
    const Tensor loss = workload.loss(workload.outputs(true));
    loss.backward();
    adam.step();
    return loss;
  }
};

}  // namespace

int main(int argc, char** argv) {
  const peer::Job job = peer::parse_job(argc, argv);
  torch::set_num_threads(job.threads);
  if (job.trains()) {
    Trainer trainer(job, false);
    Tensor loss;
    return peer::serve({[&] {
                          Trainer compared(job, true);
                          std::vector<double> losses;
                          for (int i = 0; i < 3; ++i) losses.push_back(compared.step().item<double>());
                          return losses;
                        },
                        [&] { loss = trainer.step(); }, [&] { return std::vector<double>{loss.item<double>()}; }});
  }
  const Workload workload = make(job, true);
  torch::InferenceMode guard;
  std::vector<Tensor> outputs;
  const auto step = [&] { outputs = workload.outputs(false); };
  const auto predictions = [&] {
    std::vector<double> values;
    for (const Tensor& output : outputs) {
      const Tensor dense = output.contiguous();
      peer::append_sample(values, dense.data_ptr<float>(), static_cast<size_t>(dense.numel()));
    }
    return values;
  };
  return peer::serve({[&] {
                        step();
                        return predictions();
                      },
                      step, predictions});
}
