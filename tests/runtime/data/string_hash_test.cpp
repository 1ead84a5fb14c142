#include "runtime/data/string_hash.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "runtime/data/prepare.h"
#include "tests/runtime/data/data_files.h"

using namespace moru;

namespace {

// What libfarmhash and libhighwayhash (under the key 133, 137) give.
struct Known {
  const char* text;
  uint64_t fingerprint, sip;
};
constexpr Known known[] = {
    {"", 0x9ae16a3b2f90404f, 0x4464e36d49835ad4},
    {"a", 0xb3454265b6df75e3, 0x6239e4ed0a5f3eca},
    {"spring", 0x760a9f548caef4a5, 0xef45fa9ca30b40d4},
    {"Seoul bikes 2017", 0x7222d1c58e040a72, 0x9aebb63309fa0310},
    {"the quick brown fox jumps", 0xd346959bb8cc1e12, 0x1a34607452126e15},
    {"the quick brown fox jumps over the lazy dog, twice", 0x3e11cf15ccf259e3, 0x31914f1125bad2e8},
    {"0123456789012345678901234567890123456789012345678901234567890123456789", 0x4905f2785f0c2818, 0xb9b0cdeaf1af416e},
    {"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
     "abcdef",
     0xff39f4061b99cb6d, 0x6f732212ba6caf29},
};

// The column's numbers for these cells; the rows in front of `trained` are the training part.
std::vector<float> indices_of(const std::vector<std::string>& cells, ColumnRecipe column, std::string* error = nullptr,
                              double trained = 1.0) {
  const test::TemporaryDirectory folder;
  std::string text = "t,y\n";
  for (const std::string& cell : cells) text += "\"" + cell + "\",1\n";
  column.column = "t";
  Recipe recipe;
  recipe.data.path = test::write_text(folder, "t.csv", text);
  recipe.data.missing_values = {""};
  recipe.data.inputs = {{"x", InputRows::row, DType::f32, {column}, {}, ScalerKind::none}};
  ColumnRecipe y;
  y.column = "y";
  recipe.data.targets = {{"y", DType::f32, {y}, {}, ScalerKind::none}};
  recipe.data.split.kind = SplitKind::chronological;
  recipe.data.split.train = trained;
  recipe.data.split.test = 1.0 - trained;
  recipe.fit.losses = {{"y", "mean_squared_error"}};
  const Result<PreparedData> data = prepare_training(recipe);
  if (error != nullptr) {
    REQUIRE_FALSE(data.ok());
    *error = data.status().message();
    return {};
  }
  INFO(data.status().message());
  REQUIRE(data.ok());
  std::vector<float> all(cells.size());
  const DatasetArray& array = data->train.inputs()[0];
  std::memcpy(all.data(), array.base->data(), cells.size() * sizeof(float));
  return all;
}

ColumnRecipe hashing(int64_t bins) {
  ColumnRecipe column;
  column.encoder = EncoderKind::hashing;
  column.bins = bins;
  return column;
}

ColumnRecipe lookup() {
  ColumnRecipe column;
  column.encoder = EncoderKind::string_lookup;
  return column;
}

using Floats = std::vector<float>;

}  // namespace

TEST_CASE("string_hash: fingerprints and SipHash are those of the libraries that define them") {
  for (const Known& one : known) {
    CAPTURE(one.text);
    CHECK(fingerprint64(one.text) == one.fingerprint);
    CHECK(sip_hash(one.text, {133, 137}) == one.sip);
  }
}

TEST_CASE("encode: hashing gives the bins that Keras' documentation shows for Hashing") {
  const std::vector<std::string> letters = {"A", "B", "C", "D", "E"};
  CHECK(indices_of(letters, hashing(3)) == Floats{1, 0, 1, 1, 2});
  ColumnRecipe masked = hashing(3);
  masked.mask_token = "";
  CHECK(indices_of({"A", "B", "", "C", "D"}, masked) == Floats{1, 1, 0, 2, 2});
  ColumnRecipe salted = hashing(3);
  salted.salt = {133, 137};
  CHECK(indices_of(letters, salted) == Floats{1, 2, 1, 0, 2});
  salted.salt = {133, 133};
  CHECK(indices_of(letters, salted) == Floats{0, 0, 2, 1, 0});
}

TEST_CASE("encode: string_lookup counts mask, unknown texts and vocabulary as Keras' StringLookup") {
  ColumnRecipe column = lookup();
  column.categories = {"a", "b", "c", "d"};
  CHECK(indices_of({"a", "c", "d", "d", "z", "b"}, column) == Floats{1, 3, 4, 4, 0, 2});
  column.mask_token = "";
  CHECK(indices_of({"a", "c", "", "d", "z", "b"}, column) == Floats{2, 4, 0, 5, 1, 3});
  column.mask_token.reset();
  column.oov_indices = 2;  // fingerprints modulo 2
  const auto unknown = [](const char* text) { return static_cast<float>(fingerprint64(text) % 2); };
  CHECK(indices_of({"a", "m", "z"}, column) == Floats{2, unknown("m"), unknown("z")});
  column.oov_indices = 0;
  std::string error;
  indices_of({"a", "zz"}, column, &error);
  CHECK(error.find("line 3, column 't': 'zz' is not one of the categories") != std::string::npos);
}

TEST_CASE("encode: string_lookup learns the training rows' tokens, the most frequent first") {
  // In the training part twice b, and c and a once: of equals the later in the alphabet comes first.
  const std::vector<std::string> cells = {"b", "a", "c", "b", "q", "q", "q", "a"};
  CHECK(indices_of(cells, lookup(), nullptr, 0.5) == Floats{1, 3, 2, 1, 0, 0, 0, 3});
  ColumnRecipe few = lookup();
  few.max_tokens = 3;  // one unknown, two tokens
  CHECK(indices_of(cells, few, nullptr, 0.5) == Floats{1, 0, 2, 1, 0, 0, 0, 0});
  ColumnRecipe missing = lookup();
  std::string error;
  indices_of({"a", ""}, missing, &error);
  CHECK(error.find("the cell is missing") != std::string::npos);
  error.clear();
  ColumnRecipe no_bins = hashing(0);
  indices_of({"a"}, no_bins, &error);
  CHECK(error.find("hashing needs num_bins") != std::string::npos);
}
