"""Lets a host resume its guests by itself when the process that paused them is gone.

The snapshot of a group pauses guests of several hosts before libvirt stores the first.
Meanwhile a guard, a small shell program, waits on each host for the beats of this
process. When they stop, because the process or the way to it died, the guard resumes
the guests and lets their agents thaw the file systems. It needs no help for that.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestration.errors import CommandFailed, SnapshotFailed, TestbedError
from orchestration.events import Stream
from orchestration.transport.base import Scope, Transport, command

BEAT_S = 1.0
# A busy machine delays beats; guests have to run within 10 s of the last one.
SILENCE_S = 5
_FIRST_BEATS_S = 0.02
_LONGEST_S = 86_400.0
_END_S = 20.0

# $1 the silence after which it acts; then domains, `:thaw` behind those with an agent.
# libvirt ends a storing that is under way first: until then it refuses to resume.
_SCRIPT = """\
silence=$1; shift
virsh -q -c qemu:///system uri > /dev/null || exit 1
echo ready
while beat=$(timeout "$silence" dd bs=4096 count=1 2> /dev/null) && [ -n "$beat" ]; do
  case $beat in *done*) exit 0 ;; esac
done
trap '' PIPE
echo resumes
exec > /dev/null 2>&1
for domain; do (
  tries=120
  until timeout 60 virsh -q -c qemu:///system resume "${domain%:thaw}"; do
    [ $((tries -= 1)) -gt 0 ] || break
    sleep 0.5
  done
  case $domain in
    *:thaw) timeout 15 virsh -q -c qemu:///system domfsthaw "${domain%:thaw}" ;;
  esac
) & done
wait
"""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A domain that is resumed, and thawed where it has an agent."""

    domain: str
    has_agent: bool = False


class Guard:
    """The guard of one host; `start` before the first pause, `stop` after the last."""

    def __init__(self, transport: Transport, domains: Sequence[Guarded]) -> None:
        self._transport = transport
        self._domains = domains
        self._ready = threading.Event()
        self._answered = threading.Event()
        self._over = threading.Event()
        self._problem: TestbedError | None = None
        self._was_quiet = False
        self._is_to_act = False
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    def start(self) -> None:
        """Begin to send beats. Raises: SnapshotFailed, HostUnreachable."""
        self._thread.start()
        self._answered.wait(_END_S)
        if self._ready.is_set():
            return
        self._over.set()
        machine = self._transport.machine
        if isinstance(self._problem, CommandFailed):
            raise SnapshotFailed(
                f"Host {machine} cannot guard guests that are paused.",
                hint="Install virsh there (libvirt-clients), then do it again.",
                detail=self._problem.detail,
            )
        raise self._problem or SnapshotFailed(
            f"The guard of paused guests did not begin on {machine} in {_END_S:.0f} s.",
            hint="Do it again when the host is less busy.",
        )

    def stop(self) -> bool:
        """Send it home; return whether it had resumed nothing."""
        self._over.set()
        if self._thread.ident:
            self._thread.join(_END_S)
        return self._was_quiet

    def let_act(self) -> None:
        """Let it resume its guests now, and end."""
        self._is_to_act = True
        self.stop()

    def _run(self) -> None:
        words = [f"{one.domain}{':thaw' * one.has_agent}" for one in self._domains]
        program = ("sh", "-c", _SCRIPT, "guard", str(SILENCE_S), *words)
        try:
            # A scope of its own: the end of a run's processes is not that of its guard.
            done = self._transport.run(
                command(*program).with_root(),
                scope=Scope(),
                timeout_s=_LONGEST_S,
                on_line=self._hear,
                feed=self._beats(),
            )
            self._was_quiet = done.stdout.split() == ["ready"] and self._over.is_set()
        except TestbedError as exc:
            self._problem = exc
        finally:
            self._answered.set()

    def _hear(self, stream: Stream, text: str) -> None:
        if stream is Stream.STDOUT and text == "ready":
            self._ready.set()
            self._answered.set()

    def _beats(self) -> Iterator[bytes]:
        """Yield beats, at first often: output is read in between."""
        while not self._over.wait(BEAT_S if self._ready.is_set() else _FIRST_BEATS_S):
            yield b"beat\n"
        if not self._is_to_act:
            yield b"done\n"
