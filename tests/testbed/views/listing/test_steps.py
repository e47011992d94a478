"""The first steps above the list: what is done, what is next, and gone for good."""

from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client

from testbed.access.permissions import Act, record_act
from testbed.models import Run, Testbed
from testbed.runs.outcome import finish_run
from tests.testbed.reading import visible


def steps(browser: Client) -> str:
    """Return the visible text of the steps; empty where there are none."""
    page = browser.get("/").content.decode()
    _, _, found = page.partition('id="first-steps"')
    return visible(f"<p {found.partition('</section>')[0]}") if found else ""


def test_new_user_is_led_to_the_first_testbed(browser: Client):
    shown = steps(browser)

    assert "First steps" in shown
    assert (
        "Create a testbed From an example, or from your own YAML. New testbed" in shown
    )
    assert "done" not in shown


def test_each_step_that_was_done_leads_to_the_next(
    browser: Client, testbed: Testbed, owner: User
):
    assert "Create a testbed done" in steps(browser)
    assert "Up on its page starts its guests and networks. lab" in steps(browser)

    run = Run.objects.create(
        testbed=testbed, command="up", plan={}, asked_by=owner, status="running"
    )
    record_act(owner, Act.UP, testbed, "Up", run=run)
    assert "Bring it up done" not in steps(browser)
    finish_run(run.pk, Run.Status.SUCCEEDED)
    assert "Bring it up done" in steps(browser)

    record_act(owner, Act.CONSOLE, testbed, "opened the serial console of web")
    assert steps(browser) == ""


def test_done_steps_do_not_come_back_with_the_last_deletion(
    browser: Client, testbed: Testbed, owner: User
):
    record_act(owner, Act.EDIT, testbed, "created it from an example")
    testbed.delete()

    shown = steps(browser)

    assert "Create a testbed done" in shown
    assert "Up on its page starts its guests and networks. New testbed" in shown


def test_hidden_steps_stay_hidden_for_this_user_alone(
    browser: Client, client: Client, testbed: Testbed, stranger: User
):
    for _ in range(2):
        assert browser.post("/first-steps/").headers["Location"] == "/"
    assert steps(browser) == ""

    client.force_login(stranger)
    assert "First steps" in steps(client)


def test_steps_cost_one_query_and_a_poll_none(
    browser: Client,
    testbed: Testbed,
    django_assert_max_num_queries: Callable[..., object],
):
    poll = {"HX-Request": "true", "HX-Target": "testbeds"}
    assert "first-steps" not in browser.get("/", headers=poll).content.decode()

    with django_assert_max_num_queries(15):
        browser.get("/")


def test_step_to_a_console_leads_to_a_testbed_that_is_up(
    browser: Client, testbed: Testbed, owner: User
):
    run = Run.objects.create(
        testbed=testbed, command="up", plan={}, asked_by=owner, status="running"
    )
    record_act(owner, Act.UP, testbed, "Up", run=run)
    finish_run(run.pk, Run.Status.SUCCEEDED)
    Testbed.objects.update(condition=Testbed.Condition.UP)
    Testbed.objects.create(owner=owner, slug="newer", number=9)

    assert steps(browser).endswith("has its serial line and screen. lab")
