"""The names that a user may use: nobody learns the lab's users by trying names."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from testbed.models import GroupManager, Share, Testbed
from testbed.sharing.people import groups_of, known_to

SHARING = "/testbeds/olive/lab/sharing/"


@pytest.fixture
def course(owner: User, member: User) -> Group:
    """A group of the owner and a colleague."""
    group = Group.objects.create(name="course")
    group.user_set.add(owner, member)
    return group


def test_members_and_managers_of_a_group_know_each_other(
    owner: User, member: User, stranger: User, course: Group
):
    GroupManager.objects.create(group=course, user=stranger)

    assert list(known_to(owner)) == [member, stranger]
    assert list(known_to(stranger)) == [member, owner]
    assert list(groups_of(stranger)) == [course]


def test_users_of_a_common_testbed_know_each_other(
    owner: User, testbed: Testbed, share
):
    viewer = share(testbed, "viewer")

    assert list(known_to(owner)) == [viewer]
    assert list(known_to(viewer)) == [owner]


def test_unknown_and_unlisted_names_are_answered_alike(
    browser: Client, testbed: Testbed, stranger: User
):
    gone = User.objects.create_user("gone", is_active=False)
    answers = []
    for name in (
        stranger.username,
        gone.username,
        "nobody-at-all",
        "",
        "\0",
        "x" * 999,
    ):
        answer = browser.post(SHARING, {"user": name, "role": "viewer"})
        text = answer.content.decode()
        answers.append((answer.status_code, "There is no user" in text))

    assert set(answers) == {(422, True)}
    assert not Share.objects.exists()


def test_groups_of_others_are_answered_as_unknown_ones(
    browser: Client, testbed: Testbed
):
    Group.objects.create(name="others")
    texts = [
        browser.post(SHARING, {"group": name, "role": "viewer"}).content.decode()
        for name in ("others", "never")
    ]

    assert all("or none that you may name" in text for text in texts)
    assert not Share.objects.exists()


def test_page_suggests_only_names_that_may_be_used(
    browser: Client, testbed: Testbed, stranger: User, member: User, course: Group
):
    page = browser.get(SHARING).content.decode()

    assert '<option value="mark">' in page
    assert "sam" not in page
    assert "<option>course</option>" in page


def test_admin_names_all_users(page: Client, testbed: Testbed, stranger: User):
    page.post(SHARING, {"user": "sam", "role": "operator"})

    found = Share.objects.get()
    assert (found.user, found.role, found.given_by.username) == (
        stranger,
        "operator",
        "ada",
    )
