// Writes models as ONNX and runs the files: ONNX's own checker must find nothing, ONNX Runtime and Moru (which reads them
// again) must get the recorded numbers.
//
//   onnx_exports [--filter TEXT] [--ort SCRIPT] [--opset N]... DIR...
//
// A DIR holds folders of recorded Keras cases; the workloads of tests/bench are taken as well, with random weights and
// the numbers that Moru gets without the detour. SCRIPT is run by node: SCRIPT MODEL --inputs FILE... --outputs DIR.
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "compiler/exchange/onnx/onnx_export.h"
#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/support/error.h"
#include "runtime/data/npy.h"
#include "runtime/training/predict.h"
#include "tests/archive_oracles.h"
#include "tests/bench/workloads.h"
#include "tests/runtime/temporary_directory.h"

namespace fs = std::filesystem;
using nlohmann::json;
using namespace moru;

namespace {

constexpr int64_t newest_opset_of_checker = 17;

struct Options {
  std::string filter, script;
  std::vector<int64_t> opsets;
  std::vector<fs::path> folders;
};

using Compare = std::function<void(const std::vector<SavedTensor>&)>;

void run_script(const std::string& script, const std::string& model, const std::vector<std::string>& inputs,
                const std::string& outputs) {
  std::vector<std::string> words = {"node", script, model, "--inputs"};
  words.insert(words.end(), inputs.begin(), inputs.end());
  words.insert(words.end(), {"--outputs", outputs});
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execvp("node", pointers.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("ONNX Runtime refuses the file");
}

SavedTensor read_output(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + output_file_name(name) + ".npy";
  Result<NpyArray> array = read_npy(path);
  if (!array) throw std::runtime_error(array.status().message());
  return {name, DType::f32, array->shape, array->data};
}

// What is to come of each call in turn: more than one where layers keep states, which a caller hands from call to call.
void check_export(Model& model, const std::vector<SavedTensor>& inputs, const std::vector<Compare>& calls, const Options& options) {
  for (int64_t opset : options.opsets) {
    const std::string where = "opset " + std::to_string(opset) + ": ";
    const test::TemporaryDirectory directory;
    const std::string path = directory / "model.onnx";
    const std::vector<std::byte> bytes = export_onnx(model, {.opset = opset});
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    onnx::ModelProto proto;
    if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) throw std::runtime_error("no ModelProto");
    if (opset <= newest_opset_of_checker) onnx::checker::check_model(proto);
    std::vector<std::string> next_states;
    for (int i = static_cast<int>(model.output_names.size()); i < proto.graph().output_size(); ++i)
      next_states.push_back(proto.graph().output(i).name());
    if (next_states.empty() == (calls.size() > 1)) throw std::runtime_error("states go in and out where there are any, and only there");
    if (!options.script.empty()) {
      std::vector<std::string> files;
      for (const SavedTensor& input : inputs) {
        files.push_back(directory / (output_file_name(input.name) + ".npy"));
        if (!write_npy(files.back(), input.dtype, input.shape, input.bytes).ok()) throw std::runtime_error("cannot write");
      }
      for (size_t call = 0; call < calls.size(); ++call) {
        const std::string out = directory / ("out" + std::to_string(call));
        fs::create_directory(out);
        run_script(options.script, call == 0 ? path : directory / "with_states.onnx", files, out);
        std::vector<SavedTensor> outputs;
        for (const std::string& name : model.output_names) outputs.push_back(read_output(out, name));
        try {
          calls[call](outputs);
        } catch (const std::exception& error) {
          throw std::runtime_error(where + "ONNX Runtime, call " + std::to_string(call) + ": " + error.what());
        }
        // ONNX Runtime's JavaScript gives no values to inputs that have one in the file: there, states lose theirs.
        files.resize(inputs.size());
        onnx::ModelProto with_states = proto;
        for (const std::string& next : next_states) {
          const std::string state = next.substr(0, next.size() - std::string("/next").size());
          auto& initial = *with_states.mutable_graph()->mutable_initializer();
          initial.erase(std::remove_if(initial.begin(), initial.end(), [&](const auto& one) { return one.name() == state; }), initial.end());
          files.push_back(directory / (output_file_name(state) + ".npy"));
          fs::copy_file(out + "/" + output_file_name(next) + ".npy", files.back(), fs::copy_options::overwrite_existing);
        }
        std::ofstream stream(directory / "with_states.onnx", std::ios::binary);
        with_states.SerializeToOstream(&stream);
      }
    }
    try {
      Model again = import_onnx(path);
      if (again.input_names() != model.input_names()) throw std::runtime_error("other inputs");
      std::vector<std::string> names = model.output_names;
      names.insert(names.end(), next_states.begin(), next_states.end());
      if (again.output_names != names) throw std::runtime_error("other outputs");
      std::vector<SavedTensor> outputs = predict_natively(again, inputs);
      outputs.resize(model.output_names.size());
      calls[0](outputs);
    } catch (const std::exception& error) {
      throw std::runtime_error(where + "read again: " + error.what());
    }
  }
}

std::vector<SavedTensor> random_inputs(const Model& model) {
  std::mt19937 random(7);
  std::vector<SavedTensor> inputs;
  const std::vector<std::string> names = model.input_names();
  for (size_t i = 0; i < names.size(); ++i) {
    const Type& type = model.type(model.inputs[i]);
    SavedTensor tensor{names[i], type.dtype, {}, {}};
    int64_t elements = 1;
    for (const Dim& dim : type.shape) {
      tensor.shape.push_back(dim.is_constant() ? dim.constant() : 5);
      elements *= tensor.shape.back();
    }
    for (int64_t k = 0; k < elements; ++k) {
      const float real = std::uniform_real_distribution<float>(-1.0f, 1.0f)(random);
      const int32_t integer = std::uniform_int_distribution<int32_t>(0, 9)(random);
      const auto* begin = type.dtype == DType::f32 ? reinterpret_cast<const std::byte*>(&real) : reinterpret_cast<const std::byte*>(&integer);
      tensor.bytes.insert(tensor.bytes.end(), begin, begin + 4);
    }
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

// The numbers that Moru gets without the detour.
Compare same_as(const std::vector<SavedTensor>& wanted) {
  return [wanted](const std::vector<SavedTensor>& outputs) {
    if (outputs.size() != wanted.size()) throw std::runtime_error("the number of outputs differs");
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (outputs[i].shape != wanted[i].shape) throw std::runtime_error("output '" + wanted[i].name + "' has another shape");
      for (size_t k = 0; k < wanted[i].bytes.size() / sizeof(float); ++k) {
        float got = 0.0f, want = 0.0f;
        std::memcpy(&got, outputs[i].bytes.data() + k * sizeof got, sizeof got);
        std::memcpy(&want, wanted[i].bytes.data() + k * sizeof want, sizeof want);
        if (!(std::abs(got - want) <= 1e-5f + 1e-4f * std::abs(want)))
          throw std::runtime_error("output '" + wanted[i].name + "'[" + std::to_string(k) + "]: got " + std::to_string(got) +
                                   ", Moru " + std::to_string(want));
      }
    }
  };
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--filter" && i + 1 < argc)
      options.filter = argv[++i];
    else if (argument == "--ort" && i + 1 < argc)
      options.script = argv[++i];
    else if (argument == "--opset" && i + 1 < argc)
      options.opsets.push_back(std::stoll(argv[++i]));
    else
      options.folders.emplace_back(argument);
  }
  if (options.opsets.empty()) options.opsets = {oldest_onnx_opset, default_onnx_opset, newest_onnx_opset};
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  int passed = 0, failed = 0, skipped = 0;
  const auto count = [&](const std::string& name, auto&& run) {
    if (name.find(options.filter) == std::string::npos) return;
    try {
      Model model;
      try {
        model = run();
      } catch (const CompileError& error) {  // the layer is not Moru's yet: nothing to write
        std::printf("skipped  %s: %s\n", name.c_str(), error.parts().what.c_str());
        ++skipped;
        return;
      }
      std::printf("passed   %s\n", name.c_str());
      ++passed;
    } catch (const std::exception& error) {
      std::printf("FAILED   %s: %s\n", name.c_str(), error.what());
      ++failed;
    }
    std::fflush(stdout);
  };
  const auto exported = [&](Model& model, const std::vector<SavedTensor>& inputs, const std::vector<Compare>& calls) {
    try {
      check_export(model, inputs, calls, options);
    } catch (const CompileError& error) {
      throw std::runtime_error(error.what());
    }
  };
  for (const bench::Workload& workload : bench::workloads())
    count(workload.name, [&] {
      Model model = workload.model();
      initialize_parameters(model, 1);
      const std::vector<SavedTensor> inputs = random_inputs(model);
      exported(model, inputs, {same_as(predict_natively(model, inputs))});
      return model;
    });
  for (const fs::path& folder : options.folders) {
    std::vector<fs::path> cases;
    for (const auto& entry : fs::directory_iterator(folder))
      if (fs::exists(entry.path() / "case.json")) cases.push_back(entry.path());
    std::sort(cases.begin(), cases.end());
    for (const fs::path& one : cases) {
      std::ifstream in(one / "case.json");
      const json data = json::parse(in);
      const std::vector<std::string> archives = find_archives(one, data);
      const std::string file = data.contains("model_config") ? "" : archives.at(0);
      count(one.filename().string(), [&] {
        Model model = recorded_model(one, data, file);
        // A stateful layer's outputs of two calls are recorded, and one after the states were reset.
        std::vector<Compare> calls;
        for (size_t call = 0; call < (data.contains("stateful") ? 2 : 1); ++call) {
          json recorded = data;
          if (data.contains("stateful")) recorded["outputs"] = json::array({data["outputs"].at(call)});
          calls.push_back([&one, recorded](const std::vector<SavedTensor>& outputs) { compare_recorded(outputs, one, recorded); });
        }
        exported(model, recorded_inputs(model, one, data), calls);
        return model;
      });
    }
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed ? 1 : 0;
}
