"""Disk images of a host by `qemu-img`: facts, overlays, conversion, health.

A guest's disk is a qcow2 overlay on a base image of the same host. Every file is
written beside its path and renamed: no unfinished file looks ready, and the file of a
dead worker is overwritten. Existing disks are never changed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from orchestration.errors import (
    Cancelled,
    HostUnreachable,
    ImageFailed,
    TestbedError,
)
from orchestration.events import Stream
from orchestration.providers.failures import Failure, failure_of, run_or_fail
from orchestration.providers.images.confinement import (
    BASE,
    SERVED,
    SOURCE,
    TARGET,
    confined,
)
from orchestration.transport.base import (
    Command,
    OnLine,
    OnProgress,
    Scope,
    Transport,
    command,
)

GIB = 1024**3
CONVERT_TIMEOUT_S = 6 * 3600.0
_PROGRESS = re.compile(r"\((\d+(?:\.\d+)?)/100%\)")
_LEAKS_ONLY = 3
_NOT_CHECKABLE = 63


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Facts of an image file; `backing` and `data_file` are other files it needs.

    They are as written in it, empty without. `snapshots` has the bytes of a guest's
    memory in each internal snapshot by its name, 0 for one without.
    """

    format: str
    virtual_size_bytes: int
    actual_size_bytes: int
    backing: str
    data_file: str = ""
    backing_format: str = ""
    snapshots: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of a chain of layers."""

    path: str
    format: str


def info(
    transport: Transport, path: str, *, image_format: str = "", scope: Scope
) -> ImageInfo:
    """Read an image's facts; works while a guest runs on it.

    Without `image_format` it is detected, which is only for images of our own.
    """
    failure = Failure(
        ImageFailed,
        f"The image {path} on {transport.machine} cannot be read.",
        "Check that the file exists there and is a disk image.",
    )
    words = ["--force-share", "--output=json", *_given_format(image_format), path]
    cmd = command("qemu-img", "info", *words)
    completed = run_or_fail(transport, cmd.with_root(), failure, scope=scope)
    try:
        facts = json.loads(completed.stdout)
        return ImageInfo(
            facts["format"],
            int(facts["virtual-size"]),
            int(facts.get("actual-size", 0)),
            facts.get("backing-filename", ""),
            _data_file(facts),
            facts.get("backing-filename-format", ""),
            {one["name"]: one["vm-state-size"] for one in facts.get("snapshots", ())},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise failure.build(f"qemu-img said: {completed.stdout[:500]}") from exc


def head(transport: Transport, path: str, size: int, *, scope: Scope) -> bytes:
    """Read a file's first bytes. Raises: ImageFailed."""
    failure = Failure(
        ImageFailed,
        f"The image {path} on {transport.machine} cannot be read.",
        "Check that the file exists there and is a disk image.",
    )
    words = ("-An", "-v", "-tx1", f"-N{size}", path)
    completed = run_or_fail(
        transport, command("od", *words).with_root(), failure, scope=scope
    )
    try:
        return bytes.fromhex(completed.stdout)
    except ValueError as exc:
        raise failure.build(f"od said: {completed.stdout[:500]}") from exc


def create_overlay(
    transport: Transport,
    path: str,
    *,
    backing: str,
    backing_format: str,
    expand_gib: int = 0,
    size_bytes: int = 0,
    scope: Scope,
) -> bool:
    """Make a qcow2 overlay, `expand_gib` larger than its base; False if it is there.

    With `size_bytes`, its size, the base is not opened. A disk that is there is never
    touched, whatever its base. Raises: ImageFailed, NotEnoughSpace.
    """
    if exists(transport, path, scope=scope):
        return False
    failure = _not_made(transport, path, backing)
    if expand_gib:
        base = info(transport, backing, image_format=backing_format, scope=scope)
        size_bytes = base.virtual_size_bytes + expand_gib * GIB
        size: tuple[str, ...] = (str(size_bytes),)
    else:
        size = (str(size_bytes),) if size_bytes else ()
    unread = ("-u",) if size_bytes and not expand_gib else ()
    with _written_beside(transport, path, failure, scope=scope) as part:
        words = ["-q", *unread, "-f", "qcow2", "-F", backing_format, "-b", backing]
        run_or_fail(transport, _create(*words, part, *size), failure, scope=scope)
    return True


def create_blank(
    transport: Transport, path: str, *, size_gib: int, scope: Scope
) -> bool:
    """Make an empty qcow2 disk; False if there is one. Raises: ImageFailed."""
    if exists(transport, path, scope=scope):
        return False
    failure = Failure(
        ImageFailed,
        f"The disk {path} could not be made on {transport.machine}.",
        "Look at what qemu-img said.",
    )
    with _written_beside(transport, path, failure, scope=scope) as part:
        words = ("-q", "-f", "qcow2", part, str(size_gib * GIB))
        run_or_fail(transport, _create(*words), failure, scope=scope)
    return True


