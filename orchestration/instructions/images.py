"""The instructions that bring images, artefacts and disks to the hosts.

A base image is fetched once to main, goes to each remote host once, and is never
written to; a user's file stays where it is on main. `disks.py` makes the disks.
"""

from pathlib import Path

from orchestration.compose.catalogue import Image
from orchestration.errors import ImageFailed
from orchestration.events import Status
from orchestration.instructions.base import Outcome, Task, done, unchanged
from orchestration.instructions.disks import ensure_disk, made_from
from orchestration.instructions.prepare import is_simulated, local_artefact
from orchestration.providers.images import base_images, protection
from orchestration.providers.libvirt import domains
from orchestration.providers.transfer import push
from orchestration.providers.transfer.push import Pushed
from orchestration.providers.transfer.sender import Sent, mebibytes
from orchestration.providers.transfer.source import Content, own_content, stored_content
from orchestration.state.model import GuestState, Markers
from orchestration.state.model.images import DiskOrigin, ImageState
from orchestration.transport.base import command

MADE = {
    DiskOrigin.LINKED: "on {image}",
    DiskOrigin.COPIED: "a copy of {image}",
    DiskOrigin.BLANK: "blank",
}


def fetch_images(task: Task) -> Outcome:
    """Bring a base image into main's store, verified."""
    image = _image(task, task.resource.key)
    if is_simulated(task):
        return unchanged("not fetched in a rehearsal")
    target = Path(image.main_path)
    changed = base_images.ensure_image(
        Image.model_validate(
            image.model_dump(exclude={"path", "main_path", "source"})
            | {"path": image.source}
        ),
        target,
        scope=task.scope,
        on_progress=task.on_progress("fetch"),
        on_verify=task.on_progress("verify"),
        log=task.log,
    )
    protection.ensure_guarded(task.host.transport, target, scope=task.scope)
    return done() if changed else unchanged()


def push_images(task: Task) -> Outcome:
    """Copy a base image to a remote host that does not have it."""
    image = _image(task, task.resource.key)
    if is_simulated(task):
        return unchanged("not copied in a rehearsal")
    result = push.push(
        _content(task, image),
        task.host.transport,
        _guest_image_path(task, image),
        locks=Path(task.state.main.images_dir),
        scope=task.scope,
        on_progress=task.on_progress("copy"),
        log=task.log,
    )
    if result.sent is not None:
        return _sent(task, result.sent)
    if result.pushed is Pushed.LINKED:
        return done("linked: the host has the same content")
    return unchanged("on the host already")


def push_artefacts(task: Task) -> Outcome:
    """Copy one guest's seed and domain XML to its remote host."""
    guest = task.state.guest(task.resource.key)
    artefacts = filter(None, (guest.seed, guest.xml))
    changed = [_push(task, path) for path in artefacts]
    return done() if any(changed) else unchanged()


def create_disks(task: Task) -> Outcome:
    """Make one guest's disk on its host; `provision` makes it anew."""
    guest = task.state.guest(task.resource.key)
    if not guest.disk:
        return unchanged("it has only a CD-ROM")
    if task.options.provision:
        _discard_disk(task, guest)
    if not ensure_disk(task, guest):
        return _kept(task, guest)
    made = Markers(disk=made_from(task, guest))
    task.project.mark(guest.name, **made.model_dump())
    task.hosts.forget_guest(task.state, guest)
    return done(MADE[guest.disk_origin].format(image=guest.image.name))


def _kept(task: Task, guest: GuestState) -> Outcome:
    """An image that was renewed in the catalogue does not take a guest's data.

    Raises: ImageFailed when a golden image was prepared again below a clone, or a
    user's file below a disk is another one now, by its size.
    """
    is_blank = guest.disk_origin is DiskOrigin.BLANK
    identity, made = guest.image.identity, made_from(task, guest)
    if is_blank or guest.markers.disk in (identity, made):
        return unchanged()
    if not guest.markers.disk:  # whoever made it died before he could note it
        task.project.mark(guest.name, disk=made)
        return unchanged()
    if guest.image.golden and guest.markers.disk.startswith(identity):
        raise ImageFailed(
            f"The disk of clone {guest.name} on {guest.host} cannot be used: its "
            f"{guest.image.name} was lost and prepared again since.",
            hint="Use Up with Provision to make the clone's disk anew.",
        )
    if _lies_over_another(guest):
        raise ImageFailed(
            f"The disk of guest {guest.name} on {guest.host} cannot be used: "
            f"{guest.image.name}, which it lies over, is another file now.",
            hint="Put the former file back, or use Up with Provision to make the "
            "guest's disk anew.",
            detail=f"the disk was made from {guest.markers.disk}",
        )
    return Outcome(
        Status.WARNING,
        f"keeps its disk, which was made from {guest.markers.disk}",
        "Use Up with Provision to make it anew from the present image.",
    )


def _lies_over_another(guest: GuestState) -> bool:
    """Say whether a user's file was exchanged below a disk.

    On main disks lie over the file itself. One of the same size may be the same one,
    uploaded again.
    """
    image = guest.image
    is_below = guest.disk_origin is DiskOrigin.LINKED and image.path == image.main_path
    same_size = f"{image.name} {image.size_bytes} bytes "
    return image.is_own and is_below and not guest.markers.disk.startswith(same_size)


def _discard_disk(task: Task, guest: GuestState) -> None:
    if domains.destroy(task.host.libvirt, guest.domain):
        task.log("stopped, to be made anew")
    task.host.transport.run(
        command("rm", "-f", "--", guest.disk).with_root(), scope=task.scope
    )
    # Before there is another one: a worker that dies then must not leave a new disk of
    # which is noted what happened to the old one.
    task.project.mark(guest.name, **Markers().model_dump())


def _content(task: Task, image: ImageState) -> Content:
    source = Path(image.main_path)
    if not image.is_own:
        return stored_content(
            source, scope=task.scope, on_progress=task.on_progress("digest")
        )
    return own_content(
        source,
        Path(task.state.main.images_dir),
        scope=task.scope,
        on_progress=task.on_progress("digest"),
        log=task.log,
    )


def _sent(task: Task, sent: Sent) -> Outcome:
    data, wire = mebibytes(sent.data_bytes), mebibytes(sent.wire_bytes)
    words = f"copied {data} ({wire} on the wire) in {sent.seconds:.1f} s"
    task.log(f"{words}; as a file it is {mebibytes(sent.size)}")
    return done(words)


def _push(task: Task, target: str) -> bool:
    source = local_artefact(task, target)
    if base_images.has_same_file(task.host.transport, source, target, scope=task.scope):
        return False
    task.host.transport.put(
        source,
        target,
        scope=task.scope,
        as_root=True,
        on_progress=task.on_large(source.stat().st_size, f"copy {source.name}"),
    )
    task.log(f"copied {source.name}")
    return True


def _image(task: Task, name: str) -> ImageState:
    return next(g.image for g in task.state.machines if g.image.name == name)


def _guest_image_path(task: Task, image: ImageState) -> str:
    return next(
        g.image.path
        for g in task.state.guests
        if g.image.name == image.name and g.host == task.resource.host
    )
