"""Golden images: made once, never half.

Rehearsed on simulated hosts: what `up` does the first and the second time, and what a
failed, cancelled or killed preparation leaves. Edited scripts are in
test_golden_edits.py, the clones in test_golden_clones.py, files on a real disk in
test_golden_files.py.
"""

from collections.abc import Callable

import pytest

from orchestration.events import Event, LogLine, Status
from orchestration.instructions import golden
from orchestration.plan.model import Kind
from orchestration.providers.libvirt import domains
from orchestration.transport.base import Scope
from tests.orchestration.instructions.golden.clones import (
    GUEST,
    RUNS,
    image_of,
    is_made,
    leftovers,
)
from tests.orchestration.instructions.rehearsal import Rehearsal


def test_up_prepares_once_and_lays_every_clone_over_its_hosts_image(
    scaling: Rehearsal,
) -> None:
    outcomes = scaling.up()

    assert outcomes.failed() == {}
    made = outcomes.of(Kind.PREPARE_GOLDENS)["node"]
    assert (made.status, made.message) == (Status.DONE, "prepared")
    assert is_made(scaling)
    assert leftovers(scaling) == []
    for guest in scaling.state.guests:
        disk = scaling.memory(guest.host)["files"][guest.disk]
        assert disk["backing"] == guest.image.path
        assert guest.markers.disk == image_of(scaling).identity
    asked = scaling.asked(GUEST)
    ran = next(i for i, line in enumerate(asked) if "shared.sh" in line)
    sealed = next(i for i, line in enumerate(asked) if " seal nocloud" in line)
    assert ran < sealed


def test_up_again_prepares_nothing_not_even_with_provision(scaling: Rehearsal) -> None:
    scaling.up()
    asked = len(scaling.asked(GUEST))

    again, provisioned = scaling.up(), scaling.up(provision=True)

    for outcomes in (again, provisioned):
        result = outcomes.of(Kind.PREPARE_GOLDENS)["node"]
        assert (result.status, result.message) == (Status.UNCHANGED, "prepared before")
    statuses = {r.status for r in provisioned.of(Kind.CREATE_CLONES).values()}
    assert statuses == {Status.DONE}
    assert len(scaling.asked(GUEST)) == asked


def test_golden_image_stays_after_down(scaling: Rehearsal) -> None:
    scaling.up()

    assert scaling.down().failed() == {}

    assert is_made(scaling)
    assert scaling.up().statuses() <= {Status.DONE, Status.UNCHANGED}


def test_failed_script_makes_nothing_and_up_goes_on_from_there(
    scaling: Rehearsal,
) -> None:
    scaling.break_(GUEST, {RUNS: {"exit_code": 3, "stderr": "no"}})

    failed = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert failed.status is Status.FAILED
    assert "shared.sh for golden image node ended with exit code 3" in failed.message
    assert not is_made(scaling)
    assert leftovers(scaling) == []
    scaling.break_(GUEST, {})
    assert scaling.up().failed() == {}
    assert is_made(scaling)


class _CancelAt(list[Event]):
    """Events that cancel as soon as a line says something."""

    def __init__(self, words: str, cancel: Callable[[], None]) -> None:
        super().__init__()
        self._words, self._cancel = words, cancel

    def append(self, event: Event) -> None:
        super().append(event)
        if isinstance(event, LogLine) and self._words in event.text:
            self._cancel()


@pytest.mark.parametrize("moment", ["started", "runs shared.sh", "shuts down"])
def test_cancelled_preparation_leaves_nothing_behind(
    scaling: Rehearsal, moment: str
) -> None:
    scaling.break_(GUEST, {RUNS: {"sleep_s": 600}} if "runs" in moment else {})
    scaling.events = _CancelAt(moment, scaling.scope.cancel)

    outcomes = scaling.up()

    result = outcomes.of(Kind.PREPARE_GOLDENS)["node"]
    assert result.status is Status.CANCELLED
    assert not is_made(scaling)
    assert leftovers(scaling) == []


def test_leftovers_of_a_killed_worker_are_removed_first(scaling: Rehearsal) -> None:
    for kind in (Kind.PREPARE_HOSTS, Kind.GENERATE_ARTEFACTS):
        list(scaling.obey(scaling.instruction(kind)))
    guest = scaling.state.goldens[0].guest
    host = scaling.hosts.open(scaling.state.main)
    xml = (scaling.project.artefacts / "node-domain.xml").read_text()
    domains.define(host.libvirt, scaling.domain("node"), xml)
    domains.start(host.libvirt, scaling.domain("node"))
    host.transport.put(b"half", guest.disk, scope=Scope())

    outcomes = scaling.up()

    assert outcomes.failed() == {}
    assert "powered off" in scaling.lines("node")
    assert leftovers(scaling) == []


def test_guest_that_ignores_the_power_button_is_powered_off_with_a_warning(
    scaling: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden.domains, "shut_down", lambda *_, **__: False)

    result = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert result.status is Status.WARNING
    assert "did not answer the power button within 90 s" in result.message
    assert is_made(scaling)
    assert leftovers(scaling) == []


def test_disk_is_stored_only_when_nobody_holds_it(
    scaling: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [True, True, False]
    monkeypatch.setattr(golden, "UNLOCK_POLL_S", 0.001)
    monkeypatch.setattr(golden.qemu_img, "is_locked", lambda *_, **__: answers.pop(0))

    assert scaling.up().failed() == {}

    assert answers == []


def test_disk_that_stays_in_use_fails_the_preparation(
    scaling: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "UNLOCK_TIMEOUT_S", 0.0)
    monkeypatch.setattr(golden.qemu_img, "is_locked", lambda *_, **__: True)

    result = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert result.status is Status.FAILED
    assert "is still in use" in result.message
    assert not is_made(scaling)
