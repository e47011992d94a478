"""Batches wait for their turn: a large run leaves room, and says what it waits for."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from orchestration.plan.model import Command
from testbed.models import Batch, Instruction, Run, Testbed
from testbed.runs import sweeper
from testbed.runs.cancelling import request_cancel
from testbed.runs.creation import create_run
from testbed.runs.dispatch import accept
from testbed.runs.places.admission import admit
from tests.testbed.conftest import YAML

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tight(settings, hosts, testbed):
    """Two places in all, one for each person; hosts and testbeds exist."""
    settings.CELERY_WORKER_CONCURRENCY = 3


def make_testbed(owner: User, slug: str, number: int) -> Testbed:
    found = Testbed.objects.create(owner=owner, slug=slug, number=number)
    found.project.create()
    found.project.yaml.write_text(YAML)
    return found


def at_check_hosts(testbed: Testbed, user: User, doors) -> Run:
    """Start a run and bring it to its first instruction on two hosts."""
    run = create_run(testbed, user, Command.UP)
    for instruction in run.instructions.all():
        assert accept(run.pk, instruction.index, instruction.kind, "tab").valid
        if instruction.kind == "check-hosts":
            return run
        doors.run_sent()
    raise AssertionError("no check-hosts")


def waiting(run: Run) -> list[str]:
    found = Batch.objects.filter(
        instruction__run=run, status=Batch.Status.QUEUED, admitted_at=None
    )
    return [batch.host for batch in found]


def message(run: Run) -> str:
    return Instruction.objects.get(run=run, kind="check-hosts").message


def test_run_with_more_hosts_than_places_works_on_some_and_says_so(
    tight, testbed, owner, doors
):
    run = at_check_hosts(testbed, owner, doors)

    assert len(doors.sent) == 1
    assert len(waiting(run)) == 1
    host = waiting(run)[0]
    words = f"waits on {host} until another host of this run is done."
    assert message(run) == words
    assert run.events.filter(kind="log", text=words).exists()


def test_next_batch_goes_when_one_ends_and_the_message_goes_too(
    tight, testbed, owner, doors
):
    run = at_check_hosts(testbed, owner, doors)

    assert doors.run_sent() == 1
    assert waiting(run) == []
    assert len(doors.sent) == 1
    assert message(run) == ""
    assert run.events.filter(kind="waiting").last().text == ""
    doors.run_sent()
    done = Instruction.objects.get(run=run, kind="check-hosts")
    assert done.status == Instruction.Status.SUCCEEDED


def test_run_of_another_user_does_not_wait(tight, testbed, owner, member, doors):
    at_check_hosts(testbed, owner, doors)
    doors.sent.clear()

    run = create_run(make_testbed(member, "small", 8), member, Command.UP)
    accept(run.pk, 0, "init", "tab")

    assert len(doors.sent) == 1
    assert waiting(run) == []


def test_second_run_of_a_person_names_the_first(tight, testbed, owner, doors):
    first = at_check_hosts(testbed, owner, doors)
    second = create_run(make_testbed(owner, "second", 8), owner, Command.UP)

    accept(second.pk, 0, "init", "tab")

    begin = second.instructions.get(index=0)
    words = f"waits on main for olive's other runs: up #{first.pk}."
    assert begin.message == words


def test_full_workers_are_named(tight, testbed, owner, member, stranger, doors):
    at_check_hosts(testbed, owner, doors)
    for person, slug, number in ((member, "m", 8), (stranger, "s", 9)):
        run = create_run(make_testbed(person, slug, number), person, Command.UP)
        accept(run.pk, 0, "init", "tab")

    begin = run.instructions.get(index=0)
    assert begin.message == (
        "waits on main for a free worker: 2 tasks of 2 people are at work."
    )


def test_cancelled_run_gives_its_place(tight, testbed, owner, doors):
    first = at_check_hosts(testbed, owner, doors)
    second = create_run(make_testbed(owner, "second", 8), owner, Command.UP)
    accept(second.pk, 0, "init", "tab")
    doors.sent.clear()

    request_cancel(first.pk, owner)

    assert waiting(second) == []
    assert [batch for batch, _ in doors.sent] == [
        Batch.objects.get(instruction__run=second).pk
    ]


def test_batch_that_waits_is_not_sent_again_by_the_sweeper(
    tight, testbed, owner, doors
):
    run = at_check_hosts(testbed, owner, doors)
    doors.sent.clear()
    Batch.objects.update(queued_at=timezone.now() - timedelta(hours=1))

    assert sweeper.send_again() == 1
    (sent, _), *rest = doors.sent
    assert not rest
    assert Batch.objects.get(pk=sent).admitted_at is not None
    assert len(waiting(run)) == 1


def test_sweeper_lets_in_what_was_forgotten(tight, testbed, owner, doors):
    run = at_check_hosts(testbed, owner, doors)
    doors.sent.clear()
    Batch.objects.filter(instruction__run=run).exclude(admitted_at=None).update(
        status=Batch.Status.LOST
    )

    assert sweeper.sweep_once()["waiting batches sent"] >= 1


def test_admission_twice_sends_once(tight, testbed, owner, doors):
    at_check_hosts(testbed, owner, doors)
    doors.sent.clear()

    assert admit() == 0
    assert doors.sent == []


def test_run_page_says_what_it_waits_for(tight, testbed, owner, doors, client: Client):
    run = at_check_hosts(testbed, owner, doors)
    client.force_login(owner)

    page = client.get(reverse("run", args=[run.pk])).content.decode()

    assert "until another host of this run is done." in page


def test_all_batches_are_done_in_the_end(tight, testbed, owner, member, doors):
    doors.is_automatic = True
    runs = [
        create_run(testbed, owner, Command.UP),
        create_run(make_testbed(member, "small", 8), member, Command.UP),
    ]
    for run in runs:
        sweeper.take_over(run.pk)
        Run.objects.filter(pk=run.pk).update(driver=Run.Driver.SERVER)
        sweeper.drive(run.pk)

    doors.join()

    assert {Run.objects.get(pk=run.pk).status for run in runs} == {"succeeded"}
    assert not Batch.objects.filter(status__in=Batch.ACTIVE).exists()
