#!/usr/bin/env bash
# Has a page a row for each name of a list? The name must stand, between backticks, in the first column of a table, and
# the row's other columns must say something.
#
# Usage: check_page.sh LIST PAGE. Prints each name that has none, and exits 1 if there was one.
set -euo pipefail

awk '
  FNR == 1 { is_list = (FILENAME == ARGV[1]) }
  is_list {
    sub(/#.*/, "")
    sub(/[ \t]+$/, "")
    if ($0 != "") names[++count] = $0
    next
  }
  /^\| *`/ {
    columns = split($0, column, /\|/)
    if (columns < 4 || column[3] ~ /^ *$/) next
    first = column[2]
    while (match(first, /`[^`]+`/)) {
      has[substr(first, RSTART + 1, RLENGTH - 2)] = 1
      first = substr(first, RSTART + RLENGTH)
    }
  }
  END {
    if (count == 0) { printf "%s: no names\n", ARGV[1]; exit 2 }
    for (i = 1; i <= count; ++i)
      if (!(names[i] in has)) { printf "%s: nothing is said of %s\n", ARGV[2], names[i]; bad = 1 }
    exit bad
  }
' "$1" "$2"
