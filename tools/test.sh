#!/usr/bin/env bash
# Builds everything and runs the tests.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/test.sh [PRESET [CTEST-OPTION...]]

Installs missing packages, builds PRESET (default: dev) and runs its tests. For example:

  tools/test.sh                      everything
  tools/test.sh asan -L unit         one suite under AddressSanitizer
  tools/test.sh dev -R 'writer'      tests whose title matches
END
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  -*) usage >&2; exit 2 ;;
esac
preset=${1:-dev}
shift $(($# > 0 ? 1 : 0))

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# ThreadSanitizer of gcc 12 cannot place its shadow on kernels that randomise addresses much.
if [[ $preset == tsan && -z ${MUPROC_TEST_FIXED_ADDRESSES:-} ]] && setarch -R true 2>/dev/null; then
  MUPROC_TEST_FIXED_ADDRESSES=1 exec setarch -R tools/test.sh "$preset" "$@"
fi

# Of suites that are named, only what they need is built.
targets=()
if [[ ${1:-} == -L && ${2:-} =~ ^[a-z]+(\|[a-z]+)*$ ]]; then
  for suite in ${2//|/ }; do
    case $suite in
      unit | conformance | scenario | crash | chaos) targets+=("${suite}_tests") ;;
      *) targets=(); break ;;
    esac
  done
fi

tools/build.sh "$preset" "${targets[@]}"
ctest --preset "$preset" --parallel "$(nproc)" "$@"
