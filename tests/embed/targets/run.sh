#!/bin/sh
# Compiles a recipe for one machine, trains it there for 20 steps and predicts, and expects the bits of the runtime on this
# one: run.sh TARGET MORU TRAIN_RUNTIME SOURCE_DIR. TARGET is one of `moru compile --list-targets`, x86-64 for all levels
# that this processor has, or x86-64-levels for one file with all of them.
set -eu
target=$1 moru=$2 train_runtime=$3 source=$4
here=$source/tests/embed/targets recipe=$source/tools/recipes/bike_lstm.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
XDG_CACHE_HOME=$work/cache; export XDG_CACHE_HOME
fail() { echo "FAILED: $*" >&2; exit 1; }
needs() { # PROGRAM PACKAGE
  if ! command -v "$1" > /dev/null; then
    echo "SKIPPED: $target was not tested: $1 is not installed (apt-get install $2, or tools/test --all)"
    exit 77
  fi
}
same() { # WHAT
  cmp -s "$work/expected" "$work/$1.txt" || fail "$1 gives other numbers than this machine:
$(diff "$work/expected" "$work/$1.txt" | head -5)"
  echo "$1: the same $(wc -l < "$work/expected") numbers"
}
# Of a target: the family, and how its emulator is called.
family=${target%-sve*}
emulate="qemu-$family-static"
[ "$target" != aarch64-sve256 ] || emulate="$emulate -cpu max,sve256=on"
build() { # LEVEL COMPILER
  mkdir -p "$work/$1"
  "$moru" compile "$recipe" --standalone --prefix m_ --batch 8 -o "$work/$1/m.a" --target "$1"
  # Warnings of the header count, those of older C and of C++ too.
  $2 -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -ffp-contract=off -static -I"$work/$1" "$here/train_library.c" "$work/$1/m.a" \
    -o "$work/$1/train" || fail "$1: the library cannot be linked"
}
takes() { # LEVEL EMULATOR...: the best level that the processor has runs
  level=$1; shift
  "$@" "$moru_run" "$work/levels.so" info | grep -q "^target  *x86-64-v2+x86-64-v3+x86-64-v4, here $level\$" ||
    fail "${*:-this machine} does not take $level: $("$@" "$moru_run" "$work/levels.so" info)"
  "$@" "$train_runtime" "$work/levels.so" > "$work/levels-$level.txt" || fail "levels.so on ${*:-this machine}"
  same "levels-$level"
}

case $target in
  aarch64*|riscv64) needs "qemu-$family-static" qemu-user-static; needs "$family-linux-gnu-gcc" "gcc-$family-linux-gnu";;
  wasm32-simd) needs node nodejs; needs wasm-ld-19 lld-19;;
  x86-64*) [ "$(uname -m)" = x86_64 ] || { echo "SKIPPED: this machine is none of them"; exit 77; };;
  *) fail "there is no target $target";;
esac
[ "$target" != x86-64-levels ] || needs qemu-x86_64-static qemu-user-static

"$moru" compile "$recipe" -o "$work/here.so"
"$train_runtime" "$work/here.so" > "$work/expected" || fail "training on this machine"
[ "$(wc -l < "$work/expected")" = 28 ] || fail "this machine gave $(cat "$work/expected")"

case $target in
  aarch64*|riscv64)
    build "$target" "$family-linux-gnu-gcc"
    $emulate "$work/$target/train" > "$work/$target.txt" || fail "$target: train_library returned $?"
    same "$target";;
  wasm32-simd)
    "$moru" compile "$recipe" -o "$work/m.wasm"
    node "$here/train.mjs" "$work/m.mjs" "$work/m.wasm" > "$work/wasm32-simd.txt" || fail "wasm32-simd: train.mjs"
    same wasm32-simd;;
  x86-64)
    for level in $("$moru" compile --list-targets | sed -n '/this machine/,$ s/^\(x86-64-v[0-9]\).*/\1/p'); do
      build "$level" cc
      "$work/$level/train" > "$work/$level.txt" || fail "$level: train_library returned $?"
      same "$level"
    done
    [ -f "$work/x86-64-v2.txt" ] || fail "no level was tested"
    ! nm "$work/x86-64-v2/m.a" | awk '$1 == "U" { print $2 }' | grep -v '^m_' || fail "the library needs symbols of others"
    echo '#include "m.h"' | c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$work/x86-64-v2" -x c++ - || fail "m.h in C++";;
  x86-64-levels)
    moru_run=$(dirname "$moru")/moru-run
    "$moru" compile "$recipe" -o "$work/levels.so" --target x86-64-v2+x86-64-v3+x86-64-v4
    takes "$("$moru" compile --list-targets | awk '/this machine/ { print $1 }')"
    takes x86-64-v2 qemu-x86_64-static -cpu Nehalem
    takes x86-64-v3 qemu-x86_64-static -cpu Haswell
    # On a processor that has none of them nothing runs.
    "$moru" compile "$recipe" -o "$work/newer.so" --target x86-64-v3+x86-64-v4
    ! qemu-x86_64-static -cpu Nehalem "$train_runtime" "$work/newer.so" > "$work/refused" 2>&1 || fail "code for x86-64-v3 ran on x86-64-v2"
    grep -q "compiled for x86-64-v3+x86-64-v4, which this processor cannot run" "$work/refused" || fail "$(cat "$work/refused")";;
esac
