#include "compiler/passes/block_contractions.h"

#include <algorithm>
#include <functional>
#include <set>

#include "compiler/ir/accesses.h"
#include "compiler/ir/likely_batch.h"
#include "compiler/ir/substitution.h"
#include "compiler/passes/carry_sums.h"

namespace moru {

namespace {

constexpr int64_t panel_columns = 64;
// Copying an element of b costs about as much as one multiply-add of a vector: with this many rows a few per cent.
constexpr int64_t least_rows = 48;
constexpr int64_t row_unit = 8;     // blocks of rows are a multiple of the usual tiles' heights
constexpr int64_t strip_rows = 16;  // a few tiles: their results are written while they are near
// Multiply-adds that are worth a join of threads: some 8 us of one.
constexpr int64_t parallel_work = int64_t{1} << 20;
constexpr int64_t least_depth = 64;  // beside which reading and writing a tile's sums costs little
constexpr int64_t deepest = 1024;  // depth of a panel: 256 KiB
constexpr int64_t far_apart = 4096;  // bytes: rows at this distance fall into the same sets, and each in a page of its own

// What a symbol is likely to be, for choosing between schedules only; loops are in their first iteration.
int64_t nominal(const Dim& dim, const std::vector<std::string>& variables) {
  return std::max<int64_t>(1, dim.evaluate([&](std::string_view name) -> int64_t {
    if (name == "worker" || std::find(variables.begin(), variables.end(), name) != variables.end()) return 0;
    return name == "workers" ? 1 : likely_batch;
  }));
}

class Blocker {
 public:
  Blocker(Kernel& kernel, int64_t l2_bytes) : kernel_(kernel), l2_bytes_(l2_bytes), accesses_(count_accesses(kernel)) {}

  void run(Block& block) {
    Block out;
    for (Statement& statement : block) {
      if (For* loop = std::get_if<For>(&statement.node)) {
        const bool outside = !in_parallel_;
        in_parallel_ |= loop->kind == ForKind::parallel;
        variables_.push_back(loop->var);
        run(loop->body);
        variables_.pop_back();
        if (outside) in_parallel_ = false;
      } else if (const Contraction* contraction = std::get_if<Contraction>(&statement.node)) {
        copies_ = !is_packed(*contraction);
        if (blocks(*contraction)) {
          const std::optional<Statement> transpose = take_transpose(*contraction, out);
          split_by_rows(*contraction, transpose, statement.origin, out);
          continue;
        }
        if (streams_results(*contraction)) {
          cut_rows(*contraction, strip_rows, kind_of_loop(*contraction), statement.origin, out,
                   [&](const Contraction& strip, Block& body) { body.push_back({strip, statement.origin}); });
          continue;
        }
        if (streams_operands(*contraction)) {
          cut_depth(*contraction, statement.origin, out);
          continue;
        }
      }
      out.push_back(std::move(statement));
    }
    block = std::move(out);
  }

 private:
  Kernel& kernel_;
  const int64_t l2_bytes_;
  std::vector<int> accesses_;  // by buffer, before anything was cut
  std::vector<std::string> variables_;
  bool in_parallel_ = false;
  bool copies_ = true;  // panels are copied
  const Transpose* source_ = nullptr;  // of the contraction's b, where panels are transposed rather than copied
  int next_ = 0;

  std::string fresh(const char* stem) { return std::string(stem) + std::to_string(next_++); }
  int64_t size(const Dim& dim) const { return nominal(dim, variables_); }

  int64_t operand_bytes(const Contraction& c) const { return dtype_bytes(kernel_.buffers[c.b.buffer].dtype); }

  int64_t size(const std::vector<ContractionAxis>& axes) const {
    int64_t product = 1;
    for (const ContractionAxis& axis : axes) product *= size(axis.extent);
    return product;
  }

  // Panels and strips write columns and rows of their own, so threads can share them.
  ForKind kind_of_loop(const Contraction& c) const {
    const bool is_large = size(c.rows) * size(c.columns) * size(c.depth) >= parallel_work;
    return is_large && !in_parallel_ ? ForKind::parallel : ForKind::serial;
  }

  // b lies in panels already, one piece each: its last axis of columns runs within a panel, the one before over panels.
  bool is_packed(const Contraction& c) const {
    if (c.columns.size() < 2 || c.depth.empty()) return false;
    const std::optional<Dim> pitch = c.b.offset.coefficient(c.depth.back().var);
    return pitch && *pitch == c.columns.back().extent && c.columns.back().extent.is_constant() &&
           c.columns.back().extent.constant() % 16 == 0 && c.columns.back().extent.constant() <= panel_columns;
  }

