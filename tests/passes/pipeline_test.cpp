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

TEST_CASE("pipeline: every pass that runs by name does something where it stands") {
  std::vector<WholeModel> models = whole_models();
  models.push_back({"long_memory", [] {
                      ModelBuilder m("m");
                      return m.build({m.call(layers::dense(2, {.name = "out"}), m.call(layers::lstm(6), m.input("x", {24, 3})))});
                    }});
  models.push_back({"long_attention", [] {
                      ModelBuilder m("m");
                      const Tensor x = m.input("x", {1024, 4});
                      const Tensor h = m.layer("MultiHeadAttention", {{"num_heads", 2}, {"key_dim", 2}})({x, x});
                      return m.build({m.call(layers::dense(2, {.name = "out"}), m.call(layers::flatten(), h))});
                    }});
  models.push_back({"channels_in_front", [] {
                      ModelBuilder m("m");
                      const Attributes filters = {{"filters", 2}, {"kernel_size", std::vector<int64_t>{3}}, {"data_format", "channels_first"}};
                      const Tensor h = m.layer("Conv1D", filters)(m.layer("Conv1D", filters)(m.input("x", {3, 9})));
                      return m.build({m.call(layers::dense(2, {.name = "out"}), m.call(layers::flatten(), h))});
                    }});
  models.push_back({"focal",  // whose loss raises to the power 2
                    [] {
                      ModelBuilder m("m");
                      return m.build({m.call(layers::dense(2, {.activation = "sigmoid", .name = "out"}), m.input("x", {4}))});
                    },
                    {"binary_focal_crossentropy"}});
  const auto changes = [&](const std::string& name, const std::string& before) {
    for (const DTypePolicy policy : {DTypePolicy::float32, DTypePolicy::mixed_bfloat16})
      for (const WholeModel& whole : models) {
        WholeModel with_policy = whole;
        with_policy.make = [&] {
          Model model = whole.make();
          model.dtype_policy = policy;
          return model;
        };
        Module module = training_module(with_policy, {.stop_after = before});
        const std::string text = module_text(module);
        run_passes(module, std::vector<std::string>{name});
        if (module_text(module) != text) return true;
      }
    return false;
  };
  std::string before = "make_entries";
  for (const PassDescription& pass : describe_passes()) {
    const std::string name(pass.name);
    if (name == "lower") break;
    if (name != "make_entries" && name != "add_update") CHECK_MESSAGE(changes(name, before), name);  // those need more
    before = name;
  }
}
