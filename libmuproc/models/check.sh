#!/usr/bin/env bash
# Model-checks one protocol with spin: all states that it can get into.
#
# Usage: check.sh holds|fails MODEL [NAME...]. NAMEs are defined in the model. `fails` says that a mistake must be found,
# which shows that the check can find one.
set -euo pipefail

expected=$1 model=$2
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$here"/*.pml "$folder"
cd "$folder"

spin -a "${@/#/-D}" "$model.pml" >spin.log || { cat spin.log; exit 1; }
cc -O2 -w -DSAFETY -DVECTORSZ=2048 -DMEMLIM=1500 -o pan pan.c
./pan -m200000 >pan.log 2>&1 || { cat pan.log; exit 1; }
grep -E 'errors:|states, stored|never|unreached|depth|error:|assertion|invalid' pan.log || true
if grep -qE 'max search depth too small|out of memory' pan.log; then
  echo "check: not all states were looked at" >&2
  exit 1
fi
case $expected in
  holds) grep -q 'errors: 0' pan.log ;;
  fails) grep -qE 'errors: [1-9]' pan.log ;;
  *) echo "check: $expected?" >&2; exit 2 ;;
esac
