#include "runtime/training/history.h"

#include <algorithm>

#include "runtime/training/json_writer.h"

namespace moru {

void History::append(std::string_view name, double value) {
  for (SavedSeries& s : series) {
    if (s.name == name) {
      s.values.push_back(value);
      return;
    }
  }
  series.push_back({std::string(name), {value}});
}

const std::vector<double>* History::find(std::string_view name) const {
  for (const SavedSeries& s : series) {
    if (s.name == name) return &s.values;
  }
  return nullptr;
}

const double* History::newest(std::string_view name) const {
  const std::vector<double>* values = find(name);
  return values == nullptr || values->empty() ? nullptr : &values->back();
}

size_t History::epochs() const {
  size_t longest = 0;
  for (const SavedSeries& s : series) longest = std::max(longest, s.values.size());
  return longest;
}

std::string History::to_json() const {
  JsonWriter json;
  json.begin_object();
  for (const SavedSeries& s : series) json.key(s.name).numbers(s.values);
  json.end_object();
  return json.finish();
}

std::string History::to_csv() const {
  std::string out = "epoch";
  for (const SavedSeries& s : series) out += "," + s.name;
  out += "\n";
  for (size_t epoch = 0; epoch < epochs(); ++epoch) {
    out += std::to_string(epoch);
    for (const SavedSeries& s : series) {
      out += ",";
      if (epoch < s.values.size()) out += json_number(s.values[epoch]);
    }
    out += "\n";
  }
  return out;
}

}  // namespace moru
