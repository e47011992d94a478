"""Commands, scripts and files on two guests: on main, and behind a Debian 13 host.

Each test creates executions inside the product as a page does; the server drives them.
The last test ends one of the guests.
"""

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from hashlib import sha256

import pytest

from tests.live.client import Client
from tests.live.odd_words import ODD_WORDS
from tests.live.pair.conftest import SLUG
from tests.live.stack import Stack
from tests.live.watch import Guest, cancel, project

pytestmark = pytest.mark.live
BIG_BYTES = 8 * 2**20
HUGE_BYTES = 300 * 2**20
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
testbed = Testbed.objects.get(name=asked["slug"])
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
def _files(stack: Stack, running: None) -> Iterator[None]:
    files = project(stack, SLUG).files
    (files / "many" / "sub").mkdir(parents=True)
    for number in range(SMALL_FILES):
        (files / "many" / "sub" / f"{number}").write_text(f"{number}\n")
    (files / "many" / "run").write_text("#!/bin/sh\necho ran\n")
    (files / "many" / "run").chmod(0o750)
    os.utime(files / "many" / "run", (1_000_000_000, 1_000_000_000))
    (files / "big").write_bytes(os.urandom(BIG_BYTES))
    with (files / "huge").open("wb") as file:
        file.truncate(HUGE_BYTES)
    yield
    shutil.rmtree(files / "many")
    for name in ("big", "huge"):
        (files / name).unlink()


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


def driven(owner: Client, *wanted: dict) -> list[dict]:
    """Execute one after the other as a program does, also what is long."""
    found = []
    for each in wanted:
        run = owner.ask(SLUG, "exec", **{"selection": "@all", **each})
        status = owner.drive(run, lambda _: None)
        found.append({"number": run.number, "status": status})
    return found


def printed(stack: Stack, run: dict, guest: str) -> str:
    """Return what one guest printed on its standard output."""
    lines = (project(stack, SLUG).answers(run["number"]) / guest).read_text()
    return "".join(f"{line[1:]}\n" for line in lines.splitlines())


def test_arguments_reach_the_program_as_they_are(stack, owner):
    digest = sha256("".join(f"{word}\0" for word in ODD_WORDS).encode()).hexdigest()
    sums = 'printf "%s\\0" "$@" | sha256sum'
    script = f"#!/bin/sh\n{sums}\n"
    values = {"A": "a 'b\" $HOME\n`id`", "B": ODD_WORDS[-1]}

    found = driven(
        owner,
        {"form": "command", "words": ["sh", "-c", sums, "sh", *ODD_WORDS]},
        {"form": "script", "text": script, "words": ODD_WORDS},
        {"form": "shell", "words": [f"set -- {shlex.join(ODD_WORDS)}; {sums}"]},
        {
            "form": "command",
            "words": ["sh", "-c", 'printf "%s\\0" "$A" "$B" "$(cat)" | sha256sum'],
            "conditions": {"env": values, "stdin": ODD_WORDS[7], "sudo": True},
        },
    )

    texts = (*values.values(), ODD_WORDS[7])
    surroundings = sha256("".join(f"{text}\0" for text in texts).encode()).hexdigest()
    for run, expected in zip(found, (*[digest] * 3, surroundings), strict=True):
        assert run["status"] == "succeeded", run
        for guest in ("near", "away"):
            assert printed(stack, run, guest) == f"{expected}  -\n"


@pytest.mark.parametrize("guest", ["near", "away"])
def test_each_form_does_its_work_in_one_guest(stack, guest):
    forms = (
        {"form": "command", "words": ["hostname"]},
        {"form": "script", "path": "many/run"},
        pushing("many/run", "/srv/alone/run"),
        pushing("many", "/srv/alone/many"),
    )
    [fetch] = [fetching("/srv/alone")]

    done = executed(stack, *({**form, "selection": guest} for form in forms))
    [fetched] = executed(stack, {**fetch, "selection": guest})

    assert {run["status"] for run in (*done, fetched)} == {"succeeded"}, done
    assert all(list(run["tasks"]) == [guest] for run in done)
    assert printed(stack, done[1], guest) == "ran\n"
    arrived = project(stack, SLUG).fetched(fetched["number"]) / guest / "alone"
    assert (arrived / "run").read_text() == (arrived / "many/run").read_text()


