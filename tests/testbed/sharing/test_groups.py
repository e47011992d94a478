"""Groups: made by lab admins, kept by their managers, seen by their members."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from testbed.models import GroupManager
from tests.testbed.reading import visible


@pytest.fixture
def group(member: User) -> Group:
    """A group that `member` manages."""
    found = Group.objects.create(name="course")
    GroupManager.objects.create(group=found, user=member)
    return found


def test_admin_makes_a_group_and_its_manager(page: Client, member: User):
    made = page.post("/groups/", {"name": "course 27"})
    page.post(made["Location"], {"do": "add-manager", "user": "mark"})

    group = Group.objects.get()
    assert group.name == "course 27"
    assert [row.user for row in group.managers.all()] == [member]


def test_page_leads_a_lab_admin_alone_to_the_groups_limits_and_deletion(
    page: Client, member: User, group: Group
):
    address = f"/groups/{group.pk}/"
    admins = page.get(address).content.decode()
    page.force_login(member)

    managers = page.get(address).content.decode()

    assert f'href="/admin/auth/group/{group.pk}/delete/"' in admins
    assert f'href="/admin/testbed/groupallowance/add/?group={group.pk}"' in admins
    assert "/admin/" not in managers


@pytest.mark.parametrize("name", ["", "  ", "course", "x" * 151, "a\0b", "a\x1bb"])
def test_admin_is_told_which_names_are_possible(page: Client, group: Group, name: str):
    answer = page.post("/groups/", {"name": name})

    assert answer.status_code == 422
    assert 'id="refusal"' in answer.content.decode()
    assert Group.objects.count() == 1


def test_manager_adds_and_removes_members_by_exact_name(
    client: Client, member: User, stranger: User, group: Group
):
    client.force_login(member)
    address = f"/groups/{group.pk}/"

    client.post(address, {"do": "add", "user": "sam"})
    added = list(group.user_set.all())
    wrong = client.post(address, {"do": "add", "user": "Sammy"})
    client.post(address, {"do": "remove", "user": "sam"})

    assert added == [stranger]
    assert "There is no user Sammy." in wrong.content.decode()
    assert not group.user_set.exists()


def test_list_of_groups_tells_which_manager_left(
    client: Client, member: User, stranger: User, group: Group
):
    group.user_set.add(stranger)
    User.objects.filter(pk=member.pk).update(is_active=False)
    client.force_login(stranger)

    page = visible(client.get("/groups/").content.decode())

    assert "managed by mark deactivated" in page


def test_manager_makes_no_manager(client: Client, member: User, group: Group, stranger):
    client.force_login(member)

    answer = client.post(f"/groups/{group.pk}/", {"do": "add-manager", "user": "sam"})

    assert answer.status_code == 403
    assert group.managers.count() == 1


def test_member_sees_the_group_and_changes_nothing(
    client: Client, stranger: User, owner: User, group: Group
):
    stranger.groups.add(group)
    client.force_login(stranger)
    address = f"/groups/{group.pk}/"

    page = client.get(address).content.decode()
    answer = client.post(address, {"do": "add", "user": "olive"})

    assert "sam" in page
    assert 'name="do"' not in page
    assert answer.status_code == 403
    assert "Ask one of its managers" in answer.content.decode()
    assert list(group.user_set.all()) == [stranger]


def test_stranger_gets_404(client: Client, stranger: User, group: Group):
    client.force_login(stranger)

    assert client.get(f"/groups/{group.pk}/").status_code == 404
    assert client.post(f"/groups/{group.pk}/", {"do": "add"}).status_code == 404
    assert ">course<" not in client.get("/groups/").content.decode()


def test_user_who_is_no_manager_cannot_stop_being_one(page: Client, group: Group):
    answer = page.post(f"/groups/{group.pk}/", {"do": "remove-manager", "user": "sam"})

    assert answer.status_code == 422
    assert "sam is no manager of course." in answer.content.decode()


def test_manager_who_is_removed_is_led_to_the_list(
    page: Client, client: Client, member: User, group: Group
):
    page.post(f"/groups/{group.pk}/", {"do": "remove-manager", "user": "mark"})

    client.force_login(member)
    assert client.get(f"/groups/{group.pk}/").status_code == 404
