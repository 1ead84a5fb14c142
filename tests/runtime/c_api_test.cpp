#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "moru/moru.h"
#include "tests/runtime/small_program.h"
#include "tests/runtime/temporary_directory.h"

using namespace moru::test;

namespace {

/// The small program as a library that carries its file.
struct Library {
  std::vector<std::byte> file = small_moru();
  moru_kernel_library library = {MORU_KERNEL_ABI_VERSION,
                                 5,
                                 small_hash,
                                 small_entries,
                                 reinterpret_cast<const uint8_t*>(file.data()),
                                 file.size(), nullptr, 0};
};

struct Handles {
  moru_program* program = nullptr;
  moru_session* session = nullptr;
  explicit Handles(const Library& library) {
    REQUIRE(moru_program_from_library(&library.library, &program) == MORU_OK);
    REQUIRE(moru_session_create(program, 1, &session) == MORU_OK);
  }
  ~Handles() {
    moru_session_free(session);
    moru_program_free(program);
  }
};

std::vector<float> view_floats(const moru_session* session, int32_t slot) {
  moru_tensor tensor;
  REQUIRE(moru_session_view(session, slot, &tensor) == MORU_OK);
  int64_t count = 1;
  for (int32_t axis = 0; axis < tensor.rank; ++axis) count *= tensor.shape[axis];
  const float* data = static_cast<const float*>(tensor.data);
  return {data, data + count};
}

}  // namespace

TEST_CASE("C API: a linked-in model predicts, trains, and is saved and loaded again") {
  TemporaryDirectory directory;
  Library library;
  Handles handles(library);
  int32_t x = moru_program_find_slot(handles.program, "x");
  int32_t y_true = moru_program_find_slot(handles.program, "y_true");
  int32_t w = moru_program_find_slot(handles.program, "w");
  Floats x_values(ramp(24));
  Floats y_values(ramp(16));
  const int64_t x_shape[] = {8, 3};
  const int64_t y_shape[] = {8, 2};
  REQUIRE(moru_session_bind(handles.session, x, x_values.data(), x_shape, 2) == MORU_OK);
  REQUIRE(moru_session_bind(handles.session, y_true, y_values.data(), y_shape, 2) == MORU_OK);
  int32_t train_step = moru_program_find_entry(handles.program, "train_step");
  for (int i = 0; i < 5; ++i) REQUIRE(moru_session_run(handles.session, train_step) == MORU_OK);
  int32_t predict = moru_program_find_entry(handles.program, "predict");
  float out[16] = {};
  int32_t y = moru_program_find_slot(handles.program, "y");
  REQUIRE(moru_session_bind_output(handles.session, y, out, sizeof(out)) == MORU_OK);
  REQUIRE(moru_session_run(handles.session, predict) == MORU_OK);
  CHECK(view_floats(handles.session, y) == std::vector<float>(out, out + 16));
  CHECK(out[3] != 0.0F);

  REQUIRE(moru_session_save_checkpoint(handles.session, (directory / "c").c_str()) == MORU_OK);
  REQUIRE(moru_session_save_model(handles.session, (directory / "m.moru").c_str()) == MORU_OK);
  auto trained = view_floats(handles.session, w);
  const float zeros[6] = {};
  REQUIRE(moru_session_assign(handles.session, w, zeros, sizeof(zeros)) == MORU_OK);
  REQUIRE(moru_session_load_checkpoint(handles.session, (directory / "c").c_str(), 0) == MORU_OK);
  CHECK(view_floats(handles.session, w) == trained);

  moru_program* again = nullptr;
  moru_session* session = nullptr;
  REQUIRE(moru_program_load((directory / "m.moru").c_str(), &library.library, &again) == MORU_OK);
  CHECK(moru_program_hash(again) == moru_program_hash(handles.program));
  REQUIRE(moru_session_create(again, 2, &session) == MORU_OK);
  moru_program_free(again);  // the session lives on
  CHECK(view_floats(session, w) == trained);
  moru_session_free(session);
}

TEST_CASE("C API: slots and entries describe themselves") {
  Library library;
  Handles handles(library);
  CHECK(moru_program_slot_count(handles.program) == small_slot_count);
  CHECK(moru_program_entry_count(handles.program) == 5);
  CHECK(std::string(moru_program_entry_name(handles.program, entry_lookup)) == "lookup");
  CHECK(moru_program_entry_name(handles.program, 9) == nullptr);
  moru_slot_info info;
  REQUIRE(moru_program_slot_info(handles.program, slot_x, &info) == MORU_OK);
  CHECK(std::string(info.name) == "x");
  CHECK(info.kind == MORU_INPUT);
  CHECK(info.dtype == MORU_F32);
  CHECK(info.rank == 2);
  CHECK(info.sizes[0] == MORU_UNKNOWN_SIZE);
  CHECK(info.sizes[1] == 3);
  int32_t slots[1] = {-1};
  CHECK(moru_program_entry_slots(handles.program, entry_train_step, 0, slots, 1) == 2);
  CHECK(slots[0] == slot_x);
  CHECK(moru_program_entry_slots(handles.program, entry_train_step, 1, slots, 1) == 1);
  CHECK(slots[0] == slot_loss);
  CHECK(moru_program_entry_slots(handles.program, -1, 1, slots, 1) == -1);
}

