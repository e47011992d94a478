"""Groups, owners, favourites, notifications, the record and quotas by the API."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from testbed.models import (
    Allowance,
    Entry,
    Favourite,
    GroupAllowance,
    GroupManager,
    Notification,
    Reservation,
    Testbed,
)
from testbed.models.notifications.choices import Kind
from tests.testbed.api.conftest import ALL, Ask, asker
from tests.testbed.conftest import Reserved, ShareWith

LAB = "/testbeds/olive/lab"


@pytest.fixture
def group(owner: User, member: User) -> Group:
    """A group that mark manages and olive belongs to."""
    found = Group.objects.create(name="course")
    GroupManager.objects.create(group=found, user=member)
    owner.groups.add(found)
    return found


def wished(**changes: object) -> dict[str, object]:
    """Return the body of a reservation that the lab grants."""
    begin = timezone.now().replace(microsecond=0) + timedelta(hours=1)
    times = {"begins": begin, "ends": begin + timedelta(hours=2)}
    body = {"vcpus": 1, "memory_mib": 512, "host": "main"}
    return body | {name: at.isoformat() for name, at in times.items()} | changes


def test_group_is_kept_by_its_manager_and_read_by_its_members(
    group: Group, owner: User, member: User, stranger: User
):
    place = f"/groups/{group.pk}"
    manager, of_it = asker(member, "manage"), asker(owner, "manage")

    added = manager("PUT", f"{place}/members/sam")
    refused = of_it("PUT", f"{place}/members/mark")
    unknown = manager("PUT", f"{place}/members/nemo")
    removed = manager("DELETE", f"{place}/members/sam")

    assert added.json()["members"] == ["olive", "sam"]
    assert refused.status_code == 403
    assert unknown.status_code == 422
    assert removed.json()["members"] == ["olive"]
    assert of_it("GET", place).json()["managers"] == ["mark"]
    assert asker(stranger, *ALL)("GET", place).status_code == 404
    assert asker(stranger, *ALL)("PUT", f"{place}/members/sam").status_code == 404


def test_manager_who_leaves_as_the_last_one_gets_an_answer(
    group: Group, admin: User, member: User
):
    boss = asker(admin, "admin")

    gone = boss("DELETE", f"/groups/{group.pk}/managers/mark")
    again = boss("DELETE", f"/groups/{group.pk}/managers/mark")

    assert (gone.status_code, gone.json()["managers"]) == (200, [])
    assert again.status_code == 422
    assert asker(member, *ALL)("GET", f"/groups/{group.pk}").status_code == 404


def test_groups_are_made_and_deleted_by_lab_admins_alone(
    group: Group, admin: User, owner: User
):
    boss, user = asker(admin, "admin"), asker(owner, *ALL)

    made = boss("POST", "/groups", {"name": " new  one "})
    same = boss("POST", "/groups", {"name": "course"})

    assert (made.status_code, made.json()["name"]) == (201, "new one")
    assert same.status_code == 422
    assert user("DELETE", f"/groups/{group.pk}").status_code == 403
    assert user("POST", "/groups", {"name": "x"}).status_code == 403
    assert boss("DELETE", f"/groups/{group.pk}").status_code == 204
    assert not Group.objects.filter(pk=group.pk).exists()


def test_testbed_is_given_to_a_user_with_a_share_alone(
    ask: Ask, testbed: Testbed, stranger: User, group: Group, share: ShareWith
):
    viewer = share(testbed, "viewer")
    viewer.groups.add(group)

    refused = ask("PUT", f"{LAB}/owner", {"to": "sam"})
    given = ask("PUT", f"{LAB}/owner", {"to": "a-viewer", "former_role": "editor"})

    assert refused.status_code == 422
    assert given.json() == {"testbed": "a-viewer/lab"}
    moved = ask("GET", LAB)
    assert moved.status_code == 308
    assert ask("GET", moved.headers["Location"]).json()["role"] == "editor"
    assert ask("PUT", "/testbeds/a-viewer/lab/owner", {"to": "x"}).status_code == 403


def test_testbed_is_charged_to_a_group_of_its_owner_with_a_quota_alone(
    ask: Ask, testbed: Testbed, group: Group, admin: User
):
    other = Group.objects.create(name="of strangers")
    GroupAllowance.objects.create(group=other)
    without = ask("PUT", f"{LAB}/charge", {"group": group.pk})
    foreign = ask("PUT", f"{LAB}/charge", {"group": other.pk})
    huge = ask("PUT", f"{LAB}/charge", {"group": 2**63})
    limits = {"testbeds": 3, "user_disk_gib": 9}
    asker(admin, "admin")("PUT", f"/quotas/groups/{group.pk}", limits)

    done = ask("PUT", f"{LAB}/charge", {"group": group.pk})
    back = ask("PUT", f"{LAB}/charge", {"group": None})

    assert [one.status_code for one in (without, foreign, huge)] == [422] * 3
    assert done.json() == {"account": "group course"}
    assert back.json() == {"account": "olive"}


def test_favourite_is_the_users_own(ask: Ask, testbed: Testbed, admin: User):
    asker(admin, *ALL)("PUT", f"{LAB}/favourite")
    ask("PUT", f"{LAB}/favourite")
    listed = ask("GET", "/testbeds?starred=1").json()["items"]
    ask("DELETE", f"{LAB}/favourite")

    assert [one["testbed"] for one in listed] == ["olive/lab"]
    assert [row.user for row in Favourite.objects.all()] == [admin]
    assert asker(testbed.owner)("PUT", f"{LAB}/favourite").status_code == 403


def test_notifications_of_another_user_are_neither_listed_nor_read(
    ask: Ask, owner: User, stranger: User
):
    rows = [
        Notification.objects.create(user=user, kind=Kind.RUN_ENDED, title=str(user))
        for user in (owner, stranger)
    ]

    listed = ask("GET", "/notifications?unread=true").json()
    read = ask("POST", "/notifications/read", {"newest": rows[1].pk})
    huge = ask("POST", "/notifications/read", {"newest": 2**63})

    assert [one["title"] for one in listed["items"]] == ["olive"]
    assert read.json() == {"read": 1}
    assert huge.status_code == 422
    assert ask("GET", "/notifications?unread=true").json()["count"] == 0
    assert Notification.objects.get(pk=rows[1].pk).read_at is None


def test_ways_are_chosen_among_those_that_there_are(ask: Ask):
    wish = {"ways": {"run_ended": ["mail", "browser"], "host_away": []}}

    chosen = ask("PUT", "/notifications/ways", wish).json()["ways"]
    wrong = ask("PUT", "/notifications/ways", {"ways": {"run_ended": ["pigeon"]}})

    assert chosen["run_ended"] == ["browser", "mail"]
    assert chosen == ask("GET", "/notifications/ways").json()["ways"]
    assert wrong.status_code == 422


def test_record_is_filtered_and_names_no_address_to_users(
    ask: Ask, testbed: Testbed, admin: User
):
    ask("PATCH", LAB, {"description": "new words"})

    of_testbed = ask("GET", f"{LAB}/record?text=new+words").json()
    of_lab = asker(admin, "admin")("GET", "/record?user=olive&act=describe").json()
    wrong = ask("GET", f"{LAB}/record?since=yesterday")
    table = asker(admin, "admin")("GET", "/record.csv?act=describe")

    assert [one["what"] for one in of_testbed["items"]] == ["description: new words"]
    assert of_testbed["items"][0]["address"] is None
    assert of_lab["items"][0]["address"] == "127.0.0.1"
    assert wrong.status_code == 422
    assert wrong.json()["detail"].startswith("since: ")
    assert ask("GET", f"{LAB}/record?until=9999-12-31").status_code == 422
    assert b"description: new words" in table.content


def test_quota_is_set_and_removed_and_recorded(ask: Ask, owner: User, admin: User):
    boss, place = asker(admin, "admin"), "/quotas/users/olive"
    boss("PUT", place, {"guests": 3, "testbed_mib": 1})
    mine = {one["name"]: one for one in ask("GET", "/me/budgets").json()["quota"]}

    assert mine["Guests"]["limit"] == 3
    assert Entry.objects.first().what == "set its limits: guests 3, testbed_mib 1"
    for wrong in ({"guests": -1}, {"guests": 2**31}, {"guests": "x"}, {"other": 1}):
        assert boss("PUT", place, wrong).status_code == 422
    assert boss("PUT", "/quotas/users/nemo", {}).status_code == 404
    assert boss("GET", "/quotas?per_page=1").json()["count"] == 2
    assert boss("DELETE", place).status_code == 204
    assert not Allowance.objects.exists()


def test_reservation_is_made_once_changed_and_cancelled(ask: Ask, testbed: Testbed):
    body = wished(purpose="lecture")
    made = ask("POST", "/reservations", body, Idempotency_Key="one")
    again = ask("POST", "/reservations", body, Idempotency_Key="one")
    place = made.headers["Location"]

    changed = ask("PATCH", place, {"vcpus": 2, "version": 0})
    stale = ask("PATCH", place, {"vcpus": 1, "version": 0})
    listed = ask("GET", "/reservations").json()["items"]
    cancelled = ask("DELETE", place)

    assert made.json()["id"] == again.json()["id"]
    assert (made.status_code, changed.json()["vcpus"]) == (201, 2)
    assert stale.status_code == 409
    assert any(one["purpose"] == "lecture" for one in listed)
    assert cancelled.json()["state"] == "cancelled"
    assert ask("DELETE", place).status_code == 422
    assert Reservation.objects.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"holder": "sam"},
        {"holder": "group course"},  # olive is a member alone
        {"holder": "group none"},
        {"host": "none"},
        {"vcpus": 0},
        {"vcpus": 10**30},
        {"memory_mib": "much"},
        {"begins": "9999-12-31T23:59"},
        {"begins": "now"},
        {"ends": "2000-01-01T00:00"},
        {"purpose": "a\0b"},
        {"zone": "x" * 2000},
    ],
)
def test_reservation_that_cannot_be_is_refused(
    ask: Ask, testbed: Testbed, group: Group, stranger: User, changes: dict[str, object]
):
    answer = ask("POST", "/reservations", wished(**changes))

    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert not Reservation.objects.exists()


def test_reservation_of_others_shows_no_holder_and_is_not_changed(
    ask: Ask, testbed: Testbed, stranger: User, reserved: Reserved
):
    row = reserved(stranger, "main", purpose="secret")

    (listed,) = ask("GET", "/reservations").json()["items"]

    assert "holder" not in listed
    assert "secret" not in str(listed)
    for method in ("GET", "PATCH", "DELETE"):
        body = {} if method == "PATCH" else None
        assert ask(method, f"/reservations/{row.pk}", body).status_code == 404


def test_members_read_a_groups_reservation_and_managers_change_it(
    ask: Ask, testbed: Testbed, group: Group, member: User, reserved: Reserved
):
    row = reserved(group, "main", begin=1)

    assert ask("GET", f"/reservations/{row.pk}").json()["holder"] == "group course"
    assert ask("DELETE", f"/reservations/{row.pk}").status_code == 403
    manager = asker(member, "run")
    assert manager("DELETE", f"/reservations/{row.pk}").status_code == 200


def test_admins_token_without_the_scope_keeps_to_its_users_own(
    group: Group, owner: User, admin: User, stranger: User, ask: Ask, testbed: Testbed
):
    place = ask("POST", "/reservations", wished(purpose="lecture")).headers["Location"]
    limited = asker(admin, "run", "edit", "manage")

    cancelled = limited("DELETE", place)
    for_others = limited("POST", "/reservations", wished(holder="sam"))
    joined = limited("PUT", f"/groups/{group.pk}/members/sam")
    whole = asker(admin, *ALL)("PUT", f"/groups/{group.pk}/members/sam")

    assert cancelled.status_code in (403, 404, 422)
    assert for_others.status_code == 422
    assert joined.status_code == 404
    assert whole.status_code == 200
    assert Reservation.objects.get().purpose == "lecture"


def test_own_tokens_are_listed_and_revoked_and_those_of_others_are_not_there(
    owner: User, member: User
):
    reader, keeper = asker(owner, "read"), asker(owner, "manage")
    other = asker(member, "manage")
    listed = keeper("GET", "/tokens").json()["items"]
    mine = next(one for one in listed if "manage" in one["scopes"])
    others = other("GET", "/tokens").json()["items"][0]

    refused = reader("DELETE", f"/tokens/{mine['id']}")
    missing = keeper("DELETE", f"/tokens/{others['id']}")
    revoked = keeper("DELETE", f"/tokens/{mine['id']}")

    assert [one["name"] for one in listed] == ["test", "test"]
    assert all(one["prefix"].startswith("tb_") for one in listed)
    assert (refused.status_code, missing.status_code) == (403, 404)
    assert revoked.status_code == 204
    assert keeper("GET", "/me").status_code == 401
    assert reader("GET", "/me").status_code == 200
