// What is written beside a library that needs no runtime: a C header, and for WebAssembly a JavaScript module.
#pragma once

#include <map>
#include <string>

#include "compiler/codegen/standalone_plan.h"
#include "compiler/codegen/target.h"

namespace moru {

/// Declares the library's functions and says where in the arena state lies. `title` is the first line of its comment;
/// `batch` the batch for which the arena's size is given as a constant, where no other size is open.
std::string standalone_header(const StandalonePlan& plan, const Target& target, const std::string& title,
                              int64_t batch);

/// An ES module that loads the WebAssembly module `file`: its entries with typed arrays, state by name. It needs no
/// library.
std::string standalone_script(const StandalonePlan& plan, const std::string& title, const std::string& file);

}  // namespace moru
