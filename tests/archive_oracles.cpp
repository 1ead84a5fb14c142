#include "tests/archive_oracles.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "compiler/exchange/keras_archive.h"
#include "compiler/exchange/keras_json.h"
#include "compiler/io/model_io.h"
#include "compiler/support/error.h"
#include "runtime/data/npy.h"
#include "runtime/training/predict.h"
#include "tests/support/need.h"
#include "tools/moru/native_program.h"

namespace fs = std::filesystem;
using nlohmann::json;

namespace moru {
namespace {

using test::need;

std::string read_bytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

SavedTensor read_tensor(const fs::path& path, DType dtype) {
  NpyArray array = need(read_npy(path.string()));
  SavedTensor tensor{{}, dtype, array.shape, need(convert_npy(array, dtype, path.string()))};
  return tensor;
}

std::vector<float> floats(const SavedTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

// An input that is recorded as a formula over pixels, too large to store.
SavedTensor formula_input(const json& input) {
  SavedTensor tensor{{}, DType::f32, input["shape"].get<std::vector<int64_t>>(), {}};
  if (input["formula"].get<std::string>().find("0.5 + 0.5*sin(0.05*i)*cos(0.03*j + 0.001*i)") == std::string::npos)
    throw std::runtime_error("the input is a formula that this test does not know");
  std::vector<float> values;
  for (int64_t i = 0; i < tensor.shape[1]; ++i)
    for (int64_t j = 0; j < tensor.shape[2]; ++j) {
      const double y = static_cast<double>(i), x = static_cast<double>(j);
      values.push_back(static_cast<float>(0.5 + 0.5 * std::sin(0.05 * y) * std::cos(0.03 * x + 0.001 * y)));
    }
  const auto bytes = std::as_bytes(std::span(values));
  tensor.bytes.assign(bytes.begin(), bytes.end());
  return tensor;
}

std::vector<float> every_16th_pixel(const SavedTensor& tensor) {
  const std::vector<float> all = floats(tensor);
  std::vector<float> kept;
  for (int64_t i = 0; i < tensor.shape[1]; i += 16)
    for (int64_t j = 0; j < tensor.shape[2]; j += 16) kept.push_back(all[static_cast<size_t>(i * tensor.shape[2] + j)]);
  return kept;
}

void compare(const std::string& what, const std::vector<float>& got, const std::vector<float>& want, double rtol,
             double atol) {
  if (got.size() != want.size())
    throw std::runtime_error(what + ": " + std::to_string(got.size()) + " values instead of " +
                             std::to_string(want.size()));
  for (size_t i = 0; i < want.size(); ++i)
    if (!(std::abs(got[i] - want[i]) <= atol + rtol * std::abs(want[i])))
      throw std::runtime_error(what + "[" + std::to_string(i) + "]: got " + std::to_string(got[i]) + ", Keras " +
                               std::to_string(want[i]));
}

void assign_recorded_weights(Model& model, const fs::path& folder, const json& data) {
  for (const json& weight : data["weights"]) {
    const SavedTensor tensor = read_tensor(folder / weight["file"].get<std::string>(), DType::f32);
    assign_weight(model, weight["layer"].get<std::string>(), weight["name"].get<std::string>(), floats(tensor),
                  tensor.shape);
  }
}

void check_same_weights(Model& before, Model& after, const std::string& where) {
  const auto a = all_parameters(before), b = all_parameters(after);
  if (a.size() != b.size()) throw std::runtime_error(where + ": another number of weights");
  for (size_t i = 0; i < a.size(); ++i) {
    const std::vector<float>&x = a[i].parameter->data, &y = b[i].parameter->data;
    if (a[i].path != b[i].path || x.empty() || x.size() != y.size() ||
        std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) != 0)
      throw std::runtime_error(where + ": the weight '" + a[i].path + "' is not the same");
  }
}

void check_round_trips(Model& model) {
  const WeightsSection section = make_weights_section(model);
  std::vector<std::byte> weights;
  for (const auto& piece : section.pieces) weights.insert(weights.end(), piece.begin(), piece.end());
  Model stored = read_model(write_model(model), weights, "m.moru");
  check_same_weights(model, stored, ".moru");
  std::string config;
  try {
    config = export_keras_json(model);
  } catch (const CompileError& error) {
    // What Keras 3 does not have.
    if (error.parts().detail.find("Keras 2's hard_sigmoid") == std::string::npos) throw;
    return;
  }
  const auto check_same_config = [&](const Model& read, const char* format) {
    if (export_keras_json(read) != config) throw std::runtime_error(std::string(format) + ": the config is not the same");
  };
  check_same_config(stored, ".moru");
  Model archive = import_keras_file(export_keras_archive(stored), "m.keras");
  check_same_weights(model, archive, ".keras");
  check_same_config(archive, ".keras");
  Model legacy = import_keras_file(export_keras_h5(stored), "m.h5");
  check_same_weights(model, legacy, ".h5");
  check_same_config(legacy, ".h5");
  Model bare = import_keras_json(config);
  import_keras_weights(bare, export_keras_weights(stored), "m.weights.h5");
  check_same_weights(model, bare, ".weights.h5");
}

}  // namespace

std::vector<SavedTensor> recorded_inputs(const Model& model, const fs::path& folder, const json& data) {
  const std::vector<std::string> names = model.input_names();
  std::vector<SavedTensor> inputs;
  for (size_t i = 0; i < names.size(); ++i) {
    const json& input = data["inputs"][i];
    const DType dtype = model.type(model.inputs[i]).dtype;
    inputs.push_back(input["file"].is_null() ? formula_input(input)
                                             : read_tensor(folder / input["file"].get<std::string>(), dtype));
    inputs.back().name = names[i];
  }
  return inputs;
}

void compare_recorded(const std::vector<SavedTensor>& outputs, const fs::path& folder, const json& data) {
  const json& wanted = data.contains("outputs") ? data["outputs"] : data["expected"]["predictions_before"];
  const bool trained = !data["tolerance"].contains("rtol");
  const double rtol = data["tolerance"][trained ? "history_rtol" : "rtol"];
  const double atol = data["tolerance"][trained ? "history_atol" : "atol"];
  if (outputs.size() != wanted.size()) throw std::runtime_error("the number of outputs differs");
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string file =
        wanted[i].is_string() ? wanted[i].get<std::string>() : wanted[i]["file"].get<std::string>();
    const bool pixels = wanted[i].is_object() && wanted[i].contains("stored");
    compare("output '" + outputs[i].name + "'", pixels ? every_16th_pixel(outputs[i]) : floats(outputs[i]),
            floats(read_tensor(folder / file, DType::f32)), rtol, atol);
  }
}

