#include "tools/report/graphviz.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "tools/report/html_text.h"

extern char** environ;

namespace moru {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

void append_graph(const DotGraph& graph, const std::string& indent, int& frames, std::string& out) {
  for (const DotNode& node : graph.nodes) {
    std::string label = "<<b>" + html_text(node.title) + "</b>";
    for (const std::string& line : node.lines)
      label += "<br/><font point-size=\"3\"> </font><br/><font point-size=\"10\">" + html_text(line) + "</font>";
    out += indent + quoted(node.id) + " [label=" + label + ">, class=" + quoted(node.style) + "]\n";
  }
  for (const DotGraph& frame : graph.frames) {
    out += indent + "subgraph cluster_" + std::to_string(frames++) + " {\n";
    out += indent + "  label=" + quoted(frame.name) + "; class=\"frame\"; style=rounded\n";
    append_graph(frame, indent + "  ", frames, out);
    out += indent + "}\n";
  }
  for (const DotEdge& edge : graph.edges) {
    out += indent + quoted(edge.from) + " -> " + quoted(edge.to);
    if (!edge.label.empty()) out += " [label=" + quoted("   " + edge.label) + "]";
    out += "\n";
  }
}

struct Pipe {
  int read = -1, write = -1;
  ~Pipe() { close_both(); }
  static void shut(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
  void close_both() {
    shut(read);
    shut(write);
  }
  bool open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    read = ends[0];
    write = ends[1];
    return true;
  }
};

/// Feeds `input` to the child and collects what it says, in whichever order its pipes ask for.
void exchange(Pipe& in, Pipe& out, Pipe& err, const std::string& input, std::string& said, std::string& complaint) {
  size_t written = 0;
  ::fcntl(in.write, F_SETFL, O_NONBLOCK);
  std::array<char, 1 << 16> buffer;
  while (out.read >= 0 || err.read >= 0) {
    std::array<pollfd, 3> waits = {{{in.write, POLLOUT, 0}, {out.read, POLLIN, 0}, {err.read, POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
    if (in.write >= 0 && waits[0].revents != 0) {
      const ssize_t n = ::write(in.write, input.data() + written, input.size() - written);
      if (n > 0) written += static_cast<size_t>(n);
      if ((n < 0 && errno != EAGAIN) || written == input.size()) Pipe::shut(in.write);
    }
    const auto collect = [&](int& end, short events, std::string& into) {
      if (end < 0 || events == 0) return;
      const ssize_t n = ::read(end, buffer.data(), buffer.size());
      if (n > 0) into.append(buffer.data(), static_cast<size_t>(n));
      if (n == 0 || (n < 0 && errno != EINTR)) Pipe::shut(end);
    };
    collect(out.read, waits[1].revents, said);
    collect(err.read, waits[2].revents, complaint);
  }
}

/// Graphviz puts the lines of a label where they begin in the font that it measured with. In another font, that of the page,
/// they are centred only if they say so: on the middle of the node's outline.
std::string centred_label(std::string_view node) {
  const size_t outline = node.find(" d=\"");
  if (outline == std::string_view::npos) return std::string(node);
  // "M1.5,2C3,4 5,6 7,8": letters and pairs.
  double low = std::numeric_limits<double>::infinity(), high = -low;
  const std::string path(node.substr(outline + 4, node.find('"', outline + 4) - outline - 4));
  for (const char* at = path.c_str(); *at != 0;) {
    char* end = nullptr;
    const double x = std::strtod(at, &end);
    if (end == at || *end != ',') {
      ++at;
      continue;
    }
    low = std::min(low, x);
    high = std::max(high, x);
    std::strtod(end + 1, &end);
    at = end;
  }
  const std::string begins = "text-anchor=\"start\" x=\"", centred = "text-anchor=\"middle\" x=\"" + std::to_string((low + high) / 2);
  std::string out;
  for (size_t at = 0; at < node.size();) {
    const size_t text = std::min(node.find(begins, at), node.size());
    out += node.substr(at, text - at);
    if (text == node.size()) break;
    out += centred;
    at = node.find('"', text + begins.size());
  }
  return out;
}

std::string centred_labels(std::string_view svg) {
  std::string out;
  for (size_t at = 0; at < svg.size();) {
    const size_t begin = svg.find("class=\"node", at), end = std::min(svg.find("</g>", std::min(begin, svg.size())), svg.size());
    out += svg.substr(at, std::min(begin, svg.size()) - at);
    if (begin >= svg.size()) break;
    out += centred_label(svg.substr(begin, end - begin));
    at = end;
  }
  return out;
}

}  // namespace

std::string dot_text(const DotGraph& graph) {
  std::string out = "digraph " + quoted(graph.name) + " {\n";
  out +=
      "  graph [fontname=\"Helvetica\", fontsize=11, nodesep=0.3, ranksep=0.35, margin=0.05, pad=0.1, labeljust=l]\n"
      "  node [shape=box, style=rounded, fontname=\"Helvetica\", fontsize=12, margin=\"0.16,0.08\"]\n"
      "  edge [fontname=\"Helvetica\", fontsize=10, arrowsize=0.7]\n";
  int frames = 0;
  append_graph(graph, "  ", frames, out);
  return out + "}\n";
}

Result<std::string> draw_svg(const std::string& dot) {
  const auto failed = [](const std::string& why) { return Status(StatusCode::io_error, why); };
  Pipe in, out, err;
  if (!in.open() || !out.open() || !err.open()) return failed("cannot start Graphviz: too many open files");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.read, 0);
  posix_spawn_file_actions_adddup2(&actions, out.write, 1);
  posix_spawn_file_actions_adddup2(&actions, err.write, 2);
  std::string program = "dot", format = "-Tsvg";
  std::array<char*, 3> arguments = {program.data(), format.data(), nullptr};
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, "dot", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return failed("Graphviz' program 'dot' is not installed, which lays graphs out\n  hint: apt-get install graphviz");
  Pipe::shut(in.read);
  Pipe::shut(out.write);
  Pipe::shut(err.write);
  // A `dot` that ends early closes its pipe: that is an error of write, not the end of this process.
  struct sigaction ignore {
  }, before{};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
  std::string svg, complaint;
  exchange(in, out, err, dot, svg, complaint);
  ::sigaction(SIGPIPE, &before, nullptr);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const size_t begin = svg.find("<svg");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || begin == std::string::npos)
    return failed("Graphviz could not draw the graph: " + (complaint.empty() ? "it said nothing" : complaint));
  return centred_labels(std::string_view(svg).substr(begin));
}

std::string graph_css(bool standalone) {
  std::string css;
  if (standalone)
    css =
        "svg{--ink:#1b1f24;--muted:#5f6b7a;--line:#8b96a5;--box:#f6f8fa;--accent:#0b63c5;--warm:#b8590a;--good:#1a7f4b;"
        "--page:#ffffff;background:var(--page)}"
        "@media (prefers-color-scheme:dark){svg{--ink:#e8ecf1;--muted:#9aa6b4;--line:#6d7988;--box:#1f262e;"
        "--accent:#6db1ff;--warm:#ffb066;--good:#5fd39a;--page:#12161b}}";
  return css +
         "svg .graph>polygon{fill:none;stroke:none}"
         "svg text{fill:var(--ink);font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}"
         "svg .node path,svg .node polygon{fill:var(--box);stroke:var(--line);stroke-width:1}"
         "svg .node.input path,svg .node.output path{stroke:var(--accent);stroke-width:1.6}"
         "svg .node.state path{stroke:var(--warm);stroke-width:1.4}"
         "svg .node.contract path{stroke:var(--good);stroke-width:1.6}"
         "svg .edge path{stroke:var(--line)}svg .edge polygon{fill:var(--line);stroke:var(--line)}"
         "svg .edge text{fill:var(--muted)}"
         "svg .cluster path,svg .cluster polygon{fill:none;stroke:var(--line);stroke-dasharray:4 3}"
         "svg .cluster text{fill:var(--muted)}";
}

}  // namespace moru
