#include "runtime/session.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "tests/runtime/small_program.h"

using namespace moru;
using namespace moru::test;

namespace {

std::unique_ptr<Session> make_session(SessionOptions options = {}) {
  auto session = Session::create(*load_small(), options);
  REQUIRE(session.ok());
  return *std::move(session);
}

void bind_rows(Session& session, uint32_t slot, const void* data, int64_t rows, int64_t columns) {
  const int64_t shape[] = {rows, columns};
  REQUIRE(session.bind(slot, data, shape).ok());
}

/// y = x * w + bias with the program's initial parameters.
std::vector<float> expected_y(const std::vector<float>& x) {
  std::vector<float> y;
  for (size_t row = 0; row < x.size() / 3; ++row) {
    for (size_t j = 0; j < 2; ++j) {
      float sum = 0.0F;
      for (size_t k = 0; k < 3; ++k) sum += x[row * 3 + k] * static_cast<float>(k * 2 + j + 1);
      y.push_back(sum + (j == 0 ? 0.5F : -0.5F));
    }
  }
  return y;
}

std::string run_error(Session& session, uint32_t entry) { return session.run(entry).message(); }

}  // namespace

TEST_CASE("session: predicts for every batch size with one program") {
  auto session = make_session();
  for (int64_t batch : {1, 7, 32, 5, 100, 8}) {
    CAPTURE(batch);
    auto values = ramp(batch * features);
    Floats x(values);
    bind_rows(*session, slot_x, x.data(), batch, features);
    REQUIRE(session->run(entry_predict).ok());
    TensorView y = session->view(slot_y);
    REQUIRE(y.shape.size() == 2);
    CHECK(y.shape[0] == batch);
    CHECK(y.shape[1] == outputs);
    CHECK(floats_of(y) == expected_y(values));
  }
}

TEST_CASE("session: an input that is not aligned is copied at each run") {
  auto session = make_session();
  auto values = ramp(15);
  Floats x(values, 4);
  bind_rows(*session, slot_x, x.data(), 5, features);
  REQUIRE(session->run(entry_predict).ok());
  CHECK(floats_of(session->view(slot_y)) == expected_y(values));
  CHECK(reinterpret_cast<uintptr_t>(session->view(slot_x).data) % 64 == 0);
  values[0] = 9.0F;
  x.data()[0] = 9.0F;
  REQUIRE(session->run(entry_predict).ok());
  CHECK(floats_of(session->view(slot_y)) == expected_y(values));
}

TEST_CASE("session: outputs are written where the caller says, and not one byte further") {
  auto session = make_session();
  auto values = ramp(48 * features);
  Floats x(values);
  for (int64_t batch : {5, 8, 13}) {  // 40 bytes, 64 bytes, 104 bytes
    for (size_t misalignment : {size_t{0}, size_t{8}}) {
      CAPTURE(batch);
      CAPTURE(misalignment);
      Floats y(std::vector<float>(64, 77.0F), misalignment);
      bind_rows(*session, slot_x, x.data(), batch, features);
      uint64_t bytes = static_cast<uint64_t>(batch) * 8;
      REQUIRE(session->bind_output(slot_y, y.data(), bytes).ok());
      REQUIRE(session->run(entry_predict).ok());
      CHECK(session->view(slot_y).data == y.data());
      auto expected = expected_y({values.begin(), values.begin() + batch * features});
      CHECK(floats_of(session->view(slot_y)) == expected);
      for (size_t i = expected.size(); i < 64; ++i) CHECK(y.data()[i] == 77.0F);
    }
  }
  Floats small(std::vector<float>(4));
  REQUIRE(session->bind_output(slot_y, small.data(), 16).ok());
  CHECK(run_error(*session, entry_predict) ==
        "slot 'y' (output f32[batch, 2]) needs 104 bytes for the shape [13, 2] but was bound to 16");
  REQUIRE(session->bind_output(slot_y, nullptr, 0).ok());
  CHECK(session->run(entry_predict).ok());
}

