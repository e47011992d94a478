"""The instruction of a packet capture: one interface's packets, or a bridge's, to main.

tcpdump on the host writes to its standard output, and the worker keeps whole packets in
a file of the run's folder, which can be read while it grows. A bridge's packets come to
a mirror port of the capture's own. The capture ends with its limits, with a cancel, and
with the worker: tcpdump and the mirror carry the run's mark.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.amounts import count_of, size
from orchestration.errors import (
    Cancelled,
    CommandFailed,
    CommandTimedOut,
    NotEnoughSpace,
    StateError,
    TestbedError,
)
from orchestration.events import Status, Stream
from orchestration.files import give_to_owner_of
from orchestration.instructions.execution.answers import make_answers_folder
from orchestration.instructions.execution.packet_lines import packet_line
from orchestration.instructions.execution.pcap import LimitReached, PcapReader
from orchestration.instructions.execution.programs import execution_of
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.captures import Capture, Point, point_of
from orchestration.providers.linux import tcpdump
from orchestration.providers.ovs import mirrors
from orchestration.providers.ovs.taps import require_tap
from orchestration.state.mtu import mtu_of
from orchestration.transport.base import Ended, Process, Scope

FILE = "capture.pcap"
TELL_EVERY_S = 1.0
SHOWN_PACKETS = 5
MIB = 1024 * 1024


def capture_packets(task: Task) -> Outcome:
    """Capture the packets of one interface or bridge until a limit is reached.

    Raises: ExecutionRefused (the filter), NetworkFailed (the place is not there),
    ForeignThing, CommandFailed, NotEnoughSpace, HostUnreachable.
    """
    capture = execution_of(task).capture
    if capture is None:
        raise StateError("The plan does not say which packets are captured.")
    transport, scope = task.host.transport, task.scope
    point = point_of(task.state, capture)
    if point.tap:
        testbed = task.state.testbed
        require_tap(transport, point.device, point.tap, testbed=testbed, scope=scope)
    tcpdump.check_filter(transport, capture.filter, scope=scope)
    user = tcpdump.account(transport, scope=scope)
    with _device(task, point) as device, _Kept(task, capture) as kept:
        cmd = tcpdump.capture(
            device, capture.filter, snaplen=capture.snaplen, user=user
        )
        try:
            ended = transport.run(
                cmd,
                scope=scope,
                timeout_s=capture.most_s,
                on_line=task.on_line,
                check=False,
                on_bytes=kept.feed,
            )
        except LimitReached:
            return done(f"{kept.words}; ended at {capture.most_mib} MiB")
        except CommandTimedOut:
            return done(f"{kept.words}; ended after {capture.most_s} s")
        except Cancelled:
            return Outcome(Status.CANCELLED, f"Stopped with {kept.words}.")
    if ended.exit_code != 0:
        raise CommandFailed(
            f"The capture on {transport.machine} ended by itself: {kept.words}.",
            exit_code=ended.exit_code,
            hint=f"The {'guest may be shut off' if point.tap else 'bridge may be gone'}.",
            detail=ended.stderr,
        )
    return done(kept.words)


@contextmanager
def _device(task: Task, point: Point) -> Iterator[str]:
    """Give the device that has the packets: a tap, or a mirror that is removed again."""
    if point.tap:
        yield point.tap
        return
    port = mirrors.port_name(task.state.number, task.scope.tag)
    try:
        mirrors.create(
            task.host.transport,
            point.device,
            port,
            testbed=task.state.testbed,
            mtu=mtu_of(task.state),
            scope=task.scope,
        )
        yield port
    finally:
        _remove_mirror(task)


def _remove_mirror(task: Task) -> None:
    """Remove the mirror, also after a cancel; the sweeper does it where this fails."""
    transport, scope = task.host.transport, Scope(task.scope.tag)
    try:
        mirrors.delete(transport, scope.tag, scope=scope)
    except TestbedError as exc:
        left = Process(0, f"its mirror port may be left: {exc.message}")
        task.scope.ended.append(Ended(transport.machine, (), (left,)))


class _Kept:
    """The file of a capture, and what is told about it while it grows."""

    def __init__(self, task: Task, capture: Capture) -> None:
        self._task = task
        self._file = os.fdopen(_create(task), "wb", buffering=0)
        self._reader = PcapReader(self._write, capture.most_mib * MIB)
        self._told_at = 0.0

    def __enter__(self) -> "_Kept":
        self._count()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._task.log(f"{self.words} are kept")

    @property
    def words(self) -> str:
        """How much was captured."""
        packets = count_of(self._reader.packets, "packet")
        return f"{packets}, {size(self._reader.size_bytes)}"

    def feed(self, data: bytes) -> None:
        """Take bytes of tcpdump. Raises: LimitReached, StateError, NotEnoughSpace."""
        try:
            self._reader.feed(data)
        except OSError as exc:
            raise NotEnoughSpace(
                "The disk of the main host does not take more packets.",
                hint="Ask a lab admin to make room there.",
                detail=str(exc),
            ) from exc
        self._count()
        if self._reader.last and time.monotonic() >= self._told_at + TELL_EVERY_S:
            self._told_at = time.monotonic()
            for packet in self._reader.last[-SHOWN_PACKETS:]:
                self._task.on_line(Stream.STDOUT, packet_line(packet))
            self._task.on_line(Stream.STDOUT, f"{self.words} so far")

    def _write(self, data: bytes) -> None:
        self._file.write(data)

    def _count(self) -> None:
        self._task.progress(self._reader.packets, 0, unit="packets")


def _create(task: Task) -> int:
    """Make the file, readable to the web alone. Raises: NotEnoughSpace, StateError."""
    if task.answers is None:
        raise StateError("There is no folder for the packets.")
    make_answers_folder(task.answers)
    if shutil.disk_usage(task.answers).free < task.quota.spare_bytes:
        raise NotEnoughSpace(
            "The disk of the main host is too full for a capture.",
            hint="Ask a lab admin to make room there.",
        )
    path: Path = task.answers / FILE
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    give_to_owner_of(task.answers, descriptor)
    return descriptor
