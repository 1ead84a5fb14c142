#include "compiler/exchange/equal_sizes.h"

#include <algorithm>

namespace moru {

Dim EqualSizes::size_of(const std::string& symbol) {
  if (const auto found = found_.find(symbol); found != found_.end()) return found->second;
  if (std::ranges::find(symbols_, symbol) == symbols_.end()) symbols_.push_back(symbol);
  return Dim::symbol(symbol);
}

std::vector<std::string>::const_iterator EqualSizes::place_of(const Dim& dim) const {
  const auto symbol = dim.as_symbol();
  return symbol && !found_.contains(*symbol) ? std::ranges::find(symbols_, *symbol) : symbols_.end();
}

// A symbol is replaced once, by a number or by one that was there before it: the search ends.
std::optional<EqualSizes::Lesson> EqualSizes::find_lesson(const CompileError& error) const {
  if (!error.parts().unequal) return std::nullopt;
  const Dim a = Dim::parse(error.parts().unequal->first), b = Dim::parse(error.parts().unequal->second);
  for (const auto& [size, value] : {std::pair{a, b}, std::pair{b, a}}) {
    const auto place = place_of(size);
    if (place == symbols_.end()) continue;
    if (value.is_constant() ? value.constant() >= 1 : place_of(value) < place) return Lesson{*place, value};
  }
  return std::nullopt;
}

bool EqualSizes::learn(const CompileError& error) {
  const std::optional<Lesson> lesson = find_lesson(error);
  if (!lesson) return false;
  for (auto& [name, known] : found_) known = known.substitute(lesson->symbol, lesson->value);
  found_.emplace(lesson->symbol, lesson->value);
  return true;
}

bool EqualSizes::covers(const Dim& dim) const {
  std::vector<std::string> names;
  dim.collect_symbols(names);
  return std::ranges::all_of(names, [&](const std::string& name) { return std::ranges::find(symbols_, name) != symbols_.end(); });
}

}  // namespace moru
