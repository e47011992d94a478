"""Ends a command on a machine and confirms that it is over.

Used by transport.py. A command is over when its server reports it, not when a scan
finds no process: between the server's fork and the program's start nothing carries the
tag, so a scan in that moment finds none, and the command begins after it.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from orchestration.errors import Cancelled
from orchestration.events import Stream
from orchestration.transport.base import Command, Ended, Process
from orchestration.transport.output import Output
from orchestration.transport.processes.ending import parse_ended, unconfirmed
from orchestration.transport.ssh.limits import LinkLost
from orchestration.transport.ssh.session import Session, Sink, TimeUp

START_TIMEOUT_S = 6.0
# A running ending gets more time: abandoned, it goes on all the same, and each further
# try makes a busy guest slower.
ENDING_S = 20.0
# The shell of an ended program reports that in milliseconds, on a busy machine later.
LOOK_AGAIN_S = 0.5
CONFIRM_S = 6.0
_PAUSE_S = 0.1
IsLate = Callable[[], bool]
OpenSession = Callable[[tuple[Sink, Sink], IsLate], AbstractContextManager[Session]]


class EndingQueue:
    """The endings on one machine, and the deadlines for their start.

    They run one after the other: each answer of the machine extends all deadlines.
    """

    def __init__(self) -> None:
        self._answered_at = 0.0

    def note_answer(self) -> None:
        """Record that the machine answered."""
        self._answered_at = time.monotonic()

    def is_over(self, deadline: float) -> bool:
        """Return whether the deadline, or one after the last answer, is over."""
        return time.monotonic() > max(deadline, self._answered_at + START_TIMEOUT_S)


def run_ending(
    machine: str,
    line: str,
    open_session: OpenSession,
    *,
    grace_s: float,
    queue: EndingQueue,
) -> Ended:
    """Run the line that `end_line` built, again when the link is lost with it.

    The proof counts as soon as it is complete, whatever follows it. Raises:
    HostUnreachable (from `open_session`), TimeoutError, LinkLost, ValueError.
    """
    deadline = time.monotonic() + grace_s + START_TIMEOUT_S
    while True:
        stdout, stderr = Output(Stream.STDOUT, None), Output(Stream.STDERR, None)
        why: Exception = ValueError("the ending script did not finish")
        try:
            sinks = (stdout.feed, stderr.feed)
            _run(line, open_session, sinks, lambda: queue.is_over(deadline))
        except (Cancelled, TimeUp):
            why = TimeoutError(stderr.text)
        except LinkLost as exc:
            why = exc
        try:
            proof = parse_ended(machine, stdout.text)
        except ValueError:
            if not isinstance(why, LinkLost) or time.monotonic() > deadline:
                raise why from None
        else:
            queue.note_answer()
            return proof
        time.sleep(_PAUSE_S)


def _run(
    line: str, open_session: OpenSession, sinks: tuple[Sink, Sink], is_late: IsLate
) -> None:
    with open_session(sinks, is_late) as session:
        session.start(line, is_late, is_repeatable=True)
        until = time.monotonic() + ENDING_S
        session.pump(iter(()), lambda: False, until)


def end_until_over(end: Callable[[], Ended], cmd: Command, session: Session) -> Ended:
    """End all processes with the tag, again until the session's command is over.

    A proof with survivors ends it, too. Raises: HostUnreachable (from `end`).
    """
    until = time.monotonic() + CONFIRM_S
    found: dict[int, Process] = {}
    by_group: bool | None = None
    while True:
        proof = end()
        found |= {process.pid: process for process in proof.found}
        # The first proof removed the group that a later one does not see.
        by_group = by_group if proof.by_group is None else proof.by_group
        is_over = session.has_ended(time.monotonic() + LOOK_AGAIN_S)
        if is_over or proof.survivors:
            all_found = tuple(found.values())
            return Ended(proof.machine, all_found, proof.survivors, by_group)
        if time.monotonic() > until:
            why = "nothing of it is seen, but the server does not say that it is over."
            return unconfirmed(proof.machine, cmd, why)
