"""Sign-in with an LDAP directory, against a real slapd."""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import ldap
import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client

from testbed.access import logins
from testbed.accounts.directory import accounts as directory_accounts
from testbed.accounts.directory.accounts import read
from testbed.accounts.directory.checks import check_directory
from testbed.accounts.directory.line import NAME
from testbed.environment import Directory, env_directory
from testbed.models import DirectoryEntry, Entry, LoginCount, Testbed
from testbed.sharing.shares import share_with
from tests.testbed.directory_server import (
    COURSE,
    GROUPS,
    LAB,
    LAB_ADMINS,
    PEOPLE,
    READER,
    READER_PASSWORD,
    SLAPD,
    Server,
    directory_server,
    dn,
    make_certificates,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not SLAPD.exists(), reason="needs Debian's package slapd"),
]
DOCS = Path(__file__).resolve().parents[4] / "docs" / "sign-in.md"
BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "testbed.accounts.directory.backend.DirectoryBackend",
]
NO_MATCH = b"do not belong together. Check capitals and small letters."
SignIn = Callable[..., object]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server, for all tests of this file: each adds users of its own."""
    with directory_server(tmp_path_factory.mktemp("slapd")) as server:
        yield server


@pytest.fixture
def rule(running: Server) -> Directory:
    """The settings for the server, with StartTLS."""
    return Directory(
        name="Uni",
        urls=(running.plain,),
        ca_file=running.ca_file,
        bind_dn=READER,
        bind_password=READER_PASSWORD,
        base=PEOPLE,
        group=LAB,
        timeout_s=2,
    )


@pytest.fixture
def lab(rule: Directory, settings: object) -> object:
    """This product's settings, with the directory."""
    settings.DIRECTORY = rule
    settings.AUTHENTICATION_BACKENDS = BACKENDS
    return settings


@pytest.fixture
def server(running: Server, lab: object) -> Iterator[Server]:
    """The server with `nina` alone, who may use the lab."""
    running.add("nina", "nina-pass", givenName="Nina")
    yield running
    for name in ("nina", "ada", "olive", "mallory"):
        for group in (LAB, LAB_ADMINS, COURSE):
            with suppress(ldap.NO_SUCH_ATTRIBUTE):
                running.change(group, ldap.MOD_DELETE, "member", dn(name))
        with suppress(ldap.NO_SUCH_OBJECT):
            running.remove(name)


def sign_in(name: str, password: str, client: Client | None = None, **more: str):
    words = {"username": name, "password": password, **more}
    return (client or Client()).post("/login/", words)


def test_user_gets_an_account_at_the_first_sign_in(server: Server):
    client = Client()

    answers = [sign_in("nina", "nina-pass", client), sign_in("nina", "nina-pass")]

    assert [answer.status_code for answer in answers] == [302, 302]
    assert client.get("/account/").status_code == 200
    nina = User.objects.get()
    assert (nina.username, nina.email) == ("nina", "nina@uni.example")
    assert (nina.first_name, nina.last_name) == ("Nina", "N")
    assert (nina.is_superuser, nina.check_password("nina-pass")) == (False, False)
    whats = list(Entry.objects.order_by("pk").values_list("what", flat=True))
    assert whats == ["got an account by Uni", "signed in", "signed in"]


def test_names_are_one_whatever_their_case(server: Server):
    for name in ("NINA", "Nina", "\uff4eina", " nina "):
        assert sign_in(name, "nina-pass").status_code == 302

    assert [user.username for user in User.objects.all()] == ["nina"]


@pytest.mark.parametrize(
    "name", ["*", "n*", "nina)(uid=*", "*)(uid=*", "nina)(|(uid=*", "nina\\2a", "nína"]
)
def test_name_is_no_part_of_the_filter(server: Server, name: str):
    answer = sign_in(name, "nina-pass")

    assert (answer.status_code, NO_MATCH in answer.content) == (200, True)
    assert not User.objects.exists()


