#include "compiler/passes/plan_memory.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "compiler/passes/place_intervals.h"
#include "compiler/support/error.h"
#include "schema/kernel_abi.h"

namespace moru {

namespace {

constexpr int64_t typical_batch = 128, typical_length = 16, typical_workers = 2;

int64_t typical(const Dim& dim) {
  return dim.evaluate([](std::string_view symbol) {
    return symbol == "batch" ? typical_batch : symbol == "workers" ? typical_workers : typical_length;
  });
}

// Visits every buffer access below a statement, in order.
template <typename Visit>
class AccessWalk {
 public:
  explicit AccessWalk(Visit visit) : visit_(std::move(visit)) {}
  void operator()(Statement& statement) {
    std::visit([&](auto& node) { walk(node); }, statement.node);
  }

 private:
  Visit visit_;
  std::unordered_set<const ExprNode*> seen_;

  void walk(Access& access) {
    visit_(access);
    walk(access.dynamic);
  }
  void walk(Expr& e) {
    if (!e || !seen_.insert(e.get()).second) return;
    if (e->op == ExprOp::load) walk(const_cast<ExprNode&>(*e).access);
    for (const Expr& arg : e->args) walk(const_cast<Expr&>(arg));
  }
  void walk(Store& s) {
    walk(s.value);
    walk(s.access);
  }
  void walk(Reduce& s) {
    walk(s.value);
    walk(s.target);
  }
  void walk(For& s) {
    for (Statement& inner : s.body) (*this)(inner);
  }
  void walk(Contraction& s) {
    walk(s.a);
    walk(s.b);
    walk(s.init);
    for (Store& store : s.epilogue) walk(store);
  }
  void walk(Transpose& s) {
    walk(s.from);
    walk(s.to);
  }
};

template <typename Visit>
void for_each_access(Block& block, Visit visit) {
  AccessWalk<Visit> walk(std::move(visit));
  for (Statement& statement : block) walk(statement);
}

struct Life {
  int64_t first = INT64_MAX, last = -1;
  bool touched = false;
  int parallel = -1;  // the parallel loop that holds every access; -1 if none does
};

// min(1, n) of an n over the program's symbols: 0 or 1.
bool is_condition(const Dim& extent) {
  if (extent.terms().size() != 1 || extent.terms()[0].coefficient != -1 || extent.terms()[0].factors.size() != 1) return false;
  const DimFactor& factor = extent.terms()[0].factors[0];
  return factor.kind == DimFactor::Kind::max && (factor.left->is_constant(-1) || factor.right->is_constant(-1)) &&
         plainly_not_negative(extent);
}

// Numbers leaf statements in order; a buffer accessed both inside and outside a loop lives through all of it.
class Lives {
 public:
  explicit Lives(Kernel& kernel) : lives_(kernel.buffers.size()) { block(kernel.body); }
  const std::vector<Life>& lives() const { return lives_; }
  struct ParallelLoop {
    int64_t first, last;  // moments
    Dim runs;             // 0 where a loop around it is a condition that does not hold, else 1
  };
  const std::vector<ParallelLoop>& parallel_loops() const { return parallel_loops_; }

 private:
  std::vector<Life> lives_;
  std::vector<ParallelLoop> parallel_loops_;
  Dim runs_ = 1;
  int64_t now_ = 0;
  int parallel_ = -1;

  void block(Block& statements) {
    for (Statement& statement : statements) {
      if (For* loop = std::get_if<For>(&statement.node); loop && loop->kind != ForKind::vector) {
        std::vector<Life> before = lives_;
        int64_t begin = now_++;
        const int outer = parallel_;
        if (loop->kind == ForKind::parallel) {
          parallel_ = static_cast<int>(parallel_loops_.size());
          parallel_loops_.push_back({begin, begin, runs_});
        }
        const Dim outer_runs = runs_;
        if (is_condition(loop->extent)) runs_ *= loop->extent;
        block(loop->body);
        runs_ = outer_runs;
        int64_t end = now_++;
        if (loop->kind == ForKind::parallel) parallel_loops_[static_cast<size_t>(parallel_)].last = end;
        parallel_ = outer;
        for (size_t b = 0; b < lives_.size(); ++b) {
          bool inside = lives_[b].last >= begin;
          if (inside && before[b].touched) {
            lives_[b].last = std::max(lives_[b].last, end);
          } else if (inside) {
            open_.push_back({b, begin, end});
          }
        }
      } else {
        Block one;
        one.push_back(statement);
        for_each_access(one, [&](Access& access) { touch(access.buffer); });
        ++now_;
      }
    }
  }

  struct Loop {
    size_t buffer;
    int64_t begin, end;
  };
  std::vector<Loop>
      open_;  // buffers first touched inside a loop: stretched over it if they are touched again behind it

