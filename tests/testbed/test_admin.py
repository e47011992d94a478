"""The admin: hosts and runs are only read, and nothing is left unregistered."""

from urllib.parse import quote

import pytest
from django.contrib import admin as admin_site
from django.contrib.auth.models import Group, User
from django.test import Client

from testbed.accounts.directory.accounts import Entry as DirectoryUser
from testbed.accounts.directory.accounts import Standing, admit, leave
from testbed.models import (
    Allowance,
    DirectoryEntry,
    Entry,
    GroupAllowance,
    Host,
    Run,
    Testbed,
)
from testbed.models.accounts.directory import DIRECTORY_PASSWORD
from tests.testbed.reading import visible

pytestmark = pytest.mark.database


@pytest.fixture
def office(client: Client, admin: User) -> Client:
    """The admin's browser."""
    client.force_login(admin)
    client.post("/account/confirm/", {"password": "ada-pass"})
    return client


@pytest.fixture
def run(testbed: Testbed, owner: User) -> Run:
    return Run.objects.create(
        testbed=testbed, command="up", plan={}, asked_by=owner, status="failed"
    )


@pytest.mark.parametrize("model", ["host", "testbed", "run"])
def test_lists_can_be_read_and_searched(office: Client, run: Run, model: str):
    answer = office.get(f"/admin/testbed/{model}/?q=a")

    assert answer.status_code == 200


def test_users_are_there_too(office: Client, owner: User):
    assert "olive" in office.get("/admin/auth/user/").content.decode()


def test_groups_of_a_user_are_changed_on_their_own_pages_alone(
    office: Client, owner: User
):
    group = Group.objects.create(name="course")
    owner.groups.add(group)
    address = f"/admin/auth/user/{owner.pk}/change/"

    shown = office.get(address).content.decode()
    fields = {"username": "olive", "is_active": "on", "email": "o@example.org"}
    dates = {"date_joined_0": "2026-11-28", "date_joined_1": "10:00:00"}
    answer = office.post(address, {**fields, **dates, "groups": []})

    owner.refresh_from_db()
    assert answer.status_code == 302
    assert owner.email == "o@example.org"
    assert list(owner.groups.all()) == [group]
    assert f'<a href="/groups/{group.pk}/">course</a>' in shown
    assert 'name="groups"' not in shown
    assert 'name="user_permissions"' not in shown


@pytest.mark.parametrize("page", ["add/", "{}/change/", "{}/password/"])
def test_session_of_a_lab_admin_alone_makes_no_other(
    client: Client, admin: User, owner: User, page: str
):
    client.force_login(admin)
    address = f"/admin/auth/user/{page.format(owner.pk)}"
    words = {"username": "eve", "password1": "Stolen-7-pass"}

    shown = client.get(address)
    sent = client.post(address, words | {"password2": "Stolen-7-pass"})
    kept = str(dict(client.session.items()))
    answer = client.post(sent["Location"], {"password": "ada-pass"})

    ways = [shown["Location"], sent["Location"]]
    assert ways == [f"/account/confirm/?next={quote(address, safe='')}"] * 2
    assert "Stolen-7-pass" not in kept
    assert answer["Location"] == address
    assert not User.objects.filter(username="eve").exists()
    assert owner.check_password("olive-pass")


def test_page_of_a_directorys_user_says_whose_the_password_is(
    office: Client, owner: User
):
    address = f"/admin/auth/user/{owner.pk}/change/"
    here = office.get(address).content.decode()
    User.objects.filter(pk=owner.pk).update(password=DIRECTORY_PASSWORD)

    there = office.get(address).content.decode()

    assert "That of the directory." in there
    assert '<a href="../password/">Set one here</a>' in there
    assert "unknown hashing algorithm" not in there
    assert "That of the directory." not in here


def test_account_that_had_left_stays_out_once_a_lab_admin_saved_it_as_not_active(
    office: Client, owner: User
):
    row = DirectoryEntry.objects.create(user=owner, entry="7")
    leave(row)
    entry = DirectoryUser("7", "olive", "", "Olive", "")
    back = admit(entry, Standing(is_member=True)).is_active
    leave(DirectoryEntry.objects.get())

    fields = {"username": "olive", "date_joined_0": "2026-11-28"}
    address = f"/admin/auth/user/{owner.pk}/change/"
    answer = office.post(address, fields | {"date_joined_1": "10:00:00"})

    assert answer.status_code == 302
    assert back
    assert not admit(entry, Standing(is_member=True)).is_active


