#!/usr/bin/env bash
# Who may include whom.
#
#   libmuproc/   sys <- shm <- wire <- runtime <- behaviours: each includes only itself, what stands left of it, and
#                public headers; never the broker or the tools
#   broker/      sys, shm, wire, public headers
#   tools/       wire, public headers; tools/common also sys and shm, to look into shared memory for all tools
#   testing/     sys, wire, public headers: the test kit
#   examples/    public headers
#   include/     public headers; no insides, no header of system calls, no Boost, no toml++
#
# Usage: check_layers.sh [ROOT]. Prints one line for each include that breaks a rule, and exits 1 if there was one.
set -euo pipefail

root=${1:-$(dirname "${BASH_SOURCE[0]}")/../..}
cd "$root"

zones=()
for zone in include libmuproc broker tools testing examples; do
  if [[ -d $zone ]]; then zones+=("$zone"); fi
done
if [[ ${#zones[@]} -eq 0 ]]; then
  echo "check_layers: nothing to check in $PWD" >&2
  exit 2
fi

includes=$(grep -rHnE --include='*.hpp' --include='*.cpp' --include='*.h' \
             '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' "${zones[@]}" || true)

awk '
  BEGIN {
    split("sys shm wire runtime behaviours", names, " ")
    for (i in names) rank[names[i]] = i
    allowed["broker"] = "sys shm wire broker"
    allowed["tools"] = "wire tools"
    allowed["tools/common"] = "sys shm wire tools"
    allowed["testing"] = "sys wire"
    allowed["examples"] = ""
    allowed["include"] = ""
  }

  function complain(why) {
    printf "%s:%s: %s includes %s, %s\n", file, line, zone, shown, why
    bad = 1
  }
  # The part of the project that an include names, or "". <sys/...> in angle brackets is the system`s.
  function part_of(path, angle,    head) {
    if (path !~ /\//) return ""
    head = path
    sub(/\/.*/, "", head)
    if (head == "sys") return angle ? "" : "sys"
    if (head in rank || head == "broker" || head == "tools" || head == "libmuproc") return head
    return ""
  }
  function is_system_call_header(path) {
    return path ~ /^(sys|linux|asm|asm-generic|arpa|net|netinet)\// ||
           path ~ /^(unistd|fcntl|poll|sched|signal|spawn|dlfcn|pthread|termios|dirent|pwd|grp|netdb|syscall|ucontext|execinfo)\.h$/
  }

  {
    file = $0; sub(/:.*/, "", file)
    rest = substr($0, length(file) + 2)
    line = rest; sub(/:.*/, "", line)
    match(rest, /[<"][^>"]*[>"]/)
    shown = substr(rest, RSTART, RLENGTH)
    angle = substr(shown, 1, 1) == "<"
    path = substr(shown, 2, length(shown) - 2)

    zone = file; sub(/\/.*/, "", zone)
    layer = ""
    if (zone == "libmuproc") {
      layer = substr(file, length("libmuproc/") + 1); sub(/\/.*/, "", layer)
      zone = layer
    }
    if (file ~ /^tools\/common\//) zone = "tools/common"
    part = part_of(path, angle)

    if (path ~ /(^|\/)\.\.\//) { complain("a path that climbs"); next }
    if (zone == "include") {
      if (is_system_call_header(path)) complain("a header of system calls")
      else if (path ~ /^boost\//) complain("of Boost")
      else if (path ~ /^(toml\+\+\/|toml\.hpp$)/) complain("of toml++")
      else if (part != "") complain("an inside of the project")
      next
    }
    if (part == "") next
    if (layer != "") {
      if (!(part in rank)) complain("which no layer of libmuproc may")
      else if (rank[part] > rank[layer]) complain("a layer above it")
    } else if (index(" " allowed[zone] " ", " " part " ") == 0) {
      complain("which it may not")
    }
  }
  END { exit bad }
' <<<"$includes" || { echo "check_layers: the rules are at the top of tests/layering/check_layers.sh" >&2; exit 1; }
