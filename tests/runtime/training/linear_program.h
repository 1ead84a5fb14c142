// A training program written by hand: linear regression with momentum, its entries in plain C++. It has every slot kind
// that a training loop touches, so that the loop is tested without a compiler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/program.h"
#include "runtime/session.h"

namespace moru::testing {

struct LinearOptions {
  bool sample_weight = false;
  bool scalers = false;           // parameters x_scaler/mean, ... for 3 features and the target
  bool noise = false;             // adds noise from (seed, step) to the gradient, as dropout would
  std::string metric = "mae";
  uint64_t hash = 0x1234;
};

constexpr int64_t linear_features = 3;

/// x f32[batch, 3] -> out f32[batch, 1]; entries predict, train_step, evaluate, reset_metrics, metric_results.
///   loss = mean weight * (x w + b - y)^2;   velocity = 0.9 velocity - learning_rate * gradient;   w += velocity
std::shared_ptr<const Program> make_linear_program(const LinearOptions& options = {});

std::unique_ptr<Session> make_linear_session(const LinearOptions& options = {}, int threads = 1);

/// `samples` rows of noise-free y = x . (1, -2, 0.5) + 3 with x in [-1, 1], from a fixed generator.
Dataset make_linear_data(int64_t samples, uint64_t seed = 1, std::vector<float> weights = {});

/// All saved slots, one behind the other.
std::vector<std::byte> saved_bytes(const Session& session);

/// How often train_step has run in this process; and how long it is made to take.
extern int64_t train_steps_run;
extern double train_step_seconds;
/// Sleeps this long in every train_step (a kill then hits any place in the loop).
extern int64_t train_step_sleep_us;

}  // namespace moru::testing
