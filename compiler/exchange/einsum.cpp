#include "compiler/exchange/einsum.h"

#include <algorithm>
#include <map>

#include "compiler/exchange/formulas.h"

namespace moru {

namespace {

// One operand with each label once: repeated labels are its diagonal.
Value without_repeats(Value x, std::string& labels) {
  Builder& b = *x.builder;
  for (size_t i = 0; i < labels.size(); ++i) {
    const size_t j = labels.find(labels[i], i + 1);
    if (j == std::string::npos) continue;
    const Value diagonal =
        b.call("equal", {iota(b, only_axis(x.shape(), static_cast<int64_t>(i)), static_cast<int64_t>(i)),
                         iota(b, only_axis(x.shape(), static_cast<int64_t>(j)), static_cast<int64_t>(j))});
    x = b.reduce("reduce_sum", b.select(diagonal, x, b.constant(0.0, x.type().dtype)), {static_cast<int64_t>(j)});
    labels.erase(j, 1);
    --i;
  }
  return x;
}

Value summed(Value x, std::string& labels, const std::string& kept) {
  std::vector<int64_t> axes;
  std::string left;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (kept.find(labels[i]) == std::string::npos)
      axes.push_back(static_cast<int64_t>(i));
    else
      left += labels[i];
  }
  labels = left;
  return x.builder->reduce("reduce_sum", x, axes);
}

}  // namespace

Value einsum(std::vector<Value> operands, std::string equation, const std::function<void(std::string)>& fail) {
  if (operands.empty()) fail("'" + equation + "' has nothing to multiply");
  Builder& b = *operands[0].builder;
  std::erase(equation, ' ');
  const size_t arrow = equation.find("->");
  std::vector<std::string> terms(1);
  for (char c : equation.substr(0, arrow)) {
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  if (terms.size() != operands.size())
    fail("'" + equation + "' has " + std::to_string(terms.size()) + " operands but got " + std::to_string(operands.size()));
  // What '...' stands for: letters of its own, aligned at the right.
  std::string spare;
  for (char c = 'Z'; c >= 'A'; --c)
    if (equation.find(c) == std::string::npos) spare += c;
  size_t most = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    const size_t dots = terms[i].find("...");
    if (dots == std::string::npos) continue;
    const size_t named = terms[i].size() - 3;
    if (named > operands[i].rank() || operands[i].rank() - named > spare.size())
      fail("'" + equation + "' does not fit " + shape_text(operands[i].shape()));
    const size_t count = operands[i].rank() - named;
    std::string letters;
    for (size_t k = 0; k < count; ++k) letters += spare[count - 1 - k];
    terms[i].replace(dots, 3, letters);
    most = std::max(most, count);
  }
  std::string ellipsis;
  for (size_t k = 0; k < most; ++k) ellipsis += spare[most - 1 - k];
  std::string result;
  if (arrow != std::string::npos) {
    result = equation.substr(arrow + 2);
    if (const size_t dots = result.find("..."); dots != std::string::npos) result.replace(dots, 3, ellipsis);
  } else {  // labels that appear once, in order of the alphabet
    std::map<char, int> count;
    for (const std::string& term : terms)
      for (char c : term)
        if (ellipsis.find(c) == std::string::npos) ++count[c];
    result = ellipsis;
    for (const auto& [c, times] : count)
      if (times == 1) result += c;
  }
  for (size_t i = 0; i < terms.size(); ++i) {
    if (terms[i].size() != operands[i].rank())
      fail("'" + terms[i] + "' does not fit " + shape_text(operands[i].shape()));
    operands[i] = without_repeats(operands[i], terms[i]);
  }
  const DType dtype = operands[0].type().dtype, computed = is_float(dtype) ? dtype : DType::f64;
  Value y = b.cast(operands[0], computed);
  std::string labels = terms[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    Value x = b.cast(operands[i], computed);
    std::string later = result;
    for (size_t k = i + 1; k < operands.size(); ++k) later += terms[k];
    y = summed(y, labels, later + terms[i]);
    x = summed(x, terms[i], later + labels);
    // Extents of 1 that meet others (they stand for '...') are left out of their operand.
    auto drop_units = [&](Value& from, std::string& own, const Value& other, const std::string& other_labels) {
      Shape shape;
      std::string kept;
      for (size_t k = 0; k < own.size(); ++k) {
        const size_t at = other_labels.find(own[k]);
        if (at != std::string::npos && from.shape()[k].is_constant(1) && !other.shape()[at].is_constant(1)) continue;
        shape.push_back(from.shape()[k]);
        kept += own[k];
      }
      from = b.reshape(from, shape);
      own = kept;
    };
    drop_units(y, labels, x, terms[i]);
    drop_units(x, terms[i], y, labels);
    std::string joined;
    for (char c : labels + terms[i])
      if (later.find(c) != std::string::npos && joined.find(c) == std::string::npos) joined += c;
    y = b.contract(y, x, labels + "," + terms[i] + "->" + joined);
    labels = joined;
  }
  y = summed(y, labels, result);
  std::vector<int64_t> permutation;
  for (char c : result) {
    const size_t at = labels.find(c);
    if (at == std::string::npos)
      fail(std::string("'") + c + "' of the result is in no operand of '" + equation + "'");
    permutation.push_back(static_cast<int64_t>(at));
  }
  return b.cast(b.transpose(y, permutation), dtype);
}

}  // namespace moru
