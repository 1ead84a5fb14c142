#include "runtime/checkpoint.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "runtime/checksum.h"
#include "runtime/version.h"
#include "tests/runtime/small_program.h"
#include "tests/runtime/temporary_directory.h"

using namespace moru;
using namespace moru::test;

namespace {

/// A session in the middle of a training run, with its input memory.
struct Training {
  std::shared_ptr<const Program> program = *load_small();
  std::unique_ptr<Session> session = *Session::create(program);
  Floats x{ramp(8 * features)};
  Floats y_true{ramp(8 * outputs)};

  Training() {
    const int64_t x_shape[] = {8, features};
    const int64_t y_shape[] = {8, outputs};
    REQUIRE(session->bind(slot_x, x.data(), x_shape).ok());
    REQUIRE(session->bind(slot_y_true, y_true.data(), y_shape).ok());
  }
  void steps(int count) {
    for (int step = 0; step < count; ++step) REQUIRE(session->run(entry_train_step).ok());
  }
};

Checkpoint full_checkpoint(const Session& session) {
  Checkpoint checkpoint;
  capture_session(session, checkpoint);
  checkpoint.epoch = 3;
  checkpoint.batch = 17;
  checkpoint.step = 317;
  checkpoint.seed = -5;
  checkpoint.history = {{"loss", {3.0, 2.0, 1.0}}, {"val_loss", {std::numeric_limits<double>::quiet_NaN(), 0.0, -0.0}}};
  checkpoint.callbacks = {
      {"early_stopping", {{"wait", 0.0, 2}, {"best", 0.1, 0}}, capture_slots(session, SlotKind::parameter)},
      {"nothing", {}, {}}};
  checkpoint.data_fingerprint = "xxh3:0123";
  checkpoint.seconds = 12.5;
  checkpoint.finished = true;
  return checkpoint;
}

bool same(const std::vector<SavedTensor>& a, const std::vector<SavedTensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const SavedTensor& left, const SavedTensor& right) {
    return left.name == right.name && left.dtype == right.dtype && left.shape == right.shape &&
           left.bytes == right.bytes;
  });
}

/// Makes the header's checksum right again after the table was changed.
void repair_checkpoint_checksum(std::vector<std::byte>& bytes) {
  uint64_t table_bytes = 0;
  std::memcpy(&table_bytes, bytes.data() + 16, 8);
  std::memset(bytes.data() + 24, 0, 8);
  uint64_t sum = checksum(std::span(bytes).first(64 + table_bytes));
  std::memcpy(bytes.data() + 24, &sum, 8);
}

std::vector<std::byte> bytes_of(const Checkpoint& checkpoint) {
  TemporaryDirectory directory;
  REQUIRE(write_checkpoint(directory / "c", checkpoint).ok());
  return read_bytes(directory / "c");
}

}  // namespace

TEST_CASE("checkpoint: everything comes back, bit for bit") {
  Training training;
  training.steps(3);
  Checkpoint saved = full_checkpoint(*training.session);
  TemporaryDirectory directory;
  REQUIRE(write_checkpoint(directory / "c", saved).ok());
  auto read = read_checkpoint(directory / "c");
  REQUIRE(read.ok());
  CHECK(read->program_hash == small_hash);
  CHECK(read->moru_version == moru_version_text);
  CHECK(read->epoch == 3);
  CHECK(read->batch == 17);
  CHECK(read->step == 317);
  CHECK(read->seed == -5);
  CHECK(read->data_fingerprint == "xxh3:0123");
  CHECK(read->seconds == 12.5);
  CHECK(read->finished);
  REQUIRE(read->history.size() == 2);
  CHECK(read->history[0].values == saved.history[0].values);
  CHECK(std::memcmp(read->history[1].values.data(), saved.history[1].values.data(), 24) == 0);
  CHECK(same(read->slots, saved.slots));
  REQUIRE(read->callbacks.size() == 2);
  CHECK(read->callbacks[0].numbers[0].name == "wait");
  CHECK(read->callbacks[0].numbers[0].integer == 2);
  CHECK(read->callbacks[0].numbers[1].value == 0.1);
  CHECK(same(read->callbacks[0].slots, saved.callbacks[0].slots));
  // w, bias, momentum, rows, step, learning_rate, table; not x, y, packed
  CHECK(saved.slots.size() == 7);
}

