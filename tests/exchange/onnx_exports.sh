#!/bin/sh
# Writes recorded Keras cases and the workloads as ONNX and runs them: onnx_exports.sh PROGRAM SOURCE_DIR. ONNX Runtime takes
# part where MORU_ORT names a folder in which `npm install --ignore-scripts onnxruntime-node` was run.
set -eu
shared=${MORU_SHARED:-$2/../shared}/oracles
folders=
for folder in keras/predict keras_wild; do
  if [ -d "$shared/$folder" ]; then folders="$folders $shared/$folder"; else echo "skipped: no recorded cases at $shared/$folder"; fi
done
ort="--opset 17"  # without ONNX Runtime, one is enough
if [ -z "${MORU_ORT:-}" ] || [ ! -d "$MORU_ORT/node_modules/onnxruntime-node" ]; then
  echo "SKIPPED: ONNX Runtime; set MORU_ORT to a folder with node_modules/onnxruntime-node to run the files there too"
elif ! command -v node > /dev/null || [ ! -f "$shared/ort_run.js" ]; then
  echo "SKIPPED: ONNX Runtime; it needs node and $shared/ort_run.js"
else
  export NODE_PATH="$MORU_ORT/node_modules"
  ort="--ort $shared/ort_run.js"
fi
# shellcheck disable=SC2086
exec "$1" $ort $folders
