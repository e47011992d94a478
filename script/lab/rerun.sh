# shellcheck shell=bash
# Live and browser tests that failed, once more and by themselves.
# Sourced by script/test after common.sh. They depend on what else the machine does; a
# unit test never should, so it is never run twice. live_report.py writes the failures:
# a file per test in TESTBED_FAILURES, its name on the first line, then its output; and
# the test in which a process ended, as after a time limit: the rest of it never ran.

UNSTEADY=()

has_failures() { compgen -G "$TESTBED_FAILURES/$1-*" > /dev/null; }

# rerun_failed COMMAND...: runs COMMAND with the name of each failed test, one by one.
# Status 0 when all of them pass now. Adds them to UNSTEADY and keeps their output.
rerun_failed() {
  local file test found=0 status=0
  if has_failures unit || has_failures running; then return 1; fi
  for file in "$TESTBED_FAILURES"/live-*; do
    [[ -e $file ]] || continue
    found=1
    read -r test < "$file"
    say "Once more, by itself: $test"
    if "$@" "$test"; then
      UNSTEADY+=("$test  (first output: $(keep_output "$file"))")
    else
      status=1
    fi
  done
  ((found)) || return 1
  return "$status"
}

# keep_output FILE: copies it to where it stays, and prints that path.
keep_output() {
  local kept
  mkdir -p "$CHECKOUT/var/unsteady"
  kept=$CHECKOUT/var/unsteady/$(date +%Y%m%dT%H%M%S)-$(basename "$1").txt
  cp "$1" "$kept"
  printf '%s\n' "${kept#"$CHECKOUT"/}"
}

tell_unsteady() {
  local test
  for test in "${UNSTEADY[@]}"; do say "unsteady: $test"; done
}

# Names what failed in the last lines, which is all that some see of a run.
tell_failed() {
  local file
  for file in "$TESTBED_FAILURES"/*; do
    case ${file##*/} in
      running-*) say "did not end, nor ran what follows it: $(head -n 1 "$file")" ;;
      live-* | unit-*) say "failed: $(head -n 1 "$file")" ;;
    esac
  done
}
