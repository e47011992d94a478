"""Runs that start guests wait for their turn, and start by themselves when it comes."""

import re
import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.utils import timezone

from orchestration.errors import TestbedBusy
from orchestration.plan.execution import Execution, Form
from orchestration.plan.model import Command
from testbed.celery import START_RUNS
from testbed.hosts.conditions import Look, save_conditions
from testbed.models import (
    Allowance,
    Batch,
    GroupAllowance,
    Host,
    PlannedStart,
    Run,
    Share,
    Testbed,
)
from testbed.pages.overview import unseen_run
from testbed.runs.cancelling import request_cancel
from testbed.runs.creation import create_execution, create_run
from testbed.runs.dispatch import accept
from testbed.runs.outcome import finish_run
from testbed.runs.places.queue import obstacle_for, start_waiting, turn_of
from testbed.runs.sweeper import sweep_once
from testbed.testbeds.capacity import Lab
from testbed.testbeds.disk_space import held_by_each
from tests.testbed.testbeds.planning.edits import edit

pytestmark = pytest.mark.django_db(transaction=True)
Status = Run.Status


@pytest.fixture
def full(testbed, owner, doors):
    """`testbed` is up, and its hosts have no vCPU left."""
    Host.objects.update(cpus=1, vcpu_overcommit=1)
    up(testbed, owner)
    return testbed


def up(testbed, user):
    """Bring a testbed up as far as rows and files tell."""
    run = create_run(testbed, user, Command.UP)
    for guest in testbed.project.read_state().guests:
        testbed.project.mark(guest.name, disk="made")
    finish_run(run.pk, Status.SUCCEEDED)
    testbed.refresh_from_db()


def down(testbed, user):
    run = create_run(testbed, user, Command.DOWN)
    finish_run(run.pk, Status.SUCCEEDED)


def status_of(run):
    run.refresh_from_db()
    return run.status


def place_of(run):
    run.refresh_from_db()
    turn = turn_of(run)
    return turn.place, turn.total


def test_run_that_nothing_holds_up_begins_at_once(testbed, owner, doors):
    run = create_run(testbed, owner, Command.UP)

    assert (run.status, run.driver) == (Status.PENDING, Run.Driver.NOBODY)
    assert doors.adopted == [run.pk]
    assert turn_of(run) is None


def test_run_above_the_accounts_number_waits_and_starts_by_itself(
    testbed, make, owner, doors
):
    Allowance.objects.create(user=owner, runs=1)
    first = create_run(testbed, owner, Command.UP)

    second = create_run(make("second"), owner, Command.UP)
    turn = turn_of(second)
    early = start_waiting()
    finish_run(first.pk, Status.FAILED)
    sweep_once()

    assert (turn.place, turn.total, early) == (1, 1, 0)
    assert "Other runs of its account have to end first" in turn.obstacle
    assert doors.adopted == [first.pk]
    assert (status_of(second), second.driver) == (Status.RUNNING, Run.Driver.SERVER)
    assert Batch.objects.filter(instruction__run=second).exists()
    assert re.search(r"Its turn came after \d", second.events.first().text)


def test_end_of_a_run_asks_the_workers_to_start_the_next(
    testbed, make, owner, doors, monkeypatch
):
    Allowance.objects.create(user=owner, runs=1)
    first = create_run(testbed, owner, Command.UP)
    create_run(make("second"), owner, Command.UP)
    sent = []
    monkeypatch.setattr(
        "testbed.celery.app.send_task", lambda name, *_, **__: sent.append(name)
    )

    finish_run(first.pk, Status.SUCCEEDED)

    assert START_RUNS in sent


def test_run_waits_until_others_go_down(full, make, owner, member):
    run = create_run(make("second", user=member), member, Command.UP)
    turn = turn_of(run)
    waits = status_of(run)

    down(full, owner)
    start_waiting()

    assert waits == Status.WAITING
    assert turn.obstacle == (
        "It needs 1 of 0 vCPUs left on host-b; 1 of 0 vCPUs left on main. Other "
        "testbeds there have to go down first."
    )
    assert status_of(run) == Status.RUNNING


def test_first_runs_of_all_accounts_come_before_second_ones(full, make, owner, member):
    runs = [
        create_run(make("a"), owner, Command.UP),
        create_run(make("b"), owner, Command.UP),
        create_run(make("c", user=member), member, Command.UP),
    ]

    assert [place_of(run) for run in runs] == [(1, 3), (3, 3), (2, 3)]


