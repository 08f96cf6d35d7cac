#!/usr/bin/env bash
# Has each case of a list its test, and each test its case?
#
# Reads the names of a list (one a line; # begins a comment) and the tags of all TEST_CASEs below a folder. Prints each
# name for which no test is tagged [otp][name], and each test that is tagged [otp] and names no case of the list. Exits
# 1 if there was one.
#
# Usage: check_cases.sh [LIST [FOLDER]]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
list=${1:-$here/otp_cases.txt}
folder=${2:-$here/..}

mapfile -t sources < <(find "$folder" -name '*_test.cpp' | sort)
if [[ ${#sources[@]} -eq 0 ]]; then
  echo "check_cases: no tests below $folder" >&2
  exit 2
fi

awk '
  FNR == 1 { is_list = (FILENAME == ARGV[1]) }
  is_list {
    sub(/#.*/, "")
    if (NF == 0) next
    names[++count] = $1
    known[$1] = 1
    next
  }
  # A TEST_CASE from its first line to the brace that opens its body.
  /^TEST_CASE/ { text = ""; line = FNR; open = 1 }
  open {
    text = text $0
    if ($0 !~ /\{ *$/ && $0 !~ /\{.*\}[ ]*$/) next
    open = 0
    if (text !~ /\[otp\]/) next
    found = 0
    while (match(text, /\[[a-z0-9_]+\]/)) {
      tag = substr(text, RSTART + 1, RLENGTH - 2)
      text = substr(text, RSTART + RLENGTH)
      if (tag in known) { found = 1; held[tag] = 1 }
    }
    if (!found) { printf "%s:%d: tagged [otp], but names no case of the list\n", FILENAME, line; bad = 1 }
  }
  END {
    for (i = 1; i <= count; ++i) {
      name = names[i]
      if (!(name in held)) { printf "%s: no test is tagged [otp][%s]\n", ARGV[1], name; bad = 1 }
    }
    exit bad
  }
' "$list" "${sources[@]}"
