// Files that earlier versions wrote must go on being read: small.moru holds a model, its training state and weights of
// format version 1; mixed.moru came when models were given a policy of element types.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "compiler/interpret/reference.h"
#include "compiler/io/model_io.h"
#include "compiler/io/training_io.h"
#include "compiler/passes/make_entries.h"
#include "runtime/moru_file.h"

using namespace moru;

TEST_CASE("compat: small.moru of format version 1 still gives its numbers") {
  const Result<std::shared_ptr<const MoruFile>> file = MoruFile::open(std::string(MORU_SOURCE_DIR) + "/tests/compat/small.moru");
  INFO(file.status().message());
  REQUIRE(file.ok());
  Model model = read_model((*file)->section(SectionKind::model), (*file)->section(SectionKind::weights), "small.moru");
  CHECK(model.name == "small");
  CHECK(model.input_names() == std::vector<std::string>{"window"});
  CHECK(model.output_names == std::vector<std::string>{"y"});
  CHECK(model.layers.at(1).class_name == "LSTM");
  const SavedTraining training = read_training((*file)->section(SectionKind::training), "small.moru");
  CHECK(training.compile_config.find("\"adam\"") != std::string::npos);
  CHECK(training.variables.size() == 12);

  const Module module = make_entries(model, nullptr);
  std::map<std::string, HostTensor> slots;
  for (const ParameterPath& path : all_parameters(model))
    slots[path.path] = {DType::f32, path.parameter->shape, {path.parameter->data.begin(), path.parameter->data.end()}};
  HostTensor window{DType::f32, {1, 3, 2}, {0.5, -1.0, 0.25, 2.0, -0.5, 1.0}};
  slots["window"] = window;
  interpret_entry(module, "predict", slots);
  // As the version that wrote the file computed it.
  const double expected[] = {0.0914524794, -0.226156086};
  REQUIRE(slots["y"].data.size() == std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) CHECK(std::abs(slots["y"].data[i] - expected[i]) < 1e-6);
}

TEST_CASE("compat: mixed.moru still has its policy and its weights") {
  const Result<std::shared_ptr<const MoruFile>> file = MoruFile::open(std::string(MORU_SOURCE_DIR) + "/tests/compat/mixed.moru");
  INFO(file.status().message());
  REQUIRE(file.ok());
  const Model model = read_model((*file)->section(SectionKind::model), (*file)->section(SectionKind::weights), "mixed.moru");
  CHECK(model.dtype_policy == DTypePolicy::mixed_bfloat16);
  REQUIRE(model.layers.at(1).parameters.size() == 2);
  CHECK(model.layers[1].parameters[0].data.size() == 12);
  CHECK(model.layers[1].parameters[0].data[0] != 0.0f);
}
