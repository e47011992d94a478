"""The instructions that take, restore, delete and rename snapshots of guests.

Each looks at the guest's domain first and says what keeps it from acting before anything
happens. A snapshot's label holds the guest's markers: they describe its disk, and are
restored with it. While a domain is not defined, libvirt's records wait in the testbed's
folder: `stop` and `define` call the functions at the end.
"""

import logging
import time
from pathlib import PurePosixPath

from pydantic import ValidationError

from orchestration.amounts import count_of, size
from orchestration.errors import (
    Cancelled,
    ForeignThing,
    HostUnreachable,
    ImageFailed,
    SnapshotFailed,
    TestbedError,
)
from orchestration.events import Status, Stream
from orchestration.instructions.boot import admission
from orchestration.instructions.boot.diagnosis.evidence import Diagnosis
from orchestration.instructions.boot.reaching import try_to_reach
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.plan.snapshots import SnapshotWish
from orchestration.project import snapshots as kept_records
from orchestration.project.snapshots import KeptRecord
from orchestration.providers.images import qemu_img
from orchestration.providers.images.qemu_img import ImageInfo
from orchestration.providers.images.space import free_bytes, require_space
from orchestration.providers.libvirt import agent
from orchestration.providers.libvirt.facts.domains import DomainStatus
from orchestration.providers.libvirt.snapshots import obstacles, verbs
from orchestration.providers.libvirt.snapshots.obstacles import Obstacle
from orchestration.providers.libvirt.snapshots.text import Label, Marks, Snapshot
from orchestration.providers.libvirt.snapshots.verbs import Record, Situation
from orchestration.state.model import GuestState, Markers
from orchestration.transport.base import command

logger = logging.getLogger(__name__)

# The tables of a disk that gets a snapshot while it is off.
TABLES_BYTES = 16 << 20
# A guest that was just restored opens its agent's channel anew.
THAW_TRIES, THAW_EVERY_S = 8, 0.5


def create_snapshots(task: Task) -> Outcome:
    """Take a snapshot of one guest, with its memory unless it is off."""
    wish, guest = wish_of(task), task.state.guest(task.resource.key)
    found, disk = situation_of(task, guest), disk_of(task, guest)
    name = wish.before or wish.name
    stored = disk.snapshots if disk else ()
    refuse(guest, obstacles.to_create(found, guest.disk, name, stored))
    is_off = found.status is DomainStatus.SHUT_OFF
    _require_room(task, guest, name, TABLES_BYTES if is_off else guest.memory_mib << 20)
    words = wish.description
    if wish.before:
        words = f"before {wish.name} was restored"
    label = Label(by=wish.by, schedule=wish.schedule, marks=marks_of(guest))
    task.log(f"{guest.name} is {found.status}")
    began = time.monotonic()
    verbs.create(task.host.libvirt, task.domain(guest), name, words, label)
    seconds = time.monotonic() - began
    _take_back_if_cancelled(task, guest, name)
    if is_off:
        return done("the disk alone: the guest is off")
    try:
        after = _sizes_of(task, guest)
    except Cancelled:  # too late: the snapshot is there, and stays
        after = None
    memory_bytes = after.snapshots.get(name, 0) if after else 0
    memory = f"{size(memory_bytes)} of memory" if memory_bytes else "with memory"
    return done(f"{memory}; the guest stood still for at most {seconds:.2f} s")


