"""The first steps that the list shows to a user, until they are done or hidden."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Case, Exists, OuterRef, Subquery, When
from django.urls import reverse

from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.models import Entry, HiddenTour, Testbed
from testbed.models.record.entries import RUN_END

EDIT, UP = Act.EDIT.name.lower(), Act.UP.name.lower()
CONSOLES = (Act.CONSOLE.name.lower(), Act.WATCH_CONSOLE.name.lower())
Outcome = Entry.Outcome
WORDS = (
    ("Create a testbed", "From an example, or from your own YAML."),
    ("Bring it up", "Up on its page starts its guests and networks."),
    ("Open a console", "Each guest's page has its serial line and screen."),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its words, the page where it is done, and whether it was.

    `is_next` is the first that was not done.
    """

    title: str
    text: str
    link: str
    address: str
    is_done: bool
    is_next: bool


def first_steps(user: User) -> Sequence[Step]:
    """Return the three steps; none where all are done, or hidden (one query).

    The record tells, so that a step stays done when its testbed is deleted.
    """
    name = OuterRef("username")
    # The newest, but of those that are up first: the others have no console.
    is_up = Case(When(condition__in=Testbed.DEPLOYED, then=1), default=0)
    own = Testbed.objects.filter(owner=OuterRef("pk")).order_by(is_up.desc(), "-pk")
    created = Entry.objects.filter(user=name, act=EDIT, what__startswith="created it")
    ended = Entry.objects.filter(
        act=RUN_END, run_number=OuterRef("run_number"), outcome=Outcome.SUCCEEDED
    )
    ups = Entry.objects.filter(user=name, act=UP, what__startswith="Up")
    consoles = Entry.objects.filter(user=name, act__in=CONSOLES, outcome=Outcome.DONE)
    found = User.objects.filter(pk=user.pk).annotate(
        is_hidden=Exists(HiddenTour.objects.filter(user=OuterRef("pk"))),
        newest=Subquery(own.values("name")[:1]),
        has_created=Exists(created),
        has_upped=Exists(ups.filter(Exists(ended))),
        has_looked=Exists(consoles),
    )
    is_hidden, newest, has_created, *later = found.values_list(
        "is_hidden", "newest", "has_created", "has_upped", "has_looked"
    ).get()
    done = [newest is not None or has_created, *later]
    if is_hidden or all(done):
        return ()
    link, address = "New testbed", reverse("testbed-new")
    if newest:
        link, address = (
            newest,
            reverse("testbed", args=[Address(user.get_username(), newest)]),
        )
    return [
        Step(title, text, link, address, is_done, number == done.index(False))
        for number, ((title, text), is_done) in enumerate(zip(WORDS, done, strict=True))
    ]
