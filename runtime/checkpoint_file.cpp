// Checkpoints as bytes: the file layout of schema/README.md, written atomically and checked when read.
#include <algorithm>
#include <bit>
#include <cstring>

#include "checkpoint_generated.h"
#include "runtime/atomic_file.h"
#include "runtime/checkpoint.h"
#include "runtime/checksum.h"
#include "runtime/flatbuffer_alignment.h"
#include "runtime/mapped_file.h"
#include "runtime/program_reader.h"

namespace moru {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

constexpr char magic[4] = {'M', 'O', 'R', 'C'};
constexpr uint32_t format_version = 1;
constexpr uint64_t section_alignment = 64;

struct FileHeader {
  char magic[4];
  uint32_t version;
  uint64_t file_bytes;
  uint64_t table_bytes;
  uint64_t checksum;  // of header and table, with this field taken as zero
  uint64_t reserved[4];
};
static_assert(sizeof(FileHeader) == 64);

constexpr uint64_t round_up(uint64_t value) {
  return (value + section_alignment - 1) / section_alignment * section_alignment;
}

uint64_t header_checksum(FileHeader header, std::span<const std::byte> table) {
  header.checksum = 0;
  StreamingChecksum sum;
  sum.add(std::as_bytes(std::span(&header, 1)));
  sum.add(table);
  return sum.value();
}

/// Builds the table. Every number is stored even where it is zero, so the table is as long for any data offset.
class TableBuilder {
 public:
  TableBuilder(const Checkpoint& checkpoint, uint64_t first_offset) : next_offset_(first_offset) {
    builder_.ForceDefaults(true);
    std::vector<flatbuffers::Offset<schema::Series>> history;
    for (const SavedSeries& series : checkpoint.history) {
      history.push_back(
          schema::CreateSeries(builder_, builder_.CreateString(series.name), builder_.CreateVector(series.values)));
    }
    auto slots = add_slots(checkpoint.slots);
    std::vector<flatbuffers::Offset<schema::CallbackState>> callbacks;
    for (const SavedCallback& callback : checkpoint.callbacks) {
      std::vector<flatbuffers::Offset<schema::Number>> numbers;
      for (const SavedNumber& number : callback.numbers) {
        numbers.push_back(
            schema::CreateNumber(builder_, builder_.CreateString(number.name), number.value, number.integer));
      }
      auto callback_slots = add_slots(callback.slots);
      callbacks.push_back(schema::CreateCallbackState(builder_, builder_.CreateString(callback.name),
                                                      builder_.CreateVector(numbers), callback_slots));
    }
    auto version = builder_.CreateString(checkpoint.moru_version);
    auto fingerprint = builder_.CreateString(checkpoint.data_fingerprint);
    auto history_vector = builder_.CreateVector(history);
    auto callback_vector = builder_.CreateVector(callbacks);
    builder_.Finish(schema::CreateCheckpoint(builder_, checkpoint.program_hash, version, checkpoint.epoch,
                                             checkpoint.batch, checkpoint.step, checkpoint.seed, history_vector, slots,
                                             callback_vector, fingerprint, checkpoint.seconds, checkpoint.finished),
                    schema::CheckpointIdentifier());
  }

  std::span<const std::byte> bytes() const {
    return {reinterpret_cast<const std::byte*>(builder_.GetBufferPointer()), builder_.GetSize()};
  }
  uint64_t end() const { return next_offset_; }
  /// The tensors in the order of their offsets.
  const std::vector<const SavedTensor*>& tensors() const { return tensors_; }

 private:
  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<schema::SavedSlot>>> add_slots(
      const std::vector<SavedTensor>& tensors) {
    std::vector<flatbuffers::Offset<schema::SavedSlot>> slots;
    for (const SavedTensor& tensor : tensors) {
      slots.push_back(schema::CreateSavedSlot(builder_, builder_.CreateString(tensor.name),
                                              static_cast<uint8_t>(tensor.dtype), builder_.CreateVector(tensor.shape),
                                              next_offset_, tensor.bytes.size(), checksum(tensor.bytes)));
      next_offset_ = round_up(next_offset_ + tensor.bytes.size());
      tensors_.push_back(&tensor);
    }
    return builder_.CreateVector(slots);
  }

  flatbuffers::FlatBufferBuilder builder_;
  uint64_t next_offset_;
  std::vector<const SavedTensor*> tensors_;
};

class TableReader {
 public:
  TableReader(std::span<const std::byte> file, uint64_t data_begin, const std::string& name)
      : file_(file), data_begin_(data_begin), name_(name) {}

