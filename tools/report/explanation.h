// What the compiler did to one entry of a model, in words and numbers: found by comparing the program behind each pass.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compiler/pipeline.h"
#include "tools/report/memory_facts.h"

namespace moru {

/// The program behind one pass, as PipelineOptions::dump gives it.
struct Snapshot {
  std::string pass, text;
};

struct Fact {
  std::string topic;  // "expanded", "hoisted", "sunk", "shared", "fused", "reused", "recomputed", ...
  std::string sentence;
  std::vector<std::string> details;  // one line each
  nlohmann::ordered_json numbers;
};

/// `snapshots` are those of the graph passes, in order; `lowered` is the whole program.
///   expanded    how many primitive operations the layers became
///   differentiated  how many the gradients and the update added
///   shared      operations that were computed twice and no longer are; constants folded, identities removed
///   hoisted     contractions that left a loop over time ahead of it, sunk those that left it behind, by layer
///   tiled       the chunks in which the batch is worked through
///   recomputed  segments of time that are run again rather than kept
///   fused       loop nests and contractions that the operations became; contractions with more than a sum in them
///   reused      memory that buffers share, and state that is replaced in place
std::vector<Fact> explain_program(const std::vector<Snapshot>& snapshots, const Lowered& lowered,
                                  const std::string& entry, const Sizes& sizes);

}  // namespace moru
