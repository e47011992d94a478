"""Up, Down and Delete of ticked testbeds: each with its own right and its own answer."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.plan.model import Command, Options
from testbed.environment import ExpiryTimes
from testbed.models import Entry, Expiry, Protection, Run, Share, Testbed, TrashItem
from testbed.views.listing.ticked import carry_out, chosen
from tests.testbed.answer_rows import execution
from tests.testbed.confirming import answered
from tests.testbed.conftest import YAML, Doors
from tests.testbed.preparing import prepare
from tests.testbed.reading import visible

HOUR = timedelta(hours=1)
TICKED = "/ticked/"
JSON = {"Accept": "application/json"}


def add(owner: User, slug: str, number: int) -> Testbed:
    found = Testbed.objects.create(owner=owner, slug=slug, number=number)
    found.project.create()
    found.project.yaml.write_text(YAML)
    return found


def give(testbed: Testbed, user: User, role: str) -> None:
    Share.objects.create(
        testbed=testbed,
        user=user,
        role=role,
        given_by=testbed.owner,
        given_at=timezone.now(),
    )


@pytest.fixture
def several(
    testbed: Testbed, owner: User, stranger: User, doors: Doors
) -> dict[str, Testbed]:
    """Olive owns `lab` and `own`; she is an operator of `used` and a viewer of `seen`.

    Sam's `secret` is not shared.
    """
    found = {"lab": testbed, "own": add(owner, "own", 20)}
    for number, slug in enumerate(("used", "seen", "secret"), 30):
        found[slug] = add(stranger, slug, number)
    give(found["used"], owner, "operator")
    give(found["seen"], owner, "viewer")
    return found


def test_tick_is_of_its_row_where_the_key_is_the_name_of_another(
    page: Client, several: dict[str, Testbed], admin: User
):
    own = Testbed.objects.create(owner=admin, slug="tb99", name="lab", number=99)
    shown = page.get("/", {"owner": "olive", "q": "lab"}).content.decode()
    (tick,) = re.findall(r'name="testbed" value="([^"]+)"', shown)

    form = {"act": "delete", "testbed": [tick]}
    done = page.post(TICKED, form, headers=JSON).json()["done"]

    assert done == ["olive/lab"]
    assert [one.pk for one in Testbed.objects.filter(name="lab")] == [own.pk]


def test_testbed_that_is_deleted_meanwhile_stops_no_other(
    owner: User, several: dict[str, Testbed]
):
    choice = chosen(owner, "delete", ["olive/lab", "olive/own"])
    Testbed.objects.filter(pk=several["lab"].pk).delete()

    result = carry_out(choice, owner)

    assert result.done == ["own"]
    (problem,) = result.refused.values()
    assert "There is no testbed" in problem.sentence


def post(browser: Client, act: str, *slugs: str, **fields: str) -> object:
    form = {"act": act, "testbed": slugs, **fields}
    return browser.post(TICKED, form, follow=True)


def test_up_is_started_where_it_is_allowed_and_refused_by_name(
    browser: Client, several: dict[str, Testbed]
):
    answer = post(browser, "up", *several)

    page = visible(answer.content.decode())
    assert sorted(run.testbed.name for run in Run.objects.all()) == [
        "lab",
        "own",
        "used",
    ]
    assert "Up was started: lab, own, sam/used." in page
    assert "sam/seen was left out: As a viewer of testbed sam/seen you may not" in page
    assert "There is no testbed secret, or none that you see." in page


def test_role_that_is_taken_meanwhile_stops_no_other(
    several: dict[str, Testbed], owner: User
):
    choice = chosen(owner, "up", ["sam/used", "lab"])
    Share.objects.all().delete()

    result = carry_out(choice, owner)

    (refused,) = result.refused.values()
    assert result.done == ["lab"]
    assert "you may not" in refused.message
    assert Entry.objects.get(outcome="refused").thing == "used"


def test_each_started_run_is_in_the_record_with_the_role(
    browser: Client, several: dict[str, Testbed]
):
    post(browser, "up", "lab", "used")

    entries = Entry.objects.filter(act="up").order_by("thing")
    assert [(one.thing, one.role, one.what) for one in entries] == [
        ("lab", "", "Up"),
        ("used", "operator", "Up"),
    ]
    assert all(one.run_number for one in entries)


def test_busy_testbed_stops_no_other(browser: Client, several: dict[str, Testbed]):
    post(browser, "up", "lab")

    page = visible(post(browser, "up", "lab", "own").content.decode())

    assert "Up was started: own." in page
    assert "lab was left out: olive has been running up on testbed lab" in page


def test_extend_moves_the_ends_of_own_testbeds_that_are_up(
    browser: Client, several: dict[str, Testbed], settings: object
):
    settings.EXPIRY = ExpiryTimes(72 * HOUR, 240 * HOUR, 24 * HOUR, 0 * HOUR)
    now = timezone.now()
    Testbed.objects.filter(slug__in=("lab", "used", "seen")).update(condition="up")
    for name in ("lab", "used", "seen"):
        Expiry.objects.create(testbed=several[name], expires_at=now + HOUR)
    assert 'value="extend"' in browser.get("/").content.decode()

    page = visible(post(browser, "extend", *several).content.decode())

    assert "Extended: lab." in page
    assert "own was left out: Testbed own is not up: it has no end." in page
    assert "used was left out: As an operator of testbed sam/used you may not" in page
    assert "There is no testbed secret, or none that you see." in page
    ends = dict(Expiry.objects.values_list("testbed__slug", "expires_at"))
    assert ends["lab"] > now + 72 * HOUR
    assert ends["used"] == ends["seen"] == now + HOUR
    extended = Entry.objects.filter(act="extend", outcome="done")
    assert [one.thing for one in extended] == ["lab"]


def test_end_that_cannot_be_later_is_said(
    browser: Client, testbed: Testbed, settings: object
):
    settings.EXPIRY = ExpiryTimes(72 * HOUR, 240 * HOUR, 24 * HOUR, 0 * HOUR)
    Testbed.objects.update(condition="up")
    Expiry.objects.create(testbed=testbed, expires_at=timezone.now() + 240 * HOUR)

    page = visible(post(browser, "extend", "lab").content.decode())

    assert "lab was left out: Testbed lab ends at" in page
    assert "as late as is possible now." in page
    assert not Entry.objects.filter(act="extend").exists()


def test_one_reason_is_said_once_for_all_testbeds(
    browser: Client, several: dict[str, Testbed], settings: object
):
    settings.EXPIRY = ExpiryTimes(72 * HOUR, 240 * HOUR, 24 * HOUR, 0 * HOUR)

    page = visible(post(browser, "extend", "lab", "own", "used").content.decode())

    assert "lab, own were left out: The testbed is not up: it has no end." in page
    assert "used was left out: As an operator of testbed sam/used you may not" in page


def test_list_keeps_its_place_after_an_act(
    browser: Client, several: dict[str, Testbed]
):
    page = browser.get("/?q=a&sort=-run").content.decode()
    assert 'name="back" value="/?q=a&amp;sort=-run"' in page.split('id="ticked"')[1]

    form = {"act": "up", "testbed": ["lab"], "back": "/?q=a&sort=-run"}
    assert browser.post(TICKED, form).headers["Location"] == "/?q=a&sort=-run"
    asked = browser.post(TICKED, form | {"act": "delete", "testbed": ["own"]})
    assert 'name="back" value="/?q=a&amp;sort=-run"' in asked.content.decode()


@pytest.mark.parametrize("back", ["https://x.example/", "//x.example", "", "a\nb:c"])
def test_form_leads_to_no_other_site(
    browser: Client, several: dict[str, Testbed], back: str
):
    answer = browser.post(TICKED, {"act": "up", "testbed": ["lab"], "back": back})

    assert not answer.headers["Location"].startswith(("https:", "//"))


def test_list_without_ends_offers_no_extension(browser: Client, testbed: Testbed):
    assert 'value="extend"' not in browser.get("/").content.decode()


def test_stranger_is_answered_as_for_a_testbed_that_does_not_exist(
    browser: Client, several: dict[str, Testbed]
):
    pages = [
        visible(post(browser, act, name).content.decode()).replace(name, "NAME")
        for act in ("up", "down", "extend", "delete")
        for name in ("secret", "nosuch")
    ]

    assert pages[0::2] == pages[1::2]
    assert Testbed.objects.filter(slug="secret").exists()


@pytest.mark.parametrize("act", ["up", "down", "extend", "delete"])
def test_user_without_a_share_acts_on_none(
    client: Client, member: User, several: dict[str, Testbed], act: str
):
    client.force_login(member)

    answer = client.post(
        TICKED, {"act": act, "testbed": [*several], "confirm": "x"}, headers=JSON
    )

    assert answer.json()["done"] == []
    assert {one["testbed"] for one in answer.json()["refused"]} == {*several}
    assert not Run.objects.exists()
    assert Testbed.objects.count() == 5


def test_delete_asks_first_and_names_the_testbeds(
    browser: Client, several: dict[str, Testbed]
):
    question = post(browser, "delete", "lab", "own", "used")
    before = Testbed.objects.count()
    answer = answered(browser, question)

    page = visible(question.content.decode())
    assert "Delete 2 testbeds?" in page
    assert "lab, own." in page
    assert (
        "sam/used is left out: As an operator of testbed sam/used you may not delete"
        in page
    )
    assert before == 5
    assert answer.status_code == 302
    left = Testbed.objects.values_list("slug", flat=True)
    assert sorted(left) == ["secret", "seen", "used"]
    assert TrashItem.objects.count() == 2


def test_loss_is_named_with_its_testbed(browser: Client, several: dict[str, Testbed]):
    for name in ("lab", "own"):
        give_run(several[name])

    question = post(browser, "delete", "lab", "own")
    token = browser.post(
        TICKED, {"act": "delete", "testbed": ["lab", "own"]}, headers=JSON
    )

    page = visible(question.content.decode())
    assert "lab: records and logs of 1 run" in page
    assert "own: records and logs of 1 run" in page
    assert token.status_code == 428
    assert Testbed.objects.count() == 5


def give_run(testbed: Testbed) -> None:
    Run.objects.create(
        testbed=testbed,
        command="up",
        plan={},
        asked_by=testbed.owner,
        status="succeeded",
    )


def test_disks_die_after_the_count_was_typed(
    browser: Client, several: dict[str, Testbed]
):
    for name in ("lab", "own"):
        prepare(several[name], Command.GENERATE_ARTEFACTS, Options())
        several[name].project.mark("web", disk="ubuntu_22_04 of today")

    question = post(browser, "delete", "lab", "own")
    wrong = answered(browser, question, typed="lab")
    before = Testbed.objects.count()
    answered(browser, question, typed="2 testbeds")

    page = visible(question.content.decode())
    assert "lab: web on main" in page
    assert "own: web on main" in page
    assert "Type 2 testbeds to confirm" in page
    assert "The name was not typed as it is: 2 testbeds." in wrong.content.decode()
    assert before == 5
    assert not Testbed.objects.filter(slug__in=["lab", "own"]).exists()


def test_list_that_changed_since_the_question_deletes_nothing(
    browser: Client, several: dict[str, Testbed]
):
    give_run(several["lab"])
    question = post(browser, "delete", "lab", "own")
    give_run(several["own"])

    answer = answered(browser, question)

    assert "The list has changed since you were asked." in answer.content.decode()
    assert Testbed.objects.count() == 5


def test_program_deletes_with_the_token_of_the_list(
    browser: Client, several: dict[str, Testbed]
):
    give_run(several["lab"])
    form = {"act": "delete", "testbed": ["lab", "own", "seen"]}
    asked = browser.post(TICKED, form, headers=JSON).json()

    confirm = asked["erases"]["confirm"]
    done = browser.post(TICKED, {**form, "confirm": confirm}, headers=JSON).json()

    assert done["done"] == ["lab", "own"]
    assert [one["testbed"] for one in done["refused"]] == ["sam/seen"]


def test_protected_testbed_is_left_out(
    browser: Client, owner: User, several: dict[str, Testbed]
):
    Protection.objects.create(testbed=several["lab"], guest="", set_by=owner)

    question = post(browser, "delete", "lab", "own")
    answered(browser, question)

    assert "lab is left out:" in visible(question.content.decode())
    assert Testbed.objects.filter(slug="lab").exists()
    assert not Testbed.objects.filter(slug="own").exists()


def test_down_asks_before_tools_are_ended(
    browser: Client, owner: User, several: dict[str, Testbed]
):
    for name in ("lab", "own"):
        prepare(several[name], Command.GENERATE_ARTEFACTS, Options())
    tool = execution(several["lab"], owner, ("web",))
    tool.options["tool"] = True
    tool.save()

    question = post(browser, "down", "lab", "own")
    before = Run.objects.filter(command="down").count()
    answered(browser, question)

    assert f"run {tool.pk}) is ended." in visible(question.content.decode())
    assert before == 0
    assert Run.objects.filter(command="down").count() == 2


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"act": "up"}, "No testbed is ticked."),
        ({"act": "format", "testbed": "lab"}, "There is no such act."),
        ({"testbed": "lab"}, "There is no such act."),
        (
            {"act": "up", "testbed": [f"t{n}" for n in range(51)]},
            "51 testbeds are ticked; 50 at once are possible.",
        ),
        ({"act": "up", "testbed": ["\0", "x" * 9999]}, ""),
    ],
)
def test_wrong_form_is_refused_with_a_sentence(
    browser: Client, several: dict[str, Testbed], form: dict[str, object], words: str
):
    answer = browser.post(TICKED, form, follow=True)

    assert answer.status_code in (200, 422)
    assert words in visible(answer.content.decode())
    assert not Run.objects.exists()


def test_row_that_the_user_may_not_act_on_has_no_box(
    browser: Client, several: dict[str, Testbed]
):
    page = browser.get("/").content.decode()

    assert 'id="tick-used"' in page
    assert 'id="tick-seen"' not in page