TEST_CASE("checkpoint: tensors lie on 64-byte boundaries, where the table says") {
  Training training;
  Checkpoint checkpoint;
  capture_session(*training.session, checkpoint);
  auto bytes = bytes_of(checkpoint);
  CHECK(std::memcmp(bytes.data(), "MORC", 4) == 0);
  CHECK(bytes.size() % 64 == 0);
  const std::vector<std::byte>& table = checkpoint.slots.back().bytes;  // 10, 20, 30, 40, 50 is the last slot saved
  CHECK(std::equal(table.begin(), table.end(), bytes.end() - 64));
}

TEST_CASE("checkpoint: a run that goes on from one ends with the same bits as a run that was never interrupted") {
  Training through;
  through.steps(20);

  Training first;
  first.steps(9);
  Checkpoint checkpoint;
  capture_session(*first.session, checkpoint);
  TemporaryDirectory directory;
  REQUIRE(write_checkpoint(directory / "c", checkpoint).ok());

  Training second;
  REQUIRE(second.session->run(entry_predict).ok());
  REQUIRE(restore_session(*read_checkpoint(directory / "c"), *second.session).ok());
  second.steps(11);
  for (uint32_t slot : {slot_w, slot_momentum, slot_rows, slot_step, slot_learning_rate}) {
    CAPTURE(slot);
    CHECK(capture_slot(*second.session, slot).bytes == capture_slot(*through.session, slot).bytes);
  }
  REQUIRE(second.session->run(entry_predict).ok());
  REQUIRE(through.session->run(entry_predict).ok());
  CHECK(floats_of(second.session->view(slot_y)) == floats_of(through.session->view(slot_y)));
}

TEST_CASE("checkpoint: another program's is refused, or taken as far as it fits when allowed") {
  Training training;
  training.steps(2);
  Checkpoint checkpoint;
  capture_session(*training.session, checkpoint);
  checkpoint.program_hash = 0xabc;
  checkpoint.slots[1].shape = {1};
  checkpoint.slots[1].bytes.resize(4);
  checkpoint.slots[2].name = "adam/velocity";

  Training other;
  Status status = restore_session(checkpoint, *other.session);
  CHECK(status.code() == StatusCode::program_mismatch);
  CHECK(status.message().find("belongs to another program (hash 0000000000000abc, here 123456789abcdef0)") !=
        std::string::npos);
  CHECK(floats_of(other.session->view(slot_w)) == std::vector<float>{1, 2, 3, 4, 5, 6});

  std::string note;
  REQUIRE(restore_session(checkpoint, *other.session, {.allow_other_program = true}, &note).ok());
  CHECK(note ==
        "slot 'bias' was saved as f32[1] but the program has f32[2]\n"
        "slot 'adam/velocity' is not in this program\n");
  CHECK(floats_of(other.session->view(slot_w)) == floats_of(training.session->view(slot_w)));
  CHECK(floats_of(other.session->view(slot_momentum)) == std::vector<float>(6, 0.0F));
}

TEST_CASE("checkpoint: one that lacks a slot, or has one twice, changes nothing") {
  Training training;
  training.steps(2);
  Checkpoint whole;
  capture_session(*training.session, whole);
  Checkpoint lacking = whole;
  lacking.slots.pop_back();
  Checkpoint doubled = lacking;
  doubled.slots.push_back(doubled.slots[0]);
  Checkpoint misshapen = whole;
  misshapen.slots.back().dtype = DType::i32;
  Training other;
  for (const Checkpoint* checkpoint : {&lacking, &doubled, &misshapen}) {
    CHECK(!restore_session(*checkpoint, *other.session).ok());
    CHECK(floats_of(other.session->view(slot_w)) == std::vector<float>{1, 2, 3, 4, 5, 6});
  }
  CHECK(restore_session(misshapen, *other.session).message() ==
        "slot 'table' was saved as i32[5] but the program has f32[5]");
}

