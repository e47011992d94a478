"""The instruction that prepares golden images, the backing files of clones' disks.

A golden image is made once on main, under a name derived from everything that goes into
it, and never written to again. Its guest runs on a working disk of its own. When the
guest is off, the disk's content is put into the store, whole and under its final name.
Every image in the store is therefore ready, for this testbed and for any other.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from orchestration.errors import CommandFailed, ImageFailed, StateError, TestbedError
from orchestration.events import Status
from orchestration.instructions.boot import admission
from orchestration.instructions.boot.reaching import wait_until_reachable
from orchestration.instructions.scripts import script_digest
from orchestration.instructions.storage.disks import define, ensure_disk, source_of
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.instructions.user_scripts import run_user_script
from orchestration.project.host_keys import forget_key
from orchestration.providers.guest.sealing import seal
from orchestration.providers.images import protection, qemu_img
from orchestration.providers.images.digests import (
    digest_of,
    is_as_noted,
    noted_digest,
    stamp_name,
    write_stamp,
)
from orchestration.providers.images.locks import locked
from orchestration.providers.images.qcow2 import HEADER_BYTES, data_file
from orchestration.providers.images.qemu_img import Layer
from orchestration.providers.libvirt import domains
from orchestration.state.model import GoldenState, GuestState, ScriptState
from orchestration.transport.base import Scope, Transport, command

# As long as a distribution's own services may take; our test guest needs 2 s.
SHUT_DOWN_TIMEOUT_S = 90.0
UNLOCK_TIMEOUT_S = 30.0
UNLOCK_POLL_S = 0.25
SEAL_TIMEOUT_S = 600.0
SYNC_TIMEOUT_S = 600.0


def prepare_goldens(task: Task) -> Outcome:
    """Make one golden image, unless the same one exists already."""
    golden = task.state.golden(task.resource.key)
    target = Path(golden.image.path)
    lock = locked(target, task.scope, task.log, purpose="golden")
    with lock if task.host.state.keeps_images else nullcontext():
        if _is_ready(task, golden):
            return unchanged("prepared before")
        with _working_disk(task, golden):
            if golden.is_started:
                was_forced = _run_shared_script(task, golden)
                disk = Layer(golden.guest.disk, "qcow2")
                _store(task, golden, disk, source_of(task, golden.guest).layer)
                return _forced() if was_forced else done("prepared")
            _store(task, golden, source_of(task, golden.guest).layer)
            return done("copied")


def _is_ready(task: Task, golden: GoldenState) -> bool:
    """Return whether the image is in the store. Raises: ImageFailed when it changed."""
    path = golden.image.path
    if not qemu_img.exists(task.host.transport, path, scope=task.scope):
        return False
    if not task.host.state.keeps_images:
        return True
    protection.ensure_guarded(task.host.transport, Path(path), scope=task.scope)
    if is_as_noted(Path(path), task.scope, task.on_progress("verify")):
        return True
    if noted_digest(Path(path)) is None:  # the worker died just before writing it
        _write_stamp(task, path)
        return True
    raise ImageFailed(
        f"The {golden.image.name} was changed after it was prepared: {path}.",
        hint="Take every testbed with clones of it down, delete the file, and "
        "start Up again with Recreate disks.",
    )


@contextmanager
def _working_disk(task: Task, golden: GoldenState) -> Iterator[None]:
    """Remove domain and working files before, as a crash leaves them, and after."""
    _discard(task, golden, task.scope)
    try:
        yield
    finally:
        # In a scope of its own: the task's own may be cancelled.
        try:
            _discard(task, golden, Scope(task.scope.tag))
        except TestbedError as exc:
            task.log(f"could not clean up, the next up does: {exc.message}")


def _discard(task: Task, golden: GoldenState, scope: Scope) -> None:
    guest = golden.guest
    task.hosts.forget_guest(task.state, guest)
    forget_key(task.project, guest.name)
    admission.boot_ended(task, guest)
    if domains.destroy(task.host.libvirt, task.domain(guest)):
        task.log("powered off")
    domains.undefine(task.host.libvirt, task.domain(guest))
    files = (
        guest.disk,
        f"{guest.disk}.part",
        guest.console,
        guest.key_report,
        _new(golden),
        f"{_new(golden)}.part",
    )
    remove = command("rm", "-f", "--", *files).with_root()
    task.host.transport.run(remove, scope=scope)


def _run_shared_script(task: Task, golden: GoldenState) -> bool:
    """Start the guest, run the script, seal, shut down; True when forced off."""
    guest, conn = golden.guest, task.host.libvirt
    _require_as_planned(task, golden)
    ensure_disk(task, guest)
    define(task, guest)
    admission.start_in_turn(task, guest)
    task.log("started")
    transport = wait_until_reachable(task, guest)
    if guest.setup_script is not None:
        _run(task, transport, guest.setup_script)
        _require_as_planned(task, golden)  # the boot took long enough for an edit
    transport.run(
        seal(guest.user),
        scope=task.scope,
        timeout_s=SEAL_TIMEOUT_S,
        on_line=task.on_line,
    )
    task.log("shuts down")
    is_off = domains.shut_down(
        conn, task.domain(guest), sleep=task.scope.sleep, timeout_s=SHUT_DOWN_TIMEOUT_S
    )
    if not is_off:
        domains.destroy(conn, task.domain(guest))
    _wait_until_unlocked(task, guest)
    return not is_off


def _require_as_planned(task: Task, golden: GoldenState) -> None:
    """Check that the image's content is what its name stands for. Raises: StateError.

    Its context is in its seed, and was checked when the seed was written.
    """
    script = golden.guest.setup_script
    if script and script_digest(task, script) != script.sha256:
        raise StateError(
            f"The script {script.path} was edited after golden image {golden.name} "
            "was planned.",
            hint="Start up again: the image is made with the new one.",
        )


def _run(task: Task, transport: Transport, script: ScriptState) -> None:
    exit_code = run_user_script(task, transport, script)
    if exit_code:
        raise CommandFailed(
            f"{script.path} for golden image {task.resource.key} ended with exit "
            f"code {exit_code}.",
            exit_code=exit_code,
            hint="Read its log, fix the script, and start up again. Nothing was made.",
        )


def _wait_until_unlocked(task: Task, guest: GuestState) -> None:
    """Wait until QEMU releases the disk, which is after libvirt reports it off."""
    waited_s = 0.0
    while qemu_img.is_locked(task.host.transport, guest.disk, scope=task.scope):
        if waited_s >= UNLOCK_TIMEOUT_S:
            raise ImageFailed(
                f"The disk of golden image {guest.name} is still in use "
                f"{UNLOCK_TIMEOUT_S:.0f} s after its guest was shut down.",
                hint=f"See which process uses {guest.disk}, then start up again.",
            )
        task.scope.sleep(UNLOCK_POLL_S)
        waited_s += UNLOCK_POLL_S


def _store(
    task: Task, golden: GoldenState, source: Layer, over: Layer | None = None
) -> None:
    """Put a disk's content into the store; the rename makes it ready."""
    transport, target = task.host.transport, golden.image.path
    new = _new(golden)
    if over is not None and task.host.state.keeps_images:
        _open_working_disk(task, golden)
    qemu_img.convert(
        transport,
        source,
        new,
        over=over,
        scope=task.scope,
        on_progress=task.on_progress("store"),
    )
    transport.run(protection.guard(new), scope=task.scope)
    qemu_img.check(transport, new, scope=task.scope)
    # The stamp of a deleted image would make the new one look changed.
    old_stamp = ("rm", "-f", "--", stamp_name(target))
    put = (("sync", new), old_stamp, ("mv", "-f", new, target))
    for found in put:
        transport.run(
            command(*found).with_root(), scope=task.scope, timeout_s=SYNC_TIMEOUT_S
        )
    if task.host.state.keeps_images:
        _write_stamp(task, target)


def _open_working_disk(task: Task, golden: GoldenState) -> None:
    """Let the confined qemu-img read the disk on which a guest ran, if it is whole.

    All may read the image that is made of it, too. Raises: ImageFailed.
    """
    transport, disk = task.host.transport, golden.guest.disk
    head = qemu_img.head(transport, disk, HEADER_BYTES, scope=task.scope)
    if file := data_file(head):
        raise ImageFailed(
            f"The disk of golden image {golden.name} cannot be used: it keeps its data "
            "in another file.",
            hint="Start up again. If it happens again, distrust its image and script.",
            detail=f"it refers to {file}",
        )
    transport.run(command("chmod", "0444", disk).with_root(), scope=task.scope)


def _write_stamp(task: Task, target: str) -> None:
    path = Path(target)
    digest = digest_of(path, "sha256", task.scope, task.on_progress("verify"))
    write_stamp(path, digest)


def _new(golden: GoldenState) -> str:
    return f"{golden.image.path}.new"


def _forced() -> Outcome:
    return Outcome(
        Status.WARNING,
        f"did not answer the power button within {SHUT_DOWN_TIMEOUT_S:.0f} s and was "
        "powered off",
        "See that the shared script leaves acpid or systemd-logind running.",
    )
