#include "runtime/training/callbacks.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>
#include <vector>

namespace moru {
namespace {

/// What Keras' get_weights() returns: parameters, frozen ones included, and the moving statistics of layers.
std::vector<SavedTensor> capture_weights(const Session& session) {
  std::vector<SavedTensor> weights = capture_slots(session, SlotKind::parameter);
  for (SavedTensor& tensor : capture_slots(session, SlotKind::layer_state)) weights.push_back(std::move(tensor));
  return weights;
}

SavedNumber saved_integer(const char* name, int64_t value) { return {name, 0.0, value}; }

int64_t integer_of(const SavedCallback& saved, const char* name) {
  const SavedNumber* number = find_number(saved, name);
  return number == nullptr ? 0 : number->integer;
}

double value_of(const SavedCallback& saved, const char* name) {
  const SavedNumber* number = find_number(saved, name);
  return number == nullptr ? 0.0 : number->value;
}

std::string monitored_text(const std::string& name, double value) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), " %.6g", value);
  return name + text.data();
}

}  // namespace

const SavedNumber* find_number(const SavedCallback& saved, const std::string& name) {
  for (const SavedNumber& number : saved.numbers) {
    if (number.name == name) return &number;
  }
  return nullptr;
}

Callback early_stopping(const EarlyStoppingRecipe& recipe, std::shared_ptr<EarlyStoppingRule> rule) {
  if (rule == nullptr) rule = std::make_shared<EarlyStoppingRule>(recipe);
  auto best_weights = std::make_shared<std::vector<SavedTensor>>();
  Callback callback;
  callback.name = "early_stopping";
  callback.monitor = recipe.monitor;
  callback.on_epoch_end = [rule, best_weights](TrainingState& state) -> Status {
    const double* value = state.history.newest(rule->options().monitor);
    if (value == nullptr) return Status();
    const EarlyStoppingRule::Verdict verdict = rule->judge(state.epoch, *value);
    if (verdict.take_weights && rule->options().restore_best_weights) *best_weights = capture_weights(state.session);
    if (verdict.stop) {
      state.stop = true;
      state.progress.note("stopped early: " + rule->options().monitor + " has not improved for " +
                          std::to_string(rule->wait) + " epochs; best was epoch " +
                          std::to_string(rule->best_epoch + 1));
    }
    return Status();
  };
  callback.on_train_end = [rule, best_weights](TrainingState& state) -> Status {
    if (!rule->options().restore_best_weights || best_weights->empty()) return Status();
    state.progress.note("restored the weights of epoch " + std::to_string(rule->best_epoch + 1) + " (" +
                        (rule->has_best ? monitored_text(rule->options().monitor, rule->best)
                                        : rule->options().monitor + " never improved") +
                        ")");
    return assign_tensors(state.session, *best_weights);
  };
  callback.save = [rule, best_weights](SavedCallback& saved) {
    saved.numbers = {saved_integer("wait", rule->wait),
                     saved_integer("stopped_epoch", rule->stopped_epoch),
                     saved_integer("best_epoch", rule->best_epoch),
                     saved_integer("has_best", rule->has_best ? 1 : 0),
                     saved_integer("has_weights", rule->has_weights ? 1 : 0),
                     {"best", rule->best, 0}};
    saved.slots = *best_weights;
  };
  callback.restore = [rule, best_weights](const SavedCallback& saved) -> Status {
    rule->wait = integer_of(saved, "wait");
    rule->stopped_epoch = integer_of(saved, "stopped_epoch");
    rule->best_epoch = integer_of(saved, "best_epoch");
    rule->has_best = integer_of(saved, "has_best") != 0;
    rule->has_weights = integer_of(saved, "has_weights") != 0;
    rule->best = value_of(saved, "best");
    *best_weights = saved.slots;
    return Status();
  };
  return callback;
}

Callback model_checkpoint(const ModelCheckpointRecipe& recipe, std::string directory,
                          std::function<Status(const Session&, const std::string&)> write) {
  struct Best {
    MonitorMode mode;
    double value;
  };
  const MonitorMode mode = resolve_mode(recipe.mode, recipe.monitor);
  const double infinity = std::numeric_limits<double>::infinity();
  auto best = std::make_shared<Best>(Best{mode, mode == MonitorMode::max ? -infinity : infinity});
  if (!write) write = [](const Session& session, const std::string& path) { return save_moru(session, path); };

  Callback callback;
  callback.name = "model_checkpoint";
  if (recipe.save_best_only) callback.monitor = recipe.monitor;
  callback.on_epoch_end = [recipe, best, directory, write](TrainingState& state) -> Status {
    if (!recipe.save_best_only) {
      std::array<char, 40> file;
      std::snprintf(file.data(), file.size(), "/epoch-%04lld.moru", static_cast<long long>(state.epoch + 1));
      return write(state.session, directory + file.data());
    }
    const double* value = state.history.newest(recipe.monitor);
    if (value == nullptr || !improves(*value, best->value, 0, best->mode)) return Status();
    best->value = *value;
    return write(state.session, directory + "/best.moru");
  };
  callback.save = [best](SavedCallback& saved) { saved.numbers = {{"best", best->value, 0}}; };
  callback.restore = [best](const SavedCallback& saved) -> Status {
    if (const SavedNumber* number = find_number(saved, "best")) best->value = number->value;
    return Status();
  };
  return callback;
}

Callback stop_on_nan() {
  Callback callback;
  callback.name = "stop_on_nan";
  callback.on_epoch_end = [](TrainingState& state) -> Status {
    const double* loss = state.history.newest("loss");
    if (loss == nullptr || std::isfinite(*loss)) return Status();
    state.stop = true;
    state.progress.note("stopped: the loss of epoch " + std::to_string(state.epoch + 1) +
                        " is not a finite number; lower the learning rate, or look for NaN in the data");
    return Status();
  };
  return callback;
}

Callback learning_rate_schedule(std::function<double(int64_t epoch, double rate)> rate) {
  Callback callback;
  callback.name = "learning_rate_schedule";
  callback.on_epoch_begin = [rate = std::move(rate)](TrainingState& state) -> Status {
    const std::optional<uint32_t> slot = state.session.program().find_slot("learning_rate");
    if (!slot) return Status(StatusCode::not_found, "the program has no slot 'learning_rate' to schedule");
    const auto current = state.session.view(*slot).elements<float>();
    if (current.size() != 1) return Status(StatusCode::shape_mismatch, "the slot 'learning_rate' is not one f32");
    const float next = static_cast<float>(rate(state.epoch, static_cast<double>(current[0])));
    return state.session.assign(*slot, &next, sizeof next);
  };
  return callback;
}

}  // namespace moru
