#include "runtime/training/tensorboard.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "runtime/training/fit.h"
#include "tests/runtime/temporary_directory.h"
#include "tests/runtime/training/linear_program.h"

using namespace moru;
using namespace moru::test;
using namespace moru::testing;

namespace {

uint32_t crc_of(std::string_view text) { return crc32c(std::as_bytes(std::span(text))); }

struct Scalar {
  int64_t step = 0;
  std::string tag;
  float value = 0;
  std::string version;
};

/// A reader of its own: the framing with both checksums, then the few fields of protobuf that matter here.
struct Reader {
  std::string_view bytes;

  template <typename T>
  T take() {
    T value;
    REQUIRE(bytes.size() >= sizeof value);
    std::memcpy(&value, bytes.data(), sizeof value);
    bytes.remove_prefix(sizeof value);
    return value;
  }
  std::string_view take(size_t count) {
    REQUIRE(bytes.size() >= count);
    const std::string_view taken = bytes.substr(0, count);
    bytes.remove_prefix(count);
    return taken;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = take<uint8_t>();
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  }
};

uint32_t unmasked(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

void parse_message(std::string_view bytes, Scalar& into, int depth) {
  Reader in{bytes};
  while (!in.bytes.empty()) {
    const uint64_t key = in.varint();
    const uint64_t field = key >> 3;
    switch (key & 7) {
      case 0: {
        const uint64_t value = in.varint();
        if (depth == 0 && field == 2) into.step = static_cast<int64_t>(value);
        break;
      }
      case 1:
        in.take<double>();
        break;
      case 5: {
        const float value = in.take<float>();
        if (depth == 2 && field == 2) into.value = value;
        break;
      }
      case 2: {
        const std::string_view text = in.take(in.varint());
        if (depth == 0 && field == 3) into.version = text;
        if (depth == 0 && field == 5) parse_message(text, into, 1);
        if (depth == 1 && field == 1) parse_message(text, into, 2);
        if (depth == 2 && field == 1) into.tag = text;
        break;
      }
      default:
        FAIL("wire type ", key & 7);
    }
  }
}

std::vector<Scalar> parse_events(std::string_view bytes) {
  std::vector<Scalar> events;
  Reader in{bytes};
  while (!in.bytes.empty()) {
    const std::string_view length = in.bytes.substr(0, 8);
    const auto count = in.take<uint64_t>();
    CHECK(unmasked(in.take<uint32_t>()) == crc_of(length));
    const std::string_view event = in.take(count);
    CHECK(unmasked(in.take<uint32_t>()) == crc_of(event));
    events.emplace_back();
    parse_message(event, events.back(), 0);
  }
  return events;
}

std::vector<Scalar> read_only_file(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  REQUIRE(files.size() == 1);
  CHECK(files[0].filename().string().starts_with("events.out.tfevents."));
  std::ifstream file(files[0], std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  return parse_events(bytes);
}

}  // namespace

TEST_CASE("crc32c: the check values of the algorithm's definition and of RFC 3720") {
  CHECK(crc_of("123456789") == 0xe3069283u);
  CHECK(crc_of(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(crc_of(std::string(32, '\xff')) == 0x62a8ab43u);
  CHECK(crc_of("") == 0);
}

TEST_CASE("tf_record: length and bytes come back, and one changed bit is noticed") {
  const std::string record = tf_record(scalar_event(1700000000.5, 300, "epoch_loss", 0.125f));
  const std::vector<Scalar> events = parse_events(record);
  REQUIRE(events.size() == 1);
  CHECK(events[0].step == 300);
  CHECK(events[0].tag == "epoch_loss");
  CHECK(events[0].value == 0.125f);
  std::string changed = record;
  changed[20] = static_cast<char>(changed[20] ^ 1);
  const std::string_view bytes = std::string_view(changed).substr(12, changed.size() - 16);
  uint32_t masked = 0;
  std::memcpy(&masked, changed.data() + changed.size() - 4, 4);
  CHECK(unmasked(masked) != crc_of(bytes));
}

TEST_CASE("tensorboard: every epoch's losses and the learning rate are in the files of their parts") {
  const TemporaryDirectory directory;
  const auto session = make_linear_session();
  const Dataset train = make_linear_data(100), validation = make_linear_data(40, 2);
  FitOptions options;
  options.epochs = 3;
  options.validation_freq = 2;
  options.progress = ProgressStyle::quiet;
  std::vector<Callback> callbacks = {tensorboard(directory / "logs")};
  const Result<FitResult> result = fit(*session, train, &validation, options, callbacks);
  REQUIRE(result.ok());
  const auto check = [&](const std::vector<Scalar>& events, const std::string& tag, const std::string& key,
                         const std::vector<int64_t>& steps) {
    CAPTURE(tag);
    REQUIRE(!events.empty());
    CHECK(events[0].version == "brain.Event:2");
    std::vector<int64_t> found;
    for (const Scalar& event : events) {
      if (event.tag != tag) continue;
      found.push_back(event.step);
      const std::vector<double>* values = result->history.find(key);
      REQUIRE(values != nullptr);
      CHECK(event.value == static_cast<float>((*values)[static_cast<size_t>(event.step)]));
    }
    CHECK(found == steps);
  };
  const std::vector<Scalar> training = read_only_file(directory / "logs/train");
  check(training, "epoch_loss", "loss", {0, 1, 2});
  check(training, "epoch_mae", "mae", {0, 1, 2});
  CHECK(std::count_if(training.begin(), training.end(),
                      [](const Scalar& s) { return s.tag == "epoch_learning_rate" && s.value > 0; }) == 3);
  check(read_only_file(directory / "logs/validation"), "epoch_loss", "val_loss", {1});
}

TEST_CASE("tensorboard: a folder that cannot be made is an error that names it") {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "x";
  const auto session = make_linear_session();
  const Dataset train = make_linear_data(50);
  FitOptions options;
  options.progress = ProgressStyle::quiet;
  std::vector<Callback> callbacks = {tensorboard(directory / "file/logs")};
  const Result<FitResult> result = fit(*session, train, nullptr, options, callbacks);
  REQUIRE(!result.ok());
  CHECK(result.status().message().find("file/logs/train") != std::string::npos);
}
