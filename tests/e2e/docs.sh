#!/bin/sh
# Runs every command that docs/*.md shows, in order, as it stands there, and compares the pages that are made from something
# else with what they are made from: docs.sh MORU SOURCE_DIR.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$(dirname "$1"):$PATH MORU=$2 XDG_CACHE_HOME=$work/cache; export PATH MORU XDG_CACHE_HOME
for page in "$2"/docs/*.md; do
  mkdir "$work/$(basename "$page")"
  awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside { print }' "$page" > "$work/commands"
  lines=$(wc -l < "$work/commands")
  [ "$lines" -gt 0 ] || continue
  (cd "$work/$(basename "$page")" && sh -eux "$work/commands" > "$work/log" 2>&1) || {
    echo "FAILED: $page:" >&2; tail -30 "$work/log" >&2; exit 1; }
  echo "$(basename "$page"): $lines lines of commands ran"
done
# The references.
mkdir "$work/reference"
"$2/tools/make_reference" "$1" "$(dirname "$1")/moru-run" "$work/reference"
for page in "$work"/reference/*.md; do
  cmp -s "$page" "$2/docs/$(basename "$page")" || {
    echo "FAILED: docs/$(basename "$page") is not up to date: run tools/make_reference build/release/bin/moru build/release/bin/moru-run docs" >&2
    diff "$2/docs/$(basename "$page")" "$page" | head -20 >&2; exit 1; }
  echo "$(basename "$page") is what it is made from"
done
# Links to files of the source lead somewhere.
for page in "$2"/docs/*.md "$2"/README.md; do
  grep -oE '\]\([^)#:]+\)' "$page" | sed 's/^](//; s/)$//' | while read -r link; do
    [ -e "$(dirname "$page")/$link" ] || { echo "FAILED: $page links to $link, which is not there" >&2; exit 1; }
  done
done
