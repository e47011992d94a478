"""A host's folders of images and projects on this machine's disk, for tests.

`StoreFolder` puts images, blobs, layers and leftovers of any age where a host of the
product would have them; the layers are real ones.
"""

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestration.hosts import Host
from orchestration.providers.images.qcow2 import MAGIC
from orchestration.state.model import HostState
from orchestration.transport.base import Command, Completed
from orchestration.transport.local import LocalTransport
from tests.orchestration.providers.libvirt.samples import open_simulated

DAY_S = 86400
GOLDEN = "golden-0123456789abcdef.qcow2"
BASE = "test_guest-5e5e5e5e5e5e5e5e.qcow2"
OWN = "own-fedcba9876543210.img"


class StoreFolder:
    """The folders of one host."""

    def __init__(self, root: Path) -> None:
        self.images = root / "images"
        self.projects = root / "projects"
        for folder in (self.images / ".store", self.projects):
            folder.mkdir(parents=True)

    def put(
        self, name: str, *, days: float = 2.0, content: bytes = b"x" * 5000
    ) -> Path:
        """Put a file of an age into the folder of images."""
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return self.age(path, days)

    def linked(self, name: str, blob: str) -> Path:
        """Put an image as a push does: a content, and a name for it."""
        content = self.images / ".store" / blob
        if not content.exists():
            self.put(f".store/{blob}")
        (self.images / name).hardlink_to(content)
        return self.images / name

    def layer(self, guest: str, backing: str, *, testbed: str = "lab") -> Path:
        """Put a guest's disk over an image."""
        path = self.projects / testbed / "artefacts" / f"{guest}-disk.qcow2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(qcow2(backing))
        return path

    @staticmethod
    def age(path: Path, days: float) -> Path:
        """Let a file be this old, as far as anybody can."""
        then = time.time() - days * DAY_S
        os.utime(path, (then, then))
        return path

    def names(self) -> set[str]:
        """The files in the folder of images, except locks."""
        files = (path for path in self.images.rglob("*") if path.is_file())
        names = (str(path.relative_to(self.images)) for path in files)
        return {name for name in names if not name.endswith(".lock")}


class UnreadableTransport(LocalTransport):
    """This machine; its listings of a folder of images also report a read error."""

    def __init__(self, machine: str, images_dir: str, error: str) -> None:
        super().__init__(machine)
        self._images_dir = images_dir
        self._error = error

    def run(self, cmd: Command, **options: object) -> Completed:
        done = super().run(cmd, **options)
        if self._images_dir not in cmd.argv:
            return done
        return replace(done, stderr=f"{self._error}\n{done.stderr}")


def unreadable(host: Host, error: str) -> Host:
    """Return the host with a listing of images that reports `error`."""
    state = host.state
    transport = UnreadableTransport(state.name, state.images_dir, error)
    return replace(host, transport=transport)


def qcow2(
    backing: str, *, virtual: int = 1 << 30, offset: int = 464, bits: int = 16
) -> bytes:
    """Write the head of an overlay, and some of what follows it."""
    name = os.fsencode(backing)
    fixed = struct.pack(">4sIQIIQ", MAGIC, 3, offset, len(name), bits, virtual)
    return fixed.ljust(offset, b"\0") + name + bytes(4096)


@contextmanager
def opened(root: Path, folder: StoreFolder, *, name: str = "host-b") -> Iterator[Host]:
    """Open a host whose folders these are, and whose libvirt is a test driver."""
    state = HostState(
        name=name,
        is_main=name == "main",
        projects_dir=str(folder.projects),
        images_dir=str(folder.images),
    )
    conn = open_simulated(root)
    yield Host(state, LocalTransport(name), conn)
    conn.close()
