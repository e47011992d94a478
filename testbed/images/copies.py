"""Copies a testbed under a new name, without or with the disks of its guests.

With disks, a run on the testbed saves each guest as an image of the user who copies, and
the copy's YAML names these. The copy is there at once, so that its name is taken; when
the run saved nothing, it goes to its owner's trash (`testbeds/trash/copies.py`).
"""

from django.contrib.auth.models import User

from orchestration.compose.loader import load_spec
from orchestration.compose.rewriting import with_images
from orchestration.errors import StateError
from orchestration.project.folder import YAML_NAME
from testbed.access.permissions import Act, record_act
from testbed.models import Run, Testbed
from testbed.models.runs import require_no_run
from testbed.runs.creation import create_saving
from testbed.testbeds.erasure.deletions import erased_testbed
from testbed.testbeds.files import copy_testbed, remove_testbed


def copy(testbed: Testbed, user: User, name: str) -> Testbed:
    """Copy a testbed's YAML and files. Raises: as `copy_testbed`."""
    found = copy_testbed(testbed, user, name, _yaml(testbed))
    record_act(user, Act.COPY, testbed, f"as {name}")
    _record_origin(found, testbed, user)
    return found


def copy_with_disks(testbed: Testbed, user: User, name: str) -> Run:
    """Copy a testbed, and begin to save its guests' disks for the copy.

    Guests that run are shut down meanwhile. Raises: as `copy_testbed`, `create_saving`
    and `with_images`.
    """
    require_no_run(testbed.runs.all())
    names = _names(testbed, name)
    yaml = with_images(_yaml(testbed).decode(), names)
    found = copy_testbed(testbed, user, name, yaml.encode())
    try:
        run = create_saving(testbed, user, names, shut_down=True, copy=found)
    except BaseException:
        remove_testbed(found, user, confirm=erased_testbed(found).token)
        raise
    record_act(user, Act.COPY, testbed, f"as {name} with disks", run=run)
    _record_origin(found, testbed, user)
    return run


def _record_origin(found: Testbed, source: Testbed, user: User) -> None:
    """Let a copy's own record begin with it."""
    record_act(user, Act.EDIT, found, f"created it as a copy of {source}")


def _yaml(testbed: Testbed) -> bytes:
    if not testbed.project.yaml.is_file():
        raise StateError(f"Testbed {testbed} has no {YAML_NAME}.")
    return testbed.project.read_yaml()


def _names(testbed: Testbed, copy: str) -> dict[str, str]:
    """Return the image's name of each guest that has a disk. Raises: StateError."""
    state = testbed.project.read_state() if testbed.project.has_state() else None
    disks = {g.name for g in state.guests if g.markers.disk} if state else set()
    machines = load_spec(_yaml(testbed)).require().machines
    cloned = [machine.name for machine in machines if machine.scaling]
    names = [m.name for m in machines if m.name in disks or m.name in cloned]
    if not disks:
        raise StateError(
            f"The guests of testbed {testbed} have no disks.",
            hint="Copy it without the disks.",
        )
    return {name: f"{copy}-{name}".lower() for name in names}
