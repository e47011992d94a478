"""The instructions that restore a group snapshot, and forget a deleted one.

All guests return to theirs and wait, paused, until the last is there; then all go on at
once, so that their connections to each other live. Without a name, each guest returns
to its own latest snapshot.
"""

from itertools import count

from orchestration.amounts import count_of
from orchestration.errors import Cancelled, SnapshotFailed, TestbedError
from orchestration.events import Status, Stream
from orchestration.instructions.boot import admission
from orchestration.instructions.storage.groups.members import (
    Guards,
    Member,
    look_at_all,
    names,
    now,
    on_all,
)
from orchestration.instructions.storage.groups.recovery import alone, end_early
from orchestration.instructions.storage.snapshots import (
    failed,
    networks_on,
    note_restored,
    refuse,
    set_clock,
    thaw,
    to_grow,
    to_touch,
    wish_of,
)
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.snapshots import SnapshotWish
from orchestration.project import groups
from orchestration.project.groups import Journal
from orchestration.providers.libvirt.facts.domains import DomainStatus
from orchestration.providers.libvirt.snapshots import obstacles, verbs
from orchestration.providers.libvirt.snapshots.obstacles import Obstacle
from orchestration.providers.libvirt.snapshots.text import Snapshot


def restore_group_snapshot(task: Task) -> Outcome:
    """Return all guests to a group snapshot, or each to its latest."""
    wish = wish_of(task)
    with alone(task):
        members = _chosen(task, wish)
        on_all(members, lambda one: _require_restorable(task, one))
        going = [one for one in members if _goes_on(_snapshot(one))]
        guards = Guards(going)
        task.scope.check_cancelled()
        groups.write_journal(
            task.project,
            Journal(
                guests=tuple(one.name for one in members),
                paused=tuple(one.name for one in going),
                agents=tuple(o.name for o in going if _snapshot(o).label.frozen),
            ),
        )
        try:
            guards.start()
            _return_all(task, members)
            on_all(going, _let_go)
        except BaseException as exc:
            end_early(task, guards)
            _settle(task, members)
            raise _told(exc, members, wish) from exc
        early = guards.stop()
        groups.clear_journal(task.project)
        task.log(f"all are back: {count_of(len(members), 'guest')}")
        return _outcome(task, wish, members, _settle(task, members), early)


def forget_group_snapshot(task: Task) -> Outcome:
    """Forget what was known of a group whose snapshots are deleted."""
    groups.drop_record(task.project, wish_of(task).name)
    return done()


def _chosen(task: Task, wish: SnapshotWish) -> list[Member]:
    """Return the guests that are restored, each with its snapshot.

    Raises: SnapshotFailed.
    """
    found = look_at_all(task)
    for one in found:
        if wish.is_of_latest:
            kept = [s for s in one.found.snapshots if s.name != wish.before]
            # A time has whole seconds: of two in one, the child is the later.
            kept.reverse()
            one.snapshot = max(kept, key=lambda s: s.created_at, default=None)
            _require_as_asked(one, wish)
        else:
            one.snapshot = one.found.named(wish.name)
        if one.snapshot:
            refuse(one.guest, to_touch(wish, one.guest, one.snapshot))
    if wish.is_of_latest:
        if not any(one.snapshot for one in found):
            raise SnapshotFailed("No guest has a snapshot.", hint="Take one first.")
        return [one for one in found if one.snapshot]
    for one in found:
        if one.snapshot is None or not one.snapshot.label.group:
            raise failed(
                one.guest,
                Obstacle(
                    f"is not in group snapshot {wish.name}",
                    "If it is newer, put the YAML of then back and use Up; or restore "
                    "the other guests one by one.",
                ),
            )
    return found


def _require_as_asked(one: Member, wish: SnapshotWish) -> None:
    """Refuse a snapshot that is newer than those that the user was asked about."""
    name = one.snapshot.name if one.snapshot else ""
    if wish.latest and name != wish.latest.get(one.name, ""):
        raise failed(
            one.guest,
            Obstacle(
                f"has {name or 'no snapshot'} as its latest now", "Choose once more."
            ),
        )


