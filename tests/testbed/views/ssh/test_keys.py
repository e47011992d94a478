"""The account page of SSH keys."""

import logging

import pytest
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from django.contrib.auth.models import User
from django.test import Client

from orchestration.project.keys import fingerprint, generate_key_pair
from testbed.models import UserKey
from testbed.ssh.keys import MOST_KEYS, add_key, lines_of


def signed_in(user: User) -> Client:
    """Return a browser whose user gave the password once more."""
    client = Client()
    client.force_login(user)
    client.post("/account/confirm/", {"password": f"{user.username}-pass"})
    return client


def new_line(comment: str = "olive@laptop") -> str:
    return generate_key_pair(comment).public_line


def test_key_is_added_and_shown_with_its_fingerprint(owner: User):
    client, line = signed_in(owner), new_line()

    answer = client.post("/ssh-keys/", {"key": line, "name": ""}, follow=True)

    page = answer.content.decode()
    assert answer.status_code == 200
    assert fingerprint(line) in page
    assert "Ed25519, 256 bits" in page
    assert UserKey.objects.get().name == "olive@laptop"


def test_private_key_is_neither_stored_nor_shown_nor_logged(
    owner: User, caplog: pytest.LogCaptureFixture
):
    client, private = Client(), generate_key_pair("").private_openssh.decode()
    client.force_login(owner)

    with caplog.at_level(logging.DEBUG):
        answer = client.post("/ssh-keys/", {"key": private, "name": "mine"})

    page, body = answer.content.decode(), private.splitlines()[2]
    assert answer.status_code == 422
    assert "private key" in page
    assert 'value="mine"' in page
    assert body not in page
    assert body not in caplog.text
    assert not UserKey.objects.exists()


def test_session_alone_adds_no_key(owner: User):
    client, line = Client(), new_line()
    client.force_login(owner)

    asked = client.post("/ssh-keys/", {"key": line, "name": "laptop"})
    before = UserKey.objects.count()
    answer = client.post(asked["Location"], {"password": "olive-pass"}, follow=True)

    assert asked["Location"].startswith("/account/confirm/")
    assert before == 0
    assert [row.name for row in UserKey.objects.all()] == ["laptop"]
    assert "The key laptop was added." in answer.content.decode()


def test_private_key_does_not_wait_in_the_session(owner: User):
    client, private = Client(), generate_key_pair("").private_openssh.decode()
    client.force_login(owner)

    client.post("/ssh-keys/", {"key": private, "name": "mine"})

    assert "request" not in client.session.get(STATE_SESSION_KEY, {})


def test_same_key_is_added_once(owner: User):
    client, line = signed_in(owner), new_line()

    statuses = [client.post("/ssh-keys/", {"key": line}).status_code for _ in "ab"]

    assert statuses == [302, 422]
    assert UserKey.objects.count() == 1


def test_number_of_keys_is_bounded(owner: User):
    client = signed_in(owner)
    for number in range(MOST_KEYS):
        add_key(owner, str(number), new_line())

    answer = client.post("/ssh-keys/", {"key": new_line()})

    assert answer.status_code == 422
    assert UserKey.objects.count() == MOST_KEYS


def test_stranger_cannot_remove_a_key(owner: User, stranger: User, admin: User):
    row = add_key(owner, "laptop", new_line())
    client = Client()

    for user in (stranger, admin):
        client.force_login(user)
        assert client.post("/ssh-keys/remove/", {"key": row.pk}).status_code == 404

    client.force_login(owner)
    assert client.post("/ssh-keys/remove/", {"key": row.pk}).status_code == 302
    assert not UserKey.objects.exists()


def test_another_users_keys_are_not_shown(owner: User, admin: User):
    row = add_key(owner, "laptop", new_line())
    client = Client()
    client.force_login(admin)

    page = client.get("/ssh-keys/").content.decode()

    assert row.fingerprint not in page


def test_line_for_guests_has_plain_letters_only(owner: User):
    line = new_line("")

    row = add_key(owner, "my key'; reboot", line)

    assert lines_of([row]) == (f"{line} olive:my_key_reboot",)


def test_add_and_removal_are_acts_in_the_log(
    owner: User, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        row = add_key(owner, "laptop", new_line())

    assert (
        f"act ssh_keys by olive on key {row.name}: added {row.fingerprint}"
        in caplog.text
    )
