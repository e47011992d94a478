"""A capture names an interface or bridge of the state, a filter of known words, and its limits."""

import pytest

from orchestration.errors import ExecutionRefused, SelectionFailed
from orchestration.plan.captures import (
    Capture,
    CaptureLimits,
    place_named,
    point_of,
    points_of,
    with_limits,
)
from orchestration.plan.execution import parse_execution
from orchestration.plan.lifecycle import plan_exec
from orchestration.plan.model import Kind, Plan
from tests.orchestration.state.samples import build, machine, spec_of

LIMITS = CaptureLimits(usual_mib=64, usual_s=600, most_mib=100, most_s=1000)


def asked(**values: object) -> dict[str, object]:
    return {"form": "capture", "capture": {"guest": "web", **values}}


def test_capture_is_a_tool_on_its_guests_host() -> None:
    state = build(spec_of(machine("web", "br0")))
    wanted = parse_execution(asked(filter="icmp"))

    plan = plan_exec(state, wanted, ["web"])

    assert (wanted.tool, wanted.selection, wanted.title) == (
        True,
        "web",
        "capture icmp",
    )
    assert [found.kind for found in plan.instructions] == [
        Kind.CAPTURE_PACKETS,
        Kind.END,
    ]
    assert Plan.from_json(plan.to_json()) == plan


def test_interface_is_the_guests_first_unless_another_is_named() -> None:
    state = build(spec_of(machine("web", "br0", "br1"), bridges=("br0", "br1")))
    first, second = state.guest("web").interfaces

    assert point_of(state, Capture("web")).tap == first.tap
    assert point_of(state, Capture("web", second.name)).tap == second.tap


def test_bridge_is_captured_on_its_host_as_a_whole() -> None:
    state = build(
        spec_of(machine("web", "br0"), machine("db", "br1"), bridges=("br0", "br1"))
    )
    [other] = [one for one in state.network.bridges if one.name == "br1"]
    wanted = parse_execution({"form": "capture", "capture": {"bridge": "br1"}})

    point = point_of(state, Capture(bridge="br1"))
    plan = plan_exec(state, wanted, ())

    assert (point.tap, point.device, point.host) == ("", other.device, other.host)
    [resource] = plan.instructions[0].resources
    assert (resource.name, resource.host) == (f"bridge br1 on {other.host}", other.host)
    assert plan.instructions[0].title == "capture on bridge br1"
    assert wanted.selection == "bridge br1"


def test_each_place_that_a_form_offers_names_its_point() -> None:
    state = build(spec_of(machine("web", "br0", "br1"), bridges=("br0", "br1")))
    points = list(points_of(state))

    assert [point_of(state, place_named(one.capture.place)) for one in points] == points


@pytest.mark.parametrize(
    ("capture", "message"),
    [
        (Capture("db"), "There is no guest db with an interface in this testbed."),
        (Capture("web", "tap0"), "Guest web has no interface tap0."),
        (Capture(bridge="br9"), "There is no bridge br9 in this testbed."),
        (Capture(bridge="br0", host="host-x"), "Bridge br0 is not on host-x."),
    ],
)
def test_interface_that_is_not_in_the_state_is_refused(
    capture: Capture, message: str
) -> None:
    state = build(spec_of(machine("web", "br0")))

    with pytest.raises(SelectionFailed) as caught:
        point_of(state, capture)

    assert caught.value.message == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "icmp and host 10.0.0.1",
        "net 10.0.0.0/24 and not (tcp port 22 or udp portrange 1000-2000)",
        "ether host 52:54:00:ab:cd:ef",
        "ip6 host fe80::1",
        "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
        "ip[6:2] & 0x1fff = 0",
        "len <= 100 && vlan 5",
    ],
)
def test_filter_of_known_words_and_numbers_is_taken(text: str) -> None:
    assert parse_execution(asked(filter=text)).capture == Capture("web", filter=text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"filter": "host example.com"}, "The filter has the word `example.com`"),
        ({"filter": "host a1.de"}, "The filter has the word `a1.de`"),
        ({"filter": "icmp; reboot"}, "The filter has the word `icmp;`"),
        ({"filter": "$(id)"}, "The filter has the word `$`"),
        ({"filter": "-w /etc/passwd"}, "The filter has the word `-w`"),
        ({"filter": "icmp\narp"}, "on one line"),
        ({"filter": "icmp " * 300}, "at most 1000 characters"),
        ({"snaplen": 1}, "1 bytes of each packet cannot be kept."),
        ({"snaplen": 10**6}, "1000000 bytes of each packet cannot be kept."),
        ({"most_mib": -1}, "The limits of a capture are 0 or more."),
        ({"guest": ""}, "either of a guest or on a bridge"),
        ({"bridge": "br0"}, "either of a guest or on a bridge"),
        ({"host": "main"}, "A guest has an interface, and a bridge a host."),
        (
            {"guest": "", "bridge": "br0", "interface": "eth0"},
            "A guest has an interface, and a bridge a host.",
        ),
    ],
)
def test_capture_that_cannot_be_is_refused(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(ExecutionRefused) as caught:
        parse_execution(asked(**values))

    assert message in caught.value.message


@pytest.mark.parametrize(
    "wanted",
    [
        {"form": "shell", "words": ["sleep 9"], "selection": "web"},
        {"form": "serial-log", "selection": "web"},
        {"form": "push", "path": "a", "target": "/b", "selection": "web"},
    ],
)
def test_other_forms_take_no_capture(wanted: dict[str, object]) -> None:
    """It would make a tool of them, and its limits are checked in a capture only."""
    parse_execution(wanted)
    with pytest.raises(ExecutionRefused, match="belongs to a capture"):
        parse_execution({**wanted, "capture": {"guest": "web", "most_mib": -9}})
    with pytest.raises(ExecutionRefused, match="belongs to a capture"):
        parse_execution({"form": "capture", "selection": "web"})


def test_missing_limits_are_the_usual_ones_and_large_ones_refused() -> None:
    usual = with_limits(Capture("web"), LIMITS)

    assert (usual.most_mib, usual.most_s) == (64, 600)
    for large in (Capture("web", most_mib=101), Capture("web", most_s=1001)):
        with pytest.raises(ExecutionRefused, match="more than one may take"):
            with_limits(large, LIMITS)
