#include "compiler/codegen/link.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/Object/ArchiveWriter.h>

#include "compiler/codegen/target_machine.h"
#include "compiler/support/error.h"

extern char** environ;

namespace moru {

namespace {

using llvm::Constant;
using llvm::GlobalValue;
using llvm::GlobalVariable;

// The library's table, the embedded file and the getter, as an object of their own.
std::vector<uint8_t> library_object(const ObjectCode& code, std::span<const uint8_t> file, uint64_t program_hash,
                                    const std::string& getter) {
  const auto machine = make_target_machine(code.target, 1);
  llvm::LLVMContext context;
  const auto owned = make_llvm_module("moru_library", context, *machine, code.target);
  llvm::Module& module = *owned;
  llvm::IRBuilder<> builder(context);
  llvm::PointerType* pointer = builder.getPtrTy();
  const auto data = [&](Constant* value, const char* name, uint64_t align) {
    auto* variable = new GlobalVariable(module, value->getType(), true, GlobalValue::InternalLinkage, value, name);
    variable->setAlignment(llvm::Align(align));
    return variable;
  };

  // Pairs of a text and an address: entries, and variants of their table.
  auto* pair_type = llvm::StructType::get(context, {pointer, pointer});
  const auto pair = [&](const std::string& text, Constant* address) {
    return llvm::ConstantStruct::get(pair_type, {data(llvm::ConstantDataArray::getString(context, text), "name", 1), address});
  };
  const auto table_of = [&](const std::vector<Constant*>& pairs, const char* name) -> Constant* {
    return data(llvm::ConstantArray::get(llvm::ArrayType::get(pair_type, pairs.size()), pairs), name, 8);
  };
  const auto entries_of = [&](const std::string& prefix) {
    std::vector<Constant*> entries;
    for (const std::string& name : code.entries) {
      auto* type = llvm::FunctionType::get(builder.getInt32Ty(), {pointer}, false);
      auto* function = llvm::Function::Create(type, GlobalValue::ExternalLinkage, entry_symbol(prefix, name), module);
      function->setVisibility(GlobalValue::HiddenVisibility);
      function->setDSOLocal(true);
      entries.push_back(pair(name, function));
    }
    return table_of(entries, "entries");
  };
  std::vector<Constant*> variants;
  for (const ObjectVariant& variant : code.variants) variants.push_back(pair(variant.level, entries_of(variant.prefix)));
  Constant* bytes = llvm::ConstantPointerNull::get(pointer);
  if (!file.empty()) {
    const llvm::ArrayRef<uint8_t> contents(file.data(), file.size());
    bytes = data(llvm::ConstantDataArray::get(context, contents), "file", 64);
  }
  // struct moru_kernel_library
  const uint32_t version = variants.empty() ? MORU_KERNEL_ABI_VERSION : MORU_KERNEL_ABI_VERSION_VARIANTS;
  auto* library_type = llvm::StructType::get(context, {builder.getInt32Ty(), builder.getInt32Ty(), builder.getInt64Ty(),
                                                       pointer, pointer, builder.getInt64Ty(), pointer, builder.getInt64Ty()});
  Constant* library = llvm::ConstantStruct::get(
      library_type, {builder.getInt32(version), builder.getInt32(static_cast<uint32_t>(code.entries.size())),
                     builder.getInt64(program_hash), entries_of(code.prefix), bytes, builder.getInt64(file.size()),
                     variants.empty() ? llvm::ConstantPointerNull::get(pointer) : table_of(variants, "variants"),
                     builder.getInt64(variants.size())});
  auto* function = llvm::Function::Create(llvm::FunctionType::get(pointer, false), GlobalValue::ExternalLinkage, getter, module);
  function->setDoesNotThrow();
  builder.SetInsertPoint(llvm::BasicBlock::Create(context, "", function));
  builder.CreateRet(data(library, "library", 8));

  return generate(module, *machine, llvm::CodeGenFileType::ObjectFile);
}

/// A new directory that is removed with everything in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "moru-link-XXXXXX").string();
    if (!mkdtemp(pattern.data())) {
      throw CompileError({.stage = "link", .what = "cannot make a temporary directory in " +
                                                   std::filesystem::temp_directory_path().string() + ": " + std::strerror(errno)});
    }
    path = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string path;
};

void write_file(const std::string& path, std::span<const uint8_t> bytes) {
  errno = 0;
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  // A stream may fail without a word of the system.
  if (!file)
    throw CompileError({.stage = "link", .what = "cannot write " + path + ": " + std::strerror(errno != 0 ? errno : EIO)});
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string rest = path ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const std::string directory = rest.substr(0, rest.find(':'));
    rest.erase(0, std::min(rest.size(), directory.size() + 1));
    const std::string candidate = directory + "/" + name;
    if (!directory.empty() && access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

// Any lld links for any target; GNU ld, as installed, for its own machine only.
std::string find_linker(const Target& target) {
  std::vector<std::string> names = {"ld.lld-19", "ld.lld"};
  const bool is_native = target.triple == Target::host().triple;
  if (target.is_wasm()) {
    names = {"wasm-ld-19", "wasm-ld"};
  } else {
    if (is_native) names.insert(names.begin(), "ld");
    names.push_back(target.triple.substr(0, target.triple.find('-')) + "-linux-gnu-ld");
  }
  for (const std::string& name : names) {
    if (std::string found = find_program(name); !found.empty()) return found;
  }
  throw CompileError({.stage = "link", .what = "no linker was found for " + target.level,
                      .hint = is_native ? "install the Debian package binutils (ld) or lld-19"
                                        : "install the Debian package lld-19"});
}

void run_linker(std::vector<std::string> arguments, const std::string& log) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t child = 0;
  const int failure = posix_spawn(&child, pointers[0], &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) {
    throw CompileError({.stage = "link", .what = "cannot run " + arguments[0] + ": " + std::strerror(failure)});
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw CompileError({.stage = "link", .what = "the linker " + arguments[0] + " failed", .detail = read_text(log)});
  }
}

/// Into place at once: whoever has the old file open keeps it whole.
void put_in_place(const std::string& from, const std::string& path) {
  const std::string neighbour = path + ".new" + std::to_string(getpid());
  std::error_code error;
  std::filesystem::copy_file(from, neighbour, std::filesystem::copy_options::overwrite_existing, error);
  if (!error) std::filesystem::rename(neighbour, path, error);
  if (error) {
    std::error_code ignored;
    std::filesystem::remove(neighbour, ignored);
    throw CompileError({.stage = "link", .what = "cannot write " + path + ": " + error.message()});
  }
}

/// Links the objects of `code` and one more.
void link_objects(const std::string& path, const ObjectCode& code, std::span<const uint8_t> more,
                  const std::vector<std::string>& mode) {
  const TemporaryDirectory directory;
  const std::string linked = directory.path + "/linked";
  std::vector<std::string> arguments = {find_linker(code.target)};
  arguments.insert(arguments.end(), mode.begin(), mode.end());
  arguments.insert(arguments.end(), {"-o", linked});
  size_t number = 0;
  const auto add = [&](std::span<const uint8_t> object) {
    arguments.push_back(directory.path + "/" + std::to_string(number++) + ".o");
    write_file(arguments.back(), object);
  };
  for (const std::vector<uint8_t>& object : code.objects) add(object);
  add(more);
  run_linker(arguments, directory.path + "/log");
  put_in_place(linked, path);
}

std::string library_getter(const std::string& prefix) { return prefix + "kernel_library_get"; }

}  // namespace

void write_shared_object(const std::string& path, const ObjectCode& code, std::span<const uint8_t> file, uint64_t program_hash) {
  link_objects(path, code, library_object(code, file, program_hash, MORU_KERNEL_LIBRARY_SYMBOL),
               {"-shared", "--build-id=none", "--hash-style=gnu", "-z", "relro", "-z", "now", "-z", "noexecstack", "-z", "defs"});
}

void write_static_object(const std::string& path, const ObjectCode& code, std::span<const uint8_t> file, uint64_t program_hash) {
  link_objects(path, code, library_object(code, file, program_hash, library_getter(code.prefix)), {"-r"});
}

void write_static_library(const std::string& path, const ObjectCode& code, std::span<const uint8_t> functions) {
  std::vector<llvm::NewArchiveMember> members;
  const auto add = [&](std::span<const uint8_t> object, const std::string& name) {
    const llvm::StringRef bytes(reinterpret_cast<const char*>(object.data()), object.size());
    members.emplace_back(llvm::MemoryBufferRef(bytes, name));
  };
  std::vector<std::string> names = {code.prefix + "functions.o"};
  for (size_t i = 0; i < code.objects.size(); ++i) names.push_back(code.prefix + "kernels" + std::to_string(i) + ".o");
  add(functions, names[0]);
  for (size_t i = 0; i < code.objects.size(); ++i) add(code.objects[i], names[i + 1]);
  auto archive = llvm::writeArchiveToBuffer(members, llvm::SymtabWritingMode::NormalSymtab, llvm::object::Archive::K_GNU,
                                            /*Deterministic=*/true, /*Thin=*/false);
  if (!archive) throw InternalError("cannot make an archive: " + llvm::toString(archive.takeError()));
  const TemporaryDirectory directory;
  const std::string file = directory.path + "/archive";
  write_file(file, {reinterpret_cast<const uint8_t*>((*archive)->getBufferStart()), (*archive)->getBufferSize()});
  put_in_place(file, path);
}

void write_wasm_module(const std::string& path, const ObjectCode& code, std::span<const uint8_t> functions,
                       const std::vector<std::string>& exported) {
  std::vector<std::string> mode = {"--no-entry", "--strip-all", "-z", "stack-size=131072", "--export=__heap_base"};
  for (const std::string& name : exported) mode.push_back("--export=" + name);
  link_objects(path, code, functions, mode);
}

std::string c_header(const std::string& prefix, const std::vector<std::string>& entries, const std::string& what) {
  const std::string getter = library_getter(prefix);
  std::string guard;
  for (char c : getter + "_H") guard += (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  // Text from outside must not end the comment.
  std::string title;
  for (char c : what) title += (c == '\n' || c == '\r' || c == '/') ? ' ' : c;
  std::string header = "/* " + title + "\n *\n * Entries:";
  for (const std::string& entry : entries) {
    header += ' ';
    for (char c : entry) header += c == '/' || c == '\n' ? ' ' : c;
  }
  header += "\n *\n * Statically linked:  moru_program_from_library(" + getter + "(), &program);\n"
            " * As a shared object:  moru_program_open(\"./model.so\", &program);\n"
            " * Both are declared in moru/moru.h. */\n";
  header += "#ifndef " + guard + "\n#define " + guard + "\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
  header += "struct moru_kernel_library;\n";
  header += "const struct moru_kernel_library* " + getter + "(void);\n\n";
  header += "#ifdef __cplusplus\n}\n#endif\n#endif\n";
  return header;
}

}  // namespace moru