def convert(
    transport: Transport,
    source: Layer,
    target: str,
    *,
    over: Layer | None = None,
    is_private: bool = False,
    target_format: str = "qcow2",
    scope: Scope,
    on_progress: OnProgress | None = None,
) -> None:
    """Copy an image into another format, flattened; progress in bytes of its data.

    Nothing but `over` may lie below it, whatever it says itself. It is read without
    rights, as a user or a guest may have made it; one that `is_private` is not readable
    for all. The partial copy is removed when it fails or is cancelled.
    """
    failure = Failure(
        ImageFailed,
        f"The image {source.path} on {transport.machine} could not be converted.",
        "Check that the file is a whole disk image.",
    )
    reading = _Reading(source, over, is_private)
    on_line: OnLine | None = None
    if on_progress is not None:
        total = _data_bytes(transport, reading, failure, scope=scope)
        on_line = _progress_reader(on_progress, total)
    with _written_beside(transport, target, failure, scope=scope) as part:
        words = ("convert", "-p", "-O", target_format, reading.node, TARGET)
        run_or_fail(
            transport,
            reading.command(part, *words),
            failure,
            scope=scope,
            timeout_s=CONVERT_TIMEOUT_S,
            on_line=on_line,
        )
        for owned in (("chown", "0:0", part), ("chmod", "0600", part)):
            transport.run(command(*owned).with_root(), scope=scope)


def data_bytes(
    transport: Transport, source: Layer, *, over: Layer | None = None, scope: Scope
) -> int:
    """Return the bytes that a private image takes when it is flattened.

    Raises: ImageFailed.
    """
    failure = Failure(
        ImageFailed,
        f"The image {source.path} on {transport.machine} cannot be read.",
        "Check that the file is a whole disk image.",
    )
    reading = _Reading(source, over, is_private=True)
    return _data_bytes(transport, reading, failure, scope=scope)


def rebase(
    transport: Transport,
    path: str,
    *,
    backing: str,
    backing_format: str,
    scope: Scope,
) -> None:
    """Let a stopped overlay lie over a copy of its base. Neither base is opened.

    Raises: ImageFailed.
    """
    failure = Failure(
        ImageFailed,
        f"The disk {path} on {transport.machine} could not be laid over {backing}.",
        "See that no process uses it, then start again.",
    )
    words = ("-u", "-f", "qcow2", "-F", backing_format, "-b", backing, path)
    cmd = command("qemu-img", "rebase", *words).with_root()
    run_or_fail(transport, cmd, failure, scope=scope)


def check(transport: Transport, path: str, *, scope: Scope) -> None:
    """Check a stopped qcow2 image's tables, without rights: all may read it.

    The files below it are not opened. Raises: ImageFailed when it is broken.
    """
    node = _node(Layer(SOURCE, "qcow2"))
    cmd = confined(path, "", "qemu-img", "check", "-q", node)
    completed = transport.run(
        cmd, scope=scope, timeout_s=CONVERT_TIMEOUT_S, check=False
    )
    if completed.exit_code not in (0, _LEAKS_ONLY, _NOT_CHECKABLE):
        failure = Failure(
            ImageFailed,
            f"The image {path} on {transport.machine} is broken.",
            "Create the disk again, or restore it from a copy.",
        )
        raise failure_of(completed, failure, machine=transport.machine)


def is_locked(transport: Transport, path: str, *, scope: Scope) -> bool:
    """Return whether a QEMU holds the image for writing."""
    words = ("info", "--output=json", "-f", "qcow2", path)
    cmd = command("qemu-img", *words).with_root()
    completed = transport.run(cmd, scope=scope, check=False)
    return completed.exit_code != 0 and "lock" in completed.stderr


def require_chain(
    transport: Transport, path: str, *, over: str = "", scope: Scope
) -> tuple[Layer, ...]:
    """Return the layers below a disk, the nearest first.

    Raises: ImageFailed (a layer is missing or broken, or `over` is not the only one).
    """
    words = ("--force-share", "--backing-chain", "--output=json", "-f", "qcow2", path)
    failure = Failure(
        ImageFailed,
        f"The disk {path} on {transport.machine} cannot be used: what it lies over "
        "is missing or broken.",
        "Put the file that is named below back, or use Up with Recreate "
        "disks: it erases the disk.",
    )
    cmd = command("qemu-img", "info", *words).with_root()
    completed = run_or_fail(transport, cmd, failure, scope=scope)
    try:
        chain = json.loads(completed.stdout)
        layers = [Layer(str(one["filename"]), str(one["format"])) for one in chain]
        elsewhere = [name for name in map(_data_file, chain) if name]
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise failure.build(f"qemu-img said: {completed.stdout[:500]}") from exc
    if elsewhere:
        raise failure.build(f"A layer keeps its data in another file: {elsewhere[0]}")
    below = [layer.path for layer in layers[1:]]
    if over and below != [over]:
        raise failure.build(
            f"It has to lie over {over}, and lies over {' over '.join(below) or 'nothing'}."
        )
    return tuple(layers[1:])