  Status read(const schema::Checkpoint& source, Checkpoint& checkpoint) {
    using Fields = schema::Checkpoint;
    if (!are_fields_aligned(source, {Fields::VT_PROGRAM_HASH, Fields::VT_EPOCH, Fields::VT_BATCH, Fields::VT_STEP,
                                     Fields::VT_SEED, Fields::VT_SECONDS})) {
      return misaligned();
    }
    checkpoint.program_hash = source.program_hash();
    checkpoint.moru_version = text(source.moru_version());
    checkpoint.epoch = source.epoch();
    checkpoint.batch = source.batch();
    checkpoint.step = source.step();
    checkpoint.seed = source.seed();
    checkpoint.data_fingerprint = text(source.data_fingerprint());
    checkpoint.seconds = source.seconds();
    checkpoint.finished = source.finished();
    if (checkpoint.epoch < 0 || checkpoint.batch < 0 || checkpoint.step < 0) return corrupt("its position is negative");
    if (source.history() != nullptr) {
      for (const schema::Series* series : *source.history()) {
        if (!is_vector_aligned(series->values())) return misaligned();
        size_t values = series->values() == nullptr ? 0 : series->values()->size();
        if (!spend(values * sizeof(double))) return corrupt("its table holds more than the file");
        SavedSeries& saved = checkpoint.history.emplace_back();
        saved.name = text(series->name());
        if (values != 0) saved.values.assign(series->values()->begin(), series->values()->end());
      }
    }
    MORU_RETURN_IF_ERROR(read_slots(source.slots(), checkpoint.slots));
    if (source.callbacks() != nullptr) {
      for (const schema::CallbackState* callback : *source.callbacks()) {
        SavedCallback& saved = checkpoint.callbacks.emplace_back();
        saved.name = text(callback->name());
        if (callback->numbers() != nullptr) {
          for (const schema::Number* number : *callback->numbers()) {
            if (!are_fields_aligned(*number, {schema::Number::VT_VALUE, schema::Number::VT_INTEGER}))
              return misaligned();
            saved.numbers.push_back({text(number->name()), number->value(), number->integer()});
          }
        }
        MORU_RETURN_IF_ERROR(read_slots(callback->slots(), saved.slots));
      }
    }
    return {};
  }

 private:
  using SlotVector = flatbuffers::Vector<flatbuffers::Offset<schema::SavedSlot>>;

  Status corrupt(const std::string& what) const { return {StatusCode::corrupt, name_ + " is damaged: " + what}; }

  Status misaligned() const { return corrupt("its table is misaligned"); }

  /// Counts decoded bytes, because the tables of a hostile file may share contents.
  bool spend(size_t bytes) {
    if (bytes > budget_) return false;
    budget_ -= bytes;
    return true;
  }
  std::string text(const flatbuffers::String* source) {
    if (source == nullptr || !spend(source->size())) return {};
    return source->str();
  }

  Status read_slots(const SlotVector* source, std::vector<SavedTensor>& tensors) {
    if (source == nullptr) return {};
    for (const schema::SavedSlot* slot : *source) {
      if (!are_fields_aligned(
              *slot, {schema::SavedSlot::VT_OFFSET, schema::SavedSlot::VT_BYTES, schema::SavedSlot::VT_CHECKSUM}) ||
          !is_vector_aligned(slot->shape())) {
        return misaligned();
      }
      std::string name = text(slot->name());
      std::string of = "the tensor '" + name + "' ";
      if (!is_exchanged(slot->dtype())) return corrupt(of + "has an unknown element type");
      if (slot->offset() % section_alignment != 0 || slot->offset() < data_begin_ || slot->offset() > file_.size() ||
          slot->bytes() > file_.size() - slot->offset() || !spend(slot->bytes())) {
        return corrupt(of + "lies outside the file");
      }
      SavedTensor& tensor = tensors.emplace_back();
      tensor.name = std::move(name);
      tensor.dtype = static_cast<DType>(slot->dtype());
      if (slot->shape() != nullptr) {
        if (!spend(slot->shape()->size() * sizeof(int64_t))) return corrupt("its table holds more than the file");
        tensor.shape.assign(slot->shape()->begin(), slot->shape()->end());
      }
      if (tensor_bytes(tensor.dtype, tensor.shape) != slot->bytes())
        return corrupt(of + "has another size than its shape");
      std::span<const std::byte> contents = file_.subspan(slot->offset(), slot->bytes());
      if (checksum(contents) != slot->checksum()) return corrupt(of + "has another checksum");
      tensor.bytes.assign(contents.begin(), contents.end());
    }
    return {};
  }

