"""Idle testbeds end earlier, said before; any use, and any doubt, puts that off."""

from collections.abc import Callable
from datetime import datetime, timedelta
from math import nan

import pytest
from django.contrib.auth.models import User

from orchestration.plan.execution import Execution, Form
from orchestration.plan.model import Command
from testbed.access.permissions import Act
from testbed.expiry.changes import choose, extend
from testbed.expiry.idleness import find_idle_ends
from testbed.expiry.sweeping import expire_once
from testbed.models import Entry, Expiry, Run, Sample, SampleHour, Testbed
from testbed.models.runs import SYSTEM
from testbed.runs.creation import create_execution, create_run
from testbed.samples.figures import GuestFigures, pack
from tests.testbed.expiry.conftest import HOUR, NOW, TIMES, end_of

MINUTE = timedelta(minutes=1)
IDLE = 4 * HOUR
Load = Callable[..., None]


@pytest.fixture(autouse=True)
def lab_with_idleness(settings: object) -> None:
    settings.EXPIRY = TIMES._replace(idle=IDLE)


@pytest.fixture
def load(lab: Testbed) -> Load:
    """Write the load of the last hours: minutes, and looks in the last of them."""

    def write(
        percent: float = 0.5,
        *,
        at: datetime = NOW,
        busy: dict[int, float] | None = None,
        hours: int = 4,
        guests: tuple[str, ...] = ("db", "web"),
    ) -> None:
        def value(minutes_ago: int) -> float:
            return (busy or {}).get(minutes_ago, percent)

        for ago in range(1, hours):
            began_at = at - (ago + 1) * HOUR
            for name in guests:
                minutes = [
                    GuestFigures(value((ago + 1) * 60 - minute)) for minute in range(60)
                ]
                SampleHour.objects.create(
                    testbed=lab, name=name, began_at=began_at, figures=pack(minutes)
                )
        for minutes in range(60, 0, -1):
            Sample.objects.create(
                testbed=lab,
                taken_at=at - minutes * MINUTE,
                names="\n".join(guests),
                figures=pack([GuestFigures(value(minutes)) for _ in guests]),
            )

    return write


@pytest.fixture
def end(lab: Testbed) -> Expiry:
    return Expiry.objects.create(testbed=lab, expires_at=NOW + 100 * HOUR)


def idle_at(lab: Testbed, at: datetime = NOW) -> datetime | None:
    find_idle_ends(at)
    return end_of(lab).idle_at


def test_unused_testbed_ends_after_the_warning(lab: Testbed, end: Expiry, load: Load):
    load()

    assert idle_at(lab) == NOW + 24 * HOUR

    assert expire_once(NOW)["warned"] == 1
    assert end_of(lab).ends_at == NOW + 24 * HOUR
    assert end_of(lab).expires_at == NOW + 100 * HOUR


def test_lab_without_idle_hours_looks_at_nothing(
    lab: Testbed, end: Expiry, load: Load, settings: object
):
    settings.EXPIRY = TIMES
    load()

    assert idle_at(lab) is None


def test_testbed_without_samples_is_not_idle(lab: Testbed, end: Expiry):
    assert idle_at(lab) is None


@pytest.mark.parametrize("hours", [1, 2, 3])
def test_testbed_with_samples_of_a_part_is_not_idle(
    lab: Testbed, end: Expiry, load: Load, hours: int
):
    load(hours=hours)

    assert idle_at(lab) is None


def test_figures_that_were_not_observed_prove_nothing(
    lab: Testbed, end: Expiry, load: Load
):
    load(nan)

    assert idle_at(lab) is None


def test_restart_of_a_worker_leaves_a_testbed_idle(
    lab: Testbed, end: Expiry, load: Load
):
    load(busy=dict.fromkeys(range(30, 50), nan))

    assert idle_at(lab) is not None


@pytest.mark.parametrize(
    "busy",
    [
        {5: 30.0},
        {200: 30.0},
        dict.fromkeys(range(121, 131), 2.5),
        dict.fromkeys(range(11, 31), 2.5),
    ],
)
def test_busy_guest_is_in_use(
    lab: Testbed, end: Expiry, load: Load, busy: dict[int, float]
):
    load(busy=busy)

    assert idle_at(lab) is None


def test_one_busy_guest_among_others_is_enough(lab: Testbed, end: Expiry, load: Load):
    load()
    Sample.objects.create(
        testbed=lab,
        taken_at=NOW - 90 * MINUTE,
        names="db\nweb",
        figures=pack([GuestFigures(0.1), GuestFigures(250.0)]),
    )

    assert idle_at(lab) is None


def test_run_is_use_also_while_it_is_on(
    lab: Testbed, owner: User, end: Expiry, load: Load
):
    load()
    command = Execution(Form.COMMAND, "@all", words=("uptime",))
    run = create_execution(lab, owner, command)
    Run.objects.update(created_at=NOW - 9 * HOUR)
    assert idle_at(lab) is None

    Run.objects.filter(pk=run.pk).update(status="succeeded", ended_at=NOW - 3 * HOUR)
    assert idle_at(lab) is None

    Run.objects.filter(pk=run.pk).update(ended_at=NOW - 5 * HOUR)
    assert idle_at(lab) is not None


