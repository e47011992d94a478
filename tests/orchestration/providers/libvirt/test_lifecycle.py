"""Waiting for a domain: by asking where nothing is heard, by events where it is."""

import subprocess
import sys
import textwrap
import threading
import time

import pytest

from orchestration.errors import Cancelled
from orchestration.providers.libvirt import domains, events, networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.lifecycle import POLL_S, RECHECK_S, Watch, watch
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.providers.libvirt.xml.domain import build_domain
from orchestration.state.model import GuestState
from tests.orchestration.providers.libvirt.samples import (
    MANAGEMENT_XML,
    REAL_HOST,
    domain_in_lab,
)

NOBODY = GuestDomain("lab", "nobody", "lab-nobody")


def test_simulated_host_is_asked_again_and_again(simulated: Connection) -> None:
    slept: list[float] = []

    with watch(simulated, NOBODY) as news:
        waited_s = news.wait(slept.append)

    assert not news.hears
    assert slept == [POLL_S]
    assert waited_s == POLL_S


def test_waiter_without_events_always_asks() -> None:
    news = Watch()

    assert news.is_due()
    assert news.is_due()


def test_waiter_with_events_asks_when_there_is_news() -> None:
    news = Watch()
    news.hears = True

    assert news.is_due(), "the first look"
    assert not news.is_due()
    news.tell()
    assert news.is_due()
    assert not news.is_due()


def test_simulated_host_needs_no_event_loop(simulated: Connection) -> None:
    script = """
        import sys
        from pathlib import Path
        from orchestration.providers.libvirt import events, networks
        from tests.orchestration.providers.libvirt.samples import open_simulated
        networks.observe(open_simulated(Path(sys.argv[1])))
        assert not events.is_running()
    """
    run(script, simulated.uri.removeprefix("test://").rsplit("/", 1)[0])


def test_child_of_a_process_with_a_loop_hears_nothing() -> None:
    script = """
        import os
        from orchestration.providers.libvirt import events
        events.start()
        assert events.is_running()
        child = os.fork()
        if child == 0:
            events.start()
            os._exit(1 if events.is_running() else 0)
        assert os.waitpid(child, 0)[1] == 0
        assert events.is_running()
    """
    run(script)


def test_child_of_a_process_without_a_loop_may_have_one() -> None:
    script = """
        import os
        from orchestration.providers.libvirt import events
        child = os.fork()
        if child == 0:
            events.start()
            os._exit(0 if events.is_running() else 1)
        assert os.waitpid(child, 0)[1] == 0
    """
    run(script)


def run(script: str, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *words], check=True, timeout=120
    )


@pytest.fixture(name="running")
def _running(conn: Connection, guest: GuestState) -> GuestState:
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab")
    domains.define(
        conn, domain_in_lab(guest), build_domain(guest, REAL_HOST, testbed="lab")
    )
    domains.start(conn, domain_in_lab(guest))
    return guest


@pytest.mark.live
def test_stop_is_heard(conn: Connection, running: GuestState) -> None:
    slept: list[float] = []

    with watch(conn, domain_in_lab(running)) as news:
        assert news.hears
        quiet_s = news.wait(slept.append)
        while quiet_s < RECHECK_S:  # a late word of the start
            quiet_s = news.wait(slept.append)
        stop = threading.Thread(
            target=domains.destroy, args=(conn, domain_in_lab(running))
        )
        stop.start()
        waited_s = 0.0
        while waited_s < 60:
            heard_s = news.wait(time.sleep)
            if heard_s < RECHECK_S:
                break
            waited_s += heard_s
        stop.join()

    assert quiet_s == pytest.approx(RECHECK_S, abs=0.1)
    assert waited_s < 60, "the event did not come"


@pytest.mark.live
def test_guest_that_goes_off_meanwhile_ends_the_wait(
    conn: Connection, running: GuestState
) -> None:
    looks = 0

    def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            domains.destroy(conn, domain_in_lab(running))
        time.sleep(seconds)

    assert domains.shut_down(conn, domain_in_lab(running), sleep=sleep, timeout_s=120)


@pytest.mark.live
def test_cancel_leaves_no_listener(conn: Connection, running: GuestState) -> None:
    def cancelled(_: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        domains.shut_down(conn, domain_in_lab(running), sleep=cancelled, timeout_s=120)

    left = conn.call("count", lambda handle: len(handle.domainEventCallbackID))
    assert left == 0


@pytest.mark.live
def test_domain_that_is_gone_is_no_failure(conn: Connection) -> None:
    assert domains.shut_down(conn, NOBODY, sleep=time.sleep, timeout_s=1) is True


@pytest.mark.live
def test_events_come_again_on_a_new_connection(
    conn: Connection, running: GuestState
) -> None:
    conn.close()

    with watch(conn, domain_in_lab(running)) as news:
        assert news.hears
        assert events.is_running()
