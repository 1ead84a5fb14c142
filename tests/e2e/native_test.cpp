// Whole models: the entries as the references compute them, as interpreted kernels and as native code, at several batch
// sizes and vector widths.
#include <doctest/doctest.h>

#include "compiler/pipeline.h"
#include "tests/e2e/whole_models.h"

using namespace moru;
using namespace moru::test;

namespace {

void check_model(const WholeModel& whole, const std::string& optimizer, std::vector<int64_t> batches,
                 double tolerance) {
  CAPTURE(whole.name);
  Model model = whole.make();
  TrainingSpec training = training_of(whole, optimizer);
  PipelineOptions options;
  options.training = &training;
  options.stop_after = "tile_batch";
  const LoweredModule lowered(run_pipeline(model, options).module);
  for (int64_t batch : batches) {
    const Symbols symbols = {{"batch", batch}, {"time", 5}};
    Slots slots = random_slots(lowered.module, symbols, 7 + static_cast<uint64_t>(batch));
    for (const char* entry :
         {"predict", "reset_metrics", "train_step", "train_step", "evaluate", "metric_results", "predict"})
      check_entry(lowered, entry, slots, symbols, tolerance);
  }
}

}  // namespace

TEST_CASE("native: whole models give what their references say, with the same bits at every vector width") {
  const char* only = std::getenv("MORU_TEST_MODEL");  // to reproduce one
  for (const WholeModel& whole : whole_models()) {
    if (only && whole.name != only) continue;
    try {
      check_model(whole, "sgd", {1, 7, 16, 33}, 2e-5);
    } catch (const std::exception& error) {
      FAIL_CHECK(whole.name << ": " << std::string(error.what()));
    }
  }
}

TEST_CASE("native: every optimizer's update gives what its reference says") {
  for (const WholeModel& whole : whole_models()) {
    if (whole.name != "two_inputs_two_outputs") continue;
    for (const char* optimizer : {"rmsprop", "adam", "adamw"}) {
      CAPTURE(optimizer);
      // A gradient near 0 is divided by its own size: rounding shows more than elsewhere.
      check_model(whole, optimizer, {7}, 2e-3);
    }
  }
}
