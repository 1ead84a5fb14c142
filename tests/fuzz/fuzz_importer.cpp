// A libFuzzer target for one importer, MORU_FUZZ_IMPORTER: see tests/README.md for how to build and run it.
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/importers.h"

namespace {

const moru::test::Importer& importer() {
  static const moru::test::Importer& found = moru::test::get_importer(MORU_FUZZ_IMPORTER);
  return found;
}

}  // namespace

// Folders named on the command line that are empty receive the importer's own seeds, to begin from.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    const std::filesystem::path folder = (*argv)[i];
    if (!std::filesystem::is_directory(folder) || !std::filesystem::is_empty(folder)) continue;
    int count = 0;
    for (const moru::test::Bytes& seed : importer().seeds()) {
      std::ofstream file(folder / ("seed" + std::to_string(count++)), std::ios::binary);
      file.write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
    }
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  importer().read({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