def restore_snapshots(task: Task) -> Outcome:
    """Return one guest to a snapshot, running, paused or off as it was then."""
    wish, guest = wish_of(task), task.state.guest(task.resource.key)
    found, disk = situation_of(task, guest), disk_of(task, guest)
    snapshot = named(guest, found, wish)
    networks = networks_on(task, guest.host)
    stored = disk.snapshots if disk else None
    refuse(
        guest,
        obstacles.to_restore(
            found, guest.disk, snapshot, networks=networks, stored=stored
        )
        or to_grow(guest, snapshot),
    )
    if snapshot.has_memory and found.status is DomainStatus.SHUT_OFF:
        task.log(f"{guest.name} is off, and starts with its memory of then")
    task.scope.check_cancelled()
    verbs.restore(task.host.libvirt, task.domain(guest), wish.name)
    task.log(f"{guest.name} is back")
    admission.boot_ended(task, guest)
    task.hosts.forget_guest(task.state, guest)
    outcome = note_restored(task, guest, snapshot)
    if snapshot.status == DomainStatus.RUNNING and snapshot.has_memory:
        thaw(task, guest, snapshot)
        set_clock(task, guest)
    return outcome


def delete_snapshots(task: Task) -> Outcome:
    """Delete a snapshot of one guest, with its children if wanted, or every one."""
    wish, guest = wish_of(task), task.state.guest(task.resource.key)
    found = situation_of(task, guest)
    if wish.every:
        return _delete_every(task, guest, found)
    snapshot = found.named(wish.name)
    if snapshot is None:
        return unchanged("did not exist")
    if wish.is_group and not snapshot.label.group:
        return unchanged("has one of this name that is not of the group")
    refuse(
        guest, obstacles.to_all(found, guest.disk) or to_touch(wish, guest, snapshot)
    )
    below = found.below(wish.name) if wish.children else ()
    verbs.delete(
        task.host.libvirt, task.domain(guest), wish.name, children=wish.children
    )
    return done(f"with {count_of(len(below), 'snapshot')} below it" if below else "")


def _delete_every(task: Task, guest: GuestState, found: Situation) -> Outcome:
    """Delete the snapshots that were seen, children first; a later one stays."""
    seen = wish_of(task).every
    chosen = [one for one in found.snapshots if one.name in seen]
    if not chosen:
        return unchanged("none of them exists")
    obstacle = obstacles.to_all(found, guest.disk)
    for one in chosen:
        obstacle = obstacle or obstacles.to_touch(one, taken=seen[one.name])
    refuse(guest, obstacle)
    for one in reversed(chosen):
        task.scope.check_cancelled()
        verbs.delete(task.host.libvirt, task.domain(guest), one.name)
        task.log(f"snapshot {one.title} is deleted")
    later = len(found.snapshots) - len(chosen)
    stay = "stays" if later == 1 else "stay"
    words = f"{count_of(later, 'snapshot')} taken since then {stay}" if later else ""
    return done(words)


def rename_snapshots(task: Task) -> Outcome:
    """Show a snapshot of one guest under another name; libvirt's stays."""
    wish, guest = wish_of(task), task.state.guest(task.resource.key)
    found = situation_of(task, guest)
    snapshot = named(guest, found, wish)
    if snapshot.title == wish.title:
        return unchanged("has this name already")
    others = (one for one in found.snapshots if one.name != wish.name)
    if any(wish.title in (one.name, one.title) for one in others):
        problem = f"has a snapshot {wish.title} already"
        raise failed(guest, Obstacle(problem, "Choose another name."))
    verbs.retitle(task.host.libvirt, task.domain(guest), wish.name, wish.title)
    return done(f"virsh shows it as {wish.name}")


def keep_records(task: Task, guest: GuestState) -> str:
    """Keep the records of a domain that is about to be undefined; return a warning.

    Nothing is read into them on a domain without snapshots. Raises: ForeignThing.
    """
    record = verbs.record_of(task.host.libvirt, task.domain(guest))
    disk = _sizes_of(task, guest) if record.texts else None
    kept_records.keep(
        task.project,
        guest.name,
        KeptRecord(
            texts=record.texts,
            current=record.current,
            memory_bytes=dict(disk.snapshots) if disk else {},
            disk_bytes=disk.actual_size_bytes if disk else 0,
        ),
    )
    if not record.texts:
        return ""
    task.log(f"{count_of(len(record.texts), 'snapshot')} kept for the next Up")
    found = verbs.look(task.host.libvirt, task.domain(guest))
    others = [file for file, _ in found.disks if file != guest.disk] if found else []
    if not (guest.disk and others):
        return ""
    return (
        f"another program made external snapshots: what the guest wrote since is in "
        f"{', '.join(others)}, and the next Up starts without it"
    )


