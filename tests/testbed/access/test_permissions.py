"""The table of roles and acts: as documented, and as it answers for each user."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from orchestration.plan.model import Command
from testbed.access.permissions import (
    LEAST,
    TABLE,
    Act,
    NotAllowed,
    Permissions,
    act_of_command,
    may,
    require,
)
from testbed.access.roles import Role, role_of, roles_in, users_of
from testbed.models import Share, Testbed
from tests.testbed.conftest import ShareWith

CHECKOUT = Path(__file__).resolve().parents[3]
PAGE = (CHECKOUT / "docs" / "permissions.md").read_text(encoding="utf-8")
NO = "\N{EN DASH}"
MAY = re.compile(r"\bmay\.(\w+)")


def documented() -> dict[str, dict[str, str]]:
    """Return the marks of the page's table by act and role."""
    table = PAGE.partition("| act |")[2].partition("\n\n")[0]
    head, _, *lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in f"| act |{table}".splitlines()
    ]
    return {act: dict(zip(head[1:], marks, strict=True)) for act, *marks in lines}


def test_page_and_code_have_the_same_table():
    in_code = {
        act.value: {
            role.value: "●" if Permissions(role).allows(act) else NO
            for role in reversed(Role)
        }
        for act in Act
    }

    assert documented() == in_code


def test_each_act_is_in_one_row_of_the_table():
    named = [act for acts in TABLE.values() for act in acts]

    assert sorted(named) == sorted(Act)
    assert LEAST.keys() == set(Act)


def test_templates_ask_for_acts_that_there_are():
    asked = {
        name
        for path in (CHECKOUT / "templates").rglob("*.html")
        for name in MAY.findall(path.read_text(encoding="utf-8"))
    }

    assert len(asked) > 8
    assert asked - {"role"} <= {act.name.lower() for act in Act}


def test_highest_of_several_shares_counts(
    testbed: Testbed, share: ShareWith, owner: User
):
    user = share(testbed, "viewer")
    group = Group.objects.create(name="course")
    given = {"testbed": testbed, "given_by": owner, "given_at": testbed.created_at}

    Share.objects.create(group=group, role="operator", **given)
    before = role_of(user, testbed)
    user.groups.add(group)

    assert before is Role.VIEWER
    assert role_of(user, testbed) is Role.OPERATOR
    assert roles_in(user, [testbed]) == {testbed.pk: Role.OPERATOR}
    assert Testbed.objects.all().visible_to(user).count() == 1


def test_user_who_may_not_sign_in_has_no_role(testbed: Testbed, share: ShareWith):
    user, other = share(testbed, "editor"), share(testbed, "operator", by_group=True)
    user.is_active = False
    user.save()

    assert role_of(user, testbed) is None
    assert users_of(testbed, Role.OPERATOR) == {testbed.owner_id, other.pk}
    assert not Testbed.objects.all().visible_to(user).exists()


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (
            Act.POWER,
            (
                "As a viewer of testbed olive/lab you may not start and stop guests. That needs "
                "the role operator, which olive or a lab admin can give you."
            ),
        ),
        (
            Act.DELETE,
            (
                "As a viewer of testbed olive/lab you may not delete the testbed. Its owner olive "
                "and lab admins may do it."
            ),
        ),
        (
            Act.EXECUTE_ON_HOSTS,
            (
                "As a viewer of testbed olive/lab you may not run a command on hosts. Only lab "
                "admins may do it."
            ),
        ),
    ],
)
def test_refusal_says_which_role_is_needed_and_who_gives_it(
    testbed: Testbed, share: ShareWith, act: Act, sentence: str
):
    with pytest.raises(NotAllowed, match=re.escape(sentence)):
        require(share(testbed, "viewer"), act, testbed)


def test_refusal_is_shown_and_sent_as_json(
    client: Client, testbed: Testbed, share: ShareWith
):
    client.force_login(share(testbed, "viewer"))

    page = client.post("/testbeds/olive/lab/power/")
    program = client.post(
        "/testbeds/olive/lab/power/", headers={"Accept": "application/json"}
    )

    assert "needs the role operator" in page.content.decode()
    assert page.status_code == program.status_code == 403
    assert "As a viewer of testbed olive/lab" in program.json()["error"]


def test_operator_may_not_delete_disks(testbed: Testbed, share: ShareWith):
    operator = share(testbed, "operator")

    assert may(operator, act_of_command(Command.DOWN), testbed)
    assert not may(operator, act_of_command(Command.CLEAR_ARTEFACTS), testbed)
