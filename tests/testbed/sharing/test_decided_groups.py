"""Groups here that groups elsewhere decide."""

from django.contrib.auth.models import Group, User
from pytest_django import DjangoAssertNumQueries

from testbed.accounts.admins import set_groups


def test_groups_of_a_user_are_read_once(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
):
    for number in range(10):
        owner.groups.add(Group.objects.create(name=f"in-{number}"))
    wanted = [
        (f"{kind}-{n}", kind == "in") for kind in ("in", "out") for n in range(10)
    ]

    with django_assert_num_queries(1):
        set_groups(owner, tuple(wanted), "Uni")

    set_groups(owner, (("in-0", False), ("new", True)), "Uni")
    names = set(owner.groups.values_list("name", flat=True))
    assert names == {"new", *(f"in-{n}" for n in range(1, 10))}
