"""Acts on a testbed's networks past the product: removed, cut, changed."""

from collections.abc import Callable, Sequence
from functools import partial

from orchestration.state.model import State
from tests.live.chaos.acts.act import Act, Family
from tests.live.chaos.expected import FIREWALL, table_of
from tests.live.chaos.lab import HOSTS, Lab, Testbed

# A host, and the words of one command there.
Command = tuple[str, tuple[str, ...]]
Find = Callable[[Lab, State], Sequence[Command]]


def bridges(lab: Lab, state: State) -> list[Command]:
    """Find bridges to delete."""
    return [
        (b.host, ("ovs-vsctl", "del-br", b.device))
        for b in state.network.bridges
        if b.device in lab.facts[b.host].bridges
    ]


def ports(lab: Lab, state: State) -> list[Command]:
    """Find ports of links to unplug."""
    return [
        (link.host, ("ovs-vsctl", "del-port", port))
        for link in state.network.links
        for _, port in link.ports
        if port in lab.facts[link.host].ports
    ]


def taps(lab: Lab, state: State) -> list[Command]:
    """Find guests' taps to unplug from bridges of Open vSwitch."""
    return [
        (guest.host, ("ovs-vsctl", "del-port", card.tap))
        for guest in state.guests
        for card in guest.interfaces
        if card.tap in lab.facts[guest.host].ports
    ]


def cards(lab: Lab, state: State) -> list[Command]:
    """Find guests' taps to set down."""
    found = [(g.host, c.tap) for g in state.guests for c in g.interfaces]
    found += [(g.host, g.management.tap) for g in state.guests if g.management]
    return [
        (host, ("ip", "link", "set", tap, "down"))
        for host, tap in found
        if tap in lab.facts[host].links
    ]


def networks(lab: Lab, state: State) -> list[Command]:
    """Find active networks to stop."""
    return [
        (host, ("virsh", "-q", "net-destroy", name))
        for host, name in _networks(state)
        if lab.facts[host].networks.get(name)
    ]


def definitions(lab: Lab, state: State) -> list[Command]:
    """Find stopped networks to undefine."""
    return [
        (host, ("virsh", "-q", "net-undefine", name))
        for host, name in _networks(state)
        if lab.facts[host].networks.get(name) is False
    ]


def devices(lab: Lab, state: State) -> list[Command]:
    """Find Linux bridges of active networks to set down."""
    nat = state.network.nat
    found = [(m.host, m.network, m.device) for m in state.network.management]
    found += [(nat.host, nat.network, nat.device)] if nat else []
    return [
        (host, ("ip", "link", "set", device, "down"))
        for host, network, device in found
        if lab.facts[host].networks.get(network)
    ]


def uplinks(lab: Lab, state: State) -> list[Command]:
    """Find uplinks to remove."""
    return _uplink(lab, state, "delete {end}")


def uplinks_to_set_down(lab: Lab, state: State) -> list[Command]:
    """Find uplinks to set down."""
    return _uplink(lab, state, "set {end} down")


def name_servers(lab: Lab, state: State) -> list[Command]:
    """Find dnsmasqs to kill."""
    nat = state.network.nat
    if nat is None or nat.network not in lab.facts[nat.host].served:
        return []
    kill = f'kill -9 "$(cat /run/libvirt/network/{nat.network}.pid)"'
    return [(nat.host, ("sh", "-c", kill))]


def tunnels(lab: Lab, state: State) -> list[Command]:
    """Find ends of tunnels to give another key."""
    return [
        (end.host, ("ovs-vsctl", "set", "interface", end.port, "options:key=4242"))
        for tunnel in state.network.tunnels
        for end in tunnel.ends
        if end.port in lab.facts[end.host].ports
    ]


def senders(lab: Lab, state: State) -> list[Command]:
    """Find the testbed's own tables of nftables to delete."""
    return _senders(lab, state, "delete table {table}")


def senders_to_empty(lab: Lab, state: State) -> list[Command]:
    """Find the testbed's own tables of nftables to empty."""
    return _senders(lab, state, "flush set {table} senders")


def firewalls(lab: Lab) -> list[str]:
    """Return the hosts with a firewall, which all testbeds share."""
    return [host for host in HOSTS if FIREWALL in lab.facts[host].tables]


def delete_firewall(lab: Lab, host: str) -> None:
    """Delete a host's firewall."""
    lab.host(host).run("nft", "delete", "table", "inet", "testbed")


def change_firewall(lab: Lab, host: str) -> None:
    """Empty a chain of a host's firewall."""
    lab.host(host).run("nft", "flush", "chain", "inet", "testbed", "to_host")


def _networks(state: State) -> list[tuple[str, str]]:
    nat = state.network.nat
    found = [(m.host, m.network) for m in state.network.management]
    return found + ([(nat.host, nat.network)] if nat else [])


def _senders(lab: Lab, state: State, words: str) -> list[Command]:
    table = table_of(state.number)
    return [
        (host, ("nft", *words.format(table=table).split()))
        for host in HOSTS
        if table in lab.facts[host].tables
    ]


def _uplink(lab: Lab, state: State, words: str) -> list[Command]:
    nat = state.network.nat
    ends = [nat.veth_network_end, nat.veth_bridge_end] if nat else []
    return [
        (nat.host, ("ip", "link", *words.format(end=end).split()))
        for end in ends
        if nat and end in lab.facts[nat.host].links
    ]


def _places(find: Find, lab: Lab) -> list[Testbed]:
    return [testbed for testbed, state in lab.states() if find(lab, state)]


def _do(find: Find, lab: Lab, testbed: Testbed) -> None:
    state = lab.state(testbed)
    assert state is not None
    host, words = lab.random.choice(find(lab, state))
    lab.say(f"    {host}: {' '.join(words)}")
    lab.host(host).run(*words)


def _act(family: Family, name: str, find: Find) -> Act:
    return Act(family, name, partial(_places, find), partial(_do, find))


ACTS = (
    _act(Family.DELETE, "delete a bridge", bridges),
    _act(Family.CUT, "unplug a link", ports),
    _act(Family.CUT, "unplug a guest", taps),
    _act(Family.CUT, "set a guest's interface down", cards),
    _act(Family.DELETE, "stop a network", networks),
    _act(Family.DELETE, "undefine a network", definitions),
    _act(Family.CUT, "set a network down", devices),
    _act(Family.CUT, "remove an uplink", uplinks),
    _act(Family.CUT, "set an uplink down", uplinks_to_set_down),
    _act(Family.KILL, "kill a name server", name_servers),
    _act(Family.EDIT, "change a tunnel", tunnels),
    _act(Family.DELETE, "delete a table of senders", senders),
    _act(Family.EDIT, "empty a table of senders", senders_to_empty),
    Act(Family.DELETE, "delete a firewall", firewalls, delete_firewall, weight=1),
    Act(Family.EDIT, "change a firewall", firewalls, change_firewall, weight=1),
)
