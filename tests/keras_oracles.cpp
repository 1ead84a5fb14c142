// Runs recorded Keras cases: models, weights, data and the numbers Keras got.
//
//   keras_oracles [--interpret] [--filter TEXT] DIR...
//
// A DIR is a case folder (with a case.json) or a folder of such folders, at any depth. Prints one line per case and
// closes with `N passed, M failed, K skipped`; a case's model files (.keras, .h5) count as cases of their own. A case
// is skipped only for a feature that Moru refuses by name, never for a number. With --interpret the graphs run in the
// reference interpreter, without lowering or native code.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "compiler/interpret/reference.h"
#include "compiler/passes/make_entries.h"
#include "compiler/pipeline.h"
#include "compiler/support/error.h"
#include "runtime/data/npy.h"
#include "runtime/training/monitor.h"
#include "tests/archive_oracles.h"
#include "tools/moru/native_program.h"

namespace fs = std::filesystem;
using nlohmann::json;
using namespace moru;

namespace {

struct Failure {
  std::string what;
};

struct Array {
  std::vector<int64_t> shape;
  std::vector<double> values;
};

Array read_array(const fs::path& path) {
  Result<NpyArray> array = read_npy(path.string());
  if (!array) throw Failure{array.status().message()};
  Result<std::vector<std::byte>> doubles = convert_npy(*array, DType::f64, path.string());
  if (!doubles) throw Failure{doubles.status().message()};
  Array out{array->shape, std::vector<double>(doubles->size() / sizeof(double))};
  std::memcpy(out.values.data(), doubles->data(), doubles->size());
  return out;
}

Array rows(const Array& all, int64_t begin, int64_t end) {
  int64_t row = all.shape[0] == 0 ? 0 : static_cast<int64_t>(all.values.size()) / all.shape[0];
  Array out{all.shape, {all.values.begin() + begin * row, all.values.begin() + end * row}};
  out.shape[0] = end - begin;
  return out;
}

// What runs a program: the reference interpreter or native code.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual void set(const std::string& slot, const Array& value) = 0;
  virtual void run(const std::string& entry) = 0;
  virtual Array get(const std::string& slot) = 0;
};

class Interpreter : public Machine {
 public:
  explicit Interpreter(Module module) : module_(std::move(module)) {}
  void set(const std::string& slot, const Array& value) override {
    const Slot* s = module_.find_slot(slot);
    if (!s) throw Failure{"no slot '" + slot + "'"};
    HostTensor tensor{s->type.dtype, value.shape, value.values};
    slots_[slot] = std::move(tensor);
  }
  void run(const std::string& entry) override { interpret_entry(module_, entry, slots_); }
  Array get(const std::string& slot) override { return {slots_.at(slot).shape, slots_.at(slot).data}; }

 private:
  Module module_;
  std::map<std::string, HostTensor> slots_;
};

