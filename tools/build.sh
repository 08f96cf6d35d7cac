#!/usr/bin/env bash
# Sets up, configures and builds one preset.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/build.sh [PRESET [TARGET...]]

Installs missing packages, configures PRESET (default: dev) and builds it, or just the targets named.
Presets: dev, release, asan, tsan, fuzz. Everything lands in build/PRESET.
END
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  -*) usage >&2; exit 2 ;;
esac
preset=${1:-dev}
shift $(($# > 0 ? 1 : 0))

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ $preset == fuzz ]]; then tools/setup.sh --fuzz; else tools/setup.sh; fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "build: configuring $preset"
if ! cmake --preset "$preset" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
if [[ $# -gt 0 ]]; then set -- --target "$@"; fi
cmake --build --preset "$preset" --parallel "$(nproc)" "$@"
