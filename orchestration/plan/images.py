"""A wish to save guests' disks as images, each whole and with nothing below it.

Plans, pages, records and clients take it from here. Nothing here touches a machine.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.errors import ExecutionRefused

# As names of the catalogue are, which any YAML may write without quotes.
NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}", re.ASCII)
NAME_HINT = (
    "Use a small letter first, then small letters, digits, dots, hyphens and "
    "underscores, 63 at most."
)


@dataclass(frozen=True, slots=True)
class ImageWish:
    """The images that are made: `files` has the file of each guest's in the stores.

    `running` are the guests that are shut down before, and started after.
    """

    files: Mapping[str, str]
    running: tuple[str, ...] = ()


def require_name(name: str) -> None:
    """Let an image have this name. Raises: ExecutionRefused."""
    if not NAME.fullmatch(name):
        raise ExecutionRefused(
            f"An image cannot be named `{name[:80]}`.", hint=NAME_HINT
        )
