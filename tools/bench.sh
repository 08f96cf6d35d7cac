#!/usr/bin/env bash
# Builds the benchmarks and runs them, beside their peers.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/bench.sh [--no-peers] [--docs] [MUBENCH-OPTION...]

Installs missing packages, builds the benchmarks in build/release, with clients of what muproc is compared with (pipes, Unix
sockets, Boost's message_queue, ZeroMQ, iceoryx, Erlang), and runs `mubench --json`, with further options given. The results
go to standard output, and to build/release/bench.json; a plot of how latencies are spread goes to build/release/bench.svg;
all else goes to standard error.

  --no-peers  muproc alone: nothing more is installed
  --docs      also put the results in docs/benchmarks.md, and the plot beside it
END
}

peers=1 docs=
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --no-peers) peers= ;;
    --docs) docs=1 ;;
    *) break ;;
  esac
  shift
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release
options=()
{
  "$root/tools/build.sh" release runnable mubench
  if [[ -n $peers ]]; then
    "$root/tools/setup.sh" --peers
    (cd "$root" && cmake --preset release -DMUPROC_BENCH_PEERS=ON)
    cmake --build "$build" --parallel "$(nproc)" --target peers
    options+=(--peers "$build/bin/peers")
  fi
} >&2

"$build/bin/mubench" --json --plot "$build/bench.svg" "${options[@]}" "$@" >"$build/bench.json"
cat "$build/bench.json"
if [[ -n $docs ]]; then
  "$build/bin/mubench" --from "$build/bench.json" --markdown |
    "$root/tests/bench/put_between_markers.sh" measured "$root/docs/benchmarks.md"
  cp "$build/bench.svg" "$root/docs/benchmarks.svg"
  echo "bench: docs/benchmarks.md and docs/benchmarks.svg have the results" >&2
fi
