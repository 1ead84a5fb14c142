#include "compiler/passes/fuse_rows.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "compiler/ir/accesses.h"
#include "compiler/ir/likely_batch.h"
#include "compiler/ir/substitution.h"
#include "compiler/passes/carry_sums.h"

namespace moru {

namespace {

// Beside the batch: with fewer rows in one piece a contraction's tiles are too low, with a lower depth its sums are
// read and written too often.
constexpr int64_t least_inner_rows = 16, least_inner_depth = 32;

int64_t nominal(const Dim& dim) {
  return std::max<int64_t>(1, dim.evaluate([](std::string_view name) -> int64_t { return name == "batch" ? likely_batch : 0; }));
}

int64_t constant_product(const std::vector<ContractionAxis>& axes, size_t without) {
  int64_t product = 1;
  for (size_t i = 0; i < axes.size(); ++i)
    if (i != without) product *= axes[i].extent.is_constant() ? axes[i].extent.constant() : 1;
  return product;
}

// What one statement does to one buffer, as seen from a row.
struct Touch {
  BufferId buffer = no_buffer;
  bool writes = false;
  int64_t pitch = 0;  // elements from row to row, if each row stays within its own; else 0
  Dim base;           // where row 0 begins
};

// Whether the parts that different rows touch never meet, or nobody writes.
bool rows_are_apart(const Touch& a, const Touch& b) {
  if (a.buffer != b.buffer || (!a.writes && !b.writes)) return true;
  return a.pitch > 0 && a.pitch == b.pitch && a.base == b.base;
}
bool are_independent(const Touch& a, const Touch& b) { return a.buffer != b.buffer || (!a.writes && !b.writes); }

template <typename Holds>
bool all_pairs(const std::vector<Touch>& a, const std::vector<Touch>& b, Holds holds) {
  return std::all_of(a.begin(), a.end(), [&](const Touch& x) {
    return std::all_of(b.begin(), b.end(), [&](const Touch& y) { return holds(x, y); });
  });
}

class Toucher {
 public:
  // `row` may be empty: then nothing is within a row of its own.
  explicit Toucher(std::string row) : row_(std::move(row)) {}

  void add(const Block& block) {
    for (const Statement& statement : block) add(statement);
  }
  void add(const Statement& statement) {
    if (const For* loop = std::get_if<For>(&statement.node)) {
      ranges_.push_back({loop->var, loop->extent});
      add(loop->body);
      ranges_.pop_back();
      return;
    }
    const size_t outside = ranges_.size();
    if (const Reduce* reduce = std::get_if<Reduce>(&statement.node)) ranges_.push_back({reduce->var, reduce->extent});
    const bool is_transpose = std::holds_alternative<Transpose>(statement.node);
    if (const Contraction* c = std::get_if<Contraction>(&statement.node))
      for (const auto* axes : {&c->rows, &c->columns, &c->depth})
        ranges_.insert(ranges_.end(), axes->begin(), axes->end());
    AccessVisitor([&](const Access& access, AccessKind kind) {
      touches.push_back(touch(access, kind != AccessKind::read, is_transpose));
    })(statement);
    ranges_.resize(outside);
  }
  // Of a contraction over the rows: what is not an operand is touched before and behind the rows.
  void add_sums(const Contraction& c) {
    Toucher outside("");
    outside.add({c, ""});
    touches = std::move(outside.touches);
    ranges_ = c.rows;
    for (const auto* axes : {&c.columns, &c.depth}) ranges_.insert(ranges_.end(), axes->begin(), axes->end());
    touches[0] = touch(c.a, false, false);  // the operands are visited first
    touches[1] = touch(c.b, false, false);
  }

  std::vector<Touch> touches;

 private:
  std::string row_;
  std::vector<ContractionAxis> ranges_;

