"""Commands, scripts and files on two guests: on main, and behind a Debian 13 host.

Each test creates executions inside the product as a page does; the server drives them.
The guests boot once, and the last test ends one of them.
"""

import json
import os
from hashlib import sha256

import pytest

from testbed.client.api import Client
from tests.live.stack import Stack
from tests.live.watch import DATA, Guest, holdings, project, ran

pytestmark = pytest.mark.live
SLUG = "executing"
BIG_BYTES = 32 * 2**20
SMALL_FILES = 300
PATIENCE_S = 300
EXECUTE = """
import json, time
from django.contrib.auth.models import User
from orchestration.plan.execution import parse_execution
from testbed.models import Run, Task, Testbed
from testbed.runs.creation import create_execution
from testbed.runs.dispatch import hand_over

asked = json.loads(ASKED)
owner = User.objects.get(username="owner")
testbed = Testbed.objects.get(slug=asked["slug"])
runs = []
for wanted in asked["wanted"]:
    runs.append(create_execution(testbed, owner, parse_execution(wanted)))
    hand_over(runs[-1].pk, "")
deadline = time.monotonic() + asked["patience_s"]
active = Run.objects.active().filter(pk__in=[run.pk for run in runs])
while active.exists() and time.monotonic() < deadline:
    time.sleep(0.1)
print(json.dumps([
    {
        "number": run.pk,
        "status": Run.objects.get(pk=run.pk).status,
        "message": Run.objects.get(pk=run.pk).message,
        "tasks": {
            task.resource: [task.status, task.message, (task.answer or {}).get("exit_code")]
            for task in Task.objects.filter(instruction__run=run).exclude(resource="")
        },
    }
    for run in runs
]))
"""


@pytest.fixture(scope="module", autouse=True)
def _testbed(stack: Stack, owner: Client):
    before = holdings(stack)
    owner.create_testbed(SLUG, DATA / "pair")
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    files = project(stack, SLUG).files
    (files / "many" / "sub").mkdir(parents=True)
    for number in range(SMALL_FILES):
        (files / "many" / "sub" / f"{number}").write_text(f"{number}\n")
    (files / "many" / "run").write_text("#!/bin/sh\necho ran\n")
    (files / "many" / "run").chmod(0o750)
    os.utime(files / "many" / "run", (1_000_000_000, 1_000_000_000))
    (files / "big").write_bytes(os.urandom(BIG_BYTES))
    yield
    assert ran(owner, SLUG, "down").status == "succeeded"
    assert holdings(stack) == before


@pytest.fixture(name="guests")
def _guests(stack: Stack) -> list[Guest]:
    return [Guest(stack, SLUG, name) for name in ("near", "away")]


def executed(stack: Stack, *wanted: dict) -> list[dict]:
    """Execute on all guests at once, and return how each execution ended."""
    asked = {
        "slug": SLUG,
        "wanted": [{"selection": "@all", **each} for each in wanted],
        "patience_s": PATIENCE_S,
    }
    found: list[dict] = json.loads(
        stack.shell(f"ASKED = {json.dumps(asked)!r}\n{EXECUTE}")
    )
    return found


def pushing(path: str, target: str) -> dict:
    return {
        "form": "push",
        "path": path,
        "target": target,
        "conditions": {"sudo": True},
    }


def fetching(path: str) -> dict:
    return {"form": "fetch", "path": path, "conditions": {"sudo": True}}


def test_programs_end_as_they_do_in_the_guest(stack):
    lines = ("true", "exit 1", "no-such-program", "kill -KILL $$")
    commands = [{"form": "shell", "words": [line]} for line in lines]
    script = {"form": "script", "text": "#!/bin/sh\necho $1\n", "words": ["x"]}
    plain = {"form": "command", "words": ["uname", "-s"]}

    found = executed(stack, *commands, script, plain)

    codes = [{task[2] for task in run["tasks"].values()} for run in found]
    assert codes == [{0}, {1}, {127}, {137}, {0}, {0}], found
    answers = project(stack, SLUG).answers(found[5]["number"])
    assert {(answers / name).read_text() for name in ("near", "away")} == {"OLinux\n"}


def test_folder_travels_there_and_back_with_modes_and_times(stack, guests):
    pushed, single = executed(
        stack, pushing("many", "/srv/many"), pushing("many/run", "/srv/run")
    )
    [fetched] = executed(stack, fetching("/srv/many"))

    assert (pushed["status"], single["status"]) == ("succeeded", "succeeded"), pushed
    assert fetched["status"] == "succeeded", fetched
    for guest in guests:
        assert guest.run("find /srv/many -type f | wc -l") == str(SMALL_FILES + 1)
        assert guest.run("stat -c '%a %Y' /srv/run /srv/many/run").split("\n") == [
            *("750 1000000000", "750 1000000000")
        ]
        assert guest.run("find /srv -name '.*'") == ""
    files = project(stack, SLUG).files
    for name in ("near", "away"):
        arrived = project(stack, SLUG).fetched(fetched["number"]) / name / "many"
        assert (arrived / "sub" / "299").read_text() == "299\n"
        assert (arrived / "run").read_bytes() == (files / "many/run").read_bytes()
        assert (arrived / "run").stat().st_mtime == 1_000_000_000


def test_large_file_arrives_as_it_is(stack, guests):
    [pushed] = executed(stack, pushing("big", "/srv/big"))

    digest = sha256((project(stack, SLUG).files / "big").read_bytes()).hexdigest()
    assert pushed["status"] == "succeeded", pushed
    for guest in guests:
        assert guest.run("sha256sum < /srv/big").split()[0] == digest


def test_wrong_targets_get_one_sentence_for_each_guest(stack):
    found = executed(
        stack,
        pushing("many/run", "/srv"),
        {**pushing("many/run", "/etc/x"), "conditions": {}},
        pushing("gone", "/srv/gone"),
        fetching("/no/such"),
    )

    messages = [run["tasks"]["away"][1] for run in found]
    assert messages == [
        "/srv is a folder in guest away, and a file was to be pushed there.",
        "Could not write /etc/x in guest away.",
        "gone is not in the testbed's folder.",
        "There is no /no/such in guest away, or the user may not see it.",
    ]


def test_dead_guest_keeps_none_of_the_others(stack):
    domain = project(stack, SLUG).read_state().guest("away").domain
    stack.other.run("virsh", "destroy", domain)

    found = executed(
        stack,
        {"form": "command", "words": ["true"]},
        pushing("many/run", "/srv/again"),
        fetching("/srv/run"),
    )

    for run in found:
        assert run["tasks"]["near"][0] == "done", run
        status, message, _ = run["tasks"]["away"]
        assert status == "failed"
        assert message.startswith("Guest away on host-b does not answer: "), message
