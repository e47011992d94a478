"""Sets and lifts the protection of a testbed's data, or of one guest's.

A run that was accepted before may erase, so that nothing is protected beside it. The
services that erase ask `models/protection.py`.
"""

from django.contrib.auth.models import User
from django.db import transaction

from orchestration.errors import StateError
from testbed.access.permissions import Act, record_act
from testbed.models import Protection, Run, Testbed
from testbed.models.runs import require_no_run


def protect(testbed: Testbed, user: User, guest: str = "") -> None:
    """Protect all data of a testbed, or that of one guest; the first one who did stays.

    Raises: TestbedBusy (a run changes the testbed), StateError (there is no such guest).
    """
    with transaction.atomic():
        Testbed.objects.select_for_update().get(pk=testbed.pk)
        require_no_run(Run.objects.changing().filter(testbed=testbed))
        if guest:
            _require_guest(testbed, guest)
        testbed.protections.get_or_create(guest=guest, defaults={"set_by": user})


def lift(testbed: Testbed, guest: str = "") -> bool:
    """Lift a protection; return whether there was one."""
    return bool(testbed.protections.filter(guest=guest).delete()[0])


def change_protection(
    testbed: Testbed, user: User, guest: str, *, is_lifted: bool
) -> str:
    """Set or lift a protection and record it; return it in words. Raises: as `protect`."""
    thing = f"guest {guest}" if guest else f"testbed {testbed}"
    if is_lifted:
        lift(testbed, guest)
        words = f"{thing} is not protected any more"
    else:
        protect(testbed, user, guest)
        words = f"{thing} is protected: nothing that erases its data is accepted"
    record_act(user, Act.PROTECT, testbed, words)
    return words


def protections_of(testbed: Testbed) -> dict[str, Protection]:
    """Return a testbed's protections by guest; that of all of it has an empty name."""
    found = testbed.protections.select_related("set_by")
    return {protection.guest: protection for protection in found}


def _require_guest(testbed: Testbed, name: str) -> None:
    project = testbed.project
    known = project.read_known().guests if project.has_state() else ()
    if name not in {guest.name for guest in known}:
        raise StateError(
            f"Testbed {testbed} has no guest {name} whose data could be protected.",
            hint="A guest can be protected once artefacts were generated for it.",
        )