  bool blocks(const Contraction& c) const {
    if (c.columns.empty() || c.rows.empty() || c.depth.empty() || c.b.dynamic || c.type != DType::f32) return false;
    const ContractionAxis& column = c.columns.back();
    const std::optional<Dim> along = c.b.offset.coefficient(column.var);
    if (!along || !along->is_constant(1) || !column.extent.is_constant()) return false;
    const int64_t columns = column.extent.constant(), depth = size(c.depth);
    if (columns < panel_columns || size(c.rows) < least_rows) return false;
    const std::optional<Dim> pitch = c.b.offset.coefficient(c.depth.back().var);
    if (!pitch) return false;
    if (!copies_) {
      const int64_t work = size(c.rows) * size(c.columns) * depth;
      return (work >= parallel_work && !in_parallel_) || size(c.rows) * depth * operand_bytes(c) > l2_bytes_ * 2;
    }
    const int64_t bytes = operand_bytes(c), pitch_bytes = size(*pitch) * bytes;
    if (pitch_bytes <= panel_columns * bytes) return false;  // it lies in one piece already
    return depth * columns * bytes > l2_bytes_ / 2 ||
           (pitch_bytes % far_apart == 0 && depth * panel_columns * bytes > l2_bytes_ / 16);
  }

  // Results that go past the caches while b stays in them: weights, their gradients and an optimizer's state.
  bool streams_results(const Contraction& c) const {
    if (c.columns.size() != 1 || c.rows.empty() || c.depth.empty() || c.type != DType::f32) return false;
    const int64_t columns = size(c.columns), rows = size(c.rows);
    if (!c.columns[0].extent.is_constant() || rows <= 2 * strip_rows) return false;
    std::set<BufferId> streams;
    for (const Store& store : c.epilogue) {
      const std::optional<Dim> along = store.access.offset.coefficient(c.columns[0].var);
      if (along && along->is_constant(1)) streams.insert(store.access.buffer);
    }
    return rows * columns * 4 * static_cast<int64_t>(streams.size()) > l2_bytes_ &&
           columns * size(c.depth) * operand_bytes(c) <= l2_bytes_ / 2;
  }

  // Few results of a depth with several axes, as gradients of a convolution's kernel are: both operands go past the caches
  // once for every tile of rows, unless the outermost axis of the depth is cut off.
  bool streams_operands(const Contraction& c) const {
    if (c.depth.size() < 2 || c.rows.empty() || c.columns.empty() || c.type != DType::f32) return false;
    const int64_t inner_depth = size(c.depth) / size(c.depth[0].extent), columns = size(c.columns);
    const int64_t results = size(c.rows) * columns;
    const int64_t bytes = operand_bytes(c);
    return size(c.depth[0].extent) > 1 && inner_depth >= least_depth && results * 4 <= l2_bytes_ / 4 &&
           results * 4 + inner_depth * columns * bytes <= l2_bytes_ / 2 && size(c.depth) * columns * bytes > l2_bytes_ / 2;
  }

  /// A loop over the outermost axis of the depth, which carries the sums in memory. Each stays one chain of multiply-adds.
  void cut_depth(const Contraction& c, const std::string& origin, Block& out) {
    const BufferId sums = add_buffer(count_sums(c));
    CarriedSums carried = carry_sums(c, kernel_.buffers[sums], sums, base_, origin);
    for (Statement& statement : carried.start) out.push_back(std::move(statement));
    For loop{c.depth[0].var, c.depth[0].extent, ForKind::serial, {}};
    loop.body.push_back({std::move(carried.part), origin});
    out.push_back({std::move(loop), origin});
    out.push_back({std::move(carried.end), origin});
  }

  // The statement that made b as a transposed copy for this contraction alone, out of the block before it.
  std::optional<Statement> take_transpose(const Contraction& c, Block& before) const {
    if (c.columns.size() != 1 || c.depth.size() != 1 || accesses_[c.b.buffer] != 2) return std::nullopt;
    const Dim place = c.b.offset;
    for (size_t i = before.size(); i-- > 0;) {
      const Transpose* t = std::get_if<Transpose>(&before[i].node);
      if (!t || t->to.buffer != c.b.buffer) continue;
      const Dim wanted = t->to.offset + Dim::symbol(c.columns[0].var) + Dim::symbol(c.depth[0].var) * t->to_stride;
      if (place != wanted || t->rows != c.columns[0].extent || t->columns != c.depth[0].extent) return std::nullopt;
      bool is_overwritten = false;
      AccessVisitor visitor([&](const Access& access, AccessKind kind) {
        is_overwritten |= kind != AccessKind::read && access.buffer == t->from.buffer;
      });
      for (size_t later = i + 1; later < before.size(); ++later) visitor(before[later]);
      if (is_overwritten) return std::nullopt;
      Statement taken = std::move(before[i]);
      before.erase(before.begin() + static_cast<std::ptrdiff_t>(i));
      return taken;
    }
    return std::nullopt;
  }

