"""Hosts: which way leads to a machine, what is kept, and what a host shows."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import ForwardingForbidden, HostUnreachable, StateError
from orchestration.hosts import Host, Hosts, examine
from orchestration.state.model import Datapath, DomainType, HostKind, State
from orchestration.transport.base import Scope, command
from orchestration.transport.local import LocalTransport
from orchestration.transport.simulated.transport import SimulatedTransport
from orchestration.transport.ssh import SSHTransport
from tests.fakes import Answer, FakeTransport
from tests.orchestration.providers.libvirt.samples import open_simulated
from tests.orchestration.state.samples import HOSTS, build, machine, spec_of

KEY = "ssh-ed25519 AAAAguest"
LOOK = re.compile(r"sh -c .*", re.DOTALL)
SPEC = spec_of(machine("a", "br0"), machine("b", "br1"), bridges=("br0", "br1"))


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.close()


@pytest.fixture
def state() -> State:
    """Guest `a` on main, guest `b` on the remote host-b; both real."""
    return build(SPEC)


@pytest.fixture
def rehearsed() -> State:
    """The same on simulated hosts."""
    simulated = {"kind": HostKind.SIMULATED}
    return build(SPEC, hosts=[h.model_copy(update=simulated) for h in HOSTS[:2]])


def test_main_is_reached_without_ssh(hosts: Hosts, state: State) -> None:
    main = hosts.open(state.main)

    assert isinstance(main.transport, LocalTransport)
    assert main.libvirt.uri == "qemu:///system"


def test_remote_host_is_reached_by_ssh(hosts: Hosts, state: State) -> None:
    remote = hosts.open(state.host("host-b"))

    assert isinstance(remote.transport, SSHTransport)
    assert remote.transport.machine == "host-b"
    assert remote.libvirt.uri.startswith("qemu+ssh://root@192.0.2.2")


def test_guest_of_main_is_reached_directly(
    hosts: Hosts, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _record_ssh(monkeypatch)
    guest = state.guest("a")

    hosts.guest(state, guest, host_key=KEY)

    assert guest.management is not None
    assert [ssh.pop("failures", None) is not None for ssh in made] == [True]
    assert made == [
        {
            "address": guest.management.address,
            "user": guest.user,
            "identity_file": Path(state.identity_file),
            "host_key": KEY,
            "machine": "a",
            "via": None,
        }
    ]


def test_guest_of_a_remote_host_is_reached_through_its_host(
    hosts: Hosts, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _record_ssh(monkeypatch)
    host = hosts.open(state.host("host-b"))

    hosts.guest(state, state.guest("b"), host_key=KEY)

    assert [ssh["machine"] for ssh in made] == ["host-b", "b"]
    assert made[1]["via"] is host.transport


def test_simulated_hosts_and_their_guests_are_rehearsed(
    hosts: Hosts, rehearsed: State
) -> None:
    guest = rehearsed.guest("b")

    assert all(
        isinstance(hosts.open(host).transport, SimulatedTransport)
        for host in rehearsed.hosts
    )
    transport = hosts.guest(rehearsed, guest, host_key=KEY)
    assert isinstance(transport, SimulatedTransport)
    assert transport.machine == guest.domain


def test_open_host_is_kept(hosts: Hosts, state: State) -> None:
    host, guest = state.host("host-b"), state.guest("b")

    assert hosts.open(host) is hosts.open(host.model_copy())
    first = hosts.guest(state, guest, host_key=KEY)
    assert hosts.guest(state, guest.model_copy(), host_key=KEY) is first


@pytest.mark.parametrize(
    "change",
    [
        {"user": "other"},
        {"management": None, "interfaces": "static"},
        {"host": "host-a"},
    ],
    ids=["user", "address", "host"],
)
def test_guest_that_came_back_elsewhere_gets_a_new_connection(
    hosts: Hosts, state: State, change: dict[str, object]
) -> None:
    guest = state.guest("b")
    first = hosts.guest(state, guest, host_key=KEY)
    if "interfaces" in change:
        static = guest.interfaces[0].model_copy(update={"address": "10.9.9.9"})
        change = {**change, "interfaces": (static,)}

    moved = guest.model_copy(update=change)

    assert hosts.guest(state, moved, host_key=KEY) is not first


def test_guest_with_a_new_key_gets_a_new_connection(hosts: Hosts, state: State) -> None:
    first = hosts.guest(state, state.guest("a"), host_key=KEY)

    assert hosts.guest(state, state.guest("a"), host_key=f"{KEY}2") is not first


def test_host_that_moved_gets_a_new_connection(hosts: Hosts, state: State) -> None:
    host = state.host("host-b")
    first = hosts.open(host)

    assert hosts.open(host.model_copy(update={"address": "192.0.2.99"})) is not first


def test_forgotten_guest_is_opened_anew_and_others_are_kept(
    hosts: Hosts, state: State
) -> None:
    a = hosts.guest(state, state.guest("a"), host_key=KEY)
    b = hosts.guest(state, state.guest("b"), host_key=KEY)

    hosts.forget_guest(state, state.guest("b"))

    assert hosts.guest(state, state.guest("a"), host_key=KEY) is a
    assert hosts.guest(state, state.guest("b"), host_key=KEY) is not b


def test_closed_hosts_can_be_opened_again(hosts: Hosts, rehearsed: State) -> None:
    first = hosts.open(rehearsed.main)

    hosts.close()
    hosts.close()

    again = hosts.open(rehearsed.main)
    assert again is not first
    assert again.transport.run(command("true"), scope=Scope()).exit_code == 0


def test_management_address_is_preferred(state: State) -> None:
    guest = state.guest("b")
    assert guest.management is not None
    assert state.way_to(guest) == ("host-b", guest.management)


@pytest.fixture(name="unmanaged")
def _unmanaged() -> State:
    """Guests `a` on main and `b` on host-b, without a management network."""
    fixed = {"bridge": "br1", "ip": "10.9.9.9"}
    spec = spec_of(
        machine("a", "br0"),
        machine("b", fixed, "br1"),
        bridges=("br0", "br1"),
        joined={"br0": "br1"},
        management=False,
    )
    return build(spec)


def test_guest_without_management_is_reached_from_the_host_of_the_nat_network(
    hosts: Hosts, unmanaged: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _record_ssh(monkeypatch)
    guest, nat = unmanaged.guest("b"), unmanaged.network.nat
    assert nat is not None
    assert (guest.host, nat.host, guest.management) == ("host-b", "host-a", None)
    _, inside = guest.interfaces

    hosts.guest(unmanaged, guest, host_key=KEY)

    assert unmanaged.way_to(guest) == ("host-a", inside)
    assert [(ssh["address"], ssh["via"]) for ssh in made] == [(inside.address, None)]


def test_guest_without_nat_network_is_reached_on_its_first_address(
    unmanaged: State,
) -> None:
    guest = unmanaged.guest("b")
    network = unmanaged.network.model_copy(update={"nat": None})
    alone = unmanaged.model_copy(update={"network": network})

    assert alone.way_to(guest) == ("host-b", guest.interfaces[0])
    assert alone.way_to(guest).address == "10.9.9.9"


def test_guest_without_any_address_is_refused_with_a_remedy(
    hosts: Hosts, state: State
) -> None:
    bare = {"management": None, "interfaces": ()}
    guest = state.guest("a").model_copy(update=bare)

    with pytest.raises(StateError, match="has no address") as caught:
        hosts.guest(state, guest, host_key=KEY)

    assert "management_network" in caught.value.hint


@pytest.mark.parametrize(
    ("kernel", "datapath"), [(0, Datapath.SYSTEM), (1, Datapath.NETDEV)]
)
def test_host_shows_its_size_and_what_it_can_run(
    tmp_path: Path, state: State, kernel: Answer, datapath: Datapath
) -> None:
    host = _host(tmp_path, state, kernel=kernel)

    facts = examine(host, scope=Scope())

    assert facts.cpus > 0
    assert facts.memory_mib >= facts.free_memory_mib > 0
    assert (facts.load, facts.switch_version) == (1.5, "3.1.0")
    assert facts.datapath is datapath
    assert facts.remark == ""


def test_kvm_needs_the_processor_and_libvirt(tmp_path: Path, state: State) -> None:
    facts = examine(_host(tmp_path, state), scope=Scope())

    # The processor offers it; libvirt's test driver has no kvm guests.
    assert facts.domain_type is DomainType.QEMU


def test_remark_about_a_host_is_handed_on(tmp_path: Path, state: State) -> None:
    look = "1.5\n8\nx86_64\nroot 600\n"

    facts = examine(_host(tmp_path, state, look=look), scope=Scope())

    assert "/dev/kvm" in facts.remark
    assert "chmod 660" in facts.hint


def test_host_that_forbids_forwarding_works_badly(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidden = ForwardingForbidden("host-b forbids forwarding.", hint="Allow it.")
    monkeypatch.setattr("orchestration.hosts.forwarding_problem", lambda _: forbidden)

    facts = examine(_host(tmp_path, state), scope=Scope())

    assert facts.remark == "host-b forbids forwarding."
    assert facts.hint == "Allow it."


@pytest.mark.parametrize("silent", ["look", "version"])
def test_host_that_does_not_answer_is_unreachable(
    tmp_path: Path, state: State, silent: str
) -> None:
    host = _host(tmp_path, state, **{silent: HostUnreachable("No power.")})

    with pytest.raises(HostUnreachable):
        examine(host, scope=Scope())


def test_stopped_switch_is_named(tmp_path: Path, state: State) -> None:
    with pytest.raises(HostUnreachable, match="Open vSwitch does not answer on host-b"):
        examine(_host(tmp_path, state, version=1), scope=Scope())


def _host(
    folder: Path,
    state: State,
    *,
    look: Answer = "1.5\n8\nx86_64\nkvm 660\n",
    version: Answer = "ovs-vswitchd (Open vSwitch) 3.1.0\n",
    kernel: Answer = 0,
) -> Host:
    transport = FakeTransport(
        "host-b",
        [
            (LOOK, look),
            (re.compile("ovs-appctl .* version"), version),
            (re.compile("ovs-vsctl .*"), "uuid\n"),
            (re.compile("ovs-dpctl dump-dps"), kernel),
        ],
    )
    return Host(state.host("host-b"), transport, open_simulated(folder))


def _record_ssh(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []

    class Recorded(FakeTransport):
        def __init__(self, address: str, **options: object) -> None:
            super().__init__(str(options["machine"]))
            made.append({"address": address, **options})

    monkeypatch.setattr("orchestration.hosts.SSHTransport", Recorded)
    return made
