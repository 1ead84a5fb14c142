// dlib (see peer.h): T1, trained with its Adam.
#include <dlib/dnn.h>

#include "tests/bench/peers/peer.h"

namespace {

using Network = dlib::loss_mean_squared<dlib::fc<1, dlib::relu<dlib::fc<32, dlib::dropout<dlib::relu<dlib::fc<64, dlib::input<dlib::matrix<float>>>>>>>>>;

// A fully connected layer holds [in + 1, out]: the weights as Keras has them, then the biases.
template <typename Layer>
void assign(const peer::Job& job, Layer& layer, const std::string& name) {
  std::vector<float> values = peer::load(job, name + "/kernel");
  const std::vector<float> bias = peer::load(job, name + "/bias");
  values.insert(values.end(), bias.begin(), bias.end());
  dlib::tensor& parameters = layer.layer_details().get_layer_params();
  if (parameters.size() != values.size()) peer::fail("the weights of " + name + " have another size");
  std::copy(values.begin(), values.end(), parameters.host());
}

struct Trainer {
  Network network;
  std::vector<dlib::matrix<float>> x;
  std::vector<float> y;
  std::vector<dlib::adam> solvers;
  dlib::resizable_tensor batch;

  Trainer(const peer::Job& job, float rate) : y(peer::load(job, "dense_2/target")), solvers(Network::num_computational_layers, dlib::adam(0.f, 0.9f, 0.999f)) {
    const std::vector<float> rows = peer::load(job, "x");
    for (long i = 0; i < job.batch; ++i) x.push_back(dlib::mat(rows.data() + i * 12, 12, 1));
    dlib::layer<4>(network).layer_details() = dlib::dropout_(rate);
    network.to_tensor(x.begin(), x.end(), batch);
    network.forward(batch);  // makes the parameters
    assign(job, dlib::layer<6>(network), "dense");
    assign(job, dlib::layer<3>(network), "dense_1");
    assign(job, dlib::layer<1>(network), "dense_2");
  }
  double step() {
    network.to_tensor(x.begin(), x.end(), batch);
    const double loss = network.compute_parameter_gradients(batch, y.begin());
    network.update_parameters(dlib::make_sstack(solvers), 1e-3);
    return loss;
  }
};

}  // namespace

int main(int argc, char** argv) {
  const peer::Job job = peer::parse_job(argc, argv);
  if (job.workload != "T1" || !job.trains()) peer::fail("dlib does the training of T1");
  Trainer trainer(job, 0.2f);
  double loss = 0;
  return peer::serve({[&] {
                        Trainer compared(job, 0.0f);
                        std::vector<double> losses;
                        for (int i = 0; i < 3; ++i) losses.push_back(compared.step());
                        return losses;
                      },
                      [&] { loss = trainer.step(); }, [&] { return std::vector<double>{loss}; }});
}
