// Where a program's memory goes: parameters, state and the arenas of its entries.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "compiler/pipeline.h"

namespace moru {

/// Sizes of a program's symbols.
using Sizes = std::map<std::string, int64_t, std::less<>>;
/// A dimension at these sizes; a symbol without one is 1.
int64_t size_at(const Dim& dim, const Sizes& sizes);

/// {"slots": [{"kind": "parameter", "count", "bytes"}, ...], "entries": [{"entry", "arena_bytes", "unshared_bytes",
/// "buffers": [{"name", "bytes", "offset"}, the largest first, at most `most_buffers`],
/// "buffer_count"}]} at these sizes. "unshared_bytes" is what the buffers would take if none shared
/// its place with another. Inputs, targets and outputs are bound from outside and not counted.
nlohmann::ordered_json memory_json(const Lowered& lowered, const Sizes& sizes, std::size_t most_buffers = 12);

}  // namespace moru
