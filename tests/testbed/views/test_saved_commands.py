"""Commands that are saved with parameters, run by name, and shared by admins."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.models import Run, SavedCommand, Testbed
from tests.testbed.reading import squeezed, visible

PAGE, RUN = "/testbeds/olive/lab/commands/", "/testbeds/olive/lab/exec/"
PING = {"name": "ping", "form": "shell", "line": "ping -c1 {host} | tail -1"}


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


def test_command_is_saved_and_asks_for_its_parameters(browser: Client):
    answer = browser.post(PAGE, PING | {"selection": "web"})

    page = browser.get(PAGE).content.decode()
    assert answer["Location"] == PAGE
    assert "ping -c1 {host} | tail -1" in visible(page)
    assert 'name="value-host"' in squeezed(page)
    assert 'name="selection" autocomplete="off" value="web"' in squeezed(page)


def test_value_is_quoted_for_the_shell_when_it_runs(browser: Client):
    browser.post(PAGE, PING)
    saved = SavedCommand.objects.get()

    values = {"saved": saved.pk, "selection": "db", "value-host": "a; id"}
    browser.post(RUN, values)

    options = Run.objects.get().options
    assert options["words"] == ["ping -c1 'a; id' | tail -1"]
    assert options["selection"] == "db"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": " "}, "A saved command has a name"),
        ({"name": "a\0b"}, "A saved command has a name"),
        ({"line": 'echo "{host}"'}, "The parameter host stands inside of quotes"),
        ({"line": ""}, "There is no command."),
    ],
)
def test_refused_command_is_not_saved(browser: Client, values, sentence):
    answer = browser.post(PAGE, PING | values)

    assert answer.status_code == 422
    assert sentence in visible(answer.content.decode())
    assert not SavedCommand.objects.exists()


def test_refused_command_keeps_its_name_in_the_form(browser: Client):
    wrong = PING | {"name": "greet", "line": 'echo "{host}"'}

    page = browser.post(PAGE, wrong).content.decode()

    assert 'value="greet"' in page
    assert 'command__save" open' in page


def test_missing_value_and_unknown_command_run_nothing(browser: Client):
    browser.post(PAGE, PING)
    saved = SavedCommand.objects.get().pk

    answers = [
        browser.post(RUN, {"saved": saved, "selection": "db"}),
        browser.post(RUN, {"saved": "999", "selection": "db"}),
        browser.post(RUN, {"saved": saved, "selection": "d\0", "value-host": "a"}),
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 422]
    assert "A NUL character" in visible(answers[-1].content.decode())
    assert not Run.objects.exists()


def test_same_name_replaces_the_command(browser: Client):
    browser.post(PAGE, PING)
    browser.post(PAGE, PING | {"line": "true"})

    assert SavedCommand.objects.get().execution["words"] == ["true"]


def test_only_an_admin_shares_a_command_with_all_testbeds(
    client: Client, browser: Client, admin: User, stranger: User, owner: User
):
    Testbed.objects.create(owner=stranger, slug="far", number=9)
    refused = browser.post(PAGE, PING | {"shared": "on"})
    client.force_login(admin)
    client.post(PAGE, PING | {"shared": "on"})
    shared = SavedCommand.objects.get()
    client.force_login(stranger)
    seen = client.get("/testbeds/far/commands/").content.decode()
    deleted = client.post(
        "/testbeds/far/commands/delete/", {"command": shared.pk}
    ).status_code

    assert (refused.status_code, deleted) == (403, 403)
    assert "ping" in visible(seen)
    assert "all testbeds" in visible(seen)
    assert SavedCommand.objects.filter(testbed=None).exists()


def test_command_is_deleted_by_the_testbeds_owner_only(
    client: Client, browser: Client, stranger: User, owner: User
):
    browser.post(PAGE, PING)
    saved = SavedCommand.objects.get().pk
    Testbed.objects.create(owner=stranger, slug="far", number=9)
    client.force_login(stranger)
    foreign = client.post("/testbeds/far/commands/delete/", {"command": saved})
    client.force_login(owner)
    own = client.post("/testbeds/olive/lab/commands/delete/", {"command": saved})

    assert (foreign.status_code, own.status_code) == (404, 302)
    assert not SavedCommand.objects.exists()


def test_history_finds_commands_by_text_and_user(
    browser: Client, page: Client, owner: User, admin: User
):
    wanted = {"selection": "web", "form": "command"}
    browser.force_login(owner)
    browser.post(RUN, wanted | {"line": "uname -r"})
    browser.post(RUN, wanted | {"line": "uptime"})
    browser.force_login(admin)
    browser.post(RUN, wanted | {"line": "id"})

    def found(text: str) -> str:
        query = {"kind": "exec", "text": text}
        return visible(browser.get("/testbeds/olive/lab/runs/", query).content.decode())

    assert ("uname -r" in found("UNAME"), "uptime" in found("UNAME")) == (True, False)
    assert ("id" in found("ada"), "uptime" in found("ada")) == (True, False)
    assert "uptime on web" in found("uptime")
    assert "No run fits." in found("nothing")


def test_stored_command_that_is_refused_now_is_listed_and_deleted(
    browser: Client, owner: User, deployed: Testbed
):
    browser.post(PAGE, PING)
    stored = {"form": "command", "words": ["a=b"], "conditions": {"limit": 5}}
    old = SavedCommand.objects.create(
        testbed=deployed, name="old", execution=stored, saved_by=owner
    )

    page = visible(browser.get(PAGE).content.decode())
    started = browser.post(RUN, {"saved": old.pk, "selection": "web"})
    browser.post(f"{PAGE}delete/", {"command": old.pk})

    assert "ping -c1 {host} | tail -1" in page
    assert "It cannot run any more. conditions of a command has no key limit" in page
    assert started.status_code == 422
    assert [row.name for row in SavedCommand.objects.all()] == ["ping"]
