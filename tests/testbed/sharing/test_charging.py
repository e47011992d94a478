"""Charging a testbed to a group: by whom, to which, within its quota."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from orchestration.plan.model import Command, Options
from testbed.access.limits import LimitReached, Use
from testbed.models import Allowance, GroupAllowance, Testbed
from testbed.testbeds.quotas import used_by
from tests.testbed.conftest import MakeRun, ShareWith
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import edit

CHARGE = "/testbeds/olive/lab/charge/"


@pytest.fixture
def group(owner: User) -> Group:
    """A group of the owner with a quota."""
    found = Group.objects.create(name="course")
    owner.groups.add(found)
    GroupAllowance.objects.create(group=found, testbeds=1)
    return found


def charged() -> Group | None:
    return Testbed.objects.get(slug="lab").charged_group


def test_owner_charges_it_to_a_group_and_back(
    browser: Client, testbed: Testbed, group: Group
):
    offered = browser.get("/testbeds/olive/lab/sharing/").content.decode()
    done = browser.post(CHARGE, {"charged": group.pk}, follow=True)
    of_group = charged()
    browser.post(CHARGE, {"charged": ""})

    assert "group course</option>" in offered
    assert "lab is charged to group course now." in done.content.decode()
    assert of_group == group
    assert charged() is None


def test_group_without_a_quota_is_not_offered(
    browser: Client, testbed: Testbed, group: Group
):
    GroupAllowance.objects.all().delete()

    page = browser.get("/testbeds/olive/lab/sharing/").content.decode()
    answer = browser.post(CHARGE, {"charged": group.pk})

    assert "course</option>" not in page.split('id="charge"')[1].split("</section>")[0]
    assert answer.status_code == 422
    assert "olive has no such group with a quota." in answer.content.decode()


@pytest.mark.parametrize("number", ["x", "-1", "9" * 30, "²"])
def test_bad_number_is_refused(browser: Client, testbed: Testbed, number: str):
    assert browser.post(CHARGE, {"charged": number}).status_code == 422


def test_group_of_others_is_not_charged(
    browser: Client, testbed: Testbed, group: Group, owner: User
):
    owner.groups.clear()

    assert browser.post(CHARGE, {"charged": group.pk}).status_code == 422
    assert charged() is None


def test_editor_charges_nothing(
    client: Client, testbed: Testbed, group: Group, share: ShareWith
):
    client.force_login(share(testbed, "editor"))

    assert client.post(CHARGE, {"charged": group.pk}).status_code == 403


def test_group_takes_no_more_than_its_quota(
    browser: Client, testbed: Testbed, group: Group, owner: User
):
    other = Testbed.objects.create(owner=owner, slug="other", number=8)
    Testbed.objects.filter(pk=other.pk).update(charged_group=group)

    answer = browser.post(CHARGE, {"charged": group.pk})

    assert answer.status_code == 422
    assert "group course has 1 testbed; allowed: 1." in answer.content.decode()


def test_testbed_that_changes_is_charged_to_nothing_else(
    browser: Client, make_run: MakeRun, group: Group
):
    make_run()

    assert browser.post(CHARGE, {"charged": group.pk}).status_code == 409


def test_owner_is_charged_again_after_leaving_the_group(
    browser: Client, page: Client, testbed: Testbed, group: Group, admin: User
):
    Testbed.objects.update(charged_group=group)
    page.force_login(admin)

    form = {"do": "remove", "user": "olive"}
    left = page.post(f"/groups/{group.pk}/", form, follow=True)

    assert charged() is None
    assert "course was changed." in left.content.decode()
    assert "will stay charged" not in left.content.decode()


def test_owner_who_leaves_the_group_and_comes_back_has_not_both_quotas(
    page: Client, testbed: Testbed, group: Group, owner: User
):
    Allowance.objects.create(user=owner, vcpus=1)
    Testbed.objects.update(charged_group=group)
    testbed.refresh_from_db()
    prepare(testbed, Command.UP, Options())
    for guest in ("web", "db"):
        testbed.project.mark(guest, disk="made")
    Testbed.objects.update(condition=Testbed.Condition.UP)

    left = page.post(
        f"/groups/{group.pk}/", {"do": "remove", "user": "olive"}, follow=True
    )

    assert not owner.groups.exists()
    assert "1 testbed of olive will stay charged to it" in left.content.decode()
    assert (used_by(group).vcpus, used_by(owner)) == (2, Use())


@pytest.mark.usefixtures("owner_without_group")
def test_testbed_of_a_group_that_its_owner_left_uses_no_more_of_it(testbed: Testbed):
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    with pytest.raises(LimitReached) as refused:
        prepare(testbed, Command.UP, Options())

    assert refused.value.message == (
        "Testbed lab is charged to a group in which olive is no longer: it may use no "
        "more of that quota."
    )


@pytest.mark.usefixtures("owner_without_group")
def test_edit_that_adds_nothing_is_not_refused_for_it(testbed: Testbed, owner, group):
    owner.groups.add(group)
    prepare(testbed, Command.UP, Options())
    for guest in ("web", "db"):
        testbed.project.mark(guest, disk="made")
    testbed.condition = Testbed.Condition.UP
    testbed.save()
    owner.groups.clear()
    edit(testbed, "memory_mb: 256", "memory_mb: 128")

    state, _ = prepare(testbed, Command.UP, Options())

    assert {guest.memory_mib for guest in state.guests} == {128}


def test_group_is_named_to_those_who_know_it(
    client: Client, testbed: Testbed, group: Group, owner: User, share: ShareWith
):
    Testbed.objects.update(charged_group=group)
    GroupAllowance.objects.update(vcpus=1)
    operator = share(testbed, "operator")

    pages = {}
    for user in (owner, operator):
        client.force_login(user)
        found = map(
            client.get, ("/testbeds/olive/lab/", "/testbeds/olive/lab/budgets/")
        )
        pages[user] = "".join(page.content.decode() for page in found)
    refused = client.post(
        "/testbeds/olive/lab/runs/", {"command": "up"}
    ).content.decode()
    operator.groups.add(group)
    as_member = client.get("/testbeds/olive/lab/budgets/").content.decode()

    assert "of group course," in pages[owner]
    assert "of its group," in pages[operator]
    assert "left in the quota of its group." in refused
    assert "course" not in pages[operator] + refused
    assert "of group course," in as_member


@pytest.fixture
def owner_without_group(testbed: Testbed, group: Group, owner: User) -> None:
    """The testbed is charged to the group, which its owner has left."""
    owner.groups.clear()
    testbed.charged_group = group
    testbed.save()


@pytest.mark.parametrize("is_member", [True, False])
def test_group_stays_charged_where_the_new_owner_is_in_it(
    page: Client, testbed: Testbed, group: Group, stranger: User, is_member: bool
):
    Testbed.objects.update(charged_group=group)
    if is_member:
        stranger.groups.add(group)

    page.post("/testbeds/olive/lab/owner/", {"to": "sam", "sure": "sam"})

    assert charged() == (group if is_member else None)
