"""The instruction that takes a snapshot of all guests of a testbed at one moment.

All guests of all hosts stand still before the first is stored, so that none has seen
what another does not know of. Each goes on as soon as it is stored: what it then sends
to one that still stands is not in that one's memory. All have it in the end, or none.
"""

from contextlib import suppress
from itertools import count
from threading import BoundedSemaphore

from orchestration.amounts import count_of
from orchestration.errors import Cancelled, HostUnreachable, SnapshotFailed
from orchestration.events import Status, Stream
from orchestration.instructions.storage.groups.members import (
    Guards,
    Member,
    look_at_all,
    now,
    on_all,
    require_room,
)
from orchestration.instructions.storage.groups.recovery import alone, end_early
from orchestration.instructions.storage.snapshots import marks_of, refuse, wish_of
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.snapshots import SnapshotWish
from orchestration.project import groups
from orchestration.project.groups import GroupRecord, Journal, Standstill
from orchestration.providers.libvirt import agent, power
from orchestration.providers.libvirt.snapshots import obstacles, verbs
from orchestration.providers.libvirt.snapshots.text import Label

# Of each host. libvirtd serves 5 calls of one client at once, and the call that lets a
# guest go must not wait behind those that store the others.
STORED_AT_ONCE = 4


def create_group_snapshot(task: Task) -> Outcome:
    """Take a snapshot of all guests, with the memory of those that are not off."""
    wish = wish_of(task)
    name = wish.before or wish.name
    with alone(task):
        members = look_at_all(task)
        on_all(members, lambda one: _require_creatable(one, name))
        require_room(task, members, name)
        running = [one for one in members if one.runs]
        guards = Guards(running)
        task.scope.check_cancelled()
        groups.write_journal(
            task.project,
            Journal(
                unfinished=name,
                guests=tuple(one.name for one in members),
                paused=tuple(one.name for one in running),
                agents=tuple(one.name for one in running if one.found.has_agent),
            ),
        )
        try:
            guards.start()
            _take(task, members, wish)
            if fired := guards.stop():
                raise SnapshotFailed(
                    f"The guests on {', '.join(fired)} ran on meanwhile: their host had "
                    "heard nothing of this worker for seconds.",
                    hint="Do it again; the machine of the workers may be overloaded.",
                )
            on_all(running, lambda one: _note_running(one, name))
            task.scope.check_cancelled()
        except BaseException as exc:
            _take_back(task, guards, exc)
            raise
        found = _record(task, name, members)
        groups.write_record(task.project, found)
        groups.clear_journal(task.project)
    for stood in found.guests:
        task.log(_line(stood))
    return _outcome(found, members)


def _require_creatable(one: Member, name: str) -> None:
    stored = one.disk.snapshots if one.disk else ()
    refuse(one.guest, obstacles.to_create(one.found, one.guest.disk, name, stored))


def _take(task: Task, members: list[Member], wish: SnapshotWish) -> None:
    """Freeze, pause, store, and let go. Raises: Cancelled, SnapshotFailed."""
    running = [one for one in members if one.runs]
    name = wish.before or wish.name
    words = wish.description
    if wish.before:
        words = f"before {wish.name or 'the latest snapshot'} was restored"
    numbers = count(1)
    hosts = {one.guest.host for one in members}
    slots = {host: BoundedSemaphore(STORED_AT_ONCE) for host in hosts}

    def store(one: Member) -> None:
        label = Label(
            by=wish.by,
            marks=marks_of(one.guest),
            group=len(members),
            frozen=one.held_systems > 0,
        )
        try:
            with slots[one.guest.host]:
                try:
                    verbs.create(one.task.host.libvirt, one.domain, name, words, label)
                finally:
                    if one.runs:
                        _let_go(one)
        finally:
            # Its agent may take seconds, in which the next guest would stand still.
            _thaw(one)
        task.progress(next(numbers), len(members), unit="guests", note="are stored")

    task.log(f"{count_of(len(running), 'guest')} will stand still for {name}")
    on_all([one for one in running if one.found.has_agent], _freeze)
    task.scope.check_cancelled()
    on_all(running, _pause)
    task.scope.check_cancelled()
    on_all(members, store)
    task.scope.check_cancelled()


