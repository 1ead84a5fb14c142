#include "tools/moru/weights_file.h"


#include "compiler/exchange/keras_archive.h"
#include "compiler/exchange/zip_file.h"
#include "runtime/data/npy_head.h"
#include "runtime/mapped_file.h"
#include "tools/moru/arrays.h"
#include "tools/moru/commands.h"
#include "tools/moru/model_source.h"

namespace moru::cli {
namespace {

std::vector<NamedTensor> read_npz(std::span<const std::byte> bytes, const std::string& source) {
  constexpr std::string_view ending = ".npy";
  std::vector<NamedTensor> tensors;
  for (const auto& [name, content] : read_zip(bytes, source)) {
    if (!name.ends_with(ending)) fail(source + ": '" + name + "' is no .npy file, so this is no .npz file of weights");
    const NpyArray array = need(parse_npy(content.bytes, source + " (" + name + ")"));
    const DType dtype = dtype_of_npy(array.type);
    tensors.push_back({name.substr(0, name.size() - ending.size()), dtype, array.shape,
                       need(convert_npy(array, dtype, source + " (" + name + ")"))});
  }
  return tensors;
}

std::vector<std::byte> npz_bytes(std::span<const NamedTensor> tensors) {
  std::vector<std::vector<std::byte>> contents;
  for (const NamedTensor& tensor : tensors) {
    const std::string head = npy_head(npy_type_of(tensor.type.dtype), tensor.shape);
    const auto begin = std::as_bytes(std::span(head));
    contents.emplace_back(begin.begin(), begin.end());
    contents.back().insert(contents.back().end(), tensor.bytes.begin(), tensor.bytes.end());
  }
  std::vector<std::pair<std::string, std::span<const std::byte>>> files;
  for (size_t i = 0; i < tensors.size(); ++i) files.emplace_back(tensors[i].name + ".npy", contents[i]);
  return write_zip(files);
}

}  // namespace

bool is_named_weights(const std::string& path) {
  const std::string ending = ending_of(path);
  return ending == ".safetensors" || ending == ".npz";
}

std::vector<NamedTensor> read_named_weights(const std::string& path) {
  const auto file = need(MappedFile::open(path));
  const std::span<const std::byte> bytes = file->bytes();
  return ending_of(path) == ".npz" ? read_npz(bytes, path) : read_safetensors(bytes, path);
}

std::vector<std::byte> named_weights_bytes(const std::string& path, std::span<const NamedTensor> tensors) {
  return ending_of(path) == ".npz" ? npz_bytes(tensors) : write_safetensors(tensors);
}

void read_weights(Model& model, const std::string& path) {
  if (is_named_weights(path)) return assign_named_weights(model, read_named_weights(path), path);
  import_keras_weights(model, need(MappedFile::open(path))->bytes(), path);
}

}  // namespace moru::cli
