"""One look that finds nobody proves nothing: the next one may find somebody.

Who forks and exits ahead of a look, or is between two programs, is not seen by it.
"""

import os
import shutil
import subprocess
import time

from orchestration.transport.processes import ending
from orchestration.transport.processes.ending import (
    MOST_PROCESSES,
    end_here,
    end_line,
    parse_ended,
)
from tests.orchestration.transport.conftest import carriers
from tests.waiting import wait_until

# The second look at all environments sees nobody; then there is somebody.
GREP_THAT_IS_LATE = """#!/bin/sh
case "$1" in -lsz) echo >> "$LOOKS";; esac
if [ "$1" = -lsz ] && [ "$(wc -l < "$LOOKS")" = 2 ]; then
  TESTBED_TAG=$LATE setsid sleep 600 >/dev/null 2>&1 &
  until {grep} -qsz "TESTBED_TAG=$LATE" "/proc/$!/environ"; do sleep 0.01; done
  exit 1
fi
exec {grep} "$@"
"""


def start(tag):
    """Start a tagged process that ends at the first word; somebody else reaps it."""
    line = "setsid sleep 600 >/dev/null 2>&1 &"
    subprocess.run(
        ["sh", "-c", line], env={**os.environ, "TESTBED_TAG": tag}, check=True
    )
    wait_until(lambda: carriers(tag))


def test_process_ahead_of_a_scan_is_found_by_the_next(scope, tmp_path):
    grep = tmp_path / "grep"
    grep.write_text(GREP_THAT_IS_LATE.format(grep=shutil.which("grep")))
    grep.chmod(0o755)
    start(scope.tag)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "LOOKS": str(tmp_path / "looks"),
        "LATE": scope.tag,
    }
    line = end_line(scope.tag, 0.3, is_root=True)

    said = subprocess.run(
        ["sh", "-c", line], env=environment, capture_output=True, text=True, check=True
    )

    ended = parse_ended("here", said.stdout)
    assert len(ended.found) == 2
    assert ended.survivors == ()
    assert carriers(scope.tag) == []


def test_process_ahead_of_a_scan_here_is_found_by_the_next(scope, monkeypatch):
    looks = []
    really = ending._carriers

    def carriers_but_late(exact):
        looks.append(exact)
        if len(looks) == 2:
            start(scope.tag)
            return iter(())
        return really(exact)

    start(scope.tag)
    monkeypatch.setattr(ending, "_carriers", carriers_but_late)

    ended = end_here("here", scope.tag, 0.3)

    assert len(ended.found) == 2
    assert ended.survivors == ()
    assert carriers(scope.tag) == []


def test_name_of_many_spaces_takes_no_time():
    before = time.process_time()

    ended = parse_ended(
        "a", f"names ==> /proc/7/cmdline <== {' ' * 60_000}x\nsurvivors\n"
    )

    assert time.process_time() - before < 2
    assert [(process.pid, process.name) for process in ended.found] == [(7, "")]


def test_number_of_processes_that_a_machine_names_is_bounded():
    pids = " ".join(map(str, range(1, 100_000)))
    names = " ".join(f"==> /proc/{pid}/cmdline <== x" for pid in range(1, 10_000))

    ended = parse_ended("a", f"found {pids}\nnames {names}\nsurvivors {pids}\n")

    assert len(ended.found) == len(ended.survivors) == MOST_PROCESSES
