"""Checks the free space of a file system before a large write."""

from orchestration.amounts import size
from orchestration.errors import NotEnoughSpace

# A completely full file system stops more than this image.
SPARE_BYTES = 64 * 1024 * 1024


def require_space(name: str, place: str, *, needed_bytes: int, free_bytes: int) -> None:
    """Raise NotEnoughSpace when a file does not fit; `place` is `on host-b`."""
    if needed_bytes + SPARE_BYTES <= free_bytes:
        return
    raise NotEnoughSpace(
        f"There is no room for {name} {place}: {size(needed_bytes)} and "
        f"{size(SPARE_BYTES)} to spare are needed, {size(free_bytes)} are free.",
        hint="Make room there, then start again.",
    )
