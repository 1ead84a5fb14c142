#include "compiler/exchange/keras_archive.h"

#include "compiler/exchange/hdf5_file.h"
#include "compiler/exchange/json_text.h"
#include "compiler/exchange/keras_json.h"
#include "compiler/exchange/keras_training.h"
#include "compiler/exchange/keras_weights.h"
#include "compiler/exchange/refusal.h"
#include "compiler/exchange/zip_file.h"

namespace moru {
namespace {

// What a file is taken to be written by: the newest Keras whose layout it has.
constexpr const char* exported_keras_version = "3.5.0";

using exchange::refuse;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// A file that is neither: what it seems to be, and what to do.
[[noreturn]] void refuse_unknown(std::span<const std::byte> bytes, const std::string& source) {
  const std::string_view text = text_of(bytes);
  if (bytes.empty()) refuse(source, "is empty");
  if (text.starts_with("version https://git-lfs"))
    refuse(source, "is a Git LFS pointer, not the file itself", "fetch it with 'git lfs pull'");
  if (text.starts_with("<!DOCTYPE") || text.starts_with("<html"))
    refuse(source, "is a web page, not a model", "download the file itself");
  refuse(source, "is neither a zip archive nor HDF5",
         "a Keras model is a .keras or .h5 file, or the text of model.to_json() in a .json");
}

std::unique_ptr<Hdf5Group> read_archive_weights(const std::map<std::string, ZippedFile>& files,
                                                const std::string& source) {
  const auto weights = files.find("model.weights.h5");
  if (weights != files.end()) return read_hdf5(weights->second.bytes, source + " (model.weights.h5)");
  if (files.count("model.weights.npz"))
    refuse(source, "keeps its weights as pickled Python objects (model.weights.npz), which are code and never run",
           "save the model again with h5py installed");
  refuse(source, "is a zip archive without 'model.weights.h5', so it is no Keras model");
}

std::span<const std::byte> need_file(const std::map<std::string, ZippedFile>& files, const char* name,
                                        const std::string& source) {
  const auto found = files.find(name);
  if (found != files.end()) return found->second.bytes;
  const bool saved_model = files.count("saved_model.pb") != 0;
  refuse(source, std::string("is a zip archive without '") + name + "', so it is no Keras model",
         saved_model ? "it is a TensorFlow SavedModel; save the model as .keras" : "");
}

std::string version_of(const Json& metadata) {
  return metadata.is_object() && metadata.contains("keras_version") && metadata["keras_version"].is_string()
             ? metadata["keras_version"].get<std::string>()
             : std::string();
}

Model import_archive(std::span<const std::byte> bytes, const std::string& source, SavedTraining* training) {
  const auto files = read_zip(bytes, source);
  const std::span<const std::byte> config = need_file(files, "config.json", source);
  std::string version;
  if (const auto metadata = files.find("metadata.json"); metadata != files.end())
    version = version_of(parse_json(text_of(metadata->second.bytes), source + " (metadata.json)"));
  // A model that cannot be read needs no weights.
  return import_keras_parts(text_of(config), version, [&] { return read_archive_weights(files, source); }, source, training);
}

const Hdf5Group& weights_group(const Hdf5Group& root) {
  const Hdf5Group* inner = root.find_group("model_weights");
  return inner != nullptr ? *inner : root;
}

}  // namespace

Model import_keras_parts(std::string_view config, const std::string& version,
                         const std::function<std::unique_ptr<Hdf5Group>()>& read_weights, const std::string& source,
                         SavedTraining* training) {
  Model model = import_keras_json(config, source, version);
  const std::unique_ptr<Hdf5Group> weights = read_weights();
  read_keras_weights(model, *weights, source);
  if (training != nullptr) *training = read_keras3_training(parse_json(config, source + " (config.json)"), *weights);
  return model;
}

Model import_keras_tree(const Hdf5Group& root, const std::string& source, SavedTraining* training) {
  std::string config;
  for (const std::string& part : read_split_texts(root, "model_config")) config += part;
  if (config.empty()) {
    if (find_keras_layout(weights_group(root)) == KerasLayout::none)
      refuse(source, "is HDF5, but neither a Keras model nor its weights");
    refuse(source, "holds weights only, no model", "give the model and these weights: MODEL.json --weights " + source);
  }
  Model model = import_keras_json(config, source, root.text("keras_version"));
  read_keras_weights(model, weights_group(root), source);
  if (training != nullptr) *training = read_legacy_training(root, root.text("keras_version"), source);
  return model;
}

Model import_keras_file(std::span<const std::byte> bytes, const std::string& source, SavedTraining* training) {
  if (is_zip(bytes)) return import_archive(bytes, source, training);
  if (is_hdf5(bytes)) return import_keras_tree(*read_hdf5(bytes, source), source, training);
  refuse_unknown(bytes, source);
}

void import_keras_weights(Model& model, std::span<const std::byte> bytes, const std::string& source) {
  if (is_zip(bytes)) {
    const auto files = read_zip(bytes, source);
    read_keras_weights(model, *read_archive_weights(files, source), source);
  } else if (is_hdf5(bytes)) {
    read_keras_weights(model, weights_group(*read_hdf5(bytes, source)), source);
  } else {
    refuse_unknown(bytes, source);
  }
}

std::vector<std::byte> export_keras_weights(const Model& model) {
  Hdf5Group root;
  write_keras3_weights(model, root);
  return write_hdf5(root);
}

std::vector<std::byte> export_keras_archive(const Model& model, const SavedTraining& training) {
  Json config = parse_json(export_keras_json(model), "the exported model");
  config["build_config"]["input_shape"] = nullptr;
  Hdf5Group root;
  write_keras3_weights(model, root);
  write_keras3_training(training, config, root);
  Json metadata = Json::object();
  metadata["keras_version"] = exported_keras_version;
  metadata["date_saved"] = "1980-01-01@00:00:00";  // the same model gives the same bytes
  const std::string config_text = print_json(config), metadata_text = print_json(metadata);
  const std::vector<std::byte> weights = write_hdf5(root);
  return write_zip({{"metadata.json", bytes_of(metadata_text)},
                    {"config.json", bytes_of(config_text)},
                    {"model.weights.h5", weights}});
}

std::vector<std::byte> export_keras_h5(const Model& model, const SavedTraining& training) {
  Hdf5Group root;
  const Json whole = parse_json(export_keras_json(model), "the exported model");
  Json config = Json::object();
  config["class_name"] = whole["class_name"];
  config["config"] = whole["config"];
  Hdf5Group& weights = root.make_group("model_weights");
  write_legacy_weights(model, weights);
  for (Hdf5Group* group : {&root, &weights}) {
    group->attributes["keras_version"] = {.texts = {exported_keras_version}, .scalar = true};
    group->attributes["backend"] = {.texts = {"tensorflow"}, .scalar = true};
  }
  root.attributes["model_config"] = {.texts = {print_json(config)}, .scalar = true};
  write_legacy_training(training, model, root);
  return write_hdf5(root);
}

}  // namespace moru