@pytest.fixture
def course(testbed: Testbed) -> Group:
    """A group with a quota, to which olive's testbed is charged."""
    group = Group.objects.create(name="course")
    testbed.owner.groups.add(group)
    GroupAllowance.objects.create(group=group, testbeds=5)
    Testbed.objects.update(charged_group=group)
    return group


def delete(office: Client, row: Group | User, *, ticked: bool) -> str:
    """Delete a row as one of the two ways of the admin does; return the page."""
    place = f"/admin/auth/{row._meta.model_name}/"
    if not ticked:
        answer = office.post(f"{place}{row.pk}/delete/", {"post": "yes"}, follow=True)
    else:
        form = {"action": "delete_selected", "_selected_action": [row.pk]}
        answer = office.post(place, form | {"post": "yes"}, follow=True)
    return visible(answer.content.decode())


@pytest.mark.parametrize("ticked", [False, True])
def test_group_stays_when_an_owner_has_too_little_left(
    office: Client, course: Group, owner: User, ticked: bool
):
    Allowance.objects.create(user=owner, testbeds=0)

    page = delete(office, course, ticked=ticked)

    assert "Group course stays. olive has 0 testbeds; allowed: 0." in page
    assert Testbed.objects.get().charged_group == course
    assert not Entry.objects.filter(act="transfer").exists()


@pytest.mark.parametrize("ticked", [False, True])
def test_deleted_groups_testbeds_are_charged_to_their_owners_and_recorded(
    office: Client, course: Group, admin: User, ticked: bool
):
    delete(office, course, ticked=ticked)

    assert not Group.objects.exists()
    assert Testbed.objects.get().charged_group is None
    entry = Entry.objects.get(act="transfer")
    assert (entry.user, entry.thing) == (str(admin), "lab")
    assert entry.what == "charged it to olive: group course was deleted"


@pytest.mark.parametrize("ticked", [False, True])
def test_user_who_owns_something_stays_and_is_told_of_with_what_to_do(
    office: Client, run: Run, owner: User, member: User, ticked: bool
):
    Run.objects.update(cancel_requested_by=owner)

    page = delete(office, owner, ticked=ticked)

    assert "User olive stays: olive is the owner or author of 1 run, 1 testbed." in page
    assert "Of deactivated users, then has Give to… for each testbed." in page
    assert "permission" not in page
    assert set(User.objects.filter(username__in=("olive", "mark"))) == {owner, member}


@pytest.mark.parametrize("ticked", [False, True])
def test_user_without_any_thing_is_deleted_with_what_was_told(
    office: Client, owner: User, ticked: bool
):
    owner.notifications.create(kind="run_ended", title="Up ended")

    delete(office, owner, ticked=ticked)

    assert not User.objects.filter(username="olive").exists()


def test_hosts_are_changed_on_their_own_pages_alone(office: Client):
    host = Host.objects.create(name="host-z", address="192.0.2.7")
    address = f"/admin/testbed/host/{host.pk}/"

    answers = [
        office.post("/admin/testbed/host/add/", {"name": "host-y"}),
        office.post(f"{address}change/", {"name": "host-y"}),
        office.post(f"{address}delete/", {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert Host.objects.get().name == "host-z"
    shown = office.get("/admin/testbed/host/").content.decode()
    assert 'href="/hosts/host-z/"' in shown


def test_run_is_a_record(office: Client, run: Run):
    page = office.get(f"/admin/testbed/run/{run.pk}/change/")
    change = office.post(
        f"/admin/testbed/run/{run.pk}/change/", {"status": "succeeded"}
    )
    delete = office.post(f"/admin/testbed/run/{run.pk}/delete/", {"post": "yes"})

    assert page.status_code == 200
    assert (change.status_code, delete.status_code) == (403, 403)
    run.refresh_from_db()
    assert run.status == "failed"


def test_rows_link_to_the_pages(office: Client, run: Run):
    assert (
        f'href="/runs/{run.pk}/"' in office.get("/admin/testbed/run/").content.decode()
    )
    testbeds = office.get("/admin/testbed/testbed/").content.decode()
    assert 'href="/testbeds/olive/lab/"' in testbeds


def test_researcher_is_kept_out(client: Client, owner: User):
    client.force_login(owner)

    assert client.get("/admin/testbed/host/").status_code == 302


def test_no_page_loads_the_scripts_of_slugs_that_none_of_them_has(
    office: Client,
) -> None:
    for model, page in admin_site.site._registry.items():
        assert not page.prepopulated_fields, model
        assert "xregexp" not in str(page.media), model
    for path in ("/admin/auth/user/", "/admin/testbed/labsnapshot/"):
        text = office.get(path).content.decode()
        assert "actions.js" in text
        assert "urlify.js" not in text
