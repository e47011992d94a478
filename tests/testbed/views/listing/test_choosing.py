"""The list of testbeds by its address: filters, orders, and wrong values.

A stranger's testbeds leave no trace: neither by a filter, an order or a page, nor in the
values that are offered.
"""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from testbed.models import Expiry, Share, Testbed
from testbed.models.expiry import database_now
from tests.testbed.reading import visible
from tests.testbed.views.listing.conftest import Lab, add, share_with_group

HUGE = "x" * 10_240
ELAPSED = re.compile(r"\b\d+ s\b")
TOKEN = re.compile(r'"[A-Za-z0-9]{64}"')


def slugs_of(page: str) -> list[str]:
    return re.findall(r'<tr id="testbed-([\w-]+)"', page)


def without_token(browser: Client, query: str) -> str:
    page = TOKEN.sub("", browser.get(f"/?{query}").content.decode())
    return ELAPSED.sub("", page)  # the clock goes on between two requests


def options_of(page: str, name: str) -> list[str]:
    select = re.search(rf'<select id="filter-{name}".*?</select>', page, re.S)
    return re.findall(r'value="([^"]+)"', select.group()) if select else []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("condition=up", ["alpha"]),
        ("condition=changing", ["alpha"]),
        ("condition=empty&whose=mine", ["zulu"]),
        ("owner=sam", ["lesson"]),
        ("owner=olive&condition=empty", ["zulu"]),
        ("group=course", ["lesson"]),
        ("host=host-b", ["alpha"]),
        ("host=main", ["lesson"]),
        ("host=main&q=alpha", []),
        ("q=exercise", ["zulu"]),
        ("q=OSP", ["lesson"]),
        ("tag=ospf", ["lesson"]),
        ("tag=OSPF&owner=olive", []),
        ("tag=hidden", []),
        ("sort=-guests", ["alpha", "lesson", "zulu"]),
        ("sort=guests", ["zulu", "lesson", "alpha"]),
        ("sort=-run", ["alpha", "lesson", "zulu"]),
        ("sort=run", ["zulu", "lesson", "alpha"]),
    ],
)
def test_list_is_filtered_and_sorted(
    browser: Client, lab: Lab, query: str, expected: list[str]
):
    assert slugs_of(browser.get(f"/?{query}").content.decode()) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("day", ["alpha"]), ("week", ["alpha"]), ("never", ["zulu"])],
)
def test_list_is_filtered_by_the_end(
    browser: Client, lab: Lab, value: str, expected: list[str]
):
    soon = {"alpha": 23, "secret": 1}
    for slug, hours in soon.items():
        testbed = Testbed.objects.get(slug=slug)
        ends_at = database_now() + timedelta(hours=hours)
        Expiry.objects.create(testbed=testbed, expires_at=ends_at)
    kept = Testbed.objects.get(slug="zulu")
    Expiry.objects.create(testbed=kept, action=Expiry.Action.KEEP)

    page = browser.get(f"/?ends={value}")

    assert slugs_of(page.content.decode()) == expected


@pytest.mark.parametrize(
    "query",
    [
        "",
        "whose=shared",
        "q=secret",
        "q=staff",
        "q=hidden",
        "tag=hidden",
        "group=staff",
        "group=staff&host=host-b",
        "owner=sam",
        "owner=sam&host=host-b",
        "owner=sam&condition=up",
        "whose=left",
        *(
            f"sort={way}{key}"
            for way in ("", "-")
            for key in ("owner", "guests", "run")
        ),
    ],
)
def test_strangers_testbed_leaves_no_trace(browser: Client, lab: Lab, query: str):
    before = without_token(browser, query)
    typed = re.compile(r'value="(secret|hidden)"|q=(secret|hidden)')

    Testbed.objects.filter(slug="secret").delete()

    assert "secret" not in typed.sub("", before)
    assert before == without_token(browser, query)


def test_filters_offer_what_the_user_knows(browser: Client, lab: Lab, stranger: User):
    add(User.objects.create_user("unknown"), "hidden", 30)
    share_with_group(Testbed.objects.get(slug="hidden"), lab.staff)

    page = browser.get("/").content.decode()

    assert options_of(page, "owner") == ["olive", "sam"]
    assert options_of(page, "tag") == ["bgp", "ospf"]
    assert "staff" not in page
    assert "unknown" not in page


def test_unknown_group_filters_as_one_that_does_not_exist(browser: Client, lab: Lab):
    known, unknown = (
        without_token(browser, f"group={name}").replace(name, "GROUP")
        for name in ("staff", "nosuch")
    )

    assert slugs_of(known) == []
    assert known == unknown


def test_group_that_the_owner_has_left_is_not_offered(
    browser: Client, owner: User, lab: Lab
):
    share_with_group(Testbed.objects.get(slug="alpha"), lab.course)
    share_with_group(Testbed.objects.get(slug="alpha"), Group.objects.create(name="b"))
    owner.groups.clear()

    page = browser.get("/").content.decode()

    assert options_of(page, "group") == []
    assert slugs_of(browser.get("/?group=course").content.decode()) == []


