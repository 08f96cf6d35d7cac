#!/usr/bin/env bash
# Makes docs/mutop.svg: a picture of mutop as it looks at examples/trading, from a real run in tmux.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/picture.sh [PRESET]

Launches examples/trading from build/PRESET (otherwise release), looks at it with mutop for a while, and writes what the
terminal shows to docs/mutop.svg. Needs tmux.
END
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=build/${1:-release}/bin
columns=150 rows=24
folder=$(mktemp -d)
export MUPROC_RUNTIME_DIR=$folder LC_ALL=C.UTF-8
terminal() { tmux -u -S "$folder/tmux" -f /dev/null "$@"; }

"$bin/mubroker" run examples/trading/trading.toml >"$folder/log" 2>&1 &
broker=$!
end() {
  terminal kill-server 2>/dev/null || true
  kill "$broker" 2>/dev/null || true
  wait "$broker" || true
  rm -rf "$folder"
}
trap end EXIT
until "$bin/muctl" ps >/dev/null 2>&1; do sleep 0.1; done
terminal new-session -d -x "$columns" -y "$rows" "$bin/mutop -d 0.5"
sleep 45
terminal send-keys Home Down Down
sleep 1
terminal capture-pane -p -e -N | LC_ALL=C awk -v columns="$columns" -v rows="$rows" -f tools/screen_to_svg.awk >docs/mutop.svg
echo "picture: docs/mutop.svg"
