"""Scaling: which guests it stands for, where they are, and what their disks are on.

Growing and shrinking touch no other clone. The golden images below the clones are in
test_golden_images.py.
"""

from orchestration.compose.language.schema import Clone, Interface, Scaling, Spec
from orchestration.state.clones import expand
from orchestration.state.diff.changes import ChangeKind, diff
from orchestration.state.model import State
from orchestration.state.model.images import DiskOrigin
from tests.orchestration.compose.fakes import read_spec
from tests.orchestration.state.samples import build, machine, scaled, spec_of, workers

SETUP = [{"script": "a.sh", "clones": [0]}, {"script": "b.sh", "clones": [1, 2]}]


def names(state: State) -> list[str]:
    return [guest.name for guest in state.guests]


def test_clones_come_behind_all_machines_in_the_order_of_their_parents() -> None:
    spec = spec_of(
        scaled("late", ["br0"], ["br0"]), machine("web", "br0"), scaled("more", ["br0"])
    )

    state = build(spec)

    assert names(state) == ["web", "late-0", "late-1", "more-0"]
    assert [golden.name for golden in state.goldens] == ["late", "more"]
    assert [guest.golden for guest in state.guests] == ["", "late", "late", "more"]
    assert state.guest("late-1").domain == "t7-late-1"


def test_a_clone_inherits_everything_but_scripts() -> None:
    node = scaled("node", ["br0"], ["br0"], ["br0"], clone_setup=SETUP)
    assert isinstance(node, dict)
    node["libvirt"] |= {"cpus": 2, "memory_mb": 512, "username": "student"}
    node["libvirt"]["libvirt_type"]["cloud_image"] |= {
        "environment": {"MODE": "fast"},
        "context": "ctx",
        "setup_script": "own.sh",
        "run_script": "own.sh",
    }
    node["libvirt"]["scaling"]["clone_run"] = [{"script": "run.sh", "clones": [2]}]

    state = build(spec_of(node))

    guests = state.guests
    assert {(g.cpus, g.memory_mib, g.user, g.context) for g in guests} == {
        (2, 512, "student", "ctx")
    }
    assert all(g.environment == {"MODE": "fast"} for g in guests)
    setup = [g.setup_script.path if g.setup_script else "" for g in guests]
    run = [g.run_script.path if g.run_script else "" for g in guests]
    assert (setup, run) == (["a.sh", "b.sh", "b.sh"], ["", "", "run.sh"])


def test_clones_are_placed_and_bridges_stretched_as_for_any_guest() -> None:
    node = scaled("node", ["br0"], ["br1"], ["br1", "br0"], shared_setup="s.sh")

    state = build(spec_of(node, bridges=("br0", "br1")))

    assert [guest.host for guest in state.guests] == ["host-a", "host-b", "host-b"]
    present = {(b.name, b.host) for b in state.network.bridges}
    assert present == {("br0", "host-a"), ("br0", "host-b"), ("br1", "host-b")}
    assert [i.bridge for i in state.guest("node-2").interfaces] == ["br1", "br0"]


def test_a_golden_image_is_on_main_and_takes_no_slot() -> None:
    bare = scaled("node", [], [], shared_setup="s.sh")

    state = build(spec_of(bare, machine("web")))

    assert state.goldens[0].guest.host == "host-a"
    hosts = {guest.name: guest.host for guest in state.guests}
    assert hosts == {"web": "host-a", "node-0": "host-b", "node-1": "host-a"}


def test_balanced_placement_counts_clones_and_not_their_golden_image() -> None:
    node = scaled("node", ["br0"], ["br0"], ["br0"], ["br0"], shared_setup="s.sh")
    options = {"load_balancing": "Balanced"}
    spec = read_spec(
        {
            "machines": [node],
            "network": {"bridges": [{"name": "br0"}], "external_bridge": "br0"},
            "testbed_options": options,
        }
    )

    state = build(spec)

    hosts = [guest.host for guest in state.guests]
    assert sorted(hosts) == ["host-a", "host-a", "host-b", "host-b"]