class Native : public Machine {
 public:
  Native(Model& model, const TrainingSpec* training) {
    CompileOptions options;
    options.pipeline.training = training;
    Result<std::shared_ptr<const Program>> program = make_native_program(model, options);
    if (!program) throw Failure{program.status().message()};
    Result<std::unique_ptr<Session>> session = Session::create(*program);
    if (!session) throw Failure{session.status().message()};
    session_ = std::move(*session);
  }
  void set(const std::string& name, const Array& value) override {
    uint32_t slot = find(name);
    const ProgramSlot& s = session_->program().slots()[slot];
    std::vector<std::byte>& bytes = memory_[name];
    bytes.resize(value.values.size() * static_cast<size_t>(dtype_bytes(s.dtype)));
    for (size_t i = 0; i < value.values.size(); ++i) {
      auto put = [&](auto element) { std::memcpy(bytes.data() + i * sizeof element, &element, sizeof element); };
      switch (s.dtype) {
        case DType::f32:
          put(static_cast<float>(value.values[i]));
          break;
        case DType::f64:
          put(value.values[i]);
          break;
        case DType::i32:
          put(static_cast<int32_t>(value.values[i]));
          break;
        case DType::i64:
          put(static_cast<int64_t>(value.values[i]));
          break;
        case DType::boolean:
          put(value.values[i] != 0);
          break;
        case DType::bf16:
          throw Failure{"slot '" + name + "' has an element type the test does not write"};
      }
    }
    check(is_bound_by_caller(s.kind) ? session_->bind(slot, bytes.data(), value.shape)
                                     : session_->assign(slot, bytes.data(), bytes.size()));
  }
  void run(const std::string& name) override {
    auto entry = session_->program().find_entry(name);
    if (!entry) throw Failure{"no entry '" + name + "'"};
    check(session_->run(*entry));
  }
  Array get(const std::string& name) override {
    TensorView view = session_->view(find(name));
    Array out;
    out.shape.assign(view.shape.begin(), view.shape.end());
    auto take = [&](auto elements) { out.values.assign(elements.begin(), elements.end()); };
    switch (view.dtype) {
      case DType::f32:
        take(view.elements<float>());
        break;
      case DType::f64:
        take(view.elements<double>());
        break;
      case DType::i32:
        take(view.elements<int32_t>());
        break;
      case DType::i64:
        take(view.elements<int64_t>());
        break;
      default:
        throw Failure{"slot '" + name + "' has an element type the test does not read"};
    }
    return out;
  }

 private:
  std::unique_ptr<Session> session_;
  std::map<std::string, std::vector<std::byte>> memory_;
  uint32_t find(const std::string& name) {
    auto slot = session_->program().find_slot(name);
    if (!slot) throw Failure{"no slot '" + name + "'"};
    return *slot;
  }
  static void check(const Status& status) {
    if (!status.ok()) throw Failure{status.message()};
  }
};

struct Tolerance {
  double rtol, atol;
};

void compare(const std::string& what, const std::vector<double>& got, const std::vector<double>& want, Tolerance t) {
  if (got.size() != want.size())
    throw Failure{what + ": " + std::to_string(got.size()) + " values instead of " + std::to_string(want.size())};
  for (size_t i = 0; i < want.size(); ++i)
    if (!(std::abs(got[i] - want[i]) <= t.atol + t.rtol * std::abs(want[i]))) {
      char text[200];
      std::snprintf(text, sizeof text, "%s[%zu]: got %.9g, Keras %.9g", what.c_str(), i, got[i], want[i]);
      throw Failure{text};
    }
}

AttributeValue attribute(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  return {};
}

OpSpec op_spec(const json& value) {
  OpSpec spec;
  if (value.is_null()) return spec;
  if (value.is_string()) {
    spec.op = value.get<std::string>();
  } else {
    spec.op = value.at("class_name").get<std::string>();
    for (const auto& [key, v] : value.at("config").items())
      if (!v.is_null() && key != "name") spec.attributes.set(key, attribute(v));
  }
  spec.key = spec.op;
  return spec;
}

class Case {
 public:
  Case(fs::path folder, bool interpret) : folder_(std::move(folder)), interpret_(interpret) {
    std::ifstream in(folder_ / "case.json");
    data_ = json::parse(in);
    model_ = recorded_model(folder_, data_, "");
    for (const json& weight : data_["weights"])
      weight_slots_.push_back(weight["layer"].get<std::string>() + "/" + weight["name"].get<std::string>());
    for (const json& input : data_["inputs"]) inputs_.push_back(read_array(folder_ / input["file"].get<std::string>()));
  }

  void run() { data_["kind"] == "predict" ? predict() : train(); }

 private:
  fs::path folder_;
  bool interpret_;
  json data_;
  Model model_;
  std::vector<std::string> weight_slots_;
  std::vector<Array> inputs_, targets_;
  std::unique_ptr<Machine> machine_;