def test_group_is_the_account_of_its_testbeds(testbed, make, owner, member, doors):
    group = Group.objects.create(name="course")
    GroupAllowance.objects.create(group=group, runs=1)
    group.user_set.add(owner, member)
    one, two = (
        make("a", charged_group=group),
        make("b", user=member, charged_group=group),
    )

    of_group = [create_run(each, owner, Command.UP).status for each in (one, two)]
    own = create_run(testbed, owner, Command.UP).status

    assert of_group == [Status.PENDING, Status.WAITING]
    assert own == Status.PENDING


def test_waiting_run_is_cancelled_at_once_and_the_next_moves_up(full, make, owner):
    first = create_run(make("a"), owner, Command.UP)
    second = create_run(make("b"), owner, Command.UP)

    cancelled = request_cancel(first.pk, owner)

    assert cancelled
    assert status_of(first) == Status.CANCELLED
    assert first.message == (
        "Cancelled by olive while it waited in the queue. Nothing was changed."
    )
    assert first.testbed.condition == Testbed.Condition.EMPTY
    assert unseen_run(first.testbed) is None
    assert place_of(second) == (1, 1)


def test_of_two_starts_at_once_one_begins(testbed, make, owner, doors):
    Allowance.objects.create(user=owner, runs=1)
    testbeds = [testbed, make("second")]
    barrier, made = threading.Barrier(2), []

    def create(one):
        barrier.wait(timeout=30)
        try:
            made.append(create_run(one, owner, Command.UP).status)
        finally:
            connection.close()

    together(create, testbeds)

    assert sorted(made) == [Status.PENDING, Status.WAITING]


def test_two_processes_start_a_waiting_run_once(full, make, owner):
    runs = [create_run(make(slug), owner, Command.UP) for slug in "ab"]
    down(full, owner)
    barrier, started = threading.Barrier(3), []

    def start(_):
        barrier.wait(timeout=30)
        try:
            started.append(start_waiting())
        finally:
            connection.close()

    together(start, range(3))
    # One that another process held for a moment is started by the sweeper.
    started.append(start_waiting())

    assert sum(started) == 1
    assert [status_of(run) for run in runs] == [Status.RUNNING, Status.WAITING]


def test_waiting_run_takes_no_instruction_and_no_driver(full, make, owner):
    run = create_run(make("second"), owner, Command.UP)
    Run.objects.update(created_at=timezone.now() - timedelta(days=1))

    ack = accept(run.pk, 0, "init", "tab")
    sweep_once()

    assert ack.message == "This run waits in the queue; it starts by itself."
    assert (status_of(run), run.driver) == (Status.WAITING, Run.Driver.NOBODY)


def test_up_that_adds_nothing_does_not_wait_for_hosts(full, owner):
    Host.objects.update(vcpu_overcommit=0.5)

    assert create_run(full, owner, Command.UP).status == Status.PENDING


def test_cancelled_edit_does_not_pass_the_queue(full, owner, make):
    Host.objects.update(vcpu_overcommit=2)
    up(make("second"), owner)
    edit(full, "cpus: 1", "cpus: 2")

    first = create_run(full, owner, Command.UP)
    request_cancel(first.pk, owner)
    again = create_run(full, owner, Command.UP)

    assert (first.status, again.status) == (Status.WAITING, Status.WAITING)


def test_edit_that_is_cancelled_in_the_queue_changes_nothing(full, owner, make, kept):
    Host.objects.update(vcpu_overcommit=2)
    up(make("second"), owner)
    before = folder_of(full)
    edit(full, "cpus: 1", "cpus: 2")

    run = create_run(full, owner, Command.UP)
    while_it_waits = folder_of(full)
    request_cancel(run.pk, owner)
    save_conditions(Testbed.objects.filter(pk=full.pk), Look())
    full.refresh_from_db()

    assert run.status == Status.WAITING
    assert before == while_it_waits == folder_of(full)
    assert not full.project.deployed_file.exists()
    # No guest of it was observed, so that `up` is corrected; the run is not why.
    assert full.runs.deciding().first() != run
    assert not PlannedStart.objects.exists()


def folder_of(testbed):
    project = testbed.project
    files = (project.state_file, project.deployed_file, project.markers_file)
    return [path.read_bytes() if path.exists() else None for path in files]


def test_run_that_waited_writes_its_state_when_it_begins(full, owner, make):
    Host.objects.update(vcpu_overcommit=2)
    up(second := make("second"), owner)
    edit(full, "cpus: 1", "cpus: 2")
    run = create_run(full, owner, Command.UP)
    edit(full, "cpus: 2", "cpus: 8")
    full.project.mark("web", user_keys="new")

    down(second, owner)
    start_waiting()
    state, deployed = full.project.read_all()

    assert status_of(run) == Status.RUNNING
    assert [guest.cpus for guest in state.guests] == [2, 2]
    assert [guest.cpus for guest in deployed.guests] == [1, 1]
    assert deployed.guests[0].markers.user_keys == "new"


