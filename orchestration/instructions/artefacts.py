"""The instructions for a testbed's own files: its state, its artefacts, their removal.

Artefacts are generated on main, beside the state, and copied to the guests' hosts. A
seed is written again only when its contents have changed.
"""

from hashlib import sha256
from pathlib import Path, PurePosixPath

from orchestration.amounts import count_of
from orchestration.errors import StateError
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.project.contexts import context_archive
from orchestration.providers.guest import cloud_init
from orchestration.providers.guest.seed import QEMU_GROUPS, SEED_MODE
from orchestration.providers.images import base_images
from orchestration.providers.libvirt.xml.domain import build_domain
from orchestration.state.model import GuestState
from orchestration.transport.base import command


def begin(task: Task) -> Outcome:
    """Refuse to work with a state that is not this testbed's own."""
    if task.state.testbed != task.resource.key:
        raise StateError(
            f"The state belongs to testbed {task.state.testbed}.",
            hint="Delete disks and artefacts, then generate them again.",
        )
    if not Path(task.state.identity_file).exists():
        raise StateError(
            "The key that logs in to this testbed's guests is missing.",
            hint="Restore the testbed's keys folder from a backup.",
        )
    guests, hosts = (
        count_of(len(task.state.guests), "guest"),
        len(task.state.used_hosts),
    )
    if chosen := task.options.guests:
        task.log(f"{len(chosen)} of {guests}")
    else:
        task.log(f"{guests} on {count_of(hosts, 'host')}")
    return done()


def check_artefacts(task: Task) -> Outcome:
    """Check that the state on disk parses and that artefacts can be written."""
    task.project.read_state()
    task.project.create()
    return done()


def generate_artefacts(task: Task) -> Outcome:
    """Write one guest's domain XML, and its seed when it reads one."""
    guest = task.state.guest(task.resource.key)
    task.project.artefacts.mkdir(parents=True, exist_ok=True)
    changed = [_write_xml(task, guest)]
    if guest.seed:
        changed.append(_write_seed(task, guest))
    return done() if any(changed) else unchanged()


def clear_artefacts(task: Task) -> Outcome:
    """Remove state and artefacts on main; the user's files stay."""
    task.project.clear()
    return done()


def end(task: Task) -> Outcome:
    """Do nothing: `End` only closes the plan."""
    return unchanged()


def local_artefact(task: Task, path: str) -> Path:
    """Return where main keeps the artefact that a guest's host has at `path`."""
    return task.project.artefacts / PurePosixPath(path).name


def _write_seed(task: Task, guest: GuestState) -> bool:
    # Earlier versions made the key here, and put it on the seed.
    (task.project.artefacts / f"{guest.name}-host-key").unlink(missing_ok=True)
    files: dict[str, bytes] = {
        "meta-data": cloud_init.build_meta_data(guest),
        "user-data": cloud_init.build_user_data(
            guest, public_key=task.state.public_key
        ),
        "network-config": cloud_init.build_network_config(guest),
    }
    if guest.context:
        folder = task.project.file(guest.context)
        if not folder.exists():
            raise StateError(
                f"The context {guest.context} of guest {guest.name} does not exist.",
                hint="Upload it, or remove the key from kvm-compose.yaml.",
            )
        root = task.project.files.resolve()
        files["context.tar"] = archive = context_archive(folder, root)
        _require_planned_context(task, guest, archive)
    seed = local_artefact(task, guest.seed)
    stamp = seed.with_suffix(".sha256")
    digest = cloud_init.seed_digest(files)
    if seed.exists() and stamp.exists() and stamp.read_text() == digest:
        return False
    cloud_init.write_seed(seed, files)
    stamp.write_text(digest)
    task.log(f"wrote {seed.name}")
    return True


def _require_planned_context(task: Task, guest: GuestState, archive: bytes) -> None:
    """Check that a golden image gets the context that its name stands for.

    Reads the packed context, not the folder, which may be edited and edited back.
    Raises: StateError.
    """
    planned = [g.context_sha256 for g in task.state.goldens if g.name == guest.name]
    if planned not in ([], [sha256(archive).hexdigest()]):
        raise StateError(
            f"The context {guest.context} was edited after golden image {guest.name} "
            "was planned.",
            hint="Start up again: the image is made with the new one.",
        )


def _write_xml(task: Task, guest: GuestState) -> bool:
    host = task.state.host(guest.host)
    text = build_domain(guest, host, testbed=task.state.testbed)
    path = local_artefact(task, guest.xml)
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    task.log(f"wrote {path.name}")
    return True


def forget_removed(task: Task) -> Outcome:
    """Drop the records of removed resources, which no longer exist."""
    task.project.forget_deployed()
    return done()


def push_artefacts(task: Task) -> Outcome:
    """Copy one guest's seed and domain XML to its remote host."""
    guest = task.state.guest(task.resource.key)
    artefacts = filter(None, (guest.seed, guest.xml))
    changed = [_push(task, path) for path in artefacts]
    return done() if any(changed) else unchanged()


def _share_with_qemu(task: Task, path: str) -> None:
    """Let QEMU's group on a host read a file, where it has one that is known here."""
    for group in QEMU_GROUPS:
        change = command("chgrp", group, path).with_root()
        if not task.host.transport.run(change, scope=task.scope, check=False).exit_code:
            return


def _push(task: Task, target: str) -> bool:
    source = local_artefact(task, target)
    if base_images.has_same_file(task.host.transport, source, target, scope=task.scope):
        return False
    task.host.transport.put(
        source,
        target,
        scope=task.scope,
        mode=SEED_MODE,
        as_root=True,
        on_progress=task.on_large(source.stat().st_size, f"copy {source.name}"),
    )
    if task.host.state.keeps_images:
        _share_with_qemu(task, target)
    task.log(f"copied {source.name}")
    return True
