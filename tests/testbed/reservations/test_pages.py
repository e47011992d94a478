"""The calendar, the page of a reservation, and its forms."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from testbed.models import GroupManager, Host, Reservation
from testbed.models.expiry import database_now
from testbed.pages.reservations.week import week_of

CALENDAR, NEW = "/reservations/", "/reservations/new/"
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def lab(hosts: tuple[Host, Host], doors: object) -> None:
    Host.objects.update(vcpu_overcommit=1, memory_overcommit=1)


@pytest.fixture
def as_user(db: None):
    """Return a browser of a user."""

    def make(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return make


def form(**changes: object) -> dict[str, object]:
    """Return the fields of a reservation from the next hour on, for two hours."""
    begin = timezone.localtime(database_now() + timedelta(hours=1))
    typed = {
        "host": "host-b",
        "vcpus": 2,
        "memory_mib": 2048,
        "begins": begin.strftime("%Y-%m-%dT%H:00"),
        "ends": (begin + timedelta(hours=2)).strftime("%Y-%m-%dT%H:00"),
        "zone": "UTC",
        "purpose": "lesson 3",
    }
    return typed | changes


def text_of(answer: object) -> str:
    return " ".join(answer.content.decode().split())


def test_form_reserves_and_leads_to_the_page(as_user, owner):
    answer = as_user(owner).post(NEW, form(), follow=True)

    text = text_of(answer)
    assert (
        answer.redirect_chain[-1][0] == f"/reservations/{Reservation.objects.get().pk}/"
    )
    assert "2 vCPUs and 2 GiB of memory" in text
    assert "lesson 3" in text


def test_refusal_of_many_hosts_tells_of_some_and_counts_the_rest(as_user, owner):
    Host.objects.bulk_create(
        Host(
            name=f"host-c{n}",
            kind="simulated",
            address=f"192.0.2.{n}",
            cpus=4,
            memory_mib=1024,
        )
        for n in range(10, 20)
    )

    said = text_of(as_user(owner).post(NEW, form(host="", vcpus=99)))

    assert said.count(" left of ") == 5
    assert "; 7 other hosts cannot have it, either." in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vcpus": 0}, "greater than or equal to 1"),
        ({"vcpus": 99}, "host-b has 8 vCPUs and 16 GiB of memory left of 8 vCPUs"),
        ({"host": "host-z"}, "host-z is not one of the available choices"),
        ({"begins": "soon"}, "is no date and time. Write it as"),
        ({"begins": "2001-01-01T10:00"}, "is in the past"),
        ({"ends": "2001-01-01T10:00"}, "is not after the begin"),
        ({"holder": "mark"}, "mark is not one of the available choices"),
        ({"purpose": "x" * 201}, "at most 200 characters"),
    ],
)
def test_refused_form_keeps_what_was_typed(as_user, owner, member, changes, said):
    answer = as_user(owner).post(NEW, form(**changes))

    assert answer.status_code == 422
    assert said in text_of(answer)
    assert 'value="2048"' in text_of(answer)
    assert not Reservation.objects.exists()


def test_others_see_that_and_how_much_and_not_for_which_user(
    as_user, owner, stranger, reserved
):
    row = reserved(owner, "host-b", vcpus=3, purpose="secret course")

    page, mine = as_user(stranger).get(CALENDAR), as_user(owner).get(CALENDAR)

    text = text_of(page)
    assert "3 vCPUs and 1 GiB of memory" in text
    assert "another user" in text
    assert "olive" not in text
    assert "secret course" not in text
    assert "secret course" in text_of(mine)
    assert as_user(stranger).get(f"/reservations/{row.pk}/").status_code == 404
    (listed,) = as_user(stranger).get(CALENDAR, headers=JSON).json()["reservations"]
    assert listed.keys() == {
        "host",
        "vcpus",
        "memory_mib",
        "begins_at",
        "ends_at",
        "state",
    }


def test_cancelled_ones_are_listed_for_their_readers_alone(
    as_user, owner, stranger, admin, reserved
):
    row = reserved(owner, "host-b", cancelled_at=timezone.now(), cancelled_by="olive")

    listed = {
        user: as_user(user).get(CALENDAR, headers=JSON).json()["reservations"]
        for user in (owner, stranger, admin)
    }

    assert listed[stranger] == []
    assert [one["id"] for one in listed[owner] + listed[admin]] == [row.pk, row.pk]


def test_change_keeps_what_a_program_leaves_out(as_user, owner, reserved):
    row = reserved(owner, "host-b", vcpus=2, begin=5, purpose="lesson 3")

    answer = as_user(owner).post(
        f"/reservations/{row.pk}/change/", {"vcpus": 3}, headers=JSON
    )

    changed = answer.json()["reservation"]
    assert (changed["vcpus"], changed["memory_mib"]) == (3, 1024)
    assert (changed["host"], changed["purpose"]) == ("host-b", "lesson 3")
    row.refresh_from_db()
    assert changed["begins_at"] == f"{row.begins_at:%Y-%m-%dT%H:%M:%SZ}"


def test_program_moves_one_whose_host_was_removed_to_any_host(
    as_user, owner, admin, reserved
):
    row = reserved(owner, "host-b", begin=5)
    Host.objects.get(name="host-b").delete()

    answer = as_user(admin).post(f"/reservations/{row.pk}/change/", headers=JSON)

    assert answer.json()["reservation"]["host"] == "main"


def test_page_of_one_that_is_over_or_cancelled_promises_nothing(
    as_user, owner, reserved
):
    rows = [
        reserved(owner, "host-b", begin=-9),
        reserved(owner, "host-b", cancelled_at=timezone.now(), cancelled_by="olive"),
    ]
    Host.objects.update(drained_at=timezone.now(), drained_by="ada")

    for address in (CALENDAR, *(f"/reservations/{row.pk}/" for row in rows)):
        page = text_of(as_user(owner).get(address))
        assert "From its begin on" not in page
        assert "No guest is started there" not in page


def test_time_that_comes_twice_is_offered_in_utc(as_user, owner, reserved, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    row = reserved(owner, "host-b", vcpus=2)
    twice = datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    Reservation.objects.update(begins_at=twice, ends_at=twice + timedelta(hours=1))

    with timezone.override("Europe/Berlin"):
        page = text_of(as_user(owner).get(f"/reservations/{row.pk}/change/"))

    assert 'value="2027-10-31T00:30"' in page
    assert '<option value="UTC" selected>' in page


def test_member_of_the_group_reads_and_its_manager_changes(
    as_user, owner, member, reserved
):
    course = Group.objects.create(name="course")
    member.groups.add(course)
    GroupManager.objects.create(group=course, user=owner)
    row = reserved(course, "host-b")

    assert as_user(member).get(f"/reservations/{row.pk}/").status_code == 200
    assert as_user(member).get(f"/reservations/{row.pk}/change/").status_code == 403
    assert as_user(member).post(f"/reservations/{row.pk}/cancel/").status_code == 403
    assert as_user(owner).get(f"/reservations/{row.pk}/change/").status_code == 200


def test_calendar_shows_reserved_used_and_free(as_user, owner, reserved):
    reserved(owner, "host-b", vcpus=6, memory_mib=4096)

    shape = as_user(owner).get(CALENDAR, headers=JSON).json()
    host = next(one for one in shape["hosts"] if one["host"] == "host-b")
    today = timezone.localtime(database_now()).date().isoformat()
    day = next(one for one in host["days"] if one["day"] == today)

    assert host["capacity"] == {"vcpus": 8, "memory_mib": 16384}
    assert host["used_now"] == {"vcpus": 0, "memory_mib": 0}
    assert host["reserved_and_unused_now"] == {"vcpus": 6, "memory_mib": 4096}
    assert host["free_now"] == {"vcpus": 2, "memory_mib": 12288}
    assert day["reserved_at_most"] == {"vcpus": 6, "memory_mib": 4096}
    assert day["unreserved_at_least"] == {"vcpus": 2, "memory_mib": 12288}


def test_weeks_lead_to_each_other_and_a_wrong_one_is_the_present(as_user, owner):
    page = as_user(owner).get(CALENDAR, {"week": "2026-W53"})

    assert "?week=2026-W52" in text_of(page)
    assert "?week=2027-W01" in text_of(page)
    for text in ("2026-W54", "-W", "0000-W01", "9999-W52", "abc", "2026-W5\u0663"):
        assert as_user(owner).get(CALENDAR, {"week": text}).status_code == 200


def test_days_of_a_clock_change_have_23_and_25_hours(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    with timezone.override("Europe/Berlin"):
        spring, autumn = (
            week_of("2027-W12", database_now()),
            week_of("2026-W43", database_now()),
        )

        lengths = [week.edges[-1] - week.edges[-2] for week in (spring, autumn)]

    assert lengths == [timedelta(hours=23), timedelta(hours=25)]


def test_change_and_cancel_are_answered_for_programs(as_user, owner):
    client = as_user(owner)
    made = client.post(NEW, form(), headers=JSON).json()["reservation"]
    place = f"/reservations/{made['id']}/"

    changed = client.post(f"{place}change/", form(vcpus=4), headers=JSON)
    bad = client.post(f"{place}change/", form(vcpus=9), headers=JSON)
    question = client.get(f"{place}cancel/")
    cancelled = client.post(f"{place}cancel/", headers=JSON)
    again = client.post(f"{place}cancel/", headers=JSON)

    assert (made["state"], made["holder"]) == ("to come", "olive")
    assert changed.json()["reservation"]["vcpus"] == 4
    assert bad.status_code == 422
    assert "9 vCPUs and 2 GiB of memory is too much" in bad.json()["error"]
    assert "olive loses 4 vCPUs and 2 GiB of memory of host-b" in text_of(question)
    assert cancelled.json()["reservation"]["state"] == "cancelled"
    assert "olive cancelled reservation" in again.json()["error"]


def test_second_of_two_changes_is_a_conflict(as_user, owner, reserved):
    row, client = reserved(owner, "host-b"), as_user(owner)
    client.post(f"/reservations/{row.pk}/change/", form(seen=0))

    answer = client.post(f"/reservations/{row.pk}/change/", form(seen=0, vcpus=5))

    assert answer.status_code == 409
    assert "Another user changed reservation" in text_of(answer)
    assert 'value="5"' in text_of(answer)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"drained_at": "2026-11-28T10:00Z", "drained_by": "ada"},
            "was drained by ada",
        ),
        ({"problem": "no answer", "checked_at": "2026-11-28T10:00Z"}, "is offline"),
        ({"cpus": 2}, "may have only 2 vCPUs by now"),
    ],
)
def test_holder_and_admin_are_told_of_a_host_that_cannot_be_used(
    as_user, owner, admin, stranger, reserved, fields, said
):
    row = reserved(owner, "host-b", vcpus=5)
    Host.objects.filter(name="host-b").update(**fields)

    for user in (owner, admin):
        assert said in text_of(as_user(user).get(f"/reservations/{row.pk}/"))
        assert said in text_of(as_user(user).get(CALENDAR))
    assert said not in text_of(as_user(stranger).get(CALENDAR))


def test_host_with_a_reservation_is_not_removed(as_user, admin, owner, reserved):
    row = reserved(owner, "host-b", begin=5)

    answer = as_user(admin).post("/hosts/host-b/remove/")

    assert answer.status_code == 422
    assert f"reservation {row.pk} of olive" in text_of(answer)


def test_page_of_quotas_and_of_the_host_show_reservations(
    as_user, admin, owner, reserved
):
    reserved(owner, "host-b", vcpus=2, memory_mib=4096)
    reserved(owner, "host-b", begin=9)

    quotas = text_of(as_user(admin).get("/quotas/"))

    assert "2 vCPUs and 4 GiB of memory now, 1 reservation to come" in quotas
    assert "2 vCPUs and 4 GiB" in text_of(as_user(owner).get("/hosts/host-b/"))


def test_queries_do_not_grow_with_hosts_and_reservations(
    as_user, owner, member, reserved, django_assert_max_num_queries
):
    course = Group.objects.create(name="course")
    for number in range(12):
        Host.objects.create(
            name=f"h-{number}", kind="simulated", cpus=8, memory_mib=9999
        )
        reserved((owner, member, course)[number % 3], f"h-{number}")
    client = as_user(owner)

    with django_assert_max_num_queries(15):
        client.get(CALENDAR)


@pytest.mark.parametrize(("zone", "is_said"), [("UTC", False), ("Europe/Berlin", True)])
def test_page_says_the_time_in_utc_where_the_lab_has_another(
    as_user, owner, reserved, zone, is_said
):
    row = reserved(owner, "host-b")

    with timezone.override(zone):
        text = text_of(as_user(owner).get(f"/reservations/{row.pk}/"))

    assert ("In UTC" in text) is is_said