def test_empty_password_signs_nobody_in(server: Server, lab: object):
    lab.DIRECTORY = lab.DIRECTORY._replace(bind_dn="", bind_password="")

    assert sign_in("nina", "").status_code == 200
    assert Client().login(username="nina", password="") is False
    assert not User.objects.exists()


def test_account_with_a_password_here_is_never_asked_for_there(
    server: Server, owner: User
):
    server.add("olive", "from-there")

    assert NO_MATCH in sign_in("olive", "from-there").content
    assert NO_MATCH in sign_in("OLIVE", "from-there").content
    assert sign_in("olive", "olive-pass").status_code == 302
    assert not DirectoryEntry.objects.exists()


def test_account_with_a_password_here_counts_beside_one_without(server: Server):
    for name, password in (("NINA", None), ("Nina", "from-here")):
        User.objects.create_user(name, password=password)

    assert NO_MATCH in sign_in("nina", "nina-pass").content
    assert sign_in("Nina", "from-here").status_code == 302


def test_account_without_any_password_is_not_taken_over(server: Server):
    User.objects.create_user("Nina").set_unusable_password()

    answer = sign_in("nina", "nina-pass")

    assert answer.status_code == 403
    assert b"There is already an account nina here" in answer.content
    assert not DirectoryEntry.objects.exists()


def test_user_who_got_a_name_again_is_another_one(server: Server):
    sign_in("nina", "nina-pass")
    server.remove("nina")
    server.change(LAB, ldap.MOD_DELETE, "member", dn("nina"))
    server.add("nina", "another-pass")

    answer = sign_in("nina", "another-pass")

    assert answer.status_code == 403
    assert b"already an account nina here, of another user" in answer.content
    assert User.objects.count() == 1


def test_user_with_a_new_name_keeps_the_account(server: Server):
    sign_in("nina", "nina-pass")
    server._bound().rename_s(dn("nina"), "uid=ada")
    server.change(LAB, ldap.MOD_ADD, "member", dn("ada"))

    assert sign_in("ada", "nina-pass").status_code == 302
    assert [user.username for user in User.objects.all()] == ["nina"]


def test_account_given_a_password_here_asks_the_directory_no_more(server: Server):
    sign_in("nina", "nina-pass")
    nina = User.objects.get()
    nina.set_password("from-here")
    nina.save()

    assert sign_in("nina", "nina-pass").status_code == 200
    assert sign_in("nina", "from-here").status_code == 302


def test_user_who_lost_the_group_loses_the_account_until_it_is_back(server: Server):
    client = Client()
    sign_in("nina", "nina-pass", client)
    server.change(LAB, ldap.MOD_DELETE, "member", dn("nina"))

    refused = sign_in("nina", "nina-pass")

    assert refused.status_code == 403
    assert b"nina is not in the group of Uni that may" in refused.content
    assert client.get("/account/").status_code == 302
    assert not User.objects.get().is_active
    server.change(LAB, ldap.MOD_ADD, "member", dn("nina"))
    assert sign_in("nina", "nina-pass").status_code == 302
    assert User.objects.get().is_active


def test_user_who_lost_the_group_is_found_without_a_sign_in(server: Server):
    client = Client()
    sign_in("nina", "nina-pass", client)
    check_directory()
    assert client.get("/account/").status_code == 200

    server.change(LAB, ldap.MOD_DELETE, "member", dn("nina"))
    check_directory()

    assert client.get("/account/").status_code == 302
    said = Entry.objects.filter(user="nina").latest("pk").what
    assert said == "was deactivated: left the group, by Uni"
    server.change(LAB, ldap.MOD_ADD, "member", dn("nina"))
    assert sign_in("nina", "nina-pass").status_code == 302


