"""Reservations are made, changed and cancelled, and a host is never promised twice."""

import threading
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection

from orchestration.errors import TestbedBusy
from orchestration.state.placement import Taken
from testbed.environment import ReservationTimes
from testbed.models import (
    Allowance,
    Entry,
    GroupAllowance,
    GroupManager,
    Host,
    Reservation,
)
from testbed.models.expiry import database_now
from testbed.reservations.changes import cancel, change, reserve
from testbed.reservations.wishes import ReservationRefused, Wish

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)
GIB = 1024


@pytest.fixture(autouse=True)
def lab(hosts: tuple[Host, Host], doors: object, settings: object) -> None:
    """Two hosts, of 8 vCPUs and 16 GiB each, without overcommit."""
    Host.objects.update(vcpu_overcommit=1, memory_overcommit=1)
    settings.RESERVATIONS = ReservationTimes(timedelta(days=30), 48 * HOUR)


@pytest.fixture
def now() -> datetime:
    return database_now().replace(second=0, microsecond=0)


@pytest.fixture
def wish(now: datetime) -> Wish:
    """Half of host-b, for an hour from the next one on."""
    return Wish("host-b", Taken(4, 8 * GIB), now + HOUR, now + 2 * HOUR, "a course")


@pytest.fixture
def course(owner: User, member: User) -> Group:
    """A group that `owner` manages, and in which `member` is."""
    group = Group.objects.create(name="course")
    member.groups.add(group)
    GroupManager.objects.create(group=group, user=owner)
    return group


def refused(wish: Wish, user: User) -> ReservationRefused:
    with pytest.raises(ReservationRefused) as found:
        reserve(wish, user, user)
    return found.value


def test_reservation_says_all_and_is_in_the_record(wish: Wish, owner: User) -> None:
    made = reserve(wish, owner, owner)

    assert (made.host.name, made.vcpus, made.memory_mib) == ("host-b", 4, 8 * GIB)
    assert (made.holder, made.purpose, made.made_by) == (owner, "a course", "olive")
    entry = Entry.objects.get(act="reservations")
    assert (entry.user, entry.thing) == ("olive", f"reservation {made.pk}")
    assert entry.what.startswith(
        "reserved 4 vCPUs and 8 GiB of memory of host-b for olive, "
    )


def test_host_is_full_when_its_capacity_is_reserved(
    wish: Wish, owner: User, member: User
) -> None:
    reserve(replace(wish, need=Taken(8, 8 * GIB)), owner, owner)

    found = refused(replace(wish, need=Taken(1, 1)), member)

    assert "host-b has 0 vCPUs and 8 GiB of memory left of 8 vCPUs" in found.message
    assert found.hint.startswith(
        "1 vCPU and 1 MiB of memory is free for as long on host-b from "
    )


def test_overcommit_of_the_host_counts(wish: Wish, owner: User) -> None:
    Host.objects.update(vcpu_overcommit=2)

    assert reserve(replace(wish, need=Taken(16, GIB)), owner, owner).vcpus == 16


def test_one_ends_as_the_next_begins(wish: Wish, owner: User) -> None:
    whole = replace(wish, need=Taken(8, 16 * GIB))
    reserve(whole, owner, owner)

    later = replace(whole, begins_at=wish.ends_at, ends_at=wish.ends_at + HOUR)

    assert reserve(later, owner, owner).begins_at == wish.ends_at


def test_any_host_is_the_one_with_the_most_left(wish: Wish, owner: User) -> None:
    first = reserve(replace(wish, host=""), owner, owner)
    second = reserve(replace(wish, host=""), owner, owner)

    assert {first.host.name, second.host.name} == {"main", "host-b"}


def test_any_host_is_not_one_that_is_drained_or_away(wish: Wish, owner: User) -> None:
    Host.objects.filter(name="main").update(problem="main does not answer.")

    assert reserve(replace(wish, host=""), owner, owner).host.name == "host-b"
    assert reserve(replace(wish, host=""), owner, owner).host.name == "host-b"


