#!/usr/bin/env bash
# Counts the instructions of a message, and compares them with what was recorded.
set -euo pipefail

usage() {
  cat <<'END'
Usage: check.sh [--record] BASELINE BIN

Runs BIN/mubench_instructions under callgrind, beside BIN/mubench as its broker, and compares each part's instructions a
message with those in BASELINE. Fails when one has grown by more than its tolerance; says so when one has shrunk by as much,
since the guard is blunt then until it is recorded anew: with --record, which writes BASELINE and keeps its tolerances.

Compilers and C libraries differ, so what is compared is the quotient with a piece of code that has nothing to do with
messages, the line "reference", counted in the same run.
END
}

record=
if [[ ${1:-} == --record ]]; then record=1; shift; fi
[[ $# -eq 2 ]] || { usage >&2; exit 2; }
baseline=$1 bin=$2

work=$(mktemp -d)
broker=
finish() {
  if [[ -n $broker ]]; then kill "$broker" 2>/dev/null && wait "$broker" || true; fi
  rm -rf "$work"
}
trap finish EXIT

export MUPROC_RUNTIME_DIR=$work
"$bin/mubench" --serve >"$work/broker.log" 2>&1 &
broker=$!
until [[ -S $work/mubench/control.sock ]]; do
  kill -0 "$broker" 2>/dev/null || { cat "$work/broker.log" >&2; broker=; exit 1; }
  sleep 0.02
done

# Only what is toggled counts, in whichever thread.
if ! valgrind --tool=callgrind --collect-atstart=no --callgrind-out-file="$work/out" "$bin/mubench_instructions" >"$work/log" 2>&1; then
  cat "$work/log" >&2
  exit 1
fi

# Each dump has a line "desc: Trigger: Client Request: NAME" and one "totals: INSTRUCTIONS", for 100 messages.
for dump in "$work"/out.*; do
  awk '/^desc: Trigger: Client Request: / { sub(/^desc: Trigger: Client Request: /, ""); name = $0 }
       /^totals: / { totals = $2 }
       END { if (name != "" && totals > 0) printf "%s = %d\n", name, totals / 100 }' "$dump"
done >"$work/counted"

awk -v record="$record" -v baseline="$baseline" -F ' *(=|within|%) *' '
  FILENAME != ARGV[1] { counted[$1] = $2; order[++parts] = $1; next }
  /^#/ || !NF { head = head $0 "\n"; next }
  { recorded[$1] = $2; tolerance[$1] = $3 }
  END {
    if (!("reference" in counted) || parts < 2) { print "nothing was counted"; exit 1 }
    if (record) printf "%s", head > baseline
    for (i = 1; i <= parts; ++i) {
      part = order[i]
      allowed = part in tolerance ? tolerance[part] : 3
      if (record) { printf "%s = %d within %s %%\n", part, counted[part], allowed > baseline; continue }
      if (!(part in recorded)) { printf "%-24s %6d: it is not in %s\n", part, counted[part], baseline; failed = 1; continue }
      expected = recorded[part] * counted["reference"] / recorded["reference"]
      off = (counted[part] / expected - 1) * 100
      verdict = off > allowed ? "MORE than recorded" : off < -allowed ? "fewer: record it anew" : ""
      printf "%-24s %6d, recorded %6d, %+.1f %% (at most %s) %s\n", part, counted[part], expected, off, allowed, verdict
      if (off > allowed) failed = 1
    }
    for (part in recorded) if (!(part in counted)) { printf "%s: recorded, but not counted\n", part; failed = 1 }
    exit failed
  }' "$baseline" "$work/counted"
