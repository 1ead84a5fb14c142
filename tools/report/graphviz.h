// Graphs as pictures: text in Graphviz' language, and its program `dot` that lays them out.
#pragma once

#include <string>
#include <vector>

#include "runtime/status.h"

namespace moru {

/// One box of a drawing: a title, lines below it, and a class for a style sheet.
struct DotNode {
  std::string id, title;
  std::vector<std::string> lines;
  std::string style;  // "input", "layer", "output", ...
};
struct DotEdge {
  std::string from, to, label;
};
/// Boxes drawn inside a frame with a name; frames may stand in frames.
struct DotGraph {
  std::string name;
  std::vector<DotNode> nodes;
  std::vector<DotEdge> edges;
  std::vector<DotGraph> frames;
};

std::string dot_text(const DotGraph& graph);

/// The drawing as an <svg> element without fixed colours, so that a style sheet decides (graph_css). Error: `dot` is
/// not installed, or refuses the text.
Result<std::string> draw_svg(const std::string& dot);

/// What draw_svg's element needs from a style sheet, given the page's colours; `standalone` for a file of its own,
/// which then has light and dark colours of its own.
std::string graph_css(bool standalone);

}  // namespace moru
