"""The time that an edit's changes of guests take, by earlier runs of the testbed."""

from datetime import timedelta

import pytest
from django.utils import timezone

from orchestration.plan.model import Command, Options
from testbed.models import Instruction, Task, Testbed
from testbed.pages.changes import pending_changes
from tests.testbed.preparing import prepare


@pytest.fixture
def edited(testbed):
    """The testbed, up, with an edit that restarts both guests."""
    prepare(testbed, Command.UP, Options())
    Testbed.objects.filter(pk=testbed.pk).update(condition=Testbed.Condition.UP)
    testbed.refresh_from_db()
    yaml = testbed.project.yaml
    yaml.write_text(yaml.read_text().replace("cpus: 1", "cpus: 2"))
    return testbed


@pytest.fixture
def ran(testbed, owner):
    """Store an earlier instruction: `ran("start-guests", seconds=5, guests=2)`."""
    runs = testbed.runs
    end = timezone.now()

    def store(kind: str, seconds: float, guests: int, status: str = "done") -> None:
        run = runs.create(command="up", plan={}, asked_by=owner, status="succeeded")
        instruction = Instruction.objects.create(
            run=run,
            index=0,
            kind=kind,
            status=Instruction.Status.SUCCEEDED,
            started_at=end - timedelta(seconds=seconds),
            ended_at=end,
        )
        for number in range(guests):
            Task.objects.create(
                instruction=instruction, resource=f"g{number}", status=status
            )

    return store


def summary(testbed) -> str:
    """Return the summary of the pending changes."""
    return pending_changes(testbed, testbed.project.read_state()).summary


def test_nothing_is_claimed_without_an_earlier_run(edited):
    assert summary(edited) == "2 guests stop"


def test_times_of_the_kinds_are_added(edited, ran):
    ran("stop-changed-guests", 4, guests=2)
    ran("start-guests", 6, guests=2)
    ran("set-up-guests", 50, guests=2)

    assert summary(edited).endswith("; about 60 s for these guests, by earlier runs")


def test_kind_that_never_ran_makes_it_a_lower_bound(edited, ran):
    ran("start-guests", 6, guests=2)
    ran("set-up-guests", 200, guests=2)

    assert summary(edited).endswith(
        "; more than 3 min for these guests, by earlier runs"
    )


def test_instruction_with_the_nearest_number_of_guests_counts(edited, ran):
    for kind in ("stop-changed-guests", "start-guests"):
        ran(kind, 1, guests=2)
    ran("set-up-guests", 30, guests=3)
    ran("set-up-guests", 300, guests=20)

    assert "about 32 s" in summary(edited)


def test_instruction_that_changed_nothing_does_not_count(edited, ran):
    ran("set-up-guests", 1, guests=2, status="unchanged")

    assert "earlier runs" not in summary(edited)
