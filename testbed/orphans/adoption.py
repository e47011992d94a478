"""Adopting orphans: a lost testbed's row made anew, or things given back to one.

A testbed that was lost from the database is known by its folder on main, whose state
says everything. Things that a testbed forgot are put into the record of what it may
have deployed, so that its next `down` removes them. Writes rows and files only.
"""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from orchestration.errors import StateError
from orchestration.inventory.adoption import adopt
from orchestration.inventory.things import SLUG
from orchestration.project.folder import YAML_NAME, Project
from testbed.models import Host, Testbed
from testbed.models.runs import require_no_run
from testbed.orphans.listing import Group


@dataclass(frozen=True, slots=True)
class Offer:
    """What adopting would do, or exactly why it cannot be done.

    `needs_owner`: a row is made anew, for somebody.
    """

    text: str
    is_possible: bool
    needs_owner: bool = False


def offer(group: Group) -> Offer:
    """Say whether a group can be adopted, and what that means."""
    try:
        if group.testbed is None:
            _lost_project(group.name)
            return Offer(
                "The testbed comes back from its folder, for an owner of your choice; "
                "Down and Up then work as before.",
                is_possible=True,
                needs_owner=True,
            )
        _known_project(group.testbed)
    except StateError as exc:
        return Offer(f"{exc.message} {exc.hint}".strip(), is_possible=False)
    text = (
        f"They are noted as things of {group.name}: its next Up or Down removes them."
    )
    return Offer(text, is_possible=True)


def adopt_lost(name: str, owner: User) -> Testbed:
    """Make the row of a lost testbed anew. Raises: StateError with the reason."""
    project = _lost_project(name)
    number = project.read_state().number
    try:
        with transaction.atomic():
            return Testbed.objects.create(
                owner=owner,
                slug=name,
                number=number,
                condition=Testbed.Condition.PARTIAL,
            )
    except IntegrityError as exc:
        raise StateError(
            f"The testbed {name} was made by somebody else just now.",
            hint="Look at the list again.",
        ) from exc


def adopt_forgotten(group: Group) -> list[str]:
    """Note the orphans in what their testbed may have deployed.

    Returns a sentence for each that could not be. Raises: StateError, TestbedBusy.
    """
    if group.testbed is None:
        raise StateError(f"There is no testbed {group.name}.")
    with transaction.atomic():
        testbed = Testbed.objects.select_for_update().get(pk=group.testbed.pk)
        require_no_run(testbed)
        project = _known_project(testbed)
        hosts = {host.name: host.to_state() for host in Host.objects.all()}
        pairs = [(orphan.host, orphan.thing) for orphan in group.orphans]
        adoption = adopt(project.read_known(), pairs, hosts)
        if len(adoption.left) < len(pairs):
            project.write_change(adoption.state, project.read_state())
            testbed.condition = Testbed.Condition.PARTIAL
            testbed.save(update_fields=["condition"])
    return [
        f"The {thing.kind} {thing.name} on {host} {reason}: delete it instead."
        for host, thing, reason in adoption.left
    ]


def _lost_project(name: str) -> Project:
    """Return a lost testbed's folder when it says everything. Raises: StateError."""
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
    taken = Testbed.objects.filter(number=state.number).first()
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


def _known_project(testbed: Testbed) -> Project:
    project = testbed.project
    if not project.has_state():
        raise StateError(
            f"Testbed {testbed} has no state to which they could be added.",
            hint="Generate its artefacts and adopt them then, or delete them.",
        )
    project.read_known()
    return project
