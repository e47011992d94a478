"""A source, its host key and conflicts, and small acts of pages, by the API."""

import io
import zipfile

import pytest
from django.contrib.auth.models import User

from orchestration.project.keys import generate_key_pair
from orchestration.transport.ssh.first_contact import host_key_of
from testbed.models import (
    ApiToken,
    Delivery,
    Entry,
    Fetch,
    Invitation,
    Notification,
    Source,
    Testbed,
)
from testbed.models.notifications.choices import Kind
from tests.testbed.answer_rows import answer, end, execution
from tests.testbed.api.conftest import ALL, Ask, asker
from tests.testbed.conftest import YAML

LAB = "/testbeds/olive/lab"
SSH = {"url": "git@git.example.org:lab/testbed.git"}
SIDES = [
    {"path": "a.sh", "here": "1" * 64, "there": "2" * 64, "text": "b\n", "size": 2}
]


@pytest.fixture
def source(ask: Ask, testbed: Testbed) -> Source:
    assert ask("PUT", f"{LAB}/source", SSH).status_code == 201
    return Source.objects.get()


def test_host_key_is_confirmed_by_its_fingerprint_and_forgotten(
    ask: Ask, source: Source
):
    line = generate_key_pair("").public_line
    Source.objects.update(seen_key=line)
    shown = ask("GET", f"{LAB}/source").json()

    wrong = ask("PUT", f"{LAB}/source/host-key", {"fingerprint": "SHA256:other"})
    right = ask("PUT", f"{LAB}/source/host-key", {"fingerprint": shown["host_key"]})
    again = ask("PUT", f"{LAB}/source/host-key", {"fingerprint": shown["host_key"]})

    assert shown["host_key"] == host_key_of(line).fingerprint
    assert not shown["host_key_confirmed"]
    assert [one.status_code for one in (wrong, right, again)] == [422, 202, 409]
    assert right.json()["id"] == Fetch.objects.get().pk
    assert Source.objects.get().host_key == line
    forgotten = ask("DELETE", f"{LAB}/source/host-key").json()
    assert (forgotten["host_key"], forgotten["host_key_confirmed"]) == ("", False)
    said = Entry.objects.filter(act="set_source").values_list("what", flat=True)
    assert "forgot the source's host key" in said


def test_another_secret_ends_the_former_one(ask: Ask, source: Source):
    renewed = ask("POST", f"{LAB}/source/secret").json()["secret"]

    assert renewed != source.secret
    assert Source.objects.get().secret == renewed
    assert ask("GET", f"{LAB}/source").json()["secret"] is None


def test_conflict_is_shown_with_its_sides_and_decided_once(ask: Ask, source: Source):
    row = Fetch.objects.create(
        testbed=source.testbed, status="conflict", changes={"conflicts": SIDES}
    )
    place = f"{LAB}/source/fetches/{row.pk}"

    shown = ask("GET", place).json()
    wrong = ask("POST", f"{place}/decide", {"use": "both"})
    decided = ask("POST", f"{place}/decide", {"use": "keep"})
    again = ask("POST", f"{place}/decide", {"use": "take"})

    assert shown["sides"] == [
        {"path": "a.sh", "here": "1" * 64, "there": "2" * 64, "text": "b\n"}
    ]
    assert [one.status_code for one in (wrong, decided, again)] == [422, 202, 409]
    newest = Fetch.objects.get(pk=decided.json()["id"])
    assert (newest.decision, newest.decides, newest.asked_by) == ("keep", row, "olive")


def test_fetch_of_another_testbed_is_not_there(
    ask: Ask, source: Source, stranger: User
):
    other = Testbed.objects.create(owner=stranger, slug="tb9", name="x", number=9)
    row = Fetch.objects.create(testbed=other, status="conflict")
    place = f"{LAB}/source/fetches/{row.pk}"

    assert ask("GET", place).status_code == 404
    assert ask("POST", f"{place}/decide", {"use": "keep"}).status_code == 404