  void touch(BufferId buffer) {
    Life& life = lives_[buffer];
    for (const Loop& loop : open_)
      if (loop.buffer == buffer && now_ > loop.end) life.first = std::min(life.first, loop.begin);
    life.first = std::min(life.first, now_);
    life.last = std::max(life.last, now_);
    life.parallel = life.touched && life.parallel != parallel_ ? -1 : parallel_;
    life.touched = true;
  }
};

void remove_unused(Kernel& kernel) {
  std::vector<bool> used(kernel.buffers.size(), false);
  for_each_access(kernel.body, [&](Access& access) { used[access.buffer] = true; });
  std::vector<BufferId> renumbered(kernel.buffers.size());
  std::vector<Buffer> kept;
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    renumbered[b] = static_cast<BufferId>(kept.size());
    if (used[b] || kernel.buffers[b].slot >= 0) kept.push_back(kernel.buffers[b]);
  }
  kernel.buffers = std::move(kept);
  // Loads may be shared by several statements; each access is renumbered once.
  std::unordered_set<const Access*> done;
  for_each_access(kernel.body, [&](Access& access) {
    if (done.insert(&access).second) access.buffer = renumbered[access.buffer];
  });
}

// At least `bytes`, and a multiple of 64 whatever the symbols' values. Terms that are not negative are enlarged to one.
Dim whole_lines(const Dim& bytes) {
  if (plainly_not_negative(bytes)) return bytes.with_multiples_of(MORU_BUFFER_ALIGNMENT);
  return ceil_div(bytes, MORU_BUFFER_ALIGNMENT) * MORU_BUFFER_ALIGNMENT;
}

// A buffer of which every worker of one parallel loop has a part of its own: what a part holds, in elements.
std::vector<std::optional<Dim>> find_parts(Kernel& kernel, const std::vector<Life>& lives) {
  std::vector<std::optional<Dim>> parts(kernel.buffers.size());
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    const Dim& elements = kernel.buffers[b].elements;
    if (kernel.buffers[b].slot >= 0 || lives[b].parallel < 0) continue;
    const std::optional<Dim> part = elements.coefficient("workers");
    if (part && !part->contains("workers") && elements == *part * Dim::symbol("workers")) parts[b] = part;
  }
  for_each_access(kernel.body, [&](Access& access) {
    std::optional<Dim>& part = parts[access.buffer];
    if (part && access.offset.coefficient("worker") != part) part.reset();
  });
  return parts;
}

Dim exact_quotient(const Dim& dim, int64_t divisor) {
  Dim quotient = floor_div(dim, Dim(divisor));
  check_internal(quotient * divisor == dim, "a scratch is not a whole number of elements");
  return quotient;
}

// The most that is alive at one moment, at typical sizes; a loop's buffers count for every worker. Those of a loop that runs
// for some sizes only count if it does, and `conditional` says so.
Dim most_alive(const Kernel& kernel, const Lives& walk, const std::vector<std::optional<Dim>>& parts, bool conditional) {
  std::vector<Life> lives = walk.lives();
  int64_t most = 0;
  Dim result;
  std::vector<Dim> bytes;
  std::vector<int64_t> typical_bytes;
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    const int64_t element = dtype_bytes(kernel.buffers[b].dtype);
    Dim size = 0;
    if (parts[b]) {
      const Dim& runs = walk.parallel_loops()[static_cast<size_t>(lives[b].parallel)].runs;
      if (conditional || runs.is_constant()) size = whole_lines(*parts[b] * element) * Dim::symbol("workers") * runs;
    } else if (kernel.buffers[b].slot < 0) {
      size = whole_lines(kernel.buffers[b].elements * element);
    }
    bytes.push_back(size);
    typical_bytes.push_back(typical(bytes.back()));
    if (!parts[b] && lives[b].parallel >= 0) {  // shared by workers that are at different places of their loop
      lives[b].first = walk.parallel_loops()[static_cast<size_t>(lives[b].parallel)].first;
      lives[b].last = walk.parallel_loops()[static_cast<size_t>(lives[b].parallel)].last;
    }
  }
  for (const Life& at : lives) {
    const auto is_alive = [&](size_t b) { return lives[b].first <= at.first && at.first <= lives[b].last; };
    int64_t alive = 0;
    for (size_t b = 0; b < lives.size(); ++b)
      if (is_alive(b)) alive += typical_bytes[b];
    if (alive <= most) continue;
    most = alive;
    result = 0;
    for (size_t b = 0; b < lives.size(); ++b)
      if (is_alive(b)) result += bytes[b];
  }
  return result;
}

}  // namespace