TEST_CASE("checkpoint: a file cut off at any length is an error, never a crash") {
  Training training;
  auto bytes = bytes_of(full_checkpoint(*training.session));
  for (size_t length = 0; length < bytes.size(); ++length) {
    std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
    if (read_checkpoint(cut, "it").ok()) FAIL("accepted ", length, " of ", bytes.size(), " bytes");
  }
}

TEST_CASE("checkpoint: any flipped bit outside the padding is found") {
  Training training;
  training.steps(1);
  Checkpoint checkpoint = full_checkpoint(*training.session);
  auto bytes = bytes_of(checkpoint);
  for (size_t position = 0; position < bytes.size(); ++position) {
    for (int bit = 0; bit < 8; ++bit) {
      auto damaged = bytes;
      damaged[position] ^= static_cast<std::byte>(1 << bit);
      auto read = read_checkpoint(damaged, "it");
      if (!read.ok()) continue;
      // Only padding may differ unnoticed: written again, the same bytes as before.
      if (bytes_of(*read) != bytes) FAIL("byte ", position, " bit ", bit, " goes unnoticed");
    }
  }
}

TEST_CASE("checkpoint: hostile tables with right checksums are read or refused, never a crash") {
  // The header's checksum is repaired after the damage, so that the verifier and the checks behind it are reached.
  Training training;
  auto bytes = bytes_of(full_checkpoint(*training.session));
  uint64_t table_bytes = 0;
  std::memcpy(&table_bytes, bytes.data() + 16, 8);
  const uint32_t seed = 20240917;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  size_t refused = 0;
  for (int round = 0; round < 20000; ++round) {
    auto damaged = bytes;
    for (int change = 0; change < 2; ++change) damaged[64 + random() % table_bytes] = static_cast<std::byte>(random());
    repair_checkpoint_checksum(damaged);
    auto read = read_checkpoint(damaged, "it");
    if (!read.ok()) ++refused;
  }
  CHECK(refused > 1000);
  CHECK(refused < 20000);
}

TEST_CASE("checkpoint: saving keeps the last two, and loading takes the newest good one and says what it skipped") {
  TemporaryDirectory directory;
  std::string run = directory / "run/checkpoints";
  CHECK(!find_latest_good(run)->has_value());
  Training training;
  for (int64_t step : {5, 10, 9, 100, 20}) {
    training.steps(1);
    Checkpoint checkpoint;
    capture_session(*training.session, checkpoint);
    checkpoint.step = step;
    auto path = save_checkpoint(run, checkpoint);
    REQUIRE(path.ok());
    CHECK(*path == run + "/ckpt-" + std::to_string(step) + ".moruckpt");
    std::string note = "old";
    auto found = find_latest_good(run, &note);
    REQUIRE(found.ok());
    REQUIRE(found->has_value());
    CHECK((*found)->checkpoint.step == step);
    CHECK(note.empty());
  }
  // 10 went when 9 was saved, 100 when 20 was: a run that goes back leaves what it abandons.
  std::vector<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(run)) names.push_back(item.path().filename().string());
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"ckpt-20.moruckpt", "ckpt-9.moruckpt"});

  auto bytes = read_bytes(run + "/ckpt-20.moruckpt");
  bytes[bytes.size() / 2] ^= std::byte{1};
  bytes.resize(bytes.size() - 64);
  write_bytes(run + "/ckpt-20.moruckpt", bytes);
  write_bytes(run + "/ckpt-x.moruckpt", bytes);
  write_bytes(run + "/ckpt-30.moruckpt.tmp-1-0", bytes);
  std::string note;
  auto found = find_latest_good(run, &note);
  REQUIRE(found->has_value());
  CHECK((*found)->checkpoint.step == 9);
  CHECK(note.find("skipped: '" + run + "/ckpt-20.moruckpt' is damaged: it should have") == 0);

  // What a killed process left is swept up by the next save.
  Checkpoint next;
  next.step = 21;
  REQUIRE(save_checkpoint(run, next).ok());
  CHECK(!std::filesystem::exists(run + "/ckpt-30.moruckpt.tmp-1-0"));

  write_bytes(run + "/ckpt-21.moruckpt", {});
  write_bytes(run + "/ckpt-9.moruckpt", {});
  CHECK(!find_latest_good(run, &note)->has_value());
  CHECK(std::count(note.begin(), note.end(), '\n') == 3);
}

