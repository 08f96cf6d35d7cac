#!/usr/bin/env bash
# Formats the C++ sources.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/format.sh [--check]

Formats all C++ sources in place by .clang-format. With --check nothing is changed; exits 1 if something would be.
END
}

mode=(-i)
case ${1:-} in
  "") ;;
  --check) mode=(--dry-run --Werror) ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v clang-format >/dev/null || tools/setup.sh --format
find include libmuproc broker tools tests examples -path tests/layering/fixtures -prune -o \
     -type f \( -name '*.hpp' -o -name '*.cpp' \) -print0 |
  xargs -0 --no-run-if-empty clang-format "${mode[@]}"
