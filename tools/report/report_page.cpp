#include "tools/report/report_page.h"

#include "tools/report/graphviz.h"
#include "tools/report/html_text.h"
#include "tools/report/page_files.h"

namespace moru {
namespace {

/// Text that ends neither a script element nor a comment in it.
std::string inside_script(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '<' && i + 1 < text.size() && (text[i + 1] == '/' || text[i + 1] == '!')) {
      out += "\\u003c";
    } else {
      out += text[i];
    }
  }
  return out;
}

/// Library code stays as it is, but for what would end the element that it stands in: in JavaScript "<\/" is "</".
std::string library(std::string_view code) {
  std::string out(code);
  for (size_t at = out.find("</script"); at != std::string::npos; at = out.find("</script", at + 2))
    out.insert(at + 1, "\\");
  // A map of the code is a file that the page does not have.
  if (const size_t map = out.rfind("//# sourceMappingURL"); map != std::string::npos) out.resize(map);
  return out;
}

std::string page(const std::string& title, const std::string& styles, const std::string& body) {
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n"
         // An icon of no bytes: else a browser asks the server for one.
         "<link rel=\"icon\" href=\"data:,\">\n<title>" +
         html_text(title) + "</title>\n<style>\n" + styles + "\n</style>\n</head>\n<body>\n" + body +
         "\n</body>\n</html>\n";
}

std::string script(const std::string& code) { return "<script>\n" + code + "\n</script>\n"; }

}  // namespace

std::string report_page(const nlohmann::ordered_json& data) {
  const std::string json = data.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::string styles(dygraphs_css());
  if (const size_t map = styles.rfind("/*# sourceMappingURL"); map != std::string::npos) styles.resize(map);
  styles += std::string(report_css()) + graph_css(false);
  const std::string body =
      "<main id=\"report\"><noscript>This report is drawn by JavaScript.</noscript></main>\n"
      "<script type=\"application/json\" id=\"data\">" +
      inside_script(json) + "</script>\n" + script(library(dygraphs_js())) + script(library(d3_js())) +
      script(library(report_js()));
  return page(data.value("title", "report"), styles, body);
}

std::string drawing_page(const std::string& title, const std::string& caption, const std::string& svg) {
  const std::string body = "<main class=\"drawing\">\n<header><h1>" + html_text(title) + "</h1><p>" +
                           html_text(caption) + "</p></header>\n<div class=\"graph\" id=\"drawing\">" + svg +
                           "</div>\n</main>\n" + script(library(drawing_js()));
  return page(title, std::string(report_css()) + graph_css(false), body);
}

}  // namespace moru
