#!/bin/sh
# Runs the programs printed in README.md as it says: readme_examples.sh MORU C_EXAMPLE CPP_EXAMPLE SOURCE_DIR.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
XDG_CACHE_HOME=$work/cache; export XDG_CACHE_HOME
"$1" compile "$4/tools/recipes/bike_lstm.model.json" -o "$work/bikes.so"
count=$("$2" "$work/bikes.so")
echo "$count" | grep -qE '^-?[0-9.e+-]+$' || { echo "FAILED: the C example said '$count'" >&2; exit 1; }
if "$2" "$work/none.so" 2> "$work/error"; then echo "FAILED: the C example opened a file that is not there" >&2; exit 1; fi
grep -q none.so "$work/error" || { echo "FAILED: the C example said '$(cat "$work/error")'" >&2; exit 1; }
loss=$("$3")
echo "$loss" | awk '$1 == "loss" && $2 > 0 && $2 < 0.01 { ok = 1 } END { exit !ok }' || {
  echo "FAILED: the C++ example said '$loss'; sin(x) should be learned to less than 0.01" >&2; exit 1; }
echo "C: $count, C++: $loss"
