"""The instruction of a packet capture: the packets of one guest's interface, to main.

tcpdump on the guest's host writes to its standard output, and the worker keeps whole
packets in a file of the run's folder, which can be read while it grows. The capture
ends with its limits, with a cancel, and with the worker: like every process of a run,
tcpdump carries the run's mark.
"""

import os
import shutil
import time
from pathlib import Path

from orchestration.amounts import count_of, size
from orchestration.errors import (
    Cancelled,
    CommandFailed,
    CommandTimedOut,
    NotEnoughSpace,
    StateError,
)
from orchestration.events import Status, Stream
from orchestration.files import give_to_owner_of
from orchestration.instructions.execution.answers import make_answers_folder
from orchestration.instructions.execution.packet_lines import packet_line
from orchestration.instructions.execution.pcap import LimitReached, PcapReader
from orchestration.instructions.execution.programs import execution_of
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.captures import Capture, point_of
from orchestration.providers.linux import tcpdump
from orchestration.providers.ovs.taps import require_tap

FILE = "capture.pcap"
TELL_EVERY_S = 1.0
SHOWN_PACKETS = 5
MIB = 1024 * 1024


def capture_packets(task: Task) -> Outcome:
    """Capture the packets of one interface until a limit is reached.

    Raises: ExecutionRefused (the filter), NetworkFailed (the interface is not there),
    ForeignThing, CommandFailed, NotEnoughSpace, HostUnreachable.
    """
    capture = execution_of(task).capture
    if capture is None:
        raise StateError("The plan does not say which packets are captured.")
    transport, scope = task.host.transport, task.scope
    interface = point_of(task.state, capture).interface
    require_tap(
        transport,
        interface.device,
        interface.tap,
        testbed=task.state.testbed,
        scope=scope,
    )
    tcpdump.check_filter(transport, capture.filter, scope=scope)
    user = tcpdump.account(transport, scope=scope)
    cmd = tcpdump.capture(
        interface.tap, capture.filter, snaplen=capture.snaplen, user=user
    )
    with _Kept(task, capture) as kept:
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
            hint="The guest may have been shut off.",
            detail=ended.stderr,
        )
    return done(kept.words)


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
