"""The command bar of a testbed's page, which works without a script."""

import re
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.execution import Conditions, Execution, Form
from testbed.models import Run, Testbed
from tests.testbed.answer_rows import UNAME, end, execution
from tests.testbed.reading import squeezed, visible


@pytest.fixture
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


def shown(browser: Client, query: str = "") -> str:
    return squeezed(browser.get(f"/testbeds/olive/lab/{query}").content.decode())


def test_bar_is_there_while_guests_may_run(browser: Client, deployed: Testbed):
    up = shown(browser)
    Testbed.objects.update(condition=Testbed.Condition.DOWN)
    down = shown(browser)

    assert 'id="command-form"' in up
    assert 'id="command-form"' not in down
    assert "data-tick" not in down


def test_ticked_rows_are_sent_with_the_form(browser: Client, deployed: Testbed):
    page = shown(browser)

    boxes = re.findall(r'<input type="checkbox" name="guests" value="(\w+)" form', page)
    assert sorted(boxes) == ["db", "web"]


def test_scripts_are_the_testbeds_files(browser: Client, deployed: Testbed):
    deployed.project.file("setup.sh").write_text("id\n")

    assert "<option>setup.sh</option>" in shown(browser)


def test_files_and_folders_of_the_testbed_can_be_pushed(
    browser: Client, deployed: Testbed
):
    (deployed.project.files / "site/css").mkdir(parents=True)
    (deployed.project.files / "site/css/a.css").write_text("a {}")

    page = shown(browser)

    offered = re.findall(r'<option value="([^"]+)">([^<]+)<', page)
    assert offered[:3] == [
        ("site", "site/"),
        ("site/css", "site/css/"),
        ("kvm-compose.yaml", "kvm-compose.yaml"),
    ]
    assert ("site/css/a.css", "site/css/a.css") in offered


def test_refused_copy_names_the_field_and_stays_as_it_was_typed(
    browser: Client, deployed: Testbed
):
    values = {"selection": "web", "form": "push", "source": "kvm-compose.yaml"}

    answer = browser.post("/testbeds/olive/lab/exec/", values | {"target": "srv/x"})

    page = squeezed(answer.content.decode())
    assert answer.status_code == 422
    assert 'value="push" checked' in page
    assert '<option value="kvm-compose.yaml" selected>' in page
    assert 'value="srv/x"' in page
    assert 'id="command-target-error">Write a full path' in page
    assert page.count("aria-invalid") == 1


def test_refused_command_stays_as_it_was_typed(browser: Client, deployed: Testbed):
    values = {"selection": "x-*", "form": "shell", "line": "a | b", "sudo": "on"}

    answer = browser.post("/testbeds/olive/lab/exec/", values)

    page = squeezed(answer.content.decode())
    assert "selects no guest" in visible(page)
    assert 'value="x-*"' in page
    assert 'value="a | b"' in page
    assert 'value="shell" checked' in page
    assert 'name="sudo" checked' in page
    assert '<details class="fold" open><summary>' in page


def test_earlier_commands_are_recalled_each_once(
    browser: Client, deployed: Testbed, owner: User
):
    for form, words in (
        (Form.COMMAND, ("echo", "a b")),
        (Form.SHELL, ("ls | wc",)),
        (Form.COMMAND, ("echo", "a b")),
        (Form.SCRIPT, ()),
        (Form.COMMAND, ("echo", "x" * 4096)),
    ):
        wanted = Execution(form, "@all", words, text="id")
        end(execution(deployed, owner, ("web",), wanted))

    page = shown(browser)

    found = re.findall(r'data-form="(\w+)" data-line="([^"]*)"', page)
    assert found == [("command", "echo &#x27;a b&#x27;"), ("shell", "ls | wc")]


def test_earlier_run_fills_the_bar(browser: Client, deployed: Testbed, owner: User):
    conditions = Conditions(env={"A": "1"}, timeout_s=5)
    wanted = Execution(
        Form.SCRIPT, "web", ("x", "y z"), text="id\n", conditions=conditions
    )
    run = execution(deployed, owner, ("web",), wanted)

    page = shown(browser, f"?again={run.pk}")
    unknown = browser.get("/testbeds/olive/lab/?again=none")

    assert 'value="script" checked' in page
    assert 'value="x &#x27;y z&#x27;"' in page
    assert ">A=1</textarea>" in page
    assert 'max="86400" value="5"' in page
    assert unknown.status_code == 422


@pytest.mark.parametrize(
    ("wanted", "filled"),
    [
        (Execution(Form.FETCH, "web", path="/var/log"), 'name="remote"'),
        (Execution(Form.PUSH, "web", path="x", target="/var/log"), 'name="target"'),
    ],
)
def test_earlier_copy_fills_the_bar(
    browser: Client, deployed: Testbed, owner: User, wanted, filled
):
    run = execution(deployed, owner, ("web",), wanted)

    page = shown(browser, f"?again={run.pk}")

    assert f'value="{wanted.form}" checked' in page
    tag = re.search(f"<input[^>]*{filled}[^>]*>", page)
    assert tag is not None
    assert 'value="/var/log"' in tag[0]


def test_command_of_another_user_keeps_up_and_down_away(
    browser: Client, deployed: Testbed, owner: User, admin: User
):
    running = execution(deployed, admin, ("web",))
    end(execution(deployed, owner, ("web",)))

    page = visible(browser.get("/testbeds/olive/lab/").content.decode())

    assert Run.objects.active().get() == running
    assert "ada runs Command since" in page


def test_runs_are_listed_with_their_commands(
    browser: Client, deployed: Testbed, owner: User
):
    execution(deployed, owner, ("web",))

    assert "uname" in visible(browser.get("/testbeds/olive/lab/runs/").content.decode())


def test_long_selections_are_shortened_in_lists(
    browser: Client, deployed: Testbed, owner: User
):
    many = replace(UNAME, selection=",".join(f"web-{n}" for n in range(5000)))
    end(execution(deployed, owner, ("web",), many))
    execution(deployed, owner, ("web",), replace(many, tool=True))

    pages = [
        browser.get(f"/testbeds/olive/lab/{part}").content for part in ("", "runs/")
    ]

    assert all(b"web-9" in page for page in pages)
    assert not any(b"web-99" in page for page in pages)
