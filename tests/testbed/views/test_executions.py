"""Commands for guests over HTTP: forms for people, JSON for programs."""

import logging
import re

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.model import Command
from orchestration.state.selection import HINT
from testbed.models import Run, Testbed
from testbed.runs.creation import create_run
from tests.testbed.conftest import ShareWith
from tests.testbed.reading import visible

PAGE, MATCH = "/testbeds/olive/lab/exec/", "/testbeds/olive/lab/exec/match/"
JSON = {"Accept": "application/json"}
UNAME = {"selection": "@all", "form": "command", "line": "uname -a"}


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


def conditions(run: Run) -> dict[str, object]:
    return run.plan["execution"]["conditions"]


def test_form_starts_a_run_and_leads_to_its_page(browser: Client):
    answer = browser.post(PAGE, UNAME)

    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert run.plan["execution"]["words"] == ["uname", "-a"]
    assert run.plan["instructions"][0]["resources"][0]["name"] == "web"


def test_ticked_guests_join_the_selection(browser: Client):
    browser.post(PAGE, {**UNAME, "selection": "", "guests": ["db", "web"]})
    browser.post(PAGE, {**UNAME, "selection": "web", "guests": ["db"]})

    found = [run.options["selection"] for run in Run.objects.order_by("pk")]
    assert found == ["db,web", "web,db"]


@pytest.mark.parametrize(
    ("form", "line", "words"),
    [
        ("command", "printf '%s' \"a b\" $HOME", ["printf", "%s", "a b", "$HOME"]),
        ("shell", "echo $HOME | wc -c", ["echo $HOME | wc -c"]),
    ],
)
def test_shell_reads_the_line_only_when_asked_for(browser: Client, form, line, words):
    browser.post(PAGE, {**UNAME, "form": form, "line": line})

    assert Run.objects.get().options["words"] == words


def test_command_of_several_lines_is_one_line_of_the_log(
    browser: Client, caplog: pytest.LogCaptureFixture
):
    line = "true\r\nact execute by admin on lab: \x1b[8mreboot"

    with caplog.at_level(logging.INFO):
        browser.post(PAGE, {**UNAME, "form": "shell", "line": line})

    [record] = [text for text in caplog.messages if text.startswith("act ")]
    assert record.isprintable()
    assert r"true\r\nact execute by admin on lab: \x1b[8mreboot" in record


def test_form_takes_every_condition(browser: Client):
    browser.post(
        PAGE,
        UNAME
        | {"sudo": "on", "env": "A=1\r\nB=x=y\r\n", "folder": "/srv", "stdin": "a\r\n"}
        | {"timeout_s": "5", "parallel": "2", "in_order": "on", "stop_after": "3"},
    )

    found = conditions(Run.objects.get())
    assert (found["env"], found["stdin"]) == ({"A": "1", "B": "x=y"}, "a\n")
    assert (found["sudo"], found["folder"], found["in_order"]) == (True, "/srv", True)
    numbers = (found["timeout_s"], found["parallel"], found["stop_after"])
    assert numbers == (5, 2, 3)


def test_pasted_script_goes_before_a_chosen_one(browser: Client):
    text = {"text": "#!/bin/sh\r\nid\r\n", "path": "setup.sh", "arguments": "a 'b c'"}
    browser.post(PAGE, {"selection": "web", "form": "script", **text})

    found = Run.objects.get().options
    assert (found["path"], found["text"]) == ("", "#!/bin/sh\nid\n")
    assert found["words"] == ["a", "b c"]


@pytest.mark.parametrize(
    ("values", "title"),
    [
        (
            {"form": "push", "source": "kvm-compose.yaml", "target": "/opt/x"},
            "push kvm-compose.yaml to /opt/x",
        ),
        ({"form": "fetch", "remote": "/var/log"}, "fetch /var/log"),
    ],
)
def test_form_starts_copies_without_the_conditions_of_programs(
    browser: Client, values, title
):
    browser.post(PAGE, UNAME | values | {"sudo": "on", "stdin": "x", "env": "A=1"})

    run = Run.objects.get()
    assert run.title == title
    assert run.options["words"] == []
    found = conditions(run)
    assert (found["sudo"], found["stdin"], found["env"]) == (True, "", {})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"selection": ""}, "No guest is selected."),
        ({"selection": "x-*"}, "`x-*` selects no guest."),
        ({"line": "echo 'a"}, "The command has a quote that is not closed."),
        ({"line": ""}, "There is no command."),
        ({"env": "A"}, "`A` sets no environment variable."),
        ({"timeout_s": "long"}, "Time limit: Enter a whole number."),
        ({"form": "hold"}, "Kind: Select a valid choice."),
        ({"form": "push"}, "File or folder: Choose a file or folder"),
        (
            {"form": "push", "source": "kvm-compose.yaml", "target": "srv"},
            "Path in the guest: Write a full path",
        ),
        ({"form": "fetch"}, "Path in the guest: Write a full path"),
    ],
)
def test_refusal_is_a_sentence_and_makes_no_run(browser: Client, values, sentence):
    page = browser.post(PAGE, UNAME | values)
    shape = browser.post(PAGE, UNAME | values, headers=JSON)

    assert (page.status_code, shape.status_code) == (422, 422)
    assert sentence.replace("`", "") in visible(page.content.decode())
    assert shape.json()["error"].startswith(sentence)
    assert not Run.objects.exists()


