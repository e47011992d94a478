"""The images that guests' disks are made from, as part of the state.

A base image of the catalogue and a user's own file have the same model: a file on main
that goes to each host once and is never written to. `state.disk_bases` builds them; the
instructions copy them to the hosts and make the disks.
"""

from enum import StrEnum
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Refuses unknown keys and changes: any other state file is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DiskOrigin(StrEnum):
    """How a guest's disk is created."""

    LINKED = "linked"
    """A thin layer over the image."""
    COPIED = "copied"
    """A whole copy of the image."""
    BLANK = "blank"
    """Empty; the image is a CD-ROM beside it."""


class ImageState(Frozen):
    """The base image of a disk: its source, and its path per host.

    `path` is in the images folder of the guest's host; `main_path` in main's, which is
    filled from `source` (a file on main) or `url`. `sums_url` names the publisher's
    list of digests where neither digest is known beforehand.

    A user's file (`is_own`) is the `source`, and `stamp` changes with it. It is copied
    to `main_path`, or unpacked there when it `is_packed`; nothing else reads it. An
    empty `format` is detected when the disk is made.

    A golden image has in `golden` the digest of all its inputs.
    """

    name: str
    sha256: str
    sha512: str = ""
    format: str
    path: str
    main_path: str
    source: str = ""
    url: str = ""
    sums_url: str = ""
    size_bytes: int = 0
    is_own: bool = False
    is_packed: bool = False
    stamp: str = ""
    golden: str = ""

    @property
    def identity(self) -> str:
        """The identity that a disk records of the image it was made from."""
        file = PurePosixPath(self.path).name
        return f"{self.name} {self.stamp}".strip() if self.is_own else file
