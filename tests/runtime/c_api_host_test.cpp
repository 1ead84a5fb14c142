// What a session takes from its host through the C API, and calls in any order with any arguments.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "moru/moru.h"
#include "moru/moru.hpp"
#include "tests/runtime/small_program.h"
#include "tests/runtime/temporary_directory.h"

using namespace moru::test;

namespace {

struct Library {
  std::vector<std::byte> file = small_moru();
  moru_kernel_library library = {MORU_KERNEL_ABI_VERSION, 5,          small_hash, small_entries,
                                 reinterpret_cast<const uint8_t*>(file.data()), file.size(), nullptr, 0};
};

struct Host {
  std::map<void*, uint64_t> blocks;
  int allocations = 0, loops = 0;
  bool full = false;
  std::vector<std::string> messages;

  moru_session_options options() {
    moru_session_options options = MORU_SESSION_OPTIONS;
    options.workers = 3;
    options.parallel_for = [](void* pool, int64_t chunks, moru_chunk body, const void* context) {
      ++static_cast<Host*>(pool)->loops;
      for (int64_t chunk = chunks; chunk-- > 0;) body(context, chunk, chunk % 3);
    };
    options.pool = this;
    options.allocate = [](void* self, uint64_t bytes, uint64_t alignment) -> void* {
      Host& host = *static_cast<Host*>(self);
      CHECK(bytes % 64 == 0);
      if (host.full) return nullptr;
      ++host.allocations;
      void* memory = std::aligned_alloc(alignment, bytes);
      host.blocks[memory] = bytes;
      return memory;
    };
    options.release = [](void* self, void* memory, uint64_t bytes) {
      Host& host = *static_cast<Host*>(self);
      CHECK(host.blocks.at(memory) == bytes);
      host.blocks.erase(memory);
      std::free(memory);
    };
    options.memory = this;
    options.log = [](void* self, int32_t level, const char* message) {
      static_cast<Host*>(self)->messages.push_back((level == MORU_LOG_WARNING ? "warning: " : "info: ") + std::string(message));
    };
    options.log_context = this;
    return options;
  }
};

bool contains(const std::vector<std::string>& messages, const std::string& text) {
  for (const std::string& message : messages)
    if (message.find(text) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("C API: a host gives memory and threads, and hears what happens") {
  Library library;
  Host host;
  {
    const moru::api::Program program = moru::api::Program::linked(&library.library);
    moru::api::Session session(program, host.options()), own(program);
    CHECK(contains(host.messages, "info: a session for "));
    CHECK(contains(host.messages, "with 3 threads"));
    Floats x(ramp(25));
    session.bind("x", x.data(), {8, 3});
    session.run("predict");
    CHECK(host.loops > 0);
    CHECK(contains(host.messages, "info: entry 'predict' takes "));
    CHECK(!contains(host.messages, "warning"));
    const std::vector<float> y(session.view<float>("y").begin(), session.view<float>("y").end());
    own.bind("x", x.data(), {8, 3});
    own.run("predict");
    CHECK(std::vector<float>(own.view<float>("y").begin(), own.view<float>("y").end()) == y);

    const int before = host.allocations;
    for (int i = 0; i < 3; ++i) session.run("predict");
    CHECK(host.allocations == before);
    session.bind("x", x.data() + 1, {8, 3});
    session.run("predict");
    CHECK(contains(host.messages, "warning: slot 'x' (input f32[batch, 3]) is copied at every run"));
    CHECK(host.allocations == before + 1);

    host.full = true;
    Floats more(ramp(3000));
    session.bind("x", more.data(), {1000, 3});
    try {
      session.run("predict");
      FAIL("there was memory");
    } catch (const moru::api::Error& error) {
      CHECK(error.code() == MORU_OUT_OF_MEMORY);
      CHECK(std::string(error.what()).find("not enough memory: ") == 0);
    }
    host.full = false;
    session.run("predict");
    CHECK(!host.blocks.empty());
  }
  CHECK(host.blocks.empty());
}

TEST_CASE("C API: sessions that share parameters predict what the owner learned, and refuse to train") {
  Library library;
  const moru::api::Program program = moru::api::Program::linked(&library.library);
  moru::api::Session owner(program);
  moru_session_options options = MORU_SESSION_OPTIONS;
  options.share_parameters_of = owner.handle();
  moru::api::Session reader(program, options);
  const std::vector<float> w = {1, 2, 3, 4, 5, 6};
  owner.assign<float>("w", w);
  CHECK(reader.view<float>("w")[4] == 5.0F);
  Floats x(ramp(6)), y(ramp(4));
  reader.bind("x", x.data(), {2, 3});
  reader.bind("y_true", y.data(), {2, 2});
  CHECK(moru_session_run(reader.handle(), program.entry("train_step")) == MORU_WRONG_STATE);
  CHECK_THROWS_WITH(reader.bind("x", reinterpret_cast<const double*>(x.data()), {2, 3}), "slot 'x' holds elements of another type");
  CHECK_THROWS_WITH(reader.run("nonesuch"), "the program has no entry 'nonesuch'");
}

TEST_CASE("C API: options of earlier and later versions") {
  Library library;
  const moru::api::Program program = moru::api::Program::linked(&library.library);
  moru_session* session = nullptr;
  const auto create = [&](const void* options) {
    moru_session_free(session);
    return moru_session_create_with(program.handle(), static_cast<const moru_session_options*>(options), &session);
  };
  CHECK(moru_abi_version() == MORU_ABI_VERSION);
  moru_session_options options = MORU_SESSION_OPTIONS;
  CHECK(create(&options) == MORU_OK);
  options.size = offsetof(moru_session_options, log);  // an earlier version ended here
  options.log = reinterpret_cast<decltype(options.log)>(1);
  CHECK(create(&options) == MORU_OK);
  struct Later {
    moru_session_options known = MORU_SESSION_OPTIONS;
    uint64_t unknown = 0;
  } later;
  later.known.size = sizeof later;
  CHECK(create(&later) == MORU_OK);
  later.unknown = 1;
  CHECK(create(&later) == MORU_UNSUPPORTED_VERSION);
  CHECK(session == nullptr);
  options = {};
  CHECK(create(&options) == MORU_INVALID_ARGUMENT);
  CHECK(std::string(moru_last_error()) == "'size' of the options is not set; begin with MORU_SESSION_OPTIONS");
  CHECK(create(nullptr) == MORU_INVALID_ARGUMENT);
  options = MORU_SESSION_OPTIONS;
  options.parallel_for = [](void*, int64_t, moru_chunk, const void*) {};
  options.workers = 0;
  CHECK(create(&options) == MORU_INVALID_ARGUMENT);
  options = MORU_SESSION_OPTIONS;
  options.release = [](void*, void*, uint64_t) {};
  CHECK(create(&options) == MORU_INVALID_ARGUMENT);
  CHECK(session == nullptr);
}

TEST_CASE("C API: calls in any order, with wrong slots, shapes, sizes and null, answer with codes") {
  TemporaryDirectory directory;
  Library library;
  std::mt19937 random(11);
  const auto pick = [&](int64_t least, int64_t most) { return least + static_cast<int64_t>(random() % static_cast<uint64_t>(most - least + 1)); };
  // Ends at a page that is not there for the sanitizers: shapes beyond these elements are not given.
  std::vector<float> data(4096, 0.5F);
  std::vector<int32_t> numbers(4096, 3);
  std::vector<float> output(4096);
  const std::string path = directory / "checkpoint", model = directory / "model.moru";
  int answers[2] = {};
  const auto count = [&](int32_t code) {
    CHECK((code == MORU_OK || (code >= 100 && code <= MORU_INTERNAL)));
    CHECK(code != MORU_INTERNAL);
    if (code != MORU_OK) CHECK(*moru_last_error() != 0);
    ++answers[code == MORU_OK];
  };
  moru_program* program = nullptr;
  moru_session* session = nullptr;
  REQUIRE(moru_program_from_library(&library.library, &program) == MORU_OK);
  const int64_t sizes[] = {-1, 0, 1, 2, 3, 8, 1000, INT64_MAX};
  for (int i = 0; i < 30000; ++i) {
    const auto slot = static_cast<int32_t>(pick(-2, small_slot_count + 1));
    const auto entry = static_cast<int32_t>(pick(-2, 6));
    moru_session* const used = pick(0, 30) == 0 ? nullptr : session;
    const moru_program* const known = pick(0, 30) == 0 ? nullptr : program;
    switch (pick(0, 16)) {
      case 0: {
        int64_t shape[3];
        for (int64_t& size : shape) size = sizes[pick(0, 7)];
        if (pick(0, 1)) shape[0] = pick(1, 8), shape[1] = pick(2, 3);
        int64_t elements = 1;
        const auto rank = static_cast<int32_t>(pick(-1, 3));
        for (int32_t axis = 0; axis < rank; ++axis)
          elements = shape[axis] > 4096 || elements > 4096 ? 4097 : elements * std::max<int64_t>(shape[axis], 0);
        moru_slot_info info = {};
        if (known != nullptr) moru_program_slot_info(known, slot, &info);
        const void* memory = pick(0, 20) == 0 || elements > 2048 ? nullptr
                             : info.dtype == MORU_F32            ? static_cast<const void*>(data.data() + pick(0, 3))
                                                                 : numbers.data() + pick(0, 3);
        count(moru_session_bind(used, slot, memory, pick(0, 20) == 0 ? nullptr : shape, rank));
        break;
      }
      case 1: count(moru_session_run(used, entry)); break;
      case 2: {
        moru_tensor tensor;
        count(moru_session_view(used, slot, pick(0, 20) == 0 ? nullptr : &tensor));
        break;
      }
      case 3: count(moru_session_assign(used, slot, pick(0, 20) == 0 ? nullptr : data.data(), static_cast<uint64_t>(pick(0, 3) * 8))); break;
      case 4: {
        moru_slot_info info;
        count(moru_program_slot_info(known, slot, pick(0, 20) == 0 ? nullptr : &info));
        break;
      }
      case 5: {
        moru_session* made = nullptr;
        moru_session_options options = MORU_SESSION_OPTIONS;
        options.threads = static_cast<int32_t>(pick(-1, 2));
        options.share_parameters_of = pick(0, 3) == 0 ? session : nullptr;
        options.size = pick(0, 5) == 0 ? static_cast<uint64_t>(pick(0, 16)) : options.size;
        count(moru_session_create_with(known, pick(0, 20) == 0 ? nullptr : &options, pick(0, 20) == 0 ? nullptr : &made));
        if (made != nullptr) {
          moru_session_free(session);
          session = made;
        }
        break;
      }
      case 6: {
        int32_t slots[9] = {-7, -7, -7, -7, -7, -7, -7, -7, -7};
        const auto capacity = static_cast<int32_t>(pick(-1, 8));
        const bool is_null = capacity <= 0 && pick(0, 1) == 0;
        const int32_t there = moru_program_entry_slots(known, entry, static_cast<int32_t>(pick(-1, 2)), is_null ? nullptr : slots, capacity);
        CHECK(there >= -1);
        for (int32_t at = std::max(capacity, 0); at < 9; ++at) CHECK(slots[at] == -7);
        break;
      }
      case 7: {
        // Memory that outlives its binding, and less of it than an output may take.
        const auto bytes = static_cast<uint64_t>(pick(0, 3) == 0 ? pick(0, 64) : 16384);
        count(moru_session_bind_output(used, slot, pick(0, 3) == 0 ? nullptr : output.data(), bytes));
        break;
      }
      case 8: if (pick(0, 20) == 0) count(moru_session_save_checkpoint(used, pick(0, 9) == 0 ? nullptr : path.c_str())); break;
      case 9: if (pick(0, 20) == 0) count(moru_session_load_checkpoint(used, pick(0, 9) == 0 ? nullptr : path.c_str(), static_cast<int32_t>(pick(0, 1)))); break;
      case 10: if (pick(0, 20) == 0) count(moru_session_save_model(used, model.c_str())); break;
      case 11: {
        const char* const name = pick(0, 2) == 0 ? nullptr : pick(0, 1) == 0 ? "x" : "predict";
        CHECK((moru_program_find_slot(known, name) >= 0) == (known != nullptr && name != nullptr && *name == 'x'));
        CHECK((moru_program_find_entry(known, name) >= 0) == (known != nullptr && name != nullptr && *name == 'p'));
        break;
      }
      case 12: {
        CHECK((moru_program_hash(known) == 0) == (known == nullptr));
        CHECK(moru_program_slot_count(known) == (known == nullptr ? 0 : static_cast<int32_t>(small_slot_count)));
        CHECK(moru_program_entry_count(known) == (known == nullptr ? 0 : 5));
        CHECK((moru_program_entry_name(known, entry) != nullptr) == (known != nullptr && entry >= 0 && entry < 5));
        CHECK((*moru_version() != 0 && moru_abi_version() == MORU_ABI_VERSION));
        break;
      }
      case 13: {
        moru_session* made = nullptr;
        count(moru_session_create(known, static_cast<int32_t>(pick(-1, 2)), pick(0, 9) == 0 ? nullptr : &made));
        moru_session_free(made);
        break;
      }
      default: {
        // Another program beside this one: of a library, of a file with its code, of a file that is none.
        moru_program* made = nullptr;
        moru_program** const into = pick(0, 9) == 0 ? nullptr : &made;
        moru_kernel_library wrong = library.library;
        if (pick(0, 2) == 0) wrong.abi_version = static_cast<uint32_t>(pick(0, 9));
        if (pick(0, 2) == 0) wrong.program_hash = static_cast<uint64_t>(pick(0, 9));
        if (pick(0, 2) == 0) wrong.file_bytes = static_cast<uint64_t>(pick(0, static_cast<int64_t>(wrong.file_bytes)));
        if (pick(0, 5) == 0) wrong.file = nullptr;
        if (pick(0, 5) == 0) wrong.entries = nullptr;
        const moru_kernel_library* const code = pick(0, 9) == 0 ? nullptr : &wrong;
        const char* const files[] = {nullptr, "", "/nonexistent/m", directory.path().c_str(), path.c_str(), model.c_str()};
        const char* const file = files[pick(0, 5)];
        const int64_t how = pick(0, 2);
        count(how == 0 ? moru_program_from_library(code, into) : how == 1 ? moru_program_load(file, code, into) : moru_program_open(file, into));
        moru_program_free(made);
        break;
      }
    }
  }
  moru_session_free(session);
  moru_program_free(program);
  CHECK(answers[0] > 1000);  // both kinds were met
  CHECK(answers[1] > 1000);
}

TEST_CASE("C API: the calls in any order are all that the header has") {
  const auto text_of = [](const std::string& path) {
    const std::vector<std::byte> bytes = read_bytes(path);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  const std::string header = text_of(MORU_SOURCE_DIR "/runtime/include/moru/moru.h");
  std::string calls = text_of(MORU_SOURCE_DIR "/tests/runtime/c_api_host_test.cpp");
  calls = calls.substr(calls.find("TEST_CASE(\"C API: calls in any order"));
  size_t functions = 0;
  for (size_t at = header.find("\nMORU_API "); at != std::string::npos; at = header.find("\nMORU_API ", at + 1)) {
    const size_t end = header.find('(', at), begin = header.rfind("moru_", end);
    const std::string name = header.substr(begin, end - begin);
    CHECK_MESSAGE(calls.find(name + "(") != std::string::npos, name << " is not among them");
    ++functions;
  }
  CHECK(functions > 20);
}
