// Makes files from objects: a shared object that a runtime opens, or one object that is linked into a program, each with
// the embedded `.moru` file, and the C header that goes with it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "compiler/codegen/emit.h"

namespace moru {

/// Writes `path`, a shared object that exports moru_kernel_library_get (schema/kernel_abi.h) and nothing else and needs no
/// library. `file` (may be empty) is a whole .moru file; it lies in read-only memory, 64-byte aligned. Uses ld.lld-19,
/// ld.lld or ld; throws CompileError naming the Debian package where there is none, or with the linker's message.
void write_shared_object(const std::string& path, const ObjectCode& code, std::span<const uint8_t> file, uint64_t program_hash);

/// Writes `path`, a relocatable object with the same contents, whose getter is called
/// "<prefix>kernel_library_get": for the default prefix as in shared objects.
void write_static_object(const std::string& path, const ObjectCode& code, std::span<const uint8_t> file, uint64_t program_hash);

/// Writes `path`, an archive of the kernels' objects and of one that defines the functions (standalone_object.h).
void write_static_library(const std::string& path, const ObjectCode& code, std::span<const uint8_t> functions);

/// Writes `path`, a WebAssembly module of the same that imports nothing and exports its memory, where it is free
/// (`__heap_base`) and the functions named. Uses wasm-ld-19 or wasm-ld.
void write_wasm_module(const std::string& path, const ObjectCode& code, std::span<const uint8_t> functions,
                       const std::vector<std::string>& exported);

/// A header that declares the getter, for C and C++; `what` is the first line of its comment, a model's name perhaps.
std::string c_header(const std::string& prefix, const std::vector<std::string>& entries, const std::string& what);

}  // namespace moru
