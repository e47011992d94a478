"""How the API refuses: problem details for all that is wrong, and never a page."""

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.access.tokens import make_token
from testbed.api.v1 import api
from testbed.models import Entry, Testbed
from testbed.testbeds.files import create_testbed
from tests.testbed.api.conftest import ALL, Ask, asker
from tests.testbed.conftest import YAML

PROBLEM = "application/problem+json"
MIB = 1024 * 1024


def said(answer: object, status: int) -> dict[str, object]:
    """Return the problem details of an answer with this status."""
    assert answer.status_code == status, answer.content[:500]
    assert answer.headers["Content-Type"] == PROBLEM
    return answer.json()


def test_request_without_a_user_says_how_to_sign_in(db: None):
    answer = Client().get("/api/v1/me")

    assert "API token" in said(answer, 401)["hint"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer tb_x", "Bearer", "Bearer é"])
def test_bad_token_is_refused_also_beside_a_session(owner: User, header: str):
    client = Client(headers={"Authorization": header})
    client.force_login(owner)

    assert "does not exist" in said(client.get("/api/v1/me"), 401)["detail"]


def test_token_in_the_address_is_not_read(owner: User):
    _, text = make_token(owner, "ci", ALL, 7)

    for name in ("token", "access_token", "Authorization"):
        said(Client().get("/api/v1/me", {name: text}), 401)


def test_session_reads_and_needs_the_csrf_token_to_change(owner: User):
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    new = json.dumps({"name": "fresh", "example": "quickstart"})
    kind = "application/json"

    read = client.get("/api/v1/me")
    refused = client.post("/api/v1/testbeds", new, content_type=kind)
    client.get("/tokens/")
    token = {"X-CSRFToken": client.cookies["csrftoken"].value}
    made = client.post("/api/v1/testbeds", new, content_type=kind, headers=token)

    assert read.json()["scopes"] is None
    assert "CSRF" in said(refused, 403)["detail"]
    assert made.status_code == 201


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v2/me", "/api/v1/nothing"])
def test_unknown_address_is_a_problem(ask: Ask, path: str):
    assert said(ask("GET", path), 404)["title"] == "Not Found"


def test_wrong_method_names_the_right_ones(ask: Ask):
    answer = ask("PUT", "/testbeds")

    assert said(answer, 405)["hint"] in ("Use GET, POST.", "Use POST, GET.")
    assert sorted(answer.headers["Allow"].split(", ")) == ["GET", "POST"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"", b"null", b"NaN"],
    ids=["cut", "no UTF-8", "deep list", "deep object", "empty", "null", "NaN"],
)
def test_body_that_is_no_json_object_is_refused(ask: Ask, body: bytes):
    answer = ask("POST", "/testbeds", body)

    assert answer.status_code in (400, 422)
    assert said(answer, answer.status_code)["hint"]


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", ""])
def test_other_content_type_is_refused(ask: Ask, kind: str):
    answer = ask("POST", "/testbeds", {"name": "a", "example": "b"}, kind=kind)

    assert "application/json" in said(answer, 415)["hint"]


def test_body_that_is_too_large_is_refused(ask: Ask):
    answer = ask("POST", "/testbeds", b'"' + b"x" * (3 * MIB) + b'"')

    assert said(answer, 413)["hint"]


def test_values_are_refused_with_their_places(ask: Ask):
    answer = ask("POST", "/testbeds", {"name": 1, "surprise": True})

    places = {error["where"] for error in said(answer, 422)["errors"]}
    assert {"body.name", "body.surprise"} <= places
    sentence = "name: Input should be a valid string."
    assert answer.json()["detail"] == sentence


def test_sentence_names_a_value_as_the_program_wrote_it(ask: Ask):
    query = said(ask("GET", "/testbeds?per_page=x"), 422)
    body = said(ask("POST", "/testbeds", b"[]"), 422)

    assert query["detail"].startswith("per_page: ")
    assert query["errors"][0]["where"] == "query.per_page"
    assert body["detail"] == "The body: Input should be an object."
    assert body["errors"][0]["where"] == "body"


def test_other_content_type_is_named_whole(ask: Ask):
    kind = "application/x-www-form-urlencoded"

    answer = ask("POST", "/testbeds", b"name=a", kind=kind)

    assert said(answer, 415)["detail"] == (
        f"The content type is {kind}, not application/json."
    )


def test_order_that_the_list_has_not_is_refused_in_one_sentence(ask: Ask):
    answer = ask("GET", "/testbeds?sort=password")

    assert said(answer, 422)["detail"] == "The list has no order named 'password'."


def test_plan_that_is_none_is_named(ask: Ask, testbed: Testbed):
    wish = {"command": "up", "plan": {"command": "up"}}

    answer = ask("POST", "/testbeds/olive/lab/runs", wish)

    assert said(answer, 422)["detail"] == "The `plan` cannot be read."


