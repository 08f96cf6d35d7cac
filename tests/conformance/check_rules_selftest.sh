#!/usr/bin/env bash
# Does check_rules.sh see what it should, and check_page.sh?
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

expect() {  # expect TEXT COMMAND…: fails, having printed that
  local expected=$1 reported
  shift
  if reported=$("$@"); then
    echo "selftest: $* passed what is wrong" >&2
    exit 1
  fi
  if [[ $reported != "$expected" ]]; then
    diff <(echo "$expected") <(echo "$reported") >&2
    exit 1
  fi
}

cat >"$folder/some_test.cpp" <<'END'
TEST_CASE("what is `so` is so", "[a]") {}
TEST_CASE("a title with \"quotes\"",
          "[a]") {}
END
cat >"$folder/page.md" <<'END'
- A rule that is held,
  on two lines.
  - *what is `so` is so*
  - *a title with "quotes"*
- A rule that is not.
- One whose test has another title.
  - *what is so*

| name | means |
|---|---|
| `one`, `two/2` | something |
| `three` | |
END
expect "$folder/page.md:5: no test is named that holds this rule
$folder/page.md:7: no test has this title: what is so" "$here/check_rules.sh" "$folder/page.md" "$folder"

printf '%s\n' '# names' one two/2 three four >"$folder/list"
expect "$folder/page.md: nothing is said of three
$folder/page.md: nothing is said of four" "$here/check_page.sh" "$folder/list" "$folder/page.md"

sed -i '5,7d' "$folder/page.md"
printf '%s\n' one two/2 >"$folder/list"
"$here/check_rules.sh" "$folder/page.md" "$folder"
"$here/check_page.sh" "$folder/list" "$folder/page.md"
echo "selftest: all is seen"
