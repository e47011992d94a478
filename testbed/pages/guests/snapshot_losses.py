"""The things that an act on snapshots erases, from the trees of the last look.

The view asks about them before its act; a person's question and a program's answer name
the same. A snapshot that no look has seen yet is named by the request alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from testbed.models import Testbed
from testbed.pages.guests.group_snapshots import Group
from testbed.pages.guests.snapshots import GuestTree, Node
from testbed.testbeds.erasure.losses import Erasure, Loss, Sort, snapshot_loss

# A tree, and its snapshot that the act is on, if it was seen.
Place = tuple[GuestTree, Node | None]


def erased_by(
    testbed: Testbed, wish: SnapshotWish, tree: GuestTree, *, children: bool
) -> Erasure:
    """Return what an act on a guest's snapshot erases."""
    nodes = tree.nodes if wish.every else (tree.named(wish.name),)
    return _erasure(testbed, wish, [(tree, node) for node in nodes], children=children)


def erased_by_group(
    testbed: Testbed,
    wish: SnapshotWish,
    trees: Iterable[GuestTree],
    group: Group | None,
) -> Erasure:
    """Return what an act on a group snapshot erases; None for one that was not seen."""
    places: list[Place] = [(tree, None) for tree in trees]
    if group:
        places = [(one.tree, one.node) for one in group.members if one.node]
    found = _erasure(testbed, wish, places)
    if group and wish.verb is SnapshotVerb.DELETE and group.record.compose:
        yaml = Loss(Sort.FILE, f"the YAML of {wish.name}", reason="as it was then")
        return replace(found, losses=(*found.losses, yaml))
    return found


def _erasure(
    testbed: Testbed, wish: SnapshotWish, places: list[Place], *, children: bool = False
) -> Erasure:
    losses = tuple(loss for place in places for loss in _losses(wish, *place, children))
    seen = (tree.seen.observed_at for tree, _ in places if tree.seen)
    act = f"{wish.verb} {'group snapshot' if wish.is_group else 'snapshot'}"
    seen_at = min(seen, default=None)
    return Erasure(act, str(testbed.pk), losses, seen_at=seen_at)


def _losses(
    wish: SnapshotWish, tree: GuestTree, node: Node | None, children: bool
) -> Iterator[Loss]:
    guest, host = tree.row.guest.name, tree.row.guest.host
    if wish.verb is SnapshotVerb.RESTORE:
        version = f"{node.snapshot.name} {node.snapshot.created_at}" if node else ""
        reason = f"returns to {node.snapshot.title if node else wish.name}"
        yield Loss(Sort.STATE, guest, host, reason=reason, version=version)
    elif node is None:
        reason = f"snapshot of {guest}, which no look has seen yet"
        yield Loss(Sort.SNAPSHOT, wish.name, host, reason=reason, version=guest)
    else:
        for one in (node.snapshot, *(tree.below(wish.name) if children else ())):
            yield snapshot_loss(guest, host, one)
