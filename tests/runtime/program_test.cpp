#include "runtime/program.h"

#include <doctest/doctest.h>

#include <random>

#include "runtime/program_reader.h"
#include "tests/runtime/small_program.h"
#include "tests/runtime/temporary_directory.h"

using namespace moru;
using namespace moru::test;

namespace {

std::string load_error(const ProgramSpec& spec) {
  auto program = load_small(spec);
  return program.ok() ? "" : program.status().message();
}

DimExpression one_symbol(uint32_t symbol) {
  DimExpression dim;
  dim.terms = {{1, {{DimExpression::FactorKind::symbol, symbol, {}}}}};
  return dim;
}
DimExpression number(int64_t value) {
  DimExpression dim;
  dim.terms = {{value, {}}};
  return dim;
}
DimExpression apply(DimExpression::FactorKind kind, DimExpression left, DimExpression right) {
  DimExpression dim;
  dim.terms = {{1, {{kind, 0, {std::move(left), std::move(right)}}}}};
  return dim;
}

}  // namespace

TEST_CASE("program: slots, entries, symbols and outputs are read and found by name") {
  auto program = *load_small();
  CHECK(program->hash() == small_hash);
  CHECK(program->provenance().moru_version == "1.2.3");
  CHECK(program->provenance().seed == 42);
  REQUIRE(program->slots().size() == small_slot_count);
  CHECK(program->find_slot("momentum") == slot_momentum);
  CHECK(program->find_slot("nothing") == std::nullopt);
  CHECK(program->find_entry("train_step") == entry_train_step);
  CHECK(program->outputs()[0].target == slot_y_true);
  CHECK(program->outputs()[0].sample_weight == std::nullopt);
  CHECK(program->workers_symbol() == symbol_workers);
  CHECK(program->slot_type_text(slot_x) == "f32[batch, 3]");
  CHECK(program->slot_type_text(slot_step) == "i64[]");
  CHECK(program->slots()[slot_indices].index_limit == table_rows);
  CHECK(program->slot_data(slot_bias).size() == 8);
  CHECK(program->slot_data(slot_momentum).empty());
  CHECK(program->entries()[entry_predict].arena_bytes.text(program->symbols()) == "64*ceil(8*batch/64) + 64*workers");
  CHECK(program->has_native_code());
}

TEST_CASE("program: without a library it can be inspected but has no code") {
  auto program = load_small(small_spec(), nullptr);
  REQUIRE(program.ok());
  CHECK(!(*program)->has_native_code());
  CHECK(Session::create(*program).status().code() == StatusCode::no_native_code);
}

TEST_CASE("program: the library must be of the same program and of a known ABI version") {
  moru_kernel_library other = small_library;
  other.program_hash = 1;
  CHECK(load_small(small_spec(), &other).status().code() == StatusCode::program_mismatch);
  moru_kernel_library newer = small_library;
  newer.abi_version = 3;
  CHECK(load_small(small_spec(), &newer).status().message() ==
        "the native code has kernel ABI version 3; this runtime has version 2");
}

TEST_CASE("program: a library that carries its file is loaded with nothing else") {
  auto bytes = small_moru();
  moru_kernel_library library = small_library;
  CHECK(Program::from_library(&library).status().message() == "the native code does not carry its .moru file");
  library.file = reinterpret_cast<const uint8_t*>(bytes.data());
  library.file_bytes = bytes.size();
  auto program = Program::from_library(&library);
  REQUIRE(program.ok());
  CHECK((*program)->file()->has(SectionKind::model));
  CHECK((*program)->slot_data(slot_w).size() == 24);
  // Embedded data may lie at any address.
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::copy(bytes.begin(), bytes.end(), shifted.begin() + 1);
  library.file = reinterpret_cast<const uint8_t*>(shifted.data() + 1);
  CHECK(Program::from_library(&library).ok());
}

