"""The targets of `exec`: one sshd that has as many addresses as there are targets.

Each login is a process of its own there, as with many machines, and all contestants log
in to the same ones. The network and the mounts are the benchmark's own, so that the
targets listen on SSH's own port, as guests do.
"""

import ipaddress
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.orchestration.transport.conftest import (
    SSHD,
    Server,
    keygen,
    with_plain_login,
)
from tests.waiting import wait_until

PORT = 22
USER = "root"
JUMP = "127.2.0.1"
MOST_TARGETS = 200
_FIRST = ipaddress.ip_address("127.1.0.1")
_INSIDE = "TESTBED_BENCH_INSIDE"
_ENTER = 'ip link set lo up && exec "$@"'
SSHD_CONFIG = """\
Port {port}
ListenAddress 0.0.0.0
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile {folder}/pid
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
MaxStartups 2000
Subsystem sftp internal-sftp
"""
SSH_CONFIG = """\
Host *
  User {user}
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {known}
  GlobalKnownHostsFile /dev/null
  LogLevel ERROR
"""
KEPT = """\
  ControlMaster auto
  ControlPersist 600
  ControlPath {masters}/%C
"""
THROUGH = "Host 127.1.*\n  ProxyJump {jump}\n"


class Case(NamedTuple):
    """The work of each contestant: a command that prints `lines` lines, on `targets`."""

    targets: int
    has_jump: bool
    words: tuple[str, ...]
    lines: int


def enter_own_network() -> None:
    """Start this benchmark again in a network of its own; needs root."""
    if os.environ.get(_INSIDE):
        return
    if os.geteuid() != 0:
        raise SystemExit("script/bench exec needs root, for a network of its own.")
    words = ["unshare", "--net", "--mount", "--propagation", "private"]
    words += ["sh", "-c", _ENTER, "sh", sys.executable, "-m", "benchmarks.exec"]
    os.execvpe(words[0], [*words, *sys.argv[1:]], os.environ | {_INSIDE: "1"})  # noqa: S606  # nosec B606


def address(number: int) -> str:
    """Return the address of a target."""
    return str(_FIRST + number)


def addresses(count: int) -> list[str]:
    """Return the addresses of the first targets."""
    return [address(number) for number in range(count)]


class Site:
    """The server, its keys, and the files with which OpenSSH's programs reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.masters = folder / "m"
        self.masters.mkdir()
        server_folder = folder / "sshd"
        server_folder.mkdir()
        self.key, self.known_hosts = server_folder / "id", folder / "known-hosts"
        host_key = keygen(server_folder / "host")
        (server_folder / "authorized").write_text(keygen(self.key) + "\n")
        config = server_folder / "config"
        config.write_text(SSHD_CONFIG.format(port=PORT, folder=server_folder))
        # paramiko, and pyinfra by it, knows no patterns of names.
        names = ",".join([JUMP, *addresses(MOST_TARGETS)])
        self.known_hosts.write_text(f"{names} {host_key}\n")
        serve = f"exec {SSHD} -D -e -f {config}"
        argv = with_plain_login(server_folder, serve)
        self.server = Server(argv, PORT, host_key, self.key)
        for kept in (False, True):
            for jump in (False, True):
                self._write_config(kept=kept, jump=jump)

    def start(self) -> None:
        """Start the server."""
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.server.start()

    def stop(self) -> None:
        """End the server, every connection, and the masters of OpenSSH."""
        self.end_masters()
        self.server.stop()

    def config(self, *, kept: bool, jump: bool) -> Path:
        """Return the configuration of ssh: with kept connections, through the jump."""
        return self.folder / f"ssh-{'kept' if kept else 'new'}-{'jump' if jump else ''}"

    def end_masters(self) -> None:
        """End the processes in which OpenSSH keeps connections of this benchmark."""
        for pid in self._masters():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not self._masters())

    def _masters(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                name = (entry / "cmdline").read_bytes().decode(errors="replace")
                if str(self.folder) in name and "[mux]" in name:
                    found.append(int(entry.name))
        return found

    def _write_config(self, *, kept: bool, jump: bool) -> None:
        text = SSH_CONFIG.format(user=USER, key=self.key, known=self.known_hosts)
        text += KEPT.format(masters=self.masters) if kept else ""
        text = (THROUGH.format(jump=JUMP) if jump else "") + text
        self.config(kept=kept, jump=jump).write_text(text)
