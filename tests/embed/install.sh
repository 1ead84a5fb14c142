#!/bin/sh
# Installs a build, builds the examples against it alone, and runs them: install.sh BUILD_DIR SOURCE_DIR.
set -eu
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
XDG_CACHE_HOME=$work/cache; export XDG_CACHE_HOME
fail() { echo "FAILED: $*" >&2; exit 1; }
if grep -q 'MORU_SANITIZE:STRING=.' "$build/CMakeCache.txt"; then
  echo "skipped: an installed library with sanitizers would need them in every program"; exit 77
fi

cmake --install "$build" --prefix "$work/prefix" > "$work/log" || fail "cmake --install: $(tail -5 "$work/log")"
moru=$work/prefix/bin/moru
"$moru" compile "$source/tools/recipes/bike_lstm.json" -o "$work/lstm.so"
"$moru" compile "$source/tools/recipes/bike_lstm.json" -o "$work/lstm.o" --target x86-64-v2 --entry predict

# The C API and nothing else is visible in the shared library.
library=$(find "$work/prefix" -name libmoru.so.0)
nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | sort > "$work/visible"
grep -oE '^MORU_API [^(]*[ *]moru_[a-z_]+\(' "$source/runtime/include/moru/moru.h" | grep -oE 'moru_[a-z_]+\($' | tr -d '(' | sort > "$work/declared"
cmp -s "$work/visible" "$work/declared" || fail "visible and declared functions differ: $(diff "$work/visible" "$work/declared")"

cmake -S "$source/tools/examples/embed" -B "$work/examples" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DMORU_MODEL_OBJECT="$work/lstm.o" > "$work/log" 2>&1 || fail "configuring the examples: $(tail -20 "$work/log")"
cmake --build "$work/examples" > "$work/log" 2>&1 || fail "building the examples: $(tail -20 "$work/log")"

falls() { awk '/^step/ { if (first == "") first = $4; last = $4 } END { exit !(last < 0.5 * first) }'; }
"$work/examples/keep_learning" "$work/lstm.so" "$work/checkpoint" > "$work/first" || fail "keep_learning"
grep -q '^starts anew' "$work/first" || fail "keep_learning found a checkpoint that was not there"
falls < "$work/first" || fail "keep_learning does not learn: $(cat "$work/first")"
"$work/examples/keep_learning" "$work/lstm.so" "$work/checkpoint" > "$work/second" || fail "keep_learning, again"
if grep -q '^starts anew' "$work/second"; then fail "keep_learning did not go on: $(cat "$work/second")"; fi
awk 'FNR == NR { if (/^step 100/) last = $4; next } /^step   0/ { exit !($4 < 2 * last) }' "$work/first" "$work/second" ||
  fail "keep_learning began anew: $(cat "$work/first" "$work/second")"
if "$work/examples/keep_learning" "$work/none.so" "$work/checkpoint" 2> "$work/error"; then fail "opened a file that is not there"; fi
grep -q "none.so" "$work/error" || fail "keep_learning said '$(cat "$work/error")'"

"$work/examples/train_in_process" | awk '$1 == "loss" && $2 > 0 && $2 < 0.05 { ok = 1 } END { exit !ok }' || fail "train_in_process"
! ldd "$work/examples/linked_in" > /dev/null 2>&1 || fail "linked_in is not static"
"$work/examples/linked_in" | grep -qE '^-?[0-9.e+-]+$' || fail "linked_in"

PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name moru.pc)"); export PKG_CONFIG_PATH
# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Wpedantic -Werror "$source/tools/examples/embed/keep_learning.c" $(pkg-config --cflags --libs moru) -o "$work/by_pkg_config" ||
  fail "building with pkg-config"
LD_LIBRARY_PATH=$(dirname "$library") "$work/by_pkg_config" "$work/lstm.so" "$work/checkpoint" > /dev/null || fail "the program built with pkg-config"
lines=$(wc -l < "$source/tools/examples/embed/keep_learning.c")
[ "$lines" -le 60 ] || fail "keep_learning.c has $lines lines"

python=
for candidate in python3 /usr/bin/python3; do
  if [ -z "$python" ] && $candidate -c 'import numpy' 2> /dev/null; then python=$candidate; fi
done
if [ -n "$python" ]; then
  $python "$source/tools/examples/embed/keep_learning.py" "$work/lstm.so" "$library" > "$work/python" || fail "keep_learning.py"
  awk '$1 == "loss" && $4 < 0.5 * $2 { ok = 1 } END { exit !ok }' "$work/python" || fail "keep_learning.py: $(cat "$work/python")"
else
  echo "skipped: no numpy, so keep_learning.py did not run"
fi
if command -v cpack > /dev/null && command -v dpkg-shlibdeps > /dev/null && command -v file > /dev/null; then
  (cd "$work" && cpack -G DEB --config "$build/CPackConfig.cmake" > "$work/log" 2>&1) || fail "cpack: $(tail -5 "$work/log")"
  dpkg-deb -c "$work"/*.deb > "$work/files"
  for file in usr/bin/moru usr/bin/moru-run usr/include/moru/moru.h libmoru.so.0 moru-config.cmake; do
    grep -q "$file" "$work/files" || fail "the Debian package lacks $file"
  done
else
  echo "skipped: no cpack, dpkg-shlibdeps or file, so no package was made"
fi
sed -n '$p' "$work/second"