  Touch touch(const Access& access, bool writes, bool is_transpose) const {
    Touch result{access.buffer, writes, 0, 0};
    if (row_.empty() || access.dynamic || is_transpose) return result;
    const std::optional<Dim> pitch = access.offset.coefficient(row_);
    if (!pitch || !pitch->is_constant() || pitch->constant() <= 0) return result;
    const Dim rest = access.offset - *pitch * Dim::symbol(row_);
    Dim within = 0;  // what loops below the row add
    int64_t low = 0, high = 0;
    for (const ContractionAxis& range : ranges_) {
      if (range.var == row_ || !rest.contains(range.var)) continue;
      const std::optional<Dim> slope = rest.coefficient(range.var);
      if (!slope || !slope->is_constant() || !range.extent.is_constant()) return result;
      const int64_t reach = slope->constant() * (range.extent.constant() - 1);
      (reach < 0 ? low : high) += reach;
      within += *slope * Dim::symbol(range.var);
    }
    const Dim base = rest - within;
    int64_t constant = 0;
    for (const DimTerm& term : base.terms())
      if (term.factors.empty()) constant = term.coefficient;
    low += constant;
    high += constant;
    if (low < 0 || high >= pitch->constant()) return result;
    result.pitch = pitch->constant();
    result.base = base - constant;
    return result;
  }
};

// How a statement goes over the rows.
struct Part {
  enum class Kind { loop, flat_loop, contraction, sums } kind = Kind::loop;
  std::string row;    // its variable for the row
  size_t axis = 0;    // of a contraction's rows
  int64_t width = 0;  // of a flat loop: elements in a row
  std::vector<Touch> touches;
};

std::vector<Touch> touches_of(const Statement& statement) {
  Toucher toucher("");
  toucher.add(statement);
  return std::move(toucher.touches);
}

std::optional<Part> part_of(const Statement& statement, const Dim& rows, const std::string& row) {
  Part part;
  if (const For* loop = std::get_if<For>(&statement.node)) {
    if (loop->kind == ForKind::parallel) return std::nullopt;
    if (loop->extent == rows && loop->kind == ForKind::serial) {
      part.row = loop->var;
      Toucher toucher(loop->var);
      toucher.add(loop->body);
      part.touches = std::move(toucher.touches);
      return part;
    }
    // One loop over all elements of all rows.
    const Dim width = floor_div(loop->extent, rows);
    if (loop->kind != ForKind::vector || !width.is_constant() || width.constant() < 2 ||
        !(width * rows == loop->extent))
      return std::nullopt;
    Statement split = statement;
    For& inner = std::get<For>(split.node);
    Substitution(inner.var, Dim::symbol(row) * width + Dim::symbol(inner.var)).apply(inner.body);
    inner.extent = width;
    part.kind = Part::Kind::flat_loop;
    part.row = row;
    part.width = width.constant();
    Toucher toucher(row);
    toucher.add(split);
    part.touches = std::move(toucher.touches);
    return part;
  }
  const Contraction* c = std::get_if<Contraction>(&statement.node);
  if (!c) return std::nullopt;
  for (size_t i = 0; i < c->rows.size(); ++i) {
    if (!(c->rows[i].extent == rows) || constant_product(c->rows, i) < least_inner_rows) continue;
    part.kind = Part::Kind::contraction;
    part.axis = i;
    part.row = c->rows[i].var;
    Toucher toucher(part.row);
    toucher.add(statement);
    part.touches = std::move(toucher.touches);
    return part;
  }
  if (!c->depth.empty() && !c->a.dynamic && !c->b.dynamic && c->depth[0].extent == rows &&
      constant_product(c->depth, 0) >= least_inner_depth && c->type == DType::f32) {
    part.kind = Part::Kind::sums;
    part.row = c->depth[0].var;
    Toucher toucher(part.row);
    toucher.add_sums(*c);
    part.touches = std::move(toucher.touches);
    return part;
  }
  return std::nullopt;
}

// The number of rows that statements go over, if they may take part at all.
std::optional<Dim> rows_of(const Statement& statement) {
  if (const For* loop = std::get_if<For>(&statement.node))
    return loop->kind == ForKind::serial && !loop->extent.is_constant() ? std::optional(loop->extent) : std::nullopt;
  if (const Contraction* c = std::get_if<Contraction>(&statement.node)) {
    for (const ContractionAxis& axis : c->rows)
      if (!axis.extent.is_constant()) return axis.extent;
    if (!c->depth.empty() && !c->depth[0].extent.is_constant()) return c->depth[0].extent;
  }
  return std::nullopt;
}

class RowFuser {
 public:
  RowFuser(Kernel& kernel, int64_t l2_bytes)
      : kernel_(kernel), l2_bytes_(l2_bytes), accesses_(count_accesses(kernel)) {}

