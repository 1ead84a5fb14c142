#include "compiler/codegen/profile.h"

#include "compiler/codegen/outline.h"

namespace moru {

namespace {

class Planner {
 public:
  Planner(const Outline& outline, const Kernel& kernel, ProfilePlan& plan)
      : outline_(outline), kernel_(kernel), plan_(plan) {}

  void block(const Block& block) {
    for (size_t i = 0; i < block.size();) {
      const auto is_store = [&](size_t at) { return std::holds_alternative<Store>(block[at].node); };
      size_t end = i + 1;
      if (is_store(i)) {
        while (end < block.size() && is_store(end)) ++end;
      } else if (!outline_.calls.count(&block[i])) {
        const For& loop = std::get<For>(block[i].node);
        loops_.push_back(&loop);
        this->block(loop.body);
        loops_.pop_back();
        ++i;
        continue;
      }
      plan_.first[&block[i]] = plan_.last[&block[end - 1]] = plan_.regions.size();
      plan_.regions.push_back({&kernel_, loops_, std::span(block).subspan(i, end - i)});
      i = end;
    }
  }

 private:
  const Outline& outline_;
  const Kernel& kernel_;
  ProfilePlan& plan_;
  std::vector<const For*> loops_;
};

}  // namespace

ProfilePlan plan_profile(const KernelModule& module) {
  const Outline outline = outline_functions(module);
  ProfilePlan plan;
  for (const Kernel& kernel : module.kernels) Planner(outline, kernel, plan).block(kernel.body);
  return plan;
}

}  // namespace moru
