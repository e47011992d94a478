"""The diagram: golden pictures, and what must be in each of them."""

import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from django.template.loader import render_to_string

from orchestration.compose.catalogue import load_catalogue
from orchestration.compose.loader import load_spec
from orchestration.project.folder import YAML_NAME
from orchestration.state.build import Identity, Inputs, build_state
from orchestration.state.model import HostState, State
from testbed.pages.diagram.folding import FOLD_ABOVE
from testbed.pages.diagram.layout import PAGE_WIDTH, WIDEST, layout
from testbed.pages.diagram.parts import Box, Diagram
from testbed.pages.traffic import Rate
from tests.golden import DATA, Golden
from tests.orchestration.state.samples import sample
from tests.testbed.reading import one_tag_a_line

GUEST = """\
  - name: {name}
    interfaces: [{interfaces}]
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {{cloud_image: {{name: ubuntu_22_04}}}}
"""


def state_of(guests: list[tuple[str, ...]], bridges: list[str], hosts: int) -> State:
    """Build a state: each guest is its name and its bridges; bridges in a chain."""
    entries = [
        GUEST.format(
            name=name, interfaces=", ".join(f"{{bridge: {bridge}}}" for bridge in plugs)
        )
        for name, *plugs in guests
    ]
    links = [f"    {a}: {b}" for a, b in pairwise(bridges)]
    names = ", ".join(f"{{name: {bridge}}}" for bridge in bridges)
    text = "machines:\n" + "".join(entries) + f"network:\n  bridges: [{names}]\n"
    text += "  bridge_connections:\n" * bool(links) + "\n".join(links)
    text += f"\n  external_bridge: {bridges[0]}\n"
    spec = load_spec(text, file_name=YAML_NAME).require()
    return build_state(
        spec,
        Inputs(),
        identity=Identity("lab", 3, "/srv/lab", "0" * 64, "/srv/lab/key", "ssh-x"),
        hosts=[
            HostState(
                name=f"host-{letter}",
                is_main=letter == "a",
                address=f"192.0.2.{number + 1}",
                tunnel_address=f"192.0.2.{number + 1}",
                projects_dir="/srv/projects",
                images_dir="/srv/images",
            )
            for number, letter in enumerate("abcdefgh"[:hosts])
        ],
        catalogue=load_catalogue(),
        previous=None,
    )


def chain(count: int, bridges: int, hosts: int) -> State:
    names = [f"br{n}" for n in range(bridges)]
    guests = [(f"g{n}", names[n % bridges]) for n in range(count)]
    return state_of(guests, names, hosts)


def overlap(one, other) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def is_inside(inner, outer) -> bool:
    return (
        outer.x <= inner.x
        and inner.x + inner.width <= outer.x + outer.width
        and outer.y <= inner.y
        and inner.y + inner.height <= outer.y + outer.height
    )


@pytest.mark.parametrize(
    ("name", "state", "statuses"),
    [
        ("one-host", chain(1, 1, 1), {"g0": "running"}),
        (
            "three-hosts",
            state_of(
                [
                    ("router", "wan", "lan"),
                    ("web", "lan"),
                    ("db", "lan"),
                    ("attacker", "wan"),
                    ("sensor", "far"),
                ],
                ["wan", "lan", "far", "more"],
                3,
            ),
            {"router": "running", "web": "crashed", "db": "paused", "sensor": "absent"},
        ),
        ("counted", chain(200, 2, 2), {"g0": "running"}),
    ],
)
def test_picture_is_as_reviewed(name: str, state: State, statuses, golden: Golden):
    diagram = layout(state, statuses)

    svg = render_to_string("testbeds/diagram/_diagram.html", {"diagram": diagram})

    golden(one_tag_a_line(svg), DATA / "expected" / f"{name}.diagram.svg")


def rates_of(state: State, **traffic: tuple[float, float]) -> dict[str, Rate]:
    """Return rates by tap; `g0_1` is the second interface of g0."""
    until = datetime(2026, 11, 27, 16, 5, 7, tzinfo=UTC)
    found = {}
    for key, (received, sent) in traffic.items():
        name, _, number = key.partition("_")
        tap = state.guest(name).interfaces[int(number or 0)].tap
        found[tap] = Rate(received, sent, until, 5)
    return found


ROUTED = state_of(
    [("router", "wan", "lan"), ("web", "lan"), ("db", "lan"), ("away", "wan")],
    ["wan", "lan"],
    1,
)


@pytest.mark.parametrize(
    ("name", "fold"), [("moving", ""), ("moving-folded", "host-a")]
)
def test_picture_of_traffic_is_as_reviewed(name: str, fold: str, golden: Golden):
    rates = rates_of(
        ROUTED,
        router=(2e7, 300),
        router_1=(300, 2e7),
        web=(5e5, 2e4),
        db=(10, 0),
    )

    diagram = layout(ROUTED, {"web": "running"}, rates=rates, fold=fold)

    svg = render_to_string("testbeds/diagram/_diagram.html", {"diagram": diagram})
    golden(one_tag_a_line(svg), DATA / "expected" / f"{name}.diagram.svg")


