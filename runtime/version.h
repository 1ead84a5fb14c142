// The version that files and the C API report.
#pragma once

namespace moru {

constexpr const char* moru_version_text = "0.1.0";

}  // namespace moru
