"""The host as a user of the peers would have prepared it, and the clock.

A NAT network of libvirt with reserved addresses, the storage pool `default` with the
image, a key and user data for each guest exist before the clock starts. The clock
stops when the peer has ended and the script has run in each guest.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.providers.guest.seed import write_seed
from tests.live.stack import CHECKOUT, NamespaceHost

CPUS = 1
MEMORY_MIB = 128
NETWORK = "peers"
IMAGE = "test_guest.qcow2"
USER = "bench"
PATIENCE_S = 120
PATIENCE_A_GUEST_S = 60
GRACE_S = 10
VIRSH = ("virsh", "-q", "-c", "qemu:///system")
FLOOR = CHECKOUT / "script/benchmarks/floor.sh"
NETWORK_XML = """\
<network>
  <name>{name}</name>
  <forward mode="nat"/>
  <bridge name="{name}" stp="off" delay="0"/>
  <ip address="192.168.121.1" netmask="255.255.255.0">
    <dhcp>
      <range start="192.168.121.2" end="192.168.121.254"/>
      {reservations}
    </dhcp>
  </ip>
</network>
"""
_COMPLAINT = re.compile(r"^\W*(e:|error|.*\bfailed\b|.*not created)", re.IGNORECASE)


class CannotRun(Exception):
    """A peer cannot run on this machine; the text is the observed reason."""


@dataclass(frozen=True, slots=True)
class PeerGuest:
    """One guest, as every peer is asked to make it."""

    number: int

    @property
    def name(self) -> str:
        """Return the guest's name."""
        return f"peer{self.number}"

    @property
    def mac(self) -> str:
        """Return the address of the guest's network card."""
        return f"52:54:00:be:0c:{self.number:02x}"

    @property
    def address(self) -> str:
        """Return the address that the network reserves for the guest."""
        return f"192.168.121.{10 + self.number}"


class Site:
    """One host with what the peers need, below one folder."""

    def __init__(self, host: NamespaceHost, folder: Path, *, setup: Path) -> None:
        self.host = host
        self.folder = folder
        self.setup = setup
        self.pool = folder / "pool"
        self.key = folder / "id"
        # KVM may be there and not work: the product tries it, so its choice counts.
        self.domain_type = "kvm"

    def prepare(self, image: Path, guests: Sequence[PeerGuest]) -> None:
        """Make network, storage pool, keys and seeds."""
        for place in (self.pool, self.folder / "home"):
            place.mkdir(mode=0o755, parents=True)
        self.host.run("cp", str(image), str(self.pool / IMAGE))
        for key in (self.key, self.folder / "host-key"):
            words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
            self.host.run(*words)
        self._write_seeds(guests)
        self._start_network(guests)
        words = ("pool-create-as", "default", "dir", "--target", str(self.pool))
        self.host.run(*VIRSH, *words)

    def argv(self, *words: str, **environment: str) -> list[str]:
        """Return the words that run a command on the host, in the site's folder."""
        settings = {"HOME": str(self.folder / "home")} | environment
        pairs = [f"{name}={value}" for name, value in settings.items()]
        return self.host.argv("env", f"--chdir={self.folder}", *pairs, *words)

    def run(self, words: Sequence[str]) -> None:
        """Run a command. Raises: CannotRun with what it said."""
        ended = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if ended.returncode:
            raise CannotRun(complaint(ended.stdout))

    def timed(
        self, commands: Sequence[Sequence[str]], guests: Sequence[PeerGuest]
    ) -> float:
        """Run a peer's commands at once; return the seconds until all is set up.

        Raises: CannotRun.
        """
        words = (str(FLOOR), str(self._listed(guests)), str(self.setup), str(self.key))
        began = time.monotonic()
        until = began + PATIENCE_S + PATIENCE_A_GUEST_S * len(guests)
        with self._started([*commands, self.host.argv(*words)]) as started:
            for process, log in started:
                if not _has_ended(process, until):
                    said = complaint(started[0][1].read_text(errors="replace"))
                    raise CannotRun(f"not all guests were set up in time; {said}")
                if process.returncode:
                    raise CannotRun(complaint(log.read_text(errors="replace")))
        return time.monotonic() - began

    def sweep(self) -> None:
        """Remove all domains of the host, and all disks of the pool but the image."""
        for name in self.host.run(*VIRSH, "list", "--all", "--name").split():
            self.host.run(*VIRSH, "destroy", name, check=False)
            self.host.run(*VIRSH, "undefine", name, check=False)
        for disk in self.pool.glob("peer*"):
            disk.unlink()
        self.host.run(*VIRSH, "pool-refresh", "default")

    def user_data(self, guest: PeerGuest) -> Path:
        """Return the guest's cloud-init user data, under the name that kcli expects."""
        return self.folder / f"{guest.name}.cloudinit"

    def meta_data(self, guest: PeerGuest) -> Path:
        """Return the guest's cloud-init meta data."""
        return self.folder / f"{guest.name}.meta-data"

    def seed(self, guest: PeerGuest) -> Path:
        """Return an ISO image with both."""
        return self.folder / f"{guest.name}.iso"

    def _write_seeds(self, guests: Iterable[PeerGuest]) -> None:
        user = {
            "name": USER,
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "ssh_authorized_keys": [self.key.with_suffix(".pub").read_text().strip()],
        }
        host_key = {"ed25519_private": (self.folder / "host-key").read_text()}
        document = json.dumps({"users": [user], "ssh_keys": host_key})
        for guest in guests:
            names = {"instance-id": guest.name, "local-hostname": guest.name}
            self.user_data(guest).write_text(f"#cloud-config\n{document}\n")
            self.meta_data(guest).write_text(json.dumps(names))
            parts = {"user-data": self.user_data(guest)}
            write_seed(self.seed(guest), parts | {"meta-data": self.meta_data(guest)})

    def _start_network(self, guests: Iterable[PeerGuest]) -> None:
        reservations = [f'<host mac="{g.mac}" ip="{g.address}"/>' for g in guests]
        text = NETWORK_XML.format(name=NETWORK, reservations="".join(reservations))
        path = self.folder / "network.xml"
        path.write_text(text)
        self.host.run(*VIRSH, "net-define", str(path))
        self.host.run(*VIRSH, "net-start", NETWORK)

    def _listed(self, guests: Iterable[PeerGuest]) -> Path:
        """Write the list of guests for the script that sets them up."""
        known_hosts, listed = self.folder / "known-hosts", self.folder / "list"
        key = (self.folder / "host-key.pub").read_text()
        known_hosts.write_text("".join(f"{g.address} {key}" for g in guests))
        lines = [f"{USER}@{g.address} {known_hosts}\n" for g in guests]
        listed.write_text("".join(lines))
        return listed

    @contextmanager
    def _started(
        self, commands: Sequence[Sequence[str]]
    ) -> Iterator[list[tuple[subprocess.Popen[bytes], Path]]]:
        """Start commands, each with a log; end what still runs afterwards."""
        started: list[tuple[subprocess.Popen[bytes], Path]] = []
        try:
            for number, words in enumerate(commands):
                log = self.folder / f"{number}.log"
                started.append((_start(words, log), log))
            yield started
        finally:
            for process, _ in started:
                _end(process)


def complaint(output: str) -> str:
    """Return the line of a tool's output that names the failure, or else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if _COMPLAINT.match(line)]
    return (named or lines or ["it printed nothing"])[-1]


def _start(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _has_ended(process: subprocess.Popen[bytes], until: float) -> bool:
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
