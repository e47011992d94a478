"""Finds every process that carries a tag, ends it, and proves that it is gone.

`end_line` and `parse_ended` are the remote form (one sh command, busybox too);
`end_here` does the same on this machine. A prefix ends at a dot: `12.1` finds `12.1`
and `12.1.3`, not `12.10`. Closing a channel or signalling a group misses processes that
called setsid or ignore signals, but they inherit the environment. A process that
cleared it (sudo does) is found as a child, or in the session, of one that did not. The
members of the tag's control groups are found besides, and their removal proves more
than a scan (groups.py).
"""

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from orchestration.transport.base import TAG_VARIABLE, Command, Ended, Process
from orchestration.transport.output import shown
from orchestration.transport.processes import groups
from orchestration.transport.processes.tags import checked_tag

# Processes that wait for a slow disk die when it answers: later rounds are longer.
KILL_ROUNDS = 20
_QUICK_ROUNDS = 10
_LONG_NAP_S = 0.3
NAME_BYTES = 100
_NAP_S = 0.03
_PROC = Path("/proc")
# The output of `head` before the number of each of several files, after it, and behind
# the last one.
_HEAD, _HEADED, _NEXT_HEAD = "==> /proc/", "/cmdline <== ", " ==> /"
# Of the processes that a machine names; a hostile guest names as many as it can print.
MOST_PROCESSES = 1000

# Reads /proc/*/stat with the headers of `head`. A process's name, of 15 bytes, may hold
# newlines and look like another process's line, but not like a header. Inputs: pids
# with the tag, processes found before (pid:start time:session), pid of the calling
# shell. Prints all to end, likewise.
_KIN_SCRIPT = """\
/^==> \\/proc\\/[0-9]+\\/stat <==$/ {
  note(); split($0, path, "/"); of = path[3]; stat = ""
  next
}
{ stat = stat " " $0 }
function note(rest) {
  rest = stat; sub(/.*\\) /, "", rest)
  if (rest == stat) return
  split(rest, field, " ")
  if (field[1] == "Z" || field[1] == "X") return
  pids[++count] = of; parent[of] = field[2]; sid[of] = field[4]; born[of] = field[20]
}
function take(pid) {
  if (pid in spared || pid in ours) return 0
  ours[pid] = 1; if (pid in sid) sids[sid[pid]] = 1
  print pid ":" born[pid] ":" sid[pid]
  return 1
}
function is_kin(pid, s) {
  s = sid[pid]
  return parent[pid] in ours || s > 0 && s in sids && (s in ours || !(s in parent))
}
END {
  note()
  for (pid = self; pid in parent; pid = parent[pid]) spared[pid] = 1
  for (n = split(tagged, list, " "); n > 0; n--) take(list[n])
  for (n = split(known, list, " "); n > 0; n--) {
    split(list[n], old, ":")
    if (old[3]) sids[old[3]] = 1
    if (old[1] in born && born[old[1]] == old[2]) take(old[1])
  }
  do {
    grown = 0
    for (n = 1; n <= count; n++) if (is_kin(pids[n])) grown += take(pids[n])
  } while (grown)
}
"""

