"""Current reservations keep capacity for their holder, at planning and at the begin."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestration.plan.model import Command
from orchestration.state.placement import Taken
from testbed.models import Event, Expiry, Host, Reservation, Run, Testbed
from testbed.models.expiry import database_now
from testbed.pages.needs import coming_on, needs_of_up
from testbed.reservations.changes import cancel, reserve
from testbed.reservations.held import held_now
from testbed.reservations.moments import in_words, period
from testbed.reservations.placing import fits_into
from testbed.reservations.wishes import Wish
from testbed.runs.creation import create_run
from testbed.runs.outcome import finish_run
from testbed.runs.places.queue import start_waiting, turn_of
from testbed.testbeds.capacity import parties
from testbed.testbeds.planning import wanted_needs
from tests.testbed.conftest import HOUR, YAML

pytestmark = pytest.mark.django_db(transaction=True)
Status = Run.Status


@pytest.fixture(autouse=True)
def small(testbed, doors):
    """Each host may have two vCPUs; a testbed needs one of each."""
    Host.objects.update(cpus=2, vcpu_overcommit=1, memory_overcommit=1)


def hosts_of(testbed):
    return {need.host for need in wanted_needs(testbed)}


def up(testbed, user):
    run = create_run(testbed, user, Command.UP)
    for guest in testbed.project.read_state().guests:
        testbed.project.mark(guest.name, disk="made")
    finish_run(run.pk, Status.SUCCEEDED)
    testbed.refresh_from_db()
    return run


def status_of(run):
    run.refresh_from_db()
    return run.status


def test_guests_of_others_are_planned_on_other_hosts(testbed, member, reserved):
    reserved(member, "host-b", vcpus=2)

    assert hosts_of(testbed) == {"main"}


def test_guests_of_others_stay_where_enough_is_left_beside_it(
    testbed, member, reserved
):
    reserved(member, "host-b", vcpus=1)

    assert hosts_of(testbed) == {"main", "host-b"}


def test_balanced_guests_avoid_what_is_reserved(testbed, member, reserved):
    text = YAML + "testbed_options: {load_balancing: Balanced}\n"
    testbed.project.yaml.write_text(text)
    reserved(member, "main", vcpus=1, memory_mib=8000)

    first = {need.name: need.host for need in wanted_needs(testbed)}

    assert first["web"] == "host-b"


def test_guests_of_the_holder_are_planned_where_it_is_reserved(
    testbed, owner, reserved
):
    reserved(owner, "host-b", vcpus=2)

    assert hosts_of(testbed) == {"host-b"}


def test_more_than_is_reserved_is_planned_as_usual(testbed, owner, reserved):
    reserved(owner, "host-b", vcpus=1)

    assert hosts_of(testbed) == {"main", "host-b"}


def test_guest_that_fits_into_no_reservation_of_its_holder_is_planned_as_usual(
    testbed, owner, reserved
):
    """Both reservations together are large enough, and one of them is not."""
    text = YAML.replace("cpus: 1", "cpus: 2", 1)
    testbed.project.yaml.write_text(text)
    Host.objects.create(name="host-c", kind="simulated", cpus=8, memory_mib=16384)
    reserved(owner, "host-b", vcpus=2)
    reserved(owner, "host-c", vcpus=2)
    fitting = {need.name: need.host for need in wanted_needs(testbed)}

    text = YAML.replace("cpus: 1", "cpus: 3", 1)
    testbed.project.yaml.write_text(text)
    too_large = {need.host for need in wanted_needs(testbed)}

    assert set(fitting.values()) == {"host-b", "host-c"}
    assert "main" in too_large


@pytest.mark.parametrize(
    ("needs", "places", "fits"),
    [
        ([2], [1, 1], False),
        ([1, 1], [1, 1], True),
        ([1, 2], [2, 1], True),
        ([1, 1, 2], [2, 1], False),
        ([], [], True),
    ],
)
def test_each_guest_needs_a_place_of_its_own(needs, places, fits):
    taken = [[Taken(cpus, 0) for cpus in some] for some in (needs, places)]

    assert fits_into(*taken) is fits


@pytest.mark.parametrize("begin", [-9, 1])
def test_neither_past_nor_coming_ones_change_a_plan(testbed, member, reserved, begin):
    reserved(member, "host-b", vcpus=2, begin=begin)

    assert hosts_of(testbed) == {"main", "host-b"}


def test_up_of_others_waits_for_its_end_or_its_cancel(
    testbed, owner, member, admin, reserved
):
    rows = [reserved(member, name, vcpus=2) for name in ("main", "host-b")]

    run = create_run(testbed, owner, Command.UP)
    obstacle = turn_of(run).obstacle
    cancel(rows[0], admin)
    one_left = start_waiting()
    Reservation.objects.filter(pk=rows[1].pk).update(ends_at=database_now())

    assert run.status == Status.WAITING
    assert "beside what is reserved there for other users until" in obstacle
    assert "It begins when that ends or is cancelled." in obstacle
    assert one_left == 0
    assert start_waiting() == 1
    assert status_of(run) == Status.RUNNING


def test_holder_passes_others_that_wait_for_the_reservation(
    testbed, owner, make, member, reserved
):
    for name in ("main", "host-b"):
        reserved(member, name, vcpus=2)
    waiting = create_run(testbed, owner, Command.UP)

    run = create_run(make("second", user=member), member, Command.UP)

    assert (status_of(waiting), run.status) == (Status.WAITING, Status.PENDING)


def test_guests_of_the_holder_use_it_up_and_the_rest_stays_reserved(
    testbed, make, member, reserved
):
    for name in ("main", "host-b"):
        reserved(member, name, vcpus=2, memory_mib=2048)
    up(make("second", user=member), member)

    rests = {one.host: one.rest for one in held_now(parties())}

    assert sum((rest.cpus for rest in rests.values()), 0) == 2
    assert sum((rest.memory_mib for rest in rests.values()), 0) == 4096 - 512


def test_group_is_for_the_testbeds_of_its_members(testbed, owner, member, reserved):
    course = Group.objects.create(name="course")
    for name in ("main", "host-b"):
        reserved(course, name, vcpus=2)

    stranger = turn_of(create_run(testbed, owner, Command.UP))
    owner.groups.add(course)

    assert "reserved there for other users" in stranger.obstacle
    assert start_waiting() == 1


def test_guests_that_run_go_on_and_an_up_that_adds_nothing_passes(
    testbed, owner, member, reserved
):
    up(testbed, owner)
    for name in ("main", "host-b"):
        reserved(member, name, vcpus=2)

    again = create_run(testbed, owner, Command.UP)

    assert again.status == Status.PENDING
    assert testbed.condition == Testbed.Condition.UP


def test_holder_waits_for_guests_of_others_that_run_already(
    testbed, owner, make, member, reserved
):
    for name in ("main", "host-b"):
        Host.objects.filter(name=name).update(cpus=1)
    up(testbed, owner)
    for name in ("main", "host-b"):
        reserved(member, name, vcpus=1)

    run = create_run(make("second", user=member), member, Command.UP)

    assert "Other testbeds there have to go down first." in turn_of(run).obstacle


def test_lost_and_cancelled_ones_keep_nothing(testbed, owner, stranger, reserved):
    now = database_now()
    reserved(stranger, "host-b", vcpus=2)
    reserved(owner, "main", vcpus=2, cancelled_at=now, cancelled_by="ada")
    stranger.delete()

    assert held_now(parties()) == ()
    assert hosts_of(testbed) == {"main", "host-b"}


def test_run_and_reservation_at_once_never_take_the_same_twice(
    testbed, owner, member, reserved
):
    barrier, said = threading.Barrier(2), []
    now = database_now().replace(second=0, microsecond=0)
    wish = Wish("host-b", Taken(2, 1024), now, now + HOUR)

    def press(do, *args):
        barrier.wait(timeout=30)
        try:
            said.append(do(*args))
        finally:
            connection.close()

    threads = [
        threading.Thread(target=press, args=(create_run, testbed, owner, Command.UP)),
        threading.Thread(target=press, args=(reserve, wish, member, member)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    run = Run.objects.get()
    places = {host for _, host, *_ in run.planned_start.needs}
    # Planned before it was reserved and begun, or planned elsewhere, or it waits.
    assert len(said) == 2
    assert (
        run.has_begun
        or "reserved there for other users" in turn_of(run).obstacle
        or places == {"main"}
    )


def test_page_says_which_reservation_a_testbed_uses(testbed, owner, reserved):
    row = reserved(owner, "host-b", vcpus=2)

    (note,) = needs_of_up(testbed, None).notes

    assert note.startswith(
        f"On host-b its guests count against reservation {row.pk}, 2 vCPUs and 1 GiB"
    )


def test_page_and_log_say_into_which_reservation_a_testbed_runs(
    testbed, owner, member, reserved
):
    reserved(member, "host-b", vcpus=2, begin=5)

    (note,) = needs_of_up(testbed, None).notes
    run = create_run(testbed, owner, Command.UP)

    assert note.startswith("host-b is reserved from ")
    assert " for other users, 2 vCPUs and 1 GiB of memory. Guests that run" in note
    assert "mark" not in note
    assert run.status == Status.PENDING
    logged = run.events.filter(kind=Event.Kind.LOG).values_list("text", flat=True)
    assert list(logged) == [note]


def test_testbed_that_ends_before_is_told_nothing(
    testbed, owner, member, reserved, settings
):
    reserved(member, "host-b", vcpus=2, begin=30)
    settings.EXPIRY = settings.EXPIRY._replace(usual=timedelta(hours=24))
    before = needs_of_up(testbed, None).notes
    Expiry.objects.create(testbed=testbed, action=Expiry.Action.KEEP)

    assert before == ()
    assert len(needs_of_up(testbed, None).notes) == 1


def test_page_says_that_up_will_wait_and_until_when(testbed, owner, member, reserved):
    for name in ("main", "host-b"):
        reserved(member, name, vcpus=2)

    found = needs_of_up(testbed, None)

    assert found.problem is None
    assert "is reserved there for other users until" in found.waits


def test_page_of_a_running_testbed_says_what_a_coming_reservation_means_for_it(
    testbed, owner, member, browser, reserved
):
    up(testbed, owner)
    row = reserved(member, "host-b", vcpus=2, begin=5, purpose="secret")

    (note,) = coming_on(testbed)

    assert note == (
        f"host-b is reserved from {period(row.begins_at, row.ends_at)} for other users, "
        "2 vCPUs and 1 GiB of memory. Its guests there go on. After a Down, from then "
        f"on, the next Up waits until {in_words(row.ends_at)}, as the host is used now."
    )
    assert note in browser.get("/testbeds/lab/", follow=True).text


@pytest.mark.parametrize(
    ("vcpus", "begin", "said"),
    [
        (1, 5, "As the host is used now, this testbed fits beside that."),
        (2, -1, "After a Down, from now on, the next Up waits until "),
    ],
)
def test_running_testbed_is_told_whether_it_fits_beside_and_since_when(
    testbed, owner, member, reserved, vcpus, begin, said
):
    up(testbed, owner)
    reserved(member, "host-b", vcpus=vcpus, begin=begin)

    (note,) = coming_on(testbed)

    assert said in note


def test_running_testbed_is_told_nothing_of_its_own_and_of_other_hosts(
    testbed, owner, member, reserved, settings
):
    up(testbed, owner)
    Host.objects.create(name="host-c", kind="simulated", cpus=8, memory_mib=9999)
    settings.EXPIRY = settings.EXPIRY._replace(usual=timedelta(hours=24))
    reserved(owner, "host-b", vcpus=2, begin=5)
    reserved(member, "host-c", vcpus=2, begin=5)
    reserved(member, "main", vcpus=2, begin=50)
    reserved(member, "main", vcpus=2, begin=-9)

    assert coming_on(testbed) == []


def test_part_that_the_holder_uses_already_leaves_a_running_testbed_its_place(
    testbed, owner, make, member, reserved
):
    Host.objects.update(cpus=4)
    up(testbed, owner)
    up(make("second", user=member), member)
    reserved(member, "host-b", vcpus=3, begin=5)

    (note,) = coming_on(testbed)

    assert note.endswith("this testbed fits beside that.")


def test_queries_of_a_running_testbeds_page_do_not_grow_with_reservations(
    testbed, owner, member, browser, reserved
):
    up(testbed, owner)
    counts = []
    for begin in range(3, 6):
        reserved(member, "host-b", begin=begin)
        with CaptureQueriesContext(connection) as found:
            page = browser.get("/testbeds/lab/", follow=True).text
        counts.append(len(found))

    assert page.count("host-b is reserved from") == 3
    assert counts[-1] <= counts[0]
