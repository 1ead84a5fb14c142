#include "compiler/passes/choose_residuals.h"

#include "compiler/ops/op.h"

namespace moru {

bool is_residual(const Node& node) {
  switch (node.op->family) {
    case OpFamily::elementwise:
    case OpFamily::activation:
      return !node.op->cheap;
    case OpFamily::shape:
      return false;
    case OpFamily::random:
    case OpFamily::contraction:
    case OpFamily::reduction:
    case OpFamily::control:
      return true;
    case OpFamily::indexing:
      return node.op->name == "gather" || node.op->name == "scatter_add";
    default:
      return true;
  }
}

}  // namespace moru
