// Files of the source tree inside the executable.
#pragma once

#include <cstddef>
#include <string_view>

/// Defines moru::FUNCTION(), which gives the contents of the file at `path`; `name` is what the object calls them.
// The assembler takes files in as they are; paths come from the build (CMakeLists.txt).
#define MORU_EMBED(function, name, path)                                                                     \
  __asm__(".section .rodata\n" #name "_begin:\n.incbin \"" path "\"\n" #name "_end:\n.byte 0\n.previous\n"); \
  extern "C" const char name##_begin[], name##_end[];                                                        \
  namespace moru {                                                                                           \
  std::string_view function() { return {name##_begin, static_cast<size_t>(name##_end - name##_begin)}; }     \
  }
