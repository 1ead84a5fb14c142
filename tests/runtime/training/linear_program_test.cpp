// The hand-written program's entries, and the check that it does what a compiled one would.
#include "tests/runtime/training/linear_program.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>

#include "program_generated.h"
#include "runtime/moru_file.h"
#include "runtime/training/shuffle.h"

namespace moru::testing {

int64_t train_steps_run = 0;
double train_step_seconds = 0;
int64_t train_step_sleep_us = 0;

namespace {

// The slots in their order; optional ones come last so that the numbers above them are fixed.
enum SlotNumber : uint32_t {
  slot_x, slot_y, slot_out, slot_kernel, slot_bias, slot_velocity, slot_step, slot_seed, slot_learning_rate,
  slot_metric, slot_loss, slot_metric_loss, slot_metric_mae, slot_noise, slot_optional
};

struct Buffers {
  explicit Buffers(const moru_kernel_call* call) : call_(call) {}
  template <typename T>
  T* at(uint32_t slot) const { return static_cast<T*>(call_->buffers[slot]); }
  int64_t batch() const { return call_->symbols[0]; }

 private:
  const moru_kernel_call* call_;
};

float answer(const Buffers& buffers, int64_t row) {
  const float* x = buffers.at<float>(slot_x) + row * linear_features;
  const float* w = buffers.at<float>(slot_kernel);
  float sum = buffers.at<float>(slot_bias)[0];
  for (int64_t i = 0; i < linear_features; ++i) sum += w[i] * x[i];
  return sum;
}

int32_t run_predict(const moru_kernel_call* call) {
  const Buffers buffers(call);
  for (int64_t row = 0; row < buffers.batch(); ++row) buffers.at<float>(slot_out)[row] = answer(buffers, row);
  return MORU_KERNEL_OK;
}

template <bool weighted>
float accumulate(const Buffers& buffers, float* gradient) {
  const int64_t batch = buffers.batch();
  double loss = 0, absolute = 0;
  for (int64_t row = 0; row < batch; ++row) {
    const float error = answer(buffers, row) - buffers.at<float>(slot_y)[row];
    const float weight = weighted ? buffers.at<float>(slot_optional)[row] : 1.0f;
    loss += static_cast<double>(weight * error * error);
    absolute += std::fabs(static_cast<double>(error));
    if (gradient == nullptr) continue;
    const float slope = 2 * weight * error / static_cast<float>(batch);
    for (int64_t i = 0; i < linear_features; ++i) {
      gradient[i] += slope * buffers.at<float>(slot_x)[row * linear_features + i];
    }
    gradient[linear_features] += slope;
  }
  double* metric = buffers.at<double>(slot_metric);
  metric[0] += loss;
  metric[1] += absolute;
  metric[2] += static_cast<double>(batch);
  return static_cast<float>(loss / static_cast<double>(batch));
}

template <bool weighted>
int32_t run_train_step(const moru_kernel_call* call) {
  const auto begin = std::chrono::steady_clock::now();
  const Buffers buffers(call);
  float gradient[linear_features + 1] = {};
  *buffers.at<float>(slot_loss) = accumulate<weighted>(buffers, gradient);
  int64_t* step = buffers.at<int64_t>(slot_step);
  if (buffers.at<float>(slot_noise)[0] != 0) {
    const PhiloxBlock noise = philox4x32({{static_cast<uint32_t>(*step), 0, 0, 0}},
                                         static_cast<uint64_t>(*buffers.at<int64_t>(slot_seed)));
    for (int i = 0; i < 4; ++i) gradient[i] += static_cast<float>(noise.words[i]) * 0x1p-32f - 0.5f;
  }
  float* velocity = buffers.at<float>(slot_velocity);
  for (int64_t i = 0; i <= linear_features; ++i) {
    velocity[i] = 0.9f * velocity[i] - *buffers.at<float>(slot_learning_rate) * gradient[i];
    (i < linear_features ? buffers.at<float>(slot_kernel)[i] : *buffers.at<float>(slot_bias)) += velocity[i];
  }
  ++*step;
  ++train_steps_run;
  if (train_step_sleep_us > 0) usleep(static_cast<useconds_t>(train_step_sleep_us));
  while (train_step_seconds > 0 &&
         std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < train_step_seconds) {
  }
  return MORU_KERNEL_OK;
}

template <bool weighted>
int32_t run_evaluate(const moru_kernel_call* call) {
  accumulate<weighted>(Buffers(call), nullptr);
  return MORU_KERNEL_OK;
}

int32_t run_reset_metrics(const moru_kernel_call* call) {
  std::memset(call->buffers[slot_metric], 0, 3 * sizeof(double));
  return MORU_KERNEL_OK;
}

int32_t run_metric_results(const moru_kernel_call* call) {
  const Buffers buffers(call);
  const double* metric = buffers.at<double>(slot_metric);
  *buffers.at<double>(slot_metric_loss) = metric[0] / metric[2];
  *buffers.at<double>(slot_metric_mae) = metric[1] / metric[2];
  return MORU_KERNEL_OK;
}

const moru_kernel_entry plain_entries[] = {{"predict", run_predict},
                                           {"train_step", run_train_step<false>},
                                           {"evaluate", run_evaluate<false>},
                                           {"reset_metrics", run_reset_metrics},
                                           {"metric_results", run_metric_results}};
const moru_kernel_entry weighted_entries[] = {{"predict", run_predict},
                                              {"train_step", run_train_step<true>},
                                              {"evaluate", run_evaluate<true>},
                                              {"reset_metrics", run_reset_metrics},
                                              {"metric_results", run_metric_results}};

constexpr int64_t batch_axis = -1;

class Writer {
 public:
  void slot(const std::string& name, SlotKind kind, DType dtype, const std::vector<int64_t>& shape, double initial = 0,
            const std::vector<float>& data = {}) {
    std::vector<flatbuffers::Offset<schema::Dim>> dims;
    for (const int64_t size : shape) dims.push_back(dim(size));
    const uint64_t offset = weights_.size();
    if (!data.empty()) {
      const auto* bytes = reinterpret_cast<const std::byte*>(data.data());
      weights_.insert(weights_.end(), bytes, bytes + data.size() * sizeof(float));
      weights_.resize((weights_.size() + 63) / 64 * 64);
    }
    slots_.push_back(schema::CreateSlot(builder_, builder_.CreateString(name), static_cast<schema::SlotKind>(kind),
                                        static_cast<schema::DType>(dtype), builder_.CreateVector(dims),
                                        kind == SlotKind::parameter, !data.empty(), data.empty() ? 0 : offset,
                                        data.size() * sizeof(float), 0, initial));
  }

