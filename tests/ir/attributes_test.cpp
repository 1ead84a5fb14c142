#include "compiler/ir/attributes.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "compiler/support/error.h"

namespace moru {
namespace {

std::string error_of(std::string_view text) {
  try {
    Attributes::parse(text);
  } catch (const CompileError& error) {
    return error.parts().what;
  }
  return "no error";
}

TEST_CASE("attributes: text shows every type of value in its own spelling") {
  const Attributes attributes = {{"spec", "ab,bc->ac"},
                                 {"axis", 1},
                                 {"kernel_initializer", Attributes{{"class", "GlorotUniform"}, {"seed", {}}}},
                                 {"shape", Shape{Dim::symbol("batch"), 3}},
                                 {"sizes", std::vector<int64_t>{1, 2}},
                                 {"scales", std::vector<double>{1, 0.5}},
                                 {"names", std::vector<std::string>{"a", "b\"\n"}},
                                 {"rate", 2.0},
                                 {"on", true}};
  CHECK(attributes.text() ==
        R"({axis=1, kernel_initializer={class="GlorotUniform", seed=none}, names=("a", "b\"\x0a"), on=true, rate=2.0, )"
        R"(scales=(1.0, 0.5), shape=[batch, 3], sizes=(1, 2), spec="ab,bc->ac"})");
  CHECK(Attributes::parse(attributes.text()) == attributes);
}

TEST_CASE("attributes: what is printed parses back to the same values and types") {
  const double infinity = std::numeric_limits<double>::infinity();
  const AttributeValue values[] = {
      AttributeValue{},
      true,
      false,
      0,
      std::numeric_limits<int64_t>::min(),
      std::numeric_limits<int64_t>::max(),
      0.1,
      -1e-300,
      1e22,
      5e-324,
      infinity,
      -infinity,
      std::nan(""),
      "",
      "none",
      std::string("\0\x7f\t\\\"", 5),
      "활성화",
      std::vector<int64_t>{},
      std::vector<double>{},
      std::vector<std::string>{},
      std::vector<int64_t>{-3},
      std::vector<double>{infinity, 3},
      std::vector<std::string>{""},
      Shape{},
      Shape{Dim::symbol("batch"), Dim::symbol("time") * 24 + 1, floor_div(Dim::symbol("time"), 2)},
      Shape{max(Dim::symbol("time"), 1), 2},
      Attributes{},
      Attributes{{"layer", Attributes{{"class", "Dense"}, {"units", 3}}}},
  };
  for (const AttributeValue& value : values) {
    const Attributes attributes = {{"a", value}, {"b-c d", 1}};
    CAPTURE(attributes.text());
    const Attributes back = Attributes::parse(attributes.text());
    CHECK(back == attributes);
    CHECK(back.text() == attributes.text());
  }
}

TEST_CASE("attributes: an integer and a real of the same value differ") {
  CHECK_FALSE(Attributes{{"a", 1}} == Attributes{{"a", 1.0}});
  CHECK(Attributes{{"a", 1}}.real("a") == 1.0);
}

TEST_CASE("attributes: has is false for none and true for everything else") {
  const Attributes attributes = {{"a", AttributeValue{}}, {"b", false}};
  CHECK_FALSE(attributes.has("a"));
  CHECK(attributes.has("b"));
  CHECK_FALSE(attributes.has("c"));
  CHECK(attributes.find("a") != nullptr);
}

TEST_CASE("attributes: access to an absent or wrongly typed attribute is our fault") {
  const Attributes attributes = {{"units", 3}};
  CHECK_THROWS_WITH_AS((void)attributes.integer("unit"), "attribute 'unit' is absent", InternalError);
  CHECK_THROWS_WITH_AS((void)attributes.string("units"), "attribute 'units' is not a string", InternalError);
}

TEST_CASE("attributes: wrong text is refused with its place") {
  CHECK(error_of("") == "attributes: expected '{' at character 1, after ''");
  CHECK(error_of("{a=1") == "attributes: expected ',' at character 5, after '{a=1'");
  CHECK(error_of("{a=1, a=2}") == "attributes: 'a' stands there twice at character 8, after '{a=1, a'");
  CHECK(error_of("{a=(1, 2.5)}") ==
        "attributes: the elements of a list must be of one type at character 11, after '{a=(1, 2.5'");
  CHECK(error_of("{a=maybe}") == "attributes: expected a value at character 4, after '{a='");
  CHECK(error_of("{a=99999999999999999999}") == "attributes: expected a value at character 4, after '{a='");
  CHECK(error_of("{a=\"x}") == "attributes: the string does not end at character 7, after '{a=\"x}'");
  CHECK(error_of("{a=1} b") == "attributes: expected the end at character 7, after '{a=1} '");
  CHECK(error_of("{a=[1}") == "attributes: the shape does not end at character 7, after '{a=[1}'");
}

TEST_CASE("attributes: text that nests without end is refused, not followed") {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "{a=";
  CHECK(error_of(text).find("nested too deep") != std::string::npos);
}

}  // namespace
}  // namespace moru
