// tests/bench/compare: its lines are well formed, with the peers that are installed.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tests/support/command_output.h"

using moru::test::run_command;

namespace {

const std::string compare = std::string(MORU_SOURCE_DIR) + "/tests/bench/compare --build " + MORU_BINARY_DIR;

}  // namespace

TEST_CASE("compare: gives a line of JSON for every peer that is there, with the same numbers as Moru") {
  if (std::system("/usr/bin/python3 --version > /dev/null 2>&1") != 0) {
    MESSAGE("skipped: there is no /usr/bin/python3");
    return;
  }
  const auto [status, text] = run_command(compare + " --only 64x64x64,eigen --rounds 2 --seconds 0.01 --json");
  CHECK(status == 0);
  int lines = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line); ++lines) {
    const nlohmann::json row = nlohmann::json::parse(line);
    CHECK(row.at("workload") == "64x64x64");
    CHECK(row.at("mode") == "product");
    CHECK(row.at("peer") == "eigen");
    CHECK(row.at("moru_us").get<double>() > 0);
    CHECK(row.at("ratio").get<double>() == doctest::Approx(row.at("peer_us").get<double>() / row.at("moru_us").get<double>()).epsilon(0.05));
  }
  CHECK(lines == 1);
}

TEST_CASE("compare: numbers that differ get no time") {
  // No difference is small enough for a negative tolerance.
  const auto [status, text] = run_command(compare + " --only 64x64x64,eigen --rounds 1 --seconds 0.01 --tolerance -1 --json 2>&1");
  if (text.find("MISSING: eigen") != std::string::npos) {
    MESSAGE("skipped: Eigen is not installed");
    return;
  }
  CHECK(status != 0);
  CHECK(text.find("error: 64x64x64 product 1: eigen: number") != std::string::npos);
  CHECK(text.find("peer_us") == std::string::npos);
}

TEST_CASE("compare: an unknown part is refused") {
  const auto [status, text] = run_command(compare + " --only T9 2>&1");
  CHECK(status != 0);
  CHECK(text.find("--only knows") != std::string::npos);
}