def test_nothing_left_on_any_host_names_all(
    wish: Wish, owner: User, member: User
) -> None:
    for _ in range(2):
        reserve(replace(wish, host="", need=Taken(8, GIB)), owner, owner)

    found = refused(replace(wish, host=""), member)

    assert "main has 0 vCPUs" in found.message
    assert "host-b has 0 vCPUs" in found.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"need": Taken(0, 512)}, "needs at least 1 vCPU and 1 MiB"),
        ({"need": Taken(1, 0)}, "needs at least 1 vCPU and 1 MiB"),
        ({"need": Taken(-4, 512)}, "needs at least 1 vCPU and 1 MiB"),
        ({"need": Taken(2**40, 512)}, "needs at least 1 vCPU and 1 MiB"),
        ({"need": Taken(9, 512)}, "host-b has 8 vCPUs and 16 GiB of memory left"),
        ({"host": "host-z"}, "There is no host host-z."),
    ],
)
def test_impossible_amounts_and_hosts_are_refused(
    wish: Wish, owner: User, changes: dict, said: str
) -> None:
    assert said in refused(replace(wish, **changes), owner).message
    assert not Reservation.objects.exists()


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        (2, 1, "is not after the begin"),
        (1, 1, "is not after the begin"),
        (-2, 1, "is in the past"),
        (-2, -1, "is in the past"),
        (1, 24 * 400, "is more than 366 days from now"),
        (1, 50, "A reservation is for at most 48 hours"),
        (24 * 31, 24 * 31 + 1, "is more than 30 days from now"),
    ],
)
def test_impossible_times_are_refused(
    wish: Wish, owner: User, now: datetime, begin: int, end: int, said: str
) -> None:
    times = {"begins_at": now + begin * HOUR, "ends_at": now + end * HOUR}

    assert said in refused(replace(wish, **times), owner).message


def test_lab_admins_are_not_bound_by_the_settings(
    wish: Wish, owner: User, admin: User, now: datetime, settings: object
) -> None:
    settings.RESERVATIONS = ReservationTimes(timedelta(), HOUR)
    Allowance.objects.create(user=owner, vcpus=1)
    times = {"begins_at": now + 900 * HOUR, "ends_at": now + 1000 * HOUR}

    made = reserve(replace(wish, **times), owner, admin)

    assert (made.holder, made.made_by) == (owner, "ada")
    assert "only lab admins make reservations" in refused(wish, owner).message


def test_users_reserve_for_themselves_and_groups_that_they_manage(
    wish: Wish, owner: User, member: User, course: Group
) -> None:
    GroupAllowance.objects.create(group=course)

    assert reserve(wish, course, owner).holder_name == "group course"
    for holder in (owner, course):
        with pytest.raises(ReservationRefused, match="You may not reserve for"):
            reserve(wish, holder, member)


def test_group_without_a_quota_is_for_lab_admins(
    wish: Wish, owner: User, admin: User, course: Group
) -> None:
    with pytest.raises(ReservationRefused, match="as much as its quota allows"):
        reserve(wish, course, owner)

    assert reserve(wish, course, admin).holder == course


def test_quota_bounds_all_reservations_of_one_time(
    wish: Wish, owner: User, now: datetime
) -> None:
    Allowance.objects.create(user=owner, vcpus=6)
    reserve(wish, owner, owner)

    found = refused(replace(wish, host="main"), owner)
    later = replace(wish, begins_at=wish.ends_at, ends_at=wish.ends_at + HOUR)

    assert "and has reserved 4 vCPUs and 8 GiB of memory at that time" in found.message
    assert reserve(later, owner, owner)


def test_number_of_a_users_reservations_is_bounded(wish: Wish, owner: User) -> None:
    small = replace(wish, need=Taken(1, 1))
    Host.objects.update(vcpu_overcommit=100)
    for _ in range(50):
        reserve(small, owner, owner)

    assert "has 50 reservations" in refused(small, owner).message


def test_of_two_browsers_at_once_one_gets_the_last(
    wish: Wish, owner: User, member: User
) -> None:
    users, barrier, said = (owner, member), threading.Barrier(2), []
    last = replace(wish, need=Taken(5, GIB))

    def press(user: User) -> None:
        barrier.wait(timeout=30)
        try:
            reserve(last, user, user)
        except ReservationRefused as exc:
            said.append(exc.message)
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Reservation.objects.count() == 1
    assert len(said) == 1
    assert "host-b has 3 vCPUs" in said[0]


