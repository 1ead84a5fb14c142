#include "tools/moru/model_format.h"

#include "compiler/exchange/keras_archive.h"
#include "compiler/exchange/keras_json.h"
#include "compiler/exchange/onnx/onnx_export.h"
#include "tools/moru/commands.h"
#include "tools/moru/onnx_recipe.h"
#include "tools/moru/weights_file.h"

namespace moru::cli {
namespace {

using Bytes = std::vector<std::byte>;

Bytes moru_file(const ModelSource& source, const FormatOptions&, const std::string&) { return moru_bytes(source); }

Bytes onnx_file(const ModelSource& source, const FormatOptions& options, const std::string&) {
  OnnxExportOptions to{.opset = options.opset};
  if (source.recipe) to.metadata = recipe_metadata(*source.recipe);
  return export_onnx(source.model, to);
}

Bytes keras_file(const ModelSource& source, const FormatOptions&, const std::string&) {
  return export_keras_archive(source.model, source.training);
}

Bytes legacy_file(const ModelSource& source, const FormatOptions&, const std::string&) {
  return export_keras_h5(source.model, source.training);
}

Bytes keras_weights(const ModelSource& source, const FormatOptions&, const std::string&) {
  return export_keras_weights(source.model);
}

Bytes json_file(const ModelSource& source, const FormatOptions&, const std::string&) {
  const std::string text = export_keras_json(source.model) + "\n";
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

Bytes named_weights_file(const ModelSource& source, const FormatOptions&, const std::string& path) {
  return named_weights_bytes(path, named_weights(source.model));
}

// The first ending that fits counts.
const ModelFormat formats[] = {
    {".moru", "Moru's own, with the recipe", moru_file},
    {".onnx", "ONNX", onnx_file},
    {".keras", "Keras 3", keras_file},
    {".weights.h5", "weights alone, for Keras 3", keras_weights, true},
    {".h5", "Keras' older format", legacy_file},
    {".hdf5", "the same", legacy_file},
    {".json", "Keras 3, layers without weights", json_file},
    {".safetensors", "weights alone, by name", named_weights_file, true},
    {".npz", "the same, for NumPy", named_weights_file, true},
};

}  // namespace

std::span<const ModelFormat> model_formats() { return formats; }

const ModelFormat& model_format(const std::string& path) {
  std::string known;
  for (const ModelFormat& format : formats) {
    if (path.ends_with(format.ending)) return format;
    known += (known.empty() ? "" : ", ") + std::string(format.ending);
  }
  fail("cannot tell what kind of file '" + path + "' is to be\n  hint: end its name in one of " + known);
}

}  // namespace moru::cli
