#!/usr/bin/env bash
# Builds the benchmarks and runs them.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/bench.sh [MUBENCH-OPTION...]

Installs missing packages, builds the benchmarks in build/release and runs `mubench --json`, with further options given.
The results go to standard output; all else goes to standard error.
END
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/tools/build.sh" release runnable mubench >&2
exec "$root/build/release/bin/mubench" --json "$@"