def test_testbed_charged_to_a_group_is_one_of_the_group(browser: Client, lab: Lab):
    Testbed.objects.filter(slug="zulu").update(charged_group=lab.course)

    page = browser.get("/?group=course").content.decode()

    assert slugs_of(page) == ["lesson", "zulu"]


def test_admin_is_offered_all_and_filters_by_all(page: Client, lab: Lab):
    text = page.get("/").content.decode()

    assert options_of(text, "owner") == ["olive", "sam"]
    assert options_of(text, "group") == ["course", "staff"]
    assert options_of(text, "host") == ["host-b", "main"]
    filtered = page.get("/?group=staff").content.decode()
    assert slugs_of(filtered) == ["lesson", "secret"]


def test_share_by_two_ways_is_one_row(browser: Client, owner: User, lab: Lab):
    lesson = Testbed.objects.get(slug="lesson")
    now = lesson.created_at
    Share.objects.create(
        testbed=lesson, user=owner, role="viewer", given_by=lesson.owner, given_at=now
    )

    page = browser.get("/?group=course&whose=shared").content.decode()

    assert slugs_of(page) == ["lesson"]


@pytest.mark.parametrize(
    ("query", "note"),
    [
        ("sort=password", "The list has no order named 'password'. It was left out."),
        ("whose=everything", "The list has no part named 'everything'"),
        ("condition=broken", "The list has no condition named 'broken'"),
        (f"q={HUGE}", "The search is for the first 200 characters."),
        ("page=x", "There is no page 'x'; this is page 1 of 1."),
        ("page=1000000000", "There is no page '1000000000'; this is page 1 of 1."),
        ("page=-1", "There is no page '-1'"),
        (f"page={'9' * 5000}", "There is no page '999"),
        (f"sort={HUGE}", "The list has no order named 'xxx"),
    ],
)
def test_wrong_value_is_named_and_left_out(
    browser: Client, lab: Lab, query: str, note: str
):
    answer = browser.get(f"/?{query}")

    assert answer.status_code == 200
    assert note in visible(answer.content.decode())
    assert len(answer.content) < 40_000


@pytest.mark.parametrize("name", ["q", "owner", "group", "host", "tag", "page", "sort"])
@pytest.mark.parametrize(
    "value", ["%00", "a%00b", "%ED%A0%80", "%25", "%5C", "'", HUGE]
)
def test_no_value_breaks_the_list(browser: Client, lab: Lab, name: str, value: str):
    assert browser.get(f"/?{name}={value}&whose=mine").status_code == 200


def test_pages_neither_share_nor_miss_a_testbed(browser: Client, owner: User, lab: Lab):
    for number in range(60):
        add(owner, f"many-{number:03}", 100 + number)

    for key in ("owner", "condition", "guests", "run", "created"):
        pages = [
            slugs_of(browser.get(f"/?sort={key}&page={number}").content.decode())
            for number in (1, 2)
        ]

        assert len({*pages[0], *pages[1]}) == 63


@pytest.mark.parametrize("typed", ["übung", "ÜBUNG", "Übung", "übung 1"])
def test_search_finds_upper_and_lower_case_alike(browser: Client, lab: Lab, typed: str):
    Testbed.objects.filter(slug="zulu").update(description="Übung 1 der Vorlesung")

    assert slugs_of(browser.get("/", {"q": typed}).content.decode()) == ["zulu"]


def test_choice_has_an_address_to_keep(browser: Client, lab: Lab):
    page = browser.get("/?owner=sam&sort=name&q=&group=").content.decode()

    assert 'id="list-link">http://testserver/?owner=sam</code>' in page
    assert 'data-copies="list-link"' in page


def test_choice_by_htmx_gets_the_list_and_its_address(browser: Client, lab: Lab):
    answer = browser.get(
        "/?owner=sam&q=&sort=name",
        headers={"HX-Request": "true", "HX-Target": "listing"},
    )

    page = answer.content.decode()
    assert page.strip().startswith('<div class="stack" id="listing">')
    assert answer["HX-Push-Url"] == "/?owner=sam"


def test_going_back_gets_the_whole_page(browser: Client, lab: Lab):
    answer = browser.get(
        "/?owner=sam",
        headers={"HX-Request": "true", "HX-History-Restore-Request": "true"},
    )

    assert "<html" in answer.content.decode()


@pytest.mark.parametrize("whose", ["mine", "shared"])
def test_empty_part_leads_on(client: Client, member: User, lab: Lab, whose: str):
    client.force_login(member)

    page = visible(client.get(f"/?whose={whose}").content.decode())

    assert ("Create one" if whose == "mine" else "a group of yours") in page