def test_user_who_left_the_directory_is_found(server: Server, owner: User):
    sign_in("nina", "nina-pass")
    server.remove("nina")

    check_directory()

    active = User.objects.filter(is_active=True)
    assert [user.username for user in active] == ["olive"]


def test_check_gives_and_takes_the_right_of_a_lab_admin(server: Server, lab: object):
    sign_in("nina", "nina-pass")
    lab.DIRECTORY = lab.DIRECTORY._replace(admin_group=LAB_ADMINS)
    server.change(LAB_ADMINS, ldap.MOD_ADD, "member", dn("nina"))

    check_directory()
    made = User.objects.get().is_superuser
    server.change(LAB_ADMINS, ldap.MOD_DELETE, "member", dn("nina"))
    check_directory()

    assert (made, User.objects.get().is_superuser) == (True, False)


def test_group_of_the_directory_decides_a_group_here(server: Server, lab: object):
    lab.DIRECTORY = lab.DIRECTORY._replace(groups=(("networks", COURSE),))
    other = User.objects.create_user("zoe")
    sign_in("nina", "nina-pass")
    before = Group.objects.exists()
    server.change(COURSE, ldap.MOD_ADD, "member", dn("nina"))

    sign_in("nina", "nina-pass")
    group = Group.objects.get()
    group.user_set.add(other)
    joined = members(group)
    server.change(COURSE, ldap.MOD_DELETE, "member", dn("nina"))
    check_directory()

    assert (before, group.name) == (False, "networks")
    assert joined == ["nina", "zoe"]
    assert members(group) == ["zoe"]  # no user of the directory
    acts = Entry.objects.filter(act="groups", user="nina").order_by("pk")
    said = [entry.what for entry in acts]
    assert said == ["made it, by Uni", "joined it, by Uni", "left it, by Uni"]


@pytest.mark.parametrize("there", ["none", "one of two", "admins"])
def test_group_that_the_directory_does_not_have_decides_nothing(
    server: Server, lab: object, caplog: pytest.LogCaptureFixture, there: str
):
    gone = f"cn=coarse,{GROUPS}"
    lab.DIRECTORY = lab.DIRECTORY._replace(
        groups=(("networks", COURSE),), admin_group=LAB_ADMINS
    )
    for group in (COURSE, LAB_ADMINS):
        server.change(group, ldap.MOD_ADD, "member", dn("nina"))
    sign_in("nina", "nina-pass")
    server.change(COURSE, ldap.MOD_DELETE, "member", dn("nina"))
    wrong = {
        "none": {"groups": (("networks", gone),)},
        "one of two": {"groups": (("networks", gone), ("networks", COURSE))},
        "admins": {"groups": (), "admin_group": gone},
    }[there]
    lab.DIRECTORY = lab.DIRECTORY._replace(**wrong)

    check_directory()

    assert members(Group.objects.get()) == ["nina"]
    assert User.objects.get().is_superuser
    assert f"The directory has no group {gone}." in caplog.text


def members(group: Group) -> list[str]:
    names = group.user_set.order_by("username")
    return list(names.values_list("username", flat=True))


def test_check_adds_to_groups_and_directory_that_is_away_removes_from_none(
    server: Server, lab: object
):
    sign_in("nina", "nina-pass")
    lab.DIRECTORY = lab.DIRECTORY._replace(groups=(("networks", COURSE),))
    server.change(COURSE, ldap.MOD_ADD, "member", dn("nina"))
    check_directory()
    lab.DIRECTORY = lab.DIRECTORY._replace(urls=("ldap://127.0.0.1:1",))

    check_directory()

    assert members(Group.objects.get()) == ["nina"]