@pytest.mark.parametrize(
    ("guests", "bridges", "hosts"), [(1, 1, 1), (9, 3, 3), (26, 4, 3), (60, 5, 6)]
)
def test_everything_has_its_place(guests: int, bridges: int, hosts: int):
    diagram = layout(chain(guests, bridges, hosts), {})

    assert {card.guest for card in diagram.cards} == {f"g{n}" for n in range(guests)}
    for things in (diagram.cards, diagram.bars, diagram.boxes):
        pairs = [(a, b) for a in things for b in things if a is not b]
        assert not [pair for pair in pairs if overlap(*pair)]
    for card in diagram.cards:
        assert sum(is_inside(card, box) for box in diagram.boxes) == 1
    picture = Picture(diagram)
    assert all(is_inside(box, picture) for box in diagram.boxes)


def test_every_link_and_further_interface_is_a_line():
    state = state_of([("r", "a", "b"), ("s", "b")], ["a", "b", "c"], 2)

    diagram = layout(state, {})

    kinds = [line.kind for line in diagram.lines]
    assert kinds.count("patch") == len(state.network.patches)
    assert kinds.count("tunnel") == len(state.network.tunnels) > 0
    assert kinds.count("further") == 1
    assert kinds.count("outside") == 1


@pytest.mark.parametrize("hosts", [1, 2])
def test_forty_guests_use_the_width_of_the_page(hosts: int):
    diagram = layout(chain(40, hosts, hosts), {})

    assert diagram.width > 0.7 * PAGE_WIDTH


def test_hundred_guests_on_four_hosts_fit_the_page():
    diagram = layout(chain(100, 4, 4), {})

    assert len(diagram.cards) == 100
    assert diagram.width <= WIDEST
    assert len({box.y for box in diagram.boxes}) == 2
    assert len({box.x for box in diagram.boxes}) == 2


@pytest.mark.parametrize("hosts", [4, 7])
def test_lines_of_tunnels_cross_no_host_but_their_ends(hosts: int):
    diagram = layout(chain(hosts * 20, hosts, hosts), {})

    tunnels = [line for line in diagram.lines if line.kind == "tunnel"]
    assert len({box.y for box in diagram.boxes}) > 1
    assert tunnels
    for line in tunnels:
        ends = set(re.findall(r" on (\S+)", line.title))
        for box in diagram.boxes:
            assert box.name in ends or not crosses(line.path, box)


def crosses(path: str, box: Box) -> bool:
    """Return whether a path of M, H and V has a part inside a box."""
    x = y = 0
    for command, numbers in re.findall(r"([MHV])([\d -]+)", path):
        values = [int(number) for number in numbers.split()]
        to_x = x if command == "V" else values[0]
        to_y = y if command == "H" else values[-1]
        is_beside = max(x, to_x) <= box.x or min(x, to_x) >= box.x + box.width
        is_above = max(y, to_y) <= box.y or min(y, to_y) >= box.y + box.height
        if command != "M" and not (is_beside or is_above):
            return True
        x, y = to_x, to_y
    return False


def test_many_guests_are_counted_instead():
    count = FOLD_ABOVE + 1

    diagram = layout(chain(count, 1, 1), {"g0": "running", "g1": "running"})

    assert [card.title for card in diagram.cards] == [f"{count} guests"]
    assert diagram.cards[0].text == f"{count - 2} unknown, 2 running"


def test_folded_host_counts_its_guests_by_state():
    statuses = {"g0": "running", "g2": "running", "g4": "crashed", "g1": "paused"}

    diagram = layout(chain(8, 2, 2), statuses, fold="host-a")

    folded = [card for card in diagram.cards if card.counts]
    assert [card.counts for card in folded] == [
        (("running", 2), ("crashed", 1), ("unknown", 1))
    ]
    assert folded[0].group == "@bridge:br0&@host:host-a"
    assert {card.guest for card in diagram.cards if card.guest} == {
        "g1",
        "g3",
        "g5",
        "g7",
    }
    assert [box.is_folded for box in diagram.boxes] == [True, False]
    assert [box.toggled for box in diagram.boxes] == ["", "host-a,host-b"]


@pytest.mark.parametrize(
    ("chosen", "folded"),
    [
        (None, set()),
        ("", set()),
        ("host-b", {"host-b"}),
        ("host-b,host-b,<none>,", {"host-b"}),
        ("host-b,host-a", {"host-a", "host-b"}),
    ],
)
def test_address_says_which_hosts_are_folded(chosen: str | None, folded: set[str]):
    folding = layout(chain(4, 2, 2), {}, fold=chosen).folding

    assert folding.folded == folded
    assert folding.chosen == (None if chosen is None else ",".join(sorted(folded)))
    assert folding.is_full == (len(folded) == 2)


def test_large_testbed_unfolds_one_host_at_a_time():
    state = chain(FOLD_ABOVE + 2, 2, 2)

    first = layout(state, {})
    second = layout(state, {}, fold=first.boxes[0].toggled)

    assert [box.is_folded for box in first.boxes] == [True, True]
    assert [box.is_folded for box in second.boxes] == [False, True]
    assert len([card for card in second.cards if card.guest]) == FOLD_ABOVE // 2 + 1