# One grep over all environments costs 2-4 ms (GNU and busybox); where grep has no -z
# each process costs a fork. The process table is read only when a process was found,
# and only with awk. A session counts when its leader was found or is gone: never that
# of an init or of another user's shell, nor session 0, which holds the kernel's threads
# and all whose leader lives outside this container. Only groups led by a process that
# was found get the signal too: dropbear's or sudo's own group is never hit. Zombies
# count as gone. The end needs two empty scans in a row: one scan misses a process that
# forks and exits ahead of it, or that exec leaves without an environment for a moment.
END_SCRIPT = (
    groups.END_FUNCTIONS
    + """\
re="^TESTBED_TAG=$1\\(\\.\\|\\$\\)"; tag=$1; naps=$2; kin=$3; found=; known=; seen=
if echo a | grep -qz a 2>/dev/null; then z=1; else z=; fi
files() {
  if [ $z ]; then grep -lsz -e "$re" /proc/[0-9]*/environ; return; fi
  for f in /proc/[0-9]*/environ; do
    tr '\\0\\n' '\\n ' <$f | grep -q -e "$re" && echo $f
  done 2>/dev/null
}
relatives() {
  head -c 4096 /proc/[0-9]*/stat /dev/null 2>/dev/null |
    awk -v tagged="$tagged" -v known="$known" -v self=$$ "$kin" 2>/dev/null ||
    for p in $tagged; do echo $p::; done
}
scan() {
  tagged=; now=; new=
  for f in $(files); do p=${f#/proc/}; tagged="$tagged ${p%/environ}"; done
  find_groups
  if [ "$groups" ]; then for p in $(members); do tagged="$tagged $p"; done; fi
  [ "$tagged$known" ] || return
  for r in $(relatives); do
    p=${r%%:*}; now="$now $p"
    case "$known " in *" $r "*) ;; *) known="$known $r"; new="$new $p";; esac
  done
  [ "$new" ] || return
  lines=; for p in $new; do lines="$lines /proc/$p/cmdline"; done
  echo "found$new"
  printf 'names %s\\n' "$(head -c 100 $lines /dev/null 2>/dev/null | tr '\\0\\n' '  ')"
}
signal() { for p in $now; do kill -$1 -$p; kill -$1 $p; done 2>/dev/null; }
lives() { for p in $now; do kill -0 $p 2>/dev/null && return; done; return 1; }
nap() { sleep $1 2>/dev/null || sleep 1; }
scan; signal TERM
for s in $naps; do
  lives || break
  nap $s
done
[ "$now" ] && scan
rounds=20
while [ "$known" ] && [ $rounds -gt 0 ]; do
  before=$now; rounds=$((rounds - 1))
  if [ $rounds -gt 10 ] || [ ! "$now" ]; then nap 0.03; else nap 0.3; fi
  kill_groups; signal KILL; scan; [ "$before$now" ] || break
done
remove_groups
echo "survivors$now"
"""
)


def end_line(tag_prefix: str, grace_s: float, *, is_root: bool) -> str:
    """Build the remote shell's line that ends all processes with the tag."""
    pattern = _checked_prefix(tag_prefix).replace(".", "[.]")
    naps = " ".join(f"{nap_s:.2f}" for nap_s in _naps(grace_s))
    words = shlex.join(["sh", "-c", END_SCRIPT, "sh", pattern, naps, _KIN_SCRIPT])
    return f"exec {words}" if is_root else f"sudo -n {words} || exec {words}"


def parse_ended(machine: str, output: str) -> Ended:
    """Parse the output of the script. Raises: ValueError (it did not finish)."""
    found: dict[int, Process] = {}
    by_group: bool | None = None
    whole = output[: output.rfind("\n") + 1]
    for line in whole.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "found":
            found |= {pid: Process(pid, "") for pid in _pids(rest)}
        elif kind == "names":
            found |= {process.pid: process for process in _named(rest)}
        elif kind == "groups":
            by_group = not rest
        elif kind == "survivors":
            alive = tuple(_process(found, pid) for pid in _pids(rest))
            seen = islice(found.values(), MOST_PROCESSES)
            return Ended(machine, tuple(seen), alive, by_group)
    raise ValueError("the ending script did not finish")


def _pids(text: str) -> Iterator[int]:
    return map(int, text.split(None, MOST_PROCESSES)[:MOST_PROCESSES])


def _named(text: str) -> Iterator[Process]:
    """Yield processes with their names.

    Without a pattern: one that looks ahead over spaces held up the worker, and all its
    threads, for half an hour where a guest printed a mebibyte of them.
    """
    for part in text.split(_HEAD, MOST_PROCESSES)[1 : MOST_PROCESSES + 1]:
        pid, is_head, name = part.partition(_HEADED)
        if is_head:
            name = name.partition(_NEXT_HEAD)[0]
            yield Process(int(pid), name[:NAME_BYTES].strip())


def unconfirmed(machine: str, cmd: Command, why: str) -> Ended:
    """Build the result of an ending that could not be confirmed."""
    return Ended(machine, (), (Process(0, f"{shown(cmd)} (not confirmed: {why})"),))


