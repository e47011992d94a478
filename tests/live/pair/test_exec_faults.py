"""Commands whose guest or host fails among others, on two hosts, one a Debian 13.

A dead guest is one among twenty targets; a host's sshd takes no session more, and is
killed and started again before a command and in the middle of one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256

import pytest

from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.odd_words import ODD_WORDS
from tests.live.pair.conftest import SLUG
from tests.live.ssh_targets import targets_beside
from tests.live.stack import Stack
from tests.live.watch import Guest, cancel, holdings, project, wait_until

pytestmark = pytest.mark.live
TARGETS_OF_A_HOST = 9
# A kept connection and a new one have 10 s each, and the guest's agent 10 s.
DEAD_S = 40
SESSIONS_REFUSED = "it accepts no further session"
NONE_LEFT = "No process that carries the mark of an unfinished task is left."
LONG = "echo begun; sleep 777"


@pytest.fixture(scope="module", name="admin")
def _admin(stack: Stack) -> Iterator[Client]:
    stack.add_user("exec-admin", is_admin=True)
    client = stack.client("exec-admin")
    yield client
    client.close()


class Ended:
    """An execution that was driven to its end, and when the end of each task came."""

    def __init__(
        self,
        client: Client,
        line: str,
        act: Callable[[int, Frame], None] | None = None,
        **wanted: object,
    ) -> None:
        form = {"form": "shell", "words": [line], "selection": "@all", **wanted}
        run = client.ask(f"owner/{SLUG}", "exec", **form)
        self.number = run.number
        self.at_s: dict[str, float] = {}
        started = time.monotonic()

        def note(frame: Frame) -> None:
            if frame.get("kind") == "task-finished":
                self.at_s[frame["resource"]] = time.monotonic() - started
            if act is not None:
                act(run.number, frame)

        self.status = client.drive(run, note)
        found = client.answers(run.number)
        self.message = found["message"]
        blocks = found["blocks"]
        self.blocks = {name: block for block in blocks for name in block["guests"]}

    def statuses(self) -> dict[str, str]:
        return {name: block["status"] for name, block in self.blocks.items()}

    def words(self, name: str) -> str:
        """The sentence about one guest or host, and its hint."""
        block = self.blocks[name]
        return f"{block['message']} {block['hint']}"


@contextmanager
def paused(stack: Stack, name: str) -> Iterator[None]:
    """Pause a guest on the second host."""
    domain = project(stack, SLUG).read_state().guest(name).domain
    stack.other.run("virsh", "suspend", domain)
    try:
        yield
    finally:
        stack.other.run("virsh", "resume", domain)


@contextmanager
def most_sessions(stack: Stack, count: int) -> Iterator[None]:
    """Let the second host's sshd take so many sessions on a connection."""
    config = stack.other.folder / "sshd_config"
    before = config.read_text()
    config.write_text(before.replace("MaxSessions 200", f"MaxSessions {count}"))
    assert config.read_text() != before
    stack.other.restart("sshd")
    try:
        yield
    finally:
        config.write_text(before)
        stack.other.restart("sshd")


def restart_when_begun(stack: Stack, names: set[str]) -> Callable[[int, Frame], None]:
    """Restart the second host's sshd once the command printed `begun` at each name."""
    waiting = set(names)

    def act(_: int, frame: Frame) -> None:
        if frame.get("kind") == "log" and frame["text"] == "begun" and waiting:
            waiting.discard(frame["resource"])
            if not waiting:
                stack.other.restart("sshd")

    return act


def marked(stack: Stack) -> set[str]:
    """Return the processes on both hosts that carry the mark of a run."""
    found = {thing for things in holdings(stack).values() for thing in things}
    return {thing for thing in found if thing.endswith(" tagged")}


def require_answers(*runs: Ended) -> None:
    for run in runs:
        assert set(run.statuses().values()) == {"done"}, run.blocks


def test_dead_guest_among_twenty_keeps_none_of_the_others(stack, owner):
    with targets_beside(stack, SLUG, "near", TARGETS_OF_A_HOST):
        with paused(stack, "away"):
            run = Ended(owner, "hostname; echo odd >&2")
        after = Ended(owner, "true")

    others = run.at_s.keys() - {"away"}
    assert len(run.blocks) == 2 * TARGETS_OF_A_HOST + 2
    assert run.status == "failed"
    assert {run.statuses()[name] for name in others} == {"done"}, run.blocks
    assert run.statuses()["away"] == "failed"
    assert run.words("away").startswith("Guest away on host-b does not answer: ")
    assert max(run.at_s.values()) < DEAD_S
    require_answers(after)