  void make_machine(const TrainingSpec* training) {
    if (!interpret_) {
      machine_ = std::make_unique<Native>(model_, training);
      return;
    }
    PipelineOptions options;
    options.training = training;
    options.stop_after = training ? "expand_update" : "expand";
    machine_ = std::make_unique<Interpreter>(run_pipeline(model_, options).module);
    for (size_t i = 0; i < weight_slots_.size(); ++i) set_weight(i, "weights", data_["weights"][i]["file"]);
    if (training) machine_->set("learning_rate", {{}, {training->optimizer.attributes.real("learning_rate")}});
  }
  void set_weight(size_t i, const char*, const json& file) {
    Array array = read_array(folder_ / file.get<std::string>());
    // Slots may have the shape that infer gives; the recorded one has the same elements.
    machine_->set(weight_slots_[i], array);
  }

  void bind(const std::vector<Array>& inputs) {
    std::vector<std::string> names = model_.input_names();
    for (size_t i = 0; i < names.size(); ++i) machine_->set(names[i], inputs[i]);
  }

  void compare_outputs(const json& files, Tolerance tolerance, const std::string& what) {
    bind(inputs_);
    machine_->run("predict");
    for (size_t i = 0; i < files.size(); ++i) {
      std::string file = files[i].is_string() ? files[i].get<std::string>() : files[i]["file"].get<std::string>();
      compare(what + " " + model_.output_names[i], machine_->get(model_.output_names[i]).values,
              read_array(folder_ / file).values, tolerance);
    }
  }

  void compare_weights(const json& files, Tolerance tolerance, const std::string& what) {
    for (size_t i = 0; i < files.size(); ++i)
      compare(what + " " + weight_slots_[i], machine_->get(weight_slots_[i]).values,
              read_array(folder_ / files[i].get<std::string>()).values, tolerance);
  }

  // A stateful model's outputs are those of calls in a row: the first, the second, and one after its states were reset.
  void predict_in_a_row(Tolerance tolerance) {
    for (size_t call = 0; call < data_["outputs"].size(); ++call) {
      if (call == 2) machine_->run("reset_states");
      compare_outputs(json::array({data_["outputs"][call]}), tolerance, "call " + std::to_string(call) + ", output");
    }
  }

  void predict() {
    make_machine(nullptr);
    if (data_.contains("stateful")) return predict_in_a_row({data_["tolerance"]["rtol"], data_["tolerance"]["atol"]});
    compare_outputs(data_["outputs"], {data_["tolerance"]["rtol"], data_["tolerance"]["atol"]}, "output");
  }

  TrainingSpec training_spec() {
    TrainingSpec spec;
    const json& compile = data_["compile"];
    spec.optimizer = op_spec(compile["optimizer"]);
    for (const json& loss : compile["loss"]) spec.losses.push_back(op_spec(loss));
    if (compile.contains("loss_weights") && !compile["loss_weights"].is_null())
      spec.loss_weights = compile["loss_weights"].get<std::vector<double>>();
    spec.metrics.resize(spec.losses.size());
    // A flat list of names means the same metrics for every output.
    for (const json& metric : compile.value("metrics", json::array()))
      for (auto& list : spec.metrics) list.push_back(op_spec(metric));
    spec.sample_weight = data_["fit"].contains("class_weight");
    return spec;
  }

  Array sample_weights(const Array& target) {
    std::map<std::string, double> weights = data_["fit"]["class_weight"].get<std::map<std::string, double>>();
    size_t classes = target.shape.size() > 1 ? static_cast<size_t>(target.shape.back()) : 1;
    Array out{{target.shape[0]}, {}};
    for (size_t i = 0; i < target.values.size(); i += classes) {
      size_t label = static_cast<size_t>(target.values[i]);
      if (classes > 1)
        label = static_cast<size_t>(std::max_element(target.values.begin() + static_cast<std::ptrdiff_t>(i),
                                                     target.values.begin() + static_cast<std::ptrdiff_t>(i + classes)) -
                                    (target.values.begin() + static_cast<std::ptrdiff_t>(i)));
      auto found = weights.find(std::to_string(label));
      out.values.push_back(found == weights.end() ? 1.0 : found->second);
    }
    return out;
  }

