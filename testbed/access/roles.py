"""The roles of users in testbeds: lab admin, owner, and by shares editor to viewer.

`permissions.py` has the table of what each role may do. A share with a group is one with
each of its members; of several shares the highest role counts. Rows are read at each
call, so that a change counts at once.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from testbed.models import Share, Testbed


class Role(StrEnum):
    """The role of a user in a testbed, the least first."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    EDITOR = "editor"
    OWNER = "owner"
    ADMIN = "lab admin"

    @property
    def rank(self) -> int:
        """Return its place: each role may do what those of lower ranks may."""
        return list(Role).index(self)

    @property
    def with_article(self) -> str:
        """The role in a sentence: `an operator`."""
        return f"{'a' if self in (Role.VIEWER, Role.ADMIN) else 'an'} {self}"


def role_of(user: User, testbed: Testbed) -> Role | None:
    """Return a user's role; None for strangers and for users who may not sign in."""
    if not user.is_active:
        return None
    if user.is_superuser:
        return Role.ADMIN
    if testbed.owner_id == user.pk:
        return Role.OWNER
    own = Q(user=user) | Q(group__user=user)
    return _highest(Share.objects.filter(own, testbed=testbed))


def roles_in(user: User, testbeds: Collection[Testbed]) -> dict[int, Role]:
    """Return a user's roles in testbeds that the user sees, by their ids (one query)."""
    if user.is_superuser:
        return {testbed.pk: Role.ADMIN for testbed in testbeds}
    own = Q(user=user) | Q(group__user=user)
    ids = [testbed.pk for testbed in testbeds]
    found: dict[int, Role] = {}
    for pk, text in Share.objects.filter(own, testbed__in=ids).values_list(
        "testbed", "role"
    ):
        found[pk] = max(found.get(pk, Role.VIEWER), Role(text), key=_rank)
    owned = {t.pk: Role.OWNER for t in testbeds if t.owner_id == user.pk}
    return found | owned


def users_of(testbed: Testbed, least: Role) -> set[int]:
    """Return the ids of the owner and of those to whom a share gives at least a role.

    Users who may not sign in are left out.
    """
    return users_of_each([testbed], least)[testbed.pk]


def users_of_each(testbeds: Collection[Testbed], least: Role) -> Mapping[int, set[int]]:
    """Return the same of many testbeds, by their ids (two queries)."""
    found = accounts_of_each(testbeds, least)
    everybody = set().union(*found.values())
    inactive = User.objects.filter(is_active=False, pk__in=everybody)
    gone = frozenset(inactive.values_list("pk", flat=True))
    return {pk: users - gone for pk, users in found.items()}


def accounts_of_each(
    testbeds: Collection[Testbed], least: Role
) -> Mapping[int, set[int]]:
    """Return the same with users who may not sign in (one query)."""
    found = {testbed.pk: {testbed.owner_id} for testbed in testbeds}
    roles = [role for role in Share.Role if Role(role).rank >= least.rank]
    shares = Share.objects.filter(role__in=roles, testbed__in=list(found))
    pairs = shares.exclude(user=None).values_list("testbed", "user")
    members = shares.filter(group__user__isnull=False)
    for pk, user in pairs.union(members.values_list("testbed", "group__user")):
        found[pk].add(user)
    return found


def _highest(shares: QuerySet[Share]) -> Role | None:
    roles = map(Role, shares.values_list("role", flat=True))
    return max(roles, key=_rank, default=None)


def _rank(role: Role) -> int:
    return role.rank
