#!/usr/bin/env bash
# Tries put_between_markers.sh on pages with and without markers.
set -euo pipefail

put=$(dirname "${BASH_SOURCE[0]}")/put_between_markers.sh
page=$(mktemp)
trap 'rm -f "$page"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }

whole=$'before\n<!-- t: begin -->\nold\n<!-- t: end -->\nafter'
printf '%s\n' "$whole" >"$page"
printf '| a | \\n & %%s |\nsecond' | "$put" t "$page"
expected=$'before\n<!-- t: begin -->\n\n| a | \\n & %s |\nsecond\n\n<!-- t: end -->\nafter'
[[ $(cat "$page") == "$expected" ]] || fail "the text is not where it should be: $(cat "$page")"
printf '| a | \\n & %%s |\nsecond' | "$put" t "$page"
[[ $(cat "$page") == "$expected" ]] || fail "doing it again changes something"

refuses() {  # TEXT PAGE WHY
  printf '%s\n' "$2" >"$page"
  if printf '%s' "$1" | "$put" t "$page" 2>/dev/null; then fail "accepted: $3"; fi
  [[ $(cat "$page") == "$2" ]] || fail "changed a page that it refused: $3"
}
refuses new $'before\nafter' "no markers"
refuses new $'<!-- t: begin -->\nold' "no end"
refuses new $'<!-- t: end -->\n<!-- t: begin -->' "the wrong order"
refuses new "$whole"$'\n'"$whole" "markers twice"
refuses new $'<!-- u: begin -->\nold\n<!-- u: end -->' "another's markers"
refuses '' "$whole" "no text"
echo "all as it should be"
