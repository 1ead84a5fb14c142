#!/bin/sh
# Runs the recorded Keras cases where they are: keras_oracles.sh PROGRAM SOURCE_DIR. Exits 77 (skipped) where they are not.
set -eu
cases=${MORU_SHARED:-$2/../shared}/oracles/keras
if [ ! -d "$cases" ]; then
  echo "skipped: no recorded Keras cases at $cases; set MORU_SHARED to the folder that holds oracles/keras"
  exit 77
fi
wild=${cases}_wild
[ -d "$wild" ] || { echo "note: no Keras files from elsewhere at $wild"; wild=; }
exec "$1" "$cases" ${wild:+"$wild"}