  void run(Block& block, bool in_parallel = false) {
    for (Statement& statement : block)
      if (For* loop = std::get_if<For>(&statement.node))
        run(loop->body, in_parallel || loop->kind == ForKind::parallel);
    in_parallel_ = in_parallel;
    sink_loops(block);
    Block out;
    while (!block.empty()) take_run(block, out);
    block = std::move(out);
  }

 private:
  Kernel& kernel_;
  const int64_t l2_bytes_;
  std::vector<int> accesses_;  // by buffer
  bool in_parallel_ = false;
  int next_ = 0;

  // Moves large loops down to the next statement that goes over the same rows and cannot come before them, where there
  // is one: what they compute is then in the cache when it is read.
  void sink_loops(Block& block) const {
    std::vector<std::vector<Touch>> touches;
    for (const Statement& statement : block) touches.push_back(touches_of(statement));
    for (size_t i = block.size(); i-- > 0;) {
      const std::optional<Dim> rows = std::holds_alternative<For>(block[i].node) ? rows_of(block[i]) : std::nullopt;
      if (!rows) continue;
      const std::optional<Part> part = part_of(block[i], *rows, "row");
      if (!part || !pays({*part}, *rows)) continue;
      size_t to = i + 1;
      bool is_between = false;  // something that is not done row by row
      while (to < block.size() && all_pairs(touches[i], touches[to], are_independent))
        is_between |= !part_of(block[to++], *rows, "row");
      if (!is_between || to == block.size() || !part_of(block[to], *rows, "row")) continue;
      std::rotate(block.begin() + static_cast<std::ptrdiff_t>(i), block.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                  block.begin() + static_cast<std::ptrdiff_t>(to));
      std::rotate(touches.begin() + static_cast<std::ptrdiff_t>(i),
                  touches.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                  touches.begin() + static_cast<std::ptrdiff_t>(to));
    }
  }

  // Moves the first statement, or a run of statements that became one loop, from the front of `block` to `out`.
  void take_run(Block& block, Block& out) {
    const std::optional<Dim> rows = rows_of(block.front());
    const std::string row = "row" + std::to_string(next_);
    std::vector<Part> parts;
    std::vector<size_t> members, early;
    size_t at = 0;
    if (rows) {
      for (; at < block.size(); ++at) {
        std::optional<Part> part = part_of(block[at], *rows, row);
        const bool fits = part && std::all_of(parts.begin(), parts.end(), [&](const Part& earlier) {
                            return all_pairs(earlier.touches, part->touches, rows_are_apart);
                          });
        if (fits) {
          members.push_back(at);
          parts.push_back(std::move(*part));
          continue;
        }
        if (part) break;
        // Whatever needs nothing of the rows can come before them.
        const std::vector<Touch> touches = touches_of(block[at]);
        const bool is_small =
            std::holds_alternative<For>(block[at].node) && std::get<For>(block[at].node).kind == ForKind::vector;
        if (!is_small || !std::all_of(parts.begin(), parts.end(), [&](const Part& earlier) {
              return all_pairs(earlier.touches, touches, are_independent);
            }))
          break;
        early.push_back(at);
      }
    }
    if (members.size() < 2 || !pays(parts, *rows)) {
      out.push_back(std::move(block.front()));
      block.erase(block.begin());
      return;
    }
    ++next_;
    for (size_t i : early) out.push_back(std::move(block[i]));
    Block ends;
    For loop{row, *rows, ForKind::serial, {}};
    for (size_t i = 0; i < members.size(); ++i)
      add_part(std::move(block[members[i]]), parts[i], row, loop.body, out, ends);
    shrink_buffers(parts, row, loop.body);
    const std::string origin = loop.body.front().origin;
    out.push_back({std::move(loop), origin});
    for (Statement& end : ends) out.push_back(std::move(end));
    block.erase(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(at));
  }

