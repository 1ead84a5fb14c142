// How importers refuse what they are given.
#pragma once

#include <string>
#include <string_view>

namespace moru::exchange {

/// Throws CompileError: "<source>: <what>".
[[noreturn]] void refuse(std::string_view source, const std::string& what, std::string hint = {}, std::string detail = {});

/// Throws CompileError: `what` itself names the file.
[[noreturn]] void refuse_file(std::string what, std::string hint = {});

}  // namespace moru::exchange
