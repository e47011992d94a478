"""What a guest's disk is made from, as part of the state.

The base image of the catalogue and the user's own file are one thing here: a file on
main that goes to each host once and is never written to. `state.bases` builds them;
the instructions bring them to the hosts and make the disks.
"""

from enum import StrEnum
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Refuse unknown keys and changes: a state file is what we wrote, or an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DiskOrigin(StrEnum):
    """How a guest's disk begins."""

    LINKED = "linked"
    """A thin layer over the image."""
    COPIED = "copied"
    """A whole copy of the image."""
    BLANK = "blank"
    """Empty; the image is a CD-ROM beside it."""


class ImageState(Frozen):
    """The base image of a disk: where it comes from, and its path per host.

    `path` is in the images folder of the guest's host; `main_path` in main's, which
    is filled from `source` (a file on main) or `url`. `sums_url` names the
    publisher's list of digests where neither digest is known beforehand.

    A file of the user (`is_own`) stays where it is on main, and `stamp` changes when
    it does. One that is packed is the `source`, and unpacked at `main_path`. An empty `format` is detected when the disk is made.

    A golden image has in `golden` the digest of everything that it is made from.
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
    stamp: str = ""
    golden: str = ""

    @property
    def is_packed(self) -> bool:
        """Say whether it is a user's file that is unpacked first."""
        return self.is_own and bool(self.source)

    @property
    def identity(self) -> str:
        """What a disk that was made from it remembers."""
        file = PurePosixPath(self.path).name
        return f"{self.name} {self.stamp}".strip() if self.is_own else file
