"""A whole state: expected files for each sample, and the rules one by one.

Addresses, paths, scripts, identities and bridges of network cards. What a guest's hash
depends on is in test_spec_hash.py.
"""

import pytest

from orchestration.compose.catalogue import Catalogue
from orchestration.compose.language.schema import HostInterface, Spec
from orchestration.compose.loader import load_spec
from orchestration.errors import StateError
from orchestration.state.build import Inputs, build_state
from orchestration.state.model import Markers, State
from tests.golden import Golden
from tests.orchestration.state.samples import (
    CATALOGUE,
    EXPECTED,
    HOSTS,
    SAMPLES,
    build,
    identity,
    machine,
    named_as_before,
    sample,
    spec_of,
)


@pytest.mark.parametrize("name", SAMPLES)
def test_state_of_each_sample_is_as_reviewed(name: str, golden: Golden) -> None:
    state = sample(name)

    golden(state.model_dump_json(indent=1), EXPECTED / f"{name}.state.json")


@pytest.mark.parametrize("name", SAMPLES)
def test_state_of_each_sample_stays_when_built_again(name: str) -> None:
    state = sample(name)

    assert sample(name, previous=state) == state


def test_only_interfaces_that_reach_the_external_bridge_ask_for_an_address() -> None:
    spec = spec_of(
        machine("near", "br0"),
        machine("far", "br2"),
        machine("lost", "br3"),
        bridges=("br0", "br1", "br2", "br3"),
        joined={"br2": "br1", "br1": "br0"},
    )

    guests = build(spec).guests

    got = {guest.name: guest.interfaces[0] for guest in guests}
    assert (got["near"].dhcp, got["near"].address) == (True, "10.64.112.16")
    assert (got["far"].dhcp, got["far"].address) == (True, "10.64.112.17")
    assert (got["lost"].dhcp, got["lost"].address) == (False, "")
    assert (got["near"].prefix, got["lost"].prefix) == (20, 0)
    assert (got["near"].gateway, got["lost"].gateway) == ("10.64.112.1", "")


def test_only_the_first_dhcp_interface_gets_the_gateway() -> None:
    guest = build(spec_of(machine("g", "br0", "br0"))).guests[0]

    assert [i.gateway for i in guest.interfaces] == ["10.64.112.1", ""]


def test_gateway_that_the_user_chose_is_the_only_one() -> None:
    spec = spec_of(
        machine("g", "br0", {"bridge": "br0", "ip": "10.9.0.5", "gateway": "10.9.0.1"})
    )

    guest = build(spec).guests[0]

    assert [i.gateway for i in guest.interfaces] == ["", "10.9.0.1"]
    assert guest.interfaces[0].dhcp


def test_gateway_without_an_address_changes_nothing() -> None:
    unused = {"bridge": "br0", "gateway": "10.9.0.1"}

    guest = build(spec_of(machine("g", unused, unused))).guests[0]

    assert [i.gateway for i in guest.interfaces] == ["10.64.112.1", ""]
    assert all(i.dhcp for i in guest.interfaces)


def test_static_address_inside_the_subnet_is_reserved_and_outside_is_not() -> None:
    spec = spec_of(
        machine("auto", "br0"),
        machine("inside", {"bridge": "br0", "ip": "10.64.112.16"}),
        machine("outside", {"bridge": "br0", "ip": "192.168.0.5"}),
        machine("apart", {"bridge": "br1", "ip": "10.64.112.16"}),
        bridges=("br0", "br1"),
    )

    state = build(spec)

    assert state.network.nat is not None
    assert [(r.address, r.names) for r in state.network.nat.reservations] == [
        ("10.64.112.17", ("demo-auto", "auto")),
        ("10.64.112.16", ("demo-inside", "inside")),
    ]
    prefixes = [guest.interfaces[0].prefix for guest in state.guests]
    assert prefixes == [20, 20, 24, 20]
    assert not any(guest.interfaces[0].dhcp for guest in state.guests[1:])


@pytest.mark.parametrize(
    ("interface", "name_server"),
    [
        pytest.param({"ip": "10.64.112.50"}, "10.64.112.1", id="in the NAT network"),
        pytest.param(
            {"ip": "10.9.0.5", "gateway": "10.9.0.1"}, "10.64.112.1", id="gateway"
        ),
        pytest.param({"ip": "10.9.0.5"}, "", id="no way out"),
        pytest.param({}, "", id="DHCP gives it"),
    ],
)
def test_fixed_address_that_leads_outside_gets_the_name_server(
    interface: dict[str, str], name_server: str
) -> None:
    spec = spec_of(machine("g", {"bridge": "br0", **interface}))

    (found,) = build(spec).guest("g").interfaces

    assert found.name_server == name_server


