#!/usr/bin/env bash
# Does check_cases.sh see what it should?
set -euo pipefail

check=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/check_cases.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/list" <<'END'
# a comment
held
held_on_another_line   # and why
no_test
only_without_otp
END
cat >"$folder/some_test.cpp" <<'END'
TEST_CASE("one line", "[exit][otp][held]") {
}
TEST_CASE("a title that is longer than a line has room for, so that its tags are on the next",
          "[exit][otp][held_on_another_line]") {
  const char* text = "[otp][no_test]";  // no tag
}
TEST_CASE("names a case, but not as OTP's", "[only_without_otp]") {}
TEST_CASE("names no case", "[otp][unheard_of]") {}
END
expected="$folder/some_test.cpp:8: tagged [otp], but names no case of the list
$folder/list: no test is tagged [otp][no_test]
$folder/list: no test is tagged [otp][only_without_otp]"

if reported=$("$check" "$folder/list" "$folder"); then
  echo "selftest: what is wrong was passed" >&2
  exit 1
fi
if [[ $reported != "$expected" ]]; then
  diff <(echo "$expected") <(echo "$reported") >&2
  exit 1
fi
printf '%s\n' held held_on_another_line unheard_of >"$folder/list"
"$check" "$folder/list" "$folder"
echo "selftest: all is seen"
