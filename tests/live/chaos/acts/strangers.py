"""Acts of other people on the hosts: their things come, go, and take our names."""

from collections.abc import Callable

from tests.live.chaos import foreign
from tests.live.chaos.acts.act import Act, Family, down, once
from tests.live.chaos.lab import HOSTS, Foreign, Lab, Testbed

MOST = 26
NEWEST = 6
Make = Callable[[Lab, Testbed], Foreign]


def add(lab: Lab, _: str) -> None:
    """Something foreign comes to a host."""
    host = lab.host(lab.random.choice(HOSTS))
    testbed = lab.random.choice(list(lab.testbeds.values()))
    name = f"t{lab.number(testbed)}-f{lab.random.randrange(1000)}"
    kind = lab.random.choice(("domain", "network", "bridge", "link", "table", "file"))
    if any(thing.name.startswith(name) for thing in lab.foreign):
        return
    made = {
        "domain": lambda: foreign.domain(host, name),
        "network": lambda: foreign.network(host, name, f"f{name[-6:]}"),
        "bridge": lambda: foreign.bridge(host, name),
        "link": lambda: foreign.veth(host, name),
        "table": lambda: foreign.table(host, name.replace("-", "_")),
        "file": lambda: foreign.file(host, f"/var/lib/testbed/projects/{name}.txt"),
    }[kind]()
    lab.say(f"    {made}")
    lab.foreign.append(made)


def remove(lab: Lab, _: str) -> None:
    """Something foreign that came lately goes, by its owner's hand."""
    thing = lab.random.choice(lab.foreign[-NEWEST:])
    lab.say(f"    {thing}")
    thing.remove()
    lab.foreign.remove(thing)


def take_domain(lab: Lab, testbed: Testbed) -> None:
    """A machine has a guest's name: Up fails and says so, Down leaves it."""
    state = lab.state(testbed)
    assert state is not None
    guest = lab.random.choice(state.guests)
    made = foreign.domain(lab.host(guest.host), guest.domain)
    _taken(lab, testbed, made, f"The domain {guest.domain} on {guest.host}")


def take_network(lab: Lab, testbed: Testbed) -> None:
    """A network has the name of the testbed's: Up fails and says so, Down leaves it."""
    state = lab.state(testbed)
    assert state is not None
    networks = list(state.network.management)
    networks += [state.network.nat] if state.network.nat else []
    found = lab.random.choice(networks)
    made = foreign.network(lab.host(found.host), found.network, "handmade")
    _taken(lab, testbed, made, f"The network {found.network} on {found.host}")


def take_bridge(lab: Lab, testbed: Testbed) -> None:
    """A bridge has the name of the testbed's: Up fails and says so, Down leaves it."""
    state = lab.state(testbed)
    assert state is not None
    found = lab.random.choice(state.network.bridges)
    made = foreign.bridge(lab.host(found.host), found.device)
    _taken(lab, testbed, made, found.device)


def _taken(lab: Lab, testbed: Testbed, made: Foreign, words: str) -> None:
    lab.say(f"    {made}")
    done = lab.run(testbed, "up")
    lab.require(done.status == "failed", f"up beside {made} {done.status}")
    lab.require(words in str(done.frames), f"up does not name {made}: {done.words}")
    lab.require(made.stands(), f"{made} was touched by up: {made.found()!r}")
    lab.succeeds(testbed, "down")
    lab.require(made.stands(), f"{made} was touched by down: {made.found()!r}")
    made.remove()


def plug_in(lab: Lab, testbed: Testbed) -> None:
    """A foreign device is put on a bridge; Down leaves the device."""
    state = lab.state(testbed)
    assert state is not None
    found = lab.random.choice(_bridges(lab, testbed))
    name = f"f{lab.random.randrange(10**6)}"
    host = lab.host(found.host)
    made = foreign.veth(host, name)
    made.removal = f"ovs-vsctl --if-exists del-port {name}; {made.removal}"
    lab.foreign.append(made)
    host.run("ovs-vsctl", "add-port", found.device, name)


def _bridges(lab: Lab, testbed: Testbed) -> list:
    state = lab.state(testbed)
    bridges = state.network.bridges if state else ()
    return [b for b in bridges if b.device in lab.facts[b.host].bridges]


def with_bridge(lab: Lab) -> list[Testbed]:
    """Return the testbeds with a bridge on a host."""
    return [t for t in lab.testbeds.values() if _bridges(lab, t)]


def planned(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are down and have a state."""
    return [t for t in down(lab) if lab.state(t) and t.written == t.applied]


def with_room(lab: Lab) -> list[str]:
    """Return one place while there are not too many foreign things."""
    return once(lab) if len(lab.foreign) < MOST else []


def with_foreign(lab: Lab) -> list[str]:
    """Return one place while there are foreign things."""
    return once(lab) if lab.foreign else []


ACTS = (
    Act(Family.FOREIGN, "a foreign thing comes", with_room, add, 3),
    Act(Family.FOREIGN, "a foreign thing goes", with_foreign, remove, 2),
    Act(Family.FOREIGN, "a guest's name is taken", planned, take_domain, 2),
    Act(Family.FOREIGN, "a network's name is taken", planned, take_network, 2),
    Act(Family.FOREIGN, "a bridge's name is taken", planned, take_bridge, 2),
    Act(Family.FOREIGN, "a foreign device on a bridge", with_bridge, plug_in, 2),
)
