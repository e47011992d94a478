"""Pause, resume, reset and reboot, against libvirt's own test driver."""

from collections.abc import Iterator
from contextlib import contextmanager

import libvirt
import pytest

from orchestration.errors import Cancelled, LibvirtFailed
from orchestration.providers.libvirt import domains, power
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.domains import DomainStatus
from orchestration.providers.libvirt.lifecycle import Watch
from orchestration.providers.libvirt.power import Rebooted
from orchestration.providers.libvirt.xml.domain import build_domain
from tests.orchestration.providers.libvirt.samples import (
    HOST,
    build_guest,
    domain_in_lab,
)

WEB = domain_in_lab(build_guest())


@pytest.fixture
def running(simulated: Connection) -> Connection:
    domains.define(simulated, WEB, build_domain(build_guest(), HOST, testbed="lab"))
    domains.start(simulated, WEB)
    return simulated


@pytest.fixture
def news(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The events of the domain, which arrive when a test says so."""
    found = Watch()
    found.hears = True

    @contextmanager
    def watch(*_: object) -> Iterator[Watch]:
        yield found

    monkeypatch.setattr(power, "watch", watch)
    return found


def status(conn: Connection) -> DomainStatus:
    return domains.find(conn, WEB).status


def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of requests to reboot, which the guest does not obey."""
    found: list[str] = []
    monkeypatch.setattr(
        libvirt.virDomain, "reboot", lambda domain: found.append(domain.name())
    )
    return found


def test_paused_domain_is_resumed(running: Connection) -> None:
    power.pause(running, WEB)
    assert status(running) is DomainStatus.PAUSED

    power.resume(running, WEB)
    assert status(running) is DomainStatus.RUNNING


def test_reset_domain_runs(running: Connection) -> None:
    power.reset(running, WEB)

    assert status(running) is DomainStatus.RUNNING


def test_refusal_of_libvirt_names_the_verb(running: Connection) -> None:
    domains.destroy(running, WEB)

    with pytest.raises(LibvirtFailed, match="could not pause domain lab-web-0"):
        power.pause(running, WEB)


def test_reboot_is_unseen_where_no_events_arrive(running: Connection) -> None:
    end = power.reboot(running, WEB, sleep=pytest.fail, timeout_s=5)

    assert end is Rebooted.UNSEEN
    assert status(running) is DomainStatus.RUNNING


def test_reboot_is_seen_by_its_event(
    running: Connection, news: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests(monkeypatch)

    end = power.reboot(running, WEB, sleep=lambda _: news.tell(), timeout_s=60)

    assert end is Rebooted.SEEN
    assert asked == [WEB.name]


def test_guest_that_ignores_the_request_is_asked_again_and_given_up(
    running: Connection, news: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, slept = requests(monkeypatch), []

    end = power.reboot(running, WEB, sleep=slept.append, timeout_s=25)

    assert end is Rebooted.IGNORED
    assert len(asked) == 3
    assert 25 <= sum(slept) < 28


def test_guest_that_goes_off_did_not_reboot(
    running: Connection, news: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests(monkeypatch)

    end = power.reboot(
        running, WEB, sleep=lambda _: domains.destroy(running, WEB), timeout_s=60
    )

    assert end is Rebooted.WENT_OFF


def test_request_that_fails_is_no_failure_when_the_guest_reboots(
    running: Connection, news: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_domain: libvirt.virDomain) -> None:
        raise libvirt.libvirtError("Guest agent is not responding")

    monkeypatch.setattr(libvirt.virDomain, "reboot", fail)

    end = power.reboot(running, WEB, sleep=lambda _: news.tell(), timeout_s=60)

    assert end is Rebooted.SEEN


def test_cancel_ends_the_wait_for_a_reboot(
    running: Connection, news: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests(monkeypatch)

    def cancelled(_seconds: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        power.reboot(running, WEB, sleep=cancelled, timeout_s=60)