def test_refusal_stands_in_the_bar_and_is_focused(browser: Client):
    page = browser.post(PAGE, UNAME | {"selection": "nobody"}).content.decode()

    before, _, bar = page.partition('id="command-bar"')
    assert 'id="refusal"' not in before
    assert 'id="refusal" role="alert" tabindex="-1" autofocus' in bar


@pytest.mark.parametrize("form", ["exec", "captures", "power"])
def test_address_of_a_refused_form_leads_to_the_testbed(browser: Client, form: str):
    refused = browser.post(f"/testbeds/olive/lab/{form}/")
    again = browser.get(f"/testbeds/olive/lab/{form}/")

    assert refused.status_code == 422
    assert (again.status_code, again["Location"]) == (302, "/testbeds/olive/lab/")


def test_program_sends_json_and_gets_the_plan(browser: Client):
    wanted = {"form": "shell", "selection": "web", "words": ["id"]}

    answer = browser.post(PAGE, wanted, content_type="application/json")

    shape = answer.json()
    assert shape["run"] == Run.objects.get().pk
    assert [entry["kind"] for entry in shape["instructions"]] == ["run-program", "end"]
    assert shape["instructions"][0]["resources"] == ["web"]


@pytest.mark.parametrize(
    ("wanted", "kind", "title"),
    [
        (
            {"form": "push", "path": "kvm-compose.yaml", "target": "/opt/x"},
            "push-files",
            "push kvm-compose.yaml to /opt/x",
        ),
        ({"form": "fetch", "path": "/var/log"}, "fetch-files", "fetch /var/log"),
    ],
)
def test_program_pushes_and_fetches_files(browser: Client, wanted, kind, title):
    body = wanted | {"selection": "web"}

    answer = browser.post(PAGE, body, content_type="application/json").json()

    assert answer["instructions"][0]["kind"] == kind
    page = browser.get(f"/runs/{answer['run']}/")
    assert page.status_code == 200
    assert title in visible(page.content.decode())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "The body is not the JSON of a command."),
        (b"[" * 100_000, "The body is not the JSON of a command."),
        (b"[]", "The command cannot be read"),
        (b'{"form": "command", "selection": "web"}', "There is no command."),
        (
            b'{"form": "command", "selektion": "web"}',
            "A command has no key `selektion`.",
        ),
        (
            b'{"form": "command", "words": ["id"], "conditions": {"timeout": 5}}',
            "`conditions` of a command has no key `timeout`.",
        ),
        (
            b'{"form": "capture", "capture": {"guest": "web", "seconds": 5}}',
            "`capture` of a command has no key `seconds`.",
        ),
    ],
)
def test_program_gets_a_refusal_as_json(browser: Client, body, error):
    answer = browser.post(PAGE, body, content_type="application/json")

    assert answer.status_code == 422
    assert answer.json()["error"].startswith(error)


def test_refusal_of_a_key_names_those_that_there_are(browser: Client):
    body = {"form": "command", "words": ["id"], "conditions": {"timeout": 5}}

    answer = browser.post(PAGE, body, content_type="application/json")

    assert answer.json()["hint"] == (
        "It has user, sudo, env, folder, stdin, timeout_s, parallel, in_order, "
        "stop_after."
    )


def test_busy_testbed_says_who_waits_for_whom(
    browser: Client, deployed: Testbed, share: ShareWith
):
    create_run(deployed, share(deployed, "operator"), Command.DOWN)

    answer = browser.post(PAGE, UNAME, headers=JSON)

    assert answer.status_code == 409
    assert answer.json()["error"].startswith(
        "a-operator (operator) has been running down on"
    )


def test_stranger_starts_nothing(client: Client, stranger: User):
    client.force_login(stranger)

    assert client.post(PAGE, UNAME).status_code == 404
    assert not Run.objects.exists()


def test_each_command_is_logged_with_its_user(
    page: Client, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "testbed.access.record"):
        page.post(PAGE, UNAME)

    number = Run.objects.get().pk
    said = f"act execute by ada (lab admin) on olive's testbed lab: uname -a on @all, run {number}"
    assert said in caplog.messages


def test_runs_address_starts_no_command_for_guests(browser: Client):
    answer = browser.post(
        "/testbeds/olive/lab/runs/", {"command": "exec"}, headers=JSON
    )

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ("@all", "2 guests db,web"),
        ("@bridge:lan", "1 guest web"),
        ("x", "There is no guest x in this testbed."),
    ],
)
def test_match_shows_which_guests_it_is(browser: Client, selection, said):
    answer = browser.get(MATCH, {"selection": selection})

    assert answer.status_code == 200
    assert said in visible(answer.content.decode())


def test_match_is_json_for_programs(browser: Client):
    found = browser.get(MATCH, {"selection": "!db"}, headers=JSON)
    wrong = browser.get(MATCH, {"selection": "web["}, headers=JSON)

    assert found.json() == {"guests": ["web"], "folded": "web", "count": 1}
    assert wrong.status_code == 422
    assert "cannot be read" in wrong.json()["error"]


def test_empty_selection_names_every_group_as_the_manual_does(browser: Client):
    page = browser.get(MATCH, {"selection": ""}).content.decode()

    manual = (settings.BASE_DIR / "docs/exec.md").read_text(encoding="utf-8")
    for group in re.findall(r"@\w+(?::NAME)?", HINT):
        assert group in page
        assert group.removesuffix("NAME") in manual
