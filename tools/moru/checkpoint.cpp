// moru checkpoint: what a checkpoint holds, and whether it is whole.
#include "runtime/checkpoint.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "runtime/checksum.h"
#include "runtime/data/wording.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/commands.h"

namespace moru::cli {
namespace {

struct Options {
  std::string path;
  bool json = false;
};

void print_json(const std::string& path, const Checkpoint& checkpoint) {
  JsonWriter json;
  json.begin_object();
  json.key("path").text(path);
  json.key("moru_version").text(checkpoint.moru_version);
  json.key("program_hash").text(hash_text(checkpoint.program_hash));
  json.key("data_fingerprint").text(checkpoint.data_fingerprint);
  json.key("epoch").integer(checkpoint.epoch);
  json.key("batch").integer(checkpoint.batch);
  json.key("step").integer(checkpoint.step);
  json.key("seed").integer(checkpoint.seed);
  json.key("seconds").number(checkpoint.seconds);
  json.key("finished").boolean(checkpoint.finished);
  json.key("slots").begin_array();
  for (const SavedTensor& slot : checkpoint.slots) {
    json.begin_object();
    json.key("name").text(slot.name);
    json.key("dtype").text(dtype_name(slot.dtype));
    json.key("shape").begin_array();
    for (const int64_t size : slot.shape) json.integer(size);
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.key("history").begin_object();
  for (const SavedSeries& series : checkpoint.history) json.key(series.name).numbers(series.values);
  json.end_object();
  json.key("callbacks").begin_object();
  for (const SavedCallback& callback : checkpoint.callbacks) {
    json.key(callback.name).begin_object();
    for (const SavedNumber& number : callback.numbers) json.key(number.name).number(number.value);
    json.end_object();
  }
  json.end_object();
  json.end_object();
  std::fputs(json.finish().c_str(), stdout);
}

void print_text(const std::string& path, const Checkpoint& checkpoint) {
  std::printf("%s is whole\n", path.c_str());
  std::printf("epoch      %lld completed, %lld steps into the next, %lld steps in all%s\n",
              static_cast<long long>(checkpoint.epoch), static_cast<long long>(checkpoint.batch),
              static_cast<long long>(checkpoint.step), checkpoint.finished ? "; finished" : "");
  std::printf("seed       %lld\n", static_cast<long long>(checkpoint.seed));
  std::printf("program    %s, by Moru %s\n", hash_text(checkpoint.program_hash).c_str(),
              checkpoint.moru_version.c_str());
  std::printf("data       %s\n", checkpoint.data_fingerprint.c_str());
  std::printf("trained    %.2f s\n", checkpoint.seconds);
  for (const SavedSeries& series : checkpoint.history) {
    std::string values;
    const size_t count = series.values.size(), tail = count < 5 ? count : 5;
    for (size_t i = count - tail; i < count; ++i) values += " " + number_text(series.values[i]);
    std::printf("history    %s:%s%s\n", series.name.c_str(), count > tail ? " ..." : "", values.c_str());
  }
  for (const SavedCallback& callback : checkpoint.callbacks) {
    std::string numbers;
    for (const SavedNumber& number : callback.numbers) numbers += " " + number.name + "=" + number_text(number.value);
    std::printf("callback   %s:%s\n", callback.name.c_str(), numbers.c_str());
  }
  for (const SavedTensor& slot : checkpoint.slots)
    std::printf("slot       %s  %s%s\n", slot.name.c_str(), std::string(dtype_name(slot.dtype)).c_str(),
                sizes_text(slot.shape).c_str());
}

int run(const Options& options) {
  std::string path = options.path;
  Checkpoint checkpoint;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    if (std::filesystem::is_directory(path + "/checkpoints", ignored)) path += "/checkpoints";
    std::string note;
    std::optional<FoundCheckpoint> found = need(find_latest_good(path, &note));
    std::fputs(note.c_str(), stderr);
    if (!found) fail("there is no good checkpoint in '" + path + "'");
    path = found->path;
    checkpoint = std::move(found->checkpoint);
  } else {
    checkpoint = need(read_checkpoint(path));
  }
  options.json ? print_json(path, checkpoint) : print_text(path, checkpoint);
  return 0;
}

}  // namespace

void add_checkpoint(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("checkpoint", "Check a checkpoint and show what it holds");
  command->footer(
      "Examples: moru checkpoint runs/bikes/checkpoints/ckpt-640.moruckpt\n"
      "          moru checkpoint runs/bikes --json     # the newest good one of a run");
  command->add_option("FILE", options->path, "A .moruckpt file, or a run directory")->required();
  command->add_flag("--json", options->json, "Print it as JSON");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
