"""Find every process that carries a tag, end it, and prove that it is gone.

`end_line` and `parse_ended` are the remote form (one sh command, busybox too),
`end_here` is the same on this machine. A prefix ends at a dot: `12.1` finds `12.1`
and `12.1.3`, not `12.10`. Closing a channel or signalling a group misses processes
that called setsid or ignore signals; their environment they cannot leave behind.
"""

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestration.transport.base import TAG_VARIABLE, Ended, Process
from orchestration.transport.wrapper import checked_tag

KILL_ROUNDS = 20
NAME_BYTES = 100
_NAP_S = 0.03
_PROC = Path("/proc")

# One grep over all environments costs 2-4 ms (GNU and busybox); where grep has no
# -z each process costs a fork. Only groups led by a process that we found get the
# signal too: dropbear's or sudo's own group is never hit. A process without
# environment (a zombie, a kernel thread) is never found.
END_SCRIPT = """\
re="^TESTBED_TAG=$1\\(\\.\\|\\$\\)"; naps=$2; found=
if echo a | grep -qz a 2>/dev/null; then z=1; else z=; fi
files() {
  if [ $z ]; then grep -lsz -e "$re" /proc/[0-9]*/environ; return; fi
  for f in /proc/[0-9]*/environ; do
    tr '\\0\\n' '\\n ' <$f | grep -q -e "$re" && echo $f
  done 2>/dev/null
}
scan() {
  now=; new=
  for f in $(files); do
    p=${f#/proc/}; p=${p%/environ}; now="$now $p"
    case "$found " in *" $p "*) ;; *) found="$found $p"; new="$new $p";; esac
  done
  for p in $new; do
    name=$(tr '\\0\\n' '  ' </proc/$p/cmdline 2>/dev/null)
    printf 'found %s %.100s\\n' "$p" "$name"
  done
}
signal() { for p in $now; do kill -$1 -$p; kill -$1 $p; done 2>/dev/null; }
nap() { sleep $1 2>/dev/null || sleep 1; }
scan; signal TERM
for s in $naps; do
  [ "$now" ] || break
  nap $s; scan; [ "$new" ] && signal TERM
done
rounds=20
while [ "$now" ] && [ $rounds -gt 0 ]; do
  signal KILL; scan; rounds=$((rounds - 1)); [ "$now" ] && nap 0.03
done
scan
echo "survivors$now"
"""


def end_line(tag_prefix: str, grace_s: float, *, is_root: bool) -> str:
    """Build the line for a remote shell that ends all that carry the tag."""
    pattern = _checked_prefix(tag_prefix).replace(".", "[.]")
    naps = " ".join(f"{nap_s:.2f}" for nap_s in _naps(grace_s))
    words = shlex.join(["sh", "-c", END_SCRIPT, "sh", pattern, naps])
    return f"exec {words}" if is_root else f"sudo -n {words} || exec {words}"


def parse_ended(machine: str, output: str) -> Ended:
    """Read what the script printed. Raises: ValueError (it did not finish)."""
    found: dict[int, Process] = {}
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "found":
            pid, _, name = rest.partition(" ")
            found[int(pid)] = Process(int(pid), name.strip())
        elif kind == "survivors":
            alive = tuple(_process(found, int(pid)) for pid in rest.split())
            return Ended(machine, tuple(found.values()), alive)
    raise ValueError("the ending script did not finish")


def end_here(machine: str, tag_prefix: str, grace_s: float) -> Ended:
    """End all that carry the tag on this machine, except us and our ancestors."""
    prefix = _checked_prefix(tag_prefix)
    spared = set(_ancestors(os.getpid()))
    found: dict[int, Process] = {}
    deadline = time.monotonic() + grace_s
    alive = fresh = _scan(prefix, spared, found)
    while alive and time.monotonic() < deadline:
        _send(signal.SIGTERM, fresh)
        time.sleep(_NAP_S)
        known = set(found)
        alive = _scan(prefix, spared, found)
        fresh = [pid for pid in alive if pid not in known]
    for _ in range(KILL_ROUNDS):
        if not alive:
            break
        _send(signal.SIGKILL, alive)
        time.sleep(_NAP_S / 10)
        alive = _scan(prefix, spared, found)
    survivors = tuple(_process(found, pid) for pid in alive)
    return Ended(machine, tuple(found.values()), survivors)


def _naps(grace_s: float) -> Iterator[float]:
    """Share the grace out, each nap twice the one before.

    A scan takes 0.1 s in an emulated guest: ten of them took longer than the grace.
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


def _scan(prefix: str, spared: set[int], found: dict[int, Process]) -> list[int]:
    """List the pids that carry the tag, and add those not yet known to `found`."""
    exact = f"{TAG_VARIABLE}={prefix}".encode()
    pids = [pid for pid in _carriers(exact) if pid not in spared]
    for pid in pids:
        if pid not in found:
            words = _read(pid, "cmdline")[:NAME_BYTES].replace(b"\0", b" ")
            found[pid] = Process(pid, words.decode(errors="replace").strip())
    return pids


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
    """Read a file of a process; empty when it is gone or not ours to read."""
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _send(number: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, number)


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        status = _read(pid, "status").decode(errors="replace")
        _, _, rest = status.partition("\nPPid:")
        words = rest.split(maxsplit=1)
        pid = int(words[0]) if words else 0
