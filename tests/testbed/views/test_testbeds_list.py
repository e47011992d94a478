"""The list of testbeds, and who sees which testbed at all.

A stranger finds nothing at any address of it; the list takes the same queries for any
number of testbeds.
"""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.plan.model import Command, Options
from testbed.models import (
    Expiry,
    Favourite,
    ObservedGuest,
    Run,
    Share,
    Tag,
    Testbed,
)
from tests.testbed.conftest import YAML, MakeRun
from tests.testbed.preparing import prepare
from tests.testbed.reading import visible


def paths_of(testbed: Testbed) -> list[tuple[str, str]]:
    base = f"/testbeds/{testbed.slug}"
    return [
        ("get", f"{base}/"),
        ("get", f"{base}/live/"),
        ("get", f"{base}/guests/"),
        ("get", f"{base}/runs/"),
        ("get", f"{base}/files/kvm-compose.yaml"),
        ("get", f"{base}/delete/"),
        ("post", f"{base}/delete/"),
        ("post", f"{base}/runs/"),
        ("get", f"{base}/edit/"),
        ("post", f"{base}/edit/"),
        ("get", f"{base}/edit/kvm-compose.yaml"),
        ("post", f"{base}/check/"),
        ("get", f"{base}/files/new/?path=new.sh"),
        ("post", f"{base}/files/rename/"),
        ("get", f"{base}/artefacts/"),
        ("get", f"{base}/artefacts.zip"),
        ("get", f"{base}/artefacts/state.json"),
        ("post", f"{base}/files/"),
        ("post", f"{base}/files/remove/"),
    ]


@pytest.mark.parametrize(
    ("back", "leads"),
    [
        ("/?view=mine", "/?view=mine"),
        ("null", "/"),
        ("0001-01-01T00:00", "/"),
        ("runs", "/"),
        ("//elsewhere.example/", "/"),
        ("/\\elsewhere.example/", "/"),
        ("https://elsewhere.example/", "/"),
    ],
)
def test_star_leads_back_to_the_list_alone(
    browser: Client, testbed: Testbed, back: str, leads: str
):
    answer = browser.post("/testbeds/olive/lab/favourite/", {"back": back})

    assert (answer.status_code, answer["Location"]) == (302, leads)


def test_stranger_gets_404_everywhere(client: Client, stranger: User, testbed: Testbed):
    client.force_login(stranger)

    answers = {path: getattr(client, how)(path) for how, path in paths_of(testbed)}

    assert {answer.status_code for answer in answers.values()} == {404}
    assert testbed.project.yaml.read_text() == YAML
    assert not Run.objects.exists()


def test_anonymous_is_sent_to_sign_in(client: Client, testbed: Testbed):
    paths = [*paths_of(testbed), ("get", "/"), ("get", "/hosts/")]
    paths += [("post", "/testbeds/new/"), ("get", "/testbeds/new/name/?slug=lab")]

    answers = [getattr(client, how)(path) for how, path in paths]

    assert {answer.status_code for answer in answers} == {302}
    assert all(answer["Location"].startswith("/login/?next=/") for answer in answers)


@pytest.mark.parametrize("persona", ["owner", "admin"])
def test_owner_and_admin_see_the_testbed(
    client: Client, testbed: Testbed, persona: str, request: pytest.FixtureRequest
):
    client.force_login(request.getfixturevalue(persona))

    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    paths = [path for how, path in paths_of(testbed) if how == "get"]
    answers = [client.get(path, follow=True) for path in paths]

    assert {answer.status_code for answer in answers} == {200}


def test_list_shows_own_testbeds_only(
    client: Client, owner: User, stranger: User, admin: User, testbed: Testbed
):
    Testbed.objects.create(owner=stranger, slug="secret", number=1)

    seen = {}
    for user in (owner, admin):
        client.force_login(user)
        seen[user.username] = client.get("/").content.decode()

    assert "secret" not in seen["olive"]
    assert "Owner" not in seen["olive"]
    assert "secret" in seen["ada"]
    assert "sam" in seen["ada"]