def test_change_has_to_fit_beside_the_others_and_not_beside_itself(
    wish: Wish, owner: User
) -> None:
    made = reserve(wish, owner, owner)

    changed = change(made, replace(wish, need=Taken(8, GIB)), owner, made.version)

    assert (changed.vcpus, changed.version) == (8, 1)
    with pytest.raises(ReservationRefused, match="host-b has 8 vCPUs"):
        change(made, replace(wish, need=Taken(9, GIB)), owner, 1)


def test_second_of_two_changes_is_told_of_the_first(wish: Wish, owner: User) -> None:
    made = reserve(wish, owner, owner)
    change(made, replace(wish, need=Taken(2, GIB)), owner, 0)

    with pytest.raises(TestbedBusy, match="it is 2 vCPUs and 1 GiB"):
        change(made, replace(wish, need=Taken(3, GIB)), owner, 0)


def test_one_that_has_begun_keeps_its_begin_and_may_end_earlier(
    wish: Wish, owner: User, now: datetime
) -> None:
    made = reserve(wish, owner, owner)
    Reservation.objects.update(begins_at=now - 3 * HOUR)

    changed = change(made, wish, owner, 0)

    assert changed.begins_at == now - 3 * HOUR
    with pytest.raises(ReservationRefused, match="is in the past"):
        change(made, replace(wish, ends_at=now - HOUR), owner, 1)


@pytest.mark.parametrize(
    "part",
    [
        {"need": Taken(3, 8 * GIB)},
        {"ends_at": timedelta(minutes=-30)},
        {"purpose": "another"},
    ],
)
def test_part_of_it_is_granted_when_quota_settings_and_host_became_smaller(
    wish: Wish, owner: User, settings: object, part: dict
) -> None:
    made = reserve(wish, owner, owner)
    Allowance.objects.create(user=owner, vcpus=1)
    Host.objects.update(cpus=2)
    settings.RESERVATIONS = ReservationTimes(timedelta(), HOUR)
    if "ends_at" in part:
        part = {"ends_at": wish.ends_at + part["ends_at"]}

    assert change(made, replace(wish, **part), owner, 0).version == 1

    for more in ({"need": Taken(5, GIB)}, {"host": "main"}, {"host": ""}):
        with pytest.raises(ReservationRefused):
            change(made, replace(wish, **more), owner, 1)


def test_past_of_others_does_not_bound_one_that_has_begun(
    wish: Wish, owner: User, now: datetime
) -> None:
    Allowance.objects.create(user=owner, vcpus=6)
    past, made = (reserve(replace(wish, need=Taken(3, 1)), owner, owner) for _ in "ab")
    rows = Reservation.objects
    rows.filter(pk=made.pk).update(begins_at=now - 3 * HOUR)
    rows.filter(pk=past.pk).update(begins_at=now - 3 * HOUR, ends_at=now - HOUR)

    assert change(made, replace(wish, need=Taken(6, 1)), owner, 0).vcpus == 6


def test_cancelled_and_past_ones_stay_for_the_record(
    wish: Wish, owner: User, now: datetime
) -> None:
    made, past = reserve(wish, owner, owner), reserve(wish, owner, owner)
    times = {"begins_at": now - 2 * HOUR, "ends_at": now - HOUR}
    Reservation.objects.filter(pk=past.pk).update(**times)

    cancel(made, owner)

    with pytest.raises(ReservationRefused, match=f"olive cancelled {made} at"):
        cancel(made, owner)
    with pytest.raises(ReservationRefused, match=f"The time of {past} ended at"):
        change(past, wish, owner, 0)
    assert Reservation.objects.count() == 2
    assert reserve(replace(wish, need=Taken(8, GIB)), owner, owner)


def test_nothing_is_reserved_for_a_holder_or_on_a_host_that_is_gone(
    wish: Wish, member: User, admin: User, course: Group
) -> None:
    whole = replace(wish, need=Taken(8, 16 * GIB))
    rows = [
        reserve(whole, member, admin),
        reserve(replace(whole, host="main"), course, admin),
    ]

    member.delete()
    course.delete()

    assert not Reservation.objects.claiming().exists()
    assert [Reservation.objects.get(pk=row.pk).holder_name for row in rows] == [
        "mark",
        "group course",
    ]
    assert reserve(whole, admin, admin)