  void entry(const char* name, const std::vector<uint32_t>& inputs, const std::vector<uint32_t>& outputs) {
    entries_.push_back(schema::CreateEntry(builder_, builder_.CreateString(name), builder_.CreateVector(inputs),
                                           builder_.CreateVector(outputs)));
  }

  std::vector<std::byte> finish(uint64_t hash, bool sample_weight) {
    const std::vector<flatbuffers::Offset<schema::Output>> outputs = {
        schema::CreateOutput(builder_, builder_.CreateString("out"), slot_out, slot_y, true, slot_optional, sample_weight)};
    const std::vector<std::string> symbols = {"batch", "workers"};
    const auto program = schema::CreateProgram(
        builder_, MORU_KERNEL_ABI_VERSION, builder_.CreateString("host"), hash,
        builder_.CreateVectorOfStrings(symbols), builder_.CreateVector(slots_), builder_.CreateVector(entries_),
        builder_.CreateVector(outputs));
    builder_.Finish(program, "MORP");
    const auto* bytes = reinterpret_cast<const std::byte*>(builder_.GetBufferPointer());
    return std::vector<std::byte>(bytes, bytes + builder_.GetSize());
  }

  const std::vector<std::byte>& weights() const { return weights_; }

 private:
  flatbuffers::Offset<schema::Dim> dim(int64_t size) {
    std::vector<flatbuffers::Offset<schema::Factor>> factors;
    if (size == batch_axis) factors.push_back(schema::CreateFactor(builder_, schema::FactorKind::symbol, 0));
    const auto term = schema::CreateTerm(builder_, size == batch_axis ? 1 : size, builder_.CreateVector(factors));
    return schema::CreateDim(builder_, builder_.CreateVector(&term, 1));
  }

  flatbuffers::FlatBufferBuilder builder_;
  std::vector<flatbuffers::Offset<schema::Slot>> slots_;
  std::vector<flatbuffers::Offset<schema::Entry>> entries_;
  std::vector<std::byte> weights_;
};

template <typename T>
T require(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().message());
  return std::move(result).value();
}

}  // namespace

