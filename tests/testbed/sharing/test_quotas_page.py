"""The quotas of all accounts on one page, for lab admins."""

import re

from django.contrib.auth.models import Group, User
from django.test import Client

from testbed.models import Allowance, GroupAllowance, Testbed


def accounts_on(page: str) -> list[str]:
    """Return the accounts as the page lists them."""
    return [
        " ".join(name.split())
        for name in re.findall(r'<th scope="row"[^>]*>\s*<span[^>]*>([^<]+)', page)
    ]


def test_accounts_with_the_least_left_come_first(
    page: Client, testbed: Testbed, owner: User, member: User
):
    group = Group.objects.create(name="course")
    GroupAllowance.objects.create(group=group, guests=4)
    Group.objects.create(name="without a quota")
    allowance = Allowance.objects.create(user=owner, vcpus=2)
    started = [("web", "main", 1, 256), ("db", "host-b", 2, 256)]
    Testbed.objects.update(condition="up", started=started)
    Testbed.objects.create(
        owner=member,
        slug="second",
        number=8,
        condition="up",
        started=started,
        charged_group=group,
    )

    shown = page.get("/quotas/").content.decode()

    assert accounts_on(shown)[:2] == ["olive", "group course"]
    assert "without a quota" not in shown
    assert "150 %" in shown
    assert "3 of 2" in shown
    assert "2 of 4" in shown
    assert "A part is used up in 1 account." in shown
    assert f'href="/admin/testbed/allowance/{allowance.pk}/change/"' in shown
    assert f'href="/admin/testbed/allowance/add/?user={member.pk}"' in shown


def test_admins_find_it_in_their_menu_and_on_the_admin_pages(
    page: Client, browser: Client, admin: User, owner: User
):
    browser.force_login(owner)
    mine = browser.get("/").content.decode()
    page.force_login(admin)

    assert 'href="/quotas/"' not in mine
    assert 'href="/quotas/"' in page.get("/").content.decode()
    assert 'href="/quotas/"' in page.get("/admin/").content.decode()


def test_queries_do_not_grow_with_the_accounts(
    page: Client, testbed: Testbed, django_assert_max_num_queries
):
    for number in range(60):
        user = User.objects.create_user(f"user-{number}")
        Allowance.objects.create(user=user, vcpus=number + 1)
        Testbed.objects.create(owner=user, slug=f"t{number}", number=number + 20)

    with django_assert_max_num_queries(15):
        page.get("/quotas/")
