"""Testbeds and their files by the API: made once, changed, deleted and brought back."""

from hashlib import sha256

import pytest
from django.contrib.auth.models import User

from testbed.models import Entry, KeyedRequest, Run, Testbed
from testbed.testbeds.files import create_testbed
from testbed.testbeds.stored_files import UNCOUNTED, digesting
from tests.testbed.api.conftest import ALL, Ask, asker
from tests.testbed.api.test_problems import said
from tests.testbed.conftest import YAML

pytestmark = pytest.mark.database
NEW = {"name": "ring", "yaml": YAML}
FILE = "/testbeds/olive/lab/files/setup.sh"
OWN_EDIT = (
    "setup.sh was changed by you, in another window or program, since it was read."
)


@pytest.fixture(autouse=True)
def folders(testbed: Testbed) -> None:
    """Let testbeds lie in a folder of the test."""


def test_testbed_is_made_shown_listed_and_recorded(ask: Ask):
    made = ask("POST", "/testbeds", NEW)

    shown = ask("GET", made.headers["Location"])
    listed = ask("GET", "/testbeds?q=ring").json()
    assert made.status_code == 201
    assert made.headers["Location"] == "/api/v1/testbeds/olive/ring"
    assert shown.json() == made.json() == listed["items"][0]
    assert made.json()["condition"] == "empty"
    assert Entry.objects.filter(act="edit", thing="ring", what="created it").exists()


@pytest.mark.parametrize(
    "body",
    [
        {"name": "ring"},
        {"name": "ring", "yaml": YAML, "example": "quickstart"},
        {"name": "Ring", "yaml": YAML},
        {"name": "", "yaml": YAML},
        {"name": "lab", "yaml": YAML},
        {"name": "x" * 41, "yaml": YAML},
        {"name": "ring\n", "yaml": YAML},
        {"name": "ring", "yaml": "a\0b"},
        {"name": "ring", "yaml": "x" * 600_000},
        {"name": "ring", "example": "../../etc"},
    ],
)
def test_testbed_that_cannot_be_is_refused(ask: Ask, body: dict[str, str]):
    assert said(ask("POST", "/testbeds", body), 422)["hint"]
    assert Testbed.objects.count() == 1


def test_surrogates_and_other_scripts_are_no_failure(ask: Ask):
    odd = ask("POST", "/testbeds", b'{"name": "\\ud800", "yaml": "\\ud800"}')
    text = ask("PATCH", "/testbeds/olive/lab", {"description": "Prüfstand 実験 🔬"})

    said(odd, odd.status_code)
    assert odd.status_code in (400, 422)
    assert text.json()["description"] == "Prüfstand 実験 🔬"


def test_same_request_with_a_key_is_answered_alike(ask: Ask):
    answers = [ask("POST", "/testbeds", NEW, Idempotency_Key="k1") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201] * 3
    assert answers[0].json() == answers[2].json()
    assert answers[2].headers["Location"] == answers[0].headers["Location"]
    assert answers[2].headers["Idempotency-Replayed"] == "true"
    assert Testbed.objects.filter(name="ring").count() == 1


def test_key_of_another_request_or_user_is_another(ask: Ask, stranger: User):
    ask("POST", "/testbeds", NEW, Idempotency_Key="k1")

    other_body = ask("POST", "/testbeds", NEW | {"name": "b"}, Idempotency_Key="k1")
    other_user = asker(stranger, *ALL)("POST", "/testbeds", NEW, Idempotency_Key="k1")

    assert "another request" in said(other_body, 422)["detail"]
    assert other_user.status_code == 201
    assert other_user.json()["account"] == "sam"


def test_refused_request_may_be_sent_again_with_its_key(ask: Ask):
    refused = ask(
        "POST", "/testbeds", {"name": "lab", "yaml": YAML}, Idempotency_Key="k"
    )
    Testbed.objects.update(name="other")

    again = ask("POST", "/testbeds", {"name": "lab", "yaml": YAML}, Idempotency_Key="k")

    assert (refused.status_code, again.status_code) == (422, 201)


def test_request_that_is_still_served_is_not_repeated(ask: Ask, owner: User):
    ask("POST", "/testbeds", NEW, Idempotency_Key="k")
    KeyedRequest.objects.update(status=0)

    said(ask("POST", "/testbeds", NEW, Idempotency_Key="k"), 409)


def test_replay_needs_the_scope_of_the_act(ask: Ask, owner: User):
    ask("POST", "/testbeds", NEW, Idempotency_Key="k")

    said(asker(owner, "read")("POST", "/testbeds", NEW, Idempotency_Key="k"), 403)


@pytest.mark.parametrize("key", ["", "x" * 101, "é"])
def test_bad_key_is_refused(ask: Ask, key: str):
    said(ask("POST", "/testbeds", NEW, Idempotency_Key=key), 422)


def test_list_is_paged_with_links_and_sorted(ask: Ask, owner: User):
    for name in ("a", "b", "c"):
        create_testbed(owner, name, {"kvm-compose.yaml": YAML.encode()})

    page = ask("GET", "/testbeds?per_page=2&page=2&sort=-name")
    beyond = ask("GET", "/testbeds?per_page=2&page=9")

    assert [item["name"] for item in page.json()["items"]] == ["b", "a"]
    assert page.json()["count"] == 4
    assert 'page=1>; rel="prev"' in page.headers["Link"].replace("&sort=-name", "")
    assert 'rel="next"' not in page.headers["Link"]
    assert beyond.json() == {"items": [], "count": 4}


def test_words_are_changed_together_or_not_at_all(ask: Ask):
    changed = ask(
        "PATCH",
        "/testbeds/olive/lab",
        {"name": "ring", "description": "d", "tags": ["b", "A"]},
    ).json()
    refused = ask("PATCH", "/testbeds/olive/ring", {"name": "R", "description": "e"})

    assert (changed["name"], changed["tags"]) == ("ring", ["a", "b"])
    said(refused, 422)
    assert Testbed.objects.get().description == "d"