def test_disks_of_a_waiting_run_count(full, owner, make):
    second = make("second")
    before = held_by_each(Testbed.objects.filter(pk=second.pk))[second.pk]

    run = create_run(second, owner, Command.UP)
    waits = held_by_each(Testbed.objects.filter(pk=second.pk))[second.pk]
    request_cancel(run.pk, owner)
    after = held_by_each(Testbed.objects.filter(pk=second.pk))[second.pk]

    assert before == after == {}
    assert set(waits) == {"main", "host-b"}


@pytest.mark.parametrize("lost", ["account", "share", "group"])
def test_run_of_a_user_who_may_not_any_more_is_ended(full, make, owner, member, lost):
    second = make("second")
    Share.objects.create(
        testbed=second,
        user=member,
        role="operator",
        given_by=owner,
        given_at=timezone.now(),
    )
    if lost == "group":
        group = Group.objects.create(name="course")
        GroupAllowance.objects.create(group=group)
        owner.groups.add(group)
        Testbed.objects.filter(pk=second.pk).update(charged_group=group)
    run = create_run(second, member, Command.UP)

    {"account": lose_account, "share": lose_share, "group": lose_group}[lost](member)
    down(full, owner)
    started = start_waiting()

    assert (started, status_of(run)) == (0, Status.FAILED)
    assert (
        run.message
        == {
            "account": "It did not begin: the account of mark, who asked for it, was "
            "deactivated meanwhile.",
            "share": "It did not begin: mark, who asked for it, lost the right to bring the "
            "testbed up and down meanwhile.",
            "group": "It did not begin: Testbed second is charged to a group in which olive "
            "is no longer: it may use no more of that quota.",
        }[lost]
    )
    assert run.hint
    assert not second.project.has_state()
    second.refresh_from_db()
    assert second.condition == Testbed.Condition.EMPTY


