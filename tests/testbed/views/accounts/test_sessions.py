"""The page of an account's sessions, and how they end."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.access.sessions import hashed, program_of
from testbed.models import Entry, WebSession

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"


def signed_in(address: str = "192.0.2.1", agent: str = FIREFOX) -> Client:
    client = Client(REMOTE_ADDR=address, headers={"User-Agent": agent})
    client.post("/login/", {"username": "olive", "password": "olive-pass"})
    return client


def handle_of(client: Client) -> str:
    return hashed(client.cookies["sessionid"].value)


def test_page_shows_where_and_with_what_a_user_signed_in(owner: User):
    signed_in("192.0.2.7", EDGE)
    page = signed_in().get("/account/").content.decode()

    assert page.index("Firefox on Linux") < page.index("Edge on Windows")
    assert "192.0.2.1" in page
    assert "192.0.2.7" in page
    assert page.count("this one") == 1


def test_page_shows_no_session_of_another_user(owner: User, stranger: User):
    client = Client(REMOTE_ADDR="192.0.2.66")
    client.force_login(stranger)

    assert "192.0.2.66" not in signed_in().get("/account/").content.decode()


def test_session_that_is_ended_is_over(owner: User):
    lost, kept = signed_in("192.0.2.7"), signed_in()

    kept.post("/account/sessions/end/", {"session": handle_of(lost)})

    assert [lost.get("/").status_code, kept.get("/").status_code] == [302, 200]
    last = Entry.objects.filter(act="sign_out").get()
    assert (last.user, last.what) == ("olive", "ended another session")


def test_all_other_sessions_are_ended(owner: User):
    others, kept = [signed_in(), signed_in("192.0.2.7")], signed_in()

    kept.post("/account/sessions/end-others/")

    assert [client.get("/").status_code for client in others] == [302, 302]
    assert kept.get("/").status_code == 200


def test_session_of_another_user_is_not_ended(owner: User, stranger: User):
    client = Client()
    client.force_login(stranger)

    answer = signed_in().post("/account/sessions/end/", {"session": handle_of(client)})

    assert answer.status_code == 404
    assert client.get("/").status_code == 200


@pytest.mark.usefixtures("as_postgresql")
@pytest.mark.parametrize("handle", ["", "\0", "a\0b", "x" * 5_000])
def test_handle_that_is_none_ends_nothing(owner: User, handle: str):
    client, other = signed_in(), signed_in()

    answer = client.post("/account/sessions/end/", {"session": handle})

    assert answer.status_code == 404
    assert other.get("/").status_code == 200


def test_change_of_password_leaves_this_session_alone(owner: User):
    other, this = signed_in(), signed_in()
    words = {"oldpassword": "olive-pass"}
    words |= {"password1": "another-pass-7", "password2": "another-pass-7"}

    answer = this.post("/password/", words)

    assert (answer.status_code, answer["Location"]) == (302, "/account/")
    assert [other.get("/").status_code, this.get("/").status_code] == [302, 200]
    page = this.get("/account/").content.decode()
    assert page.count("Firefox on Linux") == 1
    assert Entry.objects.get(act="password").what == "changed the password"


def test_sessions_go_with_their_user(owner: User):
    signed_in()

    owner.delete()

    assert not WebSession.objects.exists()


def test_program_is_named_in_words():
    agents = (FIREFOX, EDGE, "python-httpx/0.28", "curl/8.1", "", "x" * 400)

    named = [program_of(agent) for agent in agents]

    assert named[:4] == ["Firefox on Linux", "Edge on Windows", "the client", "curl"]
    assert named[4:] == ["", "x" * 60]


def test_hostile_program_is_shown_as_text(owner: User):
    client = signed_in(agent="<script>alert(1)</script>\x1b[31m")

    page = client.get("/account/").content.decode()

    assert "<script>alert" not in page
    assert "\x1b" not in page


@pytest.mark.database
def test_page_takes_few_queries(owner: User, django_assert_max_num_queries):
    client = signed_in()
    for _ in range(8):
        signed_in()

    with django_assert_max_num_queries(8):
        client.get("/account/")


def test_passwords_that_are_guessed_at_the_change_are_counted(owner: User):
    """A session that was taken over is no way to guess the password without limit."""
    client = Client(REMOTE_ADDR="192.0.2.1")
    client.force_login(owner)
    new = {"password1": "another-pass-7", "password2": "another-pass-7"}

    statuses = [
        client.post("/password/", {"oldpassword": f"no-{number}"} | new).status_code
        for number in range(11)
    ]

    assert statuses == [200] * 10 + [429]
