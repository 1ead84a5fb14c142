// moru ops: what every op means, from its own entry.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "compiler/ops/op.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/commands.h"

namespace moru::cli {
namespace {

struct Options {
  std::string name;
  bool json = false;
};

std::string default_text(const AttributeSpec& attribute) {
  if (attribute.default_value.is_none()) return attribute.optional ? "none" : "";
  const std::string text = Attributes{{"v", attribute.default_value}}.text();  // {v=...}
  return text.substr(3, text.size() - 4);
}

std::string input_text(const InputSpec& input) {
  return std::string(input.name) + (input.variadic ? "..." : "") + (input.optional ? "?" : "");
}

void print_json(JsonWriter& json, const Op& op) {
  json.begin_object();
  json.key("name").text(op.name);
  json.key("family").text(op_family_name(op.family));
  if (!op.class_name.empty()) json.key("class").text(op.class_name);
  json.key("doc").text(op.doc);
  json.key("primitive").boolean(!op.expand);
  json.key("inputs").begin_array();
  for (const InputSpec& input : op.inputs) json.text(input_text(input));
  json.end_array();
  json.key("attributes").begin_array();
  for (const AttributeSpec& attribute : op.attributes) {
    json.begin_object();
    json.key("name").text(attribute.name);
    json.key("required").boolean(attribute.default_value.is_none() && !attribute.optional);
    json.key("default").text(default_text(attribute));
    if (!attribute.doc.empty()) json.key("doc").text(attribute.doc);
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

void print_op(const Op& op) {
  std::printf("%s  (%s%s%s)\n  %s\n", std::string(op.name).c_str(), std::string(op_family_name(op.family)).c_str(),
              op.class_name.empty() ? "" : ", Keras class ", std::string(op.class_name).c_str(),
              std::string(op.doc).c_str());
  std::printf("  inputs:");
  for (const InputSpec& input : op.inputs) std::printf(" %s", input_text(input).c_str());
  std::printf("\n");
  for (const AttributeSpec& attribute : op.attributes) {
    const bool required = attribute.default_value.is_none() && !attribute.optional;
    std::string line =
        "  " + std::string(attribute.name) + (required ? " (required)" : " = " + default_text(attribute));
    for (size_t i = 0; i < attribute.choices.size(); ++i)
      line += (i == 0 ? ": one of " : ", ") + std::string(attribute.choices[i]);
    if (!attribute.doc.empty()) line += "  # " + std::string(attribute.doc);
    std::printf("%s\n", line.c_str());
  }
  std::printf("  %s\n", op.expand ? "expands into simpler ops" : "a primitive");
}

/// By op name or by Keras class.
const Op& find_named(const std::string& name) {
  if (const Op* op = find_op(name)) return *op;
  if (const Op* op = find_layer(name)) return *op;
  std::vector<std::string> names;
  for (const Op& op : all_ops()) names.emplace_back(op.name);
  fail("there is no op '" + name + "'\n  hint: " + name_hint(name, names, "moru ops lists them"));
}

int run(const Options& options) {
  if (!options.name.empty()) {
    const Op& op = find_named(options.name);
    if (!options.json) {
      print_op(op);
      return 0;
    }
    JsonWriter json;
    print_json(json, op);
    std::fputs(json.finish().c_str(), stdout);
    return 0;
  }
  if (options.json) {
    JsonWriter json;
    json.begin_array();
    for (const Op& op : all_ops()) print_json(json, op);
    json.end_array();
    std::fputs(json.finish().c_str(), stdout);
    return 0;
  }
  for (const Op& op : all_ops())
    std::printf("%-34s %-12s %s\n", std::string(op.name).c_str(), std::string(op_family_name(op.family)).c_str(),
                std::string(op.doc).c_str());
  return 0;
}

}  // namespace

void add_ops(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("ops", "List the ops, or say what one means");
  command->footer("Examples: moru ops\n          moru ops LSTM --json");
  command->add_option("NAME", options->name, "An op, or a Keras layer class");
  command->add_flag("--json", options->json, "Print it as JSON");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