TEST_CASE("session: every wrong binding is named with both sizes") {
  auto session = make_session();
  Floats x(ramp(96));
  Floats y_true(ramp(96));
  auto bind_error = [&](uint32_t slot, std::vector<int64_t> shape) {
    return session->bind(slot, x.data(), shape).message();
  };

  CHECK(run_error(*session, entry_predict) ==
        "entry 'predict' needs slot 'x' (input f32[batch, 3]), which is not bound");
  CHECK(bind_error(slot_x, {32}) == "slot 'x' (input f32[batch, 3]) has 2 axes but was given the shape [32]");
  CHECK(bind_error(slot_x, {0, 3}) == "slot 'x' (input f32[batch, 3]) was given the impossible shape [0, 3]");
  CHECK(bind_error(slot_x, {-1, 3}) == "slot 'x' (input f32[batch, 3]) was given the impossible shape [-1, 3]");
  CHECK(bind_error(slot_x, {INT64_MAX, 3}).find("impossible shape") != std::string::npos);
  CHECK(bind_error(slot_w, {3, 2}) == "slot 'w' (parameter f32[3, 2]) is not an input");
  CHECK(bind_error(99, {3, 2}) == "there is no slot 99");
  CHECK(session->bind(slot_x, nullptr, std::vector<int64_t>{2, 3}).message() ==
        "slot 'x' (input f32[batch, 3]) was given no data");

  bind_rows(*session, slot_x, x.data(), 8, 4);
  CHECK(run_error(*session, entry_predict) ==
        "slot 'x' (input f32[batch, 3]): axis 1 must be 3 but is 4; the bound shape is [8, 4]");
  bind_rows(*session, slot_x, x.data(), 32, 3);
  bind_rows(*session, slot_y_true, y_true.data(), 31, 2);
  CHECK(run_error(*session, entry_train_step) ==
        "slot 'y_true' (target f32[batch, 2]): axis 0 must be 32 (batch, from slot 'x' axis 0) but is 31; "
        "the bound shape is [31, 2]");
  // predict has no use for y_true, so its size does not matter there.
  CHECK(session->run(entry_predict).ok());
  CHECK(session->run(77).message() == "there is no entry 77");
  Status failed = session->run(entry_fail);
  CHECK(failed.code() == StatusCode::kernel_failed);
  CHECK(failed.message() == "entry 'fail' failed with code 7");
}

TEST_CASE("session: an index outside its table is found before the run, with position and value") {
  auto session = make_session();
  const int64_t shape[] = {4};
  alignas(64) int32_t indices[16] = {0, 4, 2, 1};
  REQUIRE(session->bind(slot_indices, indices, shape).ok());
  REQUIRE(session->run(entry_lookup).ok());
  CHECK(floats_of(session->view(slot_looked)) == std::vector<float>{10, 50, 30, 20});
  indices[2] = 5;
  CHECK(run_error(*session, entry_lookup) == "slot 'indices': the value 5 at [2] is outside 0 <= v < 5");
  indices[1] = -1;
  CHECK(run_error(*session, entry_lookup) == "slot 'indices': the value -1 at [1] is outside 0 <= v < 5 (and 1 more)");
  CHECK(session->run(entry_lookup).code() == StatusCode::out_of_range);
}

TEST_CASE("session: training changes parameters and state; derived slots follow when they are read") {
  auto session = make_session();
  auto x_values = ramp(24);
  Floats x(x_values);
  Floats y_true(std::vector<float>(16, 0.25F));
  bind_rows(*session, slot_x, x.data(), 8, features);
  bind_rows(*session, slot_y_true, y_true.data(), 8, outputs);

  prepare_runs = 0;
  REQUIRE(session->run(entry_predict).ok());
  REQUIRE(session->run(entry_predict).ok());
  CHECK(prepare_runs == 1);
  std::vector<float> before = floats_of(session->view(slot_y));

  float first = 0.0F;
  for (int step = 0; step < 50; ++step) {
    REQUIRE(session->run(entry_train_step).ok());
    if (step == 0) first = floats_of(session->view(slot_loss))[0];
  }
  CHECK(prepare_runs == 1);
  CHECK(floats_of(session->view(slot_loss))[0] < 0.5F * first);
  CHECK(session->view(slot_step).elements<int64_t>()[0] == 50);
  CHECK(session->view(slot_rows).elements<int64_t>()[0] == 400);
  CHECK(session->view(slot_loss).shape.empty());

  REQUIRE(session->run(entry_predict).ok());
  CHECK(prepare_runs == 2);
  CHECK(floats_of(session->view(slot_y)) != before);
  CHECK(floats_of(session->view(slot_packed)) == floats_of(session->view(slot_w)));

  const float w[] = {0, 0, 0, 0, 0, 0};
  REQUIRE(session->assign(slot_w, w, sizeof(w)).ok());
  REQUIRE(session->run(entry_predict).ok());
  CHECK(prepare_runs == 3);
  for (size_t i = 0; i < 16; ++i) CHECK(floats_of(session->view(slot_y))[i] == (i % 2 == 0 ? 0.5F : -0.5F));

  const float rate = 0.25F;
  REQUIRE(session->assign(slot_learning_rate, &rate, sizeof(rate)).ok());
  CHECK(floats_of(session->view(slot_learning_rate)) == std::vector<float>{0.25F});
  REQUIRE(session->run(entry_predict).ok());
  CHECK(prepare_runs == 3);
}

TEST_CASE("session: assign refuses what is not state and what has another size") {
  auto session = make_session();
  const float value[8] = {};
  CHECK(session->assign(slot_x, value, 4).message() == "slot 'x' (input f32[batch, 3]) cannot be assigned to");
  CHECK(session->assign(slot_packed, value, 24).message() == "slot 'packed' (derived f32[3, 2]) cannot be assigned to");
  CHECK(session->assign(slot_w, value, 20).message() == "slot 'w' (parameter f32[3, 2]) has 24 bytes but was given 20");
  CHECK(session->assign(slot_w, nullptr, 24).code() == StatusCode::invalid_argument);
}

