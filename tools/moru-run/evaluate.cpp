#include "runtime/training/evaluate.h"

#include <cstdio>

#include "runtime/data/gaps.h"
#include "runtime/data/prepare.h"
#include "runtime/data/wording.h"
#include "runtime/training/json_writer.h"
#include "runtime/training/predict.h"
#include "runtime/training/progress.h"
#include "runtime/training/train_from_recipe.h"
#include "tools/moru-run/commands.h"

namespace moru::run {

int run_evaluate(const CommonOptions& common, const EvaluateOptions& options) {
  const Result<Model> model = open_model(common);
  if (!model) return fail(model.status());
  const Result<Recipe> recipe = require_recipe(common, *model);
  if (!recipe) return fail(recipe.status());
  const Result<std::unique_ptr<Session>> session = open_session(common, *model);
  if (!session) return fail(session.status());
  const Result<Dataset> data = prepare_evaluation(*recipe, options.data);
  if (!data) return fail(data.status());
  Progress(ProgressStyle::quiet, stderr).warn(describe_gaps(*recipe, data->times()));
  const Result<std::vector<SavedTensor>> answers = predict(**session, *data);
  if (!answers) return fail(answers.status());
  const Result<std::vector<NamedValue>> values = measure(**session, *recipe, *data, *answers);
  if (!values) return fail(values.status());
  if (common.json) {
    JsonWriter json;
    json.begin_object();
    json.key("samples").integer(data->size());
    for (const NamedValue& value : *values) json.key(value.name).number(value.value);
    json.end_object();
    std::fputs(json.finish().c_str(), stdout);
    return 0;
  }
  std::printf("samples: %lld\n", static_cast<long long>(data->size()));
  for (const NamedValue& value : *values) std::printf("%s: %s\n", value.name.c_str(), number_text(value.value, 6).c_str());
  return 0;
}

}  // namespace moru::run
