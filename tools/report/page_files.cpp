#include "tools/report/page_files.h"

// The assembler takes files in as they are; paths come from the build (CMakeLists.txt).
#define MORU_EMBED(function, name, path)                                                                     \
  __asm__(".section .rodata\n" #name "_begin:\n.incbin \"" path "\"\n" #name "_end:\n.byte 0\n.previous\n"); \
  extern "C" const char name##_begin[], name##_end[];                                                        \
  namespace moru {                                                                                           \
  std::string_view function() { return {name##_begin, static_cast<size_t>(name##_end - name##_begin)}; }     \
  }

MORU_EMBED(report_css, moru_report_css, MORU_REPORT_DIRECTORY "/report.css")
MORU_EMBED(report_js, moru_report_js, MORU_REPORT_DIRECTORY "/report.js")
MORU_EMBED(drawing_js, moru_drawing_js, MORU_REPORT_DIRECTORY "/drawing.js")
MORU_EMBED(dygraphs_css, moru_dygraphs_css, MORU_DYGRAPHS_CSS)
MORU_EMBED(dygraphs_js, moru_dygraphs_js, MORU_DYGRAPHS_JS)
MORU_EMBED(d3_js, moru_d3_js, MORU_D3_JS)
