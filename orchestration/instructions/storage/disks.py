"""A guest's disk on its host: made linked, copied or blank; kept, replaced, deleted.

Domains are defined here, too: the domain's XML is made before the disk, and a disk may
still lie over an image that was renewed since, so the chain is checked whenever a
domain is defined. A user's file may refer to further files, and a guest could then read
any file of the host that it names. Only the host's own copy of such a file is used, and
only without such references.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestration.compose.disk_files import (
    HEAD_BYTES,
    advice,
    format_of_head,
    no_disk,
)
from orchestration.compose.language.schema import DriverType
from orchestration.errors import ForeignThing, ImageFailed, StateError
from orchestration.events import Status
from orchestration.instructions.artefacts import local_artefact
from orchestration.instructions.storage.own_disks import layers_over_copy
from orchestration.instructions.storage.snapshots import (
    forget_records,
    give_records_back,
)
from orchestration.instructions.task import (
    Outcome,
    Task,
    done,
    guest_here,
    unchanged,
)
from orchestration.project.host_keys import forget_disk, forget_key
from orchestration.providers.images import qemu_img
from orchestration.providers.images.digests import read_stamp
from orchestration.providers.images.qcow2 import (
    HEADER_BYTES,
    further_file,
    parse_header,
)
from orchestration.providers.images.qemu_img import Layer
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.xml.backing import with_layers
from orchestration.state.model import GuestState, Markers
from orchestration.state.model.images import DiskOrigin
from orchestration.transport.base import command

FORMATS = frozenset(DriverType)


def ensure_disk(task: Task, guest: GuestState) -> bool:
    """Make a guest's disk; False when it exists, as a disk is never changed.

    Raises: ImageFailed (no such file, not a whole disk), NotEnoughSpace, Cancelled.
    """
    transport = task.host.transport
    if guest.disk_origin is DiskOrigin.BLANK:
        return qemu_img.create_blank(
            transport, guest.disk, size_gib=guest.expand_gib, scope=task.scope
        )
    base = source_of(task, guest)
    if guest.disk_origin is DiskOrigin.LINKED:
        return qemu_img.create_overlay(
            transport,
            guest.disk,
            backing=base.layer.path,
            backing_format=base.layer.format,
            expand_gib=guest.expand_gib,
            size_bytes=base.virtual_bytes,
            scope=task.scope,
        )
    if qemu_img.exists(transport, guest.disk, scope=task.scope):
        return False
    qemu_img.convert(
        transport,
        base.layer,
        guest.disk,
        scope=task.scope,
        on_progress=task.on_progress("copy"),
    )
    return True


def made_from(task: Task, guest: GuestState) -> str:
    """Return what a disk's record holds of its image.

    The same definition makes another golden image each time it is prepared, and an
    overlay is garbage over any other image: hence also the digest of its content.
    """
    image = guest.image
    stamp = read_stamp(Path(image.main_path)) if image.golden else None
    return f"{image.identity} {stamp.digest.value[:16]}" if stamp else image.identity


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a disk; `virtual_bytes` is 0 where qemu-img may read it."""

    layer: Layer
    virtual_bytes: int = 0


def source_of(task: Task, guest: GuestState) -> Source:
    """Return the source of a disk; of a user's file the copy's header is read.

    QEMU itself never detects a format, as some formats name further files.
    Raises: ImageFailed (another format, not a whole disk, encrypted).
    """
    image = guest.image
    if not image.is_own or not task.host.state.keeps_images:
        return Source(Layer(image.path, image.format or DriverType.QCOW2))
    if image.format == DriverType.RAW:
        return Source(Layer(image.path, image.format))
    head = qemu_img.head(
        task.host.transport, image.path, HEADER_BYTES, scope=task.scope
    )
    found = format_of_head(head)
    if found not in FORMATS or found != (image.format or found):
        raise ImageFailed(
            f"The disk {image.name} of guest {guest.name} has the format {found}; "
            f"only {image.format or 'raw and qcow2'} can be used.",
            hint=f"Convert it: `qemu-img convert -O qcow2 {image.name} NEW`.",
        )
    if file := further_file(head):
        raise not_whole(guest, file)
    if problem := no_disk(head[:HEAD_BYTES], len(head)):
        raise _no_disk(guest, problem)
    header = parse_header(head)
    return Source(Layer(image.path, found), header.virtual_bytes if header else 0)


def _no_disk(guest: GuestState, problem: str) -> ImageFailed:
    return ImageFailed(
        f"The disk {guest.image.name} of guest {guest.name} {problem}.",
        hint=advice(problem),
    )


def not_whole(guest: GuestState, file: str) -> ImageFailed:
    """Return the error that a user's disk refers to a further file."""
    name = guest.image.name
    return ImageFailed(
        f"The disk {name} of guest {guest.name} is not whole: it needs another file.",
        hint=f"Make it whole: `qemu-img convert -O qcow2 {name} NEW`.",
        detail=f"it refers to {file}",
    )


MADE = {
    DiskOrigin.LINKED: "on {image}",
    DiskOrigin.COPIED: "a copy of {image}",
    DiskOrigin.BLANK: "blank",
}


def create_disks(task: Task) -> Outcome:
    """Make one guest's disk on its host; `provision` makes it anew."""
    guest = task.state.guest(task.resource.key)
    if not guest.disk:
        return unchanged("it has only a CD-ROM")
    if task.options.provision:
        discard_disk(task, guest)
    elif guest.markers.disk and qemu_img.exists(
        task.host.transport, guest.disk, scope=task.scope
    ):
        return _kept(task, guest)
    else:
        _forget_lost_disk(task, guest)
    return _recorded(task, guest, is_new=ensure_disk(task, guest))