def test_user_who_leaves_a_group_of_the_directory_loses_what_is_shared_with_it(
    server: Server, lab: object, testbed: Testbed
):
    lab.DIRECTORY = lab.DIRECTORY._replace(groups=(("networks", COURSE),))
    server.change(COURSE, ldap.MOD_ADD, "member", dn("nina"))
    client = Client()
    sign_in("nina", "nina-pass", client)
    group = Group.objects.get()
    share_with(testbed, group, "viewer", testbed.owner)
    seen = client.get("/testbeds/olive/lab/").status_code
    server.change(COURSE, ldap.MOD_DELETE, "member", dn("nina"))

    check_directory()

    assert (seen, client.get("/testbeds/olive/lab/").status_code) == (200, 404)


def test_directory_that_is_away_deactivates_nobody(server: Server, lab: object):
    sign_in("nina", "nina-pass")
    for change in ({"urls": ("ldap://127.0.0.1:1",)}, {"bind_password": "wrong"}):
        lab.DIRECTORY = lab.DIRECTORY._replace(**change)
        check_directory()

    assert User.objects.get().is_active


def test_directory_that_shows_none_of_its_users_deactivates_nobody(
    server: Server, lab: object, caplog: pytest.LogCaptureFixture
):
    for name in ("nina", "ada", "mallory"):
        if name != "nina":
            server.add(name, "pass-7")
        sign_in(name, "nina-pass" if name == "nina" else "pass-7")
    lab.DIRECTORY = lab.DIRECTORY._replace(filter="(objectClass=device)")

    check_directory()

    assert User.objects.filter(is_active=True).count() == 3
    assert "shows none of 3 users" in caplog.text


def test_those_not_looked_at_longest_are_first(server: Server):
    sign_in("nina", "nina-pass")
    check_directory()
    first = DirectoryEntry.objects.get().checked_at
    check_directory()

    assert first < DirectoryEntry.objects.get().checked_at


def test_account_that_a_lab_admin_deactivated_stays_so(server: Server):
    client = Client()
    sign_in("nina", "nina-pass", client)
    User.objects.update(is_active=False)

    answer = sign_in("nina", "nina-pass")

    assert client.get("/account/").status_code == 302
    assert b"This account is deactivated" in answer.content
    assert not User.objects.get().is_active


def test_stranger_without_the_group_gets_no_account(server: Server):
    server.change(LAB, ldap.MOD_DELETE, "member", dn("nina"))

    assert sign_in("nina", "nina-pass").status_code == 403
    assert not User.objects.exists()


def test_wrong_password_tells_nothing_of_the_group(server: Server):
    server.change(LAB, ldap.MOD_DELETE, "member", dn("nina"))

    assert NO_MATCH in sign_in("nina", "wrong").content


def test_group_makes_lab_admins_and_takes_it_back(server: Server, lab: object):
    lab.DIRECTORY = lab.DIRECTORY._replace(admin_group=LAB_ADMINS)
    server.change(LAB_ADMINS, ldap.MOD_ADD, "member", dn("nina"))
    sign_in("nina", "nina-pass")
    assert User.objects.get().is_superuser

    server.change(LAB_ADMINS, ldap.MOD_DELETE, "member", dn("nina"))
    sign_in("nina", "nina-pass")

    assert not User.objects.get().is_superuser


def test_group_of_unix_names_its_members(server: Server, lab: object):
    group = f"cn=unix,{GROUPS}"
    numbers = {"gidNumber": "7", "cn": "unix"}
    server.put(group, objectClass="posixGroup", memberUid="ada", **numbers)
    lab.DIRECTORY = lab.DIRECTORY._replace(group=group, member_attribute="memberUid")

    before = sign_in("nina", "nina-pass").status_code
    server.change(group, ldap.MOD_ADD, "memberUid", "nina")

    assert (before, sign_in("nina", "nina-pass").status_code) == (403, 302)


def test_group_that_is_not_there_lets_nobody_in(server: Server, lab: object):
    lab.DIRECTORY = lab.DIRECTORY._replace(group=f"cn=gone,{PEOPLE}")

    assert sign_in("nina", "nina-pass").status_code == 403


