// Losses and metrics against numbers that Keras documents, and what the conformance test cannot say.
#include "compiler/ops/loss.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "compiler/interpret/reference.h"
#include "compiler/passes/expand.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

HostTensor tensor(std::vector<int64_t> shape, std::vector<double> data, DType dtype = DType::f32) {
  HostTensor made{dtype, std::move(shape), std::move(data)};
  round_to_dtype(made);
  return made;
}

// One op on tensors, expanded into primitives and in f32.
std::vector<HostTensor> run(const char* op, const std::vector<HostTensor>& inputs, Attributes attributes = {}) {
  Graph graph;
  Builder b(graph);
  std::vector<Value> values;
  for (const HostTensor& input : inputs) values.push_back(b.input({input.dtype, Shape(input.shape.begin(), input.shape.end())}));
  for (Value output : b.call_all(op, values, std::move(attributes))) b.result(output);
  return interpret_graph(expand(graph), inputs);
}

double mean_of(const HostTensor& x) {
  double sum = 0.0;
  for (double value : x.data) sum += value;
  return sum / static_cast<double>(x.data.size());
}

std::string error_of(const char* op, const std::vector<HostTensor>& inputs) {
  try {
    run(op, inputs);
  } catch (const CompileError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("losses: the examples of Keras' documentation come out") {
  HostTensor labels = tensor({2, 2}, {0, 1, 0, 0}), p = tensor({2, 2}, {0.6, 0.4, 0.4, 0.6});
  std::vector<double> binary = run("binary_crossentropy", {labels, p})[0].data;
  CHECK(std::fabs(binary[0] - 0.9162905) < 1e-5);
  CHECK(std::fabs(binary[1] - 0.7135581) < 1e-5);
  CHECK(std::fabs(mean_of(run("huber", {labels, p})[0]) - 0.155) < 1e-5);
  CHECK(std::fabs(mean_of(run("log_cosh", {tensor({2, 2}, {0, 1, 0, 0}), tensor({2, 2}, {1, 1, 0, 0})})[0]) - 0.1084452) < 1e-5);
  HostTensor classes = tensor({2, 3}, {0.05, 0.95, 0, 0.1, 0.8, 0.1});
  std::vector<double> categorical = run("categorical_crossentropy", {tensor({2, 3}, {0, 1, 0, 0, 0, 1}), classes})[0].data;
  std::vector<double> sparse = run("sparse_categorical_crossentropy", {tensor({2}, {1, 2}, DType::i32), classes})[0].data;
  for (const std::vector<double>& loss : {categorical, sparse}) {
    CHECK(std::fabs(loss[0] - 0.05129331) < 1e-5);
    CHECK(std::fabs(loss[1] - 2.3025851) < 1e-5);
  }
}

TEST_CASE("losses: focal, overlap and similarity losses as in Keras' documentation and tests") {
  HostTensor labels = tensor({2, 2}, {0, 1, 0, 0}), p = tensor({2, 2}, {0.6, 0.4, 0.4, 0.6});
  std::vector<double> focal = run("binary_focal_crossentropy", {labels, p})[0].data;
  CHECK(std::fabs(focal[0] - 0.330) < 5e-4);
  CHECK(std::fabs(focal[1] - 0.206) < 5e-4);
  focal = run("categorical_focal_crossentropy", {tensor({2, 3}, {0, 1, 0, 0, 0, 1}), tensor({2, 3}, {0.05, 0.9, 0.05, 0.1, 0.85, 0.05})})[0].data;
  CHECK(std::fabs(focal[0] - 2.63401289e-04) < 1e-9);
  CHECK(std::fabs(focal[1] - 6.75912094e-01) < 1e-6);
  std::vector<double> cosine = run("cosine_similarity", {tensor({3, 2}, {0, 1, 1, 1, 1, 1}), tensor({3, 2}, {1, 0, 1, 1, -1, -1})})[0].data;
  CHECK(cosine[0] == 0.0);
  CHECK(std::fabs(cosine[1] + 1.0) < 1e-6);
  CHECK(std::fabs(cosine[2] - 1.0) < 1e-6);
  HostTensor y = tensor({2, 2, 2, 1}, {1, 1, 0, 0, 1, 1, 0, 0}), q = tensor({2, 2, 2, 1}, {0, 1, 0, 1, 0.4, 0, 0, 0.9});
  std::vector<double> dice = run("dice", {y, q}, {{"axis", std::vector<int64_t>{1, 2, 3}}})[0].data;
  CHECK(std::fabs(dice[0] - 0.5) < 1e-6);
  CHECK(std::fabs(dice[1] - 0.75757575) < 1e-6);
  CHECK(std::fabs(run("dice", {y, q})[0].data[0] - 0.6164384) < 1e-6);
  // With alpha = beta = 0.5 the Tversky index is the Dice coefficient.
  CHECK(std::fabs(run("tversky", {y, q})[0].data[0] - 0.6164384) < 1e-6);
  HostTensor classes = tensor({5}, {1, 1, 2, 2, 3}, DType::i32);
  HostTensor embeddings = tensor({5, 4}, {0.70014004, -0.42008403, 0.14002801, 0.56011203, 0.17609018, 0.70436073, -0.52827054,
                                          0.44022545, -0.34050261, 0.25537696, -0.68100522, 0.59587957, 0.32163376, -0.75047877,
                                          0.53605627, -0.21442251, 0.51261459, -0.34174306, 0.17087153, 0.76892189});
  for (auto [gamma, margin, wanted] : {std::tuple{80.0, 0.4, 188.3883}, std::tuple{256.0, 0.25, 652.7617}}) {
    std::vector<HostTensor> circle = run("circle", {classes, embeddings}, {{"gamma", gamma}, {"margin", margin}});
    double sum = 0.0, count = 0.0;
    for (size_t i = 0; i < 5; ++i) sum += circle[0].data[i], count += circle[1].data[i];
    CHECK(std::fabs(sum / count - wanted) < 1e-3);
  }
}

TEST_CASE("losses: reductions are Keras', with weights and masks") {
  HostTensor values = tensor({4}, {1, 2, 3, 6}), weights = tensor({4}, {1, 0, 2, 1}), mask = tensor({4}, {1, 1, 0, 1}, DType::boolean);
  auto reduced = [&](const char* reduction, bool weight, bool masked) {
    Graph graph;
    Builder b(graph);
    Value x = b.input({DType::f32, {4}}), w = b.input({DType::f32, {4}}), m = b.input({DType::boolean, {4}});
    b.result(reduce_loss(x, weight ? w : Value{}, masked ? m : Value{}, reduction));
    return interpret_graph(expand(graph), std::vector<HostTensor>{values, weights, mask})[0].data[0];
  };
  CHECK(reduced("sum", false, false) == 12.0);
  CHECK(reduced("none", false, false) == 12.0);
  CHECK(reduced("sum_over_batch_size", false, false) == 3.0);
  CHECK(reduced("sum", true, false) == 13.0);
  CHECK(reduced("mean", true, false) == 3.25);
  CHECK(reduced("mean_with_sample_weight", true, false) == 3.25);
  CHECK(reduced("mean_with_sample_weight", false, false) == 3.0);
  CHECK(reduced("sum", true, true) == 7.0);
  CHECK(reduced("sum_over_batch_size", false, true) == 3.0);
  CHECK(std::fabs(reduced("sum_over_batch_size", true, true) - 7.0 / 3.0) < 1e-6);
  CHECK(reduced("mean_with_sample_weight", true, true) == 3.5);
  mask = tensor({4}, {0, 0, 0, 0}, DType::boolean);
  CHECK(reduced("sum_over_batch_size", false, true) == 0.0);
  CHECK(reduced("mean_with_sample_weight", true, true) == 0.0);
}

TEST_CASE("losses: from logits they stay finite where a sigmoid or softmax saturates") {
  HostTensor logits = tensor({1, 2}, {-200, 150});
  CHECK(run("binary_crossentropy", {tensor({1, 2}, {0, 1}), logits}, {{"from_logits", true}})[0].data[0] == 0.0);
  CHECK(std::fabs(run("binary_crossentropy", {tensor({1, 2}, {1, 0}), logits}, {{"from_logits", true}})[0].data[0] - 175.0) < 1e-3);
  CHECK(std::fabs(run("sparse_categorical_crossentropy", {tensor({1}, {0}, DType::i32), logits}, {{"from_logits", true}})[0].data[0] -
                  350.0) < 1e-3);
}

TEST_CASE("losses: probabilities of exactly 0 and 1 are clipped") {
  double loss = run("binary_crossentropy", {tensor({1, 1}, {1}), tensor({1, 1}, {0})})[0].data[0];
  CHECK(std::fabs(loss + std::log(1e-7)) < 1e-3);
  CHECK(std::isfinite(run("categorical_crossentropy", {tensor({1, 2}, {1, 0}), tensor({1, 2}, {0, 1})})[0].data[0]));
}

TEST_CASE("losses: hinge takes labels 0 and 1 as -1 and 1") {
  HostTensor p = tensor({1, 4}, {0.3, -0.4, 0.8, 2.0});
  CHECK(run("hinge", {tensor({1, 4}, {0, 1, 1, 0}), p})[0].data == run("hinge", {tensor({1, 4}, {-1, 1, 1, -1}), p})[0].data);
}

TEST_CASE("losses: targets that do not fit are refused with both shapes") {
  HostTensor one = tensor({4, 1}, {1, 2, 3, 4}), three = make_tensor(DType::f32, {4, 3});
  CHECK(error_of("mean_squared_error", {one, three}).find("[4, 3] but got [4, 1]") != std::string::npos);
  CHECK(error_of("sparse_categorical_crossentropy", {three, three}).find("one-hot targets go with categorical_crossentropy") !=
        std::string::npos);
  CHECK(error_of("categorical_crossentropy", {one, one}).find("use binary_crossentropy") != std::string::npos);
}

TEST_CASE("metrics: increments of batches add up to the value of the whole, weighted by samples") {
  auto r2 = [](const std::vector<std::vector<HostTensor>>& batches) {
    std::vector<HostTensor> states;
    for (const std::vector<HostTensor>& inputs : batches) {
      std::vector<HostTensor> increments = run("metric_r2", inputs);
      if (states.empty()) states.assign(increments.size(), make_tensor(DType::f64, increments[0].shape));
      for (size_t i = 0; i < states.size(); ++i)
        for (size_t k = 0; k < states[i].data.size(); ++k) states[i].data[k] += increments[i].data[k];
    }
    return run("metric_r2_result", states)[0].data[0];
  };
  // Keras' documentation of R2Score
  double whole = r2({{tensor({3, 1}, {1, 4, 3}), tensor({3, 1}, {2, 4, 4})}});
  CHECK(std::fabs(whole - 0.57142854) < 1e-7);
  double parts = r2({{tensor({2, 1}, {1, 4}), tensor({2, 1}, {2, 4})}, {tensor({1, 1}, {3}), tensor({1, 1}, {4})}});
  CHECK(std::fabs(parts - whole) < 1e-12);
  CHECK(r2({{tensor({2, 1}, {3, 3}), tensor({2, 1}, {2, 4})}}) == 0.0);
}

TEST_CASE("metrics: accuracies as in Keras' documentation, with and without sample weights") {
  auto accuracy = [](const char* op, const std::vector<HostTensor>& inputs) {
    return run((std::string(op) + "_result").c_str(), run(op, inputs))[0].data[0];
  };
  HostTensor y = tensor({4, 1}, {1, 1, 0, 0}), p = tensor({4, 1}, {0.98, 1, 0, 0.6});
  CHECK(accuracy("metric_accuracy_binary", {y, p}) == 0.75);
  CHECK(accuracy("metric_accuracy_binary", {y, p, tensor({4}, {1, 0, 0, 1})}) == 0.5);
  HostTensor classes = tensor({2, 3}, {0.1, 0.9, 0.8, 0.05, 0.95, 0});
  CHECK(accuracy("metric_accuracy_categorical", {tensor({2, 3}, {0, 0, 1, 0, 1, 0}), classes}) == 0.5);
  CHECK(accuracy("metric_accuracy_sparse_categorical", {tensor({2, 1}, {2, 1}, DType::i32), classes}) == 0.5);
  CHECK(std::fabs(accuracy("metric_accuracy_categorical", {tensor({2, 3}, {0, 0, 1, 0, 1, 0}), classes, tensor({2}, {0.75, 0.25})}) - 0.25) <
        1e-12);
}

TEST_CASE("metrics: the root mean squared error is the root of the epoch's mean, and 0 before the first sample") {
  std::vector<HostTensor> states = run("metric_rmse", {tensor({2, 1}, {0, 0}), tensor({2, 1}, {3, 5})});
  CHECK(std::fabs(run("metric_rmse_result", states)[0].data[0] - std::sqrt(17.0)) < 1e-12);
  CHECK(run("metric_mean_result", {make_tensor(DType::f64, {}), make_tensor(DType::f64, {})})[0].data[0] == 0.0);
}

TEST_CASE("metrics: confusion, curves, overlap and correlation as in Keras' documentation") {
  auto metric = [](const std::string& name, const std::vector<HostTensor>& inputs, Attributes attributes = {}) {
    return run((name + "_result").c_str(), run(name.c_str(), inputs, attributes), attributes)[0].data[0];
  };
  auto column = [](std::vector<double> values) {
    auto rows = static_cast<int64_t>(values.size());
    return tensor({rows, 1}, std::move(values));
  };
  auto near = [](double got, double wanted) { return std::fabs(got - wanted) < 2e-5; };
  HostTensor y = column({0, 0, 1, 1}), p = column({0, 0.5, 0.3, 0.9});
  CHECK(near(metric("metric_auc", {y, p}, {{"num_thresholds", 3}}), 0.75));
  CHECK(near(metric("metric_auc", {y, p, tensor({4}, {1, 0, 0, 1})}, {{"num_thresholds", 3}}), 1.0));
  HostTensor truth = column({0, 1, 1, 1}), found = column({1, 0, 1, 1});
  CHECK(near(metric("metric_precision", {truth, found}), 2.0 / 3.0));
  CHECK(near(metric("metric_precision", {truth, found, tensor({4}, {0, 0, 1, 0})}), 1.0));
  CHECK(near(metric("metric_precision", {tensor({1, 4}, {0, 0, 1, 1}), tensor({1, 4}, {1, 1, 1, 1})}, {{"top_k", 2}}), 0.0));
  CHECK(near(metric("metric_precision", {tensor({1, 4}, {0, 0, 1, 1}), tensor({1, 4}, {1, 1, 1, 1})}, {{"top_k", 4}}), 0.5));
  CHECK(near(metric("metric_recall", {truth, found}), 2.0 / 3.0));
  CHECK(metric("metric_true_positives", {column({0, 1, 1, 1}), column({1, 0, 1, 1})}) == 2.0);
  CHECK(metric("metric_false_negatives", {column({0, 1, 1, 1}), column({0, 1, 0, 0})}) == 2.0);
  CHECK(metric("metric_false_positives", {column({0, 1, 0, 0}), column({0, 0, 1, 1}), tensor({4}, {0, 0, 1, 0})}) == 1.0);
  CHECK(metric("metric_true_negatives", {column({0, 1, 0, 0}), column({1, 1, 0, 0})}) == 2.0);
  HostTensor five = column({0, 0, 0, 1, 1}), scores = column({0, 0.3, 0.8, 0.3, 0.8}), weights = tensor({5}, {1, 1, 2, 2, 1});
  CHECK(near(metric("metric_sensitivity_at_specificity", {five, scores}, {{"specificity", 0.5}}), 0.5));
  CHECK(near(metric("metric_sensitivity_at_specificity", {five, scores, weights}, {{"specificity", 0.5}}), 1.0 / 3.0));
  CHECK(near(metric("metric_specificity_at_sensitivity", {five, scores}, {{"sensitivity", 0.5}}), 2.0 / 3.0));
  CHECK(near(metric("metric_precision_at_recall", {five, scores}, {{"recall", 0.5}}), 0.5));
  CHECK(near(metric("metric_recall_at_precision", {y, p}, {{"precision", 0.8}}), 0.5));
  HostTensor classes = tensor({4}, {0, 0, 1, 1}, DType::i32), predicted = tensor({4}, {0, 1, 0, 1});
  CHECK(near(metric("metric_mean_iou", {classes, predicted}, {{"num_classes", 2}}), 1.0 / 3.0));
  CHECK(near(metric("metric_iou", {classes, predicted}, {{"num_classes", 2}, {"target_class_ids", 0}}), 1.0 / 3.0));
  CHECK(near(metric("metric_binary_iou", {column({0, 1, 0, 1}), column({0.1, 0.2, 0.4, 0.7})}, {{"threshold", 0.3}}), 1.0 / 3.0));
  HostTensor one_hot = tensor({4, 3}, {0, 0, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0});
  HostTensor rows = tensor({4, 3}, {0.2, 0.3, 0.5, 0.1, 0.2, 0.7, 0.5, 0.3, 0.1, 0.1, 0.4, 0.5});
  CHECK(near(metric("metric_one_hot_mean_iou", {one_hot, rows}, {{"num_classes", 3}}), 1.0 / 9.0));
  CHECK(near(metric("metric_one_hot_iou", {one_hot, rows}, {{"num_classes", 3}, {"target_class_ids", std::vector<int64_t>{0, 2}}}), 1.0 / 6.0));
  HostTensor labels = tensor({3, 3}, {1, 1, 1, 1, 0, 0, 1, 1, 0}), answers = tensor({3, 3}, {0.2, 0.6, 0.7, 0.2, 0.6, 0.6, 0.6, 0.8, 0});
  CHECK(near(metric("metric_fbeta_score", {labels, answers}, {{"beta", 2.0}, {"threshold", 0.5}, {"average", "macro"}}),
             (0.3846154 + 0.90909094 + 0.8333333) / 3.0));
  CHECK(near(metric("metric_f1_score", {labels, answers}, {{"threshold", 0.5}, {"average", "macro"}}), (0.5 + 0.8 + 0.6666667) / 3.0));
  HostTensor top = tensor({2, 3}, {0.1, 0.9, 0.8, 0.05, 0.95, 0});
  CHECK(metric("metric_top_k_categorical_accuracy", {tensor({2, 3}, {0, 0, 1, 0, 1, 0}), top}, {{"k", 1}}) == 0.5);
  CHECK(metric("metric_sparse_top_k_categorical_accuracy", {tensor({2}, {2, 1}, DType::i32), top}, {{"k", 1}}) == 0.5);
  CHECK(near(metric("metric_cosine_similarity", {tensor({2, 2}, {0, 1, 1, 1}), tensor({2, 2}, {1, 0, 1, 1})}), 0.5));
  HostTensor a = tensor({2, 3}, {0, 1, 0.5, 1, 1, 0.2}), b = tensor({2, 3}, {0.1, 0.9, 0.5, 1, 0.9, 0.2});
  CHECK(std::fabs(metric("metric_pearson_correlation", {a, b}) - 0.9966996) < 1e-5);
  CHECK(std::fabs(metric("metric_concordance_correlation", {a, b}) - 0.9816320) < 1e-5);
  CHECK(metric("metric_sum", {tensor({2}, {0, 0}), tensor({2}, {1, 3})}) == 4.0);
}

TEST_CASE("metrics: what would be several numbers for a history of one is refused, with the way out") {
  HostTensor labels = make_tensor(DType::f32, {4, 3}), scores = make_tensor(DType::f32, {4, 3}, 0.5);
  CHECK(error_of("metric_f1_score", {labels, scores}).find("set 'average' to macro, micro or weighted") != std::string::npos);
}
