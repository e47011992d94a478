"""The condition of a testbed, from its last run and from what is seen of its guests.

It is up only while all of them run; a failed run stays partial; while a run is on, its
condition is the run's own affair.
"""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestration.hosts import Hosts
from orchestration.inventory.things import Inventory
from orchestration.plan.model import Command
from orchestration.state.model import State
from testbed.hosts.conditions import Look, save_conditions
from testbed.hosts.inventory import Shares
from testbed.hosts.observation import observe_all
from testbed.models import Run, Testbed
from tests.testbed.deployment import obey
from tests.testbed.hosts.host_changes import (
    Condition,
    condition,
    is_now,
    ran,
    seen,
    silence,
    start,
    stop,
)

pytestmark = pytest.mark.database


def test_testbed_is_up_only_while_all_its_guests_run(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    obey(testbed, kept, Command.UP)

    observe_all(kept)
    assert condition(testbed) == Condition.UP

    stop(kept, state, "db", undefine=False)
    observe_all(kept)
    assert condition(testbed) == Condition.PARTIAL

    start(kept, state, "db")
    observe_all(kept)
    assert condition(testbed) == Condition.UP

    stop(kept, state, "db")
    stop(kept, state, "web")
    observe_all(kept)
    assert condition(testbed) == Condition.PARTIAL


def test_command_in_guests_leaves_the_testbed_up(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    obey(testbed, kept, Command.UP)
    ran(testbed, owner, Command.EXEC, Run.Status.FAILED)
    Run.objects.filter(command=Command.EXEC).update(is_exclusive=False)

    observe_all(kept)

    assert condition(testbed) == Condition.UP


def test_failed_up_stays_partial_even_while_all_run(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.FAILED)
    is_now(testbed, Condition.PARTIAL)
    start(kept, state, "web")
    start(kept, state, "db")

    observe_all(kept)

    assert condition(testbed) == Condition.PARTIAL


def test_generating_again_does_not_hide_that_the_testbed_is_up(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    ran(testbed, owner, Command.GENERATE_ARTEFACTS, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    obey(testbed, kept, Command.UP)

    observe_all(kept)

    assert condition(testbed) == Condition.UP


@pytest.mark.parametrize("was", [Condition.EMPTY, Condition.GENERATED, Condition.DOWN])
def test_testbed_that_is_not_up_stays_what_it_is_until_a_guest_is_seen(
    testbed: Testbed, kept: Hosts, state: State, was: str
) -> None:
    is_now(testbed, was)
    observe_all(kept)
    assert condition(testbed) == was

    start(kept, state, "db")
    observe_all(kept)
    assert condition(testbed) == Condition.PARTIAL


@pytest.mark.parametrize(
    ("command", "after"),
    [
        (Command.DOWN, Condition.DOWN),
        (Command.CLEAR_ARTEFACTS, Condition.EMPTY),
        (None, Condition.GENERATED),
    ],
)
def test_leftover_that_is_gone_again_makes_nothing_partial_for_ever(
    testbed: Testbed,
    kept: Hosts,
    state: State,
    owner: User,
    command: Command | None,
    after: str,
) -> None:
    if command is not None:
        ran(testbed, owner, command, Run.Status.SUCCEEDED)
    is_now(testbed, after)
    start(kept, state, "db")
    observe_all(kept)
    assert condition(testbed) == Condition.PARTIAL
    if command is Command.CLEAR_ARTEFACTS:
        testbed.project.clear()

    stop(kept, state, "db")
    observe_all(kept)

    assert condition(testbed) == after


def test_things_of_a_silent_host_count_as_they_were_last_seen(
    testbed: Testbed, kept: Hosts, state: State, owner: User, settings: object
) -> None:
    ran(testbed, owner, Command.DOWN, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.DOWN)
    start(kept, state, "db")
    observe_all(kept)
    silence(kept, settings, state.guest("db").host)
    testbed.observed_guests.all().delete()
    is_now(testbed, Condition.DOWN)

    observe_all(kept)

    assert condition(testbed) == Condition.PARTIAL


def test_failed_down_stays_partial_when_no_guest_is_left(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.DOWN, Run.Status.FAILED)
    is_now(testbed, Condition.PARTIAL)

    observe_all(kept)

    assert condition(testbed) == Condition.PARTIAL


def test_active_run_keeps_the_condition_to_itself(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    run = ran(testbed, owner, Command.UP, Run.Status.RUNNING)
    Run.objects.filter(pk=run.pk).update(ended_at=None)
    start(kept, state, "web")

    observe_all(kept)

    assert condition(testbed) == Condition.EMPTY
    assert seen(testbed) == {"web": "running"}


def test_look_that_began_before_a_run_ended_does_not_judge_it(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    run = ran(testbed, owner, Command.DOWN, Run.Status.SUCCEEDED)
    Run.objects.filter(pk=run.pk).update(ended_at=timezone.now() + timedelta(hours=1))
    is_now(testbed, Condition.DOWN)
    start(kept, state, "web")

    observe_all(kept)

    assert condition(testbed) == Condition.DOWN


def test_broken_state_of_one_testbed_does_not_stop_the_others(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    start(kept, state, "web")
    other = Testbed.objects.create(owner=owner, slug="later", number=8)
    testbed.project.state_file.write_text("{")

    observe_all(kept)

    assert condition(testbed) == Condition.PARTIAL
    other.refresh_from_db()
    assert other.observed_at is not None


def test_condition_of_one_testbed_can_be_saved_alone(
    testbed: Testbed, state: State
) -> None:
    is_now(testbed, Condition.UP)
    testbed.refresh_from_db()

    save_conditions(Testbed.objects.filter(pk=testbed.pk), Look())

    assert condition(testbed) == Condition.GENERATED


def test_look_at_many_testbeds_sends_no_more_queries(
    testbed: Testbed, kept: Hosts, owner: User
) -> None:
    is_now(testbed, Condition.UP)
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    observe_all(kept)
    with CaptureQueriesContext(connection) as of_one:
        observe_all(kept)
    for number in range(1000, 1020):
        further = Testbed.objects.create(
            owner=owner,
            slug=f"further-{number}",
            number=number,
            condition=Condition.PARTIAL,
        )
        ran(further, owner, Command.UP, Run.Status.FAILED)

    with CaptureQueriesContext(connection) as of_many:
        observe_all(kept)

    assert len(of_many) <= len(of_one)


def test_condition_that_a_run_saved_meanwhile_stays(
    testbed: Testbed, state: State
) -> None:
    class Changing(Shares):
        """Things of hosts; while a testbed's are read, its run ends."""

        def of(self, testbed: str) -> dict[str, Inventory]:
            Testbed.objects.filter(slug=testbed).update(condition=Condition.DOWN)
            return super().of(testbed)

    is_now(testbed, Condition.UP)

    save_conditions(Testbed.objects.all(), Look(Changing({})))

    assert condition(testbed) == Condition.DOWN


def test_run_that_begins_while_conditions_are_saved_leaves_its_testbed_up(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    obey(testbed, kept, Command.UP)
    observe_all(kept)
    queries: list[str] = []

    def begin_after(execute, *query):
        answer = execute(*query)
        queries.append(query[0])
        if len(queries) == 1:
            ran(testbed, owner, Command.POWER, Run.Status.RUNNING)
        return answer

    changing = Run.objects.changing().begun()
    idle = Testbed.objects.exclude(pk__in=changing.values("testbed"))
    with connection.execute_wrapper(begin_after):
        save_conditions(idle, Look())

    assert len(queries) > 1
    assert condition(testbed) == Condition.UP
