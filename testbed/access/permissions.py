"""Answers whether a user may do something to a testbed, and records what was done.

`TABLE` is the one table of roles and acts; docs/permissions.md has it for people, and
tests compare both with each other and with what every address answers. Everything asks
here: views when they take an object from `visibility`, the frames of sockets, consoles
and templates. Strangers get 404 there, users of too low a role `NotAllowed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from orchestration.errors import TestbedError
from orchestration.plan.execution import Execution
from orchestration.plan.model import Command
from orchestration.plan.selected import WAYS, GuestUp, Mode
from orchestration.plan.snapshots import SnapshotVerb
from testbed.access.record import (
    Outcome,
    was_refused_since,
    write,
    write_on_testbed,
)
from testbed.access.roles import Role, role_of
from testbed.access.scopes import Scope, Scopes, in_order, scopes_of
from testbed.models import Run, Testbed
from testbed.models.runs import RunQuerySet


class Act(StrEnum):
    """One thing that a user may do to a testbed, or to the whole lab."""

    SEE = "see the testbed"
    WATCH_CONSOLE = "watch consoles"
    COPY = "copy the testbed"
    UP = "bring the testbed up and down"
    DRIVE = "drive runs"
    CANCEL = "cancel runs"
    EXECUTE = "run a command"
    POWER = "start and stop guests"
    UP_GUESTS = "bring guests up"
    RECREATE_GUESTS = "recreate guests"
    SNAPSHOT = "take and rename snapshots"
    RESTORE_SNAPSHOT = "restore snapshots"
    DELETE_SNAPSHOT = "delete snapshots"
    SCHEDULE_SNAPSHOTS = "schedule snapshots"
    SAVE_IMAGE = "save guests as images"
    CHECK = "check guests"
    CONSOLE = "type into consoles"
    SSH = "reach guests with SSH"
    SAVE_COMMAND = "save commands"
    TAKE_FETCHED = "take fetched files"
    TAKE_PACKETS = "take captured packets"
    ARTEFACTS = "read artefacts"
    EDIT = "edit the YAML and files"
    SET_SOURCE = "set the source of the files"
    DESCRIBE = "change description and tags"
    DELETE_DISKS = "delete disks and artefacts"
    SHARE = "share the testbed"
    TRANSFER = "give the testbed to another owner"
    RENAME = "rename the testbed"
    PROTECT = "protect the testbed and its guests"
    EXTEND = "extend the testbed"
    DELETE = "delete the testbed"
    RESTORE = "restore the testbed from the trash"
    READ_RECORD = "read the testbed's record"
    EXECUTE_ON_HOSTS = "run a command on hosts"
    KEEP = "keep the testbed without an end"
    SHARE_COMMAND = "share commands with all testbeds"
    ADMINISTER = "administer the lab"


class OwnAct(StrEnum):
    """One thing that a user does to what is the user's own, on no testbed.

    No role is asked for it, but the scope of a token.
    """

    FAVOURITES = "mark favourites"
    NOTIFICATIONS = "read and choose notifications"
    RESERVATIONS = "reserve hosts"
    IMAGES = "delete saved images"
    GROUPS = "keep groups"
    SSH_KEYS = "change SSH keys"
    WEBHOOK = "set the webhook of notifications"
    TOKENS = "revoke API tokens"


# Each role may do its own acts and those of the roles above it here. An act that is in
# no row may be done by no role: a test names it.
TABLE: Mapping[Role, tuple[Act, ...]] = {
    Role.VIEWER: (Act.SEE, Act.WATCH_CONSOLE, Act.COPY),
    Role.OPERATOR: (
        Act.UP,
        Act.DRIVE,
        Act.CANCEL,
        Act.EXECUTE,
        Act.POWER,
        Act.UP_GUESTS,
        Act.RECREATE_GUESTS,
        Act.SNAPSHOT,
        Act.RESTORE_SNAPSHOT,
        Act.CHECK,
        Act.CONSOLE,
        Act.SSH,
        Act.SAVE_COMMAND,
        Act.TAKE_FETCHED,
        Act.TAKE_PACKETS,
        Act.ARTEFACTS,
    ),
    Role.EDITOR: (
        Act.EDIT,
        Act.SET_SOURCE,
        Act.DESCRIBE,
        Act.DELETE_SNAPSHOT,
        Act.SCHEDULE_SNAPSHOTS,
        Act.SAVE_IMAGE,
    ),
    Role.OWNER: (
        Act.DELETE_DISKS,
        Act.SHARE,
        Act.TRANSFER,
        Act.RENAME,
        Act.PROTECT,
        Act.EXTEND,
        Act.DELETE,
        Act.RESTORE,
        Act.READ_RECORD,
    ),
    Role.ADMIN: (
        Act.EXECUTE_ON_HOSTS,
        Act.KEEP,
        Act.SHARE_COMMAND,
        Act.ADMINISTER,
    ),
}
# The acts of each scope of an API token, which may no more than its user besides. Each
# act is in one scope, and every token has READ. A source, with its deploy key, webhook
# and Up after a push, serves longer than the token lasts.
SCOPES: Mapping[Scope, tuple[Act, ...]] = {
    Scope.READ: (Act.SEE, Act.WATCH_CONSOLE),
    Scope.RUN: TABLE[Role.OPERATOR],
    Scope.EDIT: (
        Act.COPY,
        *(act for act in TABLE[Role.EDITOR] if act is not Act.SET_SOURCE),
    ),
    Scope.MANAGE: (Act.SET_SOURCE, *TABLE[Role.OWNER]),
    Scope.ADMIN: TABLE[Role.ADMIN],
}
# So do a key and a webhook, and members get what is shared.
OWN_SCOPES: Mapping[Scope, tuple[OwnAct, ...]] = {
    Scope.READ: (),
    Scope.RUN: (OwnAct.RESERVATIONS,),
    Scope.EDIT: (OwnAct.FAVOURITES, OwnAct.NOTIFICATIONS),
    Scope.MANAGE: (
        OwnAct.IMAGES,
        OwnAct.GROUPS,
        OwnAct.SSH_KEYS,
        OwnAct.WEBHOOK,
        OwnAct.TOKENS,
    ),
    Scope.ADMIN: (),
}
REFUSED_AGAIN_AFTER = timedelta(minutes=10)
LEAST: Mapping[Act, Role] = {act: role for role, acts in TABLE.items() for act in acts}
SCOPE_OF: Mapping[Act | OwnAct, Scope] = {
    **{act: scope for scope, acts in SCOPES.items() for act in acts},
    **{own: scope for scope, owns in OWN_SCOPES.items() for own in owns},
}


class NotAllowed(PermissionDenied):
    """A user's role is too low; `problem` says which is needed, and who gives it.

    `testbed` is None where the act is on none.
    """

    def __init__(
        self,
        problem: TestbedError,
        act: Act | OwnAct = Act.ADMINISTER,
        testbed: Testbed | None = None,
    ) -> None:
        super().__init__(problem.sentence)
        self.problem, self.act, self.testbed = problem, act, testbed


@dataclass(frozen=True, slots=True)
class Permissions:
    """The acts that a role allows; templates ask `may.edit`, with an act's name.

    `scopes` are those of the API token by which the user asks, if there is one.
    """

    role: Role | None = None
    scopes: Scopes | None = None

    def __getitem__(self, name: str) -> bool:
        """Return whether it allows the act of this name. Raises: KeyError."""
        return self.allows(Act[name.upper()])

    def allows(self, act: Act) -> bool:
        """Return whether it allows an act."""
        least = LEAST.get(act)
        if self.role is None or least is None or not is_in_scope(act, self.scopes):
            return False
        return self.role.rank >= least.rank


def act_of(wanted: Execution) -> Act:
    """Return what a user has to be allowed who runs this."""
    return act_on(hosts=wanted.is_on_hosts)


def act_on(*, hosts: bool) -> Act:
    """Return what a user has to be allowed who runs something there."""
    return Act.EXECUTE_ON_HOSTS if hosts else Act.EXECUTE


def act_of_command(command: Command) -> Act:
    """Return what a user has to be allowed who starts this run of a whole testbed."""
    return Act.DELETE_DISKS if command is Command.CLEAR_ARTEFACTS else Act.UP


def act_up(way: GuestUp) -> Act:
    """Return what a user has to be allowed who brings guests up in this way."""
    return Act.RECREATE_GUESTS if way.loses_data else Act.UP_GUESTS


def act_with(verb: SnapshotVerb) -> Act:
    """Return what a user has to be allowed who does this with a snapshot."""
    return {
        SnapshotVerb.RESTORE: Act.RESTORE_SNAPSHOT,
        SnapshotVerb.DELETE: Act.DELETE_SNAPSHOT,
    }.get(verb, Act.SNAPSHOT)


def ways_for(user: User, testbed: Testbed) -> list[GuestUp]:
    """Return the ways to bring guests up that are offered beside their power."""
    allowed = permissions_of(user, testbed)
    offered = (WAYS[Mode.UP], WAYS[Mode.RECREATE])
    return [way for way in offered if allowed.allows(act_up(way))]


def permissions_of(user: User, testbed: Testbed) -> Permissions:
    """Return what a user may do to a testbed now."""
    return Permissions(role_of(user, testbed), scopes_of(user))


def is_in_scope(act: Act | OwnAct, scopes: Scopes | None) -> bool:
    """Return whether scopes allow an act; without a token there are none to ask."""
    return scopes is None or SCOPE_OF.get(act) in scopes


def may(user: User, act: Act, testbed: Testbed) -> bool:
    """Return whether a user may do this."""
    return permissions_of(user, testbed).allows(act)


def require(user: User, act: Act, testbed: Testbed) -> None:
    """Let a user do this. Raises: NotAllowed."""
    allowed = permissions_of(user, testbed)
    if not allowed.allows(act):
        raise NotAllowed(refusal(allowed, act, testbed), act, testbed)


def require_scope(user: User, act: Act | OwnAct) -> None:
    """Let a user do what is on no testbed, by a token of this scope. Raises: NotAllowed."""
    scopes = scopes_of(user)
    if not is_in_scope(act, scopes):
        raise NotAllowed(_refusal_of_token(scopes or frozenset(), act), act)


def refusal(allowed: Permissions, act: Act, testbed: Testbed) -> TestbedError:
    """Say why a user may not do this, and who can give the role or scope for it."""
    role, scopes = allowed.role, allowed.scopes
    if scopes is not None and Permissions(role).allows(act):
        return _refusal_of_token(scopes, act)
    least, owner = LEAST.get(act, Role.ADMIN), testbed.owner
    hint = f"That needs the role {least}, which {owner} or a lab admin can give you."
    if least is Role.OWNER:
        hint = f"Its owner {owner} and lab admins may do it."
    elif least is Role.ADMIN:
        hint = "Only lab admins may do it."
    as_what = role.with_article if role else "a stranger"
    message = f"As {as_what} of testbed {testbed} you may not {act}."
    return TestbedError(message, hint=hint)


def _refusal_of_token(scopes: Scopes, act: Act | OwnAct) -> TestbedError:
    """Say that a token's scopes do not allow an act, and which one does."""
    has = ", ".join(in_order(scopes))
    return TestbedError(
        f"With the scopes {has} this API token may not {act}.",
        hint=f"Make a token with the scope {SCOPE_OF[act]} under API tokens, in the "
        "menu under your name.",
    )


