"""The page of a source and of its fetches, and the address that forges call."""

import hashlib
import hmac
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from orchestration.project.keys import generate_key_pair
from orchestration.transport.ssh.first_contact import host_key_of
from testbed.models import Entry, Fetch, Source, Testbed
from testbed.sources.pushes import GITHUB, GITLAB, is_genuine, pushed_branch
from testbed.testbeds import editing
from testbed.testbeds.texts import MAX_TEXT_BYTES
from tests.testbed.conftest import YAML, ShareWith
from tests.testbed.sources.conftest import FetchNow
from tests.testbed.sources.repositories import Forge

PAGE = "/testbeds/olive/lab/source/"
SSH = {"url": "git@git.example.org:lab/a.git", "branch": "main", "folder": ""}
PUSH = json.dumps({"ref": "refs/heads/main", "after": "1" * 40}).encode()


def test_secret_of_the_webhook_is_shown_once(browser: Client, testbed: Testbed):
    page = browser.post(PAGE, SSH).text

    source = Source.objects.get()
    assert source.secret in page
    assert f"http://testserver/hooks/{source.hook}/" in page
    assert source.secret not in browser.get(PAGE).text
    assert Entry.objects.latest("pk").act == "set_source"
    renewed = browser.post(f"{PAGE}secret/").text
    source.refresh_from_db()
    assert source.secret in renewed
    assert source.secret not in page


def test_public_half_of_the_deploy_key_alone_is_shown(
    browser: Client, testbed: Testbed
):
    page = browser.post(PAGE, SSH).text

    private = testbed.project.keys / "source_ed25519"
    assert private.stat().st_mode & 0o777 == 0o600
    assert Source.objects.get().public_key in page
    assert "PRIVATE KEY" in private.read_text()
    assert "PRIVATE KEY" not in page
    browser.post(f"{PAGE}change/", {"do": "remove"})
    assert not private.exists()
    assert not Source.objects.exists()


def test_viewer_sees_the_commit_and_neither_key_nor_webhook(
    client: Client, fetch_now: FetchNow, share: ShareWith, source: Source
):
    fetch_now()
    client.force_login(share(source.testbed, "viewer"))

    page = client.get("/testbeds/olive/lab/").text

    assert "Begin the lab" in page
    assert "Fetch now" not in page
    assert source.secret not in page
    assert client.get(PAGE).status_code == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [("url", "ext::sh -c id"), ("branch", "--upload-pack=id"), ("folder", "..")],
)
def test_wrong_source_keeps_what_was_typed(
    browser: Client, testbed: Testbed, name: str, value: str
):
    response = browser.post(PAGE, {**SSH, name: value})

    assert response.status_code == 422
    assert value in response.text
    assert not Source.objects.exists()


def test_seen_host_key_is_pinned_by_its_fingerprint(browser: Client, testbed: Testbed):
    browser.post(PAGE, SSH)
    line = generate_key_pair("").public_line
    Source.objects.update(seen_key=line)
    seen = host_key_of(line)
    assert seen.fingerprint in browser.get(PAGE).text

    wrong = {"do": "confirm", "fingerprint": "SHA256:other"}
    assert browser.post(f"{PAGE}change/", wrong).status_code == 422
    right = {"do": "confirm", "fingerprint": seen.fingerprint}
    assert browser.post(f"{PAGE}change/", right).status_code == 302

    source = Source.objects.get()
    assert (source.host_key, source.confirmed_by) == (line, "olive")
    assert Fetch.objects.get().asked_by == "olive"
    assert Entry.objects.latest("pk").what.startswith("confirmed the source's host key")


def test_host_key_that_changes_while_it_is_confirmed_is_not_pinned(
    browser: Client, testbed: Testbed
):
    browser.post(PAGE, SSH)
    line, other = (generate_key_pair("").public_line for _ in range(2))
    Source.objects.update(seen_key=line)

    def change(execute: Callable[..., object], sql: str, *more: object) -> object:
        if sql.startswith("UPDATE") and "confirmed_by" in sql:
            execute("UPDATE testbed_source SET seen_key = %s", [other], *more[1:])
        return execute(sql, *more)

    form = {"do": "confirm", "fingerprint": host_key_of(line).fingerprint}
    with connection.execute_wrapper(change):
        answer = browser.post(f"{PAGE}change/", form)

    assert answer.status_code == 422
    assert not Source.objects.get().host_key
    assert "confirmed" not in Entry.objects.latest("pk").what


def test_other_server_has_to_confirm_its_host_key(browser: Client, testbed: Testbed):
    browser.post(PAGE, SSH)
    key = generate_key_pair("").public_line
    Source.objects.update(host_key=key, commit="1" * 40, manifest={"a": "1"})

    browser.post(PAGE, {**SSH, "folder": "labs"})
    source = Source.objects.get()
    assert (source.host_key, source.commit, source.manifest) == (key, "", {})

    browser.post(PAGE, {**SSH, "url": "git@other.example.org:a"})
    assert Source.objects.get().host_key == ""


