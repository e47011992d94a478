"""The disks over copies of users' files, and those of earlier versions.

The copy below a disk is read-only and was checked when the disk was made, so it is not
opened again. Earlier versions laid disks on main over the user's file itself; such a
disk is laid over the copy at its next start. Used by `disks.py`.
"""

from collections.abc import Callable
from pathlib import PurePosixPath

from orchestration.errors import ImageFailed
from orchestration.instructions.task import Task
from orchestration.providers.images import qemu_img
from orchestration.providers.images.qemu_img import ImageInfo, Layer
from orchestration.providers.libvirt import domains
from orchestration.state.model import GuestState


def layers_over_copy(
    task: Task, guest: GuestState, base_format: Callable[[], str]
) -> tuple[Layer, ...]:
    """Return what a disk made from a user's file lies over: one copy, or nothing.

    Raises: ImageFailed (it lies over another file, or the copy is missing).
    """
    transport, scope = task.host.transport, task.scope
    found = qemu_img.info(transport, guest.disk, image_format="qcow2", scope=scope)
    if found.data_file:
        raise _broken(guest, f"It keeps its data in {found.data_file}.")
    if not found.backing:
        return ()
    if found.backing == guest.image.source:
        return (_over_original(task, guest, found, base_format),)
    folder = PurePosixPath(task.host.state.images_dir)
    if PurePosixPath(found.backing).parent != folder:
        raise _broken(guest, f"It lies over {found.backing}, which is not in {folder}.")
    if task.host.state.keeps_images and not qemu_img.exists(
        transport, found.backing, scope=scope
    ):
        raise _broken(guest, f"It lies over {found.backing}, which is missing.")
    return (Layer(found.backing, found.backing_format),)


def _over_original(
    task: Task, guest: GuestState, found: ImageInfo, base_format: Callable[[], str]
) -> Layer:
    """Lay a disk of an earlier version over the copy, unless its guest runs."""
    domain = domains.find(task.host.libvirt, task.domain(guest))
    if domain is not None and domain.is_active:
        return Layer(found.backing, found.backing_format)
    image = guest.image
    if not guest.markers.disk.startswith(f"{image.name} {image.size_bytes} bytes "):
        raise ImageFailed(
            f"The disk of guest {guest.name} on {guest.host} cannot be used: "
            f"{image.name}, which it lies over, is another file now.",
            hint="Put the former file back, or use Up with Recreate disks: it erases "
            "the guest's disk.",
            detail=f"the disk was made from {guest.markers.disk}",
        )
    layer = Layer(image.path, base_format())
    qemu_img.rebase(
        task.host.transport,
        guest.disk,
        backing=layer.path,
        backing_format=layer.format,
        scope=task.scope,
    )
    task.log(f"its disk lies over the copy {layer.path} now")
    return layer


def _broken(guest: GuestState, detail: str) -> ImageFailed:
    return ImageFailed(
        f"The disk of guest {guest.name} on {guest.host} cannot be used: what it lies "
        "over is missing or another file.",
        hint="Put the file that is named below back, or use Up with Recreate disks: it "
        "erases the disk.",
        detail=detail,
    )
