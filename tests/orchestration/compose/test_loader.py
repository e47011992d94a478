"""The form of a YAML: what it becomes, and where each value stands."""

import pytest

from orchestration.compose.language.keys import place_of
from orchestration.compose.language.schema import (
    Bridge,
    CloudImage,
    Interface,
    Libvirt,
    LoadBalancing,
    Machine,
    Network,
    Spec,
    TestbedOptions,
)
from orchestration.compose.loader import Loaded, load_spec
from orchestration.compose.reading.positions import Position

COMPLETE = """
machines:
  - name: Web
    interfaces:
      - bridge: br0
        mac: 52:54:00:AA:BB:CC
        ip: 10.0.0.5
        gateway: 10.0.0.1
      - {bridge: br1, ip: dynamic}
    libvirt:
      cpus: 2
      memory_mb: 0x200
      libvirt_type:
        cloud_image:
          name: ubuntu_22_04
          expand_gigabytes: 3
          setup_script: setup.sh
          run_script: run.sh
          context: files
          environment: {DATE: 2026-11-22, MAC: 52:54:00:12:34:56, EMPTY: ""}
network:
  bridges:
    - name: br0
      protocol: OpenFlow13
      controller: tcp:198.51.100.5:6653
    - name: br1
  bridge_connections: {br0: br1}
  external_bridge: br0
testbed_options:
  load_balancing: NaiveRoundRobin
  management_network: false
"""


def spec_of(loaded: Loaded) -> Spec:
    assert loaded.findings == ()
    assert loaded.spec is not None
    return loaded.spec


def test_complete_yaml_becomes_the_spec() -> None:
    spec = spec_of(load_spec(COMPLETE))

    image = CloudImage(
        name="ubuntu_22_04",
        expand_gigabytes=3,
        setup_script="setup.sh",
        run_script="run.sh",
        context="files",
        environment={"DATE": "2026-11-22", "MAC": "52:54:00:12:34:56", "EMPTY": ""},
    )
    assert spec == Spec(
        machines=(
            Machine(
                name="web",
                interfaces=(
                    Interface(
                        attached_to="br0",
                        mac="52:54:00:aa:bb:cc",
                        ip="10.0.0.5",
                        gateway="10.0.0.1",
                    ),
                    Interface(attached_to="br1"),
                ),
                kind=Libvirt(cpus=2, memory_mb=512, libvirt_type=image),
            ),
        ),
        network=Network(
            bridges=(
                Bridge(
                    name="br0",
                    protocol="OpenFlow13",
                    controller="tcp:198.51.100.5:6653",
                ),
                Bridge(name="br1"),
            ),
            bridge_connections=(("br0", "br1"),),
            external_bridge="br0",
        ),
        testbed_options=TestbedOptions(management_network=False),
    )


@pytest.mark.parametrize(
    "text",
    [
        "testbed_options: {}",
        "testbed_options:",
        "machines:",
        "machines: []\nnetwork: {}",
        "\ufeffmachines: []",
        "tooling: {}",
    ],
)
def test_left_out_sections_have_defaults(text: str) -> None:
    spec = spec_of(load_spec(text))

    assert spec == Spec()
    assert spec.testbed_options.load_balancing is LoadBalancing.NAIVE_ROUND_ROBIN
    assert spec.testbed_options.management_network is True


def test_connections_keep_the_order_of_the_text() -> None:
    text = "network: {bridge_connections: {c: a, a: b, b: c}}"

    connections = spec_of(load_spec(text)).network.bridge_connections

    assert connections == (("c", "a"), ("a", "b"), ("b", "c"))


def test_positions_are_those_of_the_text() -> None:
    positions = load_spec(COMPLETE).positions

    assert positions.of_value(("machines", 0, "name")) == Position(3, 11)
    assert positions.of_key(("machines", 0, "interfaces", 1, "ip")) == Position(9, 23)
    assert positions.of_value(("machines", 0, "libvirt", "nothing")) == Position(11, 7)
    assert positions.of_value(("machines", 7)) == Position(3, 3)


def test_alias_repeats_its_anchor() -> None:
    text = """
machines:
  - &one {name: a, libvirt: &kind {cpus: 1, memory_mb: 64, libvirt_type: {
      cloud_image: {name: x}}}}
  - {name: b, libvirt: *kind}
"""

    first, second = spec_of(load_spec(text)).machines

    assert first.kind == second.kind


def test_broken_machine_does_not_hide_the_next() -> None:
    text = "machines:\n- {name: a}\n- {name: b}\nnetwork: 3\n"

    findings = load_spec(text).findings

    assert [finding.line for finding in findings] == [2, 3, 4]


def test_flood_of_findings_is_cut_and_stays_an_error() -> None:
    warnings = "".join(f"x{number}: 1\n" for number in range(600))

    loaded = load_spec(warnings + "machines: 3\n")

    assert loaded.spec is None
    assert len(loaded.findings) == 501
    assert loaded.findings[-1].message.startswith("101 more findings")
    assert loaded.errors == (loaded.findings[-1],)


@pytest.mark.parametrize("value", ["[[]]", "[[a, b]]", "text", "3"])
def test_connections_that_are_no_map_are_said_to_be_none(value: str) -> None:
    (finding,) = load_spec(f"network: {{bridge_connections: {value}}}").findings

    assert finding.path == "network.bridge_connections"
    assert finding.message.startswith("This must be a map, it is ")


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (("machines", 3, "network"), "switch"),
        (("machines", 3, "network", 0), "switch"),
        (("network", "ovn", "switches", "any", "ports", 0), "chassis"),
        (("network", "ovn", "switches", "ports", "ports", 0, "internal"), "ip"),
        (("network", "ovn", "acl", "switches", "sw0", 2), "priority"),
    ],
)
def test_place_of_a_path_has_its_keys(path: tuple[str | int, ...], key: str) -> None:
    place = place_of(path)

    assert place is not None
    assert key in place.keys


def test_maps_with_free_keys_are_no_place() -> None:
    disk = ("machines", 0, "libvirt", "libvirt_type", "cloud_image")

    assert place_of((*disk, "environment")) is None
    assert place_of(("network", "bridge_connections")) is None
    assert place_of(("network", "ovn", "switches")) is None


def test_unknown_keys_are_warned_about_everywhere() -> None:
    text = """
machines:
  - name: a
    network: {switch: sw0, ip: 10.0.0.5, gatway: 10.0.0.1}
    docker: {image: x, privledged: true, static_ip: 10.0.0.5}
network:
  ovn:
    switches: {sw0: {subnet: 10.0.0.0/24, prots: []}}
    routers: {r0: {nat: [{nat_type: snat, external_ip: 1.1.1.1, logical_ip: 10.0.0.5,
      comment: x}]}}
"""

    findings = load_spec(text).findings

    assert [(f.path.rpartition(".")[2], f.hint) for f in findings] == [
        ("gatway", "Did you mean `gateway`?"),
        ("privledged", "Did you mean `privileged`?"),
        ("static_ip", "Write `ip` at the machine's interface."),
        ("prots", "Did you mean `ports`?"),
        ("comment", ""),
    ]
