// Eigen's product of row-major matrices (see peer.h).
#include <Eigen/Dense>

#include "tests/bench/peers/peer.h"

int main(int argc, char** argv) {
  const peer::Job job = peer::parse_job(argc, argv);
  long m = 0, k = 0, n = 0;
  if (!peer::parse_product(job.workload, m, k, n)) peer::fail("Eigen does products only");
  Eigen::setNbThreads(job.threads);
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const std::vector<float> left = peer::operand(static_cast<size_t>(m * k), false), right = peer::operand(static_cast<size_t>(k * n), true);
  const Matrix a = Eigen::Map<const Matrix>(left.data(), m, k), b = Eigen::Map<const Matrix>(right.data(), k, n);
  Matrix c(m, n);
  const auto step = [&] { c.noalias() = a * b; };
  const auto result = [&] { return peer::sample(c.data(), m, n); };
  return peer::serve({[&] {
                        step();
                        return result();
                      },
                      step, result});
}