def test_empty_list_offers_the_examples(browser: Client):
    page = browser.get("/").content.decode()

    assert "No testbeds yet" in page
    assert "Create from quickstart" in page


def slugs_of(page: str) -> list[str]:
    return re.findall(r'<tr id="testbed-([\w-]+)"', page)


@pytest.fixture
def lab(owner: User, stranger: User, testbed: Testbed) -> None:
    """Testbeds of two users; one of the stranger's is shared with the owner."""
    for number, (user, slug) in enumerate(
        [(owner, "alpha"), (owner, "zulu"), (stranger, "shared"), (stranger, "secret")]
    ):
        Testbed.objects.create(owner=user, slug=slug, number=20 + number)
    Share.objects.create(
        testbed=Testbed.objects.get(slug="shared"),
        user=owner,
        role="operator",
        given_by=stranger,
        given_at=timezone.now(),
    )
    Testbed.objects.filter(slug="zulu").update(condition="up")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["alpha", "lab", "shared", "zulu"]),
        ("whose=mine", ["alpha", "lab", "zulu"]),
        ("whose=shared", ["shared"]),
        ("whose=left", []),
        ("q=AL", ["alpha"]),
        ("q=sam", ["shared"]),
        ("q=secret", []),
        ("q=%25", []),
        ("sort=-name", ["zulu", "shared", "lab", "alpha"]),
        ("sort=condition", ["alpha", "lab", "shared", "zulu"]),
        ("sort=-created&whose=mine", ["zulu", "alpha", "lab"]),
        ("sort=owner", ["alpha", "lab", "zulu", "shared"]),
        ("sort=password&whose=everything&page=99", ["alpha", "lab", "shared", "zulu"]),
        ("q=%00", ["alpha", "lab", "shared", "zulu"]),
    ],
)
def test_list_is_chosen_searched_and_sorted(
    browser: Client, lab: None, query: str, expected: list[str]
):
    page = browser.get(f"/?{query}").content.decode()

    assert slugs_of(page) == expected
    assert "secret" not in page.replace("q=secret", "").replace('value="secret"', "")


def test_list_says_the_role_in_a_shared_testbed(browser: Client, lab: None):
    page = visible(browser.get("/").content.decode())

    assert "sam operator" in page


def test_admin_lists_those_of_all(page: Client, lab: None):
    text = page.get("/?whose=all").content.decode()

    assert slugs_of(text) == ["alpha", "lab", "secret", "shared", "zulu"]
    assert slugs_of(page.get("/?whose=mine").content.decode()) == []
    assert "Of deactivated users" not in text


def test_polls_and_pages_keep_the_choice(browser: Client, owner: User, lab: None):
    Testbed.objects.bulk_create(
        Testbed(
            owner=owner, slug=(n := f"many-{number:03}"), name=n, number=100 + number
        )
        for number in range(60)
    )

    page = browser.get("/?q=many&sort=-name&page=2").content.decode()
    part = browser.get("/?q=many&page=2", headers={"HX-Request": "true"})

    assert slugs_of(page) == [f"many-{number:03}" for number in reversed(range(10))]
    assert 'hx-get="/?q=many&amp;sort=-name&amp;page=2"' in page
    assert 'href="/?q=many&amp;sort=-name&amp;page=1"' in page
    assert "51\N{EN DASH}60 of 60" in page
    assert slugs_of(part.content.decode())[0] == "many-050"


def test_search_without_a_hit_is_no_empty_lab(browser: Client, testbed: Testbed):
    page = browser.get("/?q=nothing").content.decode()

    assert "No testbed fits." in page
    assert "No testbeds yet" not in page


def test_every_example_is_offered_as_a_start(browser: Client, testbed: Testbed):
    page = visible(browser.get("/testbeds/new/").content.decode())

    for folder in sorted(settings.EXAMPLES_DIR.iterdir()):
        assert f"Create from {folder.name}" in page
    assert "3 logical switches" in page
    possible, _, others = page.partition("Examples that this version cannot bring up")
    assert "bring up guest web ( docker )" in others
    assert "cannot bring up" not in possible


