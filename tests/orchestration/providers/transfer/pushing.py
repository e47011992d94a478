"""Pushes of files from main's image store to a host's, and what a test saw of them.

Used by the tests of the store; the fixture `push` in conftest.py is a `Push` over a
real SSH server.
"""

import hashlib
from pathlib import Path

from orchestration.providers.transfer import push
from orchestration.providers.transfer.source import stored_content

MIB = 1024 * 1024


class Push:
    """A push from main's folder to the host's, and its observations."""

    def __init__(self, folder: Path, server) -> None:
        self.main = folder / "main"
        self.host = folder / "host" / "images"
        self.main.mkdir()
        self.host.mkdir(parents=True)
        self.transport = server.transport()
        self.server = server
        self.steps: list[tuple[int, int]] = []
        self.log: list[str] = []
        self.at = lambda done, total: None

    def image(self, data: bytes, name: str = "disk.img") -> Path:
        path = self.main / name
        path.write_bytes(data)
        return path

    def __call__(
        self,
        path: Path,
        name: str = "name.img",
        *,
        scope,
        **changes,
    ):
        def on_progress(done: int, total: int) -> None:
            self.steps.append((done, total))
            self.at(done, total)

        settings = {
            "transport": self.transport,
            "name": str(self.host / name),
            "locks": self.main,
            "scope": scope,
            "on_progress": on_progress,
            "log": self.log.append,
        }
        content = stored_content(path, scope=scope)
        return push.push(content, **(settings | changes))

    @property
    def stored(self) -> list[str]:
        folder = self.host / ".store"
        return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def blob_of(data: bytes) -> str:
    return f"sha256-{hashlib.sha256(data).hexdigest()}"
