"""Reads and checks the free space of a file system before a large write."""

from orchestration.amounts import size
from orchestration.errors import CommandFailed, NotEnoughSpace
from orchestration.transport.base import Scope, Transport, command

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


def free_bytes(transport: Transport, path: str, *, scope: Scope) -> int:
    """Return the bytes that are free where a file is. Raises: CommandFailed."""
    ask = command("stat", "-L", "-f", "-c", "%S %a", path).with_root()
    answer = transport.run(ask, scope=scope)
    try:
        block_bytes, blocks = map(int, answer.stdout.split())
    except ValueError as exc:
        raise CommandFailed(
            f"The free space at {path} on {transport.machine} is not known.",
            exit_code=answer.exit_code,
            detail=answer.stdout[:500],
        ) from exc
    return block_bytes * blocks
