// A model that trains and predicts in a web page, as WebAssembly, with the numbers of native code.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>

#include "tests/tools/browser/browser.h"
#include "tests/tools/browser/file_server.h"
#include "tests/tools/moru_process.h"

using namespace moru::test;

namespace {

bool has_what_it_takes() {
  if (Browser::is_installed() && !find_program("wasm-ld-19").empty()) return true;
  std::puts(
      "SKIPPED: no model was trained in a web page: chromium, chromedriver or wasm-ld-19 are not installed "
      "(apt-get install chromium chromium-driver lld-19, or tools/test --all)");
  return false;
}

}  // namespace

TEST_CASE("a page trains a model for 20 steps and predicts, bit for bit as native code does") {
  if (!has_what_it_takes()) return;
  const SmallProject project;
  const std::string tests = std::string(MORU_SOURCE_DIR) + "/tests/embed/targets/";
  const std::string recipe = std::string(MORU_SOURCE_DIR) + "/tools/recipes/bike_lstm.json";
  for (const char* output : {"m.wasm", "m.so"}) {
    const Outcome compiled = project.moru({"compile", recipe, "-o", project / output});
    CAPTURE(compiled.err);
    REQUIRE(compiled.code == 0);
  }
  for (const char* file : {"train.mjs", "page.html"}) std::filesystem::copy_file(tests + file, project / file);
  const Outcome native = project.moru({project / "m.so"}, {.binary = "train_runtime"});
  REQUIRE(native.code == 0);
  REQUIRE(native.out.size() > 100);

  const FileServer server(project / "");
  Browser browser;
  browser.visit(server.url("page.html"));
  std::string title;
  for (int attempt = 0; attempt < 1200 && title != "done" && title != "failed"; ++attempt) {
    title = browser.run("return document.title;");
    ::usleep(50'000);
  }
  const std::string numbers = browser.run("return document.getElementById('numbers').textContent;");
  CAPTURE(numbers);
  CHECK(title == "done");
  CHECK(numbers == native.out);
  CHECK(browser.console().empty());
}
