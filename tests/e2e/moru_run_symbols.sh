#!/bin/sh
# moru-run contains the runtime and nothing else: moru_run_symbols.sh MORU_RUN MORU MOST_BYTES COMPILER_LIBRARY...
#
# Its stripped size is at most MOST_BYTES (0: any), it needs no libraries but those of C and C++, and none of its symbols
# is LLVM's, Eigen's or defined by a COMPILER_LIBRARY. MORU, which has the compiler in it, must fail the same check: that
# shows that the check finds what it looks for.
set -eu
moru_run=$1 moru=$2 most_bytes=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
refuse() { echo "FAILED: $1" >&2; status=1; }

# Inline functions (weak symbols) that both sides use come from shared headers; strong ones belong to one library.
nm --defined-only "$@" | awk '$2 ~ /^[TDBR]$/ {print $3}' | sort -u > "$work/compiler"
foreign() {
  nm "$1" | awk '{print $NF}' | sort -u > "$work/all"
  grep -E 'llvm|LLVM|Eigen' "$work/all" || true
  nm --defined-only "$1" | awk '{print $NF}' | sort -u | comm -12 - "$work/compiler"
}
[ "$(wc -l < "$work/compiler")" -gt 100 ] || refuse "only $(wc -l < "$work/compiler") symbols in $*: is this the compiler?"
[ "$(foreign "$moru" | wc -l)" -gt 100 ] || refuse "found no compiler in $moru: this check finds nothing"
found=$(foreign "$moru_run")
[ -z "$found" ] || refuse "moru-run has symbols of the compiler, LLVM or Eigen: $(echo "$found" | head -n 20 | c++filt)"

needed=$(readelf -d "$moru_run" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc|libm|libdl|libpthread|libstdc\+\+|libgcc_s)\.so|^ld-linux|^lib.san\.so' || true)
[ -z "$needed" ] || refuse "moru-run needs $needed"

strip -o "$work/stripped" "$moru_run"
bytes=$(wc -c < "$work/stripped")
[ "$most_bytes" = 0 ] || [ "$bytes" -le "$most_bytes" ] || refuse "moru-run is $bytes bytes when stripped, more than $most_bytes"
[ "$status" = 0 ] && echo "moru-run: $bytes bytes stripped, no symbol of LLVM, Eigen or the compiler"
exit $status
