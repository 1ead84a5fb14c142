// The workloads T1 to T7 by which training and inference speed is measured, authored with the Functional API.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compiler/model/functional.h"
#include "compiler/model/training.h"

namespace moru::bench {

struct Workload {
  std::string name;
  std::string what;
  double flops_per_sample_training;  // 2 per multiply-add, matrix work only; forward + backward
  std::function<Model(double dropout_rate)> make;
  TrainingSpec training;

  Model model(double dropout_rate = 0.2) const { return make(dropout_rate); }
};

const std::vector<Workload>& workloads();
const Workload* find_workload(const std::string& name);

}  // namespace moru::bench