TEST_CASE("program: every semantic check answers with its own message") {
  struct Case {
    const char* message;
    std::function<void(ProgramSpec&)> spoil;
  };
  auto negative = [](const DimBuilder& dims) { return dims.number(-4); };
  auto huge = [](const DimBuilder& dims) { return dims.number(int64_t{1} << 40); };
  auto unknown_symbol = [](const DimBuilder& dims) { return dims.symbol(9); };
  auto deep = [](const DimBuilder& dims) {
    DimOffset dim = dims.symbol(symbol_batch);
    for (int i = 0; i < 10; ++i) dim = dims.apply(schema::FactorKind::ceil_div, dim, dims.number(2));
    return dim;
  };
  auto unknown_factor = [](const DimBuilder& dims) {
    return dims.apply(static_cast<schema::FactorKind>(17), dims.number(1), dims.number(1));
  };
  const Case cases[] = {
      {"the program needs kernel ABI version 2; this runtime has version 1", [](auto& s) { s.abi_version = 2; }},
      {"it has no ABI version", [](auto& s) { s.abi_version = 0; }},
      {"more than one symbol is called 'batch'", [](auto& s) { s.symbols[1] = "batch"; }},
      {"a symbol has no name", [](auto& s) { s.symbols[1] = ""; }},
      {"a slot has no name", [](auto& s) { s.slots[3].name = ""; }},
      {"a name is longer than 4096 bytes", [](auto& s) { s.slots[3].name = std::string(5000, 'a'); }},
      {"more than one slot is called 'x'", [](auto& s) { s.slots[3].name = "x"; }},
      {"slot 'x' has an unknown kind", [](auto& s) { s.slots[0].kind = static_cast<schema::SlotKind>(10); }},
      {"slot 'x' has an unknown element type", [](auto& s) { s.slots[0].dtype = static_cast<schema::DType>(5); }},
      {"slot 'x' has more than 32 axes", [&](auto& s) { s.slots[0].shape.assign(33, huge); }},
      {"a size of slot 'x' names an unknown symbol", [&](auto& s) { s.slots[0].shape[0] = unknown_symbol; }},
      {"a size of slot 'x' is nested too deeply", [&](auto& s) { s.slots[0].shape[0] = deep; }},
      {"a size of slot 'x' has an unknown factor", [&](auto& s) { s.slots[0].shape[0] = unknown_factor; }},
      {"slot 'x' has an index limit that makes no sense", [](auto& s) { s.slots[0].index_limit = 4; }},
      {"slot 'indices' has an index limit that makes no sense", [](auto& s) { s.slots[1].index_limit = -4; }},
      {"slot 'x' is bound by the caller and cannot have data", [](auto& s) { s.slots[0].has_data = true; }},
      {"slot 'momentum' is kept between runs, so its sizes must be constants",
       [](auto& s) { s.slots[slot_momentum].shape[0] = [](const DimBuilder& dims) { return dims.symbol(0); }; }},
      {"slot 'momentum' has impossible sizes [-4, 2]", [&](auto& s) { s.slots[slot_momentum].shape[0] = negative; }},
      {"slot 'momentum' has impossible sizes [1099511627776, 1099511627776]",
       [&](auto& s) {
         s.slots[slot_momentum].shape = {huge, huge};
       }},
      {"slot 'step' has an initial value that is no integer", [](auto& s) { s.slots[slot_step].initial = 1e300; }},
      {"slot 'packed' of kind derived has data", [](auto& s) { s.slots[slot_packed].has_data = true; }},
      {"slot 'w' needs 24 bytes of data but has 20", [](auto& s) { s.slots[slot_w].data_bytes = 20; }},
      {"the data of slot 'w' lies outside the weights section", [](auto& s) { s.slots[slot_w].data_offset = 192; }},
      {"the data of slot 'w' lies outside the weights section",
       [](auto& s) { s.slots[slot_w].data_offset = UINT64_MAX - 63; }},
      {"the data of slot 'w' lies outside the weights section", [](auto& s) { s.slots[slot_w].data_offset = 4; }},
      {"the data of slots 'w' and 'bias' overlap",
       [](auto& s) {
         s.slots[slot_bias].data_offset = 0;
         s.slots[slot_w].data_offset = 0;
       }},
      {"more than one entry is called 'predict'", [](auto& s) { s.entries[0].name = "predict"; }},
      {"entry 'predict' names slot 99, which is not there", [](auto& s) { s.entries[1].inputs = {99}; }},
      {"entry 'predict' lists slot 'w' of kind parameter among its inputs",
       [](auto& s) { s.entries[1].inputs = {slot_w}; }},
      {"entry 'predict' lists slot 'x' of kind input among its outputs",
       [](auto& s) { s.entries[1].outputs = {slot_x}; }},
      {"entry 'predict' lists slot 'x' twice",
       [](auto& s) {
         s.entries[1].inputs = {slot_x, slot_x};
       }},
      {"entry 'predict' lists more slots than there are", [](auto& s) { s.entries[1].inputs.assign(50, slot_x); }},
      {"output 'y' names slot 5 as its output, which it is not", [](auto& s) { s.prediction = slot_w; }},
      {"output 'y' names slot 500 as its output, which it is not", [](auto& s) { s.prediction = 500; }},
  };
  for (const Case& wrong : cases) {
    ProgramSpec spec = small_spec();
    wrong.spoil(spec);
    std::string message = load_error(spec);
    INFO("expected: ", wrong.message);
    INFO("actual:   ", message);
    CHECK(message.find(wrong.message) != std::string::npos);
  }
}

