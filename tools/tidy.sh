#!/usr/bin/env bash
# Looks through the C++ sources with clang-tidy.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/tidy.sh [--since COMMIT] [--jobs N] [FILE...]

Runs clang-tidy, with the checks of .clang-tidy, over the sources named, over those that have changed since COMMIT, or
over all of the libraries, the broker and the tools, N at a time (default: 2). Prints what it finds; exits 1 when that
is anything. Installs clang-tidy if it is missing.

The sources are looked at as clang compiles them, in a build tree of their own, build/tidy, in which nothing is built
but what is generated.
END
}

jobs=2
since=
files=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --since) since=${2:?--since needs a commit}; shift 2 ;;
    --jobs) jobs=${2:?--jobs needs a number}; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) files+=("$1"); shift ;;
  esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v clang-tidy >/dev/null || tools/setup.sh --tidy

cmake -S . -B build/tidy -G Ninja -DCMAKE_BUILD_TYPE=Debug -DMUPROC_PCH=OFF >/dev/null
# Those of tests and examples are made after the libraries that they link to, which would all be built for them.
mapfile -t generated < <(ninja -C build/tidy -t targets all | sed -n 's/^\(libmuproc[^:]*\.capnp\.h\): .*/\1/p')
[[ ${#generated[@]} -eq 0 ]] || ninja -C build/tidy "${generated[@]}" >/dev/null

if [[ ${#files[@]} -eq 0 ]]; then
  folders=(libmuproc broker testing tools)
  if [[ -n $since ]]; then
    mapfile -t files < <(git diff --name-only --diff-filter=d "$since" -- "${folders[@]}" | grep '\.cpp$' || true)
  else
    mapfile -t files < <(git ls-files -- "${folders[@]}" | grep '\.cpp$')
  fi
fi
[[ ${#files[@]} -gt 0 ]] || { echo "tidy: no sources to look at"; exit 0; }

findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
printf '%s\0' "${files[@]}" |
  xargs -0 -n 1 -P "$jobs" clang-tidy -p build/tidy --quiet --warnings-as-errors='*' 2>/dev/null >"$findings" || true
# A header's finding comes with each source that includes it.
grep -E ': (warning|error): ' "$findings" | sort -u || true
if grep -qE ': (warning|error): ' "$findings"; then exit 1; fi
echo "tidy: nothing in ${#files[@]} sources"
