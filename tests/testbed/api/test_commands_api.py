"""Saved commands, images of the catalogue and SSH keys by the API."""

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.models import Entry, SavedCommand, SavedImage, Testbed, UserKey
from testbed.testbeds.saved_commands import MOST_CHARACTERS
from tests.testbed.api.conftest import Ask, asker
from tests.testbed.conftest import ShareWith
from tests.testbed.views.ssh.test_keys import new_line

LAB = "/testbeds/olive/lab"
PING = {"form": "command", "selection": "web", "words": ["ping", "{host}"]}
ON_HOSTS = PING | {"targets": "hosts", "selection": "main"}


def made(user: User, name: str) -> SavedImage:
    """Make a row of an image that was saved to its end."""
    return SavedImage.objects.create(
        owner=user,
        name=name,
        file=f"{name}.img",
        sha256="0" * 64,
        size_bytes=1,
        account="ubuntu",
        has_cloud_init=True,
        origin="lab/web",
    )


def test_command_is_saved_listed_and_deleted(ask: Ask, testbed: Testbed):
    made_one = ask("POST", f"{LAB}/commands", {"name": " ping  it ", "execution": PING})
    (listed,) = ask("GET", f"{LAB}/commands").json()["items"]
    gone = ask("DELETE", f"{LAB}/commands/{listed['id']}")

    assert made_one.json() == listed
    assert (listed["name"], listed["parameters"]) == ("ping it", ["host"])
    assert gone.status_code == 204
    assert not SavedCommand.objects.exists()
    assert [entry.what for entry in Entry.objects.all()[:2]] == [
        "deleted ping it",
        "saved ping it",
    ]


def test_saved_command_runs_with_its_values_alone(ask: Ask, testbed: Testbed):
    number = ask("POST", f"{LAB}/commands", {"name": "x", "execution": PING}).json()[
        "id"
    ]
    place = f"{LAB}/commands/{number}/run"

    without = ask("POST", place, {})
    odd = ask("POST", place, {"values": {"host": "a\0b"}})
    many = ask("POST", place, {"values": {str(n): "x" for n in range(10_000)}})

    assert "host" in without.json()["detail"]
    assert [one.status_code for one in (without, odd, many)] == [422, 422, 422]


def test_command_on_hosts_is_neither_seen_nor_saved_by_an_operator(
    testbed: Testbed, admin: User, share: ShareWith
):
    operator = asker(share(testbed, "operator"), "run", "admin")
    body = {"name": "x", "execution": ON_HOSTS}
    saved = asker(admin, "run", "admin")("POST", f"{LAB}/commands", body)

    assert saved.status_code == 201
    assert operator("GET", f"{LAB}/commands").json() == {"items": []}
    replaced = body | {"execution": PING}
    assert operator("POST", f"{LAB}/commands", replaced).status_code == 403
    number = saved.json()["id"]
    assert operator("DELETE", f"{LAB}/commands/{number}").status_code == 403
    assert operator("POST", f"{LAB}/commands/{number}/run", {}).status_code in (
        403,
        422,
    )
    shared = {"name": "y", "execution": PING, "shared": True}
    assert operator("POST", f"{LAB}/commands", shared).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "execution": PING},
        {"name": "x" * (MOST_CHARACTERS + 1), "execution": PING},
        {"name": "x\0", "execution": PING},
        {"name": "x", "execution": {}},
        {"name": "x", "execution": []},
        {"name": "x", "execution": PING | {"words": ["a\0"]}},
        {"name": "x", "execution": PING | {"conditions": {"timeout_s": 10**40}}},
    ],
)
def test_command_that_cannot_be_saved_is_refused(
    ask: Ask, testbed: Testbed, body: dict[str, object]
):
    assert ask("POST", f"{LAB}/commands", body).status_code == 422
    assert not SavedCommand.objects.exists()


