#include "compiler/passes/carry_sums.h"

#include "compiler/ir/substitution.h"

namespace moru {

Dim count_sums(const Contraction& c) {
  Dim count = 1;
  for (const auto* axes : {&c.rows, &c.columns})
    for (const ContractionAxis& axis : *axes) count *= axis.extent;
  return count;
}

CarriedSums carry_sums(const Contraction& c, const Buffer& buffer, BufferId sums, const Dim& base,
                       const std::string& origin) {
  std::vector<ContractionAxis> axes = c.rows;
  axes.insert(axes.end(), c.columns.begin(), c.columns.end());
  Dim place = 0;
  for (const ContractionAxis& axis : axes) place = place * axis.extent + Dim::symbol(axis.var);
  const Access here{sums, place + base, nullptr};
  const Expr so_far = expr::load(buffer, sums, here.offset);

  CarriedSums result{{}, c, c};
  result.start.push_back({Store{here, c.init ? c.init : expr::constant(0.0, c.type), false}, origin});
  for (size_t i = axes.size(); i-- > 0;) {
    const ForKind kind = i + 1 == axes.size() ? ForKind::vector : ForKind::serial;
    For loop{axes[i].var, axes[i].extent, kind, std::move(result.start)};
    result.start = {};
    result.start.push_back({std::move(loop), origin});
  }
  result.part.init = result.end.init = so_far;
  result.part.epilogue = {Store{here, expr::accumulator(c.type), false}};
  result.part.depth.erase(result.part.depth.begin());
  // Nothing is multiplied at the end; the operands only have to be there.
  result.end.depth = {{c.depth[0].var, Dim(0)}};
  result.end.a = {sums, base, nullptr};
  result.end.b = here;
  for (const ContractionAxis& axis : c.rows) Substitution(axis.var, 0).apply(result.end.b);
  return result;
}

}  // namespace moru
