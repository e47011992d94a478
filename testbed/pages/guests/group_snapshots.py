"""The group snapshots of a testbed: from the guests' trees, with the files about each.

A group is what the labels of its snapshots say; it is whole while each guest has its
own. The YAML of then and the measured standstills are in the testbed's folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256

from orchestration.events import Stream
from orchestration.project import groups
from orchestration.project.groups import GroupRecord
from testbed.models import Testbed
from testbed.pages.execution.differences import Difference, difference
from testbed.pages.guests.snapshots import GuestTree, Json, Node

NAMED = 5


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A guest with its snapshot of the group; None for one without."""

    tree: GuestTree
    node: Node | None


@dataclass(frozen=True)
class Group:
    """A group snapshot; `name` is empty for the latest snapshot of each guest."""

    testbed: Testbed
    name: str
    members: tuple[GroupMember, ...]

    @property
    def nodes(self) -> list[Node]:
        """The snapshots that are there."""
        return [one.node for one in self.members if one.node]

    @property
    def missing(self) -> list[str]:
        """The guests without one."""
        return [one.tree.row.guest.name for one in self.members if one.node is None]

    @property
    def gone(self) -> int:
        """The number of guests that had one and are no longer in the testbed."""
        return max(
            0, max(node.snapshot.label.group for node in self.nodes) - len(self.nodes)
        )

    @property
    def is_whole(self) -> bool:
        """Return whether each guest of the testbed has one."""
        return not self.missing

    @property
    def is_usable(self) -> bool:
        """Return whether no guest is down, or has external snapshots."""
        trees = [one.tree for one in self.members if one.node]
        return not any(tree.is_kept or tree.is_mixed for tree in trees)

    @property
    def description(self) -> str:
        """The words of its user."""
        return self.nodes[0].snapshot.description

    @property
    def by(self) -> str:
        """The user who took it."""
        return self.nodes[0].snapshot.label.by

    @property
    def created_at(self) -> datetime:
        """The time of the first snapshot, by its host's clock."""
        return min(node.created_at for node in self.nodes)

    @property
    def memory_bytes(self) -> int:
        """The bytes of stored memory."""
        return sum(node.snapshot.memory_bytes for node in self.nodes)

    @cached_property
    def record(self) -> GroupRecord:
        """The notes of the time when it was taken."""
        return groups.record(self.testbed.project, self.name)

    @property
    def skew_ms(self) -> float:
        """The milliseconds between the first guest's stop and the last's."""
        return self.record.skew_s * 1000

    @property
    def has_other_yaml(self) -> bool:
        """Return whether the YAML of then is known, and not the present one."""
        then = self.record.compose
        return bool(then) and then != groups.compose_of(self.testbed.project)

    @property
    def yaml_difference(self) -> Difference:
        """The lines that the present YAML would lose and get."""
        texts = (groups.compose_of(self.testbed.project), self.record.compose)
        now, then = ([(Stream.STDOUT, t) for t in x.splitlines()] for x in texts)
        return difference(now, then)

    @property
    def yaml_token(self) -> str:
        """A digest of the YAML of then: an answer counts for this text only."""
        return sha256(self.record.compose.encode()).hexdigest()[:32]

    def leaves(self) -> dict[str, str]:
        """Return the status in which a restore leaves each guest."""
        return {
            one.tree.row.guest.name: one.node.snapshot.status
            for one in self.members
            if one.node
        }

    def names(self) -> dict[str, str]:
        """Return the name of each guest's snapshot."""
        return {
            one.tree.row.guest.name: one.node.snapshot.name
            for one in self.members
            if one.node
        }

    def taken(self) -> dict[str, int]:
        """Return the time of each guest's snapshot, by libvirt's record."""
        return {
            one.tree.row.guest.name: one.node.snapshot.created_at
            for one in self.members
            if one.node
        }

    def to_json(self) -> Json:
        """Return the group for programs, as docs/protocol.md shows it."""
        return {
            "name": self.name,
            "description": self.description,
            "created_at": self.created_at,
            "by": self.by,
            "whole": self.is_whole,
            "missing": self.missing,
            "memory_bytes": self.memory_bytes,
            "other_yaml": self.has_other_yaml,
            "skew_ms": round(self.skew_ms, 1),
            "standstills": [
                {"guest": one.guest, "host": one.host, "seconds": one.seconds}
                for one in self.record.guests
            ],
        }


def groups_of(testbed: Testbed, trees: Sequence[GuestTree]) -> list[Group]:
    """Return the group snapshots among all guests' trees, by their time."""
    found = {
        node.snapshot.name
        for tree in trees
        for node in tree.nodes
        if node.snapshot.label.group
    }
    of_trees = [(tree, _of_groups(tree)) for tree in trees]
    return sorted(
        (Group(testbed, name, _members(of_trees, name)) for name in found),
        key=lambda group: (group.created_at, group.name),
    )


def group_of(testbed: Testbed, trees: Sequence[GuestTree], name: str) -> Group | None:
    """Return the group of a name; without one, each guest's latest snapshot."""
    if name:
        named = (group for group in groups_of(testbed, trees) if group.name == name)
        return next(named, None)
    group = Group(testbed, "", tuple(GroupMember(x, _latest(x)) for x in trees))
    return group if group.nodes else None


def _latest(tree: GuestTree) -> Node | None:
    """Return the newest; of two of one second, the child."""
    newest_first = reversed(tree.nodes)
    return max(newest_first, key=lambda node: node.created_at, default=None)


def _of_groups(tree: GuestTree) -> dict[str, Node]:
    """Return a guest's snapshots that are parts of groups, by name."""
    return {one.snapshot.name: one for one in tree.nodes if one.snapshot.label.group}


def _members(
    of_trees: Sequence[tuple[GuestTree, dict[str, Node]]], name: str
) -> tuple[GroupMember, ...]:
    return tuple(GroupMember(tree, nodes.get(name)) for tree, nodes in of_trees)