def test_command_of_another_testbed_is_not_run(
    ask: Ask, testbed: Testbed, stranger: User
):
    other = Testbed.objects.create(owner=stranger, slug="tb9", name="own", number=9)
    row = SavedCommand.objects.create(
        testbed=other, name="x", execution=PING, saved_by=stranger
    )

    assert ask("POST", f"{LAB}/commands/{row.pk}/run", {}).status_code == 404
    assert ask("DELETE", f"{LAB}/commands/{row.pk}").status_code == 404
    assert SavedCommand.objects.exists()


def test_images_of_others_are_neither_listed_nor_deleted(
    ask: Ask, owner: User, stranger: User, admin: User, testbed: Testbed
):
    mine, theirs = made(owner, "mine"), made(stranger, "theirs")

    names = [one["name"] for one in ask("GET", "/images").json()["items"]]
    asked = ask("DELETE", f"/images/{mine.pk}")
    token = asked.json()["erases"]["confirm"]

    assert names == ["mine"]
    assert ask("DELETE", f"/images/{theirs.pk}").status_code == 404
    assert ask("DELETE", f"/images/{mine.pk}?confirm={token}").status_code == 204
    # An admin's token without the scope is as a user's.
    limited = asker(admin, "manage")
    assert limited("DELETE", f"/images/{theirs.pk}").status_code == 404
    assert list(SavedImage.objects.kept()) == [theirs]


def test_image_in_use_is_deleted_by_a_token_that_administers_alone(
    admin: User, testbed: Testbed
):
    image = made(admin, "mine")
    Testbed.objects.update(owner=admin)
    yaml = testbed.project.yaml.read_text().replace("ubuntu_22_04", "mine")
    testbed.project.yaml.write_text(yaml)

    limited = asker(admin, "manage")("DELETE", f"/images/{image.pk}")
    whole = asker(admin, "manage", "admin")("DELETE", f"/images/{image.pk}")

    assert limited.status_code == 422
    assert "is used by" in limited.json()["detail"]
    assert whole.status_code == 428
    assert whole.json()["erases"]["must_type"] == "mine"


def test_image_is_shared_by_lab_admins_alone(ask: Ask, owner: User, admin: User):
    mine = made(owner, "mine")
    body, place = {"shared": True}, f"/images/{mine.pk}/shared"

    assert ask("PUT", place, body).status_code == 403
    assert asker(admin, "manage")("PUT", place, body).status_code == 403
    assert asker(admin, "admin")("PUT", place, body).json()["shared"] is True


def test_key_is_added_once_and_removed(ask: Ask, owner: User):
    line = new_line()
    added = ask("POST", "/ssh-keys", {"key": line})

    again = ask("POST", "/ssh-keys", {"key": line})
    (listed,) = ask("GET", "/ssh-keys").json()["items"]

    assert (added.status_code, again.status_code) == (201, 422)
    assert added.json() == listed
    assert listed["name"] == "olive@laptop"
    assert ask("DELETE", f"/ssh-keys/{listed['id']}").status_code == 204
    assert not UserKey.objects.exists()


def test_key_of_another_user_is_not_removed(ask: Ask, stranger: User):
    asker(stranger, "manage")("POST", "/ssh-keys", {"key": new_line()})
    row = UserKey.objects.get()

    assert ask("DELETE", f"/ssh-keys/{row.pk}").status_code == 404
    assert ask("DELETE", f"/ssh-keys/{10**40}").status_code == 404
    assert ask("GET", "/ssh-keys").json() == {"items": []}
    assert UserKey.objects.exists()


def test_private_key_is_not_repeated_in_the_refusal(ask: Ask):
    secret = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n"

    answer = ask("POST", "/ssh-keys", {"key": secret})

    assert answer.status_code == 422
    assert "c2VjcmV0" not in answer.content.decode()


def test_session_adds_no_key_without_the_password(owner: User):
    client = Client()
    client.force_login(owner)
    body = json.dumps({"key": new_line()})

    answer = client.post("/api/v1/ssh-keys", body, content_type="application/json")

    assert answer.status_code == 403
    assert "password" in answer.json()["detail"]
    assert not UserKey.objects.exists()