def end_here(machine: str, tag_prefix: str, grace_s: float) -> Ended:
    """End all processes with the tag here, except this one and its ancestors."""
    hunt = _Hunt(_checked_prefix(tag_prefix))
    deadline = time.monotonic() + grace_s
    alive = fresh = hunt.scan()
    while alive and time.monotonic() < deadline:
        _send(signal.SIGTERM, fresh)
        time.sleep(_NAP_S)
        known = set(hunt.found)
        alive = hunt.scan()
        fresh = alive - known
    for turn in range(KILL_ROUNDS if hunt.found else 0):
        before = alive
        groups.kill(hunt.groups)
        _send(signal.SIGKILL, alive)
        time.sleep(_LONG_NAP_S if alive and turn >= _QUICK_ROUNDS else _NAP_S)
        alive = hunt.scan()
        if not before | alive:
            break
    found = {key.pid: process for key, process in hunt.found.items()}
    survivors = tuple(_process(found, key.pid) for key in alive)
    by_group = groups.remove(hunt.groups) if hunt.groups else None
    return Ended(machine, tuple(hunt.found.values()), survivors, by_group)


def _naps(grace_s: float) -> Iterator[float]:
    """Divide the grace into naps, each twice as long as the one before.

    Starting a program costs 30 ms in an emulated guest, so ten equal naps cost too
    much. For the same reason the script starts none for each process that it finds.
    """
    nap_s, left_s = _NAP_S, max(grace_s, _NAP_S)
    while left_s > 0:
        yield min(nap_s, left_s)
        left_s -= nap_s
        nap_s *= 2


def _checked_prefix(tag_prefix: str) -> str:
    return checked_tag(tag_prefix.removesuffix("."))


def _process(found: dict[int, Process], pid: int) -> Process:
    return found.get(pid, Process(pid, ""))


class _Key(NamedTuple):
    """Identity of a process: pid and start time, because pids are used again."""

    pid: int
    born: str


class _Row(NamedTuple):
    """The fields of /proc/*/stat of a process that is no zombie."""

    key: _Key
    parent: int
    session: int


class _Hunt:
    """All processes of a tag on this machine, with their identity when first seen."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._exact = f"{TAG_VARIABLE}={prefix}".encode()
        self.found: dict[_Key, Process] = {}
        self.groups: set[Path] = set()
        self._sessions: set[int] = set()

    def scan(self) -> set[_Key]:
        """Return the live ones; one found before counts even without its tag."""
        self.groups |= groups.find_groups(self._prefix)
        tagged = set(_carriers(self._exact)) | groups.members(self.groups)
        if not tagged and not self.found:
            return set()
        rows = {row.key.pid: row for row in _table()}
        spared = set(_ancestors(os.getpid(), rows))
        ours = {
            pid
            for pid, row in rows.items()
            if (pid in tagged or row.key in self.found) and pid not in spared
        }
        while kin := self._kin(ours, rows) - spared:
            ours |= kin
        alive = {rows[pid].key for pid in ours}
        for key in sorted(alive - self.found.keys()):
            words = _read(key.pid, "cmdline")[:NAME_BYTES].replace(b"\0", b" ")
            name = words.decode(errors="replace").strip()
            self.found[key] = Process(key.pid, name)
        return alive

    def _kin(self, ours: set[int], rows: dict[int, _Row]) -> set[int]:
        """Return children of ours, and members of sessions that are or were ours.

        A session is ours when its leader is, or is gone: never that of an init or of
        another user's shell, nor session 0 (see `END_SCRIPT`).
        """
        self._sessions |= {rows[pid].session for pid in ours} - {0}
        sessions = {s for s in self._sessions if s in ours or s not in rows}
        return {
            pid
            for pid, row in rows.items()
            if pid not in ours and (row.parent in ours or row.session in sessions)
        }


def _table() -> Iterator[_Row]:
    for entry in os.scandir(_PROC):
        if entry.name.isdecimal():
            head, _, rest = _read(int(entry.name), "stat").rpartition(b") ")
            words = rest.split()
            if head and words[0] not in (b"Z", b"X"):
                key = _Key(int(entry.name), words[19].decode())
                yield _Row(key, int(words[1]), int(words[3]))


def _carriers(exact: bytes) -> Iterator[int]:
    for entry in os.scandir(_PROC):
        if not entry.name.isdecimal():
            continue
        content = _read(int(entry.name), "environ")
        if exact in content and any(
            variable == exact or variable.startswith(exact + b".")
            for variable in content.split(b"\0")
        ):
            yield int(entry.name)


def _read(pid: int, name: str) -> bytes:
    """Read a file of a process; empty when it is gone or not readable."""
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _send(number: signal.Signals, keys: Iterable[_Key]) -> None:
    for key in keys:
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(key.pid, number)


def _ancestors(pid: int, rows: dict[int, _Row]) -> Iterator[int]:
    while pid in rows:
        yield pid
        pid = rows[pid].parent
