"""Writes the record: one entry, and one line of the log, for each act.

The database holds what the product's pages show; the log goes where the installation
sends it, out of reach of whoever has the database.
"""

import logging
import re
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser

from testbed.access.origin import address_now
from testbed.models import Entry, Run, Testbed

logger = logging.getLogger(__name__)
Outcome = Entry.Outcome
NAME = re.compile(r"[\w.@+-]*")  # as Django lets users be named


def write(
    user: AbstractBaseUser | str,
    act: str,
    what: str,
    *,
    thing: str = "",
    outcome: Outcome = Outcome.DONE,
    address: str | None = None,
) -> None:
    """Record what a user did to a thing that is no testbed."""
    _add(
        Entry(
            user=str(user),
            act=act,
            thing=thing,
            what=what,
            outcome=outcome,
            address=address_now() if address is None else address,
        )
    )


def write_on_testbed(
    user: AbstractBaseUser | None,
    act: str,
    testbed: Testbed,
    what: str,
    *,
    role: str = "",
    run: Run | None = None,
    outcome: Outcome = Outcome.DONE,
) -> None:
    """Record what a user did to a testbed, or with None what the system did.

    `role` is the user's in another's testbed, `run` the run that the act is about.
    """
    _add(
        Entry(
            user="" if user is None else str(user),
            role=role,
            address=address_now(),
            act=act,
            thing=testbed.name,
            owner=str(testbed.owner),
            testbed_number=testbed.number,
            run_number=run.pk if run else None,
            what=what,
            outcome=outcome,
        )
    )


def was_refused_since(
    user: str, act: str, testbed: Testbed | None, since: datetime
) -> bool:
    """Return whether the same act was refused to a user since a time."""
    number = testbed.number if testbed else None
    found = Entry.objects.filter(user=user, act=act, testbed_number=number)
    return found.filter(outcome=Outcome.REFUSED, at__gt=since).exists()


def _add(entry: Entry) -> None:
    entry.what = _on_one_line(entry.what)
    entry.save()
    # A name that was tried in vain is anything, also the words of another line.
    name = entry.user if NAME.fullmatch(entry.user) else repr(entry.user)
    who = f"{name} ({entry.role})" if entry.role else name or "the system"
    where = f"{entry.owner}'s testbed {entry.thing}" if entry.role else entry.thing
    where = f"on {where}" if where else f"from {entry.address or 'nowhere'}"
    words = f"{entry.what}, run {entry.run_number}" if entry.run_number else entry.what
    if entry.outcome not in (Outcome.DONE, Outcome.STARTED):
        words += f" ({entry.outcome})"
    logger.info(
        "act %s by %s %s: %s", entry.act, _on_one_line(who), _on_one_line(where), words
    )


def _on_one_line(text: str) -> str:
    """Write out what would begin another line of the log: commands have any character."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
