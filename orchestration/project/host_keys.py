"""The pinned SSH host keys of a testbed's guests: one public key a file, on main.

Written when a guest reports its key, and removed with its disk, which holds the
private one.
"""

from pathlib import Path

from orchestration.files import write_whole
from orchestration.project.folder import Project
from orchestration.state.model import Markers

PUBLIC_MODE = 0o644


def key_file(project: Project, guest: str) -> Path:
    """Return the file of a guest's pinned key."""
    return project.artefacts / f"{guest}-host-key.pub"


def pinned_key(project: Project, guest: str) -> str:
    """Return a guest's pinned key, '' for one that has not reported any."""
    try:
        return key_file(project, guest).read_text().strip()
    except FileNotFoundError:
        return ""


def pin_key(project: Project, guest: str, key: str) -> None:
    """Pin the key that a guest reported."""
    write_whole(key_file(project, guest), f"{key} {guest}\n", mode=PUBLIC_MODE)


def forget_disk(project: Project, guest: str) -> None:
    """Forget a guest's former disk: its marks, and the host key that was on it."""
    project.mark(guest, **dict(Markers()))
    forget_key(project, guest)


def forget_key(project: Project, guest: str) -> None:
    """Forget the key of a guest's former disk."""
    key_file(project, guest).unlink(missing_ok=True)
