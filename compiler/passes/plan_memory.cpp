#include "compiler/passes/plan_memory.h"

#include <algorithm>
#include <unordered_set>

#include "compiler/support/error.h"
#include "schema/kernel_abi.h"

namespace moru {

namespace {

constexpr int64_t typical_batch = 32, typical_length = 16, typical_workers = 2;

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

// Numbers leaf statements in order; a buffer accessed both inside and outside a loop lives through all of it.
class Lives {
 public:
  explicit Lives(Kernel& kernel) : lives_(kernel.buffers.size()) { block(kernel.body); }
  std::vector<Life> take() { return std::move(lives_); }

 private:
  std::vector<Life> lives_;
  int64_t now_ = 0;
  int parallel_ = -1, parallel_loops_ = 0;

  void block(Block& statements) {
    for (Statement& statement : statements) {
      if (For* loop = std::get_if<For>(&statement.node); loop && loop->kind != ForKind::vector) {
        std::vector<Life> before = lives_;
        int64_t begin = now_++;
        const int outer = parallel_;
        if (loop->kind == ForKind::parallel) parallel_ = parallel_loops_++;
        block(loop->body);
        parallel_ = outer;
        int64_t end = now_++;
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

// True if no value of the symbols, which are at least 0, makes it negative.
bool never_negative(const Dim& dim) {
  return std::all_of(dim.terms().begin(), dim.terms().end(), [](const DimTerm& term) { return term.coefficient >= 0; });
}

// At least `bytes`, and a multiple of 64 whatever the symbols' values: every coefficient is rounded up, where they are
// positive. (A minimum is the negative of a maximum of negatives, whose rounded coefficient would be 0.)
Dim whole_lines(const Dim& bytes) {
  if (never_negative(bytes)) return bytes.with_multiples_of(MORU_BUFFER_ALIGNMENT);
  return ceil_div(bytes, MORU_BUFFER_ALIGNMENT) * MORU_BUFFER_ALIGNMENT;
}

}  // namespace

MemoryPlan plan_memory(Kernel& kernel) {
  remove_unused(kernel);
  std::vector<Life> lives = Lives(kernel).take();
  MemoryPlan plan;
  struct Bin {
    Dim bytes;
    std::vector<const BufferPlace*> tenants;
  };
  std::vector<Bin> bins;
  std::vector<size_t> order;
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    if (kernel.buffers[b].slot >= 0) continue;
    plan.places.push_back({static_cast<BufferId>(b),
                           whole_lines(kernel.buffers[b].elements * dtype_bytes(kernel.buffers[b].dtype)), 0, 0});
    order.push_back(plan.places.size() - 1);
  }
  // Largest first, so that small buffers fill the gaps of large ones.
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t x, size_t y) { return typical(plan.places[x].bytes) > typical(plan.places[y].bytes); });
  for (size_t p : order) {
    BufferPlace& place = plan.places[p];
    const Life& life = lives[place.buffer];
    auto fits = [&](const Bin& bin) {
      bool free = std::none_of(bin.tenants.begin(), bin.tenants.end(), [&](const BufferPlace* tenant) {
        const Life& other = lives[tenant->buffer];
        if (other.first <= life.last && life.first <= other.last) return true;
        // In a parallel loop one worker may be where one buffer lives and another where the other does: they can share
        // memory only if every worker's part lies in the same place in both.
        return life.parallel >= 0 && life.parallel == other.parallel && !(tenant->bytes == place.bytes);
      });
      return free && (never_negative(bin.bytes - place.bytes) || never_negative(place.bytes - bin.bytes));
    };
    auto bin = std::find_if(bins.begin(), bins.end(), fits);
    if (bin == bins.end()) bin = bins.insert(bins.end(), Bin{place.bytes, {}});
    if (!never_negative(bin->bytes - place.bytes)) bin->bytes = place.bytes;
    bin->tenants.push_back(&place);
    place.bin = static_cast<size_t>(bin - bins.begin());
  }
  std::vector<Dim> offsets;
  for (const Bin& bin : bins) {
    offsets.push_back(plan.total_bytes);
    plan.total_bytes += bin.bytes;
  }
  for (BufferPlace& place : plan.places) place.offset = offsets[place.bin];
  int64_t most = 0;
  for (const BufferPlace& at : plan.places) {
    int64_t moment = lives[at.buffer].first;
    Dim alive;
    for (const BufferPlace& other : plan.places)
      if (lives[other.buffer].first <= moment && moment <= lives[other.buffer].last) alive += other.bytes;
    if (int64_t bytes = typical(alive); bytes > most) {
      most = bytes;
      plan.lower_bound_bytes = alive;
    }
  }
  return plan;
}

std::string MemoryPlan::text(const Kernel& kernel) const {
  char line[200];
  std::snprintf(line, sizeof line, "arena of %s: %lld bytes at batch=%lld, lower bound %lld\n", kernel.entry.c_str(),
                static_cast<long long>(typical(total_bytes)), static_cast<long long>(typical_batch),
                static_cast<long long>(typical(lower_bound_bytes)));
  std::string out = line;
  for (const BufferPlace& place : places)
    out += "  bin " + std::to_string(place.bin) + ": " + kernel.buffers[place.buffer].name + ", " + place.bytes.text() +
           " bytes at " + place.offset.text() + "\n";
  return out;
}

}  // namespace moru
