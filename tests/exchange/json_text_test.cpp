#include "compiler/exchange/json_text.h"

#include <doctest/doctest.h>

#include <string>

using namespace moru;

TEST_CASE("json_text: what is long is cut between characters") {
  CHECK(json_text(Json("short")) == "\"short\"");
  std::string hangul;
  for (int i = 0; i < 30; ++i) hangul += "\xEA\xB0\x80";  // three bytes each
  for (const std::string before : {"", "a", "ab"}) {
    const std::string text = json_text(Json(before + hangul));
    CHECK(text.size() <= 60);
    CHECK(text.ends_with("\xEA\xB0\x80..."));
  }
}