def test_lab_admin_of_the_directory_needs_a_second_factor_where_that_is_set(
    server: Server, lab: object
):
    lab.DIRECTORY = lab.DIRECTORY._replace(admin_group=LAB_ADMINS)
    lab.ADMINS_NEED_SECOND_FACTOR = True
    server.change(LAB_ADMINS, ldap.MOD_ADD, "member", dn("nina"))
    client = Client()

    sign_in("nina", "nina-pass", client)

    assert client.get("/")["Location"] == "/account/"
    assert b"Set up an authenticator app" in client.get("/account/").content


def test_password_of_the_directory_confirms_a_change(server: Server):
    client = Client()
    sign_in("nina", "nina-pass", client)
    asked = client.post("/tokens/", {"name": "mine"})

    wrong = client.post(asked["Location"], {"password": "wrong"})
    right = client.post(asked["Location"], {"password": "nina-pass"})

    assert asked["Location"].startswith("/account/confirm/")
    assert (wrong.status_code, right.status_code) == (200, 200)
    assert b"API tokens" in right.content


def test_pages_say_whose_the_password_is(server: Server):
    client = Client()
    sign_in("nina", "nina-pass", client)

    page = client.get("/password/", follow=True)
    new = {"password1": "Another-pass-7", "password2": "Another-pass-7"}
    client.post("/password/", {"oldpassword": "nina-pass", **new})

    assert b"Your password is that of Uni" in page.content
    assert b"Your password is that of Uni" in client.get("/account/").content
    assert b"Change password" not in client.get("/account/").content
    assert not User.objects.get().check_password("Another-pass-7")


def test_no_link_for_a_new_password_is_mailed(server: Server, mails: list[str]):
    sign_in("nina", "nina-pass")

    Client().post("/password/reset/", {"email": "nina@uni.example"})

    assert mails == []


def test_address_of_another_account_is_not_taken(server: Server, owner: User):
    User.objects.filter(pk=owner.pk).update(email="NINA@uni.example")

    sign_in("nina", "nina-pass")

    assert User.objects.get(username="nina").email == ""


def test_wrong_passwords_are_limited_whatever_the_case(server: Server):
    names = ("nina", "Nina", "NINA", "nINA")
    for number in range(200):
        answer = sign_in(names[number % 4], "wrong")

    assert answer.status_code == 429
    asked = Entry.objects.filter(user__iexact="nina", what="could not sign in").count()
    assert asked == logins.PER_ACCOUNT_AND_ADDRESS
    assert sign_in("nina", "nina-pass").status_code == 429


def test_right_password_takes_its_attempt_back(server: Server):
    sign_in("nina", "wrong")
    sign_in("Nina", "nina-pass")

    assert not LoginCount.objects.filter(subject="account nina").exists()


@pytest.mark.django_db(transaction=True)
def test_two_first_sign_ins_at_once_make_one_account(server: Server):
    start = threading.Barrier(4)

    def work(_: int) -> int:
        start.wait(60)
        try:
            return int(sign_in("nina", "nina-pass").status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(work, range(4)))

    assert codes == [302] * 4
    assert [user.username for user in User.objects.all()] == ["nina"]
    assert DirectoryEntry.objects.count() == 1


