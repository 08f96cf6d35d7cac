#!/usr/bin/env bash
# Installs what building muproc needs.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/setup.sh [--fuzz] [--format] [--tidy] [--browser] [--peers]

Installs the packages that building, running and testing muproc needs, where they are missing; does nothing when all
are there. On a system without apt it checks instead, and lists what is missing.

  --fuzz     also clang and libFuzzer, for the preset "fuzz"
  --format   also clang-format
  --tidy     also clang-tidy
  --browser  also Chromium, in which a test looks at the status page (some 300 MB); without it that test is skipped
  --peers    also what mubench compares with: ZeroMQ, iceoryx, Erlang
END
}

packages=(g++ cmake ninja-build pkg-config ccache capnproto libcapnp-dev libboost-dev catch2 libgtest-dev libspdlog-dev libfmt-dev
          libtomlplusplus-dev libcli11-dev libdw-dev libseccomp-dev libncurses-dev spin valgrind tmux)
for argument in "$@"; do
  case $argument in
    --fuzz) packages+=(clang llvm libclang-rt-dev) ;;
    --browser) packages+=(chromium) ;;
    --format) packages+=(clang-format) ;;
    --tidy) packages+=(clang-tidy) ;;
    --peers) packages+=(libzmq3-dev libiceoryx-posh-dev libiceoryx-hoofs-dev iceoryx erlang-base) ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed* ]]; }

install_with_apt() {
  local missing=() package
  for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
  done
  [[ ${#missing[@]} -eq 0 ]] && return

  local as_root=()
  if [[ $EUID -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
      echo "setup: these packages are missing, and neither root nor sudo is at hand to install them: ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "setup: installing ${missing[*]}"
  "${as_root[@]}" apt-get -q update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
}

# Elsewhere packages have other names; what counts is whether the compiler finds things.
has_header() { echo "#include $1" | g++ -std=c++20 -E -x c++ - >/dev/null 2>&1; }

check_without_apt() {
  local missing=() command header name
  for command in g++ cmake ninja pkg-config capnp tmux; do
    command -v "$command" >/dev/null || missing+=("the command $command")
  done
  while read -r header name; do
    has_header "$header" || missing+=("$name: header $header")
  done <<'END'
<capnp/message.h> Cap'n Proto 0.9 or later, with KJ
<boost/interprocess/mapped_region.hpp> Boost 1.74 or later
<spdlog/spdlog.h> spdlog
<toml++/toml.h> toml++ 3
<CLI/CLI.hpp> CLI11 2
<elfutils/libdwfl.h> elfutils' libdw
<seccomp.h> libseccomp
<curses.h> ncurses, with wide characters
END
  has_header '<catch2/catch_all.hpp>' || has_header '<catch2/catch.hpp>' || missing+=("Catch2, version 2 or 3")
  has_header '<gtest/gtest.h>' || missing+=("GoogleTest: header <gtest/gtest.h>")
  [[ ${#missing[@]} -eq 0 ]] && return
  echo "setup: this system has no apt; please install what is missing:" >&2
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
}

if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
  install_with_apt
else
  check_without_apt
fi
