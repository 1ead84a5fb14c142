// Sizes that inputs of a file leave open under different names although the model needs them to be equal: two inputs whose
// batches are called 'unk__10' and 'unk__11' and which an Add joins.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/support/dim.h"
#include "compiler/support/error.h"

namespace moru {

/// What an importer has found out of the open sizes of a file's inputs. It starts knowing nothing; import_with_equal_sizes
/// imports anew with what each refusal tells.
class EqualSizes {
 public:
  /// The size of an input that is called `symbol`: itself until learn() has found it to be a number or another input's size.
  Dim size_of(const std::string& symbol);

  /// Whether the refusal is of two sizes that can be made equal, and learn() will do so.
  bool teaches(const CompileError& error) const { return find_lesson(error).has_value(); }
  /// Makes them equal, the later one to the one that was named first or to a number. False where the refusal teaches nothing.
  bool learn(const CompileError& error);

  /// Whether the dimension depends on sizes of inputs alone, so that a run can compute it.
  bool covers(const Dim& dim) const;

 private:
  std::vector<std::string> symbols_;  // of inputs, as they were first asked for
  std::map<std::string, Dim> found_;

  struct Lesson {
    std::string symbol;
    Dim value;
  };
  std::optional<Lesson> find_lesson(const CompileError& error) const;
  std::vector<std::string>::const_iterator place_of(const Dim& dim) const;
};

/// import_model(EqualSizes&), again after each refusal from which something was learned. Throws the refusal from which nothing was.
template <class Import>
auto import_with_equal_sizes(const Import& import_model) {
  for (EqualSizes sizes;;) {
    try {
      return import_model(sizes);
    } catch (const CompileError& error) {
      if (!sizes.learn(error)) throw;
    }
  }
}

}  // namespace moru