@pytest.mark.parametrize(
    "path",
    [
        "/runs/0",
        "/runs/-1",
        f"/runs/{2**63}",
        f"/runs/{'9' * 400}",
        "/runs/1.5",
        "/trash/9999999999999999999",
        "/testbeds/~FF/lab",
        "/testbeds/%00/lab",
        "/testbeds/olive/%00",
        "/testbeds/olive/%F0%9F%92%A9",
        "/testbeds/olive/lab/files/a%00b",
        "/testbeds/olive/lab/files/../../etc/passwd",
        "/testbeds/olive/lab/files/%2e%2e/%2e%2e/etc/passwd",
        "/testbeds/olive/lab/files/nothing",
    ],
)
def test_address_of_nothing_is_404(ask: Ask, testbed: Testbed, path: str):
    method = "DELETE" if "trash" in path else "GET"

    said(ask(method, path), 404)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/guests/none", "has no guest 'none'"),
        ("/ssh", "Nothing was generated yet."),
        ("/source", "has no source"),
        ("/files/none.sh", "There is no file none.sh"),
    ],
)
def test_missing_part_of_a_testbed_is_named(
    ask: Ask, testbed: Testbed, path: str, words: str
):
    problem = said(ask("GET", f"/testbeds/olive/lab{path}"), 404)

    assert words in problem["detail"]
    assert problem["hint"]


def test_query_with_nul_is_refused(ask: Ask):
    said(ask("GET", "/testbeds?q=%00"), 400)


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=x", f"page={'9' * 30}", "per_page=100000", "sort=size"],
)
def test_bad_page_or_order_is_refused(ask: Ask, query: str):
    said(ask("GET", f"/testbeds?{query}"), 422)


def test_refused_act_is_in_the_record_once(owner: User, testbed: Testbed):
    ask = asker(owner, "read")

    for _ in range(3):
        answer = ask("DELETE", "/testbeds/olive/lab")

    found = said(answer, 403)
    refused = Entry.objects.get(outcome="refused")
    assert "API token may not delete" in found["detail"]
    assert "scope manage" in found["hint"]
    assert (refused.user, refused.act) == ("olive", "delete")


def test_former_address_leads_to_the_present_one(
    ask: Ask, owner: User, testbed: Testbed
):
    create_testbed(owner, "former", {"kvm-compose.yaml": YAML.encode()})
    ask("PATCH", "/testbeds/olive/former", {"name": "present"})

    answer = ask("GET", "/testbeds/olive/former/files/kvm-compose.yaml")

    assert answer.status_code == 308
    assert answer.headers["Location"] == (
        "/api/v1/testbeds/olive/present/files/kvm-compose.yaml"
    )


def test_failure_is_a_problem_without_details(ask: Ask, monkeypatch):
    def fail(*args: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("testbed.api.me.scopes_of", fail)
    monkeypatch.setattr(Client, "raise_request_exception", False, raising=False)
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get())

    answer = client.get("/api/v1/me")

    assert "secret" not in json.dumps(said(answer, 500))


def strings_in(part: object, where: str = "") -> list[tuple[str, dict[str, object]]]:
    """Return the schemas of strings in a schema, with their places."""
    if isinstance(part, list):
        return [one for each in part for one in strings_in(each, where)]
    if not isinstance(part, dict):
        return []
    own = [(where, part)] if part.get("type") == "string" else []
    return own + [
        one for key, each in part.items() for one in strings_in(each, f"{where}.{key}")
    ]


def test_no_text_of_a_body_holds_what_no_database_stores():
    document = api.get_openapi_schema()
    shapes = document["components"]["schemas"]
    bodies = [
        found["schema"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for found in operation.get("requestBody", {}).get("content", {}).values()
    ]
    names = [body["$ref"].rpartition("/")[2] for body in bodies if "$ref" in body]

    found = [one for name in names for one in strings_in(shapes[name], name)]

    # A pattern refuses NUL, and what is no Unicode; the others name all they take.
    rules = {"pattern", "enum", "const", "format"}
    assert len(found) > 50
    assert [where for where, shape in found if not rules & shape.keys()] == []


LONE = "\ud800"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/shares", {"user": LONE, "role": "viewer"}),
        ("POST", "/shares", {"user": "olive", "role": "viewer", LONE: 1}),
        ("POST", "/expiry", {"until": LONE}),
        ("POST", "/snapshots", {"verb": "create", "guest": "a", "name": LONE}),
        ("POST", "/snapshots/yaml", {"name": LONE}),
        ("POST", "/runs", {"command": LONE}),
        ("POST", "/runs", {"command": "up", "plan": {LONE: LONE}}),
        ("POST", "/power", {"verb": "start", "selection": LONE}),
        ("POST", "/up", {"mode": LONE, "selection": "a"}),
        ("POST", "/exec", {LONE: LONE}),
        ("POST", "/exec", {"form": "shell", "text": LONE, "selection": LONE}),
        ("POST", "/commands", {"name": "a", "execution": {LONE: LONE}}),
    ],
)
def test_half_of_a_character_is_refused(
    ask: Ask, testbed: Testbed, method: str, path: str, body: object
):
    said(ask(method, f"/testbeds/olive/lab{path}", body), 422)
