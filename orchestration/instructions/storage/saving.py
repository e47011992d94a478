"""The instruction that saves a guest's disk as an image in main's store.

The disk is read with all that lies below it, and becomes one file that needs no other.
A guest is off meanwhile, so that its file systems are whole. On a remote host the image
is made there and then fetched, because only its data has to travel. The name appears in
main's store when the content is complete, and its stamp, which makes it an image of the
catalogue, after that.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from orchestration.amounts import size
from orchestration.errors import ImageFailed, StateError, TestbedError
from orchestration.files import make_passable
from orchestration.instructions.storage.disks import layers_below
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.plan.images import ImageWish
from orchestration.providers.images import base_images, protection, qemu_img
from orchestration.providers.images.digests import (
    Digest,
    digest_of,
    stamp_name,
    write_stamp,
)
from orchestration.providers.images.download import not_stored
from orchestration.providers.images.qemu_img import Layer
from orchestration.providers.images.space import free_bytes, require_space
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.snapshots import obstacles, verbs
from orchestration.state.model import GuestState
from orchestration.transport.base import Scope, command

FETCH_TIMEOUT_S = 6 * 3600.0


def save_images(task: Task) -> Outcome:
    """Save one guest's disk as an image.

    Raises: ImageFailed (it runs, has no disk, or the disk is another program's),
    NotEnoughSpace, Cancelled.
    """
    guest = task.state.guest(task.resource.key)
    if not task.host.state.keeps_images:
        return unchanged("not saved in a rehearsal")
    _require_free_disk(task, guest)
    file, began = _wish_of(task).files[guest.name], time.monotonic()
    target = Path(task.state.main.images_dir, file)
    make_passable(target.parent)
    with _removed_on_failure(task, target):
        if task.host.state.is_main:
            _flatten(task, guest, str(target))
            found = digest_of(target, "sha256", task.scope, task.on_progress("verify"))
        else:
            found = _from_host(task, guest, target)
        write_stamp(target, found)
    seconds = time.monotonic() - began
    words = f"{size(target.stat().st_size)} in {seconds:.1f} s, sha256 {found.value}"
    return done(words)


def _wish_of(task: Task) -> ImageWish:
    if task.image is None:
        raise StateError("The plan does not say which image.")
    return task.image


def _require_free_disk(task: Task, guest: GuestState) -> None:
    """Refuse a disk that a guest writes to, or that is not the testbed's."""
    if not guest.disk:
        raise _failed(guest, "has no disk: only a CD-ROM", "Choose another guest.")
    found = domains.find(task.host.libvirt, task.domain(guest))
    if found is not None and found.is_active:
        problem = f"is {found.status}, and an image is saved of a guest that is off"
        raise _failed(guest, problem, "Shut it down, or let this be done before.")
    situation = verbs.look(task.host.libvirt, task.domain(guest))
    if situation and (obstacle := obstacles.to_all(situation, guest.disk)):
        raise _failed(guest, obstacle.problem, obstacle.hint)
    if not qemu_img.exists(task.host.transport, guest.disk, scope=task.scope):
        raise _failed(guest, "has no disk yet", "Use Up.")


def _failed(guest: GuestState, problem: str, hint: str) -> ImageFailed:
    return ImageFailed(f"Guest {guest.name} on {guest.host} {problem}.", hint=hint)


def _flatten(task: Task, guest: GuestState, target: str) -> None:
    """Write a disk with all below it into one file of its host, root's and read-only.

    It is not compressed: each guest that is made from it reads it all its life, and
    the sending to hosts has a compression of its own.
    """
    transport, scope = task.host.transport, task.scope
    below = layers_below(task, guest)
    images = PurePosixPath(task.host.state.images_dir)
    if len(below) > 1:
        raise _failed(
            guest,
            f"has a disk that lies over {' over '.join(one.path for one in below)}",
            "Another program laid it there; undo that.",
        )
    disk, over = Layer(guest.disk, "qcow2"), next(iter(below), None)
    # The disk says so itself, and root reads it: QEMU may have written there.
    if over is not None and PurePosixPath(over.path).parent != images:
        raise _failed(
            guest,
            f"has a disk that lies over {over.path}, which is not in {images}",
            "Use Up with Recreate disks: it erases the disk.",
        )
    folder = str(PurePosixPath(target).parent)
    transport.run(command("mkdir", "-p", folder).with_root(), scope=scope)
    require_space(
        f"the image of {guest.name}",
        f"in {folder} on {guest.host}",
        needed_bytes=qemu_img.data_bytes(transport, disk, over=over, scope=scope),
        free_bytes=free_bytes(transport, folder, scope=scope),
    )
    qemu_img.convert(
        transport,
        disk,
        target,
        over=over,
        is_private=True,
        scope=scope,
        on_progress=task.on_progress("save"),
    )
    transport.run(protection.guard(target), scope=scope)


def _from_host(task: Task, guest: GuestState, target: Path) -> Digest:
    """Make the image on the guest's host, fetch it to main, and compare the digests."""
    transport = task.host.transport
    there = str(PurePosixPath(task.host.state.images_dir, target.name))
    try:
        _flatten(task, guest, there)
        part = target.with_name(f"{target.name}.part")
        _fetch(task, guest, there, part)
        found = digest_of(part, "sha256", task.scope, task.on_progress("verify"))
        told = transport.run(
            command("sha256sum", there).with_root(),
            scope=task.scope,
            timeout_s=FETCH_TIMEOUT_S,
        )
        if told.stdout.split()[:1] != [found.value]:
            raise _failed(
                guest, "has an image that arrived damaged on main", "Try again."
            )
        part.replace(target)
        return found
    finally:
        # A push brings it there again, where a guest is made from it. In a scope of its
        # own, because the task's may be cancelled.
        with suppress(TestbedError):
            remove = command("rm", "-f", "--", there, f"{there}.part").with_root()
            transport.run(remove, scope=Scope(task.scope.tag), check=False)


def _fetch(task: Task, guest: GuestState, there: str, part: Path) -> None:
    """Copy an image from its host into a new file of main."""
    transport, scope, received = task.host.transport, task.scope, 0
    asked = transport.run(command("stat", "-c", "%s", there).with_root(), scope=scope)
    if not asked.stdout.strip().isdecimal():
        problem = f"has an image of unknown size: stat said {asked.stdout[:100]!r}"
        raise _failed(guest, problem, "Look at what `stat` is on that host.")
    total = int(asked.stdout)
    base_images.check_space(part, total)
    report = task.on_progress("fetch")
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)

            def take(data: bytes) -> None:
                nonlocal received
                file.write(data)
                received += len(data)
                report(received, total)

            read = command("cat", "--", there).with_root()
            transport.run(read, scope=scope, timeout_s=FETCH_TIMEOUT_S, on_bytes=take)
    except OSError as exc:
        raise not_stored(part, exc) from exc


@contextmanager
def _removed_on_failure(task: Task, target: Path) -> Iterator[None]:
    """Leave no file on main of an image that was not saved to its end."""
    try:
        yield
    except BaseException:
        names = (str(target), f"{target}.part", stamp_name(str(target)))
        with suppress(TestbedError):
            # It may be root's already.
            remove = command("rm", "-f", "--", *names).with_root()
            main = task.hosts.open(task.state.main).transport
            main.run(remove, scope=Scope(task.scope.tag), check=False)
        raise
