// OpenBLAS sgemm (see peer.h).
#include <cblas.h>

#include "tests/bench/peers/peer.h"

int main(int argc, char** argv) {
  const peer::Job job = peer::parse_job(argc, argv);
  long m = 0, k = 0, n = 0;
  if (!peer::parse_product(job.workload, m, k, n)) peer::fail("OpenBLAS does products only");
  openblas_set_num_threads(job.threads);
  const std::vector<float> a = peer::operand(static_cast<size_t>(m * k), false), b = peer::operand(static_cast<size_t>(k * n), true);
  std::vector<float> c(static_cast<size_t>(m * n));
  const auto step = [&] {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), 1.0f,
                a.data(), static_cast<int>(k), b.data(), static_cast<int>(n), 0.0f, c.data(), static_cast<int>(n));
  };
  const auto result = [&] { return peer::sample(c.data(), m, n); };
  return peer::serve({[&] {
                        step();
                        return result();
                      },
                      step, result});
}
