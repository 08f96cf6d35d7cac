#!/usr/bin/env bash
# Fuzzes, and keeps what the fuzzers find.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/fuzz.sh [--minutes N] [--built] [TARGET...]
       tools/fuzz.sh --merge [--built] [TARGET...]

Builds the targets of tests/fuzz with clang's libFuzzer (preset fuzz; --built: they are built already) and runs all of
them, or those named, at the same time and at low priority for N minutes (default: 60). They begin with tests/fuzz/corpus
and with what earlier runs have left in build/fuzz/corpus. For each target it says at the end how many inputs were run,
how many edges and features they reached, and what time was taken; an input that ends a target is left in
build/fuzz/findings, and the exit status is 1 then.

--merge adds to tests/fuzz/corpus those inputs of build/fuzz/corpus that reach what is not reached without them, the
shortest that do. Not while they are being fuzzed.
END
}

minutes=60
merge=
build=1
targets=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
    --merge) merge=1; shift ;;
    --built) build=; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) targets+=("$1"); shift ;;
  esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ ${#targets[@]} -eq 0 ]]; then
  for source in tests/fuzz/*.cpp; do targets+=("$(basename "$source" .cpp)"); done
fi
[[ -z $build ]] || tools/build.sh fuzz "${targets[@]/#/fuzz_}"

export UBSAN_OPTIONS=print_stacktrace=1
mkdir -p build/fuzz/findings

if [[ -n $merge ]]; then
  for target in "${targets[@]}"; do
    mkdir -p "build/fuzz/corpus/$target"
    "build/fuzz/bin/fuzz_$target" -merge=1 -max_len=4096 -rss_limit_mb=2048 -timeout=60 -artifact_prefix="build/fuzz/findings/$target-" \
      "tests/fuzz/corpus/$target" "build/fuzz/corpus/$target" 2>&1 | grep MERGE-OUTER | tail -n 1
  done
  exit
fi

declare -A running
for target in "${targets[@]}"; do
  mkdir -p "build/fuzz/corpus/$target"
  options=(-max_total_time=$((minutes * 60)) -print_final_stats=1 -rss_limit_mb=2048 -timeout=60
           -artifact_prefix="build/fuzz/findings/$target-")
  dictionary=tests/fuzz/dictionaries/$target.dict
  [[ ! -e $dictionary ]] || options+=(-dict="$dictionary")
  (
    status=0
    nice -n 15 "build/fuzz/bin/fuzz_$target" "${options[@]}" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" || status=$?
    times
    exit "$status"
  ) >"build/fuzz/$target.log" 2>&1 &
  running[$target]=$!
done

found=
for target in "${targets[@]}"; do
  status=0
  wait "${running[$target]}" || status=$?
  log=build/fuzz/$target.log
  printf '%s: %s inputs, %s, children took %s: ' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
    "$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -n 1)" "$(tail -n 1 "$log")"
  if [[ $status == 0 ]]; then echo "no finding"; else found=1; echo "exit status $status, see $log"; fi
done
[[ -z $found ]]
