// What values an expression can take: lets conversions to integers skip the saturation that cannot happen.
#pragma once

#include "compiler/ir/kernels.h"

namespace moru {

struct Bounds {
  double low;
  double high;
};

/// An interval that holds every value of a float expression that is not NaN; infinite where nothing is known.
Bounds float_bounds(const Expr& expr);

}  // namespace moru
