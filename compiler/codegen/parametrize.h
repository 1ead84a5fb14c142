// Takes out of a statement what comes from around it, so that statements which differ only in that become one function.
#pragma once

#include <string>
#include <vector>

#include "compiler/ir/kernels.h"

namespace moru {

/// A number that a function is given.
struct FunctionParameter {
  std::string name;     // in the rewritten statement: '#' and a number, which is in no user's name
  Dim value;            // over the symbols and variables around the statement
  int64_t nominal = 0;  // what an extent is likely to be, for choosing between schedules only
  bool is_extent = false;
  bool is_symbol = false;  // an extent of the whole program, such as the batch: it may be 1
};

struct ParametrizedStatement {
  Statement statement;
  std::vector<FunctionParameter> parameters;
};

/// How much is taken out. `loose` functions serve more statements, at the price of an argument for each address and of
/// loops whose lengths are not known: worth it where that saves functions.
enum class Parametrization { tight, loose };

/// Names variables by their order ('$' and a number) and replaces every expression of what is declared outside
/// `statement` by a parameter: extents, strides and what is added to addresses. Constants stay, since they decide how
/// code is unrolled, except where they are added to a parameter; multiples of one expression become multiples of one
/// parameter, so that what divides evenly still does. `symbols` are the program's.
///
/// A loose function also has parameters for: addresses that are constant; the length of the outermost loop, where it is
/// serial or a multiple of the longest vectors; everything about a transpose; strides of those axes of a contraction
/// that become loops around its tiles.
ParametrizedStatement parametrize(const Statement& statement, const std::vector<std::string>& symbols,
                                  Parametrization how = Parametrization::tight);

}  // namespace moru
