// Places that cannot be read or written.
#include "tests/errors/wrong.h"

namespace moru::test {

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

}  // namespace moru::test