def test_own_delivery_alone_is_sent_again_to_the_webhook(
    ask: Ask, owner: User, stranger: User
):
    secret = ask("PUT", "/notifications/webhook", {"url": "https://a.example/x"})
    rows = [
        Delivery.objects.create(
            notification=Notification.objects.create(user=user, kind=Kind.TEST),
            channel="webhook",
            status="failed",
        )
        for user in (owner, stranger)
    ]

    mine, theirs = (ask("POST", f"/deliveries/{row.pk}/send") for row in rows)
    again = ask("POST", f"/deliveries/{rows[0].pk}/send")

    assert secret.json()["secret"].startswith("whsec_")
    assert ask("GET", "/notifications/webhook").json()["secret"] is None
    assert [one.status_code for one in (mine, theirs, again)] == [202, 404, 422]
    assert mine.json()["status"] == "waiting"
    assert ask("DELETE", "/notifications/webhook").status_code == 204
    assert ask("GET", "/notifications/webhook").json()["url"] == ""


def test_address_that_is_none_is_refused_as_a_webhook(ask: Ask):
    answer = ask("PUT", "/notifications/webhook", {"url": "ftp://a.example"})

    assert answer.status_code == 422


def test_token_revokes_itself_and_none_of_others(owner: User, stranger: User):
    ask = asker(owner, *ALL)
    asker(stranger, *ALL)
    mine, theirs = ApiToken.objects.get(user=owner), ApiToken.objects.get(user=stranger)

    listed = ask("GET", "/tokens").json()["items"]

    assert [one["id"] for one in listed] == [mine.pk]
    assert ask("DELETE", f"/tokens/{theirs.pk}").status_code == 404
    assert ask("DELETE", f"/tokens/{mine.pk}").status_code == 204
    assert ask("GET", "/tokens").status_code == 401


def test_link_of_an_invitation_is_sent_once_and_withdrawn(admin: User):
    boss = asker(admin, "admin")

    made = boss("POST", "/invitations", {"email": "new@example.org"})
    bad = boss("POST", "/invitations", {"email": "nobody"})
    listed = boss("GET", "/invitations").json()["items"]

    assert made.json()["link"].startswith("http://testserver/invitations/")
    assert bad.status_code == 422
    assert [(one["email"], one["link"]) for one in listed] == [
        ("new@example.org", None)
    ]
    place = f"/invitations/{made.json()['id']}"
    assert [boss("DELETE", place).status_code for _ in range(2)] == [204, 404]
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("place", ["", LAB])
def test_yaml_is_checked_and_not_saved(ask: Ask, testbed: Testbed, place: str):
    good = ask("POST", f"{place}/check", {"yaml": YAML})
    bad = ask("POST", f"{place}/check", {"yaml": "machines: 5\n\ud800"})

    assert not [one for one in good.json()["items"] if one["severity"] == "error"]
    assert bad.json()["items"][0]["line"] >= 1
    assert testbed.project.yaml.read_text() == YAML


def test_trash_is_emptied_with_its_token(ask: Ask, testbed: Testbed):
    testbed.project.file("a.sh").write_text("echo")
    assert ask("DELETE", f"{LAB}/files/a.sh").status_code in (200, 204)

    asked = ask("DELETE", "/trash")
    token = asked.json()["erases"]["confirm"]

    assert asked.status_code == 428
    assert ask("DELETE", f"/trash?confirm={token}").json() == {"removed": 1}


def test_outputs_of_guests_are_archived_and_compared(
    ask: Ask, testbed: Testbed, owner: User
):
    run = execution(testbed, owner, ("web", "db"))
    answer(run, "web", "Linux")
    answer(run, "db", "Hurd")
    end(run)
    place = f"/runs/{run.pk}"

    archive = zipfile.ZipFile(io.BytesIO(ask("GET", f"{place}/answers.zip").content))
    compared = ask("GET", f"{place}/difference?of=web&with_guest=db").json()
    missing = ask("GET", f"{place}/difference?of=web&with_guest=nine")

    assert f"lab-answers-{run.pk}/web.txt" in archive.namelist()
    assert {"kind": "removed", "text": "-Linux"} in compared["lines"]
    assert {"kind": "added", "text": "+Hurd"} in compared["lines"]
    assert missing.status_code == 422
