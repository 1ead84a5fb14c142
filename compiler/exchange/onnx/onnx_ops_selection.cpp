// ONNX operators whose results have as many elements as the data say. They are computed while importing, from inputs
// that are known then: constants, or what `moru run` was given.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

Known integers_known(Integers numbers, Integers shape) {
  auto value = std::make_shared<KnownValue>();
  value->dtype = DType::i64;
  value->shape = std::move(shape);
  value->dims.assign(numbers.begin(), numbers.end());
  return value;
}

Known numbers_of(OnnxNode& n, size_t input) {
  Known value = n.need(input);
  if (value->is_symbolic()) n.fail("needs numbers as its input " + std::to_string(input + 1));
  return value;
}

void non_zero(OnnxNode& n) {
  const Known x = numbers_of(n, 0);
  const size_t rank = x->shape.size();
  std::vector<Integers> places(rank);
  int64_t count = 0;
  for (size_t i = 0; i < x->elements(); ++i) {
    if (x->number(i) == 0.0) continue;
    ++count;
    auto rest = static_cast<int64_t>(i);
    for (size_t axis = rank; axis-- > 0; rest /= x->shape[axis]) places[axis].push_back(rest % x->shape[axis]);
  }
  Integers all;
  for (const Integers& axis : places) all.insert(all.end(), axis.begin(), axis.end());
  n.set_known(0, integers_known(std::move(all), {static_cast<int64_t>(rank), count}));
}

// Of a tensor's slices along an axis (or of its elements) each different one once.
void unique(OnnxNode& n) {
  const Known x = numbers_of(n, 0);
  const bool flat = !n.has("axis");
  Integers shape = flat ? Integers{static_cast<int64_t>(x->elements())} : x->shape;
  const auto axis = static_cast<size_t>(flat ? 0 : n.axis(n.integer("axis"), shape.size()));
  const auto outer = element_count(std::span(shape).first(axis)),
             inner = element_count(std::span(shape).subspan(axis + 1));
  const int64_t count = shape[axis];
  auto element = [&](int64_t slice, int64_t k) {
    return static_cast<size_t>((k / inner * count + slice) * inner + k % inner);
  };
  const int64_t width = outer * inner;
  auto before = [&](int64_t a, int64_t b) {
    for (int64_t k = 0; k < width; ++k) {
      const size_t i = element(a, k), j = element(b, k);
      if (is_float(x->dtype)) {
        const bool a_nan = std::isnan(x->reals[i]), b_nan = std::isnan(x->reals[j]);  // behind every number
        if (a_nan != b_nan) return b_nan;
        if (!a_nan && x->reals[i] != x->reals[j]) return x->reals[i] < x->reals[j];
      } else if (x->dims[i] != x->dims[j]) {
        return x->dims[i].constant() < x->dims[j].constant();
      }
    }
    return false;
  };
  Integers order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), before);
  std::vector<Integers> groups;  // slices that are equal, the first one first
  for (int64_t slice : order) {
    if (groups.empty() || before(groups.back()[0], slice)) groups.emplace_back();
    groups.back().push_back(slice);
  }
  if (n.integer("sorted", 1) == 0)
    std::sort(groups.begin(), groups.end(), [](const Integers& a, const Integers& b) { return a[0] < b[0]; });
  Integers first, counts, inverse(static_cast<size_t>(count));
  for (size_t g = 0; g < groups.size(); ++g) {
    first.push_back(groups[g][0]);
    counts.push_back(static_cast<int64_t>(groups[g].size()));
    for (int64_t slice : groups[g]) inverse[static_cast<size_t>(slice)] = static_cast<int64_t>(g);
  }
  const auto kept = static_cast<int64_t>(groups.size());
  auto y = std::make_shared<KnownValue>();
  y->dtype = x->dtype;
  y->narrow = n.dtype(0).narrow;
  y->shape = shape;
  y->shape[axis] = kept;
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t slice : first)
      for (int64_t k = 0; k < inner; ++k) {
        const size_t i = element(slice, o * inner + k);
        if (is_float(x->dtype))
          y->reals.push_back(x->reals[i]);
        else
          y->dims.push_back(x->dims[i]);
      }
  n.set_known(0, y);
  n.set_known(1, integers_known(first, {kept}));
  n.set_known(2, integers_known(inverse, {count}));
  n.set_known(3, integers_known(counts, {kept}));
}

struct Box {
  double y0, x0, y1, x1;
  double area() const { return (y1 - y0) * (x1 - x0); }
};

double overlap(const Box& a, const Box& b) {
  const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0),
               width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  if (height <= 0.0 || width <= 0.0) return 0.0;
  const double both = height * width;
  return both / (a.area() + b.area() - both);
}

// Boxes in order of their scores, without those that overlap one that was taken before.
void non_max_suppression(OnnxNode& n) {
  const Known boxes = numbers_of(n, 0), scores = numbers_of(n, 1);
  if (boxes->shape.size() != 3 || scores->shape.size() != 3 || boxes->shape[2] != 4 ||
      boxes->shape[1] != scores->shape[2] || boxes->shape[0] != scores->shape[0])
    n.fail("needs boxes [batch, count, 4] and scores [batch, classes, count]");
  const int64_t batch = scores->shape[0], classes = scores->shape[1], count = scores->shape[2];
  const double most = n.has_input(2) ? n.need_number(2) : 0.0;
  const double limit = n.has_input(3) ? n.need_number(3) : 0.0;
  const bool center = n.integer("center_point_box", 0) != 0;
  auto box = [&](int64_t sample, int64_t i) -> Box {
    const auto at = static_cast<size_t>((sample * count + i) * 4);
    const double a = boxes->number(at), b = boxes->number(at + 1), c = boxes->number(at + 2), d = boxes->number(at + 3);
    if (center) return {b - d / 2.0, a - c / 2.0, b + d / 2.0, a + c / 2.0};
    return {std::min(a, c), std::min(b, d), std::max(a, c), std::max(b, d)};
  };
  Integers selected;
  for (int64_t sample = 0; sample < batch; ++sample)
    for (int64_t kind = 0; kind < classes; ++kind) {
      auto score = [&](int64_t i) {
        return scores->number(static_cast<size_t>((sample * classes + kind) * count + i));
      };
      Integers order;
      for (int64_t i = 0; i < count; ++i)
        if (!n.has_input(4) || score(i) > n.need_number(4)) order.push_back(i);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return score(a) > score(b); });
      std::vector<Box> taken;
      for (int64_t i : order) {
        if (static_cast<double>(taken.size()) >= most) break;
        const Box here = box(sample, i);
        if (std::any_of(taken.begin(), taken.end(), [&](const Box& other) { return overlap(here, other) > limit; }))
          continue;
        taken.push_back(here);
        selected.insert(selected.end(), {sample, kind, i});
      }
    }
  const auto rows = static_cast<int64_t>(selected.size() / 3);
  n.set_known(0, integers_known(std::move(selected), {rows, 3}));
}

constexpr OnnxOp ops[] = {
    {"NonZero", 1, non_zero}, {"Unique", 1, unique}, {"NonMaxSuppression", 1, non_max_suppression}};

}  // namespace

std::span<const OnnxOp> onnx_selection_ops() { return ops; }

}  // namespace moru