def test_account_that_another_sign_in_made_meanwhile_is_taken(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    """This one looked for the account before the other one had made it."""
    sign_in("nina", "nina-pass")
    found = directory_accounts._row
    answers = iter([None, None])
    monkeypatch.setattr(
        directory_accounts, "_row", lambda entry: next(answers, found(entry))
    )

    assert sign_in("nina", "nina-pass").status_code == 302
    assert User.objects.count() == 1


def test_directory_is_asked_alike_whatever_accounts_there_are(
    server: Server, owner: User, caplog: pytest.LogCaptureFixture
):
    """Else the time of the answer would tell which names have a password here."""
    caplog.set_level(logging.DEBUG, "django_auth_ldap")
    asked = []
    for name in ("olive", "no-such-user"):
        caplog.clear()
        sign_in(name, "wrong")
        asked.append(caplog.text.count("Invoking search_s"))

    assert asked == [1, 1]


def test_ldaps_is_as_good_as_starttls(server: Server, lab: object):
    lab.DIRECTORY = lab.DIRECTORY._replace(urls=(server.tls,))

    assert sign_in("nina", "nina-pass").status_code == 302


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_server_of_another_authority_is_not_believed(
    server: Server, lab: object, kind: str, tmp_path: Path
):
    make_certificates(tmp_path)
    url, ca_file = getattr(server, kind), str(tmp_path / "ca.pem")
    lab.DIRECTORY = lab.DIRECTORY._replace(urls=(url,), ca_file=ca_file)

    answer = sign_in("nina", "nina-pass")

    assert answer.status_code == 403
    assert b"Signing in with Uni does not work just now" in answer.content
    assert not User.objects.exists()


def test_server_of_another_name_is_not_believed(server: Server, lab: object):
    url = server.plain.replace("127.0.0.1", "localhost")
    lab.DIRECTORY = lab.DIRECTORY._replace(urls=(url,))

    assert b"does not work just now" in sign_in("nina", "nina-pass").content


@pytest.mark.parametrize(
    "answers",
    [
        ["300c020101780735010004000400"],  # of no known form
        ["300c02010178070a010004000400", ""],  # then TLS never begins
        ["300c02010178070a0100040004003000"],  # bytes before TLS
        ["30840000001002010178840000000734"],  # as long as Active Directory writes
        ["30"],
        [""],
    ],
)
def test_server_that_breaks_off_starttls_ends_the_attempt(
    lab: object, settings: object, answers: list[str]
):
    gone, closed = threading.Event(), threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        for text in answers:
            connection.sendall(bytes.fromhex(text))
        gone.wait(60)
        closed.set()

    with listener(answer) as url:
        settings.DIRECTORY = settings.DIRECTORY._replace(urls=(url,), timeout_s=1)
        page = sign_in("nina", "nina-pass")
        ended_by_itself = not closed.is_set()
        gone.set()

    assert ended_by_itself
    assert b"does not work just now" in page.content


def test_server_that_stops_after_tls_ends_the_attempt(
    server: Server, lab: object, settings: object
):
    """It takes the bind, and answers nothing more."""
    gone, closed = threading.Event(), threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.folder / "server.pem", server.folder / "server.key")

    def stop(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as line:
            line.recv(4096)
            gone.wait(60)
            closed.set()

    with listener(stop) as url:
        url = url.replace("ldap:", "ldaps:")
        settings.DIRECTORY = settings.DIRECTORY._replace(urls=(url,), timeout_s=1)
        page = sign_in("nina", "nina-pass")
        ended_by_itself = not closed.is_set()
        gone.set()

    assert ended_by_itself
    assert b"does not work just now" in page.content


def test_without_tls_nothing_is_sent(lab: object, settings: object):
    """A server that refuses StartTLS gets no name and no password."""
    sent = []

    def refuse(connection: socket.socket) -> None:
        sent.append(connection.recv(4096))
        connection.sendall(bytes.fromhex("300c02010178070a010204000400"))
        sent.append(connection.recv(4096))

    with listener(refuse) as url:
        settings.DIRECTORY = settings.DIRECTORY._replace(urls=(url,))
        assert b"does not work just now" in sign_in("nina", "nina-pass").content

    text = b"".join(sent)
    assert b"1.3.6.1.4.1.1466.20037" in text
    assert b"nina" not in text
    assert b"reader" not in text


def test_dead_server_is_named_and_local_accounts_sign_in(
    server: Server, lab: object, owner: User
):
    lab.DIRECTORY = lab.DIRECTORY._replace(urls=("ldap://127.0.0.1:1",))

    answers = [sign_in("nina", "nina-pass"), sign_in("olive", "wrong")]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert b"Try again in a few minutes" in answers[0].content
    assert sign_in("olive", "olive-pass").status_code == 302
    said = Entry.objects.filter(user="nina").get().what
    assert said.startswith("could not sign in: Signing in with Uni does not work")


def test_second_server_answers_for_the_first(server: Server, lab: object):
    lab.DIRECTORY = lab.DIRECTORY._replace(urls=("ldap://127.0.0.1:1", server.plain))

    assert sign_in("nina", "nina-pass").status_code == 302


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
def test_server_that_never_answers_ends_the_attempt(
    lab: object, settings: object, scheme: str
):
    gone, closed = threading.Event(), threading.Event()

    def wait(connection: socket.socket) -> None:
        gone.wait(60)
        closed.set()

    with listener(wait) as url:
        url = url.replace("ldap:", f"{scheme}:")
        settings.DIRECTORY = settings.DIRECTORY._replace(urls=(url,), timeout_s=1)
        answer = sign_in("nina", "nina-pass")
        ended_by_itself = not closed.is_set()
        gone.set()

    assert ended_by_itself
    assert b"does not work just now" in answer.content


def test_local_accounts_sign_in_while_a_server_never_answers(
    lab: object, settings: object, owner: User
):
    gone = threading.Event()

    with listener(lambda connection: gone.wait(60)) as url:
        settings.DIRECTORY = settings.DIRECTORY._replace(urls=(url,), timeout_s=30)
        assert sign_in("olive", "olive-pass").status_code == 302
        gone.set()


def test_wrong_password_of_the_service_account_is_no_wrong_one_of_the_user(
    server: Server, lab: object
):
    lab.DIRECTORY = lab.DIRECTORY._replace(bind_password="wrong")

    assert b"does not work just now" in sign_in("nina", "nina-pass").content


def test_log_has_no_password(
    server: Server, lab: object, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    sign_in("nina", "wr0ng-pass")
    sign_in("nina", "nina-pass")
    lab.DIRECTORY = lab.DIRECTORY._replace(bind_password="wr0ng-reader")
    sign_in("nina", "nina-pass")

    for secret in ("wr0ng", "nina-pass", READER_PASSWORD):
        assert secret not in caplog.text


def test_connections_are_closed(server: Server):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for password in ["nina-pass", "wrong"] * 4:
        sign_in("nina", password)
    for thread in threading.enumerate():
        if thread.name == NAME:
            thread.join(60)

    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


GOOD = {
    "URL": "ldap://ldap.uni.example",
    "BASE": "ou=people,dc=uni,dc=example",
    "CA_FILE": __file__,
}


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> Directory:
    for name, value in (GOOD | values).items():
        monkeypatch.setenv(f"TEST_LDAP_{name}", value)
    return env_directory("TEST_LDAP")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"URL": "https://ldap.uni.example"}, "use addresses of one kind"),
        ({"URL": "ldap://a.example,ldaps://b.example"}, "use addresses of one kind"),
        ({"URL": "ldap://"}, "use addresses of one kind"),
        ({"PLAIN": "1"}, "without TLS to ldap://127.0.0.1 alone"),
        ({"PLAIN": "1", "URL": "ldaps://127.0.0.1"}, "without TLS to ldap://127"),
        ({"CA_FILE": "/nowhere.pem"}, "name the file with the certificate"),
        ({"BASE": ""}, "set TEST_LDAP_BASE as well"),
        ({"BIND_DN": "cn=reader"}, "set both or none"),
        ({"FILTER": "objectClass=person"}, "use a filter in parentheses"),
        ({"ATTRIBUTES": "shoe=size"}, "before the = may be name, mail"),
        ({"ATTRIBUTES": "name=uid)(x"}, "use pairs such as"),
        ({"MEMBERS": "owner"}, "use member or uniqueMember or memberUid"),
        ({"TIMEOUT_S": "31"}, "use at most 30"),
    ],
)
def test_settings_that_cannot_be_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], said: str
):
    with pytest.raises(ImproperlyConfigured, match=said.replace("(", r"\(")):
        environment(monkeypatch, **values)


