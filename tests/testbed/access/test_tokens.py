"""API tokens: their hashes, scopes and ends, and the permission function that asks them."""

import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from testbed.access.permissions import (
    OWN_SCOPES,
    SCOPE_OF,
    SCOPES,
    TABLE,
    Act,
    NotAllowed,
    OwnAct,
    Permissions,
    is_admin,
    may,
    require,
    require_admin,
    require_scope,
)
from testbed.access.roles import Role
from testbed.access.scopes import Scope, limit, scopes_of
from testbed.access.tokens import (
    KEPT,
    MOST_TOKENS,
    TokenInvalid,
    TokenRefused,
    forget_old_tokens,
    make_token,
    revoke_token,
    token_in,
    user_of_token,
)
from testbed.models import ApiToken, Entry, Testbed
from tests.testbed.conftest import ShareWith

CHECKOUT = Path(__file__).resolve().parents[3]
PAGE = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")


def refusal_of(text: str) -> TokenInvalid:
    with pytest.raises(TokenInvalid) as caught:
        user_of_token(text)
    assert caught.value.hint
    return caught.value


def test_each_act_is_in_one_scope():
    named = [act for acts in SCOPES.values() for act in acts]

    assert sorted(named) == sorted(Act)
    assert SCOPES.keys() == OWN_SCOPES.keys() == set(Scope)
    assert sorted(act for acts in OWN_SCOPES.values() for act in acts) == sorted(OwnAct)


def test_page_and_code_have_the_same_scopes():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE))

    acts = {scope.value: set(rows[scope].split(", ")) for scope in Scope}

    assert acts == {
        scope.value: {act.value for act in (*SCOPES[scope], *OWN_SCOPES[scope])}
        for scope in Scope
    }


def test_database_and_record_and_log_hold_no_token(
    owner: User, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG):
        row, text = make_token(owner, "ci", ["run"], 7)
        user_of_token(text)
        revoke_token(ApiToken.objects.select_related("user").get(pk=row.pk))

    secret = text[len(row.prefix) :]
    entries = [entry.what for entry in Entry.objects.filter(act="tokens")]
    assert len(secret) > 30
    assert secret not in " ".join(entries) + caplog.text + row.digest
    assert sorted(entries) == [
        f"made {row.prefix}… with read run for 7 days",
        f"revoked {row.prefix}…",
    ]


def test_token_signs_its_user_in_with_its_scopes(owner: User):
    _, text = make_token(owner, "ci", ["edit", "run", "run"], 7)

    found = user_of_token(text)

    assert (found, scopes_of(found)) == (owner, {Scope.READ, Scope.RUN, Scope.EDIT})
    assert scopes_of(owner) is None
    assert ApiToken.objects.get().used_at is not None


@pytest.mark.parametrize(
    "text", ["", "tb_", "tb_nothing", "tb_" + "x" * 5000, "é\0", "\ud800", "tb_\ud800"]
)
def test_text_that_is_no_token_signs_no_user_in(owner: User, text: str):
    make_token(owner, "ci", [], 7)

    assert "does not exist" in refusal_of(text).message


def test_revoked_token_ends_at_once(owner: User):
    row, text = make_token(owner, "ci", [], 7)

    revoke_token(row)

    assert "revoked" in refusal_of(text).message


def test_expired_token_says_when_it_ended_and_is_forgotten_later(owner: User):
    _, text = make_token(owner, "ci", [], 7)
    ApiToken.objects.update(expires_at=timezone.now())
    said = refusal_of(text).message
    kept = forget_old_tokens()

    ApiToken.objects.update(expires_at=timezone.now() - KEPT - timedelta(hours=1))
    gone = forget_old_tokens()

    assert re.search(r"expired on \d{4}-\d\d-\d\d", said)
    assert (kept, gone, ApiToken.objects.count()) == (0, 1, 0)


def test_token_of_a_deactivated_or_deleted_user_ends(owner: User):
    _, text = make_token(owner, "ci", [], 7)
    User.objects.update(is_active=False)
    deactivated = refusal_of(text).message

    owner.delete()

    assert "deactivated" in deactivated
    assert "does not exist" in refusal_of(text).message


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [
        ("", [], 7),
        ("x" * 61, [], 7),
        ("a\x07b", [], 7),
        ("ci", ["root"], 7),
        ("ci", [], 0),
        ("ci", [], 31),
    ],
)
def test_token_that_cannot_be_is_refused(
    owner: User, settings: object, name: str, scopes: list[str], days: int
):
    settings.TOKEN_MOST_DAYS = 30

    with pytest.raises(TokenRefused) as caught:
        make_token(owner, name, scopes, days)

    assert caught.value.hint
    assert not ApiToken.objects.exists()


def test_number_of_tokens_is_bounded(owner: User, stranger: User):
    for _ in range(MOST_TOKENS):
        make_token(owner, "ci", [], 7)

    with pytest.raises(TokenRefused, match="50 tokens"):
        make_token(owner, "ci", [], 7)

    make_token(stranger, "ci", [], 7)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("scope", Scope)
def test_token_may_no_more_than_its_role_nor_its_scope(role: Role, scope: Scope):
    limited = Permissions(role, frozenset({scope}))

    allowed = {act for act in Act if limited.allows(act)}

    by_role = {act for act in Act if Permissions(role).allows(act)}
    assert allowed == by_role & set(SCOPES[scope])


def test_refusal_names_the_role_or_the_scope_that_is_needed(
    owner: User, testbed: Testbed, share: ShareWith
):
    viewer = share(testbed, "viewer")
    limit(owner, [Scope.READ, Scope.RUN])
    limit(viewer, Scope)

    with pytest.raises(NotAllowed) as of_scope:
        require(owner, Act.EDIT, testbed)
    with pytest.raises(NotAllowed) as of_role:
        require(viewer, Act.EDIT, testbed)

    assert "With the scopes read, run this API token may not edit" in (
        of_scope.value.problem.message
    )
    assert "the scope edit" in of_scope.value.problem.hint
    assert "needs the role editor" in of_role.value.problem.hint
    assert may(owner, Act.UP, testbed)


def test_lab_admin_administers_by_a_token_of_that_scope_alone(admin: User):
    limit(admin, set(Scope) - {Scope.ADMIN})
    with pytest.raises(NotAllowed, match="API token"):
        require_admin(admin)
    before = is_admin(admin)

    limit(admin, [Scope.ADMIN])
    require_admin(admin)

    assert (before, is_admin(admin)) == (False, True)


def test_act_on_no_testbed_needs_its_scope(owner: User):
    limit(owner, [Scope.READ])

    require_scope(owner, Act.SEE)
    with pytest.raises(NotAllowed):
        require_scope(owner, Act.EDIT)

    assert SCOPE_OF[Act.EDIT] is Scope.EDIT
    assert set(SCOPES[Scope.MANAGE]) == {Act.SET_SOURCE, *TABLE[Role.OWNER]}


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Bearer tb_x", "tb_x"),
        ("bearer  tb_x ", "tb_x"),
        ("Bearer", ""),
        ("Basic dGI=", None),
        ("tb_x", None),
        ("", None),
    ],
)
def test_header_has_the_token(header: str, text: str | None):
    assert token_in(header) == text


def test_token_of_a_lab_admin_who_lacks_the_second_factor_signs_no_user_in(
    admin: User, settings: object
):
    """It was made before the rule, before the right, or before the factor was removed."""
    _, text = make_token(admin, "old", ["admin"], 7)
    settings.ADMINS_NEED_SECOND_FACTOR = True

    assert "second factor" in refusal_of(text).sentence
