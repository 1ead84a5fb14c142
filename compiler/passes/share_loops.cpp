#include "compiler/passes/share_loops.h"

#include <algorithm>

#include "compiler/ir/likely_batch.h"
#include "compiler/ir/substitution.h"

namespace moru {

namespace {

int64_t nominal(const Dim& dim) {
  return dim.evaluate([](std::string_view name) { return name == "workers" ? int64_t{1} : small_batch; });
}

class Sharer {
 public:
  void run(Block& block) {
    for (Statement& statement : block) {
      if (For* loop = std::get_if<For>(&statement.node)) {
        if (loop->kind == ForKind::vector && nominal(loop->extent) > shared_elements) statement = share(std::move(*loop), statement.origin);
      } else if (Transpose* transpose = std::get_if<Transpose>(&statement.node)) {
        const int64_t rows = nominal(transpose->rows), columns = nominal(transpose->columns);
        // Whole cache lines of the result, and at least two pieces.
        const int64_t piece = std::max<int64_t>(1, shared_elements / std::max<int64_t>(1, columns) / 16) * 16;
        if (rows * columns > shared_elements && rows > piece) statement = share(std::move(*transpose), piece, statement.origin);
      }
    }
  }

 private:
  int next_ = 0;

  std::string fresh() { return "piece" + std::to_string(next_++); }

  static Statement over_pieces(std::string var, const Dim& extent, int64_t piece, Statement part, const std::string& origin) {
    For loop{std::move(var), ceil_div(extent, Dim(piece)), ForKind::parallel, {}};
    loop.body.push_back(std::move(part));
    return {std::move(loop), origin};
  }

  Statement share(For loop, const std::string& origin) {
    const std::string var = fresh();
    const Dim first = Dim::symbol(var) * shared_elements, extent = loop.extent;
    Substitution(loop.var, Dim::symbol(loop.var) + first).apply(loop.body);
    loop.extent = min(Dim(shared_elements), extent - first);
    return over_pieces(var, extent, shared_elements, {std::move(loop), origin}, origin);
  }

  Statement share(Transpose transpose, int64_t piece, const std::string& origin) {
    const std::string var = fresh();
    const Dim first = Dim::symbol(var) * piece, rows = transpose.rows;
    transpose.from.offset += first * transpose.from_stride;
    transpose.to.offset += first;
    transpose.rows = min(Dim(piece), rows - first);
    return over_pieces(var, rows, piece, {std::move(transpose), origin}, origin);
  }
};

}  // namespace

void share_loops(Kernel& kernel) { Sharer().run(kernel.body); }

}  // namespace moru
