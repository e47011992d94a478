"""Verbs of domains, against libvirt's own test driver."""

from dataclasses import replace
from uuid import UUID

import libvirt
import pytest

from orchestration.errors import Cancelled, LibvirtFailed
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.domains import DomainStatus
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.providers.libvirt.xml.domain import build_domain
from tests.orchestration.providers.libvirt.samples import (
    HOST,
    build_guest,
    define_text,
    domain_in_lab,
)

WEB = domain_in_lab(build_guest())
NOBODY = replace(WEB, guest="nobody", name="lab-nobody", uuid=str(UUID(int=7)))
XML = build_domain(build_guest(), HOST, testbed="lab")
FOREIGN = (
    "<domain type='qemu'><name>someone-elses</name><memory>1024</memory>"
    "<os><type>hvm</type></os></domain>"
)


def never(_seconds: float) -> None:
    pytest.fail("waited for a domain that was off at once")


def test_defined_domain_is_found_with_our_mark(simulated: Connection) -> None:
    domains.define(simulated, WEB, XML)

    facts = domains.find(simulated, WEB)

    assert facts is not None
    assert (facts.testbed, facts.guest, facts.spec_hash) == ("lab", "web-0", "hash-0")
    assert (facts.status, facts.vcpus, facts.memory_mib) == ("shut off", 2, 512)
    assert facts.uuid == build_guest().uuid
    assert not facts.is_active


def test_absent_domain_is_none(simulated: Connection) -> None:
    assert domains.find(simulated, WEB) is None


def test_defining_again_replaces_the_definition(simulated: Connection) -> None:
    domains.define(simulated, WEB, XML)
    changed = build_guest().model_copy(update={"memory_mib": 768, "spec_hash": "new"})

    domains.define(
        simulated, domain_in_lab(changed), build_domain(changed, HOST, testbed="lab")
    )

    (facts,) = domains.observe(simulated)
    assert (facts.memory_mib, facts.spec_hash) == (768, "new")


def test_start_says_whether_it_did_anything(simulated: Connection) -> None:
    domains.define(simulated, WEB, XML)

    assert domains.start(simulated, WEB) is True
    assert domains.start(simulated, WEB) is False
    assert domains.find(simulated, WEB).status is DomainStatus.RUNNING


def test_start_resumes_a_paused_domain(simulated: Connection) -> None:
    domains.define(simulated, WEB, XML)
    domains.start(simulated, WEB)
    simulated.call("pause", lambda c: c.lookupByName(WEB.name).suspend(), changes=True)
    assert domains.find(simulated, WEB).status is DomainStatus.PAUSED

    assert domains.start(simulated, WEB) is True
    assert domains.find(simulated, WEB).status is DomainStatus.RUNNING


def test_starting_an_unknown_domain_names_it_and_helps(simulated: Connection) -> None:
    with pytest.raises(LibvirtFailed) as caught:
        domains.start(simulated, NOBODY)

    assert caught.value.message == (
        "libvirt on host sim-1 could not start domain lab-nobody."
    )
    assert caught.value.hint == "The guest is not defined there: run up."
    assert caught.value.detail == "Domain not found"


def test_destroy_says_whether_it_did_anything(simulated: Connection) -> None:
    domains.define(simulated, WEB, XML)
    domains.start(simulated, WEB)

    assert domains.destroy(simulated, WEB) is True
    assert domains.destroy(simulated, WEB) is False
    assert domains.destroy(simulated, NOBODY) is False
    assert domains.find(simulated, WEB).status is DomainStatus.SHUT_OFF


def test_undefine_says_whether_it_did_anything(simulated: Connection) -> None:
    domains.define(simulated, WEB, XML)

    assert domains.undefine(simulated, WEB) is True
    assert domains.undefine(simulated, WEB) is False
    assert domains.observe(simulated) == ()


def test_shut_down_ends_when_the_domain_is_off(simulated: Connection) -> None:
    domains.define(simulated, WEB, XML)
    domains.start(simulated, WEB)

    assert domains.shut_down(simulated, WEB, sleep=never, timeout_s=5) is True
    assert domains.shut_down(simulated, WEB, sleep=never, timeout_s=5) is True
    assert domains.find(simulated, WEB).status is DomainStatus.SHUT_OFF


def test_cancel_ends_the_wait_for_a_deaf_guest(
    simulated: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    presses = deafen(monkeypatch)

    def cancelled(_seconds: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        domains.shut_down(simulated, WEB, sleep=cancelled, timeout_s=60)
    assert presses == [True]


def test_deaf_guest_is_asked_again_and_given_up(
    simulated: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    presses = deafen(monkeypatch)
    slept: list[float] = []

    off = domains.shut_down(simulated, WEB, sleep=slept.append, timeout_s=25)

    assert off is False
    assert sum(slept) == 25
    assert presses.count(True) == 3


def test_power_button_is_pressed_where_libvirt_would_ask_an_agent_first(
    simulated: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    domains.define(simulated, WEB, XML)
    domains.start(simulated, WEB)
    press, asked = libvirt.virDomain.shutdownFlags, []

    def shutdown(domain: libvirt.virDomain, flags: int) -> int:
        asked.append(flags)
        return press(domain, 0)  # libvirt's test driver takes no other

    monkeypatch.setattr(domains, "is_test_driver", lambda _: False)
    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", shutdown)

    domains.shut_down(simulated, WEB, sleep=never, timeout_s=5)

    assert asked == [libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN]


def test_press_that_fails_is_no_failure_when_the_guest_goes_off(
    simulated: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    domains.define(simulated, WEB, XML)
    domains.start(simulated, WEB)
    press, failures = libvirt.virDomain.shutdownFlags, ["Unable to read from monitor"]

    def shutdown(domain: libvirt.virDomain, flags: int) -> int:
        if failures:
            raise libvirt.libvirtError(failures.pop())
        return press(domain, flags)

    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", shutdown)
    slept: list[float] = []

    off = domains.shut_down(simulated, WEB, sleep=slept.append, timeout_s=25)

    assert off is True
    assert 0 < sum(slept) < 25


def test_observe_tells_ours_from_foreign_domains(simulated: Connection) -> None:
    domains.define(simulated, WEB, XML)
    define_text(simulated, FOREIGN)

    ours, foreign = domains.observe(simulated)

    assert (ours.name, ours.testbed) == (WEB.name, "lab")
    assert (foreign.name, foreign.testbed, foreign.spec_hash) == (
        "someone-elses",
        "",
        "",
    )


def test_broken_xml_is_a_clear_error(simulated: Connection) -> None:
    with pytest.raises(LibvirtFailed, match="could not define domain lab-web-0"):
        domains.define(simulated, WEB, "<domain>")


def deafen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let the domain ignore its power button; return the list of what was asked."""
    presses: list[bool] = []

    def press_or_look(_conn: Connection, _guest: GuestDomain, *, press: bool) -> bool:
        presses.append(press)
        return True

    monkeypatch.setattr(domains, "_press_or_look", press_or_look)
    return presses
