#!/usr/bin/env bash
# From a fresh checkout to a running system, in one command.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/run.sh [CONFIG [OPTION...]]

Installs missing packages, builds what running needs in build/release, and launches the system that CONFIG describes
(default: examples/area/area.toml) in the foreground. Further options go to `mubroker run`. Ctrl-C stops the system.
END
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
config=${1:-$root/examples/area/area.toml}
shift $(($# > 0 ? 1 : 0))
if [[ ! -r $config ]]; then
  echo "run: cannot read the config $config" >&2
  exit 4
fi

"$root/tools/build.sh" release runnable
exec "$root/build/release/bin/mubroker" run "$config" "$@"
