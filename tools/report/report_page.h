// A report as one HTML file that needs nothing else: the page's own script and style, dygraphs and d3 as the build
// found them in their Debian packages, and the data.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace moru {

/// The page for what report_data() gives.
std::string report_page(const nlohmann::ordered_json& data);

/// A page with one drawing, which can be moved and enlarged: for graphs. `caption` stands above it.
std::string drawing_page(const std::string& title, const std::string& caption, const std::string& svg);

}  // namespace moru