def _require_restorable(task: Task, one: Member) -> None:
    networks = networks_on(task, one.guest.host)
    stored = one.disk.snapshots if one.disk else None
    refuse(
        one.guest,
        obstacles.to_restore(
            one.found,
            one.guest.disk,
            _snapshot(one),
            networks=networks,
            stored=stored,
        )
        or to_grow(one.guest, _snapshot(one)),
    )


def _return_all(task: Task, members: list[Member]) -> None:
    numbers = count(1)

    def restore(one: Member) -> None:
        task.scope.check_cancelled()
        conn, name = one.task.host.libvirt, _snapshot(one).name
        verbs.restore(conn, one.domain, name, paused=_goes_on(_snapshot(one)))
        one.is_restored = True
        task.progress(next(numbers), len(members), unit="guests", note="are back")

    on_all(members, restore)


def _let_go(one: Member) -> None:
    verbs.resume(one.task.host.libvirt, one.domain)
    one.went_on_at = now()


def _settle(task: Task, members: list[Member]) -> dict[str, Outcome]:
    """Restore marks and clocks of the guests that are back; return how each is."""
    outcomes: dict[str, Outcome] = {}

    def settle(one: Member) -> None:
        snapshot = _snapshot(one)
        admission.boot_ended(one.task, one.guest)
        task.hosts.forget_guest(task.state, one.guest)
        outcomes[one.name] = note_restored(one.task, one.guest, snapshot)
        if _goes_on(snapshot):
            thaw(one.task, one.guest, snapshot)
            set_clock(one.task, one.guest)

    try:
        on_all([one for one in members if one.is_restored], settle)
    except TestbedError as exc:
        task.log(f"Not all guests are as they were: {exc.message}", Stream.STDERR)
    return outcomes


def _told(
    exc: BaseException, members: list[Member], wish: SnapshotWish
) -> BaseException:
    """Return the error with the names of those that are back, and that are not."""
    back = [one for one in members if one.is_restored]
    rest = [one for one in members if not one.is_restored]
    words = f"Restored: {names(back) or 'none'}; not restored: {names(rest) or 'none'}."
    if isinstance(exc, Cancelled):
        return Cancelled(f"Cancelled. {words}")
    if not isinstance(exc, SnapshotFailed):
        return exc
    before = f", or restore {wish.before} for the state before" if wish.before else ""
    hint = f"{exc.hint} Do it again{before}.".strip()
    return SnapshotFailed(f"{exc.message} {words}", hint=hint, detail=exc.detail)


def _outcome(
    task: Task,
    wish: SnapshotWish,
    members: list[Member],
    found: dict[str, Outcome],
    early: list[str],
) -> Outcome:
    back = count_of(len(members), "guest")
    times = [one.went_on_at for one in members if one.went_on_at]
    message = f"{back} restored"
    if early:  # they had heard nothing of this worker for seconds
        message += f"; those on {', '.join(early)} may have gone on before the others"
    elif len(times) > 1:
        message += f"; they went on within {(max(times) - min(times)) * 1000:.0f} ms"
    left = [g.name for g in task.state.guests if g.name not in found]
    if left:
        message += f"; not restored: {', '.join(left[:5])}"
    warned = [n for n, one in found.items() if one.status is Status.WARNING]
    hint = found[warned[0]].hint if warned else ""
    then = groups.record(task.project, wish.name).compose if wish.name else ""
    if then and then != groups.compose_of(task.project):
        warned = warned or ["yaml"]
        message += "; the YAML of then differs from the present one"
        hint = f"The page Snapshots offers the YAML of then. {hint}".strip()
    lines = (
        f"{one.name} on {one.guest.host}, {_snapshot(one).title}: {found[one.name].message}"
        for one in members
        if one.name in found
    )
    status = Status.WARNING if warned or left or early else Status.DONE
    return Outcome(status, message, hint, "\n".join(lines))


def _goes_on(snapshot: Snapshot) -> bool:
    return snapshot.has_memory and snapshot.status == DomainStatus.RUNNING


def _snapshot(one: Member) -> Snapshot:
    if one.snapshot is None:
        raise SnapshotFailed(f"Guest {one.name} has no snapshot.")
    return one.snapshot
