"""Descriptions, tags and favourites: their limits, their rights, and their record."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.models import Entry, Favourite, Tag, Testbed
from testbed.testbeds.listing.labels import LabelsRefused, describe, tags_of
from tests.testbed.conftest import ShareWith
from tests.testbed.reading import visible

LABELS = "/testbeds/olive/lab/labels/"
STAR = "/testbeds/olive/lab/favourite/"
JSON = {"Accept": "application/json"}


def names_of(testbed: Testbed) -> list[str]:
    return list(testbed.tags.values_list("name", flat=True))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("OSPF, week-2", ["ospf", "week-2"]),
        ("b a  b,,a", ["a", "b"]),
        ("é.1_x", ["é.1_x"]),
    ],
)
def test_text_is_split_into_tags(text: str, names: list[str]):
    assert tags_of(text) == names


@pytest.mark.parametrize(
    "text", ["-a", "a/b", "<b>", "a\0b", "x" * 31, ",".join(map(str, range(11)))]
)
def test_wrong_tags_are_refused_and_nothing_is_changed(testbed: Testbed, text: str):
    describe(testbed, testbed.owner, "A router.", "ospf")

    with pytest.raises(LabelsRefused):
        describe(testbed, testbed.owner, "Other.", text)

    testbed.refresh_from_db()
    assert (testbed.description, names_of(testbed)) == ("A router.", ["ospf"])


def test_description_is_one_line_of_bounded_length(testbed: Testbed):
    describe(testbed, testbed.owner, "two\nlines\0 \x1b[0m ")

    assert testbed.description == "two lines [0m"
    with pytest.raises(LabelsRefused, match="at most 200 characters"):
        describe(testbed, testbed.owner, "x" * 201)


def test_part_that_is_not_sent_stays(testbed: Testbed):
    describe(testbed, testbed.owner, "A router.", "ospf bgp")

    assert describe(testbed, testbed.owner, tags="bgp") == "tags: bgp"
    assert describe(testbed, testbed.owner, tags="BGP") == ""
    assert describe(testbed, testbed.owner, description="") == "no description"
    assert names_of(testbed) == ["bgp"]


def test_change_is_recorded_once(browser: Client, testbed: Testbed):
    for _ in range(2):
        answer = browser.post(LABELS, {"description": "A router.", "tags": "ospf"})

    assert answer.url == "/testbeds/olive/lab/"
    entries = Entry.objects.filter(act="describe")
    assert [one.what for one in entries] == ["description: A router.; tags: ospf"]


def test_page_shows_the_words_and_leads_to_the_filter(
    browser: Client, testbed: Testbed
):
    describe(testbed, testbed.owner, "A <b>router</b>.", "ospf")

    page = browser.get("/testbeds/olive/lab/").content.decode()

    assert "A &lt;b&gt;router&lt;/b&gt;." in page
    assert 'href="/?tag=ospf"' in page


def test_refused_words_stay_in_the_form(browser: Client, testbed: Testbed):
    answer = browser.post(LABELS, {"description": "Words", "tags": "a/b"})

    page = answer.content.decode()
    assert answer.status_code == 422
    assert "The tag 'a/b' is not possible." in visible(page)
    assert 'value="a/b"' in page
    assert 'value="Words"' in page


def test_program_reads_and_changes_the_words(browser: Client, testbed: Testbed):
    form = {"description": "A router.", "tags": "b a"}
    changed = browser.post(LABELS, form, headers=JSON).json()
    refused = browser.post(LABELS, {"tags": "a/b"}, headers=JSON)

    assert changed == {"description": "A router.", "tags": ["a", "b"]}
    assert browser.get(LABELS, headers=JSON).json() == changed
    assert refused.status_code == 422
    assert "a/b" in refused.json()["error"]


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 403), ("operator", 403), ("editor", 302)]
)
def test_editor_describes_and_lower_roles_do_not(
    client: Client, testbed: Testbed, share: ShareWith, role: str, status: int
):
    client.force_login(share(testbed, role))

    answer = client.post(LABELS, {"tags": "ospf"})
    page = client.get("/testbeds/olive/lab/").content.decode()

    assert answer.status_code == status
    assert ("Change description and tags" in page) == (status == 302)


def test_favourite_is_the_users_own(
    client: Client, testbed: Testbed, owner: User, share: ShareWith
):
    Testbed.objects.create(owner=owner, slug="alpha", number=30)
    viewer = share(testbed, "viewer")
    client.force_login(viewer)
    for _ in range(2):
        client.post(STAR, {"star": "1", "back": "/?sort=owner"})

    entries = Entry.objects.exclude(act="sign_in").count()
    client.force_login(owner)
    page = client.get("/").content.decode()

    assert [one.user for one in Favourite.objects.all()] == [viewer]
    assert entries == 0
    assert 'aria-pressed="true"' not in page
    assert page.index("testbed-alpha") < page.index("testbed-lab")


def test_favourite_comes_first_in_each_order_and_is_filtered(
    browser: Client, testbed: Testbed, owner: User
):
    for number, slug in enumerate(("alpha", "zulu")):
        Testbed.objects.create(owner=owner, slug=slug, number=30 + number)
    browser.post(STAR, {"star": "1"})

    for order in ("name", "-name", "owner", "-run", "guests"):
        page = browser.get(f"/?sort={order}").content.decode()
        rows = page.partition("<tbody>")[2]
        assert rows.lstrip().startswith('<tr id="testbed-lab"')
    only = browser.get("/?starred=1").content.decode()

    assert 'id="testbed-lab"' in only
    assert 'id="testbed-alpha"' not in only


def test_star_is_taken_back_by_htmx_and_by_programs(browser: Client, testbed: Testbed):
    pressed = browser.post(STAR, {"star": "1"}, headers={"HX-Request": "true"})
    taken = browser.post(STAR, {"star": "0"}, headers=JSON)

    assert 'aria-pressed="true"' in pressed.content.decode()
    assert taken.json() == {"favourite": False}
    assert not Favourite.objects.exists()


@pytest.mark.parametrize(
    ("back", "leads"),
    [
        ("/?tag=ospf&page=2", "/?tag=ospf&page=2"),
        ("", "/"),
        ("https://example.org/", "/"),
        ("//example.org", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_star_leads_back_to_this_site_only(
    browser: Client, testbed: Testbed, back: str, leads: str
):
    assert browser.post(STAR, {"star": "1", "back": back}).url == leads


def test_deleted_testbed_takes_its_words_along(testbed: Testbed, owner: User):
    describe(testbed, testbed.owner, "A router.", "ospf")
    Favourite.objects.create(testbed=testbed, user=owner)

    testbed.delete()

    assert not Tag.objects.exists()
    assert not Favourite.objects.exists()
