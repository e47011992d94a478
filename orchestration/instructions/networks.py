"""The instructions that make and remove networks, bridges and links.

A resource's key leads to its entry in the state; a tunnel has one resource per end,
told apart by the host. Everything is idempotent and touches only objects that carry
this testbed's mark: making fails where a foreign one has the name, removing leaves it
and says so.
"""

from collections.abc import Sequence

from orchestration.errors import NetworkFailed
from orchestration.instructions.interfaces import put_on_bridge
from orchestration.instructions.task import (
    Outcome,
    Task,
    done,
    leaving_foreign,
    unchanged,
)
from orchestration.plan.resources import NAT_KEY
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.xml.domain import (
    build_management_network,
    build_nat_network,
)
from orchestration.providers.linux import dnsmasq, firewall, ip_link
from orchestration.providers.linux.senders import senders_of, table_of
from orchestration.providers.ovs import bridges, flows, taps
from orchestration.state.model import (
    BridgeState,
    GuestState,
    HostPortState,
    LinkState,
    ManagementState,
    NatState,
    PatchState,
    TunnelState,
)
from orchestration.state.mtu import mtu_of


def ensure_networks(task: Task) -> Outcome:
    """Define and start the NAT or the management network on one host."""
    network, testbed = _network(task), task.state.testbed
    if isinstance(network, NatState):
        xml = build_nat_network(network, testbed=testbed)
    else:
        xml = build_management_network(network, testbed=testbed)
    name, conn = network.network, task.host.libvirt
    changed = networks.ensure(conn, name, xml, testbed=testbed)
    changed = _bring_up(task, network.device) or changed
    if isinstance(network, NatState):
        is_new = _ensure_dnsmasq(task, network)
        return done("started its name server again") if is_new else _outcome(changed)
    changed = _bind_guests(task, network.host) or changed
    guests = (guest for guest in task.state.guests if guest.host == network.host)
    loose = taps.plug_into_network(
        task.host.transport,
        network.device,
        [guest.management.tap for guest in guests if guest.management],
        scope=task.scope,
    )
    return _plugged(changed, loose)


def _bring_up(task: Task, device: str) -> bool:
    """Set up a network's Linux bridge where somebody set it down."""
    transport, scope = task.host.transport, task.scope
    link = ip_link.links(transport, scope=scope).get(device)
    if link is None or link.up:
        return False
    ip_link.bring_up(transport, device, checksum_offload=True, scope=scope)
    return True


def _ensure_dnsmasq(task: Task, nat: NatState) -> bool:
    """Start the network's dnsmasq where it has ended. Raises: NetworkFailed."""
    transport, scope = task.host.transport, task.scope
    if not task.host.state.has_network:
        return False
    if nat.network in dnsmasq.running(transport, scope=scope):
        return False
    networks.restart_dnsmasq(task.host.libvirt, nat.network, testbed=task.state.testbed)
    if nat.network not in dnsmasq.running(transport, scope=scope):
        raise NetworkFailed(
            f"The network {nat.network} on {nat.host} gives no addresses and names: "
            "its dnsmasq ended, and so does a new one.",
            hint="Look there at `journalctl -t dnsmasq -t libvirtd`.",
        )
    return True


@leaving_foreign
def delete_networks(task: Task) -> Outcome:
    """Stop and undefine the network, and free its guests' addresses."""
    network, transport = _network(task), task.host.transport
    name, testbed = network.network, task.state.testbed
    if isinstance(network, ManagementState):  # ours, also where a foreign network stays
        firewall.delete(transport, table_of(task.state.number), scope=task.scope)
    return _outcome(networks.delete(task.host.libvirt, name, testbed=testbed))


def ensure_bridges(task: Task) -> Outcome:
    """Make one Open vSwitch bridge as the state has it; plug running guests in."""
    bridge, transport = _bridge(task), task.host.transport
    changed = bridges.ensure_bridge(
        transport, bridge, testbed=task.state.testbed, scope=task.scope
    )
    changed = _reset_flows(task, bridge) or changed
    return _plugged(changed, _plug_in(task, bridge))


def _reset_flows(task: Task, bridge: BridgeState) -> bool:
    """Make a bridge without a controller a switch again."""
    transport, device, scope = task.host.transport, bridge.device, task.scope
    if bridge.controller or not task.host.state.has_network:
        return False
    if device not in flows.altered(transport, [device], scope=scope):
        return False
    flows.reset(transport, device, scope=scope)
    return True


@leaving_foreign
def delete_bridges(task: Task) -> Outcome:
    """Remove one Open vSwitch bridge."""
    changed = bridges.delete_bridge(
        task.host.transport,
        _bridge(task).device,
        testbed=task.state.testbed,
        scope=task.scope,
    )
    return _outcome(changed)


