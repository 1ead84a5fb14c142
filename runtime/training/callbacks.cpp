#include "runtime/training/callbacks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>
#include <vector>

#include "runtime/atomic_file.h"
#include "runtime/data/wording.h"
#include "runtime/mapped_file.h"
#include "runtime/training/json_writer.h"

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

// The value that this epoch measured, or null.
const double* measured(const TrainingState& state, const std::string& name) {
  if (!state.validated && name.starts_with("val_")) return nullptr;
  return state.history.newest(name);
}

Result<uint32_t> learning_rate_slot(const Program& program) {
  const std::optional<uint32_t> slot = program.find_slot("learning_rate");
  if (!slot) return Status(StatusCode::not_found, "the program has no slot 'learning_rate' to schedule");
  return *slot;
}

Status set_learning_rate(Session& session, double rate) {
  const Result<uint32_t> slot = learning_rate_slot(session.program());
  if (!slot) return slot.status();
  const float value = static_cast<float>(rate);
  return session.assign(*slot, &value, sizeof value);
}

std::string monitored_text(const std::string& name, double value) {
  return name + " " + number_text(value, 6);
}

}  // namespace

Result<double> learning_rate(const Session& session) {
  const Result<uint32_t> slot = learning_rate_slot(session.program());
  if (!slot) return slot.status();
  const auto current = session.view(*slot).elements<float>();
  if (current.size() != 1) return Status(StatusCode::shape_mismatch, "the slot 'learning_rate' is not one f32");
  return static_cast<double>(current[0]);
}

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
    const double* value = measured(state, rule->options().monitor);
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
    const double* value = measured(state, recipe.monitor);
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
  const auto look = [](TrainingState& state, double loss) {
    if (std::isfinite(loss) || state.stop) return;
    state.stop = true;
    std::string broken;
    const std::span<const ProgramSlot> slots = state.session.program().slots();
    for (uint32_t i = 0; i < slots.size(); ++i) {
      if (slots[i].kind != SlotKind::parameter || slots[i].dtype != DType::f32) continue;
      const auto values = state.session.view(i).elements<float>();
      if (std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) continue;
      broken += (broken.empty() ? "'" : ", '") + std::string(slots[i].name) + "'";
    }
    state.progress.warn("stopped: the loss of epoch " + std::to_string(state.epoch + 1) + ", step " +
                        std::to_string(state.batch) + ", is not a finite number" +
                        (broken.empty() ? std::string("; all parameters are finite, so the input or the loss is to blame")
                                        : "; not finite any more: " + broken) +
                        "\n  hint: lower the learning rate, clip gradients, or look for NaN in the data");
  };
  auto loss_slot = std::make_shared<std::optional<uint32_t>>();
  callback.on_train_begin = [loss_slot](TrainingState& state) -> Status {
    *loss_slot = state.session.program().find_slot("loss");
    return Status();
  };
  callback.on_step_end = [loss_slot, look](TrainingState& state) -> Status {
    if (!*loss_slot || state.session.program().slots()[**loss_slot].dtype != DType::f32) return Status();
    const auto loss = state.session.view(**loss_slot).elements<float>();
    if (loss.size() == 1 && !std::isfinite(loss[0])) look(state, static_cast<double>(loss[0]));
    return Status();
  };
  callback.on_epoch_end = [look](TrainingState& state) -> Status {
    if (const double* loss = state.history.newest("loss")) look(state, *loss);
    return Status();
  };
  return callback;
}

Callback reduce_lr_on_plateau(const ReduceOnPlateauRecipe& recipe) {
  struct Plateau {
    double best;
    int64_t wait = 0, cooldown = 0;
  };
  const MonitorMode mode = resolve_mode(recipe.mode, recipe.monitor);
  const double infinity = std::numeric_limits<double>::infinity();
  auto plateau = std::make_shared<Plateau>(Plateau{mode == MonitorMode::max ? -infinity : infinity});
  Callback callback;
  callback.name = "reduce_lr_on_plateau";
  callback.shows_learning_rate = true;
  callback.monitor = recipe.monitor;
  callback.on_epoch_end = [recipe, mode, plateau](TrainingState& state) -> Status {
    const double* value = measured(state, recipe.monitor);
    if (value == nullptr) return Status();
    if (plateau->cooldown > 0) {
      --plateau->cooldown;
      plateau->wait = 0;
    }
    if (improves(*value, plateau->best, recipe.min_delta, mode)) {
      plateau->best = *value;
      plateau->wait = 0;
      return Status();
    }
    if (plateau->cooldown > 0 || ++plateau->wait < recipe.patience) return Status();
    const Result<double> rate = learning_rate(state.session);
    if (!rate) return rate.status();
    if (*rate <= static_cast<double>(static_cast<float>(recipe.min_lr))) return Status();
    const double lower = std::max(*rate * recipe.factor, recipe.min_lr);
    MORU_RETURN_IF_ERROR(set_learning_rate(state.session, lower));
    plateau->cooldown = recipe.cooldown;
    plateau->wait = 0;
    state.progress.note("epoch " + std::to_string(state.epoch + 1) + ": " +
                        monitored_text("learning rate reduced to", lower) + ", since " + recipe.monitor +
                        " has not improved");
    return Status();
  };
  callback.save = [plateau](SavedCallback& saved) {
    saved.numbers = {{"best", plateau->best, 0}, saved_integer("wait", plateau->wait), saved_integer("cooldown", plateau->cooldown)};
  };
  callback.restore = [plateau](const SavedCallback& saved) -> Status {
    plateau->best = value_of(saved, "best");
    plateau->wait = integer_of(saved, "wait");
    plateau->cooldown = integer_of(saved, "cooldown");
    return Status();
  };
  return callback;
}