def lose_account(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def lose_share(user):
    user.shares.all().delete()


def lose_group(_):
    Group.objects.get().user_set.clear()


def test_state_that_cannot_be_written_ends_the_run_and_not_the_queue(
    full, make, owner, member
):
    first, second = make("a"), make("b", user=member)
    runs = [
        create_run(first, owner, Command.UP),
        create_run(second, member, Command.UP),
    ]
    PlannedStart.objects.filter(run=runs[0]).update(state='{"schema_version": 99999}')

    down(full, owner)
    start_waiting()
    start_waiting()  # which the end of the first one asks the workers for

    assert [status_of(run) for run in runs] == [Status.FAILED, Status.RUNNING]
    assert "written by a newer version" in runs[0].message


def test_commands_run_while_up_waits_and_it_waits_for_them(full, owner, make):
    Host.objects.update(vcpu_overcommit=2)
    up(second := make("second"), owner)
    edit(full, "cpus: 1", "cpus: 2")

    run = create_run(full, owner, Command.UP)
    execution = create_execution(full, owner, Execution(Form.SHELL, "web", ("true",)))
    down(second, owner)
    start_waiting()
    reason = turn_of(run).obstacle
    finish_run(execution.pk, Status.SUCCEEDED)
    start_waiting()

    assert run.status == Status.WAITING
    assert reason == "Commands or tools run on its testbed: they have to end first."
    assert status_of(run) == Status.RUNNING


def test_command_that_is_about_to_begin_is_waited_for(full, owner, make):
    Host.objects.update(vcpu_overcommit=2)
    up(second := make("second"), owner)
    edit(full, "cpus: 1", "cpus: 2")
    run = create_run(full, owner, Command.UP)
    down(second, owner)
    made, looked = threading.Event(), threading.Event()

    def begin():
        try:
            with transaction.atomic():
                wanted = Execution(Form.SHELL, "web", ("true",))
                create_execution(full, owner, wanted)
                made.set()
                # On SQLite the other one waits for this transaction instead.
                looked.wait(timeout=2)
        finally:
            connection.close()

    thread = threading.Thread(target=begin)
    thread.start()
    made.wait(timeout=30)
    started = start_waiting()
    looked.set()
    thread.join()

    assert (started, status_of(run)) == (0, Status.WAITING)


def test_testbed_of_a_waiting_run_is_busy(full, make, owner):
    second = make("second")
    run = create_run(second, owner, Command.UP)

    with pytest.raises(TestbedBusy) as busy:
        create_run(second, owner, Command.DOWN)

    assert "The up of olive on testbed second has been waiting in the queue since" in (
        busy.value.message
    )
    assert busy.value.message.endswith(f"as run {run.pk}.")


def test_quota_that_was_lowered_holds_a_waiting_run_up(full, make, owner):
    run = create_run(make("second"), owner, Command.UP)
    Allowance.objects.create(user=owner, vcpus=1)
    down(full, owner)

    lowered = turn_of(run).obstacle
    start_waiting()
    waits = status_of(run)
    Allowance.objects.update(vcpus=2)
    start_waiting()

    assert lowered == "Its quota was lowered, and has not enough left."
    assert (waits, status_of(run)) == (Status.WAITING, Status.RUNNING)


def test_run_that_can_never_begin_is_not_told_that_others_have_to_end(
    full, make, owner
):
    second = make("second")
    edit(second, "cpus: 1", "cpus: 2")
    Host.objects.update(vcpu_overcommit=2)
    run = create_run(second, owner, Command.UP)

    Host.objects.filter(name="host-b").update(vcpu_overcommit=1)
    too_small = turn_of(run).obstacle
    Allowance.objects.create(user=owner, runs=0)
    no_runs = turn_of(run).obstacle

    assert too_small == "A host became too small for it: 2 of 1 vCPU on host-b."
    assert no_runs == "Its quota was lowered, and allows no runs."


def test_lowered_quota_starts_one_of_two_that_fit_alone(full, make, owner, member):
    down(full, owner)
    up(filler := make("filler", user=member), member)
    runs = [create_run(make(slug), owner, Command.UP) for slug in "ab"]
    Allowance.objects.create(user=owner, vcpus=2)
    Host.objects.update(vcpu_overcommit=2)

    down(filler, member)
    started = start_waiting()

    assert started == 1
    assert [status_of(run) for run in runs] == [Status.RUNNING, Status.WAITING]


def test_guests_of_an_edited_testbed_count_while_its_up_waits(
    full, make, owner, member
):
    Host.objects.update(vcpu_overcommit=3)
    up(filler := make("filler", user=member), member)
    Host.objects.update(vcpu_overcommit=2)
    edit(full, "cpus: 1", "cpus: 2")
    runs = [create_run(one, owner, Command.UP) for one in (full, make("second"))]
    Allowance.objects.create(user=owner, vcpus=3)

    Host.objects.update(vcpu_overcommit=4)
    down(filler, member)
    start_waiting()

    assert [status_of(run) for run in runs] == [Status.WAITING, Status.WAITING]


def test_page_shows_place_and_reason_until_the_run_begins(full, make, owner, browser):
    run = create_run(make("second"), owner, Command.UP)

    page = browser.get(f"/runs/{run.pk}/").content.decode()
    testbed = browser.get("/testbeds/second/").content.decode()
    down(full, owner)
    start_waiting()
    later = browser.get(f"/runs/{run.pk}/waiting/").content.decode()

    assert "Place 1 of 1 in the queue." in page
    assert "Other testbeds there have to go down first." in page
    assert 'id="cancel"' in page
    assert "waits in the queue since" in " ".join(testbed.split())
    assert "in the queue" not in later


def test_queries_of_the_place_in_the_queue_do_not_grow_with_it(
    full, make, owner, browser, django_assert_max_num_queries
):
    users = [User.objects.create_user(f"user-{number}") for number in range(8)]
    for number in range(39):
        create_run(make(f"t{number}", user=users[number % 8]), owner, Command.UP)
    run = create_run(make("mine"), owner, Command.UP)

    with django_assert_max_num_queries(15):
        page = browser.get(f"/runs/{run.pk}/waiting/").content.decode()

    assert "of 40 in the queue." in page


def test_program_is_told_that_its_run_waits(full, make, owner, browser):
    make("second")

    answer = browser.post(
        "/testbeds/second/runs/",
        {"command": "up"},
        headers={"Accept": "application/json"},
    )

    assert answer.json()["status"] == "waiting"
    assert answer.json()["instructions"]


def together(do, things):
    threads = [threading.Thread(target=do, args=(one,)) for one in things]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_run_that_came_after_the_look_at_testbeds_breaks_no_page(full, make, owner):
    lab = Lab()
    assert [one.testbed for one in lab.counted] == [full.pk]
    create_run(make("second"), owner, Command.UP)

    assert obstacle_for(full, {}, lab) == ""


def test_page_says_before_that_up_will_wait(full, make, owner, browser):
    make("second")

    page = browser.get("/testbeds/second/").content.decode()

    assert "<b>Up will wait in the queue.</b> It needs 1 of 0 vCPUs left" in page