def test_testbed_is_deleted_and_brought_back(ask: Ask):
    deleted = ask("DELETE", "/testbeds/olive/lab").json()

    restored = ask("POST", f"/trash/{deleted['trash']}/restore").json()

    assert deleted["deleted"] == restored["testbed"] == "olive/lab"
    assert ask("GET", "/trash").json() == {"items": [], "count": 0}


def test_removal_from_the_trash_asks_for_its_token(ask: Ask):
    number = ask("DELETE", "/testbeds/olive/lab").json()["trash"]

    asked = said(ask("DELETE", f"/trash/{number}"), 428)
    removed = ask("DELETE", f"/trash/{number}?confirm={asked['erases']['confirm']}")

    assert removed.json() == {"removed": 1}


def test_own_trash_is_emptied_and_that_of_others_stays(ask: Ask, admin: User):
    ask("DELETE", "/testbeds/olive/lab")

    by_admin = asker(admin, *ALL)("DELETE", "/trash")
    asked = said(ask("DELETE", "/trash"), 428)
    removed = ask("DELETE", f"/trash?confirm={asked['erases']['confirm']}")

    assert by_admin.json() == {"removed": 0}
    assert removed.json() == {"removed": 1}
    assert ask("GET", "/trash").json()["count"] == 0


def test_file_is_made_read_and_replaced_by_its_tag(ask: Ask):
    made = ask("PUT", FILE, b"one", If_None_Match="*")
    tag = made.headers["ETag"]
    replaced = ask("PUT", FILE, b"two", If_Match=tag)
    stale = ask("PUT", FILE, b"three", If_Match=tag)
    read = ask("GET", FILE)

    assert made.status_code == 201
    assert tag == f'"{sha256(b"one").hexdigest()}"'
    assert replaced.status_code == 200
    assert said(stale, 412)["detail"] == OWN_EDIT
    assert read.content == b"two"
    assert read.headers["ETag"] == replaced.headers["ETag"]


def test_file_that_was_read_is_not_sent_again(ask: Ask):
    tag = ask("PUT", FILE, b"one", If_None_Match="*").headers["ETag"]

    answer = ask("GET", FILE, If_None_Match=f'"x", {tag}')

    assert (answer.status_code, answer.content) == (304, b"")


@pytest.mark.parametrize(
    ("header", "status", "words"),
    [
        ({}, 428, "does not say which content it replaces"),
        ({"If_None_Match": "*"}, 412, "There is already a file setup.sh."),
        ({"If_Match": '"0"'}, 412, OWN_EDIT),
    ],
)
def test_save_that_does_not_know_the_present_file_is_refused(
    ask: Ask, header: dict[str, str], status: int, words: str
):
    ask("PUT", FILE, b"one", If_None_Match="*")

    assert words in said(ask("PUT", FILE, b"two", **header), status)["detail"]


def test_save_of_any_file_needs_one(ask: Ask):
    missing = ask("PUT", FILE, b"one", If_Match="*")
    ask("PUT", FILE, b"one", If_None_Match="*")
    there = ask("PUT", FILE, b"two", If_Match="*")

    assert said(missing, 412)["detail"] == "There is no file setup.sh."
    assert there.status_code == 200


@pytest.mark.parametrize("path", ["a/../b", "/etc/passwd", "a%5Cb", "x" * 300])
def test_path_outside_is_refused(ask: Ask, path: str):
    answer = ask("PUT", f"/testbeds/olive/lab/files/{path}", b"", If_None_Match="*")

    said(answer, 422)


def test_deleted_file_is_in_the_trash(ask: Ask):
    ask("PUT", FILE, b"one", If_None_Match="*")

    deleted = ask("DELETE", FILE).json()

    said(ask("GET", FILE), 404)
    assert deleted["deleted"] == "setup.sh"
    assert ask("GET", "/trash").json()["items"][0]["path"] == "setup.sh"


def test_yaml_is_not_deleted(ask: Ask):
    answer = ask("DELETE", "/testbeds/olive/lab/files/kvm-compose.yaml")

    assert said(answer, 422)["hint"]
    assert not Run.objects.exists()


def test_large_file_waits_while_the_users_others_are_digested(
    ask: Ask, owner: User, testbed: Testbed
):
    with testbed.project.file("a.img").open("wb") as file:
        file.truncate(UNCOUNTED + 1)
    place = "/testbeds/olive/lab/files/a.img"

    with digesting(owner, UNCOUNTED + 1), digesting(owner, UNCOUNTED + 1):
        refused = ask("GET", place)
        inputs = ask("GET", "/testbeds/olive/lab/inputs")
    answer = ask("GET", place)

    assert (refused.status_code, inputs.status_code) == (429, 429)
    assert "Wait" in refused.json()["hint"]
    assert answer.headers["ETag"] == f'"{sha256(answer.content).hexdigest()}"'


def test_save_over_a_large_file_is_counted_as_its_digests_are(
    ask: Ask, owner: User, testbed: Testbed
):
    with testbed.project.file("a.img").open("wb") as file:
        file.truncate(UNCOUNTED + 1)
    place = "/testbeds/olive/lab/files/a.img"
    tag = {"If_Match": '"0"'}

    with digesting(owner, UNCOUNTED + 1), digesting(owner, UNCOUNTED + 1):
        refused = ask("PUT", place, b"new", **tag)
    stale = ask("PUT", place, b"new", **tag)

    assert (refused.status_code, stale.status_code) == (429, 412)
    assert testbed.project.file("a.img").stat().st_size == UNCOUNTED + 1
