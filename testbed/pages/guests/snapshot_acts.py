"""Acts on snapshots of one guest or of all: read, permitted, planned and recorded.

Pages and programs differ in two points: a person is asked before each restore, and acts
only on what a look has seen; a program may name what a run has taken since.
"""

from dataclasses import replace

from django.contrib.auth.models import User
from pydantic import BaseModel

from orchestration.errors import ExecutionRefused, SnapshotFailed
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish, checked
from testbed.access.permissions import Act, act_with, record_act, require
from testbed.models import Run, Testbed
from testbed.pages.guests.group_snapshots import Group, group_of
from testbed.pages.guests.snapshot_losses import erased_by, erased_by_group
from testbed.pages.guests.snapshots import GuestTree, Node, trees_of
from testbed.pages.overview import unseen_run
from testbed.runs.creation import create_snapshot
from testbed.testbeds.editing import put_yaml_back
from testbed.testbeds.erasure.losses import Erasure
from testbed.testbeds.executions import matched

# As in other selections; the act is then on a group snapshot.
ALL = "@all"
# It is no run: the YAML of a group snapshot becomes the present one.
PUT_YAML_BACK = "put-yaml-back"


class SnapshotForm(BaseModel):
    """An act on a snapshot of one guest, or of all.

    `keep`: take a snapshot `before` a restore; a program leaves it out and names it.
    `every`: the deletion is of all snapshots of the guest, and names none.
    `confirm` is the token of what the act erases.
    """

    verb: str = ""
    guest: str = ""
    name: str = ""
    description: str = ""
    before: str = ""
    keep: str = "on"
    children: bool = False
    every: bool = False
    title: str = ""
    confirm: str = ""

    @property
    def is_group(self) -> bool:
        """Return whether it is for all guests."""
        return self.guest == ALL

    def wish(self, by: str, tree: GuestTree | None = None) -> SnapshotWish:
        """Return the act on the guest of the tree, or on all guests.

        Raises: ExecutionRefused, SnapshotFailed (a guest without any).
        """
        if self.verb not in list(SnapshotVerb):
            raise ExecutionRefused(
                f"Nothing is called `{self.verb}` for a snapshot.",
                hint=f"Use one of {', '.join(SnapshotVerb)}.",
            )
        verb = SnapshotVerb(self.verb)
        is_restore = verb is SnapshotVerb.RESTORE
        is_new = verb is SnapshotVerb.CREATE
        return checked(
            SnapshotWish(
                verb,
                # Other programs make names with spaces at their ends.
                self.name.strip() if is_new else self.name,
                by,
                description=self.description.strip(),
                before=self.before.strip() if is_restore and self.keep else "",
                children=self.children and verb is SnapshotVerb.DELETE,
                title=self.title.strip() if verb is SnapshotVerb.RENAME else "",
                is_group=self.is_group,
                every=self._every(tree),
            )
        )

    def _every(self, tree: GuestTree | None) -> dict[str, int]:
        if not self.every:
            return {}
        if tree is None:
            raise ExecutionRefused(
                "All snapshots of all guests are not deleted at once.",
                hint="Name a guest, or a group snapshot.",
            )
        if not tree.nodes:
            raise SnapshotFailed(
                f"{tree.row.guest.name} had no snapshot at the last look.",
                hint="Nothing is left to delete.",
            )
        return {one.snapshot.name: one.snapshot.created_at for one in tree.nodes}


def require_verb(testbed: Testbed, user: User, form: SnapshotForm) -> None:
    """Let a user do this with a snapshot. Raises: NotAllowed."""
    if form.verb in list(SnapshotVerb):
        require(user, act_with(SnapshotVerb(form.verb)), testbed)


def tree_of(testbed: Testbed, guest: str) -> GuestTree:
    """Return a guest with its snapshots. Raises: as `matched`; ExecutionRefused."""
    if matched(testbed, guest) != (guest,):
        raise ExecutionRefused(
            "A snapshot is of one guest.", hint="Write the guest's name, no pattern."
        )
    (tree,) = trees_of(testbed, (guest,))
    return tree


