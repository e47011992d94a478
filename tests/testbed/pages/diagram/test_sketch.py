"""A YAML is drawn as it is written, also what cannot be brought up yet."""

import itertools
import json
import re
from pathlib import Path

import pytest
from django.template.loader import render_to_string
from django.test import Client

from orchestration.compose.language.built import not_built
from orchestration.compose.language.schema import Spec
from orchestration.compose.loader import load_spec
from testbed.models import Testbed
from testbed.pages.diagram.folding import FOLD_ABOVE
from testbed.pages.diagram.parts import Diagram
from testbed.pages.diagram.sketch import sketch_of, sketch_scene
from testbed.templatetags.display import with_code
from tests.golden import DATA, Golden
from tests.orchestration.state.samples import is_built
from tests.testbed.conftest import YAML
from tests.testbed.reading import one_tag_a_line

EXAMPLES = {
    file.parent.name: file
    for file in sorted((DATA.parent.parent / "examples").glob("*/kvm-compose.yaml"))
}
PAGE = "/testbeds/olive/lab/"


def spec_of(file: Path) -> Spec:
    return load_spec(file.read_bytes()).require()


REFUSED = [name for name, file in EXAMPLES.items() if not is_built(file)]


def drawn(content: bytes) -> Diagram:
    sketch = sketch_of(content)
    assert sketch
    return sketch.diagram


@pytest.mark.parametrize("name", REFUSED)
def test_picture_of_a_refused_example_is_as_reviewed(name: str, golden: Golden):
    diagram = drawn(EXAMPLES[name].read_bytes())

    svg = render_to_string("testbeds/diagram/_diagram.html", {"diagram": diagram})

    golden(one_tag_a_line(svg), DATA / "expected" / f"{name}.sketch.svg")


@pytest.mark.parametrize("name", EXAMPLES)
def test_everything_that_is_written_is_drawn(name: str):
    spec = spec_of(EXAMPLES[name])
    diagram = drawn(EXAMPLES[name].read_bytes())

    guests = {machine.name for machine in spec.machines}
    for machine in spec.machines:
        clones = machine.scaling.clones if machine.scaling else ()
        guests |= {f"{machine.name}-{number}" for number in range(len(clones))}
    assert {card.guest for card in diagram.cards} == guests
    ovn = spec.network.ovn
    networks = [*spec.network.bridges, *(ovn.switches if ovn else ())]
    assert sum(bar.net >= 0 for bar in diagram.bars) == len(networks)
    routers = ovn.routers.values() if ovn else ()
    links = len(spec.network.bridge_connections)
    links += sum(len(router.ports) for router in routers)
    assert sum(line.kind == "patch" for line in diagram.lines) == links
    leaves = "external_bridge:" in EXAMPLES[name].read_text() or name == "routed"
    assert (diagram.cloud is not None) == leaves
    for thing in (*diagram.cards, *diagram.bars):
        (box,) = diagram.boxes
        assert box.x <= thing.x
        assert thing.x + thing.width <= box.x + box.width
        assert thing.y + thing.height <= box.y + box.height


def test_only_guests_that_cannot_be_brought_up_are_marked():
    diagram = drawn(EXAMPLES["container"].read_bytes())

    assert {card.guest: card.status for card in diagram.cards} == {
        "web": "unbuilt",
        "client": "written",
    }


def test_router_says_which_switches_it_is_on():
    diagram = drawn(EXAMPLES["routed"].read_bytes())

    titles = [line.title for line in diagram.lines if line.kind == "patch"]
    assert "router edge, port edge-servers: 10.30.1.1/24 on servers" in titles
    assert len(titles) == 3


def test_switch_and_router_of_one_name_are_two_things():
    text = (
        EXAMPLES["one-switch"]
        .read_text()
        .replace("ovn:", "ovn:\n    routers: {sw0: {}}")
    )

    labels = [bar.label for bar in drawn(text.encode()).bars]

    assert len([label for label in labels if "sw0" in label]) == 2


