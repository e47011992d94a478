"""The instructions that bring images, artefacts and disks to the hosts.

A base image is fetched once to main, goes to each remote host once, and is never
written to: each guest's disk is a qcow2 overlay on the copy of its own host.
"""

from pathlib import Path, PurePosixPath

from orchestration.events import Status
from orchestration.instructions.base import Outcome, Task, done, unchanged
from orchestration.instructions.prepare import is_simulated, local_artefact
from orchestration.providers import images, qemu_img
from orchestration.providers.libvirt import domains
from orchestration.spec.catalogue import Image
from orchestration.state.model import GuestState, ImageState
from orchestration.transport.base import command


def fetch_images(task: Task) -> Outcome:
    """Bring a base image into main's store, verified."""
    image = _image(task, task.resource.key)
    if is_simulated(task):
        return unchanged("not fetched in a rehearsal")
    changed = images.ensure_image(
        Image.model_validate(
            image.model_dump(exclude={"path", "main_path", "source"})
            | {"path": image.source}
        ),
        Path(image.main_path),
        scope=task.scope,
        on_progress=lambda done_, total: task.progress(done_, total, note="fetch"),
        log=task.log,
    )
    return done() if changed else unchanged()


def push_images(task: Task) -> Outcome:
    """Copy a base image to a remote host that does not have it."""
    image = _image(task, task.resource.key)
    if is_simulated(task):
        return unchanged("not copied in a rehearsal")
    changed = images.push_image(
        Path(image.main_path),
        task.host.transport,
        _guest_image_path(task, image),
        scope=task.scope,
        on_progress=lambda done_, total: task.progress(done_, total, note="copy"),
    )
    return done() if changed else unchanged()


def push_artefacts(task: Task) -> Outcome:
    """Copy one guest's seed and domain XML to its remote host."""
    guest = task.state.guest(task.resource.key)
    changed = [_push(task, path) for path in (guest.seed, guest.xml)]
    return done() if any(changed) else unchanged()


def create_disks(task: Task) -> Outcome:
    """Make one guest's disk on its host; `provision` makes it anew."""
    guest, transport = task.state.guest(task.resource.key), task.host.transport
    if task.options.provision:
        _discard_disk(task, guest)
    changed = qemu_img.create_overlay(
        transport,
        guest.disk,
        backing=guest.image.path,
        backing_format=guest.image.format,
        expand_gib=guest.expand_gib,
        scope=task.scope,
    )
    if not changed:
        return _kept(guest)
    task.project.mark(
        guest.name,
        disk=PurePosixPath(guest.image.path).name,
        reached="",
        script="",
        script_exit_code=None,
        run_script="",
        run_script_exit_code=None,
    )
    task.hosts.forget_guest(task.state, guest)
    return done(f"on {guest.image.name}")


def _kept(guest: GuestState) -> Outcome:
    """An image that was renewed in the catalogue does not take a guest's data."""
    image = PurePosixPath(guest.image.path).name
    if guest.markers.disk in ("", image):
        return unchanged()
    return Outcome(
        Status.WARNING,
        f"keeps its disk, which was made from {guest.markers.disk}",
        "Use Up with Provision to make it anew from the present image.",
    )


def _discard_disk(task: Task, guest: GuestState) -> None:
    if domains.destroy(task.host.libvirt, guest.domain):
        task.log("stopped, to be made anew")
    task.host.transport.run(
        command("rm", "-f", "--", guest.disk).with_root(), scope=task.scope
    )


def _push(task: Task, target: str) -> bool:
    source = local_artefact(task, target)
    if images.has_same_file(task.host.transport, source, target, scope=task.scope):
        return False
    task.host.transport.put(source, target, scope=task.scope, as_root=True)
    task.log(f"copied {source.name}")
    return True


def _image(task: Task, name: str) -> ImageState:
    return next(g.image for g in task.state.guests if g.image.name == name)


def _guest_image_path(task: Task, image: ImageState) -> str:
    return next(
        g.image.path
        for g in task.state.guests
        if g.image.name == image.name and g.host == task.resource.host
    )
