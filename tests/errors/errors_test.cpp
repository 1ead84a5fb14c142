// What users are told about wrong input, word by word: tables of what is wrong, the exit code and the message. `@` stands
// for the directory of the small project. Nothing crashes, and nothing is left half written.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <regex>

#include "runtime/data/npy.h"
#include "tests/tools/moru_process.h"

namespace fs = std::filesystem;
using namespace moru;
using namespace moru::test;

namespace {

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// Program hashes and the sizes of files depend on the processor and on the version.
std::string without_accidents(const std::string& text) {
  const std::string hashless = std::regex_replace(text, std::regex("[0-9a-f]{16}"), "#");
  return std::regex_replace(hashless, std::regex("[0-9]+ bytes but has [0-9]+"), "# bytes but has #");
}

/// All files but those of the cache.
std::vector<std::string> list_files(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& item : fs::recursive_directory_iterator(directory))
    if (!item.path().string().starts_with(directory + "/cache")) names.push_back(item.path().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string with_flipped_bit(std::string bytes, size_t at) {
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  return bytes;
}

/// A file that is wrong.
struct WrongFile {
  std::string name, text;
};

struct Wrong {
  const char* what;
  std::vector<std::string> arguments;
  int code;
  std::string message;
  ProcessOptions options = {};
  std::vector<WrongFile> files = {};  // that the small project gets for it
};

Wrong with(std::vector<WrongFile> files, Wrong row) {
  row.files = std::move(files);
  return row;
}

std::string model_of(const std::string& layers, const std::string& input = "3") {
  return SmallProject::model_json(SmallProject::input_layer(input) + ", " + layers);
}
std::string recipe_with(const std::string& from, const std::string& to) {
  return replace_all(SmallProject::recipe(), from, to);
}

/// The small project with the files of a table beside it, and what moru itself writes, whole and damaged.
struct WrongProject : SmallProject {
  std::string checkpoint;

  explicit WrongProject(const std::vector<Wrong>& table) {
    for (const Wrong& wrong : table)
      for (const auto& [name, text] : wrong.files) write_file(directory / name, text);
    write_arrays();
    write_models();
    write_checkpoints();
    write_folders();
  }

 private:
  void write_arrays() {
    const std::vector<float> six = {1, 2, 3, 4, 5, 6};
    const auto array = [&](const char* name, std::vector<int64_t> shape) {
      REQUIRE(write_npy(directory / name, DType::f32, shape, std::as_bytes(std::span(six))).ok());
    };
    array("x.npy", {2, 3});
    array("x32.npy", {3, 2});
    array("x6.npy", {6});
    write_file(directory / "cut.npy", read_file(directory / "x.npy").substr(0, 140));
  }
  void write_models() {
    REQUIRE(moru({"import", directory / "model.json", "-o", directory / "model.moru"}).code == 0);
    const std::string bytes = read_file(directory / "model.moru");
    write_file(directory / "cut.moru", bytes.substr(0, bytes.size() / 2));
    write_file(directory / "header.moru", bytes.substr(0, 20));
    write_file(directory / "flip_weights.moru", with_flipped_bit(bytes, bytes.size() - 70));
    write_file(directory / "flip_magic.moru", with_flipped_bit(bytes, 0));
  }
  void write_checkpoints() {
    const Outcome trained = moru({"train", directory / "recipe.json", "--run-dir", directory / "run", "--quiet"});
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    for (const auto& item : fs::directory_iterator(directory / "run/checkpoints")) checkpoint = item.path().string();
    const std::string saved = read_file(checkpoint);
    write_file(directory / "cut.moruckpt", saved.substr(0, saved.size() - 100));
    write_file(directory / "flip.moruckpt", with_flipped_bit(saved, saved.size() / 2));
  }
  void write_folders() {
    fs::create_directory(directory / "nothing_here");
    fs::create_directory(directory / "locked");
    fs::permissions(directory / "locked",
                    fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec);
    // Whoever gives up root must still be able to read.
    fs::permissions(directory.path(), fs::perms::all);
  }
};

std::vector<Wrong> wrong_flags() {
  return {
      {"no command",
       {},
       2,
       "error: A subcommand is required\n"
       "  hint: moru --help\n"},
      {"a misspelt command",
       {"trian"},
       2,
       "error: there is no command 'trian'\n"
       "  hint: did you mean 'train'?\n"},
      {"no model",
       {"summary"},
       2,
       "error: MODEL is required\n"
       "  hint: moru summary --help\n"},
      {"an unknown flag",
       {"summary", "@/model.json", "--jsn"},
       2,
       "error: The following argument was not expected: --jsn\n"
       "  hint: moru summary --help\n"},
      {"an ending that says nothing",
       {"compile", "@/model.json", "-o", "@/out.txt"},
       2,
       "error: --output: '@/out.txt': the ending says what to write; it must be .so, .o, .a, .wasm, .ll or .s\n"
       "  hint: moru compile --help\n"},
      {"WebAssembly for another machine",
       {"compile", "@/model.json", "-o", "@/out.wasm", "--target", "x86-64-v3"},
       1,
       "error: a .wasm file is for the target wasm32-simd, not x86-64-v3\n"},
      {"WebAssembly for the runtime",
       {"compile", "@/model.json", "-o", "@/out.so", "--target", "wasm32-simd"},
       1,
       "error: the runtime does not run WebAssembly\n"
       "  hint: write a .wasm, or a .a with --standalone\n"},
      {"several levels in a library without the runtime",
       {"compile", "@/model.json", "-o", "@/out.a", "--standalone", "--target", "x86-64-v3+x86-64-v2"},
       1,
       "error: only a .so or .o has code for several levels\n"
       "  hint: name one of x86-64-v2+x86-64-v3\n"},
      {"assembly of several levels",
       {"dump", "@/model.json", "--asm", "--target", "x86-64-v3+x86-64-v2"},
       1,
       "error: only a .so or .o has code for several levels\n"
       "  hint: name one of x86-64-v2+x86-64-v3\n"},
      {"two machines in one artifact",
       {"compile", "@/model.json", "-o", "@/out.so", "--target", "x86-64-v3+aarch64"},
       1,
       "error: 'aarch64' and 'x86-64-v3' cannot be in one artifact\n"
       "  hint: join levels of one family, such as x86-64-v2+x86-64-v3+x86-64-v4\n"},
      {"a static library for the runtime",
       {"compile", "@/model.json", "-o", "@/out.a"},
       1,
       "error: a .a file holds a model that needs no runtime\n"
       "  hint: say so with --standalone, or write a .o for use with the runtime\n"},
      {"a shared object without the runtime",
       {"compile", "@/model.json", "-o", "@/out.so", "--standalone"},
       1,
       "error: --standalone writes a static library, so the output must end in .a (or .wasm), not .so\n"},
      {"training into a library without a recipe",
       {"compile", "@/model.json", "-o", "@/out.a", "--standalone", "--entry", "train_step"},
       1,
       "error: the entry 'train_step' needs a loss and an optimizer\n"
       "  hint: give a recipe with --recipe R.json\n"},
      {"no threads",
       {"run", "@/model.json", "@/x.npy", "--output-dir", "@/out", "--threads", "0"},
       2,
       "error: --threads: Value 0 not in range 1 to 1024\n"
       "  hint: moru run --help\n"},
      {"threads in words",
       {"train", "@/recipe.json", "--threads", "many"},
       2,
       "error: --threads: Value many not in range 1 to 1024\n"
       "  hint: moru train --help\n"},
      {"a batch of nothing",
       {"bench", "@/model.json", "--batch", "0"},
       2,
       "error: --batch: Value 0 not in range 1 to 16777216\n"
       "  hint: moru bench --help\n"},
      {"epochs below zero",
       {"train", "@/recipe.json", "--epochs", "-1"},
       2,
       "error: --epochs: Value -1 not in range 1 to 1000000000\n"
       "  hint: moru train --help\n"},
      {"two stages at once",
       {"dump", "@/model.json", "--kernels", "--memory"},
       2,
       "error: Requires at most 1 options be given from [--after,--drawn,--kernels,--llvm,--asm,--memory]\n"
       "  hint: moru dump --help\n"},
  };
}

std::vector<Wrong> wrong_models() {
  return {
      {"a model that is not there",
       {"summary", "@/lost.json"},
       1,
       "error: cannot read '@/lost.json': No such file or directory\n"},
      {"a directory for a model",
       {"summary", "@/nothing_here"},
       1,
       "error: cannot read '@/nothing_here': it is a directory\n"},
      with({{"model.h5", "\x89HDF\r\n\x1a\nnothing more"}},
           {"HDF5",
            {"import", "@/model.h5", "-o", "@/out.moru"},
            1,
            "error: @/model.h5: cannot be read as HDF5: the file is damaged\n"
            "  hint: copy it again from where it came from\n"}),
      with({{"model.keras", "PK\x03\x04"}},
           {"a Keras archive",
            {"import", "@/model.keras", "-o", "@/out.moru"},
            1,
            "error: @/model.keras: cannot be read as a zip archive: Not a zip archive\n"
            "  hint: copy it again from where it came from\n"}),
      with({{"model.onnx", "x"}},
           {"ONNX",
            {"summary", "@/model.onnx"},
            1,
            "error: '@/model.onnx' is no ONNX model, or it is damaged\n"
            "  hint: an ONNX file holds one ModelProto\n"}),
      with({{"model.txt", "x"}},
           {"an unknown ending",
            {"summary", "@/model.txt"},
            1,
            "error: cannot tell what kind of model '@/model.txt' is\n"
            "  hint: a model is a .moru, a compiled .so, Keras' (.keras, .h5, .json) or ONNX (.onnx)\n"}),
      with({{"empty.json", ""}},
           {"an empty JSON file", {"summary", "@/empty.json"}, 1, "error: @/empty.json: is empty\n"}),
      with({{"syntax.json", "{\"class_name\": \"Sequential\", "}},
           {"broken JSON",
            {"summary", "@/syntax.json"},
            1,
            "error: @/syntax.json: is not valid JSON at line 1, column 30: unexpected end of input; expected string "
            "literal\n"}),
      with({{"list.json", "[1, 2]"}},
           {"JSON that is no object",
            {"summary", "@/list.json"},
            1,
            "error: @/list.json: is not a Keras model: expected an object but got [1,2]\n"}),
      with({{"nothing.json", "{\"layers\": []}"}},
           {"JSON that is no model",
            {"summary", "@/nothing.json"},
            1,
            "error: @/nothing.json: is not a Keras model: the key 'class_name' is missing\n"
            "  hint: give it the output of model.to_json()\n"}),
      with({{"layer.json", model_of(R"({"class_name": "Conv9D", "config": {"name": "c"}})")}},
           {"an unknown layer",
            {"summary", "@/layer.json"},
            1,
            "error: @/layer.json: one thing in this model is not supported:\n"
            "  layer 'c' (Conv9D): layers of this class are not supported\n"}),
      with({{"flat_lstm.json", model_of(R"({"class_name": "LSTM", "config": {"name": "lstm_1", "units": 4}},
                                           {"class_name": "LSTM", "config": {"name": "lstm_2", "units": 4}})", "24, 3")}},
           {"a sequence that ended",
            {"summary", "@/flat_lstm.json"},
            1,
            "error: layer 'lstm_2' (LSTM): needs a sequence [batch, time, features] but got [batch, 4]\n"
            "  the input is the output of 'lstm_1', which returns only its last step\n"
            "  hint: set return_sequences=true on 'lstm_1'\n"}),
      with({{"no_units.json", model_of(R"({"class_name": "Dense", "config": {"name": "d"}})")}},
           {"a layer without its size",
            {"summary", "@/no_units.json"},
            1,
            "error: layer 'd' (Dense): needs the attribute 'units' (an integer)\n"}),
      with({{"minus_units.json", model_of(R"({"class_name": "Dense", "config": {"name": "d", "units": -4}})")}},
           {"a layer of negative size",
            {"summary", "@/minus_units.json"},
            1,
            "error: layer 'd' (Dense): attribute 'units' is -4 but must be at least 1\n"}),
      with({{"activation.json", model_of(R"({"class_name": "Dense", "config": {"name": "d", "units": 4, "activation": "rellu"}})")}},
           {"a misspelt activation",
            {"summary", "@/activation.json"},
            1,
            "error: @/activation.json: one thing in this model is not supported:\n"
            "  layer 'd' (Dense): attribute 'activation' is the unknown activation 'rellu'\n"}),
  };
}

std::vector<Wrong> damaged_models() {
  return {
      with({{"text.moru", "this is not a model, and never was one; it is only long enough to hold a header of 64 bytes\n"}},
           {"text called .moru", {"summary", "@/text.moru"}, 1, "error: '@/text.moru' is not a .moru file\n"}),
      with({{"empty.moru", ""}},
           {"an empty .moru", {"summary", "@/empty.moru"}, 1, "error: '@/empty.moru' is not a .moru file\n"}),
      {"half a .moru",
       {"run", "@/cut.moru", "@/x.npy", "--output-dir", "@/out"},
       1,
       "error: '@/cut.moru' is damaged: it should have # bytes but has #\n"},
      {"a .moru cut in its header",
       {"summary", "@/header.moru"},
       1,
       "error: '@/header.moru' is damaged: it ends inside its header\n"},
      {"a flipped bit in the weights",
       {"summary", "@/flip_weights.moru"},
       1,
       "error: '@/flip_weights.moru' is damaged: its section 'weights' has another checksum\n"},
      {"a flipped bit in the header",
       {"summary", "@/flip_magic.moru"},
       1,
       "error: '@/flip_magic.moru' is not a .moru file\n"},
      with({{"text.so", "not a library"}},
           {"text called .so",
            {"run", "@/text.so", "@/x.npy", "--output-dir", "@/out"},
            1,
            "error: cannot load '@/text.so': @/text.so: file too short\n"}),
  };
}

std::vector<Wrong> wrong_recipes() {
  return {
      with({{"r_syntax.json", "{\"model\": \"model.json\",\n \"data\": }"}},
           {"a recipe with broken syntax",
            {"train", "@/r_syntax.json", "--run-dir", "@/r"},
            1,
            "error: @/r_syntax.json: is not valid JSON at line 2, column 10: unexpected '}'; expected '[', '{', or a "
            "literal\n"}),
      with({{"r_key.json", recipe_with("\"epochs\"", "\"epoch\"")}},
           {"a misspelt key",
            {"train", "@/r_key.json", "--run-dir", "@/r"},
            1,
            "error: @/r_key.json: fit: \"epoch\" is not known here\n"
            "  hint: did you mean 'epochs'?\n"}),
      with({{"r_column.json", recipe_with("\"c\"]", "\"cc\"]")}},
           {"a column that is not there",
            {"train", "@/r_column.json", "--run-dir", "@/r"},
            1,
            "error: @/data.csv: has no column 'cc'\n"
            "  hint: did you mean 'c'?\n"}),
      with({{"r_model.json", SmallProject::recipe("lost.json")}},
           {"a recipe whose model is not there",
            {"train", "@/r_model.json", "--run-dir", "@/r"},
            1,
            "error: there is no '@/lost.json', the model of the recipe '@/r_model.json'\n"}),
      with({{"r_no_model.json", recipe_with("\"model\": \"model.json\",", "")}},
           {"a recipe without a model",
            {"train", "@/r_no_model.json", "--run-dir", "@/r"},
            1,
            "error: the recipe '@/r_no_model.json' names no model\n"
            "  hint: add \"model\": \"MODEL.json\"\n"}),
      with({{"r_nested.json", SmallProject::recipe("recipe.json")}},
           {"a recipe that names a recipe",
            {"train", "@/r_nested.json", "--run-dir", "@/r"},
            1,
            "error: '@/recipe.json' is a recipe, but a recipe's \"model\" must be a model\n"}),
      with({{"r_data.json", SmallProject::recipe("model.json", "lost.csv")}},
           {"a recipe whose data are not there",
            {"train", "@/r_data.json", "--run-dir", "@/r"},
            1,
            "error: @/lost.csv: cannot be opened: No such file or directory\n"
            "  hint: check the path; \"csv\" in a recipe is relative to the recipe\n"}),
      with({{"r_width.json", SmallProject::recipe("model.json", "data.csv", "{\"columns\": [\"a\", \"b\"], \"scaler\": \"standard\"}")}},
           {"fewer columns than the model takes",
            {"train", "@/r_width.json", "--run-dir", "@/r"},
            1,
            "error: the input 'x' of model.json takes [3] per sample, but r_width.json gives it [2]\n"
            "  its 2 columns are a, b\n"
            "  hint: change the shape of the model's input, or the recipe's columns and window\n"}),
      {"the same when compiling",
       {"compile", "@/model.json", "--recipe", "@/r_width.json", "-o", "@/out.so"},
       1,
       "error: the input 'x' of model.json takes [3] per sample, but r_width.json gives it [2]\n"
       "  its 2 columns are a, b\n"
       "  hint: change the shape of the model's input, or the recipe's columns and window\n"},
      with({{"r_wide.json", SmallProject::recipe("wide.json")},
            {"wide.json", model_of(R"({"class_name": "Dense", "config": {"name": "y", "units": 1}})", "5")}},
           {"a model that takes more columns",
            {"train", "@/r_wide.json", "--run-dir", "@/r"},
            1,
            "error: the input 'x' of wide.json takes [5] per sample, but r_wide.json gives it [3]\n"
            "  its 3 columns are a, b, c\n"
            "  hint: change the shape of the model's input, or the recipe's columns and window\n"}),
      with({{"r_target.json", SmallProject::recipe("two_units.json")},
            {"two_units.json", model_of(R"({"class_name": "Dense", "config": {"name": "y", "units": 2}})")}},
           {"more units than the target has columns",
            {"train", "@/r_target.json", "--run-dir", "@/r"},
            1,
            "error: the output 'y' of two_units.json is [2] per sample, but the target in r_target.json is [1]\n"
            "  its 1 column is y\n"
            "  hint: give the last layer as many units as the target has columns, or change the target\n"}),
      with({{"r_window.json", recipe_with("\"split\"", "\"window\": {\"length\": 24, \"horizon\": 1}, \"split\"")}},
           {"a window for a model without a time axis",
            {"train", "@/r_window.json", "--run-dir", "@/r"},
            1,
            "error: the input 'x' of model.json takes [3] per sample, but r_window.json gives it [24, 3]\n"
            "  its 3 columns are a, b, c\n"
            "  hint: change the shape of the model's input, or the recipe's columns and window\n"}),
      with({{"r_output.json", recipe_with("\"target\": {\"column\": \"y\", \"scaler\": \"standard\"}", "\"targets\": {\"z\": {\"column\": \"y\"}}")}},
           {"a target the model lacks",
            {"train", "@/r_output.json", "--run-dir", "@/r"},
            1,
            "error: the recipe has an output 'z', which the model lacks\n"
            "  hint: the model's outputs are 'y'\n"}),
      with({{"r_loss_output.json", recipe_with(R"("loss": "mse")", R"("loss": {"z": "mse"})")}},
           {"a loss of an output the model lacks",
            {"train", "@/r_loss_output.json", "--run-dir", "@/r"},
            1,
            "error: the recipe has an output 'z', which the model lacks\n"
            "  hint: the model's outputs are 'y'\n"}),
      with({{"r_classes.json", recipe_with(R"("loss": "mse")", R"("loss": "sparse_categorical_crossentropy")")}},
           {"a scaler of class numbers",
            {"train", "@/r_classes.json", "--run-dir", "@/r"},
            1,
            "error: @/r_classes.json: data.target: sparse_categorical_crossentropy compares with class numbers, and a scaler makes "
            "other numbers of them\n"
            "  hint: remove the scaler\n"}),
      with({{"r_label.json", recipe_with(R"(["mae"])", R"([{"name": "mae", "label": "loss"}])")}},
           {"a metric that is called as the loss",
            {"train", "@/r_label.json", "--run-dir", "@/r"},
            1,
            "error: @/r_label.json: fit.metrics: 'loss' is what the loss itself is called\n"
            "  hint: give the metric another \"label\"\n"}),
      with({{"r_no_csv.json", recipe_with(R"("csv": "data.csv", )", "")}},
           {"no table at all",
            {"train", "@/r_no_csv.json", "--run-dir", "@/r"},
            1,
            "error: @/r_no_csv.json: data: names no CSV file\n"
            "  hint: set \"csv\" in the recipe, or give --data FILE.csv\n"}),
      with({{"r_late.json", recipe_with(R"("epochs": 3)", R"("epochs": 5, "initial_epoch": 4)")}},
           {"fewer epochs on the command line than the recipe begins with",
            {"train", "@/r_late.json", "--run-dir", "@/r", "--epochs", "2"},
            1,
            "error: @/r_late.json: fit.initial_epoch: leaves no epoch of 2\n"
            "  hint: \"epochs\" counts from 0, so give more of them\n"}),
      with({{"r_plateau.json", recipe_with(R"("epochs": 3)", R"("epochs": 3, "callbacks": {"reduce_lr_on_plateau": {"factor": 1.5}})")}},
           {"a plateau of another shape",
            {"train", "@/r_plateau.json", "--run-dir", "@/r"},
            1,
            "error: @/r_plateau.json: fit.callbacks.reduce_lr_on_plateau.factor: 1.5 is out of range\n"
            "  hint: it must be at least 0 and below 1\n"}),
      with({{"r_loss.json", recipe_with("\"mse\"", "\"msee\"")}},
           {"a misspelt loss",
            {"train", "@/r_loss.json", "--run-dir", "@/r"},
            1,
            "error: @/r_loss.json: fit.loss: 'msee' is not a loss\n"
            "  hint: the losses are: mean_squared_error, mean_absolute_error, mean_absolute_percentage_error, "
            "mean_squared_logarithmic_error, huber, log_cosh, binary_crossentropy, categorical_crossentropy, "
            "sparse_categorical_crossentropy, kl_divergence, poisson, hinge, and 9 more\n"}),
      with({{"r_metric.json", recipe_with("[\"mae\"]", "[\"maee\"]")}},
           {"a misspelt metric",
            {"train", "@/r_metric.json", "--run-dir", "@/r"},
            1,
            "error: @/r_metric.json: fit.metrics[0]: 'maee' is not a metric\n"
            "  hint: the metrics are: mean_squared_error, mean_absolute_error, mean_absolute_percentage_error, "
            "mean_squared_logarithmic_error, huber, log_cosh, binary_crossentropy, categorical_crossentropy, "
            "sparse_categorical_crossentropy, kl_divergence, poisson, hinge, and 37 more\n"}),
      with({{"r_optimizer.json", recipe_with("\"adam\"", "\"adamm\"")}},
           {"a misspelt optimizer",
            {"train", "@/r_optimizer.json", "--run-dir", "@/r"},
            1,
            "error: @/r_optimizer.json: fit.optimizer.name: 'adamm' is not an optimizer\n"
            "  hint: did you mean 'adam'?\n"}),
      with({{"r_split.json", recipe_with("\"train\": 0.7", "\"train\": 0.9")}},
           {"parts that sum to more than one",
            {"train", "@/r_split.json", "--run-dir", "@/r"},
            1,
            "error: @/r_split.json: data.split: train, validation and test add up to 1.2\n"
            "  hint: they must not exceed 1\n"}),
      with({{"r_batch.json", recipe_with("\"batch_size\": 16", "\"batch_size\": 0")}},
           {"a batch size of zero",
            {"train", "@/r_batch.json", "--run-dir", "@/r"},
            1,
            "error: @/r_batch.json: fit.batch_size: 0 is out of range\n"
            "  hint: it must be at least 1\n"}),
      with({{"r_monitor.json", recipe_with("\"epochs\": 3", "\"epochs\": 3, \"callbacks\": {\"early_stopping\": {\"monitor\": \"val_auc\"}}")}},
           {"a callback that monitors nothing",
            {"train", "@/r_monitor.json", "--run-dir", "@/r"},
            1,
            "error: callback 'early_stopping' monitors 'val_auc', which this run does not measure; it measures loss, mae, "
            "val_loss, val_mae\n"}),
      {"a model where a recipe is needed",
       {"train", "@/model.json", "--run-dir", "@/r"},
       1,
       "error: '@/model.json' carries no recipe, so it is not known what the columns of a CSV mean\n"
       "  hint: give a recipe, or a model that `moru train` made\n"},
  };
}

std::vector<Wrong> wrong_tables() {
  return {
      with({{"missing.csv", "a,b,c,y\n1,2,3,4\n1,,3,4\n"},
            {"r_fill.json", replace_all(SmallProject::recipe("model.json", "missing.csv", R"("a", {"column": "b", "encoder": "ordinal"}, "c")"),
                                        R"("csv")", R"("missing": {"fill": "constant", "value": 0}, "csv")")}},
           {"a number to fill in for a category",
            {"train", "@/r_fill.json", "--run-dir", "@/r"},
            1,
            "error: @/missing.csv, line 3, column 'b': the cell is missing, and the fill value '0' is not one of its categories\n"
            "  hint: set the column's \"missing\" to {\"fill\": \"previous\"} or {\"fill\": \"constant\", \"value\": <one of its "
            "categories>}\n"}),
      with({{"missing.csv", "a,b,c,y\n1,2,3,4\n1,,3,4\n"}},
           {"a missing cell",
            {"train", "@/recipe.json", "--data", "@/missing.csv", "--run-dir", "@/r"},
            1,
            "error: @/missing.csv, line 3, column 'b': the cell is missing\n"
            "  hint: set \"missing\" to \"drop\" or {\"fill\": \"mean\" | \"median\" | \"previous\" | \"constant\"}\n"}),
      with({{"words.csv", "a,b,c,y\n1,2,3,4\n1,two,3,4\n"}},
           {"a word among numbers",
            {"train", "@/recipe.json", "--data", "@/words.csv", "--run-dir", "@/r"},
            1,
            "error: @/words.csv, line 3, column 'b': 'two' is not a number\n"
            "  hint: give the column an encoder (\"one_hot\" or \"ordinal\"), or list 'two' in \"missing_values\"\n"}),
      with({{"ragged.csv", "a,b,c,y\n1,2,3,4\n1,2,3\n"}},
           {"a row that is too short",
            {"train", "@/recipe.json", "--data", "@/ragged.csv", "--run-dir", "@/r"},
            1,
            "error: @/ragged.csv, line 3: 3 cells where the header names 4 (the first one missing is 'y')\n"
            "  hint: the separator is ','; put a cell that holds it in double quotes, or set \"separator\"\n"}),
      with({{"empty.csv", ""}},
           {"an empty table",
            {"train", "@/recipe.json", "--data", "@/empty.csv", "--run-dir", "@/r"},
            1,
            "error: @/empty.csv: is empty\n"
            "  hint: the first line must name the columns\n"}),
      with({{"header.csv", "a,b,c,y\n"}},
           {"a header without rows",
            {"train", "@/recipe.json", "--data", "@/header.csv", "--run-dir", "@/r"},
            1,
            "error: @/header.csv: has a header and no rows\n"
            "  hint: is this the right file?\n"}),
      with({{"quote.csv", "a,b,c,y\n1,2,\"3,4\n"}},
           {"a quote that is never closed",
            {"train", "@/recipe.json", "--data", "@/quote.csv", "--run-dir", "@/r"},
            1,
            "error: @/quote.csv, line 2: a quoted cell begins here and is never closed\n"
            "  hint: close the quote, or double a quote that belongs to the text (\"\")\n"}),
      with({{"twice.csv", "a,b,a,y\n1,2,3,4\n"}},
           {"two columns of one name",
            {"train", "@/recipe.json", "--data", "@/twice.csv", "--run-dir", "@/r"},
            1,
            "error: @/twice.csv: two columns are called 'a'\n"
            "  hint: rename one of them, or take the second as 'a.1'\n"}),
      with({{"few.csv", "a,b,c,y\n1,2,3,4\n"}},
           {"too few rows",
            {"train", "@/recipe.json", "--data", "@/few.csv", "--run-dir", "@/r"},
            1,
            "error: @/few.csv: no sample for training among its 1 rows\n"
            "  hint: give more rows, a larger fraction, or fill missing cells instead of dropping their rows\n"}),
      with({{"no_c.csv", "a,b,y\n1,2,3\n"}},
           {"a table without a column, for predict",
            {"predict", "@/run/model.moru", "--data", "@/no_c.csv"},
            1,
            "error: @/no_c.csv: has no column 'c'\n"
            "  hint: the columns are: a, b, y\n"}),
      {"a table that is not there, for evaluate",
       {"evaluate", "@/run/model.moru", "--data", "@/lost.csv"},
       1,
       "error: @/lost.csv: cannot be opened: No such file or directory\n"
       "  hint: check the path; \"csv\" in a recipe is relative to the recipe\n"},
      {"a model without a recipe, for predict",
       {"predict", "@/model.moru", "--data", "@/data.csv"},
       1,
       "error: '@/model.moru' carries no recipe, so it is not known what the columns of a CSV mean\n"
       "  hint: give the .moru that `moru train` made; of other kinds of files, .onnx alone keeps its recipe\n"},
      {"a recipe that was never fitted, for predict",
       {"predict", "@/recipe.json", "--data", "@/data.csv"},
       1,
       "error: @/recipe.json: has not been fitted to training data\n"
       "  hint: train first; the trained model carries a fitted recipe\n"},
  };
}

std::vector<Wrong> wrong_arrays() {
  return {
      {"an array of another width",
       {"run", "@/model.json", "@/x32.npy", "--output-dir", "@/out"},
       1,
       "error: slot 'x' (input f32[batch, 3]): axis 1 must be 3 but is 2; the bound shape is [3, 2]\n"},
      {"an array of another rank",
       {"run", "@/model.json", "@/x6.npy", "--output-dir", "@/out"},
       1,
       "error: slot 'x' (input f32[batch, 3]) has 2 axes but was given the shape [6]\n"},
      {"the same, interpreted",
       {"run", "@/model.json", "@/x6.npy", "--output-dir", "@/out", "--interpret"},
       1,
       "error: 'x' takes f32[batch, 3] but got f32[6]\n"},
      {"half an array",
       {"run", "@/model.json", "@/cut.npy", "--output-dir", "@/out"},
       1,
       "error: @/cut.npy: is not a usable .npy file: its shape needs 24 bytes of data and it holds 12\n"
       "  hint: write it again with numpy.save\n"},
      with({{"text.npy", "hello"}},
           {"text called .npy",
            {"run", "@/model.json", "@/text.npy", "--output-dir", "@/out"},
            1,
            "error: @/text.npy: is not a .npy file (it does not begin with \\x93NUMPY)\n"
            "  hint: write arrays with numpy.save; .npz archives and pickles are not supported\n"}),
      {"an array that is not there",
       {"run", "@/model.json", "@/lost.npy", "--output-dir", "@/out"},
       1,
       "error: cannot open '@/lost.npy': No such file or directory\n"},
      {"an input the model lacks",
       {"run", "@/model.json", "z=@/x.npy", "--output-dir", "@/out"},
       1,
       "error: 'z' is not an input of the model; its inputs are 'x'\n"},
      {"an input too many",
       {"run", "@/model.json", "x=@/x.npy", "z=@/x.npy", "--output-dir", "@/out"},
       1,
       "error: 'z' is not an input of the model; its inputs are 'x'\n"},
      {"an input given twice",
       {"run", "@/model.json", "x=@/x.npy", "x=@/x.npy", "--output-dir", "@/out"},
       1,
       "error: the input 'x' is given twice\n"},
      {"arrays without names",
       {"run", "@/model.json", "@/x.npy", "@/x.npy", "--output-dir", "@/out"},
       1,
       "error: where there are several arrays, each needs its input's name, as NAME=FILE.npy; the inputs are 'x'\n"},
  };
}

std::vector<Wrong> wrong_names() {
  return {
      {"an unknown pass to leave out",
       {"compile", "@/model.json", "-o", "@/out.s", "--disable", "fuze"},
       1,
       "error: there is no pass 'fuze'\n"
       "  hint: moru passes lists them\n"},
      {"a pass that is needed",
       {"compile", "@/model.json", "-o", "@/out.s", "--disable", "lower"},
       1,
       "error: the pass 'lower' cannot be left out: there is no program without it\n"},
      {"an unknown pass to stop after",
       {"dump", "@/model.json", "--after", "expnd"},
       1,
       "error: there is no pass 'expnd' here (without a recipe nothing is trained)\n"
       "  hint: did you mean 'expand'?\n"},
      {"a pass of training without a recipe",
       {"dump", "@/model.json", "--after", "differentiate"},
       1,
       "error: there is no pass 'differentiate' here (without a recipe nothing is trained)\n"
       "  hint: moru passes lists them\n"},
      with({{"good.txt", "module {\n  entry predict {\n  }\n}\n"}},
           {"an unknown pass to run",
            {"opt", "@/good.txt", "--passes", "simplfy"},
            1,
            "error: there is no graph pass 'simplfy' that can run alone\n"
            "  hint: moru passes lists them\n"}),
      with({{"syntax.txt", "module {\n  entry predict {\n    %0 = nonsense(\n"}},
           {"a graph that does not parse",
            {"opt", "@/syntax.txt"},
            1,
            "error: graph text, line 3: there is no op 'nonsense'\n"}),
      {"an unknown op",
       {"ops", "lsmt"},
       1,
       "error: there is no op 'lsmt'\n"
       "  hint: did you mean 'lstm'?\n"},
      {"an unknown entry",
       {"compile", "@/model.json", "-o", "@/out.so", "--entry", "pedict"},
       1,
       "error: there is no entry 'pedict'\n"
       "  hint: did you mean 'predict'?\n"},
      {"training without a recipe",
       {"compile", "@/model.json", "-o", "@/out.so", "--entry", "predict,train_step"},
       1,
       "error: the entry 'train_step' needs a loss and an optimizer\n"
       "  hint: give a recipe with --recipe R.json\n"},
      {"an unknown target",
       {"compile", "@/model.json", "-o", "@/out.so", "--target", "z80"},
       1,
       "error: unknown target 'z80'\n"
       "  hint: known are host, x86-64-v4-bf16, x86-64-v4, x86-64-v3, x86-64-v2, aarch64-sve256, aarch64, riscv64, wasm32-simd\n"},
      {"an unknown dimension",
       {"bench", "@/model.json", "--size", "tmie=3"},
       1,
       "error: the model has no open dimension 'tmie'; it has 'batch'\n"},
  };
}

std::vector<Wrong> wrong_checkpoints() {
  return {
      {"a checkpoint that is not there",
       {"checkpoint", "@/lost.moruckpt"},
       1,
       "error: cannot open '@/lost.moruckpt': No such file or directory\n"},
      {"half a checkpoint",
       {"checkpoint", "@/cut.moruckpt"},
       1,
       "error: '@/cut.moruckpt' is damaged: it should have # bytes but has #\n"},
      {"a flipped bit in a checkpoint",
       {"checkpoint", "@/flip.moruckpt"},
       1,
       "error: '@/flip.moruckpt' is damaged: the checksum of its table differs\n"},
      with({{"text.moruckpt", "this is not a checkpoint, and never was one; it is only long enough for a header\n"}},
           {"text called a checkpoint",
            {"checkpoint", "@/text.moruckpt"},
            1,
            "error: '@/text.moruckpt' is not a checkpoint\n"}),
      with({{"empty.moruckpt", ""}},
           {"an empty checkpoint",
            {"checkpoint", "@/empty.moruckpt"},
            1,
            "error: '@/empty.moruckpt' is damaged: it is empty\n"}),
      {"a directory without a checkpoint",
       {"checkpoint", "@/nothing_here"},
       1,
       "error: there is no good checkpoint in '@/nothing_here'\n"},
      with({{"wider.json", replace_all(SmallProject::recipe("wider_model.json"), "\"epochs\": 3", "\"epochs\": 5")},
            {"wider_model.json", replace_all(SmallProject::small_model(), "\"units\": 8", "\"units\": 9")}},
           {"a run of another model to resume",
            {"train", "@/wider.json", "--run-dir", "@/run", "--resume", "--quiet"},
            1,
            "error: the checkpoint belongs to another program (hash #, here #): the model, the optimizer, the target or the "
            "version of Moru differs. Going on with it is possible if asked for, but the result will not be the same, bit "
            "for bit, as without the interruption\n"
            "  hint: train into another --run-dir, or ask for it with --allow-other-program\n"}),
  };
}

std::vector<Wrong> wrong_places() {
  return {
      {"a directory that is not there",
       {"import", "@/model.json", "-o", "@/nowhere/out.moru"},
       1,
       "error: cannot write '@/nowhere/out.moru': No such file or directory\n"},
      {"a full disk",
       {"import", "@/model.json", "-o", "@/out.moru"},
       1,
       "error: cannot write '@/out.moru': File too large\n",
       {.most_file_bytes = 500}},
      {"a full disk for a library",
       {"compile", "@/model.json", "-o", "@/out.s", "--no-cache"},
       1,
       "error: cannot write '@/out.s': File too large\n",
       {.most_file_bytes = 500}},
      {"a full disk for predictions",
       {"predict", "@/run/model.moru", "--data", "@/data.csv", "-o", "@/p.csv", "--no-cache"},
       1,
       "error: cannot write '@/p.csv': File too large\n",
       {.most_file_bytes = 100}},
      {"a directory without permission",
       {"import", "@/model.json", "-o", "@/locked/out.moru"},
       1,
       "error: cannot write '@/locked/out.moru': Permission denied\n",
       {.as_nobody = true}},
      {"a run directory without permission",
       {"train", "@/recipe.json", "--run-dir", "@/locked/run", "--quiet"},
       1,
       "error: cannot make the run directory '@/locked/run': Permission denied\n",
       {.as_nobody = true}},
      {"an output directory without permission",
       {"run", "@/model.json", "@/x.npy", "--output-dir", "@/locked/out"},
       1,
       "error: cannot make '@/locked/out': Permission denied\n",
       {.as_nobody = true}},
  };
}

}  // namespace

TEST_CASE("every wrong input gets its message, its exit code, and leaves nothing behind") {
  std::vector<Wrong> table;
  for (const auto& rows : {wrong_flags, wrong_models, damaged_models, wrong_recipes, wrong_tables, wrong_arrays, wrong_names,
                           wrong_checkpoints, wrong_places})
    for (const Wrong& row : rows()) table.push_back(row);
  const WrongProject project(table);
  const bool print = std::getenv("MORU_PRINT_ERRORS") != nullptr;  // for writing this table
  for (const Wrong& wrong : table) {
    const std::string what = wrong.what;
    CAPTURE(what);
    std::vector<std::string> arguments;
    for (const std::string& argument : wrong.arguments)
      arguments.push_back(replace_all(argument, "@", project.directory.path()));
    const std::vector<std::string> before = list_files(project.directory.path());
    const Outcome outcome = project.moru(arguments, wrong.options);
    const std::string message = without_accidents(replace_all(outcome.err, project.directory.path(), "@"));
    if (print) {
      std::cout << "### " << wrong.what << " -> " << outcome.code << "\n" << message;
      continue;
    }
    if (wrong.options.as_nobody && outcome.code == 127) {
      std::cout << "skipped: " << wrong.what << " (the user nobody cannot run the binary)\n";
      continue;
    }
    CHECK(outcome.code == wrong.code);
    CHECK(message == wrong.message);
    CHECK(outcome.out.empty());
    CHECK(list_files(project.directory.path()) == before);
  }
}

TEST_CASE("a disk that fills up while training ends the run with a message, and no half file") {
  const SmallProject project;
  const Outcome outcome =
      project.moru({"train", project / "recipe.json", "--run-dir", project / "run", "--quiet", "--no-cache"},
                   {.most_file_bytes = 2500});
  CHECK(outcome.code == 1);
  CHECK(outcome.err.starts_with("error: cannot write '" + (project / "run/checkpoints/")));
  CHECK(outcome.err.ends_with("': File too large\n"));
  for (const std::string& name : list_files(project.directory.path())) {
    CHECK(name.find(".tmp-") == std::string::npos);
    CHECK_FALSE(name.ends_with(".moru"));
    CHECK_FALSE(name.ends_with(".moruckpt"));
  }
}

TEST_CASE("output that cannot be written is an error") {
  const SmallProject project;
  const Outcome outcome = project.moru({"dump", project / "model.json"}, {.most_file_bytes = 100});
  CHECK(outcome.code == 1);
}

TEST_CASE("models and checkpoints that were cut or bent anywhere are refused, never followed") {
  const WrongProject project({});
  uint64_t state = 20250301;  // the positions below; print it to repeat a failure
  const auto random = [&](size_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state >> 33) % below;
  };
  struct File {
    std::string path, name;
    std::vector<std::string> arguments;
  };
  const std::vector<File> files = {
      {project / "run/model.moru",
       "bent.moru",
       {"predict", project / "bent.moru", "--data", project / "data.csv", "-o", project / "p.csv"}},
      {project.checkpoint, "bent.moruckpt", {"checkpoint", project / "bent.moruckpt"}}};
  for (const File& file : files) {
    const std::string whole = read_file(file.path);
    write_file(project / file.name, whole);
    const Outcome good = project.moru(file.arguments);
    CAPTURE(good.err);
    REQUIRE(good.code == 0);
    const std::string answer = read_file(project / "p.csv");
    for (int i = 0; i < 60; ++i) {
      const size_t at = random(whole.size());
      const bool cut = i % 3 == 0;
      CAPTURE(file.name);
      CAPTURE(at);
      CAPTURE(cut);
      write_file(project / file.name, cut ? whole.substr(0, at) : with_flipped_bit(whole, at));
      const Outcome outcome = project.moru(file.arguments);
      CAPTURE(outcome.err);
      // A bit between sections means nothing; then the answer is the same.
      CHECK((outcome.code == 1 || (outcome.code == 0 && !cut && outcome.out == good.out)));
      CHECK(outcome.err.find("bug in Moru") == std::string::npos);
      CHECK(read_file(project / "p.csv") == answer);
    }
  }
}