def test_conflict_shows_both_sides_and_is_decided(
    browser: Client,
    fetch_now: FetchNow,
    forge: Forge,
    source: Source,
    django_assert_max_num_queries: DjangoAssertNumQueries,
):
    fetch_now()
    (source.testbed.project.files / "setup.sh").write_text("echo <mine>\n")
    new = {"setup.sh": "echo theirs\n", "README.md": "new\n"}
    forge.commit({"kvm-compose.yaml": YAML, **new})
    conflict = fetch_now()
    address = f"{PAGE}fetches/{conflict.pk}/"

    with django_assert_max_num_queries(15):
        page = browser.get(address).text
    with django_assert_max_num_queries(15):
        assert "Look at both sides" in browser.get(PAGE).text
    lab = browser.get(PAGE.removesuffix("source/")).text
    assert f'<a href="{PAGE}">Look at it</a>' in lab
    assert "To be added: 1" in page
    assert "echo &lt;mine&gt;" in page
    assert "echo theirs" in page

    response = browser.post(f"{address}settle/", {"use": "take"})

    assert response.url == PAGE
    newest = Fetch.objects.first()
    assert (newest.decision, newest.decides) == ("take", conflict)
    assert "Take the repository" not in browser.get(address).text


def test_page_of_a_conflict_reads_no_large_file(
    browser: Client, source: Source, monkeypatch: pytest.MonkeyPatch
):
    with source.testbed.project.file("a.img").open("wb") as file:
        file.truncate(MAX_TEXT_BYTES + 1)
    sides = {"here": "1" * 64, "there": "2" * 64, "text": None, "size": 1}
    row = Fetch.objects.create(
        testbed=source.testbed,
        status="conflict",
        changes={"conflicts": [{"path": "a.img", **sides}]},
    )
    monkeypatch.setattr(editing, "digest_of_file", pytest.fail)

    page = browser.get(f"{PAGE}fetches/{row.pk}/").text

    assert "it is no text, or long" in page


def test_fetch_of_another_testbed_is_not_there(
    browser: Client, source: Source, stranger: User
):
    other = Testbed.objects.create(owner=stranger, slug="tb9", name="x", number=9)
    row = Fetch.objects.create(testbed=other)

    assert browser.get(f"{PAGE}fetches/{row.pk}/").status_code == 404


def signed(secret: str, body: bytes) -> dict[str, str]:
    found = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {GITHUB: f"sha256={found}"}


def pushed(
    headers: Mapping[str, str],
    body: bytes = PUSH,
    hook: str = "hook",
    content_type: str = "application/json",
) -> int:
    """Call the webhook as a forge does: without a session and a form's token."""
    client = Client(enforce_csrf_checks=True)
    answer = client.post(
        f"/hooks/{hook}/", body, content_type=content_type, headers=headers
    )
    return answer.status_code


@pytest.mark.parametrize(
    "header", ["X-Gitea-Signature", "X-Forgejo-Signature", GITHUB, GITLAB]
)
def test_push_of_each_forge_begins_one_fetch(source: Source, header: str):
    signature = signed("secret", PUSH)[GITHUB]
    plain = signature.removeprefix("sha256=")
    value = {GITHUB: signature, GITLAB: "secret"}.get(header, plain)

    assert pushed({header: value}) == 202
    assert pushed({header: value}) == 202

    row = Fetch.objects.get()
    assert (row.asked_by, row.status) == ("", Fetch.Status.WAITING)
    source.refresh_from_db()
    assert source.pushed_at is not None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {GITLAB: ""},
        {GITLAB: "Secret"},
        {GITLAB: "s\u00e9cret"},
        {GITHUB: "sha256="},
        {GITHUB: signed("secret", PUSH + b" ")[GITHUB]},
        signed("other", PUSH),
        {**signed("other", PUSH), GITLAB: "secret"},
    ],
)
def test_push_without_the_secret_is_refused(source: Source, headers: dict[str, str]):
    assert pushed(headers) == 403
    assert not Fetch.objects.exists()


def test_unknown_address_is_answered_as_a_wrong_signature_is(source: Source):
    assert pushed(signed("secret", PUSH), hook="other") == 403


def test_address_with_nul_is_unknown(client: Client, as_postgresql: None):
    assert client.post("/hooks/a%00b/").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"ref": 1}',
        b'{"ref": "refs/heads/other"}',
        b'{"ref": "refs/tags/main"}',
        b'{"zen": "ping"}',
    ],
)
def test_other_event_begins_nothing(source: Source, body: bytes):
    assert pushed(signed("secret", body), body) == 200
    assert not Fetch.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000])
def test_body_that_is_no_json_is_named(source: Source, body: bytes):
    assert pushed(signed("secret", body), body) == 400


def test_form_is_refused_with_what_to_choose(source: Source):
    form = "application/x-www-form-urlencoded"
    assert pushed(signed("secret", PUSH), content_type=form) == 415


def test_client_that_calls_too_often_waits(source: Source, settings: object):
    settings.HOOK_REQUESTS = 2
    client = Client(REMOTE_ADDR="192.0.2.77")

    found = [client.post("/hooks/x/").status_code for _ in range(3)]

    assert found == [403, 403, 429]


def test_call_that_the_page_of_the_documentation_shows_is_genuine():
    page = Path(__file__).parents[3] / "docs" / "sources.md"
    (script,) = re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.M | re.S)
    shown = "curl() { printf '%s\\n' \"$@\"; }\n" + script
    variables = {"address": "https://lab.example.org/hooks/x/", "secret": "s3cret"}
    done = subprocess.run(
        ["sh", "-c", shown],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    words = done.stdout.splitlines()
    headers = dict(word.split(": ", 1) for word in words if ": " in word)
    body = words[words.index("-d") + 1].encode()
    assert is_genuine("s3cret", headers, body)
    assert pushed_branch(body) == "main"