def test_settings_of_active_directory_are_read(monkeypatch: pytest.MonkeyPatch):
    found = environment(
        monkeypatch,
        URL="ldaps://a.example, ldaps://b.example",
        ATTRIBUTES="name=sAMAccountName,id=objectGUID",
    )

    assert found.urls == ("ldaps://a.example", "ldaps://b.example")
    assert (found.name_attribute, found.id_attribute) == (
        "sAMAccountName",
        "objectGUID",
    )
    assert (found.mail_attribute, found.starts_tls) == ("mail", False)


@pytest.mark.parametrize(("groups", "seconds"), [(0, 5), (9, 5), (10, 10), (50, 30)])
def test_sign_in_has_more_time_where_many_groups_are_asked(groups: int, seconds: int):
    pairs = tuple((f"g{n}", f"cn=g{n},{GROUPS}") for n in range(groups))

    assert Directory(groups=pairs).work_s == seconds


def test_without_a_server_there_is_no_directory():
    assert env_directory("NOT_SET") == Directory()


@pytest.mark.parametrize("raw", [b"\xff\x00" * 8, "0123456789abcdef"])
def test_id_of_active_directory_is_16_bytes(settings: object, raw: bytes | str):
    settings.DIRECTORY = Directory(id_attribute="objectGUID", name_attribute="n")

    entry = read({"OBJECTGUID": [raw], "N": ["Nina"]}, "nina")

    assert entry is not None
    assert len(entry.id) == 32


