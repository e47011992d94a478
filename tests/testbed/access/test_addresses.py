"""Addresses of testbeds: by account and name, by a name or key alone, and former ones."""

import re

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver, reverse

from testbed.access.addresses import Address, decoded, encoded
from testbed.access.names import rename
from testbed.access.visibility import Moved
from testbed.client.rest.addresses import path_of
from testbed.models import Testbed
from testbed.models.listing.names import PARTS
from testbed.sharing.transfer import transfer
from testbed.views.addresses import FormerAddresses
from tests.testbed.conftest import ShareWith
from tests.testbed.reading import visible

ACCOUNTS = ("alice", "a.b@lab+x", "new", ".", "..", "élise", "New", "runs", "x_y-z")
HTML = {"Accept": "text/html,application/xhtml+xml"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def others(testbed: Testbed, member: User) -> Testbed:
    """A testbed of another user with the name of the first."""
    return Testbed.objects.create(owner=member, slug="tb9", name="lab", number=9)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_any_account_has_an_address(account: str, testbed: Testbed, settings: object):
    user = User.objects.create_user(account, password="any-pass")
    found = Testbed.objects.create(owner=user, slug="tb5", name="quick", number=5)
    address = reverse("testbed", args=[found])

    assert signed_in(user).get(address, headers=HTML).status_code == 200
    assert address == f"{path_of(f'{account}/quick')}/"
    assert decoded(encoded(account)) == account
    assert re.fullmatch(r"/testbeds/[A-Za-z0-9_.@+~-]+/quick/", address)
    assert not address.startswith(("/testbeds/new/", "/testbeds/./", "/testbeds/../"))


@pytest.mark.parametrize("part", ["~6F~6C~69ve", "oliv~65", "~ff", "olive~"])
def test_account_is_written_in_one_way(part: str, testbed: Testbed, owner: User):
    answer = signed_in(owner).get(f"/testbeds/{part}/lab/")

    assert answer.status_code == 404


def test_first_words_below_a_testbed_are_no_names():
    routes = (str(each.pattern).split("/") for each in get_resolver().url_patterns)
    found = {route[2] for route in routes if route[1:2] == ["<testbed:address>"]} - {""}
    found = {word for word in found if "." not in word}

    assert found <= PARTS


def test_name_that_is_a_part_of_addresses_is_refused(owner: User, testbed: Testbed):
    answer = signed_in(owner).get("/testbeds/new/name/", {"slug": "runs"})

    assert "an address of the web itself" in answer.content.decode()


def test_two_users_have_testbeds_of_one_name(
    testbed: Testbed, others: Testbed, owner: User, member: User
):
    pages = {
        (user, account): signed_in(user).get(f"/testbeds/{account}/lab/").status_code
        for user in (owner, member)
        for account in ("olive", "mark")
    }

    assert pages == {
        (owner, "olive"): 200,
        (owner, "mark"): 404,
        (member, "mark"): 200,
        (member, "olive"): 404,
    }


def test_own_testbed_is_shown_by_its_name_and_anothers_with_its_account(
    testbed: Testbed, others: Testbed, owner: User, admin: User
):
    own = signed_in(owner).get("/").content.decode()
    all_of_them = signed_in(admin).get("/").content.decode()

    assert ">lab</a>" in own
    assert "mark/lab" not in own
    assert ">olive/lab</a>" in all_of_them
    assert ">mark/lab</a>" in all_of_them


def test_search_finds_a_full_name(testbed: Testbed, others: Testbed, admin: User):
    shown = signed_in(admin).get("/", {"q": "mark/la"}).content.decode()

    assert "mark/lab" in shown
    assert "olive/lab" not in shown


def test_search_finds_a_key(testbed: Testbed, others: Testbed, admin: User):
    shown = signed_in(admin).get("/", {"q": others.slug}).content.decode()

    assert "mark/lab" in shown
    assert "olive/lab" not in shown


@pytest.mark.parametrize("method", ["get", "post"])
def test_browser_is_led_from_an_old_address(method: str, testbed: Testbed, owner: User):
    send = getattr(signed_in(owner), method)
    answer = send("/testbeds/lab/runs/?kind=exec&x=%2F", headers=HTML)

    assert answer.status_code == 308
    assert answer["Location"] == "/testbeds/olive/lab/runs/?kind=exec&x=%2F"


def test_file_below_an_old_address_keeps_its_path(testbed: Testbed, owner: User):
    answer = signed_in(owner).get("/testbeds/lab/edit/a%20b/%C3%A9.sh", headers=HTML)

    assert answer["Location"] == "/testbeds/olive/lab/edit/a%20b/%C3%A9.sh"


def test_program_is_answered_at_an_old_address(testbed: Testbed, owner: User):
    client = signed_in(owner)
    json = {"Accept": "application/json"}
    answer = client.post("/testbeds/lab/labels/", {"tags": "ospf"}, headers=json)

    assert answer.json()["tags"] == ["ospf"]


def test_stranger_gets_the_same_answer_for_what_is_there_and_what_never_was(
    testbed: Testbed, stranger: User
):
    client = signed_in(stranger)
    answers = [
        client.get(path, headers=HTML)
        for path in (
            "/testbeds/lab/",
            "/testbeds/never/",
            "/testbeds/olive/lab/",
            "/testbeds/olive/never/",
            "/testbeds/nobody/lab/",
        )
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({visible(answer.content.decode()) for answer in answers}) == 1


def test_name_alone_is_ones_own_then_a_key_then_the_only_one(
    testbed: Testbed, others: Testbed, member: User, admin: User
):
    Testbed.objects.filter(pk=testbed.pk).update(name="first")

    def led(user: User, word: str) -> str:
        return str(signed_in(user).get(f"/testbeds/{word}/", headers=HTML)["Location"])

    assert led(member, "lab") == "/testbeds/mark/lab/"
    assert led(admin, "lab") == "/testbeds/olive/first/"
    assert led(admin, "first") == "/testbeds/olive/first/"
    assert led(admin, "tb9") == "/testbeds/mark/lab/"


def test_name_of_several_lists_them(testbed: Testbed, others: Testbed, admin: User):
    Testbed.objects.filter(pk=testbed.pk).update(slug="tb1")
    answer = signed_in(admin).get(
        "/testbeds/lab/", headers={"Accept": "application/json"}
    )

    assert answer.status_code == 409
    assert "mark/lab, olive/lab" in answer.json()["error"]


def test_old_name_leads_to_the_new_one(testbed: Testbed, owner: User, stranger: User):
    rename(testbed, "ring", owner)
    old = "/testbeds/olive/lab/live/?x=1"

    answer = signed_in(owner).get(old, headers=HTML)
    assert answer.status_code == 308
    assert answer["Location"] == "/testbeds/olive/ring/live/?x=1"
    assert "no-store" in answer["Cache-Control"]  # another one may get the old name
    assert signed_in(owner).get(old).status_code == 200  # a program
    assert signed_in(stranger).get(old, headers=HTML).status_code == 404


def test_old_owners_address_leads_to_the_new_owners(
    testbed: Testbed, owner: User, member: User, share: ShareWith
):
    transfer(testbed, member, owner, former_role="viewer")

    answer = signed_in(owner).get("/testbeds/olive/lab/", headers=HTML)
    assert answer["Location"] == "/testbeds/mark/lab/"


def test_name_that_is_given_again_leads_nowhere_else(testbed: Testbed, owner: User):
    rename(testbed, "ring", owner)
    again = Testbed.objects.create(owner=owner, slug="tb2", name="lab", number=2)

    answer = signed_in(owner).get("/testbeds/olive/lab/", headers=HTML)
    assert answer.status_code == 200
    assert str(again.full_name) == str(Address("olive", "lab"))


def test_program_is_refused_at_a_former_address_as_at_the_present_one(
    testbed: Testbed, owner: User, share: ShareWith
):
    client = signed_in(share(testbed, "viewer"))
    rename(testbed, "ring", owner)
    json = {"Accept": "application/json"}

    for place in ("olive/ring", "olive/lab", "ring"):
        change = client.post(f"/testbeds/{place}/labels/", {}, headers=json)
        assert change.status_code == 403
        assert "role editor" in change.json()["hint"]
        nothing = client.get(f"/testbeds/{place}/nothing/", headers=json)
        assert nothing.status_code == 404


def test_program_is_answered_while_the_testbed_moves_again(
    testbed: Testbed, owner: User, rf: RequestFactory
):
    """Of two renames at once, the second comes while the first one's is answered."""
    rename(testbed, "second", owner)
    moved = Testbed.objects.select_related("owner").get(pk=testbed.pk)
    rename(testbed, "third", owner)
    json = {"Accept": "application/json"}
    request = rf.get("/testbeds/olive/lab/labels/", headers=json)
    request.user = owner

    leading = FormerAddresses(lambda _: HttpResponse())
    answer = leading.process_exception(request, Moved(moved))

    assert answer is not None
    assert answer.status_code == 200
    assert b"tags" in answer.content
