// A run of training on the small project, made once: most commands work on what it leaves.
#pragma once

#include <string>

#include "tests/tools/moru_process.h"

namespace moru::test {

struct Trained {
  SmallProject project;
  std::string run = project / "run";
  Outcome outcome = project.moru({"train", project / "recipe.json", "--run-dir", run, "--quiet"});
};
inline const Trained& trained() {
  static const Trained one;
  succeeds(one.outcome);
  return one;
}

}  // namespace moru::test