def ensure_links(task: Task) -> Outcome:
    """Join bridges: a patch, an end of a tunnel, a host's card, or the NAT uplink."""
    link, transport, testbed = (
        _links(task)[0].joint,
        task.host.transport,
        task.state.testbed,
    )
    if isinstance(link, PatchState):
        mtu = mtu_of(task.state)
        changed = bridges.ensure_patch(
            transport, link, testbed=testbed, mtu=mtu, scope=task.scope
        )
    elif isinstance(link, TunnelState):
        changed = bridges.ensure_tunnel_end(
            transport,
            link,
            link.end_on(task.resource.host),
            testbed=testbed,
            scope=task.scope,
        )
    elif isinstance(link, HostPortState):
        ip_link.require_unused(transport, link.nic, scope=task.scope)
        changed = bridges.ensure_port(
            transport, link.device, link.nic, testbed=testbed, scope=task.scope
        )
        ip_link.bring_up(transport, link.nic, checksum_offload=True, scope=task.scope)
    else:
        veth = ip_link.ensure_veth(
            transport,
            link.veth_network_end,
            link.veth_bridge_end,
            master_of_a=link.device,
            mtu=link.mtu,
            scope=task.scope,
        )
        port = bridges.ensure_port(
            transport,
            link.external_device,
            link.veth_bridge_end,
            testbed=testbed,
            scope=task.scope,
        )
        changed = veth or port
    return _outcome(changed)


@leaving_foreign
def delete_links(task: Task) -> Outcome:
    """Remove the devices and ports that `ensure_links` made."""
    transport, testbed, links = task.host.transport, task.state.testbed, _links(task)
    changed = [
        bridges.delete_port(transport, port, testbed=testbed, scope=task.scope)
        for port in dict.fromkeys(port for link in links for _, port in link.ports)
    ]
    changed += [
        ip_link.delete_link(transport, link.veths[0], scope=task.scope)
        for link in links
        if link.veths
    ]
    return _outcome(any(changed))


def _bind_guests(task: Task, host: str) -> bool:
    """Let guests on a host be heard only with their own management addresses."""
    if host in task.policy.unguarded:
        return False
    ruleset = senders_of(task.state, host)
    return firewall.ensure(task.host.transport, ruleset, scope=task.scope)


def _network(task: Task) -> NatState | ManagementState:
    nat = task.state.network.nat
    if task.resource.key == NAT_KEY and nat is not None:
        return nat
    return next(
        m for m in task.state.network.management if m.host == task.resource.host
    )


def _bridge(task: Task) -> BridgeState:
    device, host = task.resource.key, task.resource.host
    return next(
        b for b in task.state.network.bridges if b.device == device and b.host == host
    )


def _links(task: Task) -> list[LinkState]:
    """Return a link on this host; a changed one may be there in both versions."""
    place = (task.resource.key, task.resource.host)
    return [link for link in task.state.network.links if (link.key, link.host) == place]


def _plug_in(task: Task, bridge: BridgeState) -> list[str]:
    """Put running guests on a bridge that was made anew, set up; return their taps.

    `change_interfaces` moves guests that an edit left on another bridge.
    """
    cards = [
        (guest, card)
        for guest in task.state.guests
        if guest.host == bridge.host
        for card in guest.interfaces
        if card.device == bridge.device
    ]
    names = [card.tap for _, card in cards]
    transport, scope = task.host.transport, task.scope
    found = taps.faults(transport, bridge.device, names, scope=scope)
    repaired = dict.fromkeys((*found.down, *found.in_vlan))
    if found.in_vlan:
        taps.leave_vlans(transport, bridge.device, found.in_vlan, scope=scope)
    for tap in found.down:
        ip_link.bring_up(transport, tap, checksum_offload=True, scope=scope)
    for guest, card in cards:
        is_off = card.tap in found.off
        if is_off and (not found.off[card.tap] or _is_current(task, guest)):
            put_on_bridge(task, guest, card)
            repaired[card.tap] = None
    return list(repaired)


def _is_current(task: Task, guest: GuestState) -> bool:
    found = domains.find(task.host.libvirt, task.domain(guest))
    return found is not None and found.spec_hash == guest.spec_hash


def _plugged(changed: bool, taps: Sequence[str]) -> Outcome:
    if taps:
        plural = "s" if len(taps) > 1 else ""
        return done(f"repaired {len(taps)} interface{plural} of running guests")
    return _outcome(changed)


def _outcome(changed: bool) -> Outcome:
    return done() if changed else unchanged()
