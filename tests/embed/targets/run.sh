#!/bin/sh
# Compiles a recipe for one machine, trains it there for 20 steps and predicts, and expects the bits of the runtime on this
# one: run.sh TARGET MORU TRAIN_RUNTIME SOURCE_DIR. TARGET is one of `moru compile --list-targets`, or x86-64 for all levels
# that this processor has.
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
build() { # LEVEL COMPILER
  mkdir -p "$work/$1"
  "$moru" compile "$recipe" --standalone --prefix m_ --batch 8 -o "$work/$1/m.a" --target "$1"
  # Warnings of the header count, those of older C and of C++ too.
  $2 -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -ffp-contract=off -static -I"$work/$1" "$here/train_library.c" "$work/$1/m.a" \
    -o "$work/$1/train" || fail "$1: the library cannot be linked"
}

case $target in
  aarch64|riscv64) needs "qemu-$target-static" qemu-user-static; needs "$target-linux-gnu-gcc" "gcc-$target-linux-gnu";;
  wasm32-simd) needs node nodejs; needs wasm-ld-19 lld-19;;
  x86-64) [ "$(uname -m)" = x86_64 ] || { echo "SKIPPED: this machine is none of them"; exit 77; };;
  *) fail "there is no target $target";;
esac

"$moru" compile "$recipe" -o "$work/here.so"
"$train_runtime" "$work/here.so" > "$work/expected" || fail "training on this machine"
[ "$(wc -l < "$work/expected")" = 28 ] || fail "this machine gave $(cat "$work/expected")"

case $target in
  aarch64|riscv64)
    build "$target" "$target-linux-gnu-gcc"
    "qemu-$target-static" "$work/$target/train" > "$work/$target.txt" || fail "$target: train_library returned $?"
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
esac
