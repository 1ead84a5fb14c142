#include "compiler/pipeline.h"

#include <filesystem>

#include "compiler/support/error.h"
#include "tests/e2e/whole_models.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

TEST_CASE("pipeline: every pass has a test of its own") {
  for (const PassDescription& pass : describe_passes()) {
    std::string name(pass.name);
    if (name.size() > 2 && name[name.size() - 2] == '_' && std::isdigit(static_cast<unsigned char>(name.back())))
      name.resize(name.size() - 2);
    if (name == "expand_update") name = "expand";  // the same function again
    CAPTURE(name);
    CHECK(std::filesystem::exists(std::string(MORU_SOURCE_DIR) + "/tests/passes/" + name + "_test.cpp"));
    CHECK_FALSE(pass.why.empty());
  }
}

TEST_CASE("pipeline: it stops where it is told to, leaves out what it is told to, and dumps what changed") {
  Model model = whole_models()[0].make();
  TrainingSpec training = training_of(whole_models()[0]);
  PipelineOptions options;
  options.training = &training;
  options.disable = {"simplify"};
  options.stop_after = "simplify_2";
  std::vector<std::string> dumped;
  options.dump = [&](std::string_view pass, const std::string& text) {
    dumped.emplace_back(pass);
    CHECK(module_text(parse_module(text)).size() > 100);
  };
  const Lowered lowered = run_pipeline(model, options);
  CHECK(lowered.kernels.kernels.empty());
  const std::vector<StageTime>& times = lowered.times.list();
  CHECK(times.front().name == "make_entries");
  CHECK(times.back().name == "simplify_2");
  CHECK(std::none_of(times.begin(), times.end(), [](const StageTime& t) { return t.name == "simplify"; }));
  REQUIRE(!dumped.empty());
  CHECK(dumped.front() == "make_entries");
  CHECK(std::find(dumped.begin(), dumped.end(), "simplify") == dumped.end());
}

TEST_CASE("pipeline: passes run by name on a parsed module, and an unknown name is refused") {
  Module module = parse_module(R"(module {
    slot input "x": f32[batch]
    slot output "y": f32[batch]
    entry predict {
      %0 = input "x": f32[batch]
      %1: f32[batch] = neg(%0)
      %2: f32[batch] = neg(%1)
      %3: f32[batch] = tanh(%2)
      result "y" = %3
    }
  })");
  const std::vector<std::string> names = {"simplify", "drop_dead"};
  run_passes(module, names);
  CHECK(module.entries[0].nodes.size() == 1);
  const std::vector<std::string> unknown = {"simplfy"};
  CHECK_THROWS_WITH_AS(run_passes(module, unknown), doctest::Contains("'simplfy'"), CompileError);
}
