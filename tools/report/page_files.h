// The files that pages are made of, as the build embedded them.
#pragma once

#include <string_view>

namespace moru {

std::string_view report_css();
std::string_view report_js();
std::string_view drawing_js();
std::string_view dygraphs_css();
std::string_view dygraphs_js();
std::string_view d3_js();

}  // namespace moru
