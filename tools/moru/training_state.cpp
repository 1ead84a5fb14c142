#include "tools/moru/training_state.h"

#include <cstdio>
#include <set>

#include "compiler/exchange/keras_compile.h"
#include "compiler/ops/names.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"

namespace moru::cli {
namespace {

NamedTensor named(const SavedTensor& slot) { return {slot.name, slot.dtype, slot.shape, slot.bytes}; }

}  // namespace

SavedTraining saved_training(const TrainingSpec& training, Model& model, std::span<const SavedTensor> slots) {
  SavedTraining saved;
  saved.compile_config = export_compile_config(training);
  NamedTensor found;
  saved.variables = saved_variables(saved.compile_config, model, [&](const std::string& name) -> const NamedTensor* {
    for (const SavedTensor& slot : slots) {
      if (slot.name != name) continue;
      found = named(slot);
      return &found;
    }
    return nullptr;
  });
  return saved;
}

std::function<Status(Session&)> continued_training(ModelSource& source) {
  if (source.training.variables.empty()) return {};
  const OptimizerRecipe& optimizer = source.recipe->fit.optimizer;
  const std::string before = optimizer_of(source.training), now = optimizer_op_for(optimizer.name);
  std::vector<NamedTensor> slots = before == now ? optimizer_slots(source.training, source.model) : std::vector<NamedTensor>();
  if (slots.empty()) {
    std::fprintf(stderr, "note: '%s' holds the state of an optimizer that does not fit the recipe's (%s), which begins anew\n",
                 source.path.c_str(), optimizer.name.c_str());
    return {};
  }
  const std::optional<double> rate = learning_rate_of(source.training);
  if (!rate || static_cast<float>(*rate) != static_cast<float>(optimizer.learning_rate))
    std::erase_if(slots, [](const NamedTensor& slot) { return slot.name == "learning_rate"; });
  return [slots](Session& session) -> Status {
    for (const NamedTensor& tensor : slots) {
      const std::optional<uint32_t> slot = session.program().find_slot(tensor.name);
      if (!slot) continue;  // of a weight that the recipe freezes
      MORU_RETURN_IF_ERROR(session.assign(*slot, tensor.bytes.data(), tensor.bytes.size()));
    }
    return {};
  };
}

void take_checkpoint(ModelSource& source, const std::string& path) {
  const Checkpoint checkpoint = need(read_checkpoint(path));
  const PreparedModel prepared = prepare_model(source, true);  // with the scalers, whose statistics it holds
  std::set<std::string> names;
  for (const ParameterPath& one : all_parameters(source.model)) names.insert(one.path);
  std::vector<NamedTensor> weights;
  for (const SavedTensor& slot : checkpoint.slots)
    if (names.count(slot.name)) weights.push_back(named(slot));
  assign_named_weights(source.model, weights, path);
  source.training = prepared.trains ? saved_training(prepared.training, source.model, checkpoint.slots) : SavedTraining();
}

}  // namespace moru::cli
