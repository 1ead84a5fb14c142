// Checkpoints that are damaged, or of another model or recipe.
#include "tests/errors/wrong.h"

namespace moru::test {

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

}  // namespace moru::test
