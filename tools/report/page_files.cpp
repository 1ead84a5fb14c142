#include "tools/report/page_files.h"

#include "tools/embed_file.h"

MORU_EMBED(report_css, moru_report_css, MORU_REPORT_DIRECTORY "/report.css")
MORU_EMBED(report_js, moru_report_js, MORU_REPORT_DIRECTORY "/report.js")
MORU_EMBED(drawing_js, moru_drawing_js, MORU_REPORT_DIRECTORY "/drawing.js")
MORU_EMBED(dygraphs_css, moru_dygraphs_css, MORU_DYGRAPHS_CSS)
MORU_EMBED(dygraphs_js, moru_dygraphs_js, MORU_DYGRAPHS_JS)
MORU_EMBED(d3_js, moru_d3_js, MORU_D3_JS)
