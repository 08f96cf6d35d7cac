#!/usr/bin/env bash
# Does check_layers.sh see what it should? The fixture marks each line that breaks a rule with "// broken"; exactly those
# must be reported.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
expected=$(cd fixtures && grep -rnE '// broken' . | sed -E 's|^\./||; s|^([^:]*:[0-9]*):.*|\1|' | sort)
if reported=$(./check_layers.sh fixtures 2>/dev/null); then
  echo "selftest: a tree that breaks every rule was passed" >&2
  exit 1
fi
reported=$(sed -E 's|^([^:]*:[0-9]*):.*|\1|' <<<"$reported" | sort)
if [[ $expected != "$reported" ]]; then
  echo "selftest: < should be reported, > was reported" >&2
  diff <(echo "$expected") <(echo "$reported") >&2
  exit 1
fi
echo "selftest: all $(wc -l <<<"$expected") broken includes were reported, and no other"