@pytest.mark.parametrize(
    ("percent", "load", "tone"),
    [(0.4, 0, "good"), (43.7, 40, "good"), (71.0, 70, "warn"), (99.9, 100, "bad")],
)
def test_load_of_a_guest_is_drawn_in_steps(percent: float, load: int, tone: str):
    diagram = layout(chain(2, 1, 1), {"g0": "running"}, loads={"g0": percent})

    svg = render_to_string("testbeds/diagram/_diagram.html", {"diagram": diagram})

    known, unknown = diagram.cards
    assert (known.load, known.load_tone, unknown.load) == (load, tone, None)
    assert 0 <= known.load_width <= known.width
    assert f"vCPU in use about {load} %" in svg
    assert svg.count("net__load ") == 1


def test_traffic_of_each_interface_has_a_width_and_words():
    rates = rates_of(ROUTED, router=(2e7, 300), router_1=(300, 5e3), web=(9, 0))

    diagram = layout(ROUTED, {}, rates=rates)

    cards = {card.guest: card for card in diagram.cards}
    assert cards["router"].rate.step == 3
    assert cards["router"].traffic == (
        "on wan received 19 MiB/s, sent under 1 KiB/s; "
        "on lan received under 1 KiB/s, sent 4.9 KiB/s"
    )
    assert cards["web"].rate.step == 0
    assert cards["web"].traffic == "on lan under 1 KiB/s each way"
    assert (cards["db"].rate, cards["db"].traffic) == (None, "")
    (further,) = (line for line in diagram.lines if line.kind == "further")
    assert further.step == 1
    assert further.title.endswith(" on lan: received under 1 KiB/s, sent 4.9 KiB/s")
    unmeasured = [line for line in diagram.lines if line.kind != "further"]
    assert not any(line.step for line in unmeasured)


def test_folded_host_sums_the_traffic_that_is_known():
    state = chain(6, 1, 1)
    rates = rates_of(state, g0=(2000, 0), g1=(3000, 9e4), g2=(0, 2e4))

    (card,) = layout(state, {}, rates=rates, fold="host-a").cards

    assert (card.rate.received, card.rate.sent) == (5000, 11e4)
    assert card.traffic == ("received 4.9 KiB/s, sent 107 KiB/s at 3 interfaces")


def test_guest_without_a_bridge_has_no_line_for_its_traffic():
    state = state_of([("lone",), ("web", "lan")], ["lan"], 1)

    diagram = layout(state, {}, rates=rates_of(state, web=(2000, 0)))

    assert {card.guest: card.rate is None for card in diagram.cards} == {
        "web": False,
        "lone": True,
    }


@pytest.mark.parametrize(("hosts", "guests"), [(1, 1), (4, 100)])
def test_legend_is_below_the_hosts_and_inside_the_picture(hosts: int, guests: int):
    state = chain(guests, hosts, hosts)

    quiet = layout(state, {}, rates=rates_of(state, g0=(0, 0)))
    busy = layout(state, {}, rates=rates_of(state, g0=(0, 1e9)))

    assert [entry.span for entry in quiet.legend] == [None] * len(quiet.legend)
    since, until = busy.legend[-1].span
    assert (until - since).total_seconds() == 5
    for diagram in (quiet, busy):
        lowest = max(box.y + box.height for box in diagram.boxes)
        for entry in diagram.legend:
            assert lowest < entry.y - 10
            assert entry.y < diagram.height
            assert entry.x < diagram.width
    assert layout(state, {}).legend == ()


def test_clones_are_shown_and_their_golden_image_is_not():
    diagram = layout(sample("clones"), {"worker-1": "running"})

    assert {card.guest for card in diagram.cards} == {
        "worker-0",
        "worker-1",
        "worker-2",
    }
    assert "guests worker-0 (unknown), worker-1 (running)" in diagram.summary


def test_guest_without_interface_is_shown_on_its_host():
    diagram = layout(state_of([("lone",), ("web", "lan")], ["lan"], 1), {})

    assert [bar.label for bar in diagram.bars] == ["lan", "not connected"]
    assert len(diagram.cards) == 2


def test_words_say_the_same_as_the_picture():
    summary = layout(chain(2, 2, 2), {"g0": "running"}).summary

    assert "Host host-a: bridges br0; guests g0 (running)." in summary
    assert "Host host-b: bridges br1; guests g1 (unknown)." in summary


def test_long_name_is_cut_and_kept_in_the_title():
    name = "a-very-long-name-of-a-guest"
    diagram = layout(state_of([(name, "lan")], ["lan"], 1), {})

    svg = render_to_string("testbeds/diagram/_diagram.html", {"diagram": diagram})

    assert diagram.cards[0].title == "a-very-long-name…"
    assert f"<title>{name}: unknown" in svg


class Picture:
    """The whole picture as a rectangle."""

    x = y = 0

    def __init__(self, diagram: Diagram) -> None:
        self.width, self.height = diagram.width, diagram.height


def test_goldens_are_svg_without_style():
    for path in Path(DATA / "expected").glob("*.diagram.svg"):
        assert "style=" not in path.read_text()
