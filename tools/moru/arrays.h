// Tensors on their way in and out of the command line: .npy files and random ones.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "compiler/ops/op.h"
#include "compiler/support/narrow.h"
#include "runtime/checkpoint.h"
#include "runtime/data/npy.h"
#include "runtime/program.h"

namespace moru::cli {

/// The element type in which the values of an array are held: DType::i32 for u1.
DType dtype_of_npy(NpyType type);

/// Reads "NAME=FILE.npy", or "FILE.npy", which leaves the name empty; a FILE.pb holds one ONNX TensorProto.
SavedTensor read_argument(const std::string& argument);

/// Writes every tensor to DIRECTORY/<name>.npy (see output_file_name), making the directory. `stored_as` has an entry
/// for each tensor, or none; what .npy cannot say (bf16, f8, i4, ...) becomes DIRECTORY/<name>.pb.
void write_arrays(const std::string& directory, std::span<const SavedTensor> tensors,
                  std::span<const Narrow> stored_as = {});

/// Names the tensors as the program's inputs, and converts them to their element types; the rule of predict_tensors.
std::vector<SavedTensor> match_inputs(const Program& program, std::vector<SavedTensor> given);

/// What a command is told of the dimensions that a program leaves open.
struct OpenSizes {
  int64_t default_batch = 1;
  std::optional<int64_t> batch = {};    // --batch
  std::vector<std::string> sizes = {};  // --size NAME=N

  int64_t wanted_batch() const { return batch.value_or(default_batch); }
};
/// Adds --batch, of which `doc` says what it is and its default, and --size.
void add_open_sizes(CLI::App& command, OpenSizes& sizes, const std::string& doc);

/// Values for the dimensions that a program leaves open; those that are not named are like the batch. Throws Failure for a name that no
/// input has, and for a batch that is asked for where the program has one of its own.
std::map<std::string, int64_t> bind_symbols(const Program& program, const OpenSizes& sizes);

/// Random tensors for every slot that the entry's caller has to bind: floats in [-1, 1) for inputs and in [0, 1) for
/// targets (which suits every loss), integers below the slot's limit, sample weights of one.
std::vector<SavedTensor> random_tensors(const Program& program, std::string_view entry,
                                        const std::map<std::string, int64_t>& symbols, uint64_t seed);

/// A tensor's elements as doubles.
std::vector<double> to_doubles(const SavedTensor& tensor);

/// The reference interpreter's form of a tensor, and back: elements become those of its element type.
HostTensor to_host(const SavedTensor& tensor);
SavedTensor from_host(const std::string& name, const HostTensor& host);

}  // namespace moru::cli