Model recorded_model(const fs::path& folder, const json& data, const std::string& file) {
  Model model;
  if (file.empty()) {
    model = import_keras_json(data["model_config"].dump(), folder.filename().string());
    assign_recorded_weights(model, folder, data);
    return model;
  }
  const std::string text = read_bytes(folder / file);
  if (!file.ends_with(".json")) return import_keras_file(std::as_bytes(std::span(text)), file);
  model = import_keras_json(text, file, data["keras_version"].get<std::string>());
  const std::string weights = data["files"][1]["file"], content = read_bytes(folder / weights);
  import_keras_weights(model, std::as_bytes(std::span(content)), weights);
  return model;
}

std::vector<SavedTensor> predict_natively(Model& model, const std::vector<SavedTensor>& inputs) {
  const auto program = need(make_native_program(model, {}));
  return need(predict_tensors(*need(Session::create(program)), inputs));
}

std::vector<std::string> find_archives(const fs::path& folder, const json& data) {
  std::vector<std::string> files;
  if (data.contains("archives"))
    for (const auto& [name, what] : data["archives"].items())
      if (fs::exists(folder / name)) files.push_back(name);
  if (data.contains("files")) files.push_back(data["files"][0]["file"].get<std::string>());
  return files;
}

void check_archive(const fs::path& folder, const json& data, const std::string& file) {
  Model model = recorded_model(folder, data, file);
  if (data.contains("weights")) {
    std::vector<std::vector<float>> from_file;
    for (const ParameterPath& path : all_parameters(model)) from_file.push_back(path.parameter->data);
    assign_recorded_weights(model, folder, data);
    size_t i = 0;
    for (const ParameterPath& path : all_parameters(model))
      if (path.parameter->data != from_file[i++])
        throw std::runtime_error("the weight '" + path.path + "' is not the recorded one");
  }
  compare_recorded(predict_natively(model, recorded_inputs(model, folder, data)), folder, data);
  check_round_trips(model);
}

}  // namespace moru
