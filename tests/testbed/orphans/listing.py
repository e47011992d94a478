"""Observations of orphans, the loss of a testbed, and a deletion from start to end.

`MAIN` and `OTHER` are the kinds of things that a testbed has on the main host and on
any other one.
"""

from django.contrib.auth.models import User

from testbed.cleanups import clean_up
from testbed.models import Cleanup, Testbed
from testbed.orphans.listing import delete_orphans, orphan_groups
from tests.testbed.conftest import Doors

MAIN = {"domain", "bridge", "port", "network", "link", "folder"}
OTHER = {"domain", "bridge", "port", "network", "folder"}


def listed() -> dict[str, dict[str, set[str]]]:
    """Kinds of the orphans, by name and host."""
    return {
        group.name: {
            on.host: {orphan.thing.kind.value for orphan in on.orphans}
            for on in group.hosts
        }
        for group in orphan_groups()
    }


def lose(testbed: Testbed) -> None:
    """Lose the row, as with an old copy of the database."""
    Testbed.objects.filter(pk=testbed.pk).delete()


def delete(name: str, user: User, doors: Doors) -> Cleanup:
    """Ask for a deletion and do it, as a worker would."""
    cleanup = delete_orphans(name, name, user)
    clean_up(cleanup.pk)
    cleanup.refresh_from_db()
    return cleanup
