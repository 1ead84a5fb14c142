#include "runtime/training/json_writer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

using moru::JsonWriter;

TEST_CASE("json_writer: a document nests objects and arrays and a strict parser reads it") {
  JsonWriter json;
  json.begin_object();
  json.key("epochs").integer(-3);
  json.key("restored").boolean(true);
  json.key("loss").numbers(std::vector<double>{0.5, 1e-300, -0.0});
  json.key("nothing").null();
  json.key("empty").begin_object().end_object();
  json.key("parts").begin_array();
  json.text("a").begin_object().key("b").number(2.5).end_object();
  json.end_array();
  json.end_object();
  const std::string text = json.finish();
  const auto parsed = nlohmann::json::parse(text);
  CHECK(parsed["epochs"] == -3);
  CHECK(parsed["restored"] == true);
  CHECK(parsed["loss"][1].get<double>() == 1e-300);
  CHECK(std::signbit(parsed["loss"][2].get<double>()));
  CHECK(parsed["nothing"].is_null());
  CHECK(parsed["empty"].empty());
  CHECK(parsed["parts"][1]["b"] == 2.5);
  CHECK(text.back() == '\n');
}

TEST_CASE("json_writer: every finite double reads back with the same bits") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t bits = random();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    const double back = nlohmann::json::parse(moru::json_number(value)).get<double>();
    REQUIRE(std::memcmp(&back, &value, sizeof value) == 0);
  }
}

TEST_CASE("json_writer: NaN and infinities, which JSON lacks, are written as null") {
  CHECK(moru::json_number(std::nan("")) == "null");
  CHECK(moru::json_number(std::numeric_limits<double>::infinity()) == "null");
  CHECK(moru::json_number(-std::numeric_limits<double>::infinity()) == "null");
}

TEST_CASE("json_writer: control characters, quotes and invalid UTF-8 never break a string") {
  const std::string nasty = std::string("a\"b\\c\n\t\x01") + '\0' + "\xFF\xC0\xAF\xED\xA0\x80 \xEB\xAA\xA8\xEB\xA3\xA8 \xF0\x9F\x9A\xB2";
  const auto parsed = nlohmann::json::parse(moru::json_quoted(nasty)).get<std::string>();
  CHECK(parsed.starts_with("a\"b\\c\n\t\x01"));
  CHECK(parsed.ends_with("\xEB\xAA\xA8\xEB\xA3\xA8 \xF0\x9F\x9A\xB2"));
  CHECK(parsed.find("\xEF\xBF\xBD") != std::string::npos);
  CHECK(parsed.find('\xFF') == std::string::npos);
}

TEST_CASE("json_writer: no sequence of random bytes makes a document that a parser refuses") {
  std::mt19937 random(11);
  for (int i = 0; i < 5000; ++i) {
    std::string bytes(random() % 12, '\0');
    for (char& b : bytes) b = static_cast<char>(random());
    REQUIRE_NOTHROW(nlohmann::json::parse(moru::json_quoted(bytes)));
  }
}
