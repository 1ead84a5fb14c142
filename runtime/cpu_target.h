// Whether this processor can run code that was compiled for a target, and which of several it runs best.
#pragma once

#include <string_view>

#include "schema/kernel_abi.h"

namespace moru {

/// `target` as the compiler prints it: "x86-64", "x86-64-v2", -v3, -v4, -v4-bf16, "aarch64", "aarch64-sve256", "riscv64"; further
/// text behind '+', ',' or ' ' is not looked at: of several levels the first is the least. A name this version does not know
/// is taken to be fine.
bool processor_supports(std::string_view target);

/// The last of a library's variants that the processor supports; `level` is empty where that is the library's own entries.
struct ChosenEntries {
  std::string_view level;
  const moru_kernel_entry* entries = nullptr;
};
ChosenEntries choose_entries(const moru_kernel_library& library, bool (*supports)(std::string_view) = processor_supports);

}  // namespace moru