def _freeze(one: Member) -> None:
    """Have a guest's file systems written out; its agent may not be able to."""
    problem = "its agent could freeze none."
    try:
        one.held_systems = agent.freeze(one.task.host.libvirt, one.domain)
    except HostUnreachable as exc:
        problem = exc.message
    if not one.held_systems:
        words = f"The file systems of {one.name} are not frozen: {problem}"
        one.task.log(words, Stream.STDERR)
        with suppress(HostUnreachable):  # it may have frozen them late
            agent.thaw(one.task.host.libvirt, one.domain)


def _pause(one: Member) -> None:
    one.asked_at = now()
    power.pause(one.task.host.libvirt, one.domain)
    one.stopped_at = now()


def _let_go(one: Member) -> None:
    verbs.resume(one.task.host.libvirt, one.domain)
    one.went_on_at = now()


def _thaw(one: Member) -> None:
    if one.held_systems:
        with suppress(HostUnreachable):
            agent.thaw(one.task.host.libvirt, one.domain)


def _note_running(one: Member, name: str) -> None:
    verbs.note_running(one.task.host.libvirt, one.domain, name)


def _take_back(task: Task, guards: Guards, exc: BaseException) -> None:
    """Leave no guest paused and no snapshot; say so in the error that follows."""
    problems = end_early(task, guards)
    words = "No guest has it: those that were taken are deleted again."
    if problems:
        words = "Some guests may have it until their host answers; it is deleted then."
    if isinstance(exc, Cancelled):
        raise Cancelled(f"Cancelled. {words}") from exc
    if isinstance(exc, SnapshotFailed):
        raise SnapshotFailed(
            f"{exc.message} {words}", hint=exc.hint, detail=exc.detail
        ) from exc


def _record(task: Task, name: str, members: list[Member]) -> GroupRecord:
    running = [one for one in members if one.runs]
    first = min((one.asked_at for one in running), default=0.0)
    last = max((one.stopped_at for one in running), default=0.0)
    guests = tuple(
        Standstill(
            guest=one.name,
            host=one.guest.host,
            seconds=round(one.went_on_at - one.asked_at, 4),
            after_s=round(one.stopped_at - first, 4) if one.runs else 0.0,
            held_systems=one.held_systems,
        )
        for one in members
    )
    return GroupRecord(
        name=name,
        compose=groups.compose_of(task.project),
        skew_s=round(last - first, 4),
        guests=guests,
    )


def _outcome(found: GroupRecord, members: list[Member]) -> Outcome:
    hosts = count_of(len({one.host for one in found.guests}), "host")
    where = f"{count_of(len(found.guests), 'guest')} on {hosts}"
    lines = "\n".join(_line(stood) for stood in found.guests)
    if not any(one.runs for one in members):
        return done(f"{where}, without standstill: none ran")
    seconds = [stood.seconds for stood in found.guests if stood.seconds]
    message = (
        f"{where}; each stood still for at most {min(seconds):.2f} to "
        f"{max(seconds):.2f} s; all stopped within {found.skew_s * 1000:.0f} ms"
    )
    return Outcome(Status.DONE, message, detail=lines)


def _line(stood: Standstill) -> str:
    if not stood.seconds:
        return f"{stood.guest} on {stood.host}: did not run"
    held = count_of(stood.held_systems, "file system")
    frozen = f"; {held} frozen" if stood.held_systems else ""
    return (
        f"{stood.guest} on {stood.host}: stood still for at most {stood.seconds:.3f} s, "
        f"stopped {stood.after_s * 1000:.0f} ms after the first was told to{frozen}"
    )