  std::span<const std::byte> file_;
  uint64_t data_begin_;
  const std::string& name_;
  size_t budget_ = 2 * file_.size();
};

}  // namespace

Status write_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  uint64_t table_bytes = TableBuilder(checkpoint, section_alignment).bytes().size();
  TableBuilder table(checkpoint, round_up(sizeof(FileHeader) + table_bytes));

  FileHeader header = {};
  std::memcpy(header.magic, magic, sizeof(magic));
  header.version = format_version;
  header.file_bytes = table.end();
  header.table_bytes = table.bytes().size();
  header.checksum = header_checksum(header, table.bytes());

  Result<AtomicFile> file = AtomicFile::create(path);
  if (!file.ok()) return file.status();
  static constexpr std::byte zeros[section_alignment] = {};
  auto pad = [&] {
    return file->write(std::span(zeros, static_cast<size_t>(round_up(file->position()) - file->position())));
  };
  MORU_RETURN_IF_ERROR(file->write(std::as_bytes(std::span(&header, 1))));
  MORU_RETURN_IF_ERROR(file->write(table.bytes()));
  MORU_RETURN_IF_ERROR(pad());
  for (const SavedTensor* tensor : table.tensors()) {
    MORU_RETURN_IF_ERROR(file->write(tensor->bytes));
    MORU_RETURN_IF_ERROR(pad());
  }
  return file->commit();
}

Result<Checkpoint> read_checkpoint(std::span<const std::byte> bytes, const std::string& name) {
  auto corrupt = [&](const std::string& what) { return Status(StatusCode::corrupt, name + " is damaged: " + what); };
  if (bytes.empty()) return corrupt("it is empty");
  if (bytes.size() < sizeof(magic) || std::memcmp(bytes.data(), magic, sizeof(magic)) != 0) {
    return Status(StatusCode::wrong_format, name + " is not a checkpoint");
  }
  FileHeader header;
  if (bytes.size() < sizeof(header)) return corrupt("it ends inside its header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.version != format_version) {
    return Status(StatusCode::unsupported_version, name + " has format version " + std::to_string(header.version) +
                                                       "; this version of Moru reads version " +
                                                       std::to_string(format_version));
  }
  if (header.file_bytes != bytes.size()) {
    return corrupt("it should have " + std::to_string(header.file_bytes) + " bytes but has " +
                   std::to_string(bytes.size()));
  }
  if (header.table_bytes > bytes.size() - sizeof(header)) return corrupt("it ends inside its table");
  std::span<const std::byte> table = bytes.subspan(sizeof(header), header.table_bytes);
  if (header_checksum(header, table) != header.checksum) return corrupt("the checksum of its table differs");

  // FlatBuffers reads 8-byte numbers in place, wherever the caller's memory lies.
  std::vector<uint64_t> aligned((table.size() + 7) / 8);
  if (!table.empty()) std::memcpy(aligned.data(), table.data(), table.size());
  const uint8_t* table_start = reinterpret_cast<const uint8_t*>(aligned.data());
  if (table.size() < 8 || table.size() >= FLATBUFFERS_MAX_BUFFER_SIZE ||
      !schema::CheckpointBufferHasIdentifier(table_start)) {
    return corrupt("its table is not that of a checkpoint (identifier MORC)");
  }
  flatbuffers::Verifier verifier(table_start, table.size(), /*max_depth=*/16, /*max_tables=*/1'000'000);
  if (!schema::VerifyCheckpointBuffer(verifier)) return corrupt("its table does not verify");

  Checkpoint checkpoint;
  TableReader reader(bytes, round_up(sizeof(header) + header.table_bytes), name);
  MORU_RETURN_IF_ERROR(reader.read(*schema::GetCheckpoint(table_start), checkpoint));
  return checkpoint;
}

Result<Checkpoint> read_checkpoint(const std::string& path) {
  Result<std::shared_ptr<const MappedFile>> mapped = MappedFile::open(path);
  if (!mapped.ok()) return mapped.status();
  return read_checkpoint((*mapped)->bytes(), "'" + path + "'");
}

}  // namespace moru