def require_admin(user: User) -> None:
    """Let lab admins administer the lab. Raises: NotAllowed."""
    if not (user.is_active and user.is_superuser):
        problem = TestbedError(
            "This page is for lab admins.", hint="Ask a lab admin to do it."
        )
        raise NotAllowed(problem)
    require_scope(user, Act.ADMINISTER)


def seen_runs(user: User) -> RunQuerySet:
    """Return the runs that a user may see now: by a token as its scopes allow, too."""
    runs = Run.objects.all().visible_to(user)
    on_hosts = is_in_scope(Act.EXECUTE_ON_HOSTS, scopes_of(user))
    return runs if on_hosts else runs.in_guests()


def is_admin(user: User) -> bool:
    """Return whether a user may administer the lab now."""
    is_one = user.is_active and user.is_superuser
    return is_one and is_in_scope(Act.ADMINISTER, scopes_of(user))


def acted_as(user: User, testbed: Testbed) -> str:
    """Return the role in which a user acts on another's testbed; '' for its owner."""
    if testbed.owner_id == user.pk:
        return ""
    return role_of(user, testbed) or "without a role"


def name_acting(user: User, testbed: Testbed) -> str:
    """Return a user's name, with the role where the testbed is another's."""
    role = acted_as(user, testbed)
    return f"{user} ({role})" if role else str(user)


def record_act(
    user: User,
    act: Act,
    testbed: Testbed,
    what: str,
    *,
    role: str | None = None,
    run: Run | None = None,
) -> None:
    """Record that a user did something to a testbed, or began a run on it.

    `role` is what `acted_as` returned, where the testbed may be gone.
    """
    write_on_testbed(
        user,
        act.name.lower(),
        testbed,
        what,
        role=acted_as(user, testbed) if role is None else role,
        run=run,
        outcome=Outcome.STARTED if run else Outcome.DONE,
    )


def record_refusal(user: User, refused: NotAllowed, what: str) -> None:
    """Record that a user's role did not allow an act, at most once in ten minutes.

    So neither a page that asks again and again nor a program fills the record.
    """
    act, testbed = refused.act.name.lower(), refused.testbed
    if was_refused_since(str(user), act, testbed, timezone.now() - REFUSED_AGAIN_AFTER):
        return
    if testbed is None:
        write(user, act, what, outcome=Outcome.REFUSED)
        return
    role, outcome = acted_as(user, testbed), Outcome.REFUSED
    write_on_testbed(user, act, testbed, what, role=role, outcome=outcome)
