#include <cstdio>

#include "runtime/checksum.h"
#include "runtime/training/json_writer.h"
#include "runtime/training/train_from_recipe.h"
#include "tools/moru-run/commands.h"

namespace moru::run {
namespace {

/// {"name": "x", "dtype": "f32", "shape": ["batch", 24, 11]}
void write_slot(JsonWriter& json, const Program& program, uint32_t number) {
  const ProgramSlot& slot = program.slots()[number];
  json.begin_object();
  json.key("name").text(slot.name);
  json.key("dtype").text(dtype_name(slot.dtype));
  json.key("shape").begin_array();
  for (const DimExpression& dim : slot.shape) {
    const std::optional<int64_t> size = dim.is_constant() ? dim.evaluate({}) : std::nullopt;
    if (size) {
      json.integer(*size);
    } else {
      json.text(dim.text(program.symbols()));
    }
  }
  json.end_array();
  json.end_object();
}

}  // namespace

int run_info(const CommonOptions& common) {
  const Result<Model> model = open_model(common);
  if (!model) return fail(model.status());
  const Program& program = *model->program;
  if (common.json) {
    JsonWriter json;
    json.begin_object();
    json.key("inputs").begin_array();
    for (uint32_t i = 0; i < program.slots().size(); ++i) {
      if (program.slots()[i].kind == SlotKind::input) write_slot(json, program, i);
    }
    json.end_array();
    json.key("outputs").begin_array();
    for (const ProgramOutput& output : program.outputs()) write_slot(json, program, output.prediction);
    json.end_array();
    json.key("entries").begin_array();
    for (const ProgramEntry& entry : program.entries()) json.text(entry.name);
    json.end_array();
    json.key("parameters").integer(count_parameters(program));
    json.key("target").text(program.target());
    json.key("level").text(program.level());
    json.key("program_hash").text(hash_text(program.hash()));
    json.key("moru_version").text(program.provenance().moru_version);
    json.key("recipe").boolean(model->recipe.has_value());
    json.end_object();
    std::fputs(json.finish().c_str(), stdout);
    return 0;
  }
  for (uint32_t i = 0; i < program.slots().size(); ++i) {
    const ProgramSlot& slot = program.slots()[i];
    if (slot.kind == SlotKind::input) std::printf("input       %s  %s\n", slot.name.c_str(), program.slot_type_text(i).c_str());
  }
  for (const ProgramOutput& output : program.outputs()) {
    std::printf("output      %s  %s\n", output.name.c_str(), program.slot_type_text(output.prediction).c_str());
  }
  std::string entries;
  for (const ProgramEntry& entry : program.entries()) entries += (entries.empty() ? "" : ", ") + entry.name;
  std::printf("entries     %s\n", entries.c_str());
  std::printf("parameters  %lld\n", static_cast<long long>(count_parameters(program)));
  const bool has_several = program.target().find('+') != std::string::npos;
  std::printf("target      %s%s\n", program.target().c_str(), has_several ? (", here " + program.level()).c_str() : "");
  std::printf("program     %s\n", hash_text(program.hash()).c_str());
  std::printf("recipe      %s\n", model->recipe ? (model->recipe->name.empty() ? "yes" : model->recipe->name.c_str()) : "none");
  return 0;
}

}  // namespace moru::run
