"""A testbed host made of namespaces: start and stop it, run commands on it, cut it off.

`script/lab/namespace-host` does it all; `stack.py` makes a product of such hosts.
"""

import os
import subprocess
from pathlib import Path

from tests.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
NAMESPACE_HOST = CHECKOUT / "script/lab/namespace-host"
CABLE_TIMEOUT_S = 120


class NamespaceHost:
    """One testbed host made of namespaces, with this machine's programs or a root's."""

    def __init__(self, name: str, folder: Path, *, root: Path | None = None) -> None:
        self.name = name
        self.folder = folder
        self.root = root
        self.is_started = False
        self.address = ""
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, address: str, wire: str) -> None:
        """Start its daemons; returns when they answer."""
        self.is_started = True
        self.address = address.partition("/")[0]
        root = ["--root", str(self.root)] if self.root else []
        self._call("start", "--address", address, "--wire", wire, *root)

    def stop(self) -> None:
        """End everything on it."""
        self._call("stop")
        self.is_started = False

    def cut(self) -> None:
        """Pull its cable."""
        subprocess.run([NAMESPACE_HOST, "link", self.name, "down"], check=True)

    def mend(self) -> None:
        """Plug its cable in again."""
        subprocess.run([NAMESPACE_HOST, "link", self.name, "up"], check=True)

    def restart(self, daemon: str) -> None:
        """Restart libvirtd, or sshd with its sessions; returns when it answers."""
        subprocess.run(
            [NAMESPACE_HOST, "restart", self.name, str(self.folder), daemon], check=True
        )

    def wait_until_it_reaches(self, other: "NamespaceHost") -> None:
        """Wait until a cable carries: the kernel brings its ends up in its own time."""
        connect = f"exec 3<> /dev/tcp/{other.address}/22 && echo yes"
        words = ("timeout", "5", "bash", "-c", connect)
        wait_until(
            lambda: self.run(*words, check=False),
            f"{self.name} cannot reach {other.name}",
            timeout_s=CABLE_TIMEOUT_S,
            pause_s=0.2,
        )

    def argv(self, *command: str) -> list[str]:
        """Return the words that run a command on this host."""
        return [str(NAMESPACE_HOST), "run", self.name, str(self.folder), *command]

    def in_its_network(self, *command: str) -> list[str]:
        """Return the words that run a program of this machine in the host's network."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command on it and return its output."""
        done = subprocess.run(
            self.argv(*command), check=check, capture_output=True, text=True
        )
        return done.stdout

    def _call(self, verb: str, *words: str) -> None:
        subprocess.run(
            [NAMESPACE_HOST, verb, self.name, str(self.folder), *words],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def images() -> Path:
    """Return the folder with the test guest image and the root of Debian 13."""
    cache = os.environ.get("TESTBED_IMAGE_CACHE")
    return Path(cache) if cache else CHECKOUT / "var/cache/images"


def debian_13() -> Path | None:
    """Return the root file system that script/lab/debian-root built."""
    root = images() / "debian_13"
    return root if root.exists() else None


def wire(main: NamespaceHost, end: str, other: NamespaceHost) -> None:
    """Lay a cable from one of main's ends to the first of another host."""
    words = [NAMESPACE_HOST, "wire", main.name, end, other.name, "w0"]
    subprocess.run(words, check=True)
