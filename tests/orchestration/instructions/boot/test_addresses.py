"""Whether a ready guest has the addresses that the state says."""

import pytest

from orchestration.errors import HostUnreachable, LibvirtFailed
from orchestration.instructions.boot import addresses
from orchestration.instructions.boot.addresses import address_problems
from orchestration.state.model import GuestState, Markers
from tests.fakes import Answer, FakeTransport
from tests.orchestration.instructions.boot.awaited_guest import Stage

SHOW = "ip -o address show"
MAC = "52:54:00:00:00:01"
OTHER = "52:54:00:12:34:56"


@pytest.fixture(autouse=True)
def _clock(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses.time, "monotonic", stage.clock.monotonic)


def give_leases(monkeypatch: pytest.MonkeyPatch, leases: dict[str, str]) -> None:
    monkeypatch.setattr(addresses.networks, "leases", lambda *_, **__: leases)


def with_interface(stage: Stage, *, dhcp: bool = True) -> GuestState:
    """The guest with one interface that should have 10.64.16.16."""
    interface = stage.guest.interfaces[0].model_copy(
        update={"dhcp": dhcp, "address": "10.64.16.16", "mac": MAC}
    )
    return stage.guest.model_copy(
        update={"interfaces": (interface,), "markers": Markers(script="")}
    )


def has(*addresses: str) -> str:
    lines = (f"2: eth0    inet {address}/20 scope global" for address in addresses)
    return "\n".join(["1: lo    inet 127.0.0.1/8 scope host lo", *lines])


def problems(stage: Stage, guest: GuestState, *said: Answer) -> tuple[str, ...]:
    there = FakeTransport("a", [(SHOW, answer) for answer in said])
    return address_problems(stage.task, guest, there)


def test_guest_with_the_address_of_the_state_is_well(stage: Stage) -> None:
    assert problems(stage, with_interface(stage), has("10.64.16.16")) == ()


def test_address_that_comes_late_is_waited_for(stage: Stage) -> None:
    assert problems(stage, with_interface(stage), has(), has("10.64.16.16")) == ()


def test_other_address_is_said_with_who_has_the_lease(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_leases(monkeypatch, {OTHER: "10.64.16.16", MAC: "10.64.18.242"})

    said = problems(stage, with_interface(stage), has("10.64.18.242"))

    assert said == (
        f"eth0 has 10.64.18.242 in place of 10.64.16.16: DHCP has it leased to {OTHER}",
    )


def test_guest_that_got_no_lease_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_leases(monkeypatch, {})

    said = problems(stage, with_interface(stage), has())

    assert said == (
        f"eth0 has no address in place of 10.64.16.16: DHCP gave {MAC} no lease",
    )


def test_fixed_address_is_looked_at_until_a_script_may_have_changed_it(
    stage: Stage,
) -> None:
    guest = with_interface(stage, dhcp=False)
    ran = guest.model_copy(update={"markers": Markers(script="12")})

    before, after = problems(stage, guest, has("10.9.0.1")), problems(stage, ran)

    assert before == ("eth0 has 10.9.0.1 in place of 10.64.16.16",)
    assert after == ()


@pytest.mark.parametrize(
    "answer", [127, HostUnreachable("gone")], ids=["no ip", "lost"]
)
def test_guest_that_does_not_say_its_addresses_is_not_blamed(
    stage: Stage, answer: Answer
) -> None:
    assert problems(stage, with_interface(stage), answer) == ()


def test_leases_that_cannot_be_read_leave_the_reason_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> dict[str, str]:
        raise LibvirtFailed("no")

    monkeypatch.setattr(addresses.networks, "leases", refuse)

    (said,) = problems(stage, with_interface(stage), has())

    assert said.startswith("eth0 has no address in place of 10.64.16.16")