  bool pays(const std::vector<Part>& parts, const Dim& rows) const {
    std::map<BufferId, int64_t> pitches;
    for (const Part& part : parts)
      for (const Touch& t : part.touches) pitches[t.buffer] = std::max(pitches[t.buffer], t.pitch);
    int64_t elements = 0;
    for (const auto& [buffer, pitch] : pitches) elements += pitch;
    return elements * 4 * nominal(rows) > l2_bytes_ / 2;
  }

  void add_part(Statement statement, const Part& part, const std::string& row, Block& body, Block& before,
                Block& ends) {
    const std::string origin = statement.origin;
    if (part.kind == Part::Kind::loop) {
      For& loop = std::get<For>(statement.node);
      Substitution(loop.var, Dim::symbol(row)).apply(loop.body);
      for (Statement& inner : loop.body) body.push_back(std::move(inner));
      return;
    }
    if (part.kind == Part::Kind::flat_loop) {
      For& loop = std::get<For>(statement.node);
      Substitution(loop.var, Dim::symbol(row) * part.width + Dim::symbol(loop.var)).apply(loop.body);
      loop.extent = part.width;
      body.push_back(std::move(statement));
      return;
    }
    Contraction& c = std::get<Contraction>(statement.node);
    if (part.kind == Part::Kind::contraction) {
      c.rows.erase(c.rows.begin() + static_cast<std::ptrdiff_t>(part.axis));
      Substitution(part.row, Dim::symbol(row)).apply(c);
      body.push_back(std::move(statement));
      return;
    }
    Dim base;
    const BufferId sums = add_buffer(count_sums(c), &base);
    CarriedSums carried = carry_sums(c, kernel_.buffers[sums], sums, base, origin);
    for (Statement& start : carried.start) before.push_back(std::move(start));
    Substitution(part.row, Dim::symbol(row)).apply(carried.part);
    body.push_back({std::move(carried.part), origin});
    ends.push_back({std::move(carried.end), origin});
  }

  BufferId add_buffer(Dim elements, Dim* base) {
    *base = 0;
    if (in_parallel_) {
      const Dim lines = ceil_div(elements, Dim(64)) * 64;
      *base = lines * Dim::symbol("worker");
      elements = lines * Dim::symbol("workers");
    }
    const auto id = static_cast<BufferId>(kernel_.buffers.size());
    kernel_.buffers.push_back({"sums#" + std::to_string(id), DType::f32, std::move(elements), -1});
    accesses_.push_back(0);
    return id;
  }

  // Arena buffers that nothing else uses, and in which every row is written before it is read, keep one row.
  void shrink_buffers(const std::vector<Part>& parts, const std::string& row, Block& body) {
    std::map<BufferId, int> uses;
    std::map<BufferId, Touch> first;
    std::set<BufferId> kept;
    for (const Part& part : parts) {
      for (const Touch& t : part.touches) {
        ++uses[t.buffer];
        const auto [known, is_new] = first.emplace(t.buffer, t);
        if (t.pitch == 0 || t.pitch != known->second.pitch || !(t.base == known->second.base)) kept.insert(t.buffer);
      }
    }
    for (const auto& [buffer, t] : first) {
      Buffer& b = kernel_.buffers[buffer];
      if (b.slot >= 0 || kept.count(buffer) || uses[buffer] != accesses_[buffer]) continue;
      const Dim pitch = t.pitch, lines = ceil_div(pitch, Dim(64)) * 64;
      const std::optional<Dim> worker = t.base.coefficient("worker");
      if (!worker || !(t.base == *worker * Dim::symbol("worker"))) continue;
      const bool is_per_worker = !worker->is_constant(0);
      const Dim moved = Dim::symbol(row) * pitch + t.base - (is_per_worker ? lines * Dim::symbol("worker") : Dim(0));
      b.elements = is_per_worker ? lines * Dim::symbol("workers") : pitch;
      Shift(buffer, Dim(0) - moved).apply(body);
    }
  }
};

}  // namespace

void fuse_rows(Kernel& kernel, int64_t l2_bytes) { RowFuser(kernel, l2_bytes).run(kernel.body); }

}  // namespace moru
