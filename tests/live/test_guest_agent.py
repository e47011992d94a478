"""A guest that SSH does not reach is asked through its QEMU guest agent.

The agent is Debian's, in the test guest; libvirt leads to it past every network. The
guests boot once: one on main, one behind a Debian 13 host.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import pytest

from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.odd_words import ODD_WORDS
from tests.live.stack import Stack
from tests.live.watch import DATA, Guest, Ran, host_of, project, ran, wait_until

pytestmark = pytest.mark.live
SLUG = "unreached"
BIG_BYTES = 3 * 2**20
NEW_HOST_KEY = """\
rm /etc/dropbear/ed25519
dropbearkey -t ed25519 -f /etc/dropbear/ed25519 > /dev/null 2>&1
setsid sh -c 'sleep 0.5; pkill dropbear; exec dropbear -s -r /etc/dropbear/ed25519' \
  > /dev/null 2>&1 < /dev/null &
"""


@pytest.fixture(scope="module", autouse=True)
def _testbed(stack: Stack, owner: Client) -> Iterator[None]:
    owner.create_testbed(SLUG, DATA / "pair")
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    (project(stack, SLUG).files / "big").write_bytes(os.urandom(BIG_BYTES))
    yield
    assert ran(owner, SLUG, "down").status == "succeeded"


def executed(owner: Client, **wanted: object) -> tuple[Ran, dict[str, Frame]]:
    """Execute on both guests; return the run, and each guest's block of answers."""
    run = Ran(owner.ask(SLUG, "exec", **{"selection": "@all", **wanted}))
    owner.drive(run.started, run.frames.append)
    blocks = owner.answers(run.started.number)["blocks"]
    return run, {guest: block for block in blocks for guest in block["guests"]}


@contextmanager
def cut_off(stack: Stack, name: str) -> Iterator[None]:
    """Set down the only device by which the product reaches a guest."""
    guest = project(stack, SLUG).read_state().guest(name)
    assert guest.management is not None
    words = ("ip", "link", "set", guest.management.tap)
    host = host_of(stack, guest.host)
    host.run(*words, "down")
    try:
        yield
    finally:
        host.run(*words, "up")


def test_guest_without_network_answers_through_its_agent(
    stack: Stack, owner: Client
) -> None:
    script = '#!/bin/sh\necho "$1"\nid -un\n'
    with cut_off(stack, "near"):
        line = "echo out; echo odd >&2; exit 3"
        said, answers = executed(owner, form="shell", words=[line])
        ran_script, of_script = executed(
            owner, form="script", text=script, words=["a b"]
        )

    output = [["stdout", "out"], ["stderr", "odd"]]
    assert said.status == "failed"
    for guest in ("near", "away"):
        assert answers[guest]["exit_code"] == 3
        assert sorted(answers[guest]["output"]) == sorted(output)
        assert answers[guest]["by_agent"] == ["near"]
    assert "near: goes through the guest's agent: " in said.log
    assert ran_script.status == "succeeded", ran_script.words
    assert of_script["near"]["output"] == [["stdout", "a b"], ["stdout", "nocloud"]]


def test_more_than_an_argument_holds_reaches_a_program_through_the_agent(
    stack: Stack, owner: Client
) -> None:
    words = [*ODD_WORDS, "'$x\n\"ü " * 8_000]
    digest = sha256("".join(f"{word}\0" for word in words).encode()).hexdigest()
    sums = 'printf "%s\\0" "$@" | sha256sum'
    with cut_off(stack, "near"):
        run, answers = executed(
            owner, form="command", words=["sh", "-c", sums, "sh", *words]
        )

    assert run.status == "succeeded", run.words
    assert answers["near"]["by_agent"] == ["near"]
    for guest in ("near", "away"):
        assert answers[guest]["output"] == [["stdout", f"{digest}  -"]]


def test_files_travel_through_the_agent(stack: Stack, owner: Client) -> None:
    asked = {"conditions": {"sudo": True}}
    with cut_off(stack, "near"):
        pushed, _ = executed(owner, form="push", path="big", target="/srv/big", **asked)
        fetched, answers = executed(owner, form="fetch", path="/srv/big", **asked)

    assert pushed.status == "succeeded", pushed.words
    assert fetched.status == "succeeded", fetched.words
    assert "through the guest's agent" in answers["near"]["message"]
    assert "through the guest's agent" not in answers["away"]["message"]
    folder = project(stack, SLUG).fetched(fetched.started.number)
    sent = (project(stack, SLUG).files / "big").read_bytes()
    assert {(folder / name / "big").read_bytes() for name in ("near", "away")} == {sent}


def test_cancelled_command_is_ended_through_the_agent(
    stack: Stack, owner: Client
) -> None:
    with cut_off(stack, "near"):
        run, _ = executed(
            owner, form="shell", words=["sleep 600"], conditions={"timeout_s": 2}
        )
        left, answers = executed(owner, form="shell", words=["pgrep -x sleep"])

    assert run.status == "failed"
    assert left.status == "failed"
    assert answers["near"]["exit_code"] == 1


def test_guest_without_agent_is_named_and_the_other_answers(
    stack: Stack, owner: Client
) -> None:
    Guest(stack, SLUG, "away").run("pkill qemu-ga")

    with cut_off(stack, "near"), cut_off(stack, "away"):
        _, answers = executed(owner, form="command", words=["hostname"])

    assert answers["near"]["status"] == "done"
    lost = answers["away"]
    assert lost["status"] == "failed"
    assert lost["message"].startswith("Guest away on host-b does not answer: ")
    assert "No QEMU guest agent answers in it" in lost["hint"]


def test_guest_with_another_host_key_is_asked_through_its_agent(
    stack: Stack, owner: Client
) -> None:
    near = Guest(stack, SLUG, "near")
    near.run(NEW_HOST_KEY)
    wait_until(lambda: is_refused(near), "the guest keeps its host key")

    run, answers = executed(owner, form="shell", words=["cat /etc/hostname"])

    assert run.status == "succeeded", run.words
    assert answers["near"]["by_agent"] == ["near"]
    assert "near: goes through the guest's agent: " in run.log


def is_refused(guest: Guest) -> bool:
    """Return whether ssh refuses the guest for its host key."""
    try:
        guest.run("true")
    except AssertionError as exc:
        return "Host key verification failed" in str(exc)
    return False