  void bind_part(int64_t begin, int64_t end, bool weighted) {
    std::vector<Array> inputs;
    for (const Array& input : inputs_) inputs.push_back(rows(input, begin, end));
    bind(inputs);
    for (size_t i = 0; i < targets_.size(); ++i) {
      Array target = rows(targets_[i], begin, end);
      if (data_["fit"].contains("class_weight")) {
        Array weights = sample_weights(target);
        if (!weighted) weights.values.assign(weights.values.size(), 1.0);
        machine_->set(model_.output_names[i] + "/sample_weight", weights);
      }
      const Type& type = model_.type(model_.outputs[i]);
      if (target.shape.size() == type.shape.size() && target.shape.back() == 1 && !type.shape.back().is_constant(1))
        target.shape.pop_back();
      machine_->set(model_.output_names[i] + "/target", target);
    }
  }

  void train() {
    const json& fit = data_["fit"];
    const json& expected = data_["expected"];
    Tolerance for_history{data_["tolerance"]["history_rtol"], data_["tolerance"]["history_atol"]};
    Tolerance for_weights{data_["tolerance"]["weights_rtol"], data_["tolerance"]["weights_atol"]};
    TrainingSpec spec = training_spec();
    for (const json& target : data_["targets"])
      targets_.push_back(read_array(folder_ / target["file"].get<std::string>()));
    make_machine(&spec);
    if (expected.contains("predictions_before"))
      compare_outputs(expected["predictions_before"], for_history, "prediction before");

    int64_t samples = fit["n_samples"], batch = fit["batch_size"], epochs = fit["epochs"];
    int64_t training = samples;
    if (fit.contains("validation_split"))
      training = static_cast<int64_t>(
          std::floor(static_cast<double>(samples) * (1.0 - fit["validation_split"].get<double>())));
    std::unique_ptr<EarlyStoppingRule> stopping;
    std::string monitor = "val_loss";
    bool restore = false;
    if (fit.contains("early_stopping")) {
      const json& es = fit["early_stopping"];
      EarlyStoppingRecipe recipe;
      recipe.monitor = monitor = es.value("monitor", "val_loss");
      recipe.patience = es.value("patience", 0);
      recipe.min_delta = es.value("min_delta", 0.0);
      recipe.start_from_epoch = es.value("start_from_epoch", 0);
      if (es.contains("baseline") && !es["baseline"].is_null()) recipe.baseline = es["baseline"].get<double>();
      std::string mode = es.value("mode", "auto");
      recipe.mode = mode == "min" ? MonitorMode::min : mode == "max" ? MonitorMode::max : MonitorMode::automatic;
      recipe.restore_best_weights = restore = es.value("restore_best_weights", false);
      stopping = std::make_unique<EarlyStoppingRule>(recipe);
    }
    std::map<std::string, std::vector<double>> history;
    std::vector<double> step_losses;
    std::vector<Array> best;
    int64_t epoch = 0;
    auto results = [&](const std::string& prefix) {
      machine_->run("metric_results");
      for (const auto& [key, values] : expected["history"].items()) {
        bool validation = key.starts_with("val_");
        if (validation != !prefix.empty()) continue;
        std::string name = validation ? key.substr(4) : key;
        history[key].push_back(machine_->get("metric_results/" + name).values.at(0));
      }
    };
    for (bool stop = false; epoch < epochs && !stop; ++epoch) {
      machine_->run("reset_metrics");
      for (int64_t begin = 0; begin < training; begin += batch) {
        bind_part(begin, std::min(begin + batch, training), true);
        machine_->run("train_step");
        step_losses.push_back(machine_->get("loss").values.at(0));
        if (step_losses.size() == 1 && expected.contains("weights_after_step_1"))
          compare_weights(expected["weights_after_step_1"], for_weights, "after step 1");
      }
      results("");
      if (training < samples) {
        machine_->run("reset_metrics");
        for (int64_t begin = training; begin < samples; begin += batch) {
          bind_part(begin, std::min(begin + batch, samples), false);
          machine_->run("evaluate");
        }
        results("val_");
      }
      if (stopping) {
        auto verdict = stopping->judge(epoch, history.at(monitor).back());
        if (verdict.take_weights) {
          best.clear();
          for (const std::string& slot : weight_slots_) best.push_back(machine_->get(slot));
        }
        stop = verdict.stop;
      }
    }
    if (expected.contains("step_losses"))
      compare("step loss", step_losses, expected["step_losses"].get<std::vector<double>>(), for_history);
    for (const auto& [key, values] : expected["history"].items())
      compare("history " + key, history[key], values.get<std::vector<double>>(), for_history);
    if (expected.contains("epochs_run") && expected["epochs_run"].get<int64_t>() != epoch)
      throw Failure{"ran " + std::to_string(epoch) + " epochs, Keras " + expected["epochs_run"].dump()};
    if (expected.contains("final_weights")) compare_weights(expected["final_weights"], for_weights, "final");
    if (expected.contains("predictions_after"))
      compare_outputs(expected["predictions_after"], for_history, "prediction after");
    if (restore && !best.empty()) {
      for (size_t i = 0; i < weight_slots_.size(); ++i) machine_->set(weight_slots_[i], best[i]);
      if (expected.contains("restored_weights")) compare_weights(expected["restored_weights"], for_weights, "restored");
    }
  }
};

