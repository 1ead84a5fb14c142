#include "tools/moru/standalone_files.h"

#include <algorithm>
#include <cctype>

#include "runtime/training/json_writer.h"
#include "tools/embed_file.h"

MORU_EMBED(standalone_model, moru_standalone_model, MORU_STANDALONE_MODEL)

namespace moru {

namespace {

using Place = StandaloneSlot::Place;

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

constexpr std::string_view keywords[] = {
    "asm",      "auto",    "bool",    "break",    "case",    "catch",     "char",     "class",    "const",
    "continue", "default", "delete",  "do",       "double",  "else",      "enum",     "explicit", "export",
    "extern",   "false",   "float",   "for",      "friend",  "goto",      "if",       "inline",   "int",
    "long",     "mutable", "new",     "operator", "private", "protected", "public",   "register", "return",
    "short",    "signed",  "sizeof",  "static",   "struct",  "switch",    "template", "this",     "throw",
    "true",     "try",     "typedef", "typename", "union",   "unsigned",  "using",    "virtual",  "void",
    "volatile", "while",   "and",     "or",       "not",     "xor",       "restrict", "arena",    "namespace"};

/// A name as C has it, that is none of `taken`.
std::string c_name(const std::string& name, std::vector<std::string>& taken) {
  std::string text;
  for (const char c : name) text += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0]))) text = "_" + text;
  while (std::find(taken.begin(), taken.end(), text) != taken.end() ||
         std::find(std::begin(keywords), std::end(keywords), text) != std::end(keywords))
    text += '_';
  taken.push_back(text);
  return text;
}

/// Text from outside must not end a comment.
std::string in_comment(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r' || c == '/' || c == '*') c = ' ';
  return text;
}

const char* c_type(DType type) {
  switch (type) {
    case DType::f32:
      return "float";
    case DType::f64:
      return "double";
    case DType::i32:
      return "int32_t";
    case DType::i64:
      return "int64_t";
    case DType::boolean:
      return "uint8_t";
    case DType::bf16:
      return "uint16_t";
  }
  return "?";
}

std::string prototype(const StandalonePlan& plan, const StandaloneEntry& entry) {
  std::string text = "int32_t " + plan.prefix + entry.name + "(void* arena, uint64_t arena_bytes";
  std::vector<std::string> taken = {"arena", "arena_bytes"};
  for (const std::string& symbol : entry.symbols) text += ", int64_t " + c_name(symbol, taken);
  const auto add = [&](size_t slot, const char* qualifier) {
    const StandaloneSlot& s = plan.slots[slot];
    text += std::string(",\n    ") + qualifier + c_type(s.type.dtype) + "* " + c_name(s.name, taken) + " /* " +
            in_comment(shape_text(s.type.shape)) + " */";
  };
  for (const size_t slot : entry.inputs) add(slot, "const ");
  for (const size_t slot : entry.outputs) add(slot, "");
  return text + ");\n";
}

const char* script_type(DType type) {
  switch (type) {
    case DType::f32:
      return "Float32Array";
    case DType::f64:
      return "Float64Array";
    case DType::i32:
      return "Int32Array";
    case DType::i64:
      return "BigInt64Array";
    case DType::boolean:
      return "Uint8Array";
    case DType::bf16:
      return "Uint16Array";
  }
  return "?";
}

std::string script_expression(const Dim& dim) {
  const auto factor_text = [](const DimFactor& factor) {
    if (factor.kind == DimFactor::Kind::symbol) return "s[" + json_quoted(factor.symbol) + "]";
    const std::string left = script_expression(*factor.left), right = script_expression(*factor.right);
    if (factor.kind == DimFactor::Kind::max) return "Math.max(" + left + ", " + right + ")";
    return (factor.kind == DimFactor::Kind::floor_div ? "Math.floor((" : "Math.ceil((") + left + ") / (" + right + "))";
  };
  std::string text;
  for (const DimTerm& term : dim.terms()) {
    if (!text.empty()) text += " + ";
    text += std::to_string(term.coefficient);
    for (const DimFactor& factor : term.factors) text += " * " + factor_text(factor);
  }
  return text.empty() ? "0" : text;
}

std::string script_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + json_quoted(name);
  return "[" + text + "]";
}

std::string script_arguments(const StandalonePlan& plan, const std::vector<size_t>& slots) {
  std::string text = "{";
  for (const size_t slot : slots) {
    const StandaloneSlot& s = plan.slots[slot];
    std::string shape;
    for (const Dim& dim : s.type.shape) shape += (shape.empty() ? "" : ", ") + script_expression(dim);
    text += "\n      " + json_quoted(s.name) + ": { type: " + script_type(s.type.dtype) + ", shape: (s) => [" + shape +
            "] },";
  }
  return text + (slots.empty() ? "}" : "\n    }");
}

}  // namespace

