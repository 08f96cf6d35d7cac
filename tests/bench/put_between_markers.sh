#!/usr/bin/env bash
# Replaces what stands in a page between two markers.
set -euo pipefail

usage() {
  cat <<'END'
Usage: put_between_markers.sh NAME FILE < TEXT

Puts TEXT between the lines `<!-- NAME: begin -->` and `<!-- NAME: end -->` of FILE, in the place of what is there. Without
both lines, once each and in that order, and without any text, it fails, and FILE stays as it is.
END
}

[[ $# -eq 2 ]] || { usage >&2; exit 2; }
text=$(cat)
[[ -n $text ]] || { echo "put_between_markers: there is no text" >&2; exit 1; }

new=$(mktemp)
trap 'rm -f "$new"' EXIT
TEXT=$text awk -v begin="<!-- $1: begin -->" -v end="<!-- $1: end -->" '
  $0 == begin { ++begins; print; print ""; print ENVIRON["TEXT"]; print ""; inside = 1; next }
  $0 == end { if (inside) ++ends; inside = 0 }
  !inside
  END { exit !(begins == 1 && ends == 1 && !inside) }' "$2" >"$new" ||
  { echo "put_between_markers: $2 does not have the markers of '$1', once each" >&2; exit 1; }
cat "$new" >"$2"
