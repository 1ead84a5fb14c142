#include "runtime/training/predict.h"

#include <cstdio>
#include <filesystem>
#include <system_error>

#include "runtime/atomic_file.h"
#include "runtime/data/npy.h"
#include "runtime/data/gaps.h"
#include "runtime/data/prepare.h"
#include "runtime/training/predictions_table.h"
#include "runtime/training/progress.h"
#include "tools/moru-run/commands.h"

namespace moru::run {
namespace {

Result<SavedTensor> read_tensor(const std::string& argument) {
  const std::size_t equals = argument.find('=');
  SavedTensor tensor;
  if (equals != std::string::npos) tensor.name = argument.substr(0, equals);
  const std::string path = equals == std::string::npos ? argument : argument.substr(equals + 1);
  Result<NpyArray> array = read_npy(path);
  if (!array) return array.status();
  tensor.dtype = DType::f32;
  switch (array->type) {
    case NpyType::f4: tensor.dtype = DType::f32; break;
    case NpyType::f8: tensor.dtype = DType::f64; break;
    case NpyType::i4: tensor.dtype = DType::i32; break;
    case NpyType::b1: tensor.dtype = DType::boolean; break;
    case NpyType::i8:
    case NpyType::i1:
    case NpyType::i2:
    case NpyType::u2:
    case NpyType::u4:
    case NpyType::u8:
    case NpyType::f2:
    case NpyType::u1: tensor.dtype = DType::i64; break;
  }
  Result<std::vector<std::byte>> bytes = convert_npy(*array, tensor.dtype, path);
  if (!bytes) return bytes.status();
  tensor.shape = array->shape;
  tensor.bytes = *std::move(bytes);
  return tensor;
}

Status predict_arrays(Session& session, const PredictOptions& options) {
  std::vector<SavedTensor> inputs;
  for (const std::string& argument : options.arrays) {
    Result<SavedTensor> input = read_tensor(argument);
    if (!input) return input.status();
    inputs.push_back(*std::move(input));
  }
  const Result<std::vector<SavedTensor>> answers = predict_tensors(session, inputs);
  if (!answers) return answers.status();
  std::error_code error;
  std::filesystem::create_directories(options.output_directory, error);
  if (error) return file_error("make", options.output_directory, error.value());
  for (const SavedTensor& answer : *answers) {
    const std::string path = options.output_directory + "/" + output_file_name(answer.name) + ".npy";
    MORU_RETURN_IF_ERROR(write_npy(path, answer.dtype, answer.shape, answer.bytes));
  }
  return Status();
}

Status predict_csv(Session& session, const Recipe& recipe, const PredictOptions& options) {
  MORU_RETURN_IF_ERROR(check_output(options.output, std::span(&options.data, 1)));
  const Result<Dataset> data = prepare_prediction(recipe, options.data);
  if (!data) return data.status();
  Progress(ProgressStyle::quiet, stderr).warn(describe_gaps(recipe, data->times()));
  const Result<std::vector<SavedTensor>> answers = predict(session, *data);
  if (!answers) return answers.status();
  const Result<std::string> table = predictions_csv(recipe, *data, *answers);
  if (!table) return table.status();
  if (options.output.empty() || options.output == "-") {
    std::fputs(table->c_str(), stdout);
    return Status();
  }
  return write_file_atomically(options.output, *table);
}

}  // namespace

int run_predict(const CommonOptions& common, const PredictOptions& options) {
  const Result<Model> model = open_model(common);
  if (!model) return fail(model.status());
  const Result<std::unique_ptr<Session>> session = open_session(common, *model);
  if (!session) return fail(session.status());
  if (!options.arrays.empty()) {
    const Status status = predict_arrays(**session, options);
    return status.ok() ? 0 : fail(status);
  }
  const Result<Recipe> recipe = require_recipe(common, *model);
  if (!recipe) return fail(recipe.status());
  const Status status = predict_csv(**session, *recipe, options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace moru::run