def test_addresses_and_macs_of_ranges_are_the_clones_own() -> None:
    clones = tuple(
        Clone(
            interfaces=(
                Interface(
                    attached_to="br0",
                    mac=f"52:54:00:00:00:1{number}",
                    ip=f"10.9.0.1{number}",
                    gateway="10.9.0.1",
                ),
            )
        )
        for number in range(3)
    )
    plain = spec_of(machine("node"))
    node = plain.machines[0].model_copy(update={"scaling": Scaling(clones=clones)})

    state = build(plain.model_copy(update={"machines": (node,)}))

    cards = [guest.interfaces[0] for guest in state.guests]
    assert [card.mac for card in cards] == [c.interfaces[0].mac for c in clones]
    assert [card.address for card in cards] == ["10.9.0.10", "10.9.0.11", "10.9.0.12"]
    assert {card.gateway for card in cards} == {"10.9.0.1"}


def test_clones_are_layers_over_the_golden_image_of_their_host() -> None:
    node = scaled("node", ["br0"], ["br1"], shared_setup="s.sh")
    assert isinstance(node, dict)
    node["libvirt"]["libvirt_type"]["cloud_image"]["expand_gigabytes"] = 4

    state = build(spec_of(node, bridges=("br0", "br1")))

    (golden,) = state.goldens
    file = f"golden-{golden.image.golden[:16]}.qcow2"
    assert golden.is_prepared
    assert golden.guest.expand_gib == 4
    assert golden.image.path == f"/srv/images/{file}"
    here, there = state.guests
    assert here.image.path == f"/srv/images/{file}"
    assert there.image.path == f"/var/lib/testbed/images/{file}"
    assert there.image.main_path == here.image.path
    assert {(g.disk_origin, g.expand_gib) for g in state.guests} == {
        (DiskOrigin.LINKED, 0)
    }


def test_growing_adds_clones_and_touches_no_other() -> None:
    three = build(workers(3, machine("web", "br0"), shared_setup="s.sh"))
    spec = workers(5, machine("web", "br0"), shared_setup="s.sh")

    five = build(spec, previous=three)

    changes = diff(three, five)
    assert [(c.name, c.kind) for c in changes.guests] == [
        ("node-3", ChangeKind.CREATE),
        ("node-4", ChangeKind.CREATE),
    ]
    assert changes.untouched == ("web", "node-0", "node-1", "node-2")
    assert five.goldens == three.goldens
    assert all(five.guest(name) == three.guest(name) for name in names(three))


def test_shrinking_removes_the_last_clones() -> None:
    five = build(workers(5, shared_setup="s.sh"))

    two = build(workers(2, shared_setup="s.sh"), previous=five)

    changes = diff(five, two)
    assert [(c.name, c.kind) for c in changes.guests] == [
        (f"node-{number}", ChangeKind.REMOVE) for number in (2, 3, 4)
    ]
    assert changes.untouched == ("node-0", "node-1")


def on_switches(count: int) -> Spec:
    """Write clones in the map style: the first on one switch, all others on another."""
    entries = {
        "sw0": {"clones": [0], "ip_type": "dynamic"},
        "sw1": {
            "clones": list(range(1, count)),
            "ip_type": {"ip_range": {"from": "10.0.1.11", "to": f"10.0.1.{9 + count}"}},
            "mac_range": {
                "from": "52:54:00:00:01:01",
                "to": f"52:54:00:00:01:{count - 1:02x}",
            },
        },
    }
    node = scaled("node", shared_setup="s.sh")
    assert isinstance(node, dict)
    node["libvirt"]["scaling"] |= {"count": count, "interfaces": entries}
    switches = {name: {"subnet": f"10.0.{name[-1]}.0/24"} for name in entries}
    return read_spec({"machines": [node], "network": {"ovn": {"switches": switches}}})


def test_growing_and_shrinking_on_switches_keep_the_others_addresses() -> None:
    three, five, two = (expand(on_switches(n)).spec.machines for n in (3, 5, 2))

    assert [clone.name for clone in five] == [f"node-{n}" for n in range(5)]
    assert five[:3] == three
    assert five[:2] == two
    cards = [clone.interfaces[0] for clone in five]
    assert [card.attached_to for card in cards] == ["sw0", *["sw1"] * 4]
    assert [card.ip for card in cards[1:]] == [f"10.0.1.{11 + n}" for n in range(4)]
    assert cards[4].mac == "52:54:00:00:01:04"


def test_a_spec_without_scaling_is_expanded_to_itself() -> None:
    spec = spec_of(machine("a", "br0"), machine("b"))

    assert expand(spec).spec == spec
    assert expand(spec).goldens == ()
