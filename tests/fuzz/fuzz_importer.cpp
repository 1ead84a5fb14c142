// A libFuzzer target for one importer, MORU_FUZZ_IMPORTER: see tests/README.md for how to build and run it.
#include "tests/fuzz/importers.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  static const moru::test::Importer& importer = moru::test::get_importer(MORU_FUZZ_IMPORTER);
  importer.read({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
