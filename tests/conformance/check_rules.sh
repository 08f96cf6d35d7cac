#!/usr/bin/env bash
# Is each rule of docs/semantics.md held by a test? A rule is an item of a list; below it, indented, stand titles of tests
# in italics, as items of their own. Each rule must have one, and each title must be that of a TEST_CASE.
#
# Usage: check_rules.sh [PAGE [FOLDER]]. Prints what is missing, and exits 1 if something is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
page=${1:-$here/../../docs/semantics.md}
folder=${2:-$here/..}

mapfile -t sources < <(find "$folder" -name '*_test.cpp' | sort)
if [[ ${#sources[@]} -eq 0 ]]; then
  echo "check_rules: no tests below $folder" >&2
  exit 2
fi

awk '
  function end_of_rule() {
    if (rule && !held) { printf "%s:%d: no test is named that holds this rule\n", page, rule; bad = 1 }
    rule = 0
  }
  FILENAME != ARGV[ARGC - 1] {
    # A title may stand on a line of its own.
    if ((/^TEST_CASE\("/ || begun) && match($0, /"([^"\\]|\\.)*"/)) {
      title = substr($0, RSTART + 1, RLENGTH - 2)
      gsub(/\\"/, "\"", title)
      titles[title] = 1
    }
    begun = /^TEST_CASE\($/
    next
  }
  { page = FILENAME }
  /^- / { end_of_rule(); rule = FNR; held = 0; ++rules; next }
  /^  - \*.*\*$/ {
    title = substr($0, 6, length($0) - 6)
    held = 1
    if (!(title in titles)) { printf "%s:%d: no test has this title: %s\n", page, FNR, title; bad = 1 }
    next
  }
  /^(#|$)/ { end_of_rule() }
  END {
    end_of_rule()
    if (!rules) { print page ": no rules"; exit 2 }
    exit bad
  }
' "${sources[@]}" "$page"
