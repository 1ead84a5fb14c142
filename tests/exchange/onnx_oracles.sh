#!/bin/sh
# Runs recorded ONNX cases through `moru run` where they are: onnx_oracles.sh MORU SOURCE_DIR FOLDER LEAST, where at least
# LEAST of the folder's cases must pass. Exits 77 (skipped) where the cases or numpy are not there.
set -eu
shared=${MORU_SHARED:-$2/../shared}/oracles
if [ ! -d "$shared/$3" ]; then
  echo "skipped: no recorded ONNX cases at $shared/$3; set MORU_SHARED to the folder that holds oracles/$3"
  exit 77
fi
python=python3
"$python" -c 'import numpy' 2> /dev/null || python=/usr/bin/python3
if ! "$python" -c 'import numpy' 2> /dev/null; then
  echo "skipped: $shared/onnx_oracle.py needs Python with numpy"
  exit 77
fi
out=$("$python" "$shared/onnx_oracle.py" "$shared/$3" --jobs 2 --cmd "$1 run {model} {pairs} --output-dir {outdir}") || true
echo "$out"
passed=$(echo "$out" | sed -n 's/^passed \([0-9]*\) of .*/\1/p')
[ "${passed:-0}" -ge "$4" ] || { echo "only ${passed:-0} of the cases pass, where $4 did before" >&2; exit 1; }
