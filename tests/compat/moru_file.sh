#!/bin/sh
# .moru files from other languages: moru_file.sh MORU FLATC SOURCE_DIR. Reads and writes one with Python and with flatc's
# JSON. Exits 77 (skipped) where Python lacks what it needs.
set -eu
moru=$1 flatc=$2 source=$3
python=python3
"$python" -c 'import numpy, flatbuffers' 2> /dev/null || python=/usr/bin/python3
if ! "$python" -c 'import numpy, flatbuffers' 2> /dev/null; then
  echo "SKIPPED: needs Python with numpy and flatbuffers (python3-numpy, python3-flatbuffers)"
  exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME="$dir/cache"
"$flatc" --python -o "$dir/generated" "$source/schema/model.fbs"
export PYTHONPATH="$dir/generated"
example="$source/tools/examples/moru_file.py"
fail() { echo "failed: $1" >&2; exit 1; }

model="$source/tests/compat/small.moru"
"$python" "$example" show "$model" > "$dir/shown"
cat "$dir/shown"
grep -q 'lstm = LSTM(window)' "$dir/shown" || fail "the graph"
grep -q 'lstm/recurrent_kernel .* \[4, 16\]' "$dir/shown" || fail "the weights"

# Weights: what Python reads is what moru reads, and what Python writes, moru takes.
"$python" "$example" weights "$model" "$dir/python.npz"
"$moru" convert "$model" "$dir/moru.npz"
"$python" - "$dir" <<'PY'
import sys, numpy as np
a, b = np.load(sys.argv[1] + "/python.npz"), np.load(sys.argv[1] + "/moru.npz")
assert sorted(a.files) == sorted(b.files) and a.files, (a.files, b.files)
assert all(a[k].tobytes() == b[k].tobytes() and a[k].shape == b[k].shape for k in a.files)
np.savez(sys.argv[1] + "/doubled.npz", **{k: 2 * a[k] for k in a.files})
PY
"$python" "$example" set-weights "$model" "$dir/doubled.npz" "$dir/doubled.moru"
"$moru" convert "$dir/doubled.moru" "$dir/back.npz"
"$python" - "$dir" <<'PY'
import sys, numpy as np
a, b = np.load(sys.argv[1] + "/doubled.npz"), np.load(sys.argv[1] + "/back.npz")
assert all((a[k] == b[k]).all() for k in a.files)
PY

# The graph through flatc's JSON and back.
"$python" "$example" section "$model" model "$dir/model.bin"
(cd "$dir" && "$flatc" --json --strict-json --raw-binary "$source/schema/model.fbs" -- model.bin)
grep -q '"class_name": "LSTM"' "$dir/model.json" || fail "flatc --json"
rm "$dir/model.bin"
(cd "$dir" && "$flatc" --binary "$source/schema/model.fbs" model.json)
"$python" "$example" set-section "$model" model "$dir/model.bin" "$dir/again.moru"
"$moru" summary "$model" --json > "$dir/before"
"$moru" summary "$dir/again.moru" --json > "$dir/after"
cmp "$dir/before" "$dir/after" || fail "the graph that went through JSON is another one"
"$moru" convert "$dir/again.moru" "$dir/again.npz"
cmp "$dir/again.npz" "$dir/moru.npz" || fail "the weights of the graph that went through JSON are others"
echo "passed"