TEST_CASE("session: slots begin with their data or their initial value") {
  auto session = make_session();
  CHECK(floats_of(session->view(slot_w)) == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(floats_of(session->view(slot_momentum)) == std::vector<float>(6, 0.0F));
  CHECK(floats_of(session->view(slot_learning_rate)) == std::vector<float>{0.01F});
  CHECK(session->view(slot_step).elements<int64_t>()[0] == 0);
  CHECK(session->view(slot_y).data == nullptr);
  CHECK(session->parameter_bytes() == 8 * 64);
}

TEST_CASE("session: one and more threads give the same bits") {
  auto values = ramp(1000 * features, 0.037F);
  Floats x(values);
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 5}) {
    auto session = make_session({.threads = threads});
    bind_rows(*session, slot_x, x.data(), 1000, features);
    for (int round = 0; round < 20; ++round) REQUIRE(session->run(entry_predict).ok());
    results.push_back(floats_of(session->view(slot_y)));
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("session: two sessions over one program and one pool do not touch each other") {
  auto program = *load_small();
  auto pool = *ThreadPool::create(2);
  auto a = *Session::create(program, {.pool = pool.get()});
  auto b = *Session::create(program, {.pool = pool.get()});
  Floats x(ramp(24));
  Floats y_true(ramp(16, 1.0F));
  bind_rows(*a, slot_x, x.data(), 8, features);
  bind_rows(*a, slot_y_true, y_true.data(), 8, outputs);
  bind_rows(*b, slot_x, x.data(), 8, features);
  std::thread training([&] {
    for (int step = 0; step < 100; ++step) (void)a->run(entry_train_step);
  });
  for (int round = 0; round < 100; ++round) REQUIRE(b->run(entry_predict).ok());
  training.join();
  CHECK(floats_of(b->view(slot_w)) == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(floats_of(a->view(slot_w)) != floats_of(b->view(slot_w)));
}

TEST_CASE("session: one that shares parameters follows the other's training and cannot train itself") {
  auto program = *load_small();
  auto owner = *Session::create(program);
  auto reader = *Session::create(program, {.share_parameters_of = owner.get()});
  Floats x(ramp(24));
  Floats y_true(ramp(16, 1.0F));
  for (Session* session : {owner.get(), reader.get()}) {
    bind_rows(*session, slot_x, x.data(), 8, features);
    bind_rows(*session, slot_y_true, y_true.data(), 8, outputs);
    REQUIRE(session->run(entry_predict).ok());
  }
  CHECK(floats_of(owner->view(slot_y)) == floats_of(reader->view(slot_y)));
  std::vector<float> before = floats_of(reader->view(slot_y));
  REQUIRE(owner->run(entry_train_step).ok());
  REQUIRE(owner->run(entry_predict).ok());
  REQUIRE(reader->run(entry_predict).ok());
  CHECK(floats_of(reader->view(slot_y)) != before);
  CHECK(floats_of(owner->view(slot_y)) == floats_of(reader->view(slot_y)));
  CHECK(reader->run(entry_train_step).message() ==
        "entry 'train_step' changes parameters, but this session shares another session's");
  const float w[6] = {};
  CHECK(reader->assign(slot_w, w, sizeof(w)).code() == StatusCode::wrong_state);
  CHECK(reader->parameter_bytes() < owner->parameter_bytes());
  owner.reset();
  REQUIRE(reader->run(entry_predict).ok());
}

TEST_CASE("session: an arena buffer outside the arena is refused before native code runs") {
  ProgramSpec spec = small_spec();
  spec.predict_arena_slack = -1;
  auto session = *Session::create(*load_small(spec));
  Floats x(ramp(24));
  bind_rows(*session, slot_x, x.data(), 8, features);
  CHECK(run_error(*session, entry_predict) ==
        "the program is damaged: entry 'predict' places arena buffer 'scratch' outside its arena");
}

TEST_CASE("session: sizes beyond the machine's memory are an error") {
  auto session = make_session();
  Floats x(ramp(24));
  // Never read: the output and the arena fail first.
  bind_rows(*session, slot_x, x.data(), int64_t{1} << 50, features);
  CHECK(session->run(entry_predict).code() == StatusCode::out_of_memory);
  bind_rows(*session, slot_x, x.data(), (int64_t{1} << 61) / 3, features);
  CHECK(session->run(entry_predict).ok() == false);
  bind_rows(*session, slot_x, x.data(), 8, features);
  CHECK(session->run(entry_predict).ok());

  ProgramSpec spec = small_spec();
  spec.slots[slot_momentum].shape[0] = [](const DimBuilder& dims) { return dims.number(int64_t{1} << 50); };
  Status status = Session::create(*load_small(spec)).status();
  CHECK(status.code() == StatusCode::out_of_memory);
  CHECK(status.message().find("for optimizer, metric and other state") != std::string::npos);
}

TEST_CASE("session: a program for another processor is refused with the target's name") {
  ProgramSpec spec = small_spec();
  spec.target = "aarch64";
#if defined(__aarch64__)
  spec.target = "x86-64-v3";
#endif
  Status status = Session::create(*load_small(spec)).status();
  CHECK(status.code() == StatusCode::no_native_code);
  CHECK(status.message().find("was compiled for " + spec.target) != std::string::npos);
}