def create_clones(task: Task) -> Outcome:
    """Record or judge one clone's disk, which `create_clone_disks` made if need be.

    Clones without a shared script, and those on simulated hosts, make their own.
    """
    guest = task.state.guest(task.resource.key)
    if not guest.image.golden:
        return create_disks(task)
    _require_disk_of_running(task, guest)
    is_new = not guest.markers.disk
    if not task.host.state.keeps_images:
        is_new = ensure_disk(task, guest) or is_new
    return _recorded(task, guest, is_new=is_new)


def _recorded(task: Task, guest: GuestState, *, is_new: bool) -> Outcome:
    """Record a new disk; judge one that is kept."""
    if not is_new:
        return _kept(task, guest)
    made = Markers(disk=made_from(task, guest))
    task.project.mark(guest.name, **dict(made))
    forget_key(task.project, guest.name)
    task.hosts.forget_guest(task.state, guest)
    return done(MADE[guest.disk_origin].format(image=guest.image.name))


def _forget_lost_disk(task: Task, guest: GuestState) -> None:
    """Forget what was set up on a disk that is gone, before a new one is made.

    Raises: StateError when the guest still runs on it.
    """
    _require_disk_of_running(task, guest)
    if guest.markers.disk:
        forget_disk(task.project, guest.name)
    forget_records(task, guest)


def _require_disk_of_running(task: Task, guest: GuestState) -> None:
    """Refuse to make a disk for a guest that runs. Raises: StateError."""
    try:
        found = domains.find(task.host.libvirt, task.domain(guest))
    except ForeignThing:  # the guest's start will refuse it
        return
    is_running = found is not None and found.is_active
    if is_running and not qemu_img.exists(
        task.host.transport, guest.disk, scope=task.scope
    ):
        raise StateError(
            f"The disk of guest {guest.name} is missing on {guest.host} while the "
            "guest runs: its data ends with it.",
            hint="Copy what you need out of the guest, then use Down and Up: Up makes "
            "a new disk and sets the guest up again.",
            detail=f"there is no file {guest.disk}",
        )


def _kept(task: Task, guest: GuestState) -> Outcome:
    """Keep an existing disk; an image renewed in the catalogue does not replace it.

    Nor does a user's file that is another one now: the disk keeps the former copy.
    Raises: ImageFailed when a golden image was prepared again below a clone.
    """
    is_blank = guest.disk_origin is DiskOrigin.BLANK
    identity, made = guest.image.identity, made_from(task, guest)
    if is_blank or guest.markers.disk in (identity, made):
        return unchanged()
    if not guest.markers.disk:  # the worker that made it died before recording it
        task.project.mark(guest.name, disk=made)
        return unchanged()
    if guest.image.golden and guest.markers.disk.startswith(identity):
        raise ImageFailed(
            f"The disk of clone {guest.name} on {guest.host} cannot be used: its "
            f"{guest.image.name} was lost and prepared again since.",
            hint="Use Up with Recreate disks: it erases the clone's disk.",
        )
    return Outcome(
        Status.WARNING,
        f"keeps its disk, which was made from {guest.markers.disk}",
        "Use Up with Recreate disks to start from the present image; it erases the disk.",
    )


def discard_disk(task: Task, guest: GuestState) -> None:
    """Delete a guest's disk and its record; the guest is powered off first."""
    if domains.destroy(task.host.libvirt, task.domain(guest)):
        task.log(f"{guest.name} was stopped, to be recreated")
    forget_records(task, guest)
    task.host.transport.run(
        command("rm", "-f", "--", guest.disk).with_root(), scope=task.scope
    )
    # Before the new disk is made: a worker that dies in between must not leave a new
    # disk with the record of the old one.
    forget_disk(task.project, guest.name)


def delete_disks(task: Task) -> Outcome:
    """Delete one guest's own disk and what it wrote; a base image is never touched."""
    guest = guest_here(task)
    disk = guest.disk or guest.console  # a guest may have only a CD-ROM
    if PurePosixPath(disk).parent != PurePosixPath(guest.artefacts_dir):
        return unchanged("its disk is not the testbed's own, and stays")
    transport, scope = task.host.transport, task.scope
    there = transport.run(
        command("test", "-e", disk).with_root(), scope=scope, check=False
    )
    # With a killed worker's partial copy.
    files = (disk, f"{disk}.part", guest.console, guest.key_report)
    remove = command("rm", "-f", "--", *files).with_root()
    forget_records(task, guest)
    transport.run(remove, scope=scope)
    if there.exit_code != 0:
        return unchanged("did not exist")
    forget_disk(task.project, guest.name)
    return done()


def define(task: Task, guest: GuestState) -> None:
    """Define a guest's domain. Raises: ImageFailed when its disk's chain is broken."""
    text = local_artefact(task, guest.xml).read_text()
    if guest.disk:
        text = with_layers(text, guest.disk, layers_below(task, guest))
    domains.define(task.host.libvirt, task.domain(guest), text)
    give_records_back(task, guest)


def layers_below(task: Task, guest: GuestState) -> Sequence[Layer]:
    """Return the layers below a guest's disk; those of a user's file are not opened."""
    if guest.image.is_own:
        return layers_over_copy(
            task, guest, lambda: source_of(task, guest).layer.format
        )
    return qemu_img.require_chain(
        task.host.transport,
        guest.disk,
        over=guest.image.path if guest.golden and guest.image.golden else "",
        scope=task.scope,
    )
