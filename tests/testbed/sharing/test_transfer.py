"""Giving a testbed to another owner: by whom, to whom, within which limits."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.access.roles import Role, role_of
from testbed.models import Allowance, Share, Testbed, Upload
from testbed.sharing.transfer import transfer
from testbed.testbeds.resumable.receiving import begin
from testbed.testbeds.stored_files import count_again
from testbed.views.sharing import shares
from tests.testbed.conftest import MakeRun, ShareWith

GIVE = "/testbeds/olive/lab/owner/"


def give(client: Client, to: str, **fields: str):
    """Give the testbed as the page does once it was asked."""
    return client.post(GIVE, {"to": to, "sure": to, **fields})


def test_owner_gives_it_to_a_user_with_a_share(
    browser: Client, testbed: Testbed, owner: User, share: ShareWith, caplog
):
    caplog.set_level("INFO", "testbed.access.record")
    viewer = share(testbed, "viewer")

    asked = browser.post(GIVE, {"to": "a-viewer", "former": "operator"})
    owned = Testbed.objects.get().owner
    done = give(browser, "a-viewer", former="operator")

    testbed.refresh_from_db()
    assert "Give lab to a-viewer?" in asked.content.decode()
    assert "becomes its operator" in " ".join(asked.content.decode().split())
    assert owned == owner
    assert testbed.owner == viewer
    assert [(one.user, one.role) for one in Share.objects.all()] == [
        (owner, "operator")
    ]
    assert done["Location"] == "/testbeds/a-viewer/lab/"
    assert caplog.messages == [
        "act transfer by olive on lab: gave it from olive to a-viewer"
    ]


def test_second_of_two_who_give_it_away_takes_it_from_no_new_owner(
    browser: Client, testbed: Testbed, share: ShareWith, member: User, monkeypatch
):
    share(testbed, "viewer")
    viewer = User.objects.get(username="a-viewer")
    real = shares.receiver_named

    def while_another_gives(row: Testbed, name: str, by: User) -> User:
        found = real(row, name, by)
        transfer(Testbed.objects.get(pk=row.pk), member, by)
        return found

    monkeypatch.setattr(shares, "receiver_named", while_another_gives)

    late = give(browser, "a-viewer")

    testbed.refresh_from_db()
    assert late.status_code == 409
    assert "lab was given to another owner" in late.content.decode()
    assert (testbed.owner, role_of(viewer, testbed)) == (member, Role.VIEWER)


def test_former_owner_may_keep_nothing(
    browser: Client, testbed: Testbed, owner: User, share: ShareWith
):
    share(testbed, "viewer")

    done = give(browser, "a-viewer")

    testbed.refresh_from_db()
    assert role_of(owner, testbed) is None
    assert done["Location"] == "/"


def test_members_of_a_group_of_others_are_not_told_to_the_owner(
    browser: Client, testbed: Testbed, share: ShareWith
):
    share(testbed, "viewer", by_group=True)

    page = browser.get("/testbeds/olive/lab/sharing/").content.decode()
    answer = give(browser, "a-viewer")

    assert "a-viewer" not in page
    assert answer.status_code == 422
    assert "has no share of lab, or there is no such user" in answer.content.decode()


@pytest.mark.parametrize("name", ["sam", "never", "", "olive"])
def test_owner_gives_it_to_no_user_without_a_share(
    browser: Client, testbed: Testbed, stranger: User, name: str
):
    answer = give(browser, name)

    assert answer.status_code == 422
    assert "has no share of lab, or there is no such user" in answer.content.decode()
    assert Testbed.objects.get().owner.username == "olive"


def test_editor_gives_nothing(client: Client, testbed: Testbed, share: ShareWith):
    client.force_login(share(testbed, "editor"))

    assert give(client, "a-editor").status_code == 403
    assert Testbed.objects.get().owner.username == "olive"


def test_admin_gives_a_leavers_testbed_to_any_user(
    page: Client, testbed: Testbed, owner: User, stranger: User
):
    owner.is_active = False
    owner.save()

    listed = page.get("/?whose=left").content.decode()
    give(page, "sam")

    assert "Give to…" in listed
    assert "deactivated" in listed
    assert Testbed.objects.get().owner == stranger
    rest = page.get("/?whose=left").content.decode()
    assert "lab" not in rest.partition("<tbody>")[2]


@pytest.mark.parametrize("limit", [{"testbeds": 0}, {"user_mib": 0}])
def test_limits_of_the_new_owner_count(
    page: Client, testbed: Testbed, stranger: User, limit: dict[str, int]
):
    count_again(testbed)
    Allowance.objects.create(user=stranger, **limit)

    answer = give(page, "sam")

    assert answer.status_code == 422
    assert "allowed" in answer.content.decode()
    assert Testbed.objects.get().owner.username == "olive"


def test_testbed_that_changes_is_not_given(
    page: Client, make_run: MakeRun, stranger: User
):
    make_run()

    answer = give(page, "sam")

    assert answer.status_code == 409
    assert "olive has been running up" in answer.content.decode()


def test_new_owner_is_the_owner(page: Client, testbed: Testbed, stranger: User):
    give(page, "sam")

    testbed.refresh_from_db()
    assert role_of(stranger, testbed) is Role.OWNER


def test_uploads_of_a_former_owner_without_a_role_end(
    browser: Client, testbed: Testbed, owner: User, share: ShareWith
):
    share(testbed, "viewer")
    begin(testbed, owner, "a.img", 5, seen="", sha256="")

    give(browser, "a-viewer")

    testbed.refresh_from_db()
    assert role_of(owner, testbed) is None
    assert not Upload.objects.exists()