def test_name_has_one_line_and_nothing_unseen(settings: object):
    settings.DIRECTORY = Directory(id_attribute="i", name_attribute="n")
    names = {"givenName": ["Ni\0na\u202e\r\n (lab admin)"], "sn": ["\x1b[31mN"]}

    entry = read({"i": ["7"], "n": ["nina"]} | names, "nina")

    assert entry is not None
    assert (entry.given, entry.surname) == ("Ni␀na<U+202E> (lab admin)", "N")


def test_documented_settings_sign_in(
    server: Server, lab: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    block = DOCS.read_text().partition("TESTBED_LDAP_URL=ldap")[2].partition("```")[0]
    password = tmp_path / "password"
    password.write_text(f"{READER_PASSWORD}\n")
    here = {
        "TESTBED_LDAP_URL": server.plain,
        "TESTBED_LDAP_CA_FILE": server.ca_file,
        "TESTBED_LDAP_BIND_PASSWORD_FILE": str(password),
    }
    for line in block.splitlines()[1:]:
        monkeypatch.setenv(*line.split("=", 1))
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    lab.DIRECTORY = env_directory("TESTBED_LDAP")
    server.change(LAB_ADMINS, ldap.MOD_ADD, "member", dn("nina"))

    assert sign_in("nina", "nina-pass").status_code == 302
    assert User.objects.get().is_superuser
    assert b"Users of University sign in" in Client().get("/login/").content


def test_plain_server_of_this_machine_is_asked_where_that_is_set(
    server: Server, lab: object
):
    lab.DIRECTORY = lab.DIRECTORY._replace(is_plain=True, ca_file="")

    assert sign_in("nina", "nina-pass").status_code == 302


class listener:  # noqa: N801
    """A server of one answer, on a port of 127.0.0.1."""

    def __init__(self, answer: Callable[[socket.socket], object]) -> None:
        self.answer = answer

    def __enter__(self) -> str:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        return f"ldap://127.0.0.1:{self.socket.getsockname()[1]}"

    def __exit__(self, *error: object) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self.socket.accept()
                with connection:
                    self.answer(connection)
        except OSError:
            return