def test_name_that_leads_nowhere_is_no_crash():
    text = YAML.replace("bridge: lan", "bridge: br9", 1).replace("lan: far", "x: y")

    diagram = drawn(text.encode())

    assert {bar.label for bar in diagram.bars} == {"lan", "far", "not connected"}
    assert not [line for line in diagram.lines if line.kind == "patch"]


def test_many_guests_are_counted_instead():
    many = FOLD_ABOVE + 5
    text = EXAMPLES["clones"].read_text().replace("count: 3", f"count: {many}")

    diagram = drawn(text.encode())

    counted = [card for card in diagram.cards if card.title.endswith(" guests")]
    assert sum(int(card.title.split()[0]) for card in counted) >= 3


@pytest.mark.parametrize("content", [b"", b"machines: [", b"\xff", b"network: {}\n"])
def test_nothing_is_drawn_of_what_cannot_be_read(content: bytes):
    assert sketch_of(content) is None


def test_words_say_the_same_as_the_picture():
    summary = sketch_scene(spec_of(EXAMPLES["routed"])).summary

    assert "router edge, snat, dnat_and_snat, dhcp; servers  10.30.1.0/24" in summary
    assert "monitor (servers, clients)" in summary


@pytest.mark.parametrize("name", REFUSED)
def test_page_draws_it_and_names_what_up_refuses(
    browser: Client, testbed: Testbed, name: str
):
    testbed.project.yaml.write_bytes(EXAMPLES[name].read_bytes())
    sentence = not_built(spec_of(EXAMPLES[name]))

    page = browser.get(PAGE).content.decode()

    notice = page.partition('id="not-built"')[2].partition("</div>")[0]
    assert with_code(sentence) in notice
    assert page.count('<svg class="net') == 1
    assert "This testbed is a draft." not in page


def test_page_draws_what_can_be_brought_up_without_a_warning(
    browser: Client, testbed: Testbed
):
    page = browser.get(PAGE).content.decode()

    assert 'id="not-built"' not in page
    assert "as written" in page
    assert "This testbed is a draft." in page
    assert ">web</text>" in page


def test_page_of_a_yaml_with_errors_draws_nothing(browser: Client, testbed: Testbed):
    testbed.project.yaml.write_text(YAML.replace("cpus: 1", "cpus: two", 1))

    page = browser.get(PAGE).content.decode()

    assert '<svg class="net' not in page
    assert "This testbed is a draft." in page


def points_of(path: str) -> list[tuple[int, int]]:
    """Return the corners of a path of M, H and V."""
    points: list[tuple[int, int]] = []
    for command, numbers in re.findall(r"([MHV])([\d -]+)", path):
        values = [int(number) for number in numbers.split()]
        x, y = points[-1] if points else (0, 0)
        x = values[0] if command in "MH" else x
        y = values[-1] if command in "MV" else y
        points.append((x, y))
    return points


def touches(one: str, other: str) -> bool:
    """Return whether a corner of one line is on a segment of the other."""
    corners, points = points_of(one)[1:-1], points_of(other)
    return any(
        min(a, c) - 1 <= x <= max(a, c) + 1 and min(b, d) - 1 <= y <= max(b, d) + 1
        for x, y in corners
        for (a, b), (c, d) in itertools.pairwise(points)
    )


@pytest.mark.parametrize("switches", [1, 2, 3])
def test_lines_of_links_touch_at_no_corner(switches: int):
    names = [f"sw{n}" for n in range(switches)]
    ovn = {
        "switches": {
            name: {"subnet": f"10.0.{n}.0/24"} for n, name in enumerate(names)
        },
        "routers": {
            "edge": {
                "ports": [
                    {
                        "name": f"to-{name}",
                        "gateway_ip": f"10.0.{n}.1/24",
                        "switch": name,
                    }
                    for n, name in enumerate(names)
                ]
            }
        },
    }
    ovn["switches"]["sw0"]["ports"] = [
        {"name": "out", "localnet": {"network_name": "public"}}
    ]

    diagram = drawn(json.dumps({"machines": [], "network": {"ovn": ovn}}).encode())

    paths = [line.path for line in diagram.lines]
    assert len(paths) == switches + 1
    assert [p for p in itertools.permutations(paths, 2) if touches(*p)] == []