  void split_by_rows(const Contraction& c, const std::optional<Statement>& transpose, const std::string& origin, Block& out) {
    source_ = transpose ? &std::get<Transpose>(transpose->node) : nullptr;
    Dim rows = 1;
    for (const ContractionAxis& axis : c.rows) rows *= axis.extent;
    if (rows.is_constant()) {
      row_blocks(c, origin, out);
      return;
    }
    const Dim is_large = min(Dim(1), floor_div(rows, least_rows));
    Block blocked, plain;
    row_blocks(c, origin, blocked);
    if (transpose) plain.push_back(*transpose);
    plain.push_back({c, origin});
    out.push_back({For{fresh("large"), is_large, ForKind::serial, std::move(blocked)}, origin});
    out.push_back({For{fresh("small"), Dim(1) - is_large, ForKind::serial, std::move(plain)}, origin});
  }

  // The longest axis of the rows is cut, so that a block's part of a stays in the second cache beside a panel. Where panels
  // are copied, or come from far, it is twice that cache, so that this happens less often.
  void row_blocks(const Contraction& c, const std::string& origin, Block& out) {
    const Dim extent = c.rows[longest_row_axis(c)].extent;
    const int64_t depth = std::min(size(c.depth), c.depth.size() == 1 && c.rows.size() == 1 ? deepest : INT64_MAX);
    const int64_t bytes_per_row = depth * size(c.rows) / size(extent) * operand_bytes(c);
    const int64_t panel_bytes = depth * panel_columns * operand_bytes(c);
    const bool reads_b_often = !copies_ && size(c.columns) * size(c.depth) * operand_bytes(c) <= l2_bytes_ * 8;
    const int64_t most_bytes = reads_b_often ? l2_bytes_ * 3 / 4 - panel_bytes : l2_bytes_ * 2;
    const int64_t most = std::max<int64_t>(most_bytes / bytes_per_row, least_rows) / row_unit * row_unit;
    if (extent.is_constant() && extent.constant() <= most) return depth_blocks(c, extent, origin, out);
    const Dim rows = extent.is_constant() ? min(Dim(most), extent) : Dim(most);
    cut_rows(c, most, ForKind::serial, origin, out,
             [&](const Contraction& block, Block& body) { depth_blocks(block, rows, origin, body); });
  }

  /// A panel of a great depth does not fit the cache: the sums are kept in memory between parts of the depth. Each stays
  /// one chain of multiply-adds.
  void depth_blocks(const Contraction& c, const Dim& most_rows, const std::string& origin, Block& out) {
    const bool is_deep = c.rows.size() == 1 && c.depth.size() == 1 && c.depth[0].extent.is_constant() &&
                         c.depth[0].extent.constant() > deepest;
    if (!is_deep || source_) return panels(c, origin, out);
    Dim columns = 1, place = 0;
    for (const ContractionAxis& axis : c.columns) {
      if (!axis.extent.is_constant()) return panels(c, origin, out);
      place = place * axis.extent + Dim::symbol(axis.var);
      columns *= axis.extent;
    }
    const int64_t depth = c.depth[0].extent.constant(), count = ceil_div(depth, deepest);
    const int64_t part_depth = ceil_div(ceil_div(depth, count), 16) * 16;
    Access sums{add_buffer(most_rows * columns), Dim::symbol(c.rows[0].var) * columns + place, nullptr};
    sums.offset += base_;
    const Expr so_far = expr::load(kernel_.buffers[sums.buffer], sums.buffer, sums.offset);
    for (int64_t first = 0; first < depth; first += part_depth) {
      Contraction part = c;
      const bool is_last = first + part_depth >= depth;
      if (first > 0) part.init = so_far;
      if (!is_last) part.epilogue = {Store{sums, expr::accumulator(DType::f32), false}};
      Substitution(c.depth[0].var, Dim::symbol(c.depth[0].var) + first).apply(part);
      part.depth[0].extent = std::min(part_depth, depth - first);
      panels(part, origin, out);
    }
  }

  size_t longest_row_axis(const Contraction& c) const {
    size_t longest = 0;
    for (size_t i = 1; i < c.rows.size(); ++i)
      if (size(c.rows[i].extent) > size(c.rows[longest].extent)) longest = i;
    return longest;
  }

