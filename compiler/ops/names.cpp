#include "compiler/ops/names.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using Aliases = std::map<std::string, std::string, std::less<>>;

const Aliases loss_aliases = {
    {"mse", "mean_squared_error"},
    {"mae", "mean_absolute_error"},
    {"mape", "mean_absolute_percentage_error"},
    {"msle", "mean_squared_logarithmic_error"},
    {"bce", "binary_crossentropy"},
    {"cce", "categorical_crossentropy"},
    {"scce", "sparse_categorical_crossentropy"},
    {"binary_cross_entropy", "binary_crossentropy"},
    {"categorical_cross_entropy", "categorical_crossentropy"},
    {"sparse_categorical_cross_entropy", "sparse_categorical_crossentropy"},
    {"logcosh", "log_cosh"},
    {"kld", "kl_divergence"},
    {"kullback_leibler_divergence", "kl_divergence"},
    {"huber_loss", "huber"},
    {"binary_focal_cross_entropy", "binary_focal_crossentropy"},
    {"categorical_focal_cross_entropy", "categorical_focal_crossentropy"},
    {"cosine", "cosine_similarity"},
    {"ctc_loss", "ctc"},
};

const Aliases metric_aliases = {
    {"mse", "metric_mse"},
    {"mean_squared_error", "metric_mse"},
    {"mae", "metric_mae"},
    {"mean_absolute_error", "metric_mae"},
    {"rmse", "metric_rmse"},
    {"root_mean_squared_error", "metric_rmse"},
    {"binary_accuracy", "metric_accuracy_binary"},
    {"categorical_accuracy", "metric_accuracy_categorical"},
    {"sparse_categorical_accuracy", "metric_accuracy_sparse_categorical"},
    {"r2", "metric_r2"},
    {"r2_score", "metric_r2"},
    {"mean", "metric_mean"},
    {"log_cosh_error", "metric_log_cosh"},
    {"logcosh_error", "metric_log_cosh"},
    {"topk_categorical_accuracy", "metric_top_k_categorical_accuracy"},
    {"sparse_topk_categorical_accuracy", "metric_sparse_top_k_categorical_accuracy"},
    {"top_k_accuracy", "metric_top_k_categorical_accuracy"},
    {"sparse_top_k_accuracy", "metric_sparse_top_k_categorical_accuracy"},
    {"io_u", "metric_iou"},
    {"binary_io_u", "metric_binary_iou"},
    {"mean_io_u", "metric_mean_iou"},
    {"one_hot_io_u", "metric_one_hot_iou"},
    {"one_hot_mean_io_u", "metric_one_hot_mean_iou"},
    {"fb_eta_score", "metric_fbeta_score"},
    {"f_beta_score", "metric_fbeta_score"},
};

const Aliases activation_aliases = {
    {"swish", "silu"},
    {"hard_swish", "hard_silu"},
    {"none", "linear"},
};

std::vector<std::string> ops_of(OpFamily family) {
  std::vector<std::string> names;
  for (const Op& op : all_ops())
    if (op.family == family) names.emplace_back(op.name);
  return names;
}

bool ends_with(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

[[noreturn]] void unknown(std::string_view kind, std::string_view name, const std::vector<std::string>& known) {
  throw CompileError({.stage = "names",
                      .node = {},
                      .op = {},
                      .what = "there is no " + std::string(kind) + " '" + std::string(name) + "'",
                      .detail = {},
                      .hint = near_names_hint(name, known)});
}

// Activations are ops of one input of the family activation, or elementwise ones that Keras counts as such.
bool is_activation(const Op* op) {
  if (!op || op->inputs.size() != 1) return false;
  return op->family == OpFamily::activation || op->name == "tanh" || op->name == "sigmoid" || op->name == "exp";
}

// Insertions, deletions, replacements, and exchanges of neighbours, which are what fingers do most.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(above);
    above.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string snake_case(std::string_view name) {
  auto is = [&](int (*test)(int), size_t i) { return i < name.size() && test(static_cast<unsigned char>(name[i])); };
  std::string text;
  for (size_t i = 0; i < name.size(); ++i) {
    // A word begins at a capital before a small letter: "KLDivergence" is kl_divergence, "LeakyReLU" leaky_relu.
    if (i > 0 && is(std::isupper, i) && is(std::islower, i + 1) && name[i - 1] != '_') text += '_';
    text += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return text;
}

std::string quoted_list(const std::vector<std::string>& names, size_t most) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), most); ++i) text += (i > 0 ? ", '" : "'") + names[i] + "'";
  return names.size() > most ? text + ", ..." : text;
}

