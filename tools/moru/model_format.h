// The kinds of file that a model, or its weights, can be written as.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/moru/model_source.h"

namespace moru::cli {

struct FormatOptions {
  std::optional<int64_t> opset;  // of an .onnx
};

struct ModelFormat {
  std::string_view ending;
  std::string_view what;
  std::vector<std::byte> (*write)(const ModelSource&, const FormatOptions&, const std::string& path);
  bool weights_alone = false;
};

std::span<const ModelFormat> model_formats();

/// The format that the name's ending asks for. Throws Failure that lists all where there is none.
const ModelFormat& model_format(const std::string& path);

}  // namespace moru::cli
