"""Waiting for a guest whose domain stands still, dies, or says nothing.

A domain that does not run cannot come up: waiting ends at once and says so. The answers
of the network and of the guest are in test_waiting.py.
"""

from dataclasses import replace

import pytest

from orchestration.errors import HostUnreachable, LibvirtFailed
from orchestration.providers.libvirt import domains
from tests.fakes import FakeTransport, Reply
from tests.orchestration.instructions.boot import healthy_guest
from tests.orchestration.instructions.boot.awaited_guest import TAIL, Stage


@pytest.mark.parametrize(
    ("happens", "words"),
    [("undefine", "its domain is gone"), ("stop", "its domain is shut off")],
)
def test_waiting_ends_at_once_when_the_domain_does_not_run(
    stage: Stage, happens: str, words: str
) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    conn, domain = stage.task.host.libvirt, stage.task.domain(stage.guest)
    domains.destroy(conn, domain)
    if happens == "undefine":
        domains.undefine(conn, domain)

    message = stage.failure().message

    assert words in message
    assert stage.clock.now_s == 1000.0


def test_domain_that_stands_still_is_not_waited_for(stage: Stage) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    name = stage.guest.domain
    stage.task.host.libvirt.call(
        "suspend", lambda handle: handle.lookupByName(name).suspend(), changes=True
    )

    message = stage.failure().message

    assert "its domain is paused" in message
    assert stage.clock.now_s == 1000.0


def test_domain_that_dies_meanwhile_is_noticed(stage: Stage) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    conn, domain = stage.task.host.libvirt, stage.task.domain(stage.guest)

    def die_later() -> None:
        if stage.clock.now_s > 1020:
            domains.destroy(conn, domain)

    stage.clock.on_wait = die_later
    message = stage.failure().message

    assert "its domain is shut off" in message
    assert stage.clock.now_s < 1022


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ("", "The console is empty: the guest never printed anything."),
        (Reply(exit_code=1), "The console is empty: the guest never printed anything."),
        (LibvirtFailed("No way."), "The console cannot be read: No way."),
    ],
)
def test_console_that_says_nothing_is_said_too(
    stage: Stage, answer: object, detail: str
) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    said = healthy_guest.answers(stage.guest, stage.task.state.network.management[0])
    silent = FakeTransport("host-a", {**said, TAIL: answer}.items())
    stage.task = replace(stage.task, host=replace(stage.task.host, transport=silent))

    assert stage.failure().detail.endswith(detail)