@pytest.mark.parametrize("count", [1, 50])
def test_list_takes_the_same_queries_for_any_number(
    browser: Client, owner: User, django_assert_num_queries, count: int
):
    now = timezone.now()
    for number in range(count):
        testbed = Testbed.objects.create(owner=owner, slug=f"t{number}", number=number)
        Run.objects.create(testbed=testbed, command="up", plan={}, asked_by=owner)
        ObservedGuest.objects.bulk_create(
            ObservedGuest(
                testbed=testbed,
                name=f"g{guest}",
                host=f"host-{guest}",
                status="running" if guest else "shut off",
                observed_at=now,
            )
            for guest in range(3)
        )

    with django_assert_num_queries(13):
        page = browser.get("/").content.decode()

    assert page.count("host-0, host-1, host-2") == count
    assert page.count('2<span class="quiet"> / 3</span>') == count


def test_page_of_the_list_is_small_on_the_wire(browser: Client, owner: User):
    Testbed.objects.bulk_create(
        Testbed(
            owner=owner,
            slug=f"testbed-{number:04}",
            name=f"testbed-{number:04}",
            number=number,
            description=f"The description of testbed {number}",
        )
        for number in range(1000)
    )

    answer = browser.get("/?page=7", headers={"Accept-Encoding": "gzip"})

    assert answer["Content-Encoding"] == "gzip"
    assert len(answer.content) < 60 * 1024


def test_poll_gets_the_table_only(browser: Client, testbed: Testbed):
    page = browser.get("/", headers={"HX-Request": "true"}).content.decode()

    assert "<html" not in page
    assert 'id="testbed-lab"' in page


def test_testbed_that_comes_up_is_shown_as_starting(browser: Client, make_run: MakeRun):
    make_run()

    page = browser.get("/").content.decode()
    rows = visible(page.partition("<tbody>")[2])

    assert "starting…" in rows
    assert "draft" not in rows


def test_pages_are_compressed(browser: Client, testbed: Testbed):
    answer = browser.get("/testbeds/olive/lab/", headers={"Accept-Encoding": "gzip"})

    assert answer["Content-Encoding"] == "gzip"


def test_address_above_a_testbeds_leads_to_the_list(browser: Client):
    answer = browser.get("/testbeds/")

    assert answer.status_code == 302
    assert answer.url == "/"


def test_each_change_of_a_row_is_in_the_next_poll(
    browser: Client, owner: User, testbed: Testbed
):
    """Equal rows are kept as HTML, so nothing that a row shows may be missing there."""
    poll = {"HX-Request": "true", "HX-Target": "testbeds"}

    def row() -> str:
        page = browser.get("/", headers=poll).content.decode()
        return page.partition('<tr id="testbed-lab"')[2].partition("</tr>")[0]

    now = timezone.now()
    run = Run(testbed=testbed, command="up", plan={}, asked_by=owner)
    changes = [
        lambda: Testbed.objects.update(description="Told later"),
        lambda: Testbed.objects.update(name="ring"),
        lambda: Testbed.objects.update(condition="up"),
        lambda: Tag.objects.create(testbed=testbed, name="late"),
        lambda: Favourite.objects.create(testbed=testbed, user=owner),
        lambda: ObservedGuest.objects.create(
            testbed=testbed, name="g", host="far", status="running", observed_at=now
        ),
        lambda: ObservedGuest.objects.update(status="shut off"),
        lambda: Expiry.objects.create(
            testbed=testbed, expires_at=now + timedelta(hours=90)
        ),
        lambda: Expiry.objects.update(warned_at=now),
        run.save,
        lambda: Run.objects.filter(pk=run.pk).update(status="running", has_begun=True),
        lambda: Run.objects.filter(pk=run.pk).update(status="failed", ended_at=now),
        lambda: Run.objects.filter(pk=run.pk).update(
            created_at=now - timedelta(days=9)
        ),
    ]
    before = row()
    assert 'href="/testbeds/olive/lab/"' in before
    for change in changes:
        change()
        after = row()
        assert after != before
        before = after
