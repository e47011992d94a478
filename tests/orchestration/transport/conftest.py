"""Real SSH servers on free loopback ports, each with its own keys, for these tests."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestration.transport import local
from orchestration.transport.base import Scope, Transport
from orchestration.transport.local import LocalTransport
from orchestration.transport.ssh import SSHTransport, ending, session, transport
from tests.waiting import wait_until

SSHD = "/usr/sbin/sshd"
DROPBEAR = "/usr/sbin/dropbear"
# OpenSSH serves connections in sshd-session since 9.8 and logins in sshd-auth since 10.
SERVER_NAMES = ("sshd", "sshd-session", "sshd-auth", "dropbear")
USER = "root"


def keygen(path: Path) -> str:
    """Make an ed25519 key pair; return the public line without its comment."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path],
        check=True,
    )
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def free_port() -> int:
    """Return a port on which nobody listened a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Server:
    """One running SSH server."""

    argv: list[str]
    port: int
    host_key: str
    identity: Path
    process: subprocess.Popen[bytes] | None = None
    transports: list[SSHTransport] = field(default_factory=list)

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers)
        # This question's own connection is gone, too, before a test counts them.
        wait_until(lambda: len(self.own_pids()) == 1)

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 5.0) as sock,
        ):
            return sock.recv(4) == b"SSH-"
        return False

    def kill(self) -> None:
        """Kill the server and every connection that it serves, not their commands.

        All are stopped first: else one that was just logged in to may make the process
        that goes on with the connection, unseen.
        """
        assert self.process is not None
        wait_until(self._are_stopped)
        self._send(signal.SIGKILL)
        self.process.wait()

    def _are_stopped(self) -> bool:
        pids = self._send(signal.SIGSTOP)
        return all(state_of(pid) in "TZ" for pid in pids) and self.own_pids() == pids

    def _send(self, number: signal.Signals) -> list[int]:
        pids = self.own_pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def own_pids(self) -> list[int]:
        """The server's processes, the listener first."""
        assert self.process is not None
        pids = [self.process.pid, *descendants(self.process.pid)]
        return [pid for pid in pids if name_of(pid) in SERVER_NAMES]

    def connections(self) -> list[int]:
        """The listener's own children, one for each connection.

        One may have a child that does the work of a user without root's rights.
        """
        listener, *others = self.own_pids()
        return [pid for pid in others if parent_of(pid) == listener]

    def transport(self, machine: str = "host-a", **changes: object) -> SSHTransport:
        settings: dict[str, object] = {
            "port": self.port,
            "user": USER,
            "identity_file": self.identity,
            "host_key": self.host_key,
            "machine": machine,
        }
        made = SSHTransport("127.0.0.1", **(settings | changes))  # type: ignore[arg-type]
        self.transports.append(made)
        return made

    def stop(self) -> None:
        for made in self.transports:
            made.close()
        self.kill()


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def state_of(pid: int) -> str:
    """Return the letter of a process' state; Z when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "Z"
    return status.split("\nState:")[1].split()[0]


def parent_of(pid: int) -> int:
    """Return a process' parent; 0 when it ended meanwhile."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.split("\nPPid:")[1].split()[0])


def descendants(pid: int) -> list[int]:
    """Return the processes below a process, parents first."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # it ended meanwhile
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def carriers(tag: str) -> list[int]:
    """Return the processes that carry a tag: the tests' own proof, apart from ours."""
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdecimal():
            try:
                environ = Path(f"/proc/{entry}/environ").read_bytes()
            except OSError:
                continue
            if f"TESTBED_TAG={tag}".encode() in environ:
                found.append(int(entry))
    return found


def names_of(pids: list[int]) -> list[str]:
    """Return the command lines of processes, as a proof shows them."""
    words = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    return [word.replace(b"\0", b" ").decode().strip() for word in words]


def with_plain_login(folder: Path, serve: str, shell: str = "/bin/sh") -> list[str]:
    """Serve with a root login of a plain shell and an empty home, seen by nobody else.

    The login files of whoever runs the tests would decide how fast commands are, and
    dropbear reads authorized keys only from the home.
    """
    home = folder / "home"
    home.mkdir(mode=0o700)
    others = Path("/etc/passwd").read_text().splitlines()[1:]
    lines = [f"root:x:0:0:root:{home}:{shell}", *others]
    (folder / "passwd").write_text("\n".join(lines) + "\n")
    script = f"mount --bind {folder / 'passwd'} /etc/passwd && {serve}"
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", script]


