// Shrinks a graph that fails to the smallest that still does, and says how a graph fails: what `moru reduce` is made of.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "compiler/ir/graph.h"

namespace moru::cli {

struct FailureOptions {
  int64_t size = 5;          // of every open dimension
  double tolerance = 1e-4;   // of kernels against the reference, relative to the largest value of a result, or to 1
  int seconds = 60;          // what takes longer counts as a failure of its own
  std::set<std::string, std::less<>> disable = {};  // passes to leave out
};

/// How a module's only entry fails, or nothing if it does not. `kind` is the same for failures of one cause.
struct GraphFailure {
  std::string kind;  // "error: ...", "crash: signal 11", "timeout", "kernels", "native", "nan"; empty: none
  std::string text;  // what there is to say of it
  explicit operator bool() const { return !kind.empty(); }
};

/// Compiles the module from where it is in the pipeline and runs its entry by reference, kernels and native code, all in
/// a child process. Values follow from the slots' names alone: floats in [-1, 1), those of targets in [0, 1), those of
/// parameters that are not trained in [0.5, 1.5), integers below their limit, or 3; state at its initial value.
GraphFailure find_failure(const Module& module, const FailureOptions& options);

struct Reduction {
  Module module;
  int tries = 0;
};

/// Takes away nodes (what they yielded becomes an input), lets nodes yield one of their inputs, inside loops too, makes
/// extents smaller and sets attributes to their defaults, as long as `fails` holds of what is left; at most `most_tries`
/// times. The module has one entry, of which `fails` holds.
Reduction reduce_module(const Module& module, const std::function<bool(const Module&)>& fails, int most_tries);

/// The module with one of its entries, and the slots of that.
Module single_entry(const Module& module, std::string_view entry);

/// Nodes, those of loops' bodies included.
size_t count_nodes(const Graph& graph);

}  // namespace moru::cli
