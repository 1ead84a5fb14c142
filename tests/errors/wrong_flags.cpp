// Flags and arguments that are wrong.
#include "tests/errors/wrong.h"

namespace moru::test {

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

}  // namespace moru::test