def act_on_guest(
    testbed: Testbed,
    user: User,
    form: SnapshotForm,
    tree: GuestTree,
    *,
    is_person: bool = False,
) -> Run:
    """Act on a snapshot of one guest. Raises: TestbedError, NotAllowed, Unconfirmed."""
    require_verb(testbed, user, form)
    node = tree.named(form.name)
    is_seen = is_person or unseen_run(testbed) is None
    taken = {form.guest: node.snapshot.created_at} if node and is_seen else {}
    wish = replace(form.wish(user.get_username(), tree), taken=taken)
    leaves = {form.guest: _left(node)} if wish.verb is SnapshotVerb.RESTORE else {}
    run = create_snapshot(
        testbed,
        user,
        wish,
        form.guest,
        leaves=leaves,
        erasure=_erasure(testbed, wish, tree, is_person=is_person),
        confirm=form.confirm,
    )
    words = f"{wish.sentence} of {form.guest}"
    record_act(user, act_with(wish.verb), testbed, words, run=run)
    return run


def act_on_all(
    testbed: Testbed, user: User, form: SnapshotForm, *, is_person: bool = False
) -> Run:
    """Act on a group snapshot. Raises: TestbedError, NotAllowed, Unconfirmed."""
    require_verb(testbed, user, form)
    wish = form.wish(user.get_username())
    is_restore = wish.verb is SnapshotVerb.RESTORE
    group, erasure = None, None
    if wish.erases or is_restore:
        trees = trees_of(testbed)
        group = group_of(testbed, trees, wish.name)
        if group is None and (is_person or wish.is_of_latest):
            raise not_there(testbed, wish.name)
        if wish.erases or is_person:
            erasure = erased_by_group(testbed, wish, trees, group)
    if group:
        latest = group.names() if wish.is_of_latest else {}
        is_seen = is_person or unseen_run(testbed) is None
        wish = replace(wish, latest=latest, taken=group.taken() if is_seen else {})
    run = create_snapshot(
        testbed,
        user,
        wish,
        ALL,
        leaves=group.leaves() if group and is_restore else {},
        erasure=erasure,
        confirm=form.confirm,
    )
    record_act(user, act_with(wish.verb), testbed, wish.sentence, run=run)
    return run


def group_named(testbed: Testbed, name: str) -> Group:
    """Return a group snapshot as last observed. Raises: SnapshotFailed."""
    group = group_of(testbed, trees_of(testbed), name)
    if group is None:
        raise not_there(testbed, name)
    return group


def bring_yaml_back(testbed: Testbed, user: User, group: Group) -> str:
    """Make a group's YAML the present one; return the path of the one before.

    Raises: as `put_yaml_back`; NotAllowed.
    """
    require(user, Act.EDIT, testbed)
    kept = put_yaml_back(testbed, group.record)
    record_act(user, Act.EDIT, testbed, f"put the YAML of {group.name} back")
    return kept


def not_there(testbed: Testbed, name: str) -> SnapshotFailed:
    """Return the refusal of a group snapshot that no look has seen."""
    what = f"group snapshot {name}" if name else "snapshot"
    return SnapshotFailed(
        f"{testbed} had no {what} at the last look.", hint="Choose another one."
    )


def _erasure(
    testbed: Testbed, wish: SnapshotWish, tree: GuestTree, *, is_person: bool
) -> Erasure | None:
    """Return what has to be confirmed. Raises: SnapshotFailed.

    A person is asked before each restore, and says with the answer whether the present
    state is kept, and whether children go, too. A program may name a snapshot that no
    look has seen, while a run has ended since the last one.
    """
    if not (wish.erases or (is_person and wish.verb is SnapshotVerb.RESTORE)):
        return None
    is_searched = is_person or wish.children or unseen_run(testbed) is None
    if not wish.every and tree.named(wish.name) is None and is_searched:
        raise SnapshotFailed(
            f"{tree.row.guest.name} had no snapshot {wish.name} at the last look.",
            hint="Choose another one.",
        )
    return erased_by(testbed, wish, tree, children=is_person or wish.children)


def _left(node: Node | None) -> str:
    """Return the status in which a restored guest is; running where nobody knows."""
    return node.snapshot.status if node else "running"
