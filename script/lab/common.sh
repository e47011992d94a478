# shellcheck shell=bash
# What the lab scripts share: where things are, and how they speak.
# Sourced by script/demo, script/test, script/lint and script/lab/*; changes nothing.

CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB=$CHECKOUT/script/lab
VENV=$CHECKOUT/.venv
export CHECKOUT LAB VENV

# QEMU's own user must be able to reach guest disks, so a demo cannot live below
# a home directory.
data_dir() {
  local below=/var/lib
  [[ $EUID -eq 0 ]] || below=${XDG_DATA_HOME:-$HOME/.local/share}
  printf "%s\n" "${TESTBED_DATA_DIR:-$below/testbed-demo}"
}
image_cache() { printf '%s\n' "${TESTBED_IMAGE_CACHE:-$CHECKOUT/var/cache/images}"; }

# Seconds since START (an EPOCHREALTIME), with one decimal.
elapsed() {
  local micros=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
  printf '%d.%d' $((micros / 1000000)) $((micros / 100000 % 10))
}

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }

# fail MESSAGE [HINT]
fail() {
  warn "Error: $1"
  [[ -z ${2:-} ]] || warn "  $2"
  exit 1
}

# step TITLE COMMAND...: runs it quietly with a spinner and the elapsed time; its
# output is shown only when it fails.
step() {
  local title=$1 log started status=0 worker
  shift
  log=$(mktemp)
  started=$EPOCHREALTIME
  # errexit inside COMMAND needs a plain background list, not `if` or `||`.
  (set -e; "$@") > "$log" 2>&1 &
  worker=$!
  if [[ -t 1 ]]; then spin "$worker" "$title" "$started"; fi
  wait "$worker" || status=$?
  if ((status == 0)); then
    printf '\r  ok  %s (%s s)\n' "$title" "$(elapsed "$started")"
  else
    printf '\r  FAILED  %s (%s s)\n' "$title" "$(elapsed "$started")"
    sed 's/^/    /' "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}

spin() {
  local marks='|/-+' turn=0
  while kill -0 "$1" 2> /dev/null; do
    printf '\r  %s   %s (%s s)' "${marks:turn++ % 4:1}" "$2" "$(elapsed "$3")"
    sleep 0.2
  done
}
