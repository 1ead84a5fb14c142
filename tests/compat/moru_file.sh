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

# check FILE LAYER PARAMETER: what Python, flatc and moru make of one file is the same.
check() {
  model=$1 layer=$2 parameter=$3
  "$python" "$example" show "$model" > "$dir/shown"
  cat "$dir/shown"
  grep -q "$layer" "$dir/shown" || fail "the graph of $model"
  grep -q "$parameter" "$dir/shown" || fail "the weights of $model"

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
  rm "$dir/model.bin"
  (cd "$dir" && "$flatc" --binary "$source/schema/model.fbs" model.json)
  "$python" "$example" set-section "$model" model "$dir/model.bin" "$dir/again.moru"
  "$moru" summary "$model" --json > "$dir/before"
  "$moru" summary "$dir/again.moru" --json > "$dir/after"
  cmp "$dir/before" "$dir/after" || fail "the graph of $model that went through JSON is another one"
  "$moru" convert "$dir/again.moru" "$dir/again.npz"
  cmp "$dir/again.npz" "$dir/moru.npz" || fail "the weights of the graph of $model that went through JSON are others"
}

# The file of the first version, and the same written by this one.
check "$source/tests/compat/small.moru" 'lstm = LSTM(window)' 'lstm/recurrent_kernel .* \[4, 16\]'
grep -q '"class_name": "LSTM"' "$dir/model.json" || fail "flatc --json"
"$moru" convert "$source/tests/compat/small.moru" "$dir/rewritten.moru"
check "$dir/rewritten.moru" 'lstm = LSTM(window)' 'lstm/recurrent_kernel .* \[4, 16\]'

# The training section: the size of a table, and at 64 the table.
"$python" "$example" section "$dir/rewritten.moru" training "$dir/section.bin"
"$python" -c '
import struct, sys
data = open(sys.argv[1], "rb").read()
open(sys.argv[2], "wb").write(data[64:64 + struct.unpack_from("<Q", data)[0]])' "$dir/section.bin" "$dir/training.bin"
(cd "$dir" && "$flatc" --json --strict-json --defaults-json --raw-binary "$source/schema/training.fbs" -- training.bin)
grep -q 'adam' "$dir/training.json" || fail "the training section"
mv "$dir/training.json" "$dir/first.json"
(cd "$dir" && cp first.json training.json && "$flatc" --binary "$source/schema/training.fbs" training.json && rm training.json)
table=$(ls "$dir"/training.* | grep -v fbs | tail -n 1)
[ "$table" = "$dir/training.bin" ] || mv "$table" "$dir/training.bin"
(cd "$dir" && "$flatc" --json --strict-json --defaults-json --raw-binary "$source/schema/training.fbs" -- training.bin)
cmp "$dir/training.json" "$dir/first.json" || fail "the training section that went through JSON is another one"

# A model whose layers have a policy of their own.
cat > "$dir/mixed.json" <<'JSON'
{"class_name": "Sequential", "keras_version": "3.5.0", "config": {"name": "mixed", "layers": [
  {"class_name": "InputLayer", "config": {"batch_shape": [null, 3], "name": "x"}},
  {"class_name": "Dense", "config": {"name": "hidden", "units": 4,
   "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}}}]}}
JSON
"$moru" convert "$dir/mixed.json" "$dir/mixed.moru"
for mixed in "$dir/mixed.moru" "$source/tests/compat/mixed.moru"; do
  check "$mixed" 'hidden = Dense(x)' 'hidden/kernel .* \[3, 4\]'
  grep -q '"dtype_policy": "mixed_bfloat16"' "$dir/model.json" || fail "the policy of $mixed"
done
echo "passed"
