"""Many targets for commands: one sshd on a host that has an address for each of them.

They stand in the testbed's state as guests beside the real ones, which are few: each
login is a connection and a process of its own, as with as many guests.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from orchestration.project.folder import Project
from orchestration.project.host_keys import forget_key, pin_key
from orchestration.state.model import GuestState
from tests.live.namespace_host import NamespaceHost
from tests.live.stack import Stack
from tests.live.watch import host_of, project
from tests.waiting import wait_until

SSHD_CONFIG = """\
HostKey {folder}/ssh_host_ed25519_key
AuthorizedKeysFile {folder}/targets_keys
PidFile {folder}/targets.pid
StrictModes no
UsePAM {pam}
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 200
"""


@contextmanager
def targets_beside(stack: Stack, slug: str, like: str, count: int) -> Iterator[None]:
    """Add targets `to-HOST-0` and so on, on each host, to a testbed that is up.

    `like` is the guest whose state they take over. The guests' own state is put back.
    """
    folder = project(stack, slug)
    before = folder.read_state()
    pattern = before.guest(like)
    with ExitStack() as held:
        added: list[GuestState] = []
        for host in before.hosts:
            targets = [_target(pattern, host.name, n) for n in range(count)]
            held.enter_context(_served(stack, folder, targets))
            added += targets
        folder.write_state(
            before.model_copy(update={"guests": (*before.guests, *added)})
        )
        try:
            yield
        finally:
            folder.write_state(before)


def _target(pattern: GuestState, host: str, number: int) -> GuestState:
    assert pattern.management is not None
    name = f"to-{host}-{number}"
    way = pattern.management.model_copy(update={"address": f"127.1.0.{number + 1}"})
    changes = {"name": name, "host": host, "user": "root", "domain": f"none-{name}"}
    return pattern.model_copy(update={**changes, "management": way})


@contextmanager
def _served(stack: Stack, folder: Project, targets: list[GuestState]) -> Iterator[None]:
    """Let an sshd of the targets' host listen at their addresses, and pin its key."""
    host = host_of(stack, targets[0].host)
    public = folder.identity_file.with_suffix(".pub").read_text()
    (host.folder / "targets_keys").write_text(public)
    addresses = [one.management.address for one in targets if one.management]
    (host.folder / "targets_config").write_text(_config(host, addresses))
    key = (host.folder / "ssh_host_ed25519_key.pub").read_text()
    for target in targets:
        pin_key(folder, target.name, " ".join(key.split()[:2]))
    config = str(host.folder / "targets_config")
    with subprocess.Popen(
        host.argv("/usr/sbin/sshd", "-D", "-f", config),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            _wait_until_it_listens(host, addresses[-1])
            yield
        finally:
            server.terminate()
            for target in targets:
                forget_key(folder, target.name)


def _config(host: NamespaceHost, addresses: list[str]) -> str:
    own = (host.folder / "sshd_config").read_text()
    pam = "yes" if "UsePAM yes" in own else "no"
    listens = "".join(f"ListenAddress {address}\n" for address in addresses)
    return SSHD_CONFIG.format(folder=host.folder, pam=pam) + listens


def _wait_until_it_listens(host: NamespaceHost, address: str) -> None:
    connect = f"exec 3<> /dev/tcp/{address}/22 && echo yes"
    wait_until(
        lambda: host.run("bash", "-c", connect, check=False),
        f"no sshd listens at {address}",
    )