std::shared_ptr<const Program> make_linear_program(const LinearOptions& options) {
  Writer writer;
  writer.slot("x", SlotKind::input, DType::f32, {batch_axis, linear_features});
  writer.slot("out/target", SlotKind::target, DType::f32, {batch_axis, 1});
  writer.slot("out", SlotKind::output, DType::f32, {batch_axis, 1});
  writer.slot("linear/kernel", SlotKind::parameter, DType::f32, {linear_features, 1}, 0, {0.1f, -0.1f, 0.2f});
  writer.slot("linear/bias", SlotKind::parameter, DType::f32, {1}, 0, {0.0f});
  writer.slot("sgd/velocity", SlotKind::optimizer_state, DType::f32, {linear_features + 1});
  writer.slot("step", SlotKind::control, DType::i64, {});
  writer.slot("seed", SlotKind::control, DType::i64, {});
  writer.slot("learning_rate", SlotKind::control, DType::f32, {}, 0.02);
  writer.slot("metric/sums", SlotKind::metric_state, DType::f64, {3});
  writer.slot("loss", SlotKind::output, DType::f32, {});
  writer.slot("metric_results/loss", SlotKind::output, DType::f64, {});
  writer.slot("metric_results/" + options.metric, SlotKind::output, DType::f64, {});
  writer.slot("noise", SlotKind::layer_state, DType::f32, {}, options.noise ? 1 : 0);
  std::vector<uint32_t> fed = {slot_x, slot_y};
  if (options.sample_weight) {
    writer.slot("out/sample_weight", SlotKind::sample_weight, DType::f32, {batch_axis});
    fed.push_back(slot_optional);
  }
  if (options.scalers) {
    writer.slot("x_scaler/mean", SlotKind::parameter, DType::f32, {linear_features}, 0, {0, 0, 0});
    writer.slot("x_scaler/variance", SlotKind::parameter, DType::f32, {linear_features}, 0, {1, 1, 1});
    writer.slot("out_scaler/mean", SlotKind::parameter, DType::f32, {1}, 0, {0});
    writer.slot("out_scaler/variance", SlotKind::parameter, DType::f32, {1}, 0, {1});
  }
  writer.entry("predict", {slot_x}, {slot_out});
  writer.entry("train_step", fed, {slot_loss});
  writer.entry("evaluate", fed, {});
  writer.entry("reset_metrics", {}, {});
  writer.entry("metric_results", {}, {slot_metric_loss, slot_metric_mae});
  const std::vector<std::byte> program = writer.finish(options.hash, options.sample_weight);

  const MoruSection sections[] = {{SectionKind::program, {program}}, {SectionKind::weights, {writer.weights()}}};
  struct Held {
    std::vector<std::byte> bytes;
    moru_kernel_library library;
  };
  auto held = std::make_shared<Held>();
  held->bytes = require(make_moru_bytes(sections));
  held->library = {MORU_KERNEL_ABI_VERSION, 5, options.hash, options.sample_weight ? weighted_entries : plain_entries,
                   nullptr, 0, nullptr, 0};
  return require(Program::load(require(MoruFile::from_memory(held->bytes, held)), &held->library, held));
}

std::unique_ptr<Session> make_linear_session(const LinearOptions& options, int threads) {
  return require(Session::create(make_linear_program(options), {.threads = threads}));
}

Dataset make_linear_data(int64_t samples, uint64_t seed, std::vector<float> weights) {
  std::mt19937_64 random(seed);
  std::vector<float> x, y;
  for (int64_t row = 0; row < samples; ++row) {
    float values[linear_features];
    for (float& value : values) value = static_cast<float>(random() >> 40) * 0x1p-23f - 1.0f;
    x.insert(x.end(), values, values + linear_features);
    y.push_back(values[0] - 2 * values[1] + 0.5f * values[2] + 3);
  }
  const Dataset::Array inputs[] = {{"x", DType::f32, {samples, linear_features}, std::as_bytes(std::span(x))}};
  const Dataset::Array targets[] = {{"out", DType::f32, {samples, 1}, std::as_bytes(std::span(y))}};
  return require(Dataset::from_arrays(inputs, targets, weights));
}

std::vector<std::byte> saved_bytes(const Session& session) {
  std::vector<std::byte> all;
  for (uint32_t slot = 0; slot < session.program().slots().size(); ++slot) {
    if (!is_saved(session.program().slots()[slot].kind)) continue;
    const TensorView view = session.view(slot);
    const auto* bytes = static_cast<const std::byte*>(view.data);
    all.insert(all.end(), bytes, bytes + view.bytes());
  }
  return all;
}

}  // namespace moru::testing

TEST_CASE("linear_program: a step moves every weight against its numerical gradient") {
  using namespace moru;
  using namespace moru::testing;
  const auto session = make_linear_session();
  const Program& program = session->program();
  const float x[3] = {0.5f, -1.0f, 2.0f};
  const float y[1] = {1.5f};
  REQUIRE(session->bind(*program.find_slot("x"), x, std::vector<int64_t>{1, 3}).ok());
  REQUIRE(session->bind(*program.find_slot("out/target"), y, std::vector<int64_t>{1, 1}).ok());
  const uint32_t kernel = *program.find_slot("linear/kernel");
  const std::vector<float> before(session->view(kernel).elements<float>().begin(),
                                  session->view(kernel).elements<float>().end());
  REQUIRE(session->run(*program.find_entry("train_step")).ok());
  const auto after = session->view(kernel).elements<float>();
  const double error = 0.1 * 0.5 + 0.1 + 0.4 - 1.5;
  for (size_t i = 0; i < 3; ++i) {
    CHECK(static_cast<double>(after[i]) ==
          doctest::Approx(static_cast<double>(before[i]) - 0.02 * 2 * error * static_cast<double>(x[i])));
  }
  CHECK(session->view(*program.find_slot("step")).elements<int64_t>()[0] == 1);
  CHECK(static_cast<double>(session->view(*program.find_slot("loss")).elements<float>()[0]) ==
        doctest::Approx(error * error));
}