def test_arguments_and_values_reach_a_program_on_hosts_and_no_command_line(admin):
    values = {"KEY": "confidential 'x' $y\n", "LONG": ODD_WORDS[-1]}
    texts = (*ODD_WORDS, *values.values(), "given")
    digest = sha256("".join(f"{text}\0" for text in texts).encode()).hexdigest()
    sums = (
        'printf "%s\\0" "$@" "$KEY" "$LONG" "$(cat)" | sha256sum; '
        "for f in $(grep -lz TESTBED_TAG=$TESTBED_TAG /proc/[0-9]*/environ); do "
        "tr '\\0' ' ' < ${f%environ}cmdline | grep -o confident[i]al; done 2> /dev/null; :"
    )

    run = Ended(
        admin,
        "",
        targets="hosts",
        form="command",
        words=["sh", "-c", sums, "sh", *ODD_WORDS],
        conditions={"env": values, "stdin": "given"},
    )

    assert run.blocks.keys() == {"main", "host-b"}
    for block in run.blocks.values():
        assert block["output"] == [["stdout", f"{digest}  -"]]


def test_host_without_a_session_left_fails_alone_and_its_guest_answers(
    stack, owner, admin
):
    with most_sessions(stack, 0):
        on_hosts = Ended(admin, "hostname", targets="hosts")
        in_guests = Ended(owner, "hostname")

    assert on_hosts.statuses() == {"main": "done", "host-b": "failed"}
    assert SESSIONS_REFUSED in on_hosts.words("host-b")
    require_answers(in_guests, Ended(admin, "hostname", targets="hosts"))


def test_command_that_has_the_only_session_of_a_host_is_ended(stack, admin):
    def cancel_when_begun(number: int, frame: Frame) -> None:
        if frame.get("text") == "begun":
            cancel(admin, number)

    with most_sessions(stack, 1):
        wanted = {"targets": "hosts", "selection": "host-b"}
        cut = Ended(admin, LONG, cancel_when_begun, **wanted)
        left = marked(stack)
        after = Ended(admin, "hostname", **wanted)

    assert cut.statuses() == {"host-b": "cancelled"}
    assert cut.message.endswith(NONE_LEFT)
    assert left == set()
    require_answers(after)


def test_command_after_a_restart_of_sshd_connects_anew(stack, owner, admin):
    before = Ended(owner, "hostname"), Ended(admin, "hostname", targets="hosts")

    stack.other.restart("sshd")
    after = Ended(owner, "hostname"), Ended(admin, "hostname", targets="hosts")

    require_answers(*before, *after)


def test_restart_of_sshd_in_the_middle_fails_the_guest_behind_it(stack, owner):
    restart = restart_when_begun(stack, {"near", "away"})
    near, away = (Guest(stack, SLUG, name) for name in ("near", "away"))

    def act(number: int, frame: Frame) -> None:
        restart(number, frame)
        if frame.get("kind") == "task-finished" and frame["resource"] == "away":
            near.run("touch /tmp/go")

    run = Ended(owner, "echo begun; until test -e /tmp/go; do sleep 0.2; done", act)

    assert run.statuses() == {"near": "done", "away": "failed"}
    assert run.words("away").startswith("Guest away on host-b does not answer: ")
    wait_until(
        lambda: away.run("pgrep -f /tmp/go || true") == "", "the command runs on"
    )
    require_answers(Ended(owner, "hostname"))


def test_restart_of_sshd_in_the_middle_fails_the_command_on_its_host(stack, admin):
    restart = restart_when_begun(stack, {"main", "host-b"})

    def act(number: int, frame: Frame) -> None:
        restart(number, frame)
        if frame.get("kind") == "task-finished" and frame["resource"] == "host-b":
            cancel(admin, number)

    run = Ended(admin, LONG, act, targets="hosts")

    assert run.statuses() == {"main": "cancelled", "host-b": "failed"}
    assert "cannot be reached over SSH: " in run.words("host-b")
    assert marked(stack) == set()
    require_answers(Ended(admin, "hostname", targets="hosts"))