@pytest.mark.parametrize(
    "values", [{"asked_as": SYSTEM}, {"options": {"schedule": "nightly"}}]
)
def test_runs_of_the_system_and_of_schedules_are_no_use(
    lab: Testbed, owner: User, end: Expiry, load: Load, values: dict[str, object]
):
    load()
    create_run(lab, owner, Command.UP)
    Run.objects.update(status="failed", created_at=NOW, ended_at=NOW, **values)

    assert idle_at(lab) is not None


def said(lab: Testbed, owner: User, at: datetime, what: str) -> None:
    Entry(
        at=at,
        user=str(owner),
        act=Act.CONSOLE.name.lower(),
        testbed_number=lab.number,
        what=what,
        outcome=Entry.Outcome.DONE,
    ).save()


def test_console_is_use_also_while_it_is_open(
    lab: Testbed, owner: User, end: Expiry, load: Load
):
    load()
    said(lab, owner, NOW - 6 * HOUR, "opened the serial console of web")
    assert idle_at(lab) is None

    said(lab, owner, NOW - 5 * HOUR, "left the serial console of web after 60 s")
    assert idle_at(lab) is not None


def test_console_that_was_refused_is_no_use(
    lab: Testbed, owner: User, end: Expiry, load: Load
):
    load()
    Entry(
        at=NOW - HOUR,
        user="sam",
        act=Act.CONSOLE.name.lower(),
        testbed_number=lab.number,
        what="POST /testbeds/olive/lab/guests/web/console/",
        outcome=Entry.Outcome.REFUSED,
    ).save()

    assert idle_at(lab) is not None


def test_console_that_was_left_lately_is_use(
    lab: Testbed, owner: User, end: Expiry, load: Load
):
    load()
    said(lab, owner, NOW - HOUR, "left the serial console of web after 60 s")

    assert idle_at(lab) is None


def test_use_puts_the_end_back_with_its_warning(
    lab: Testbed, owner: User, end: Expiry, load: Load
):
    load()
    find_idle_ends(NOW)
    expire_once(NOW)
    said(lab, owner, NOW + MINUTE, "opened the serial console of web")

    assert find_idle_ends(NOW + 2 * MINUTE) == 1

    found = end_of(lab)
    assert (found.idle_at, found.warned_at) == (None, None)
    assert found.expires_at == NOW + 100 * HOUR


def test_use_in_the_last_moment_keeps_the_testbed_up(
    lab: Testbed, owner: User, end: Expiry, load: Load
):
    load()
    Expiry.objects.update(
        idle_at=NOW, warned_at=NOW - 24 * HOUR, seen_at=NOW - timedelta(seconds=30)
    )
    said(lab, owner, NOW - MINUTE, "opened the serial console of web")

    assert expire_once(NOW)["begun"] == 0
    assert end_of(lab).idle_at is None
    assert not Run.objects.exists()


def test_idle_testbed_ends(lab: Testbed, end: Expiry, load: Load):
    load()
    Expiry.objects.update(
        idle_at=NOW, warned_at=NOW - 24 * HOUR, seen_at=NOW - timedelta(seconds=30)
    )

    assert expire_once(NOW)["begun"] == 1


def test_extension_is_use(lab: Testbed, owner: User, end: Expiry, load: Load):
    load()
    find_idle_ends(NOW)
    extend(lab, owner, NOW + 172 * HOUR, NOW)

    assert idle_at(lab, NOW + MINUTE) is None


def test_end_that_is_nearer_is_left(lab: Testbed, load: Load):
    Expiry.objects.create(testbed=lab, expires_at=NOW + 10 * HOUR)
    load()

    assert idle_at(lab) is None


def test_idle_testbed_ends_in_a_lab_without_a_usual_end(
    lab: Testbed, load: Load, settings: object
):
    settings.EXPIRY = TIMES._replace(usual=timedelta(), idle=IDLE)
    load()

    assert idle_at(lab) == NOW + 24 * HOUR


def test_testbed_that_never_ends_is_not_idle(
    lab: Testbed, admin: User, load: Load, end: Expiry
):
    choose(lab, admin, "keep", NOW)
    load()

    assert idle_at(lab) is None


def test_hundreds_of_testbeds_are_looked_at_with_one_set_of_queries(
    lab: Testbed,
    owner: User,
    load: Load,
    django_assert_num_queries: Callable[..., object],
):
    load(busy={5: 30.0})
    for number in range(100, 150):
        Testbed.objects.create(
            owner=owner, slug=f"t{number}", number=number, condition="up"
        )

    with django_assert_num_queries(5):
        assert find_idle_ends(NOW) == 0


def test_each_testbed_is_judged_by_its_own_samples(
    lab: Testbed, owner: User, load: Load
):
    load()
    # Its name sorts before the first's, and its key after.
    other = Testbed.objects.create(owner=owner, slug="a", number=99, condition="up")
    Sample.objects.create(
        testbed=other,
        taken_at=NOW - 5 * MINUTE,
        names="db",
        figures=pack([GuestFigures(90.0)]),
    )

    assert find_idle_ends(NOW) == 1
    assert end_of(lab).idle_at == NOW + 24 * HOUR
    assert not Expiry.objects.filter(testbed=other, idle_at__isnull=False).exists()