MemoryPlan plan_memory(Kernel& kernel) {
  remove_unused(kernel);
  Lives walk(kernel);
  const std::vector<Life>& lives = walk.lives();
  const std::vector<std::optional<Dim>> parts = find_parts(kernel, lives);

  // First within the scratch of one worker, loop by loop; then the scratch of all workers is one buffer among the others.
  std::vector<Interval> outer;
  std::vector<size_t> outer_index(kernel.buffers.size(), SIZE_MAX);  // by buffer: its own or its loop's interval
  std::vector<Dim> within(kernel.buffers.size());                    // by buffer: bytes from the worker's scratch
  std::vector<Dim> stride(kernel.buffers.size());                    // by buffer: bytes from worker to worker
  const auto bytes_of = [&](size_t b, const Dim& elements) {
    return whole_lines(elements * dtype_bytes(kernel.buffers[b].dtype));
  };
  for (size_t loop = 0; loop < walk.parallel_loops().size(); ++loop) {
    std::vector<size_t> buffers;
    std::vector<Interval> scratch;
    for (size_t b = 0; b < kernel.buffers.size(); ++b) {
      if (!parts[b] || lives[b].parallel != static_cast<int>(loop)) continue;
      buffers.push_back(b);
      scratch.push_back({lives[b].first, lives[b].last, bytes_of(b, *parts[b])});
    }
    if (buffers.empty()) continue;
    const Placement placement = place_intervals(scratch, typical);
    const Dim& scratch_bytes = placement.bound;
    for (size_t i = 0; i < buffers.size(); ++i) {
      within[buffers[i]] = placement.offsets[i];
      stride[buffers[i]] = scratch_bytes;
      outer_index[buffers[i]] = outer.size();
    }
    const auto& [first, last, runs] = walk.parallel_loops()[loop];
    outer.push_back({first, last, scratch_bytes * Dim::symbol("workers") * runs});
  }
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    if (kernel.buffers[b].slot >= 0 || parts[b]) continue;
    Interval interval{lives[b].first, lives[b].last, bytes_of(b, kernel.buffers[b].elements)};
    // Workers of a parallel loop are at different places in it: what they share lives through all of it.
    if (lives[b].parallel >= 0) {
      interval.first = walk.parallel_loops()[static_cast<size_t>(lives[b].parallel)].first;
      interval.last = walk.parallel_loops()[static_cast<size_t>(lives[b].parallel)].last;
    }
    outer_index[b] = outer.size();
    outer.push_back(std::move(interval));
  }
  const Placement placement = place_intervals(outer, typical);

  MemoryPlan plan;
  plan.total_bytes = placement.total;
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    if (kernel.buffers[b].slot >= 0) continue;
    BufferPlace place{static_cast<BufferId>(b), bytes_of(b, kernel.buffers[b].elements), placement.offsets[outer_index[b]]};
    if (parts[b]) {
      const Dim& runs = walk.parallel_loops()[static_cast<size_t>(lives[b].parallel)].runs;
      place.bytes = ((Dim::symbol("workers") - 1) * stride[b] + bytes_of(b, *parts[b])) * runs;
      place.offset += within[b] * runs;
    }
    plan.places.push_back(std::move(place));
  }
  plan.lower_bound_bytes = max(most_alive(kernel, walk, parts, true), most_alive(kernel, walk, parts, false));

  // A worker's parts lie together now, not beside the other workers' parts of the same buffer.
  std::unordered_set<const Access*> done;
  const auto elements = [&](size_t b) { return exact_quotient(stride[b], dtype_bytes(kernel.buffers[b].dtype)); };
  for_each_access(kernel.body, [&](Access& access) {
    if (!parts[access.buffer] || !done.insert(&access).second) return;
    access.offset += (elements(access.buffer) - *parts[access.buffer]) * Dim::symbol("worker");
  });
  for (size_t b = 0; b < kernel.buffers.size(); ++b)
    if (parts[b]) kernel.buffers[b].elements = (Dim::symbol("workers") - 1) * elements(b) + *parts[b];
  return plan;
}

std::string MemoryPlan::text(const Kernel& kernel) const {
  char line[200];
  std::snprintf(line, sizeof line, "arena of %s: %lld bytes at batch=%lld, lower bound %lld\n", kernel.entry.c_str(),
                static_cast<long long>(typical(total_bytes)), static_cast<long long>(typical_batch),
                static_cast<long long>(typical(lower_bound_bytes)));
  std::string out = line;
  for (const BufferPlace& place : places)
    out += "  " + kernel.buffers[place.buffer].name + ": " + place.bytes.text() + " bytes at " + place.offset.text() + "\n";
  return out;
}

}  // namespace moru