def give_records_back(task: Task, guest: GuestState) -> None:
    """Give a domain that was defined anew its records back."""
    kept = kept_records.kept(task.project, guest.name)
    if not kept.texts:
        return
    record = Record(kept.texts, kept.current)
    refused = verbs.give_back(task.host.libvirt, task.domain(guest), record)
    for reason in refused:
        task.log(f"libvirt did not take a snapshot back: {reason}", Stream.STDERR)
    if not refused:
        kept_records.drop(task.project, guest.name)


def forget_records(task: Task, guest: GuestState) -> None:
    """Forget the snapshots of a disk that goes; a foreign domain's stay."""
    kept_records.drop(task.project, guest.name)
    try:
        count = verbs.forget(task.host.libvirt, task.domain(guest))
    except ForeignThing:
        return
    if count:
        task.log(f"{count_of(count, 'snapshot')} of {guest.name} went with its disk")


def wish_of(task: Task) -> SnapshotWish:
    if task.snapshot is None:
        raise SnapshotFailed("The plan does not say which snapshot.")
    return task.snapshot


def situation_of(task: Task, guest: GuestState) -> Situation:
    """Return a guest's situation. Raises: SnapshotFailed, ForeignThing."""
    found = verbs.look(task.host.libvirt, task.domain(guest))
    if found is None:
        raise SnapshotFailed(
            f"Guest {guest.name} does not exist on {guest.host}.", hint="Use Up."
        )
    return found


def disk_of(task: Task, guest: GuestState) -> ImageInfo | None:
    """Return the facts of a guest's disk; None on a simulated host."""
    if not (task.host.state.keeps_images and guest.disk):
        return None
    return qemu_img.info(
        task.host.transport, guest.disk, image_format="qcow2", scope=task.scope
    )


def _sizes_of(task: Task, guest: GuestState) -> ImageInfo | None:
    """Return the facts of a disk with snapshots; None where it cannot be read."""
    try:
        return disk_of(task, guest)
    except ImageFailed as exc:
        task.log(f"The sizes of the snapshots are not known: {exc.message}")
        return None


def named(guest: GuestState, found: Situation, wish: SnapshotWish) -> Snapshot:
    """Return the snapshot that an act is on. Raises: SnapshotFailed."""
    snapshot = found.named(wish.name)
    if snapshot is None:
        problem = f"has no snapshot {wish.name}"
        raise failed(guest, Obstacle(problem, "Choose another one."))
    refuse(guest, to_touch(wish, guest, snapshot))
    return snapshot


def to_touch(
    wish: SnapshotWish, guest: GuestState, snapshot: Snapshot
) -> Obstacle | None:
    """Return what keeps an act from a snapshot that is not the one of the wish."""
    return obstacles.to_touch(snapshot, taken=wish.taken.get(guest.name))


def refuse(guest: GuestState, obstacle: Obstacle | None) -> None:
    if obstacle is not None:
        raise failed(guest, obstacle)


def to_grow(guest: GuestState, snapshot: Snapshot) -> Obstacle | None:
    """Return what keeps a guest from a snapshot of when it was larger."""
    return obstacles.to_grow(snapshot, cpus=guest.cpus, memory_mib=guest.memory_mib)


def failed(guest: GuestState, obstacle: Obstacle) -> SnapshotFailed:
    return SnapshotFailed(
        f"Guest {guest.name} on {guest.host} {obstacle.problem}.", hint=obstacle.hint
    )


