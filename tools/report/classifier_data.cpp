#include "tools/report/classifier_data.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tools/report/class_statistics.h"
#include "tools/report/report_text.h"

namespace moru {

using Json = nlohmann::ordered_json;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Json curve_json(const RankingCurve& curve) {
  Json roc = Json::array(), pr = Json::array();
  for (const CurvePoint& point : thin_out(curve.points, 400)) {
    roc.push_back({rounded(point.false_positive_rate), rounded(point.true_positive_rate), rounded(point.threshold)});
    pr.push_back({rounded(point.true_positive_rate), rounded(point.precision), rounded(point.threshold)});
  }
  const int64_t all = curve.positives + curve.negatives;
  return {{"roc", std::move(roc)},
          {"pr", std::move(pr)},
          {"roc_auc", rounded(curve.roc_auc)},
          {"average_precision", rounded(curve.average_precision)},
          {"share", rounded(all > 0 ? static_cast<double>(curve.positives) / static_cast<double>(all) : nan)}};
}

}  // namespace

Json classifier_data(const Json& output) {
  const auto names = output.at("classes").get<std::vector<std::string>>();
  const auto actual = output.at("actual").get<std::vector<int64_t>>();
  const std::vector<double> probabilities = numbers_of(output.at("probabilities"));
  const std::size_t classes = names.size();
  std::vector<int64_t> predicted;
  double log_loss = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto row = std::span(probabilities).subspan(i * classes, classes);
    predicted.push_back(std::max_element(row.begin(), row.end()) - row.begin());
    log_loss -= std::log(std::max(row[static_cast<std::size_t>(actual[i])], 1e-15));
  }
  const ConfusionMatrix matrix = confusion_matrix(actual, predicted, classes);
  Json json = {{"name", output.at("name")}, {"classes", names}, {"samples", actual.size()}};
  json["accuracy"] = rounded(accuracy(matrix));
  json["log_loss"] = rounded(log_loss / static_cast<double>(std::max<std::size_t>(actual.size(), 1)));
  json["confusion"] = Json::array();
  json["scores"] = Json::array();
  json["curves"] = Json::array();
  const std::vector<ClassScores> scores = class_scores(matrix);
  std::size_t most = 0;
  for (std::size_t k = 0; k < classes; ++k) {
    Json row = Json::array();
    for (std::size_t p = 0; p < classes; ++p) row.push_back(matrix.at(k, p));
    json["confusion"].push_back(std::move(row));
    json["scores"].push_back({{"class", names[k]},
                              {"precision", rounded(scores[k].precision)},
                              {"recall", rounded(scores[k].recall)},
                              {"f1", rounded(scores[k].f1)},
                              {"support", scores[k].support}});
    if (scores[k].support > scores[most].support) most = k;
    if (classes == 2 && k == 0) continue;
    std::vector<double> of_class;
    std::vector<uint8_t> is_class;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      of_class.push_back(probabilities[i * classes + k]);
      is_class.push_back(actual[i] == static_cast<int64_t>(k) ? 1 : 0);
    }
    Json curve = curve_json(ranking_curve(of_class, is_class));
    curve["class"] = names[k];
    json["scores"].back()["roc_auc"] = curve["roc_auc"];
    json["scores"].back()["average_precision"] = curve["average_precision"];
    json["curves"].push_back(std::move(curve));
  }
  json["majority"] = {{"class", names[most]},
                      {"accuracy", rounded(static_cast<double>(scores[most].support) /
                                           static_cast<double>(std::max<std::size_t>(actual.size(), 1)))}};
  return json;
}

}  // namespace moru