TEST_CASE("C API: wrong calls answer with a code and a message of their thread") {
  Library library;
  Handles handles(library);
  moru_program* program = handles.program;
  CHECK(moru_program_open("/nonexistent/m.so", &program) == MORU_FILE_NOT_FOUND);
  CHECK(program == nullptr);
  CHECK(std::string(moru_last_error()) == "cannot open '/nonexistent/m.so': No such file or directory");
  CHECK(moru_program_open(nullptr, &program) == MORU_INVALID_ARGUMENT);
  CHECK(std::string(moru_last_error()) == "the argument 'path' is null");
  CHECK(moru_program_open("x", nullptr) == MORU_INVALID_ARGUMENT);
  CHECK(moru_program_from_library(nullptr, &program) == MORU_INVALID_ARGUMENT);
  CHECK(moru_session_run(handles.session, moru_program_find_entry(handles.program, "no such entry")) == MORU_NOT_FOUND);
  CHECK(std::string(moru_last_error()) == "there is no entry -1");
  std::thread([] { CHECK(std::string(moru_last_error()).empty()); }).join();
  CHECK(moru_session_run(handles.session, entry_predict) == MORU_NOT_BOUND);
  CHECK(moru_session_run(handles.session, entry_fail) == MORU_KERNEL_FAILED);
  CHECK(moru_session_run(nullptr, 0) == MORU_INVALID_ARGUMENT);
  const int64_t shape[] = {1, 3};
  CHECK(moru_session_bind(handles.session, -1, nullptr, shape, 2) == MORU_NOT_FOUND);
  CHECK(moru_session_bind(handles.session, slot_x, nullptr, shape, -2) == MORU_INVALID_ARGUMENT);
  CHECK(moru_session_bind(handles.session, slot_x, nullptr, nullptr, 2) == MORU_INVALID_ARGUMENT);
  moru_tensor tensor;
  CHECK(moru_session_view(handles.session, slot_y, &tensor) == MORU_WRONG_STATE);
  CHECK(std::string(moru_last_error()) == "slot 'y' holds nothing before the first run");
  CHECK(moru_session_view(handles.session, 99, &tensor) == MORU_NOT_FOUND);
  CHECK(moru_session_load_checkpoint(handles.session, "/nonexistent/c", 0) == MORU_FILE_NOT_FOUND);
  moru_session* none = handles.session;
  CHECK(moru_session_create(handles.program, 0, &none) == MORU_INVALID_ARGUMENT);
  CHECK(none == nullptr);
  moru_program_free(nullptr);
  moru_session_free(nullptr);
  CHECK(std::string(moru_version()) == MORU_VERSION);
}

TEST_CASE("C API: a shared object is opened, used and closed; another one is told apart") {
  if (std::system("cc --version > /dev/null 2>&1") != 0) {
    MESSAGE("skipped: no C compiler to make a shared object with");
    return;
  }
  TemporaryDirectory directory;
  auto file = small_moru();
  FILE* source = std::fopen((directory / "m.c").c_str(), "w");
  REQUIRE(source != nullptr);
  std::fprintf(source,
               "#include \"schema/kernel_abi.h\"\nstatic const uint8_t file[] __attribute__((aligned(64))) = {");
  for (std::byte byte : file) std::fprintf(source, "%d,", static_cast<int>(byte));
  std::fprintf(source,
               "};\n"
               "static int32_t prepare(const moru_kernel_call* c) { (void)c; return 0; }\n"
               "static int32_t predict(const moru_kernel_call* c) {\n"
               "  for (int64_t i = 0; i < 2 * c->symbols[0]; ++i) ((float*)c->buffers[2])[i] = 3.5f;\n"
               "  return 0;\n}\n"
               "static const moru_kernel_entry entries[] = {{\"prepare\", prepare}, {\"predict\", predict}};\n"
               "static const moru_kernel_library library = {1, 2, 0x%llxull, entries, file, sizeof(file)};\n"
               "const moru_kernel_library* moru_kernel_library_get(void) { return &library; }\n",
               static_cast<unsigned long long>(small_hash));
  std::fclose(source);
  auto compile = [&](const std::string& options, const std::string& output) {
    return std::system(("cc -shared -fPIC -I" MORU_SOURCE_DIR " " + options + " -o " + (directory / output)).c_str());
  };
  REQUIRE(compile(directory / "m.c", "m.so") == 0);
  moru_program* program = nullptr;
  REQUIRE(moru_program_open((directory / "m.so").c_str(), &program) == MORU_OK);
  moru_session* session = nullptr;
  REQUIRE(moru_session_create(program, 1, &session) == MORU_OK);
  moru_program_free(program);
  Floats x(ramp(6));
  const int64_t shape[] = {2, 3};
  REQUIRE(moru_session_bind(session, slot_x, x.data(), shape, 2) == MORU_OK);
  REQUIRE(moru_session_run(session, entry_predict) == MORU_OK);
  CHECK(view_floats(session, slot_y) == std::vector<float>(4, 3.5F));
  CHECK(moru_session_run(session, entry_fail) == MORU_NO_NATIVE_CODE);
  CHECK(std::string(moru_last_error()) == "entry 'fail' has no native code");
  moru_session_free(session);

  write_bytes(directory / "other.c", std::as_bytes(std::span("int other;\n", 11)));
  REQUIRE(compile(directory / "other.c", "other.so") == 0);
  CHECK(moru_program_open((directory / "other.so").c_str(), &program) == MORU_WRONG_FORMAT);
  CHECK(std::string(moru_last_error()).find("is a shared object, but not one compiled by Moru") != std::string::npos);
}

TEST_CASE("C API: the header is plain C") {
  if (std::system("cc --version > /dev/null 2>&1") != 0) {
    MESSAGE("skipped: no C compiler");
    return;
  }
  CHECK(
      std::system("printf '#include \"moru/moru.h\"\\n#include \"schema/kernel_abi.h\"\\n' | cc -std=c11 -Wall -Wextra "
                  "-Wpedantic -Werror -fsyntax-only -I" MORU_SOURCE_DIR "/runtime/include -I" MORU_SOURCE_DIR
                  " -x c -") == 0);
}