@pytest.fixture
def scope(request: pytest.FixtureRequest) -> Iterator[Scope]:
    """A scope with a tag of its own; a test that leaves processes behind fails."""
    scope = Scope(f"t{os.getpid()}.{abs(hash(request.node.nodeid))}")
    yield scope
    assert carriers(scope.tag) == []


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds to add to the transports' clock: time passes when the test says so."""
    passed: list[float] = []
    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + sum(passed), sleep=time.sleep
    )
    for module in (local, ending, session, transport):
        monkeypatch.setattr(module, "time", clock)
    return passed


def sshd_config(
    folder: Path, port: int, *options: str, seen_as: Path | None = None
) -> None:
    """Write the config of a server whose files are in a folder.

    `seen_as` is the folder's path as the server sees it.
    """
    target, folder = folder / "config", seen_as or folder
    config = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder / 'host'}",
        f"AuthorizedKeysFile {folder / 'authorized'}",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        f"PidFile {folder / 'pid'}",
        *options,
    ]
    target.write_text("\n".join(config) + "\n")


def start_sshd(folder: Path, *options: str, shell: str = "/bin/sh") -> Server:
    """Start OpenSSH with keys of its own in a new folder; needs root."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder.mkdir()
    host_key = keygen(folder / "host")
    (folder / "authorized").write_text(keygen(folder / "id") + "\n")
    port = free_port()
    sshd_config(folder, port, *options)
    serve = f"exec {SSHD} -D -e -f {folder / 'config'}"
    argv = with_plain_login(folder, serve, shell)
    server = Server(argv, port, host_key, folder / "id")
    server.start()
    return server


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start OpenSSH servers; `name` keeps several of one test apart."""
    if not Path(SSHD).exists() or os.geteuid() != 0:
        pytest.skip("needs /usr/sbin/sshd and root")
    servers: list[Server] = []

    def make(name: str = "a", *options: str, shell: str = "/bin/sh") -> Server:
        server = start_sshd(tmp_path / f"sshd-{name}", *options, shell=shell)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """One OpenSSH server."""
    return make_server()


@pytest.fixture(params=["local", "openssh", "dropbear"])
def machine(request: pytest.FixtureRequest) -> Transport:
    """Each kind of machine in turn; all keep the same promises."""
    match request.param:
        case "local":
            return LocalTransport()
        case "openssh":
            return request.getfixturevalue("server").transport()
        case _:
            return request.getfixturevalue("dropbear")


@pytest.fixture
def dropbear(tmp_path: Path) -> Iterator[SSHTransport]:
    """A transport to a dropbear server whose logins use the keys of this test."""
    if shutil.which(DROPBEAR) is None or os.geteuid() != 0:
        pytest.skip("needs /usr/sbin/dropbear and root")
    folder = tmp_path / "dropbear"
    folder.mkdir()
    host_key = keygen(folder / "host")
    identity = keygen(folder / "id")
    _convert(folder / "host", folder / "host.db")
    port = free_port()
    yield from _dropbear(folder, port, host_key, identity)


def _convert(source: Path, target: Path) -> None:
    subprocess.run(
        ["dropbearconvert", "openssh", "dropbear", source, target],
        check=True,
        capture_output=True,
    )


def _dropbear(
    folder: Path, port: int, host_key: str, identity: str
) -> Iterator[SSHTransport]:
    serve = (
        f"exec {DROPBEAR} -F -E -r {folder / 'host.db'} "
        f"-p 127.0.0.1:{port} -P {folder / 'pid'}"
    )
    argv = with_plain_login(folder, serve)
    keys = folder / "home" / ".ssh"
    keys.mkdir(mode=0o700)
    (keys / "authorized_keys").write_text(identity + "\n")
    (keys / "authorized_keys").chmod(0o600)
    server = Server(argv, port, host_key, folder / "id")
    server.start()
    yield server.transport("guest")
    server.stop()