def test_interface_with_another_mac_gets_an_address_that_nobody_had() -> None:
    before = build(spec_of(machine("a", "br0"), machine("b", "br0")))
    edited = {"bridge": "br0", "mac": "52:54:00:12:34:56"}

    spec = spec_of(machine("a", edited), machine("b", "br0"), machine("c", "br0"))
    after = build(spec, previous=before)

    given = {g.name: g.interfaces[0].address for g in after.guests}
    assert given == {"a": "10.64.112.18", "b": "10.64.112.17", "c": "10.64.112.19"}


def test_interface_with_the_mac_that_it_had_keeps_its_address() -> None:
    before = build(spec_of(machine("z", "br0"), machine("a", "br0")))
    same = before.guest("a").interfaces[0].mac.upper()

    after = build(
        spec_of(machine("a", {"bridge": "br0", "mac": same})), previous=before
    )

    assert after.guest("a").interfaces[0].address == "10.64.112.17"


def test_without_an_external_bridge_there_is_no_name_server() -> None:
    fixed = {"bridge": "br0", "ip": "10.9.0.5", "gateway": "10.9.0.1"}
    spec = spec_of(machine("g", fixed))
    network = spec.network.model_copy(update={"external_bridge": None})

    state = build(spec.model_copy(update={"network": network}))

    assert state.guest("g").interfaces[0].name_server == ""


def test_without_an_external_bridge_there_is_no_nat_network() -> None:
    state = build(spec_of(machine("g", "br0"), external=None))

    assert state.network.nat is None
    assert not state.guests[0].interfaces[0].dhcp


def test_management_is_on_hosts_with_guests_and_counted_on_each() -> None:
    spec = spec_of(
        machine("a", "br0"),
        machine("b", "br1"),
        machine("c", "br1"),
        bridges=("br0", "br1"),
    )

    state = build(spec, hosts=HOSTS)

    assert [m.host for m in state.network.management] == ["host-a", "host-b"]
    assert {m.address for m in state.network.management} == {"100.64.112.1"}
    addresses = [g.management.address for g in state.guests if g.management]
    assert addresses == ["100.64.112.16", "100.64.112.16", "100.64.112.17"]
    taps = [g.management.tap for g in state.guests if g.management]
    assert taps == ["t7g0im", "t7g1im", "t7g2im"]


def test_management_network_can_be_switched_off() -> None:
    state = build(spec_of(machine("g", "br0"), management=False))

    assert state.network.management == ()
    assert state.guests[0].management is None


def test_paths_are_those_of_the_guests_host() -> None:
    spec = spec_of(
        machine("a", "br0"),
        machine("b", "br1", name="unsigned"),
        bridges=("br0", "br1"),
    )

    a, b = build(spec).guests

    assert a.artefacts_dir == "/srv/testbeds/demo/artefacts"
    assert b.artefacts_dir == "/var/lib/testbed/projects/demo/artefacts"
    assert b.disk == f"{b.artefacts_dir}/b-disk.qcow2"
    assert a.image.path == "/srv/images/test_guest-5e5e5e5e5e5e5e5e.qcow2"
    assert b.image.path == "/var/lib/testbed/images/unsigned-unverified.qcow2"
    assert b.image.main_path == "/srv/images/unsigned-unverified.qcow2"
    assert (a.user, b.user) == ("nocloud", "admin")


def test_scripts_carry_the_digests_that_were_given() -> None:
    spec = spec_of(machine("g", setup_script="a.sh", run_script="b.sh"))

    state = build_state(
        spec,
        Inputs(script_sha256={"a.sh": "12" * 32}),
        identity=identity(),
        hosts=HOSTS,
        catalogue=CATALOGUE,
    )

    guest = state.guests[0]
    assert guest.setup_script is not None
    assert guest.run_script is not None
    assert (guest.setup_script.path, guest.setup_script.sha256) == ("a.sh", "12" * 32)
    assert (guest.run_script.path, guest.run_script.sha256) == ("b.sh", "")


