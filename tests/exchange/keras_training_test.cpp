#include "compiler/exchange/keras_training.h"

#include <doctest/doctest.h>

#include <cstring>

#include "compiler/exchange/keras_archive.h"
#include "compiler/io/training_io.h"
#include "compiler/model/layers.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

Model small_model() {
  ModelBuilder m("small");
  Tensor h = m.call(layers::dense(2, {.name = "hidden"}), m.input("x", {3}));
  Model model = m.build({m.call(layers::dense(1, {.name = "y", .trainable = false}), h)});
  initialize_parameters(model, 1);
  return model;
}

template <typename Element>
NamedTensor tensor(size_t number, DType dtype, std::vector<int64_t> shape, std::vector<Element> values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {std::to_string(number), dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}

// Adam after 7 steps: two states of the kernel [3, 2], then two of the bias [2]; the other layer is frozen.
SavedTraining adam_state() {
  SavedTraining state;
  state.compile_config =
      R"({"optimizer":{"module":"keras.optimizers","class_name":"Adam","config":{"name":"adam","learning_rate":0.01,)"
      R"("beta_1":0.9,"amsgrad":false},"registered_name":null},"loss":"mse","loss_weights":null,"metrics":["mae"]})";
  state.variables = {tensor<int64_t>(0, DType::i64, {}, {7}),
                     tensor<float>(1, DType::f32, {}, {0.01f}),
                     tensor<float>(2, DType::f32, {3, 2}, {1, 2, 3, 4, 5, 6}),
                     tensor<float>(3, DType::f32, {3, 2}, {7, 8, 9, 10, 11, 12}),
                     tensor<float>(4, DType::f32, {2}, {13, 14}),
                     tensor<float>(5, DType::f32, {2}, {15, 16})};
  return state;
}

void check_equal(const SavedTraining& a, const SavedTraining& b) {
  CHECK(a.compile_config == b.compile_config);
  REQUIRE(a.variables.size() == b.variables.size());
  for (size_t i = 0; i < a.variables.size(); ++i) {
    CAPTURE(i);
    CHECK(a.variables[i].name == b.variables[i].name);
    CHECK(a.variables[i].type.dtype == b.variables[i].type.dtype);
    CHECK(a.variables[i].shape == b.variables[i].shape);
    CHECK(a.variables[i].bytes == b.variables[i].bytes);
  }
}

}  // namespace

TEST_CASE("keras training: configuration and optimizer state go through .keras, .moru and .h5 and stay the same") {
  const Model model = small_model();
  const SavedTraining state = adam_state();
  SavedTraining archive, legacy;
  import_keras_file(export_keras_archive(model, state), "m.keras", &archive);
  check_equal(archive, state);
  check_equal(read_training(write_training(archive), "m.moru"), state);
  import_keras_file(export_keras_h5(model, archive), "m.h5", &legacy);
  check_equal(legacy, state);
}

TEST_CASE("keras training: an optimizer that is only named stays a name, also in .h5") {
  const Model model = small_model();
  SavedTraining state;
  state.compile_config = R"({"optimizer":"adam","loss":"mse"})";
  SavedTraining legacy;
  import_keras_file(export_keras_h5(model, state), "m.h5", &legacy);
  check_equal(legacy, state);
  SavedTraining none;
  import_keras_file(export_keras_archive(model), "m.keras", &none);
  CHECK(none.empty());
}

TEST_CASE("keras training: the optimizer's variables become the slots of the weights that are trained") {
  Model model = small_model();
  const std::vector<NamedTensor> slots = optimizer_slots(adam_state(), model);
  std::string names;
  for (const NamedTensor& slot : slots) names += slot.name + " ";
  CHECK(names ==
        "step learning_rate adam/momentum/hidden/kernel adam/velocity/hidden/kernel adam/momentum/hidden/bias "
        "adam/velocity/hidden/bias ");
  CHECK(slots[3].bytes == adam_state().variables[3].bytes);
  SavedTraining other = adam_state();
  other.variables.pop_back();
  CHECK(optimizer_slots(other, model).empty());
  other = adam_state();
  other.variables[4].shape = {1, 2};
  CHECK(optimizer_slots(other, model).empty());
}

TEST_CASE("keras training: a damaged section is refused, whatever byte is wrong") {
  const std::vector<std::byte> good = write_training(adam_state());
  const auto refused = [](const std::vector<std::byte>& bytes) {
    try {
      read_training(bytes, "m.moru");
    } catch (const CompileError& error) {
      return std::string(error.what()).find("training section") != std::string::npos;
    }
    return false;
  };
  CHECK(refused({}));
  CHECK(refused({good.begin(), good.begin() + 100}));
  std::vector<std::byte> bad = good;
  std::memset(bad.data(), 0xff, 8);
  CHECK(refused(bad));
  // Every byte of the table: refused or read, never followed out of the section.
  uint64_t table_bytes = 0;
  std::memcpy(&table_bytes, good.data(), sizeof table_bytes);
  int refusals = 0;
  for (size_t i = 64; i < 64 + table_bytes; ++i) {
    bad = good;
    bad[i] ^= std::byte{0x55};
    try {
      read_training(bad, "m.moru");
    } catch (const CompileError&) {
      ++refusals;
    }
  }
  CHECK(refusals > 0);
}