std::string standalone_header(const StandalonePlan& plan, const Target& target, const std::string& title,
                              int64_t batch) {
  const std::string prefix = upper(plan.prefix);
  std::string text = "/* " + in_comment(title) + ", compiled for " + target.level +
                     ": a library without heap, threads or files that needs no other.\n"
                     " *\n"
                     " * All memory is the caller's: an arena at a multiple of 64 bytes, of as many as " +
                     plan.prefix + "arena_bytes says. ";
  text += plan.state_bytes == 0
              ? "Nothing\n * is kept in it between calls.\n"
              : "Its first\n * " + prefix +
                    "STATE_BYTES hold what the model has learned: saving and restoring it is copying these.\n";
  text += " * Functions return " + prefix +
          "OK or another of the codes below, and then have changed nothing but scratch memory. An\n"
          " * output that is null is not wanted. Several arenas can be used at the same time. */\n";
  text += "#ifndef " + prefix + "H\n#define " + prefix +
          "H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\nenum {\n";
  for (const StandaloneCode& code : standalone_codes)
    text += "  " + prefix + code.name + " = " + std::to_string(code.value) + ", /* " + code.about + " */\n";
  text += "};\n\n";

  const std::vector<std::string> symbols = plan.symbols();
  if (symbols.empty() || symbols == std::vector<std::string>{"batch"}) {
    const int64_t bytes = plan.arena_bytes().evaluate([&](std::string_view) { return batch; });
    text += "#define " + prefix + "ARENA_BYTES " + std::to_string(bytes) +
            (symbols.empty() ? "" : " /* at batch = " + std::to_string(batch) + " */") + "\n";
  }
  std::string sizes;
  std::vector<std::string> taken;
  for (const std::string& symbol : symbols)
    sizes += (sizes.empty() ? "int64_t " : ", int64_t ") + c_name(symbol, taken);
  text += "uint64_t " + plan.prefix + "arena_bytes(" + (sizes.empty() ? "void" : sizes) + ");\n\n";
  if (plan.state_bytes != 0) {
    text += "/* Gives the arena, of " + prefix + "STATE_BYTES at least, the initial weights and state. */\n#define " +
            prefix + "STATE_BYTES " + std::to_string(plan.state_bytes) + "\nint32_t " + plan.prefix +
            "init(void* arena, uint64_t arena_bytes);\n\n";
  }
  for (const StandaloneEntry& entry : plan.entries) text += prototype(plan, entry);
  if (plan.state_bytes != 0) {
    text +=
        "\n/* Where state lies in the arena, in bytes from its beginning. Who writes parameters also zeroes the 64-bit "
        "word at\n"
        " * " +
        prefix + "PREPARED, so that what they are packed into follows. */\nenum {\n  " + prefix +
        "PREPARED = " + std::to_string(standalone_prepared_at) + ",\n";
    for (const StandaloneSlot& slot : plan.slots)
      if (slot.place == Place::arena && slot.kind != SlotKind::derived)
        text += "  " + prefix + "AT_" + c_name(slot.name, taken) + " = " + std::to_string(slot.offset) + ", /* " +
                c_type(slot.type.dtype) + in_comment(shape_text(slot.type.shape)) + " */\n";
    text += "};\n";
  }
  return text + "\n#ifdef __cplusplus\n}\n#endif\n#endif\n";
}

std::string standalone_script(const StandalonePlan& plan, const std::string& title, const std::string& file) {
  std::string text =
      "// " + in_comment(title) + ": how JavaScript uses " + in_comment(file) +
      ", in Node and in browsers.\n//\n"
      "//   const model = await load(bytes);  // of the file: fetch(...).then(r => r.arrayBuffer()), or readFile\n"
      "//   model.ENTRY({sizes}, {inputs})    // typed arrays in, typed arrays out; the entries stand below\n//\n"
      "// Inputs and outputs are dense, row-major. What a model learns is in save() and comes back by restore().\n\n";
  text += "const prefix = " + json_quoted(plan.prefix) + ";\nconst all_sizes = " + script_names(plan.symbols()) +
          ";\nexport const entries = {\n";
  for (const StandaloneEntry& entry : plan.entries)
    text += "  " + json_quoted(entry.name) + ": {\n    sizes: " + script_names(entry.symbols) +
            ",\n    inputs: " + script_arguments(plan, entry.inputs) +
            ",\n    outputs: " + script_arguments(plan, entry.outputs) + ",\n  },\n";
  text += "};\nconst state_bytes = " + std::to_string(plan.state_bytes) +
          ", prepared_at = " + std::to_string(standalone_prepared_at) + ";\nexport const state = {\n";
  for (const StandaloneSlot& slot : plan.slots)
    if (slot.place == Place::arena && slot.kind != SlotKind::derived)
      text += "  " + json_quoted(slot.name) + ": { type: " + script_type(slot.type.dtype) +
              ", offset: " + std::to_string(slot.offset) + ", length: " + element_count(slot.type.shape).text() +
              " },\n";
  text += "};\nconst codes = {\n";
  for (const StandaloneCode& code : standalone_codes)
    text += "  " + std::to_string(code.value) + ": " + json_quoted(code.about) + ",\n";
  return text + "};\n" + std::string(standalone_model());
}

}  // namespace moru
