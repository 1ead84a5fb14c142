#include "runtime/data/keras_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>
#include <vector>

namespace moru {
namespace {

std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c != '_') out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

using ShortForms = std::vector<std::pair<std::string_view, std::string_view>>;

std::optional<std::string> find_name(std::string_view name, std::span<const std::string> names,
                                     const ShortForms& short_forms) {
  const std::string wanted = plain(name);
  for (const std::string& one : names) {
    if (plain(one) == wanted) return one;
  }
  for (const auto& [short_form, full] : short_forms) {
    if (plain(short_form) == wanted) return std::string(full);
  }
  return std::nullopt;
}

const ShortForms& error_short_forms() {
  static const ShortForms forms = {{"mse", "mean_squared_error"},
                                   {"mae", "mean_absolute_error"},
                                   {"mape", "mean_absolute_percentage_error"},
                                   {"msle", "mean_squared_logarithmic_error"},
                                   {"rmse", "root_mean_squared_error"},
                                   {"bce", "binary_crossentropy"},
                                   {"cce", "categorical_crossentropy"},
                                   {"scce", "sparse_categorical_crossentropy"},
                                   {"kld", "kl_divergence"},
                                   {"kullback_leibler_divergence", "kl_divergence"},
                                   {"huber_loss", "huber"},
                                   {"acc", "accuracy"},
                                   {"r2", "r2_score"},
                                   {"log_cosh_error", "log_cosh"},
                                   {"top_k_accuracy", "top_k_categorical_accuracy"}};
  return forms;
}

}  // namespace

std::span<const std::string> loss_names() {
  static const std::vector<std::string> names = {"mean_squared_error",
                                                 "mean_absolute_error",
                                                 "mean_absolute_percentage_error",
                                                 "mean_squared_logarithmic_error",
                                                 "huber",
                                                 "log_cosh",
                                                 "binary_crossentropy",
                                                 "categorical_crossentropy",
                                                 "sparse_categorical_crossentropy",
                                                 "kl_divergence",
                                                 "poisson",
                                                 "hinge",
                                                 "squared_hinge",
                                                 "categorical_hinge",
                                                 "cosine_similarity",
                                                 "binary_focal_crossentropy",
                                                 "categorical_focal_crossentropy",
                                                 "categorical_generalized_cross_entropy",
                                                 "dice",
                                                 "tversky",
                                                 "circle"};
  return names;
}

std::span<const std::string> metric_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all(loss_names().begin(), loss_names().end());
    for (const char* name : {"root_mean_squared_error", "r2_score", "accuracy", "binary_accuracy",
                             "categorical_accuracy", "sparse_categorical_accuracy", "top_k_categorical_accuracy",
                             "sparse_top_k_categorical_accuracy", "auc", "precision", "recall", "f1_score", "fbeta_score",
                             "true_positives", "false_positives", "true_negatives", "false_negatives",
                             "sensitivity_at_specificity", "specificity_at_sensitivity", "precision_at_recall",
                             "recall_at_precision", "iou", "mean_iou", "binary_iou", "one_hot_iou", "one_hot_mean_iou",
                             "pearson_correlation", "concordance_correlation"}) {
      all.emplace_back(name);
    }
    return all;
  }();
  return names;
}

std::optional<std::string> find_loss_name(std::string_view name) {
  return find_name(name, loss_names(), error_short_forms());
}

std::optional<std::string> find_metric_name(std::string_view name) {
  return find_name(name, metric_names(), error_short_forms());
}

std::string resolve_accuracy(std::string_view loss, std::size_t target_width) {
  if (loss == "sparse_categorical_crossentropy") return "sparse_categorical_accuracy";
  if (loss == "categorical_crossentropy") return "categorical_accuracy";
  if (loss == "binary_crossentropy" || target_width <= 1) return "binary_accuracy";
  return "categorical_accuracy";
}

std::span<const std::string> optimizer_names() {
  static const std::vector<std::string> names = {"sgd",     "rmsprop",  "adam",   "adamw", "adagrad",
                                                 "adadelta", "adamax",  "nadam",  "ftrl",  "lion",
                                                 "lamb",    "adafactor", "muon"};
  return names;
}

std::optional<OptimizerRecipe> make_optimizer_recipe(std::string_view name) {
  const std::optional<std::string> found = find_name(name, optimizer_names(), {});
  if (!found) return std::nullopt;
  OptimizerRecipe optimizer;
  optimizer.name = *found;
  if (*found == "sgd") optimizer.learning_rate = 0.01;
  if (*found == "adadelta") optimizer.rho = 0.95;
  if (*found == "adamw" || *found == "muon") optimizer.weight_decay = 0.004;
  return optimizer;
}

bool optimizer_has(std::string_view optimizer, std::string_view hyperparameter) {
  using Names = std::vector<std::string_view>;
  static const std::vector<std::pair<std::string_view, Names>> owners = {
      {"momentum", {"sgd", "rmsprop"}},
      {"nesterov", {"sgd"}},
      {"rho", {"rmsprop", "adadelta"}},
      {"centered", {"rmsprop"}},
      {"beta_1", {"adam", "adamw", "adamax", "nadam"}},
      {"beta_2", {"adam", "adamw", "adamax", "nadam"}},
      {"amsgrad", {"adam", "adamw"}},
      {"initial_accumulator_value", {"adagrad"}},
      {"epsilon", {"rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam"}},
  };
  for (const auto& [name, optimizers] : owners) {
    if (name == hyperparameter) return std::find(optimizers.begin(), optimizers.end(), optimizer) != optimizers.end();
  }
  static const Names of_all = {"learning_rate", "weight_decay", "clipnorm", "global_clipnorm", "clipvalue"};
  return std::find(of_all.begin(), of_all.end(), hyperparameter) != of_all.end();
}

}  // namespace moru
