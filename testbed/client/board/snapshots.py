"""The snapshots of a guest as lines of a tree, for all clients."""

from collections.abc import Iterator

from orchestration.amounts import size
from testbed.client.board.moments import moment
from testbed.client.watching import Frame


def tree_lines(snapshots: list[Frame]) -> Iterator[str]:
    """Yield a line for each, indented below its parent."""
    depths: dict[str, int] = {}
    for one in snapshots:
        depth = depths[one["name"]] = depths.get(one["parent"], 0) + 1
        memory = "the disk alone"
        if one["memory"]:
            amount = size(one["memory_bytes"]) if one["memory_bytes"] else "with memory"
            memory = f"{one['status']}, {amount}"
        marks = " (current)" if one["current"] else ""
        yield f"{'  ' * depth}{one['title']}{marks}, {moment(one['created_at'])}, {memory}"
