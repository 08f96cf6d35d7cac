#!/usr/bin/env bash
# Tries check.sh with a valgrind and programs that are made up: what it lets pass, and what it does not.
set -euo pipefail

check=$(dirname "${BASH_SOURCE[0]}")/check.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

mkdir "$work/bin"
# A broker that listens, and a valgrind that writes dumps with the numbers in $COUNTS: "NAME=TOTAL;NAME=TOTAL".
cat >"$work/bin/mubench" <<'END'
#!/usr/bin/env bash
mkdir -p "$MUPROC_RUNTIME_DIR/mubench"
exec perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Local => "$ENV{MUPROC_RUNTIME_DIR}/mubench/control.sock", Listen => 1); sleep 60'
END
cat >"$work/bin/valgrind" <<'END'
#!/usr/bin/env bash
for argument in "$@"; do [[ $argument == --callgrind-out-file=* ]] && out=${argument#*=}; done
[[ $COUNTS == crash ]] && { echo "it crashed"; exit 1; }
IFS=';' read -ra parts <<<"$COUNTS"
for i in "${!parts[@]}"; do
  printf 'desc: Trigger: Client Request: %s\ntotals: %s\n' "${parts[$i]%=*}" "${parts[$i]#*=}" >"$out.$((i + 1))"
done
END
chmod +x "$work"/bin/*
printf '# a note\n\nreference = 100 within 3 %%\nsend = 200 within 2 %%\nreceive = 400 within 5 %%\n' >"$work/baseline"
run() { COUNTS=$1 PATH=$work/bin:$PATH "$check" "${@:2}" "$work/baseline" "$work/bin" >"$work/said" 2>&1; }

run 'reference=10000;send=20000;receive=40000' || fail "refuses what was recorded: $(cat "$work/said")"
run 'reference=10000;send=20300;receive=41900' || fail "refuses what is within the tolerance"
if run 'reference=10000;send=20500;receive=40000'; then fail "accepts 2.5 % more where 2 % are allowed"; fi
grep -q 'send .*MORE' "$work/said" || fail "does not say what has grown"
run 'reference=11000;send=22000;receive=44000' || fail "refuses what another compiler makes of everything"
if run 'reference=9000;send=20000;receive=40000'; then fail "accepts what has grown beside the reference"; fi
run 'reference=10000;send=10000;receive=40000' || fail "refuses what has shrunk"
grep -q 'send .*fewer' "$work/said" || fail "does not say what has shrunk"
if run 'reference=10000;send=20000'; then fail "accepts that something was not counted"; fi
if run 'reference=10000;send=20000;receive=40000;other=1000'; then fail "accepts what was never recorded"; fi
if run crash; then fail "accepts a crash"; fi
grep -q 'it crashed' "$work/said" || fail "hides what a crash said"

run 'reference=10000;send=30000;receive=40000;other=1000' --record || fail "cannot record"
run 'reference=10000;send=30000;receive=40000;other=1000' || fail "refuses what it has recorded"
grep -q '^# a note' "$work/baseline" || fail "loses the notes"
grep -q '^receive = 400 within 5 %' "$work/baseline" || fail "loses tolerances"
echo "all as it should be"
