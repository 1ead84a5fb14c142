#include "tests/fuzz/importers.h"

#include <algorithm>
#include <memory>
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

// A Keras file's parts without zip and HDF5, so that mutations reach what Moru makes of them, thousands a second: whether it
// is an .h5, then for a .keras the config as a text, then the tree. Counts and lengths of names are one byte, those of
// texts and extents two; every number of a dataset is 0.5, or 1.
constexpr size_t most_elements = 1 << 14;
constexpr int most_groups_deep = 32;

class PartsWriter {
 public:
  Bytes bytes;
  void number(size_t value, int width) {
    for (int i = 0; i < width; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
  }
  void text(std::string_view value, int width) {
    number(value.size(), width);
    for (char c : value) bytes.push_back(static_cast<std::byte>(c));
  }
  void tree(const Hdf5Group& group) {
    number(group.attributes.size(), 1);
    for (const auto& [name, attribute] : group.attributes) {
      text(name, 1);
      number(attribute.texts.size(), 1);
      for (const std::string& one : attribute.texts) text(one, 2);
    }
    number(group.datasets.size(), 1);
    for (const auto& [name, dataset] : group.datasets) {
      text(name, 1);
      number(dataset.shape.size() * 2 + (dataset.integer ? 1 : 0), 1);
      for (int64_t extent : dataset.shape) number(static_cast<size_t>(extent), 2);
    }
    number(group.groups.size(), 1);
    for (const auto& [name, inner] : group.groups) {
      text(name, 1);
      tree(*inner);
    }
  }
};

class PartsReader {
 public:
  explicit PartsReader(std::span<const std::byte> bytes) : rest_(bytes) {}
  size_t number(int width) {
    size_t value = 0;
    for (int i = 0; i < width && !rest_.empty(); ++i, rest_ = rest_.subspan(1)) value |= static_cast<size_t>(rest_[0]) << (8 * i);
    return value;
  }
  std::string text(int width) {
    const size_t wanted = number(width), size = std::min(wanted, rest_.size());
    const std::string value(text_of(rest_.first(size)));
    rest_ = rest_.subspan(size);
    return value;
  }
  void tree(Hdf5Group& group, int depth = 0) {
    for (size_t i = number(1); i-- > 0 && !rest_.empty();) {
      Hdf5Attribute& attribute = group.attributes[text(1)];
      for (size_t k = number(1); k-- > 0 && !rest_.empty();) attribute.texts.push_back(text(2));
    }
    for (size_t i = number(1); i-- > 0 && !rest_.empty();) {
      Hdf5Dataset& dataset = group.datasets[text(1)];
      dataset = {};
      const size_t kind = number(1);
      dataset.integer = kind % 2 != 0;
      size_t elements = 1;
      for (size_t k = std::min<size_t>(kind / 2, 8); k-- > 0;) {
        dataset.shape.push_back(static_cast<int64_t>(number(2)));
        elements *= static_cast<size_t>(dataset.shape.back());
        if (elements > most_elements) {
          dataset.shape.back() = 0;
          elements = 0;
        }
      }
      if (dataset.integer)
        dataset.integers.assign(elements, 1);
      else
        dataset.reals.assign(elements, 0.5f);
    }
    for (size_t i = number(1); i-- > 0 && !rest_.empty() && depth < most_groups_deep;) {
      std::unique_ptr<Hdf5Group>& inner = group.groups[text(1)];
      inner = std::make_unique<Hdf5Group>();
      tree(*inner, depth + 1);
    }
  }

 private:
  std::span<const std::byte> rest_;
};

void read_parts(std::span<const std::byte> bytes) {
  PartsReader reader(bytes);
  const bool is_h5 = reader.number(1) != 0;
  const std::string config = is_h5 ? "" : reader.text(2);
  auto root = std::make_unique<Hdf5Group>();
  reader.tree(*root);
  SavedTraining training;
  refused_or_read([&] {
    if (is_h5)
      import_keras_tree(*root, "m.h5", &training);
    else
      import_keras_parts(config, "", [&] { return std::move(root); }, "m.keras", &training);
  });
}

std::vector<Bytes> parts_seeds() {
  std::vector<Bytes> seeds;
  const Bytes archive = export_keras_archive(small_model(), small_training()), h5 = export_keras_h5(small_model(), small_training());
  const auto files = read_zip(archive, "m.keras");
  for (const bool is_h5 : {false, true}) {
    PartsWriter writer;
    writer.number(is_h5 ? 1 : 0, 1);
    if (!is_h5) writer.text(text_of(files.at("config.json").bytes), 2);
    writer.tree(*(is_h5 ? read_hdf5(h5, "m.h5") : read_hdf5(files.at("model.weights.h5").bytes, "m.weights.h5")));
    seeds.push_back(std::move(writer.bytes));
  }
  return seeds;
}

Bytes moru_bytes() {
  const Model model = small_model();
  const Bytes stored = write_model(model), training = write_training(small_training());
  const WeightsSection weights = make_weights_section(model);
  const MoruSection sections[] = {{SectionKind::model, {stored}},
                                  {SectionKind::training, {training}},
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
    if ((*file)->has(SectionKind::training)) read_training((*file)->section(SectionKind::training), "m.moru");
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
    {"keras_parts", read_parts, parts_seeds},
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