TEST_CASE("checkpoint: a process killed at any instant leaves a good one behind") {
  TemporaryDirectory directory;
  Training training;
  Checkpoint checkpoint;
  capture_session(*training.session, checkpoint);
  SavedTensor large{"large", DType::f32, {100'000}, std::vector<std::byte>(400'000)};
  checkpoint.slots.push_back(large);
  checkpoint.step = 0;
  std::fill(checkpoint.slots.back().bytes.begin(), checkpoint.slots.back().bytes.end(), std::byte{0});
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(save_checkpoint(directory.path(), checkpoint).ok());
  // Instants are to lie within a save or two, as far as the disk is not too busy to wait for.
  const int64_t saving_us = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count();
  const uint64_t longest_us = static_cast<uint64_t>(std::min<int64_t>(2 * saving_us, 30'000)) + 1;

  const uint32_t seed = static_cast<uint32_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  INFO("seed ", seed);
  std::mt19937 random(seed);
  int64_t step = 0;
  for (int round = 0; round < 25; ++round) {
    int saved[2] = {};  // a byte for every save
    REQUIRE(::pipe(saved) == 0);
    pid_t child = ::fork();
    if (child == 0) {
      for (;;) {
        ++checkpoint.step;
        auto& bytes = checkpoint.slots.back().bytes;
        std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(checkpoint.step & 0xff));
        if (!save_checkpoint(directory.path(), checkpoint).ok() || ::write(saved[1], "", 1) != 1) ::_exit(1);
      }
    }
    ::close(saved[1]);
    char one = 0;
    const int64_t whole = round % 2 == 0 ? ::read(saved[0], &one, 1) : 0;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % longest_us));
    ::kill(child, SIGKILL);
    ::close(saved[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));

    std::string note;
    auto found = find_latest_good(directory.path(), &note);
    REQUIRE(found.ok());
    REQUIRE(found->has_value());
    CHECK(note.empty());
    const Checkpoint& last = (*found)->checkpoint;
    CHECK(last.step >= step + whole);
    step = last.step;
    const auto& bytes = last.slots.back().bytes;
    auto value = static_cast<std::byte>(step & 0xff);
    CHECK(std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == value; }));
    checkpoint.step = step;
  }
  CHECK(step > 0);
}

TEST_CASE("checkpoint: a trained session is saved as .moru with everything else unchanged") {
  TemporaryDirectory directory;
  write_bytes(directory / "m.moru", small_moru());
  auto file = *MoruFile::open(directory / "m.moru");
  auto program = *Program::load(file, &small_library);
  auto session = *Session::create(program);
  const float w[] = {6, 5, 4, 3, 2, 1};
  REQUIRE(session->assign(slot_w, w, sizeof(w)).ok());
  REQUIRE(save_moru(*session, directory / "trained.moru").ok());

  auto trained_file = *MoruFile::open(directory / "trained.moru");
  auto trained = *Program::load(trained_file, &small_library);
  auto again = *Session::create(trained);
  CHECK(floats_of(again->view(slot_w)) == std::vector<float>{6, 5, 4, 3, 2, 1});
  CHECK(floats_of(again->view(slot_bias)) == std::vector<float>{0.5F, -0.5F});
  CHECK(floats_of(again->view(slot_table)) == std::vector<float>{10, 20, 30, 40, 50});
  CHECK(trained_file->section(SectionKind::model).size() == 77);
  CHECK(std::filesystem::file_size(directory / "trained.moru") == std::filesystem::file_size(directory / "m.moru"));

  auto bare = *Session::create(*load_small());
  CHECK(save_moru(*bare, directory / "x.moru").message() ==
        "the program was not loaded from a .moru file, so there is none to save it to");
}