def _require_room(task: Task, guest: GuestState, name: str, needed_bytes: int) -> None:
    """Refuse a snapshot that may not fit. Raises: NotEnoughSpace."""
    if not task.host.state.keeps_images:
        return
    folder = str(PurePosixPath(guest.disk).parent)
    free = free_bytes(task.host.transport, folder, scope=task.scope)
    place = f"of {guest.name} on {guest.host}"
    require_space(f"snapshot {name}", place, needed_bytes=needed_bytes, free_bytes=free)


def _take_back_if_cancelled(task: Task, guest: GuestState, name: str) -> None:
    """Delete a snapshot that was taken while its run was cancelled.

    libvirt takes a snapshot in one call, which nothing ends. Raises: Cancelled.
    """
    if not task.scope.stop.is_set():
        return
    verbs.delete(task.host.libvirt, task.domain(guest), name)
    raise Cancelled("Cancelled; the snapshot was deleted again.")


def networks_on(task: Task, host: str) -> set[str]:
    """Return the bridges and networks that a host has for the testbed."""
    network = task.state.network
    found = {bridge.device for bridge in network.bridges if bridge.host == host}
    found |= {one.network for one in network.management if one.host == host}
    if network.nat and network.nat.host == host:
        found |= {network.nat.network, network.nat.external_device}
    return found


def thaw(task: Task, guest: GuestState, snapshot: Snapshot) -> None:
    """Let a guest write again whose file systems were held when it was stored."""
    problem = ""
    for _ in range(THAW_TRIES if snapshot.label.frozen else 0):
        try:
            agent.thaw(task.host.libvirt, task.domain(guest))
        except HostUnreachable as exc:
            problem = exc.message
            time.sleep(THAW_EVERY_S)  # a cancelled task thaws, too
        else:
            return
    if problem:
        words = f"The file systems of {guest.name} may be held: {problem}"
        task.log(f"{words} Run `virsh domfsthaw` on its host.", Stream.STDERR)


def set_clock(task: Task, guest: GuestState) -> None:
    """Set the clock of a guest that goes on in the past; a failure is only logged.

    A guest without an account of ours keeps the time of then.
    """
    if not task.host.state.boots_guests:
        return
    try:
        way = try_to_reach(task, guest)
        if way is None:
            return
        if isinstance(way, Diagnosis):
            problem = way.words
        else:
            now = command("date", "-u", "-s", f"@{time.time():.0f}")
            way.run(now.with_root(), scope=task.scope)
            task.log(f"the clock of {guest.name} was set")
            return
    except TestbedError as exc:
        problem = exc.message
    task.log(
        f"The clock of {guest.name} has the time of then: {problem}", Stream.STDERR
    )


def marks_of(guest: GuestState) -> Marks:
    """Return a guest's markers but for the identity of its disk, which stays."""
    return guest.markers.model_dump(exclude={"disk"}, exclude_defaults=True)


def note_restored(task: Task, guest: GuestState, snapshot: Snapshot) -> Outcome:
    """Restore the marks of a restored disk, and say how the guest is now."""
    is_as = "is off" if not snapshot.has_memory else f"is {snapshot.status}"
    if snapshot.is_outside:
        return Outcome(
            Status.WARNING,
            f"{is_as}; another program took this snapshot, so that nothing is known of "
            "the scripts that had run on its disk",
            "Use Run scripts again if they had not.",
        )
    try:
        then = Markers.model_validate(dict(snapshot.label.marks))
    except ValidationError as exc:
        logger.warning("%s of %s: %s", snapshot.name, guest.name, exc)
        then = guest.markers
    marks = then.model_dump(exclude={"disk"})
    if not snapshot.has_memory:  # it has to boot
        marks |= {"run_script": "", "run_script_exit_code": None}
    task.project.mark(guest.name, **marks)
    if snapshot.spec_hash != guest.spec_hash:
        return Outcome(
            Status.WARNING,
            f"{is_as}, with the settings of then",
            "Use Down, then Up, to apply the present ones.",
        )
    return done(is_as)
