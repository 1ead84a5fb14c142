// Names of layers, inputs, columns, sizes and entries that there are not.
#include "tests/errors/wrong.h"

namespace moru::test {

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

}  // namespace moru::test
