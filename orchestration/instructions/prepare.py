"""The instructions around the work: begin, artefacts, hosts, folders, clean up.

Artefacts are generated on main, beside the state; `images.py` brings them to the
hosts. A seed is written again only when what goes into it has changed.
"""

from hashlib import sha256
from pathlib import Path, PurePosixPath

from orchestration.errors import StateError
from orchestration.events import Status
from orchestration.hosts import examine
from orchestration.instructions.base import Outcome, Task, done, unchanged
from orchestration.providers.guest import cloud_init, keys
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.xml.domain import build_domain
from orchestration.providers.ovs import bridges
from orchestration.state.model import GuestState, HostKind
from orchestration.transport.base import command


def begin(task: Task) -> Outcome:
    """Refuse to work with a state that is not this testbed's own."""
    if task.state.testbed != task.resource.key:
        raise StateError(
            f"The state belongs to testbed {task.state.testbed}.",
            hint="Clear the artefacts and generate them again.",
        )
    if not Path(task.state.identity_file).exists():
        raise StateError(
            "The key that logs in to this testbed's guests is missing.",
            hint="Restore the testbed's keys folder from a backup.",
        )
    guests, hosts = len(task.state.guests), len(task.state.used_hosts)
    task.log(f"{guests} guests on {hosts} hosts")
    return done()


def check_artefacts(task: Task) -> Outcome:
    """See that the state on disk parses and that artefacts can be written."""
    task.project.read_state()
    task.project.create()
    return done()


def generate_artefacts(task: Task) -> Outcome:
    """Write one guest's domain XML, and its host key and seed when it reads one."""
    guest = task.state.guest(task.resource.key)
    task.project.artefacts.mkdir(parents=True, exist_ok=True)
    changed = [_write_xml(task, guest)]
    if guest.seed:
        changed.append(_write_seed(task, guest))
    return done() if any(changed) else unchanged()


def check_hosts(task: Task) -> Outcome:
    """See that SSH, libvirt and Open vSwitch of one host answer."""
    host = task.host
    facts = examine(host, scope=task.scope)
    task.log(
        f"{facts.cpus} cpus, {facts.free_memory_mib} of {facts.memory_mib} MiB free, "
        f"{host.state.domain_type} guests, Open vSwitch {facts.switch_version} "
        f"({host.state.datapath} datapath)"
    )
    if facts.remark:
        return Outcome(Status.WARNING, facts.remark, facts.hint)
    return done("answers")


def prepare_hosts(task: Task) -> Outcome:
    """Make the folders that this testbed needs on a host."""
    host = task.host.state
    folders = {host.images_dir} | {
        g.artefacts_dir for g in task.state.guests if g.host == host.name
    }
    missing = task.host.transport.run(
        command("test", "-d", *_joined(sorted(folders))),
        scope=task.scope,
        check=False,
    )
    if missing.exit_code == 0:
        return unchanged()
    make = command("mkdir", "-p", "-m", "0755", *sorted(folders))
    task.host.transport.run(make.with_root(), scope=task.scope)
    return done()


def clean_hosts(task: Task) -> Outcome:
    """See that nothing of this testbed is left on a host, and remove what is."""
    host, testbed = task.host, task.state.testbed
    strays = [d.name for d in domains.observe(host.libvirt) if d.testbed == testbed]
    for name in strays:
        task.log(f"domain {name} was left over")
        domains.destroy(host.libvirt, name)
        domains.undefine(host.libvirt, name)
    left = bridges.tagged(host.transport, scope=task.scope).get(
        testbed, bridges.Tagged()
    )
    for port in left.ports:
        bridges.delete_port(host.transport, port, testbed=testbed, scope=task.scope)
    for bridge in left.bridges:
        bridges.delete_bridge(host.transport, bridge, testbed=testbed, scope=task.scope)
    ours = {f"{testbed}-nat", f"{testbed}-mgmt"}
    if kept := sorted(ours.intersection(networks.names(host.libvirt))):
        raise StateError(
            f"On {host.state.name} {', '.join(kept)} could not be removed."
        )
    found = [*strays, *left.ports, *left.bridges]
    return (
        done(f"removed {', '.join(found)}") if found else unchanged("nothing is left")
    )


def clear_hosts(task: Task) -> Outcome:
    """Remove this testbed's folder from a remote host."""
    host = task.host.state
    if host.is_main:
        return unchanged()
    folder = PurePosixPath(host.projects_dir) / task.state.testbed
    remove = command("rm", "-rf", "--", str(folder)).with_root()
    task.host.transport.run(remove, scope=task.scope)
    return done()


def clear_artefacts(task: Task) -> Outcome:
    """Remove state and artefacts on main; the user's files stay."""
    task.project.clear()
    return done()


def end(task: Task) -> Outcome:
    """Have nothing to do: `End` is only the plan's last word."""
    return unchanged()


def host_key(task: Task, guest: GuestState) -> str:
    """Return the pinned public key line of a guest. Raises: StateError."""
    path = _key_path(task, guest).with_suffix(".pub")
    try:
        return path.read_text().strip()
    except FileNotFoundError as exc:
        raise StateError(
            f"The host key of guest {guest.name} is missing.",
            hint="Generate the artefacts again.",
        ) from exc


def local_artefact(task: Task, path: str) -> Path:
    """Return where main keeps the artefact that a guest's host has at `path`."""
    return task.project.artefacts / PurePosixPath(path).name


def _key_path(task: Task, guest: GuestState) -> Path:
    return task.project.artefacts / f"{guest.name}-host-key"


def _write_seed(task: Task, guest: GuestState) -> bool:
    key = _ensure_host_key(task, guest)
    files: dict[str, bytes] = {
        "meta-data": cloud_init.build_meta_data(guest),
        "user-data": cloud_init.build_user_data(
            guest,
            public_key=task.state.public_key,
            host_key_private=key.read_bytes(),
            host_key_public=key.with_suffix(".pub").read_text().strip(),
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
        files["context.tar"] = archive = cloud_init.context_archive(folder, root)
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
    """See that a golden image gets the context that its name says. Raises: StateError.

    What is packed is looked at, not the folder: it may be edited and edited back.
    """
    planned = [g.context_sha256 for g in task.state.goldens if g.name == guest.name]
    if planned not in ([], [sha256(archive).hexdigest()]):
        raise StateError(
            f"The context {guest.context} was edited after golden image {guest.name} "
            "was planned.",
            hint="Start up again: the image is made with the new one.",
        )


def _ensure_host_key(task: Task, guest: GuestState) -> Path:
    path = _key_path(task, guest)
    if not (path.exists() and path.with_suffix(".pub").exists()):
        pair = keys.generate_key_pair(guest.domain)
        path.touch(mode=0o600)
        path.write_bytes(pair.private_openssh)
        path.with_suffix(".pub").write_text(pair.public_line + "\n")
    return path


def _write_xml(task: Task, guest: GuestState) -> bool:
    host = task.state.host(guest.host)
    text = build_domain(guest, host, testbed=task.state.testbed)
    path = local_artefact(task, guest.xml)
    if path.exists() and path.read_text() == text:
        return False
    path.write_text(text)
    task.log(f"wrote {path.name}")
    return True


def _joined(folders: list[str]) -> list[str]:
    """Spread `test -d a -a -d b`, which busybox knows too."""
    words = folders[:1]
    for folder in folders[1:]:
        words += ["-a", "-d", folder]
    return words


def is_simulated(task: Task) -> bool:
    """Say whether the task's host only rehearses."""
    return task.host.state.kind is HostKind.SIMULATED
