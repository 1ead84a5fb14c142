// .npy files that are wrong, or do not fit the model.
#include "tests/errors/wrong.h"

namespace moru::test {

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

}  // namespace moru::test
