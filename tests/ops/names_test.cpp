#include "compiler/ops/names.h"

#include <doctest/doctest.h>

#include <functional>

#include "compiler/ops/op.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const CompileError& error) {
    return error.what();
  }
  return "no error";
}

Type f32(Shape shape) { return {DType::f32, std::move(shape)}; }

}  // namespace

TEST_CASE("names: classes are written in snake case, capitals together") {
  CHECK(snake_case("MeanSquaredError") == "mean_squared_error");
  CHECK(snake_case("LeakyReLU") == "leaky_relu");
  CHECK(snake_case("ReLU") == "relu");
  CHECK(snake_case("KLDivergence") == "kl_divergence");
  CHECK(snake_case("R2Score") == "r2_score");
  CHECK(snake_case("binary_crossentropy") == "binary_crossentropy");
}

TEST_CASE("names: losses, optimizers and activations are found by every name Keras has for them") {
  for (const char* name : {"mse", "MSE", "mean_squared_error", "MeanSquaredError"}) CHECK(loss_op_for(name) == "mean_squared_error");
  CHECK(loss_op_for("Huber") == "huber");
  CHECK(loss_op_for("bce") == "binary_crossentropy");
  CHECK(loss_op_for("LogCosh") == "log_cosh");
  CHECK(loss_op_for("SparseCategoricalCrossentropy") == "sparse_categorical_crossentropy");
  for (const char* name : {"adam", "Adam"}) CHECK(optimizer_op_for(name) == "adam_update");
  for (const char* name : {"adamw", "AdamW"}) CHECK(optimizer_op_for(name) == "adamw_update");
  for (const char* name : {"rmsprop", "RMSprop"}) CHECK(optimizer_op_for(name) == "rmsprop_update");
  CHECK(optimizer_op_for("SGD") == "sgd_update");
  CHECK(activation_op_for("relu") == "relu");
  CHECK(activation_op_for("LeakyReLU") == "leaky_relu");
  CHECK(activation_op_for("swish") == "silu");
  for (const char* name : {"tanh", "sigmoid", "softmax", "gelu", "elu", "linear", "hard_sigmoid", "softplus", "silu"})
    CHECK(activation_op_for(name) == name);
}

TEST_CASE("names: accuracy is chosen by the shapes, as in Keras") {
  CHECK(metric_op_for("accuracy", f32({Dim::symbol("batch"), 1}), f32({Dim::symbol("batch"), 1})) == "metric_accuracy_binary");
  CHECK(metric_op_for("acc", f32({8, 3}), f32({8, 3})) == "metric_accuracy_categorical");
  CHECK(metric_op_for("accuracy", {DType::i32, {8}}, f32({8, 3})) == "metric_accuracy_sparse_categorical");
  CHECK(metric_op_for("accuracy", {DType::i32, {8, 1}}, f32({8, 3})) == "metric_accuracy_sparse_categorical");
}

TEST_CASE("names: metrics are found by alias, and every loss is one") {
  Type y = f32({8, 3});
  CHECK(metric_op_for("mae", y, y) == "metric_mae");
  CHECK(metric_op_for("RootMeanSquaredError", y, y) == "metric_rmse");
  CHECK(metric_op_for("r2_score", y, y) == "metric_r2");
  for (const Op& op : all_ops()) {
    if (op.family != OpFamily::loss) continue;
    CAPTURE(op.name);
    std::string metric = metric_op_for(op.name, y, y);
    CHECK(find_op(metric) != nullptr);
    CHECK(find_op(metric + "_result") != nullptr);
  }
}

TEST_CASE("names: an unknown name is refused with the nearest known ones") {
  Type y = f32({8, 3});
  CHECK(error_of([] { loss_op_for("mean_sqared_error"); }) ==
        "there is no loss 'mean_sqared_error'\n  hint: did you mean 'mean_squared_error'?");
  CHECK(error_of([] { activation_op_for("rellu"); }).find("did you mean 'relu'") != std::string::npos);
  CHECK(error_of([] { optimizer_op_for("adm"); }).find("'adam'") != std::string::npos);
  CHECK(error_of([&] { metric_op_for("accuracyy", y, y); }).find("'accuracy'") != std::string::npos);
  CHECK(error_of([] { loss_op_for("qqq"); }).find("use one of") != std::string::npos);
}
