"""How a guest's disk is made on its host: linked, copied or blank.

Used by `images.create_disks`. A user's file may be anything: one that refers to
further files would show the guest what it names on the host, so only disks that
stand alone are used, and that is looked at again at each `up`.
"""

from pathlib import Path

from orchestration.compose.language.schema import DriverType
from orchestration.errors import ImageFailed
from orchestration.instructions.base import Task
from orchestration.instructions.prepare import is_simulated
from orchestration.instructions.templates import make_together
from orchestration.providers.images import qemu_img
from orchestration.providers.images.digests import read_stamp
from orchestration.state.model import GuestState
from orchestration.state.model.images import DiskOrigin

FORMATS = frozenset(DriverType)


def ensure_disk(task: Task, guest: GuestState) -> bool:
    """Make a guest's disk; False when it is there, which is never changed.

    Raises: ImageFailed (no such file, not a whole disk), NotEnoughSpace, Cancelled.
    """
    transport = task.host.transport
    if guest.disk_origin is DiskOrigin.BLANK:
        return qemu_img.create_blank(
            transport, guest.disk, size_gib=guest.expand_gib, scope=task.scope
        )
    base_format = format_of(task, guest)
    if guest.disk_origin is DiskOrigin.LINKED:
        made = make_together(task, guest, base_format)
        if made is not None:
            return made
        return qemu_img.create_overlay(
            transport,
            guest.disk,
            backing=guest.image.path,
            backing_format=base_format,
            expand_gib=guest.expand_gib,
            scope=task.scope,
        )
    if qemu_img.exists(transport, guest.disk, scope=task.scope):
        return False
    qemu_img.convert(
        transport,
        guest.image.path,
        guest.disk,
        source_format=base_format,
        scope=task.scope,
        on_progress=task.on_progress("copy"),
    )
    return True


def made_from(task: Task, guest: GuestState) -> str:
    """Return what a disk remembers of its image.

    The same definition makes another golden image each time it is prepared, and a
    layer over one is garbage over another: hence also the digest of its content.
    """
    image = guest.image
    stamp = read_stamp(Path(image.main_path)) if image.golden else None
    return f"{image.identity} {stamp.digest.value[:16]}" if stamp else image.identity


def format_of(task: Task, guest: GuestState) -> str:
    """Return the format of what the disk starts from, looked at when it is a user's."""
    image = guest.image
    if not image.is_own or is_simulated(task):
        return image.format or DriverType.QCOW2
    found = qemu_img.info(
        task.host.transport, image.path, image_format=image.format, scope=task.scope
    )
    if found.format not in FORMATS:
        raise ImageFailed(
            f"The disk {image.name} of guest {guest.name} has the format "
            f"{found.format}; only raw and qcow2 can be used.",
            hint=f"Convert it: `qemu-img convert -O qcow2 {image.name} NEW`.",
        )
    if found.backing or found.data_file:
        raise not_whole(guest, found.backing or found.data_file)
    return found.format


def not_whole(guest: GuestState, file: str) -> ImageFailed:
    """Say that a user's disk refers to a further file."""
    name = guest.image.name
    return ImageFailed(
        f"The disk {name} of guest {guest.name} is not whole: it needs another file.",
        hint=f"Make it whole: `qemu-img convert -O qcow2 {name} NEW`.",
        detail=f"it refers to {file}",
    )