def _data_file(facts: dict[str, Any]) -> str:
    """Return the other file that a qcow2 image keeps its data in, or nothing."""
    name = facts.get("format-specific", {}).get("data", {}).get("data-file", "")
    return str(name)


def exists(transport: Transport, path: str, *, scope: Scope) -> bool:
    """Return whether a file of this name exists."""
    cmd = command("test", "-e", path).with_root()
    return transport.run(cmd, scope=scope, check=False).exit_code == 0


def _create(*words: str) -> Command:
    """Build the command that makes a disk; libvirt gives it to QEMU's user."""
    return command("qemu-img", "create", *words).with_umask(0o077).with_root()


def _given_format(image_format: str) -> tuple[str, ...]:
    return ("-f", image_format) if image_format else ()


def _not_made(transport: Transport, path: str, backing: str) -> Failure:
    return Failure(
        ImageFailed,
        f"The disk {path} could not be made on {transport.machine}.",
        f"Check that {backing} exists there.",
    )


@contextmanager
def _written_beside(
    transport: Transport, target: str, failure: Failure, *, scope: Scope
) -> Iterator[str]:
    """Yield the name to write to; rename it to the target, or remove it on failure."""
    part = f"{target}.part"
    try:
        yield part
        move = command("mv", "-f", part, target).with_root()
        run_or_fail(transport, move, failure, scope=scope)
    except HostUnreachable:
        raise
    except (Cancelled, TestbedError):
        _remove(transport, part, scope=scope)
        raise


def _remove(transport: Transport, path: str, *, scope: Scope) -> None:
    # In a scope of its own, because the task's may be cancelled. A file that cannot be
    # removed now is swept later; the original error matters more.
    with suppress(TestbedError):
        remove = command("rm", "-f", "--", path).with_root()
        transport.run(remove, scope=Scope(scope.tag), check=False)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the confined qemu-img reads an image, alone or over another one."""

    source: Layer
    over: Layer | None
    is_private: bool

    @property
    def node(self) -> str:
        """The image's name, with format and everything below it."""
        below = [Layer(BASE, self.over.format)] if self.over else []
        path = SERVED if self.is_private else SOURCE
        return _node(Layer(path, self.source.format), *below)

    def command(self, target: str, *words: str) -> Command:
        """The command; `target` is empty when nothing is written."""
        base = self.over.path if self.over else ""
        return confined(
            self.source.path,
            target,
            "qemu-img",
            *words,
            base=base,
            is_private=self.is_private,
        )


def _node(image: Layer, *below: Layer) -> str:
    """Name an image for qemu-img so that it opens these files only."""
    return f"json:{json.dumps(_described(image, *below), separators=(',', ':'))}"


def _described(image: Layer, *below: Layer) -> dict[str, object]:
    file: dict[str, object] = {"driver": "file", "filename": image.path}
    if image.path == SERVED:
        file = {"driver": "nbd", "server": {"type": "unix", "path": SERVED}}
    found: dict[str, object] = {"driver": image.format, "file": file}
    if image.format != "raw":
        found["backing"] = _described(*below) if below else None
    return found


def _data_bytes(
    transport: Transport, reading: _Reading, failure: Failure, *, scope: Scope
) -> int:
    """Return the image's data in bytes: holes are neither copied nor counted."""
    words = ("measure", "--force-share", "--output=json", "-O", "qcow2", reading.node)
    completed = run_or_fail(
        transport, reading.command("", *words), failure, scope=scope
    )
    try:
        return int(json.loads(completed.stdout)["required"])
    except (ValueError, KeyError, TypeError) as exc:
        raise failure.build(f"qemu-img said: {completed.stdout[:500]}") from exc


def _progress_reader(on_progress: OnProgress, total: int) -> OnLine:
    """Return a reader that turns the percentages of qemu-img into bytes."""

    def read(stream: Stream, text: str) -> None:
        if found := _PROGRESS.search(text):
            on_progress(round(float(found[1]) * total / 100), total)

    return read
