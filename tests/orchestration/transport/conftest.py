"""Real SSH servers on free loopback ports, each with its own keys, for these tests."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestration.transport.base import Scope, Transport
from orchestration.transport.local import LocalTransport
from orchestration.transport.ssh import SSHTransport, probe_banner

SSHD = "/usr/sbin/sshd"
DROPBEAR = "/usr/sbin/dropbear"
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
        for _ in range(200):
            try:
                probe_banner("127.0.0.1", self.port, 1.0)
            except OSError:
                raise
            except Exception:  # noqa: BLE001 - not up yet
                time.sleep(0.02)
            else:
                return
        pytest.fail(f"{self.argv[0]} did not start")

    def kill(self) -> None:
        """Kill the server and every connection that it serves."""
        assert self.process is not None
        for pid in [*descendants(self.process.pid), self.process.pid]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        self.process.wait()

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
        for transport in self.transports:
            transport.close()
        self.kill()


def parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("\nPPid:")[1].split()[0])


def descendants(pid: int) -> list[int]:
    """Return the processes below a process, those further down first."""
    found: list[int] = []
    for entry in os.listdir("/proc"):  # noqa: PTH208
        try:
            if entry.isdecimal() and parent_of(int(entry)) == pid:
                found = [*descendants(int(entry)), int(entry), *found]
        except (OSError, IndexError):
            continue
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


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something that takes a moment; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def scope(request: pytest.FixtureRequest) -> Iterator[Scope]:
    """A scope with a tag of its own; a test that leaves processes behind fails."""
    scope = Scope(f"t{os.getpid()}.{abs(hash(request.node.nodeid))}")
    yield scope
    assert carriers(scope.tag) == []


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start OpenSSH servers; `name` keeps several of one test apart."""
    if not Path(SSHD).exists() or os.geteuid() != 0:
        pytest.skip("needs /usr/sbin/sshd and root")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    servers: list[Server] = []

    def make(name: str = "a", *options: str) -> Server:
        folder = tmp_path / f"sshd-{name}"
        folder.mkdir()
        host_key = keygen(folder / "host")
        (folder / "authorized").write_text(keygen(folder / "id") + "\n")
        port = free_port()
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
        (folder / "config").write_text("\n".join(config) + "\n")
        argv = [SSHD, "-D", "-e", "-f", str(folder / "config")]
        server = Server(argv, port, host_key, folder / "id")
        server.start()
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
    """Give dropbear a root home of its own: it reads keys only from there."""
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / ".ssh" / "authorized_keys").write_text(identity + "\n")
    (home / ".ssh" / "authorized_keys").chmod(0o600)
    passwd = folder / "passwd"
    passwd.write_text(f"root:x:0:0:root:{home}:/bin/sh\n")
    serve = (
        f"mount --bind {passwd} /etc/passwd && exec {DROPBEAR} -F -E "
        f"-r {folder / 'host.db'} -p 127.0.0.1:{port} -P {folder / 'pid'}"
    )
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", serve]
    server = Server(argv, port, host_key, folder / "id")
    server.start()
    yield server.transport("guest")
    server.stop()