std::vector<std::string> near_names(std::string_view name, const std::vector<std::string>& known) {
  std::vector<std::pair<size_t, std::string>> near;
  std::string wanted = snake_case(name);
  for (const std::string& candidate : known) {
    size_t distance = edit_distance(wanted, candidate);
    bool part = wanted.size() >= 4 && candidate.find(wanted) != std::string::npos;
    if (part || 3 * distance <= std::max(wanted.size(), candidate.size())) near.emplace_back(distance, candidate);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min<size_t>(near.size(), 3); ++i) names.push_back(near[i].second);
  return names;
}

std::string near_names_hint(std::string_view name, const std::vector<std::string>& known) {
  std::vector<std::string> near = near_names(name, known);
  std::string list;
  for (const std::string& candidate : near.empty() ? known : near)
    list += (list.empty() ? "" : near.empty() ? ", " : " or ") + ("'" + candidate + "'");
  return near.empty() ? "use one of " + list : "did you mean " + list + "?";
}

std::string loss_op_for(std::string_view keras_name) {
  std::string name = snake_case(keras_name);
  if (auto alias = loss_aliases.find(name); alias != loss_aliases.end()) name = alias->second;
  const Op* op = find_op(name);
  if (!op || op->family != OpFamily::loss) unknown("loss", keras_name, ops_of(OpFamily::loss));
  return name;
}

std::string metric_op_for(std::string_view keras_name, const Type& y_true, const Type& y_pred) {
  std::string name = snake_case(keras_name);
  if (name == "accuracy" || name == "acc") {
    const Shape& target = y_true.shape;
    const Shape& prediction = y_pred.shape;
    bool one_column = !prediction.empty() && prediction.back().is_constant(1);
    bool no_class_axis = target.size() < prediction.size() || (!target.empty() && target.back().is_constant(1));
    if (one_column) return "metric_accuracy_binary";
    return no_class_axis ? "metric_accuracy_sparse_categorical" : "metric_accuracy_categorical";
  }
  if (auto alias = loss_aliases.find(name); alias != loss_aliases.end()) name = alias->second;
  if (auto alias = metric_aliases.find(name); alias != metric_aliases.end()) return alias->second;
  std::string prefixed = name.rfind("metric_", 0) == 0 ? name : "metric_" + name;
  const Op* op = find_op(prefixed);
  if (op && op->family == OpFamily::metric && !ends_with(prefixed, "_result")) return prefixed;
  std::vector<std::string> known = {"accuracy"};
  for (const auto& [alias, target] : metric_aliases) known.push_back(alias);
  for (const std::string& loss : ops_of(OpFamily::loss)) known.push_back(loss);
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  unknown("metric", keras_name, known);
}

std::string optimizer_op_for(std::string_view keras_name) {
  // "AdamW" and "RMSprop" are one word each in Moru.
  std::string name;
  for (char c : keras_name)
    if (c != '_') name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const Op* op = find_op(name + "_update");
  if (op && op->family == OpFamily::optimizer) return name + "_update";
  std::vector<std::string> known = ops_of(OpFamily::optimizer);
  for (std::string& candidate : known) candidate.resize(candidate.size() - std::string_view("_update").size());
  unknown("optimizer", keras_name, known);
}

namespace {

// The op of the family whose name is the same but for case and underscores.
std::string op_of_family(std::string_view keras_name, OpFamily family) {
  auto plain = [](std::string_view name) {
    std::string text;
    for (char c : name)
      if (c != '_') text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  };
  for (const Op& op : all_ops())
    if (op.family == family && plain(op.name) == plain(keras_name)) return std::string(op.name);
  unknown(op_family_name(family), keras_name, ops_of(family));
}

}  // namespace

std::string schedule_op_for(std::string_view keras_name) { return op_of_family(keras_name, OpFamily::schedule); }
std::string constraint_op_for(std::string_view keras_name) { return op_of_family(keras_name, OpFamily::constraint); }
std::string regularizer_op_for(std::string_view keras_name) { return op_of_family(keras_name, OpFamily::regularizer); }

std::string activation_op_for(std::string_view keras_name) {
  std::string name = snake_case(keras_name);
  if (auto alias = activation_aliases.find(name); alias != activation_aliases.end()) name = alias->second;
  if (is_activation(find_op(name))) return name;
  std::vector<std::string> known;
  for (const Op& op : all_ops())
    if (is_activation(&op)) known.emplace_back(op.name);
  unknown("activation", keras_name, known);
}

}  // namespace moru
