// A profiled build: entries read the processor's counter between their statements and add what has passed to a table.
#include <llvm/IR/Intrinsics.h>

#include "compiler/codegen/emitter.h"

namespace moru {

using llvm::Type;
using llvm::Value;

namespace {

constexpr uint64_t cells_at = 8;  // words before the first cell: a cache line

}  // namespace

void Emitter::set_profile(const ProfilePlan& plan, const std::string& name, size_t workers) {
  const uint64_t words = cells_at + 2 * (plan.regions.size() + 1) * workers;
  auto* type = llvm::ArrayType::get(builder_.getInt64Ty(), words);
  auto* table = new llvm::GlobalVariable(module_, type, false, llvm::GlobalValue::ExternalLinkage,
                                         llvm::Constant::getNullValue(type), name);
  table->setVisibility(llvm::GlobalValue::HiddenVisibility);
  table->setDSOLocal(true);
  table->setAlignment(llvm::Align(64));
  profile_ = {&plan, table, workers};
}

Value* Emitter::read_counter() {
  // x86 and aarch64 give the counter that goes at a steady rate whatever the clock's frequency.
  return builder_.CreateIntrinsic(builder_.getInt64Ty(), llvm::Intrinsic::readcyclecounter, {});
}

Value* Emitter::count_region(size_t region, Value* before) {
  Value* after = read_counter();
  Type* word = builder_.getInt64Ty();
  Value* cell = number(static_cast<int64_t>(cells_at + 2 * region));
  if (const auto worker = bindings_.find("worker"); worker != bindings_.end()) {
    const auto stride = static_cast<int64_t>(2 * (profile_.plan->regions.size() + 1));
    Value* last = number(static_cast<int64_t>(profile_.workers) - 1);
    Value* row = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, worker->second.base, last);
    cell = builder_.CreateAdd(cell, builder_.CreateMul(row, number(stride)));
  }
  const auto add = [&](Value* position, Value* value) {
    Value* address = builder_.CreateGEP(word, profile_.table, position);
    builder_.CreateStore(builder_.CreateAdd(builder_.CreateLoad(word, address), value), address);
  };
  add(cell, builder_.CreateSub(after, before));
  add(builder_.CreateAdd(cell, number(1)), number(1));
  return after;
}

void Emitter::start_profile() {
  Value* now = read_counter();
  builder_.CreateStore(now, profile_.table);
  // The first interval pays for bringing the table into the cache; the second is what measuring costs.
  const auto empty = profile_.plan->regions.size();
  Value* cell =
      builder_.CreateGEP(builder_.getInt64Ty(), profile_.table, number(static_cast<int64_t>(cells_at + 2 * empty)));
  builder_.CreateStore(builder_.CreateLoad(builder_.getInt64Ty(), cell, /*isVolatile=*/true), cell,
                       /*isVolatile=*/true);
  count_region(empty, read_counter());
}

void Emitter::emit_profiled_block(const Block& block) {
  // Neighbours share a reading of the counter; what adding costs is in the next one's interval, as in the empty one's.
  Value* before = nullptr;
  for (const Statement& statement : block) {
    if (profile_.plan->first.count(&statement) && !before) before = read_counter();
    emit_statement(statement);
    const auto last = profile_.plan->last.find(&statement);
    if (last != profile_.plan->last.end()) {
      before = count_region(last->second, before);
    } else if (std::holds_alternative<For>(statement.node)) {
      before = nullptr;
    }
  }
}

}  // namespace moru
