"""Holders are told what others do to their reservations, and to the hosts of these."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from testbed.models import Delivery, GroupManager, Host, Notification, Reservation
from testbed.notifications.reservations import MOST_IN_AN_HOUR
from tests.testbed.conftest import Reserved

DRAIN = "/hosts/host-b/drain/"


@pytest.fixture(autouse=True)
def lab(hosts: tuple[Host, Host], doors: object) -> None:
    """Two hosts, and no messages to workers."""


def told(user: User) -> list[tuple[str, str]]:
    rows = Notification.objects.filter(user=user)
    return list(rows.values_list("title", "text"))


def test_holder_is_told_by_mail_as_well_that_the_host_is_drained(
    page: Client,
    owner: User,
    admin: User,
    stranger: User,
    reserved: Reserved,
    settings: object,
):
    settings.EMAIL_HOST = "mail.example"
    User.objects.filter(pk=owner.pk).update(email="olive@lab.example")
    row, other = reserved(owner, "host-b"), reserved(admin, "host-b")
    reserved(stranger, "main")
    reserved(stranger, "host-b", begin=-9)

    page.post(DRAIN, {"reason": "its {disks} are replaced"})

    ((title, text),) = told(owner)
    assert title == "Host host-b with your reservation was drained"
    assert "was drained by ada on " in text
    assert "its {disks} are replaced" in text
    assert text.endswith(f"change to another host: {row}.")
    notification = Notification.objects.get(user=owner)
    assert notification.path == f"/reservations/{row.pk}/"
    assert notification.data["reservations"] == [row.pk]
    assert Delivery.objects.get().channel == "mail"
    assert told(stranger) == told(admin) == []
    assert other.user == admin

    page.post(DRAIN, {"do": "end"})

    assert told(owner)[0][0] == "Host host-b with your reservation starts guests again"


def test_members_and_managers_of_a_group_are_told_once_of_all(
    page: Client,
    owner: User,
    member: User,
    reserved: Reserved,
):
    course = Group.objects.create(name="course")
    GroupManager.objects.create(group=course, user=owner)
    for user in (owner, member):
        user.groups.add(course)
    rows = [reserved(course, "host-b"), reserved(course, "host-b", begin=5)]

    page.post(DRAIN)

    for user in (owner, member):
        ((_, text),) = told(user)
        assert text.endswith(f"host: {rows[0]}, {rows[1]}.")


def test_drain_that_is_refused_tells_nothing(
    page: Client,
    owner: User,
    reserved: Reserved,
):
    reserved(owner, "host-b")
    page.post(DRAIN)

    assert page.post(DRAIN).status_code == 422
    assert len(told(owner)) == 1


def test_holder_is_told_what_another_user_did_to_a_reservation(
    page: Client, owner: User, admin: User, reserved: Reserved
):
    row = reserved(owner, "host-b", begin=5)

    page.post(f"/reservations/{row.pk}/cancel/")

    ((title, text),) = told(owner)
    assert title == f"ada cancelled {row}"
    assert text.startswith("It was 1 vCPU and 1 GiB of memory of host-b for olive, ")
    assert told(admin) == []


def test_holder_is_not_told_of_the_own_acts(
    browser: Client,
    owner: User,
    reserved: Reserved,
):
    row = reserved(owner, "host-b", begin=5)

    browser.post(f"/reservations/{row.pk}/cancel/")

    assert Reservation.objects.get().cancelled_by == "olive"
    assert told(owner) == []


def test_manager_who_acts_again_and_again_floods_no_member(
    client: Client, owner: User, member: User, reserved: Reserved
):
    course = Group.objects.create(name="course")
    GroupManager.objects.create(group=course, user=owner)
    member.groups.add(course)
    row = reserved(course, "host-b", begin=5)
    client.force_login(owner)

    for number in range(MOST_IN_AN_HOUR + 3):
        purpose = {"purpose": f"lesson {number}"}
        client.post(f"/reservations/{row.pk}/change/", purpose)

    row.refresh_from_db()
    assert row.purpose == f"lesson {MOST_IN_AN_HOUR + 2}"
    assert len(told(member)) == MOST_IN_AN_HOUR
