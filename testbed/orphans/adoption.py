"""Adopts orphans: makes the row of a testbed anew that the database lost.

The testbed is identified by its folder on main, whose state holds everything. Orphans
of an existing testbed can only be deleted, as its state does not know them. Writes rows
only.
"""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from orchestration.errors import StateError
from orchestration.inventory.things import SLUG
from orchestration.project.folder import YAML_NAME, Project
from testbed.access.record import write
from testbed.models import Host, Testbed
from testbed.models.listing.names import free_name
from testbed.models.record.entries import ORPHANS
from testbed.orphans.listing import Group, group_named


@dataclass(frozen=True, slots=True)
class Offer:
    """The effect of adopting, or the exact reason why it is impossible."""

    text: str
    is_possible: bool


def offer(group: Group) -> Offer | None:
    """Return whether a lost testbed can be adopted; None for an existing one."""
    if group.testbed is not None:
        return None
    try:
        _lost_project(group.name)
    except StateError as exc:
        return Offer(exc.sentence, is_possible=False)
    return Offer(
        "The testbed comes back from its folder, for an owner of your choice; "
        "Down and Up then work as before.",
        is_possible=True,
    )


def adopt(name: str, owner: User, by: User) -> Testbed:
    """Bring a lost testbed back for an owner, and record it; one that is there stays.

    Raises: StateError.
    """
    if (there := group_named(name).testbed) is not None:
        return there
    found = adopt_lost(name, owner)
    write(by, ORPHANS, f"adopted it for {owner}", thing=name)
    return found


def adopt_lost(name: str, owner: User) -> Testbed:
    """Make the row of a lost testbed anew. Raises: StateError with the reason."""
    project = _lost_project(name)
    state = project.read_state()
    try:
        with transaction.atomic():
            return Testbed.objects.create(
                owner=owner,
                slug=name,
                name=free_name(owner, name),
                number=state.number,
                condition=Testbed.Condition.PARTIAL,
                started=[(g.name, g.host, g.cpus, g.memory_mib) for g in state.guests],
            )
    except IntegrityError as exc:
        raise StateError(
            f"The testbed {name} was created by another user just now.",
            hint="Look at the list again.",
        ) from exc


def _lost_project(name: str) -> Project:
    """Return a lost testbed's folder when it is complete. Raises: StateError."""
    folder = Path(settings.TESTBEDS_DIR) / name
    project = Project(folder)
    instead = "Delete them, or restore the folder from a backup."
    if not (SLUG.fullmatch(name) and folder.is_dir()):
        raise StateError(
            f"There is no folder of a testbed {name} on main: nothing says what "
            "these were made from.",
            hint=instead,
        )
    for path, what in (
        (project.yaml, YAML_NAME),
        (project.state_file, "state.json"),
        (project.identity_file, "key of its guests"),
    ):
        if not path.is_file():
            raise StateError(f"Its folder on main has no {what}.", hint=instead)
    state = project.read_state()
    if (state.testbed, state.directory) != (name, str(folder)):
        raise StateError(
            f"The state in its folder is that of {state.testbed} in {state.directory}.",
            hint=instead,
        )
    rows = Testbed.objects.select_related("owner")
    taken = rows.filter(number=state.number).first()
    if taken is not None:
        raise StateError(
            f"Its number {state.number}, which its networks are named after, belongs "
            f"to testbed {taken} now.",
            hint=f"Take {taken} down and delete it, or delete these.",
        )
    unknown = {host.name for host in state.used_hosts} - set(
        Host.objects.values_list("name", flat=True)
    )
    if unknown:
        raise StateError(
            f"It uses hosts that are not known: {', '.join(sorted(unknown))}.",
            hint="Add them first.",
        )
    return project
