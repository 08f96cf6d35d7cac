#!/usr/bin/env bash
# Has each [SYNC …] pair of the code its row in docs/memory-model.md, each row its pair, and does the model that a row names
# name the pair? Prints what is missing, and exits 1 if something is.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
page=${1:-$root/docs/memory-model.md}
failed=0
complain() { echo "check_pairs: $*" >&2; failed=1; }

mapfile -t pairs < <(grep -rhoE '\[SYNC [a-z_.]+\]' --include='*.hpp' --include='*.cpp' "$root"/{libmuproc,broker,include} | sort -u)
[[ ${#pairs[@]} -gt 0 ]] || complain "no pair in the code"
for pair in "${pairs[@]}"; do
  name=${pair#"[SYNC "}
  name=${name%]}
  row=$(grep -F "| \`$name\` |" "$page") || { complain "$pair has no row"; continue; }
  model=$(grep -oE '[a-z]+\.pml' <<<"$row" | head -1) || continue
  grep -qF "$pair" "$root/libmuproc/models/$model" || complain "$model does not name $pair"
done
while read -r name; do
  grep -qxF "[SYNC $name]" < <(printf '%s\n' "${pairs[@]}") || complain "no pair in the code is named $name"
done < <(grep -oE '^\| `[a-z_.]+` \|' "$page" | tr -d '|` ')
exit $failed