void find_cases(const fs::path& path, std::vector<fs::path>& cases) {
  if (fs::exists(path / "case.json")) {
    cases.push_back(path);
  } else if (fs::is_directory(path)) {
    std::vector<fs::path> inner;
    for (const auto& entry : fs::directory_iterator(path))
      if (entry.is_directory()) inner.push_back(entry.path());
    std::sort(inner.begin(), inner.end());
    for (const fs::path& p : inner) find_cases(p, cases);
  }
}

std::string first_lines(const std::string& text) {
  std::string out = text.substr(0, 400);
  for (char& c : out)
    if (c == '\n') c = ' ';
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  bool interpret = false;
  std::string filter;
  std::vector<fs::path> cases;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    if (argument == "--interpret") {
      interpret = true;
    } else if (argument == "--filter" && i + 1 < argc) {
      filter = argv[++i];
    } else if (!fs::exists(argument)) {
      std::fprintf(stderr, "error: there is no folder '%s'\n", argument.c_str());
      return 2;
    } else {
      find_cases(argument, cases);
    }
  }
  if (cases.empty()) {
    std::fprintf(stderr, "usage: keras_oracles [--interpret] [--filter TEXT] DIR...\n");
    return 2;
  }
  int passed = 0, failed = 0, skipped = 0;
  const auto count = [&](const std::string& name, auto&& run) {
    if (name.find(filter) == std::string::npos) return;
    try {
      run();
      std::printf("passed   %s\n", name.c_str());
      ++passed;
    } catch (const CompileError& error) {
      // A refusal by name; a wrong number never gets here.
      std::printf("skipped  %s: %s\n", name.c_str(), first_lines(error.what()).c_str());
      ++skipped;
    } catch (const Failure& failure) {
      std::printf("FAILED   %s: %s\n", name.c_str(), failure.what.c_str());
      ++failed;
    } catch (const std::exception& error) {
      std::printf("FAILED   %s: %s\n", name.c_str(), error.what());
      ++failed;
    }
    std::fflush(stdout);
  };
  for (const fs::path& folder : cases) {
    const std::string name = folder.filename().string();
    std::ifstream in(folder / "case.json");
    const json data = json::parse(in);
    if (data.contains("model_config")) count(name, [&] { Case(folder, interpret).run(); });
    if (interpret) continue;
    for (const std::string& file : find_archives(folder, data))
      count(name + "/" + file, [&] { check_archive(folder, data, file); });
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed ? 1 : 0;
}
