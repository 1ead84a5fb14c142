// The version that files and the C API report.
#pragma once

#ifndef MORU_VERSION
#error "MORU_VERSION is defined by the build"
#endif

namespace moru {

constexpr const char* moru_version_text = MORU_VERSION;

}  // namespace moru
