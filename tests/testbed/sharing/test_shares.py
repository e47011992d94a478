"""Sharing a testbed: given, changed, taken away; and all that follows from a role."""

from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from testbed.access.roles import Role, role_of
from testbed.models import Share, Testbed, UserKey
from testbed.sharing.shares import MOST_SHARES
from testbed.ssh.keys import keys_for
from tests.testbed.conftest import MakeRun, ShareWith

SHARING = "/testbeds/olive/lab/sharing/"
CHANGE = "/testbeds/olive/lab/sharing/change/"


def give_key(user: User) -> UserKey:
    return UserKey.objects.create(
        user=user,
        name="laptop",
        kind="ssh-ed25519",
        blob=f"AAAA{user.pk}",
        bits=256,
        fingerprint=f"SHA256:{user.username}",
    )


def test_owner_shares_changes_and_takes_away(
    browser: Client, testbed: Testbed, share: ShareWith, caplog
):
    caplog.set_level("INFO", "testbed.access.record")
    user = share(testbed, "viewer")
    number = Share.objects.get().pk

    before = timezone.now()
    browser.post(CHANGE, {"share": number, "role": "operator"})
    changed = role_of(user, testbed)
    row = Share.objects.get()
    browser.post(CHANGE, {"share": number, "remove": ""})

    assert changed is Role.OPERATOR
    assert row.given_at >= before
    assert role_of(user, testbed) is None
    assert caplog.messages == [
        "act share by olive on lab: made a-viewer operator",
        "act share by olive on lab: took operator from a-viewer",
    ]


def test_page_says_who_gave_a_role_and_when(
    browser: Client, testbed: Testbed, share: ShareWith
):
    share(testbed, "viewer", by_group=True)

    page = browser.get(SHARING).content.decode()

    given = timezone.localtime(Share.objects.get().given_at)
    assert "group of viewer" in page
    assert "by olive" in page
    assert f"{given:%H:%M}" in page


def test_group_gets_a_role_and_loses_it_with_the_membership(
    browser: Client, testbed: Testbed, owner: User, member: User
):
    group = Group.objects.create(name="course")
    group.user_set.add(owner, member)

    browser.post(SHARING, {"group": "course", "role": "editor"})
    with_group = role_of(member, testbed)
    member.groups.clear()

    assert with_group is Role.EDITOR
    assert role_of(member, testbed) is None


def test_owner_who_is_named_is_told_so(browser: Client, testbed: Testbed):
    answer = browser.post(SHARING, {"user": "olive", "role": "viewer"})

    assert answer.status_code == 422
    assert "olive is the owner of lab." in answer.content.decode()
    assert not Share.objects.exists()


def test_sharing_twice_changes_the_role(page: Client, testbed: Testbed, member: User):
    for role in ("viewer", "editor"):
        page.post(SHARING, {"user": "mark", "role": role})

    assert [(one.user, one.role) for one in Share.objects.all()] == [(member, "editor")]


def test_wrong_role_owner_and_anothers_share_change_nothing(
    page: Client, testbed: Testbed, owner: User, member: User, share: ShareWith
):
    other = Testbed.objects.create(owner=member, slug="other", number=9)
    share(other, "viewer")
    number = Share.objects.get().pk

    answers = [
        page.post(SHARING, {"user": "mark", "role": "owner"}),
        page.post(SHARING, {"user": "mark"}),
        page.post(SHARING, {"user": "olive", "role": "viewer"}),
        page.post(CHANGE, {"share": number, "role": "editor"}),
        page.post(CHANGE, {"share": "9" * 30, "remove": ""}),
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 422, 404, 404]
    assert list(Share.objects.values_list("role", flat=True)) == ["viewer"]


def test_shares_are_bounded(page: Client, testbed: Testbed, owner: User, member: User):
    groups = Group.objects.bulk_create(
        Group(name=f"g{number}") for number in range(MOST_SHARES)
    )
    given = {"given_by": owner, "given_at": timezone.now(), "role": "viewer"}
    Share.objects.bulk_create(
        Share(testbed=testbed, group=group, **given) for group in groups
    )

    answer = page.post(SHARING, {"user": "mark", "role": "viewer"})
    changed = page.post(SHARING, {"group": "g1", "role": "operator"})

    assert answer.status_code == 422
    assert changed.status_code == 302


def test_guests_accept_the_keys_of_those_who_may_use_them(
    testbed: Testbed, owner: User, stranger: User, share: ShareWith
):
    operator = share(testbed, "operator")
    users = [owner, stranger, operator, share(testbed, "viewer")]
    users.append(share(testbed, "editor", by_group=True))
    for user in users:
        give_key(user)

    def names() -> set[str]:
        return {line.split()[-1].partition(":")[0] for line in keys_for(testbed)}

    before = names()
    Share.objects.filter(user=operator).delete()
    taken = names()
    Group.objects.get().user_set.clear()

    assert before == {"olive", "a-operator", "a-editor"}
    assert taken == {"olive", "a-editor"}
    assert names() == {"olive"}


def test_viewer_sees_pages_without_a_form_or_button_of_others(
    client: Client, make_run: MakeRun, share: ShareWith
):
    run = make_run()
    client.force_login(share(run.testbed, "viewer"))

    pages = {
        path: client.get(path)
        for path in (
            "/testbeds/olive/lab/",
            f"/runs/{run.pk}/",
            "/testbeds/olive/lab/runs/",
            "/",
        )
    }

    assert {page.status_code for page in pages.values()} == {200}
    for path, page in pages.items():
        text = page.content.decode()
        forms = [part.partition(">")[0] for part in text.split("<form")[1:]]
        # The stars of the list are each user's own.
        own = ("/logout/", "/first-steps/", 'id="stars"')
        posts = [f for f in forms if "post" in f and not any(o in f for o in own)]
        assert posts == [], path
        assert "/edit/" not in text
        assert "Delete" not in text
    assert "you are a viewer" in pages["/testbeds/olive/lab/"].content.decode()


def test_operator_sees_runs_buttons_and_no_editing(
    client: Client, testbed: Testbed, share: ShareWith
):
    client.force_login(share(testbed, "operator"))

    text = client.get("/testbeds/olive/lab/").content.decode()

    assert 'id="do-up"' in text
    assert 'id="do-clear"' not in text
    assert "/edit/" not in text
    assert "Sharing" not in text