TEST_CASE("program: bytes cut off at any length are an error, never a crash") {
  auto whole = make_program();
  for (size_t length = 0; length < whole.size(); ++length) {
    std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    auto tables = read_program(cut, small_weights_bytes);
    // The builder may pad at the front only, so every byte at the end belongs to something.
    if (tables.ok()) FAIL("accepted after ", length, " of ", whole.size(), " bytes");
  }
}

TEST_CASE("program: flipped bits and bytes are read or refused, never a crash") {
  auto whole = make_program();
  size_t accepted = 0;
  for (size_t position = 0; position < whole.size(); ++position) {
    for (int bit = 0; bit < 8; ++bit) {
      auto damaged = whole;
      damaged[position] ^= static_cast<std::byte>(1 << bit);
      auto tables = read_program(damaged, small_weights_bytes);
      if (tables.ok()) ++accepted;
    }
  }
  CHECK(accepted < whole.size() * 8);

  const uint32_t seed = 20240917;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 20000; ++round) {
    auto damaged = whole;
    for (int change = 0; change < 4; ++change) damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    auto program = Program::load(damaged, small_weights());
    if (!program.ok()) continue;
    for (uint32_t slot = 0; slot < (*program)->slots().size(); ++slot) (void)(*program)->slot_type_text(slot);
  }
}

TEST_CASE("program: another kind of FlatBuffer is told apart") {
  std::vector<std::byte> bytes(64, std::byte{8});
  CHECK(Program::load(bytes, {}).status().message() == "the program section does not hold a program (identifier MORP)");
}

TEST_CASE("program: a shared object that is none, or none of ours, is named") {
  TemporaryDirectory directory;
  CHECK(Program::open_shared_object(directory / "none.so").status().code() == StatusCode::file_not_found);
  write_bytes(directory / "bad.so", std::as_bytes(std::span("not ELF")));
  auto bad = Program::open_shared_object(directory / "bad.so");
  CHECK(bad.status().code() == StatusCode::wrong_format);
  CHECK(bad.status().message().find("cannot load '" + directory.path()) != std::string::npos);
}

TEST_CASE("dim expressions: floor and ceiling round as they say, also below zero") {
  using Kind = DimExpression::FactorKind;
  const int64_t symbols[] = {-7, 7};
  CHECK(apply(Kind::floor_div, one_symbol(0), number(2)).evaluate(symbols) == -4);
  CHECK(apply(Kind::ceil_div, one_symbol(0), number(2)).evaluate(symbols) == -3);
  CHECK(apply(Kind::floor_div, one_symbol(1), number(2)).evaluate(symbols) == 3);
  CHECK(apply(Kind::ceil_div, one_symbol(1), number(2)).evaluate(symbols) == 4);
  CHECK(apply(Kind::max, one_symbol(0), one_symbol(1)).evaluate(symbols) == 7);
}

TEST_CASE("dim expressions: overflow, division by zero and unknown symbols give no value") {
  using Kind = DimExpression::FactorKind;
  const int64_t symbols[] = {int64_t{1} << 40, DimExpression::unknown, 0};
  DimExpression square;
  square.terms = {{1, {one_symbol(0).terms[0].factors[0], one_symbol(0).terms[0].factors[0]}}};
  CHECK(square.evaluate(symbols) == std::nullopt);
  DimExpression sum;
  sum.terms = {{INT64_MAX, {}}, {1, {}}};
  CHECK(sum.evaluate(symbols) == std::nullopt);
  CHECK(one_symbol(1).evaluate(symbols) == std::nullopt);
  CHECK(one_symbol(7).evaluate(symbols) == std::nullopt);
  CHECK(apply(Kind::floor_div, one_symbol(0), one_symbol(2)).evaluate(symbols) == std::nullopt);
  CHECK(apply(Kind::ceil_div, one_symbol(0), number(-3)).evaluate(symbols) == std::nullopt);
}