Callback csv_logger(std::string path, std::string separator, bool append) {
  Callback callback;
  callback.name = "csv_logger";
  auto before = std::make_shared<std::string>();  // what was in the file before this run
  auto resumed_bytes = std::make_shared<int64_t>(-1);
  callback.on_train_begin = [path, append, before, resumed_bytes](TrainingState&) -> Status {
    if (!append) return Status();
    const auto old = MappedFile::open(path);
    if (!old) return Status();  // there was none
    const std::span<const std::byte> bytes = (*old)->bytes();
    const std::size_t count = *resumed_bytes < 0 ? bytes.size() : std::min(bytes.size(), static_cast<std::size_t>(*resumed_bytes));
    before->assign(reinterpret_cast<const char*>(bytes.data()), count);
    return Status();
  };
  callback.save = [before](SavedCallback& saved) {
    saved.numbers = {saved_integer("bytes_before", static_cast<int64_t>(before->size()))};
  };
  callback.restore = [resumed_bytes](const SavedCallback& saved) -> Status {
    *resumed_bytes = integer_of(saved, "bytes_before");
    return Status();
  };
  auto lines = std::make_shared<size_t>(0);  // that this process has written
  // The header, and the lines from `begin` on.
  const auto text_from = [separator](const History& history, size_t first_epoch, size_t begin) {
    std::vector<const SavedSeries*> columns;
    for (const SavedSeries& series : history.series) columns.push_back(&series);
    std::sort(columns.begin(), columns.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
    std::string header = "epoch", text;
    for (const SavedSeries* column : columns) header += separator + column->name;
    for (size_t row = begin; row < history.epochs(); ++row) {
      text += std::to_string(first_epoch + row);
      for (const SavedSeries* column : columns) {
        text += separator;
        if (row < column->values.size() && !std::isnan(column->values[row])) text += json_number(column->values[row]);
      }
      text += "\n";
    }
    return std::pair(header + "\n", text);
  };
  const auto write_all = [path, before, text_from](const TrainingState& state, size_t first_epoch) {
    const auto [header, text] = text_from(state.history, first_epoch, 0);
    return write_file_atomically(path, (before->empty() ? header : *before) + text);
  };
  // The lines of a process are added to what it wrote first. At the end the file is written once more, and reaches the disk.
  callback.on_epoch_end = [path, lines, text_from, write_all](TrainingState& state) -> Status {
    const size_t epochs = state.history.epochs(), first_epoch = static_cast<size_t>(state.epoch) + 1 - epochs;
    if (*lines > 0 && *lines + 1 == epochs) {
      MORU_RETURN_IF_ERROR(append_to_file(path, text_from(state.history, first_epoch, *lines).second));
    } else {
      MORU_RETURN_IF_ERROR(write_all(state, first_epoch));
    }
    *lines = epochs;
    return Status();
  };
  callback.on_train_end = [lines, write_all](TrainingState& state) -> Status {
    return *lines == 0 ? Status() : write_all(state, static_cast<size_t>(state.epoch) - state.history.epochs());
  };
  return callback;
}

Callback learning_rate_schedule(std::function<double(int64_t epoch, double rate)> rate) {
  Callback callback;
  callback.name = "learning_rate_schedule";
  callback.shows_learning_rate = true;
  callback.on_epoch_begin = [rate = std::move(rate)](TrainingState& state) -> Status {
    const Result<double> current = learning_rate(state.session);
    if (!current) return current.status();
    return set_learning_rate(state.session, rate(state.epoch, *current));
  };
  return callback;
}

}  // namespace moru
