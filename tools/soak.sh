#!/usr/bin/env bash
# Lets the tests that draw by lot go on for as long as they are given.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/soak.sh [--minutes N] [--preset PRESET] [SUITE...]

Installs missing packages, builds PRESET (default: dev) and runs the long forms of the suites crash and chaos, or of
those named, one after the other, for about N minutes together (default: 60). A suite that fails does not keep
the next from running; then the exit code is 1. What fails prints how to see it again.
END
}

minutes=60
preset=dev
suites=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
    --preset) preset=${2:?--preset needs a name}; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    crash | chaos) suites+=("$1"); shift ;;
    *) usage >&2; exit 2 ;;
  esac
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || { echo "soak: --minutes is \"$minutes\": write a whole number from 1 on" >&2; exit 2; }
[[ ${#suites[@]} -gt 0 ]] || suites=(crash chaos)

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/build.sh "$preset" "${suites[@]/%/_tests}"

share=$((minutes / ${#suites[@]}))
failed=()
for suite in "${suites[@]}"; do
  echo "soak: $suite"
  MUPROC_SOAK_MINUTES=$((share > 0 ? share : 1)) "build/$preset/bin/${suite}_tests" || failed+=("$suite")
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "soak: failed: ${failed[*]}" >&2
  exit 1
fi
echo "soak: nothing was found in $minutes minutes"
