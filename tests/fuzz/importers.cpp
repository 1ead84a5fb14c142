#include "tests/fuzz/importers.h"

#include <stdexcept>
#include <string>

#include "compiler/exchange/hdf5_file.h"
#include "compiler/exchange/keras_archive.h"
#include "compiler/exchange/keras_json.h"
#include "compiler/exchange/named_weights.h"
#include "compiler/exchange/onnx/onnx_export.h"
#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/exchange/zip_file.h"
#include "compiler/io/model_io.h"
#include "compiler/io/training_io.h"
#include "compiler/model/layers.h"
#include "compiler/support/error.h"
#include "runtime/moru_file.h"
#include "runtime/training_section.h"

namespace moru::test {
namespace {

Model small_model() {
  ModelBuilder m("small");
  Tensor x = m.input("x", {4, 3});
  Tensor h = m.call(layers::bidirectional(layers::lstm(2, {.return_sequences = true}), "concat", "both"), x);
  h = m.call({.class_name = "Conv1D", .attributes = {{"filters", 3}, {"kernel_size", std::vector<int64_t>{2}}}, .name = "conv"}, h);
  h = m.call(layers::flatten("flat"), h);
  Model model = m.build({m.call(layers::dense(2, {.activation = "softmax", .name = "y"}), h)});
  initialize_parameters(model, 1);
  return model;
}

SavedTraining small_training() {
  SavedTraining state;
  state.compile_config = R"({"optimizer":"sgd","loss":"mse"})";
  state.variables = {{"0", DType::i64, {}, Bytes(8)}, {"1", DType::f32, {2, 1}, Bytes(8)}};
  return state;
}

Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::string_view text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

template <typename Read>
void refused_or_read(Read read) {
  try {
    read();
  } catch (const CompileError&) {  // how files are refused
  }
}

Bytes moru_bytes() {
  const Model model = small_model();
  const Bytes stored = write_model(model), training = write_training(small_training());
  const WeightsSection weights = make_weights_section(model);
  const MoruSection sections[] = {{SectionKind::model, {stored}},
                                  {training_section, {training}},
                                  {SectionKind::weights, weights.pieces}};
  Result<Bytes> bytes = make_moru_bytes(sections);
  if (!bytes) throw std::logic_error(bytes.status().message());
  return *bytes;
}

// Checksums keep out what a fuzzer does; so the sections are also read as they stand in a damaged file.
void read_moru(std::span<const std::byte> bytes) {
  refused_or_read([&] {
    const auto file = MoruFile::from_memory(bytes);
    if (!file) return;
    read_model((*file)->section(SectionKind::model), (*file)->section(SectionKind::weights), "m.moru");
    if ((*file)->has(training_section)) read_training((*file)->section(training_section), "m.moru");
  });
}

const Importer all[] = {
    {"keras",
     [](std::span<const std::byte> bytes) {
       SavedTraining training;
       refused_or_read([&] { import_keras_file(bytes, "m.keras", &training); });
     },
     [] {
       return std::vector<Bytes>{export_keras_archive(small_model(), small_training()),
                                 export_keras_h5(small_model(), small_training())};
     }},
    {"hdf5",
     [](std::span<const std::byte> bytes) { refused_or_read([&] { read_hdf5(bytes, "m.h5"); }); },
     [] { return std::vector<Bytes>{export_keras_weights(small_model())}; }},
    {"zip",
     [](std::span<const std::byte> bytes) { refused_or_read([&] { read_zip(bytes, "m.zip"); }); },
     [] {
       const Bytes content = bytes_of("some text");
       return std::vector<Bytes>{write_zip({{"a/b.txt", content}, {"c", content}})};
     }},
    {"keras_json",
     [](std::span<const std::byte> bytes) { refused_or_read([&] { import_keras_json(text_of(bytes), "m.json"); }); },
     [] { return std::vector<Bytes>{bytes_of(export_keras_json(small_model()))}; }},
    {"onnx",
     [](std::span<const std::byte> bytes) { refused_or_read([&] { import_onnx(bytes, "m.onnx"); }); },
     [] { return std::vector<Bytes>{export_onnx(small_model()), export_onnx(small_model(), {.opset = 21})}; }},
    {"moru", read_moru, [] { return std::vector<Bytes>{moru_bytes()}; }},
    {"model",
     [](std::span<const std::byte> bytes) { refused_or_read([&] { read_model(bytes, Bytes(4096), "m.moru"); }); },
     [] { return std::vector<Bytes>{write_model(small_model())}; }},
    {"training",
     [](std::span<const std::byte> bytes) { refused_or_read([&] { read_training(bytes, "m.moru"); }); },
     [] { return std::vector<Bytes>{write_training(small_training())}; }},
    {"safetensors",
     [](std::span<const std::byte> bytes) { refused_or_read([&] { read_safetensors(bytes, "w.safetensors"); }); },
     [] { return std::vector<Bytes>{write_safetensors(named_weights(small_model()))}; }},
};

}  // namespace

std::span<const Importer> importers() { return all; }

const Importer& get_importer(std::string_view name) {
  for (const Importer& importer : all)
    if (importer.name == name) return importer;
  throw std::invalid_argument("there is no importer '" + std::string(name) + "'");
}

}  // namespace moru::test
