// TensorBoard's event files: scalars by epoch, written by Moru itself.
//
// An event file is a sequence of TFRecords (github.com/tensorflow/tensorflow, core/lib/io/record_writer.h):
//   uint64 length | uint32 masked CRC-32C of the length | bytes | uint32 masked CRC-32C of the bytes
// in little-endian order, with mask(c) = ((c >> 15) | (c << 17)) + 0xa282ead8. The bytes are a protobuf `Event`
// (core/util/event.proto): wall_time = 1 (double), step = 2, file_version = 3, summary = 5 with repeated `Value`
// {tag = 1, simple_value = 2 (float)}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "runtime/training/callbacks.h"

namespace moru {

/// Writes, as keras.callbacks.TensorBoard does, `epoch_<key>` for every key of the history and `epoch_learning_rate`
/// behind each epoch, counted from 0: training values to `directory`/train, validation values to
/// `directory`/validation, each folder with one event file per run of the process.
Callback tensorboard(const std::string& directory);

/// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78) of the bytes.
uint32_t crc32c(std::span<const std::byte> bytes);

/// One record: framing, checksums and `bytes`.
std::string tf_record(std::string_view bytes);

/// The bytes of an Event with one scalar.
std::string scalar_event(double wall_time, int64_t step, std::string_view tag, float value);

}  // namespace moru
