"""The instructions that bring images to the hosts.

A base image is fetched once to main, goes to each remote host once, and is never
written to. A user's file is copied, or unpacked, beside the base images, and is then
treated as one of these. `disks.py` makes the disks.
"""

from pathlib import Path

from orchestration.amounts import size
from orchestration.compose.catalogue import Image
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.providers.images import base_images, own_files, protection
from orchestration.providers.transfer import push
from orchestration.providers.transfer.sender import Sent
from orchestration.providers.transfer.source import stored_content
from orchestration.providers.transfer.store import Pushed
from orchestration.state.model.images import ImageState


def fetch_images(task: Task) -> Outcome:
    """Bring a base image into main's store, verified."""
    image = _image(task, task.resource.key)
    if not task.host.state.keeps_images:
        return unchanged("not fetched in a rehearsal")
    target = Path(image.main_path)
    if image.is_own:
        return _take(task, image)
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


def _take(task: Task, image: ImageState) -> Outcome:
    """Copy or unpack a user's file into main's store."""
    word = "unpack" if image.is_packed else "copy"
    changed = own_files.ensure_taken(
        task.host.transport,
        own_files.OwnFile(Path(image.source), image.stamp),
        Path(image.main_path),
        scope=task.scope,
        on_progress=task.on_progress(word),
        on_verify=task.on_progress("verify"),
        log=task.log,
    )
    done_word = "unpacked" if image.is_packed else "copied"
    return done(done_word) if changed else unchanged()


def push_images(task: Task) -> Outcome:
    """Copy a base image to a remote host that does not have it."""
    image = _image(task, task.resource.key)
    if not task.host.state.keeps_images:
        return unchanged("not copied in a rehearsal")
    content = stored_content(
        Path(image.main_path),
        scope=task.scope,
        on_progress=task.on_progress("digest"),
    )
    result = push.push(
        content,
        task.host.transport,
        _guest_image_path(task, image),
        locks=Path(task.state.main.images_dir),
        compressed=task.host.state.compress_copies,
        scope=task.scope,
        on_progress=task.on_progress("copy"),
        log=task.log,
    )
    if result.sent is not None:
        return _sent(task, result.sent)
    if result.pushed is Pushed.LINKED:
        return done("linked: the host has the same content")
    return unchanged("on the host already")


def _sent(task: Task, sent: Sent) -> Outcome:
    data, wire = size(sent.data_bytes), size(sent.wire_bytes)
    words = f"copied {data} ({wire} on the wire) in {sent.seconds:.1f} s"
    task.log(f"{words}; as a file it is {size(sent.size)}")
    return done(words)


def _image(task: Task, name: str) -> ImageState:
    return next(g.image for g in task.state.machines if g.image.name == name)


def _guest_image_path(task: Task, image: ImageState) -> str:
    return next(
        g.image.path
        for g in task.state.guests
        if g.image.name == image.name and g.host == task.resource.host
    )