def test_markers_of_a_guest_are_kept_and_new_guests_have_none() -> None:
    before = build(spec_of(machine("a"), machine("b")))
    marked = before.guests[1].model_copy(
        update={"markers": Markers(script="12" * 32, script_exit_code=3)}
    )
    before = before.model_copy(update={"guests": (before.guests[0], marked)})

    after = build(spec_of(machine("b"), machine("c")), previous=before)

    assert after.guest("b").markers.script_exit_code == 3
    assert after.guest("c").markers == Markers()


def test_guest_keeps_its_index_and_a_new_one_takes_a_free_one() -> None:
    names = ("a", "b", "c")
    before = build(spec_of(*(machine(name) for name in names)))

    after = build(
        spec_of(machine("x"), machine("c"), machine("y"), machine("b")), previous=before
    )

    assert [(g.name, g.index) for g in after.guests] == [
        ("x", 0),
        ("c", 2),
        ("y", 3),
        ("b", 1),
    ]


def test_identity_of_a_guest_depends_on_its_testbed_and_name_only() -> None:
    one = build(spec_of(machine("a"), machine("b"))).guest("b")
    moved = build(spec_of(machine("b", "br0")), hosts=HOSTS[:1], number=9).guest("b")
    other = build(spec_of(machine("b")), name="other").guest("b")

    assert one.uuid == moved.uuid
    assert one.uuid != other.uuid
    assert (one.domain, moved.domain) == ("t7-b", "t9-b")
    assert (one.hostname, other.hostname) == ("demo-b", "other-b")


def test_names_that_an_earlier_version_gave_are_kept() -> None:
    spec = spec_of(machine("a", "br0"), bridges=("br0",))
    grown = spec_of(machine("a", "br0"), machine("c", "br0"), bridges=("br0",))
    before = named_as_before(build(spec))

    same, after = build(spec, previous=before), build(grown, previous=before)

    assert named_as_before(same) == same
    assert "hostname" not in same.guest("a").model_dump()
    assert after.network.nat.network == "demo-nat"
    assert {m.network for m in after.network.management} == {"demo-mgmt"}
    assert [g.domain for g in after.guests] == ["demo-a", "t7-c"]
    assert after.guest("a").spec_hash == same.guest("a").spec_hash


def test_other_number_gives_other_names() -> None:
    before = build(spec_of(machine("a", "br0"), bridges=("br0",)))

    after = build(
        spec_of(machine("a", "br0"), bridges=("br0",)), number=9, previous=before
    )

    assert after.guest("a").domain == "t9-a"
    assert after.network.nat.network == "t9-nat"


def test_other_number_gives_up_addresses_and_link_indexes_of_the_old_one() -> None:
    spec = spec_of(machine("g", "br0"), bridges=("br0", "br1"), joined={"br0": "br1"})
    before = build(spec, number=7)

    after = build(spec, number=8, previous=before)

    assert after == build(spec, number=8)
    assert State.model_validate_json(after.model_dump_json()) == after


def test_unknown_image_is_refused() -> None:
    with pytest.raises(StateError, match="Guest g wants image test_guest"):
        build_state(
            spec_of(machine("g")),
            Inputs(),
            identity=identity(),
            hosts=HOSTS,
            catalogue=Catalogue([]),
        )


def test_empty_yaml_is_an_empty_testbed_on_main() -> None:
    state = build(load_spec("machines: []").require(), hosts=HOSTS)

    assert (state.guests, state.network.bridges) == ((), ())
    assert [host.name for host in state.used_hosts] == ["host-a"]


def with_card(bridge: str) -> Spec:
    spec = spec_of(machine("a", "br0"), bridges=("br0", "br1"))
    card = HostInterface(nic_name="eth1", testbed_bridge=bridge, testbed_host="host-a")
    network = spec.network.model_copy(update={"network_interfaces": (card,)})
    return spec.model_copy(update={"network": network})


def test_bridge_of_a_network_card_comes_to_main() -> None:
    state = build(with_card("br1"))

    (card,) = state.network.cards
    (home, stretch) = (b for b in state.network.bridges if b.name == "br1")
    assert (home.host, stretch.host) == ("host-b", "host-a")
    assert (card.host, card.device, card.nic) == ("host-a", stretch.device, "eth1")


def test_network_card_needs_its_bridge() -> None:
    with pytest.raises(StateError, match="bridge gone of network card eth1"):
        build(with_card("gone"))