  /// A loop over blocks of the longest axis of the rows, at most `most` long; of equal lengths where the axis is constant.
  void cut_rows(const Contraction& c, int64_t most, ForKind kind, const std::string& origin, Block& out,
                const std::function<void(const Contraction&, Block&)>& emit) {
    const size_t cut = longest_row_axis(c);
    const Dim extent = c.rows[cut].extent;
    if (extent.is_constant()) {
      const int64_t count = ceil_div(extent.constant(), most);
      most = ceil_div(ceil_div(extent.constant(), count), row_unit) * row_unit;
    }
    Contraction block = c;
    const std::string var = fresh("rows");
    Substitution(c.rows[cut].var, Dim::symbol(c.rows[cut].var) + Dim::symbol(var) * most).apply(block);
    const bool even = extent.is_constant() && extent.constant() % most == 0;
    block.rows[cut].extent = even ? Dim(most) : min(Dim(most), extent - Dim::symbol(var) * most);
    For loop{var, ceil_div(extent, Dim(most)), kind, {}};
    variables_.push_back(var);
    emit(block, loop.body);
    variables_.pop_back();
    out.push_back({std::move(loop), origin});
  }

  void panels(const Contraction& c, const std::string& origin, Block& out) {
    if (!copies_) {
      Contraction part = c;
      const ContractionAxis panel = part.columns[part.columns.size() - 2];
      part.columns.erase(part.columns.end() - 2);
      For loop{panel.var, panel.extent, kind_of_loop(c), {}};
      loop.body.push_back({std::move(part), origin});
      out.push_back({std::move(loop), origin});
      return;
    }
    const int64_t columns = c.columns.back().extent.constant(), whole = columns / panel_columns;
    Block inner;
    const std::string panel = fresh("panel");
    const ForKind kind = kind_of_loop(c);
    const bool outside = !in_parallel_;
    in_parallel_ |= kind == ForKind::parallel;
    one_panel(c, origin, panel_columns, Dim::symbol(panel) * panel_columns, inner);
    if (outside) in_parallel_ = false;
    Block statements;
    statements.push_back({For{panel, whole, kind, std::move(inner)}, origin});
    if (columns % panel_columns != 0) one_panel(c, origin, columns % panel_columns, whole * panel_columns, statements);
    // The axes of the columns before the last are loops around.
    for (size_t i = c.columns.size() - 1; i-- > 0;) {
      For loop{c.columns[i].var, c.columns[i].extent, ForKind::serial, std::move(statements)};
      statements = {};
      statements.push_back({std::move(loop), origin});
    }
    for (Statement& statement : statements) out.push_back(std::move(statement));
  }

  void one_panel(const Contraction& c, const std::string& origin, int64_t width, const Dim& first, Block& out) {
    Contraction part = c;
    const std::string column = c.columns.back().var;
    Substitution(column, Dim::symbol(column) + first).apply(part);
    part.columns = {{column, Dim(width)}};

    Dim depth = 1, place = 0;
    for (const ContractionAxis& axis : part.depth) {
      place = place * axis.extent + Dim::symbol(axis.var);
      depth *= axis.extent;
    }
    const Access packed{add_buffer(depth * width, kernel_.buffers[c.b.buffer].dtype), place * width + Dim::symbol(column) + base_, nullptr};
    if (source_) {
      Access from = source_->from;
      from.offset += first * source_->from_stride;
      Access to = packed;
      Substitution(column, 0).apply(to);
      Substitution(part.depth[0].var, 0).apply(to);
      out.push_back({Transpose{Dim(width), source_->columns, from, to, source_->from_stride, Dim(width)}, origin});
      part.b = packed;
      out.push_back({std::move(part), origin});
      return;
    }
    Block copy;
    copy.push_back({Store{packed, expr::load(kernel_.buffers[part.b.buffer], part.b.buffer, part.b.offset), false}, origin});
    copy = {{For{column, Dim(width), ForKind::vector, std::move(copy)}, origin}};
    for (size_t i = part.depth.size(); i-- > 0;) {
      For loop{part.depth[i].var, part.depth[i].extent, ForKind::serial, std::move(copy)};
      copy = {};
      copy.push_back({std::move(loop), origin});
    }
    for (Statement& statement : copy) out.push_back(std::move(statement));
    part.b = packed;
    out.push_back({std::move(part), origin});
  }

  Dim base_;  // of the worker's own copy of the buffer added last

  BufferId add_buffer(Dim elements, DType dtype = DType::f32) {
    base_ = 0;
    // What loops around leave open is bounded by their first iteration's size: chunks are largest there.
    for (const std::string& variable : variables_) elements = elements.substitute(variable, 0);
    if (in_parallel_) {
      const Dim lines = ceil_div(elements, Dim(64)) * 64;
      base_ = lines * Dim::symbol("worker");
      elements = lines * Dim::symbol("workers");
    }
    const auto id = static_cast<BufferId>(kernel_.buffers.size());
    kernel_.buffers.push_back({"panel#" + std::to_string(id), dtype, std::move(elements), -1});
    return id;
  }
};

}  // namespace

void block_contractions(Kernel& kernel, int64_t l2_bytes) { Blocker(kernel, l2_bytes).run(kernel.body); }

}  // namespace moru