def test_folder_travels_there_and_back_with_modes_and_times(stack, owner, guests):
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
    listed = owner.pages.read(
        f"/runs/{fetched['number']}/fetched/?guest=near&path=many"
    )
    assert ">sub/</a>" in listed
    files = project(stack, SLUG).files
    for name in ("near", "away"):
        arrived = project(stack, SLUG).fetched(fetched["number"]) / name / "many"
        assert (arrived / "sub" / "299").read_text() == "299\n"
        assert (arrived / "run").read_bytes() == (files / "many/run").read_bytes()
        assert (arrived / "run").stat().st_mtime == 1_000_000_000


@pytest.mark.slow
def test_large_file_arrives_as_it_is(stack, guests):
    [pushed] = executed(stack, pushing("big", "/srv/big"))

    digest = sha256((project(stack, SLUG).files / "big").read_bytes()).hexdigest()
    assert pushed["status"] == "succeeded", pushed
    for guest in guests:
        assert guest.run("sha256sum < /srv/big").split()[0] == digest


def test_cancel_in_the_middle_of_a_push_leaves_no_half_file(stack, owner, guests):
    wanted = {"selection": "@all", **pushing("huge", "/srv/huge")}
    started = owner.ask(SLUG, "exec", **wanted)
    seen = []

    def cancel_in_the_middle(frame):
        is_progress = frame.get("kind") == "task-progressed"
        if is_progress and not seen and frame["data"]["done"] > 0:
            seen.append(frame["data"])
            cancel(owner, started.number)

    status = owner.drive(started, cancel_in_the_middle)

    assert status == "cancelled"
    assert 0 < seen[0]["done"] < seen[0]["total"] == HUGE_BYTES
    for guest in guests:
        assert guest.run("find /srv -name '*huge*'") == ""
        assert guest.run("pgrep -x tar || true") == ""


def test_guest_without_space_fails_alone_and_keeps_nothing(stack, guests):
    near, away = guests
    near.run("mkdir -p /srv/tight")
    away.run("mkdir -p /srv/tight && mount -t tmpfs -o size=1m tmpfs /srv/tight")

    [pushed] = executed(stack, pushing("big", "/srv/tight/big"))

    left = away.run("ls -A /srv/tight; umount /srv/tight")
    status, message, _ = pushed["tasks"]["away"]
    assert (status, left) == ("failed", "")
    assert message == (
        "The file system of /srv/tight/big in guest away is full; nothing was kept."
    )
    assert pushed["tasks"]["near"][0] == "done", pushed
    assert near.run("stat -c %s /srv/tight/big") == str(BIG_BYTES)


def test_wrong_targets_get_one_sentence_for_each_guest(stack):
    found = executed(
        stack,
        pushing("many/run", "/srv"),
        {**pushing("many/run", "/etc/x"), "conditions": {}},
        pushing("gone", "/srv/gone"),
        pushing("../state.json", "/srv/state"),
        {"form": "script", "path": "gone.sh"},
        {"form": "script", "path": "many"},
        fetching("/no/such"),
    )

    messages = [run["tasks"]["away"][1] for run in found]
    assert messages == [
        "/srv is a folder in guest away, and a file was to be pushed there.",
        "Could not write /etc/x in guest away: permission denied.",
        "gone is not in the testbed's folder.",
        "The path '../state.json' leaves the testbed's folder.",
        "The script gone.sh is not in the testbed's folder.",
        "many is a folder of the testbed, and no script.",
        "There is no /no/such in guest away, or the user may not see it.",
    ]


@pytest.mark.slow
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
