// The HDF5 library trusts the files it reads: a damaged one may make it crash, loop for ever or take all memory. So it
// runs in a child process with limits, and what it read comes back through a pipe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "compiler/exchange/hdf5_file.h"

namespace moru {

/// What `read` makes of `file`, or the CompileError that it throws, of a child process that may take seconds and memory in
/// proportion to the file. A child that ends in any other way is a CompileError too; `source` names the file in it.
std::unique_ptr<Hdf5Group> read_in_child(const std::string& source, std::span<const std::byte> file,
                                         const std::function<std::unique_ptr<Hdf5Group>()>& read);

}  // namespace moru
