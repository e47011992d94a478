"""The differences between the deployed and the wanted state, each with its reason.

`plan_up` removes and restarts by it, and a testbed's page shows it before `up`. Pure:
two states in, changes in a user's words out. The deployed state may be a union of two
(`state.diff.deployed`), in which a guest can be on two hosts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestration.state.diff.guests import (
    context_reasons,
    disk_reasons,
    golden_reasons,
    guest_reasons,
    script_reasons,
)
from orchestration.state.diff.interfaces import (
    UNFINISHED_REASON,
    differ_in_interfaces_only,
    interface_reasons,
    obstacles,
)
from orchestration.state.diff.networks import (
    Part,
    bridge_parts,
    link_parts,
    network_parts,
)
from orchestration.state.model import (
    BridgeState,
    GoldenState,
    GuestState,
    HostState,
    State,
)

MOVED_DISK = "its disk will be erased"


class ChangeKind(StrEnum):
    """The kinds of change, in the order in which they are shown."""

    REMOVE = "remove"
    RECREATE = "recreate"
    RESTART = "restart"
    CHANGE_LIVE = "change without reboot"
    CHANGE = "change"
    CREATE = "create"


@dataclass(frozen=True, slots=True)
class Change:
    """One change on one host; `key` finds its object, as in a plan's resource."""

    kind: ChangeKind
    name: str
    host: str
    key: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostNeed:
    """The needs of a host's guests, before and after, and its size (0: unknown)."""

    name: str
    memory_mib_before: int
    memory_mib: int
    memory_mib_of_host: int
    cpus_before: int
    cpus: int
    cpus_of_host: int


@dataclass(frozen=True, slots=True)
class Changes:
    """All differences; `untouched` names the guests that run on."""

    guests: tuple[Change, ...]
    bridges: tuple[Change, ...]
    links: tuple[Change, ...]
    networks: tuple[Change, ...]
    untouched: tuple[str, ...]
    hosts: tuple[HostNeed, ...]

    @property
    def is_empty(self) -> bool:
        """Return whether there is no difference."""
        return not (self.guests or self.bridges or self.links or self.networks)

    def to_text(self) -> str:
        """Return the changes as text, one a line."""
        groups = (
            ("Guests", self.guests),
            ("Bridges", self.bridges),
            ("Links", self.links),
            ("Networks", self.networks),
        )
        lines: list[str] = []
        for title, changes in groups:
            lines += [title] if changes else []
            lines += [
                f"  {c.kind:<12}{c.name} on {c.host}: {', '.join(c.reasons)}"
                for c in changes
            ]
        lines += [f"Untouched: {', '.join(self.untouched) or 'none'}", "Hosts"]
        lines += [
            f"  {h.name}: memory {h.memory_mib_before} → {h.memory_mib} of "
            f"{h.memory_mib_of_host} MiB, vCPU {h.cpus_before} → {h.cpus} of "
            f"{h.cpus_of_host}"
            for h in self.hosts
        ]
        return "\n".join(lines) + "\n"


def diff(deployed: State, wanted: State) -> Changes:
    """Return the changes that turn `deployed` into `wanted`."""
    guests = tuple(_guests(deployed, wanted))
    touched = {change.name for change in guests}
    return Changes(
        guests=_sorted(guests),
        bridges=_sorted(_parts(bridge_parts(deployed), bridge_parts(wanted))),
        links=_sorted(_parts(link_parts(deployed), link_parts(wanted))),
        networks=_sorted(_parts(network_parts(deployed), network_parts(wanted))),
        untouched=tuple(g.name for g in wanted.guests if g.name not in touched),
        hosts=tuple(_hosts(deployed, wanted)),
    )


def _sorted(changes: Iterable[Change]) -> tuple[Change, ...]:
    order = list(ChangeKind)
    return tuple(sorted(changes, key=lambda change: order.index(change.kind)))


def _guests(deployed: State, wanted: State) -> Iterator[Change]:
    before: dict[str, list[GuestState]] = {}
    for guest in deployed.guests:
        before.setdefault(guest.name, []).append(guest)
    names = {guest.name for guest in wanted.guests}
    for guest in deployed.guests:
        if guest.name not in names:
            yield _guest(
                ChangeKind.REMOVE,
                guest,
                "removed from the YAML; its disk will be deleted",
            )
    bridges = _bridge_hosts(wanted.network.bridges)
    for guest in wanted.guests:
        for old in before.get(guest.name, ()):
            if old.host != guest.host:
                yield _guest(ChangeKind.REMOVE, old, *_why_moved(old, guest, bridges))
        here = [old for old in before.get(guest.name, ()) if old.host == guest.host]
        if here:
            yield from _same_place(here[0], guest, deployed, wanted)
        elif guest.name in before:
            source = before[guest.name][0].host
            reason = f"moves from {source}; {MOVED_DISK}"
            yield _guest(ChangeKind.RECREATE, guest, reason)
        else:
            yield _guest(ChangeKind.CREATE, guest, "is new")


def _same_place(
    old: GuestState, new: GuestState, deployed: State, wanted: State
) -> Iterator[Change]:
    """Compare a guest with itself; a change of its host's domain type counts, too."""
    disk, scripts = disk_reasons(old, new), script_reasons(old, new)
    files = (*scripts, *context_reasons(old, new))
    hosts = deployed.host(old.host), wanted.host(new.host)
    if disk:
        goldens = golden_reasons(_golden(deployed, old), _golden(wanted, new))
        settings = guest_reasons(old, new, *hosts)
        yield _guest(ChangeKind.RECREATE, new, *disk, *goldens, *settings, *scripts)
    elif old.spec_hash != new.spec_hash:
        kind, reasons = _settings_change(old, new, *hosts)
        yield _guest(kind, new, *reasons, *files)
    elif files:
        yield _guest(ChangeKind.CHANGE, new, *files)


def _golden(state: State, guest: GuestState) -> GoldenState | None:
    return next((g for g in state.goldens if g.name == guest.golden), None)


def _settings_change(
    old: GuestState, new: GuestState, old_host: HostState, new_host: HostState
) -> tuple[ChangeKind, tuple[str, ...]]:
    """Return the kind of change that other settings need, and its reasons."""
    if not differ_in_interfaces_only(old, new, old_host, new_host):
        reasons = guest_reasons(old, new, old_host, new_host)
        return ChangeKind.RESTART, reasons or ("its other settings change",)
    reasons = interface_reasons(old, new) or (UNFINISHED_REASON,)
    if why := obstacles(old, new):
        return ChangeKind.RESTART, (*reasons, *why)
    return ChangeKind.CHANGE_LIVE, reasons


def _guest(kind: ChangeKind, guest: GuestState, *reasons: str) -> Change:
    return Change(kind, guest.name, guest.host, guest.name, reasons)


def _why_moved(
    old: GuestState, new: GuestState, bridges: dict[str, set[str]]
) -> Iterator[str]:
    """Name the bridges that left the old host; otherwise only the new host."""
    names = dict.fromkeys(interface.bridge for interface in old.interfaces)
    left = [n for n in names if n in bridges and old.host not in bridges[n]]
    if left:
        word = "bridge" if len(left) == 1 else "bridges"
        verb = "moves" if len(left) == 1 else "move"
        yield f"touched because its {word} {', '.join(left)} {verb} to {new.host}"
    else:
        yield f"moves to {new.host}"


def _bridge_hosts(bridges: Iterable[BridgeState]) -> dict[str, set[str]]:
    hosts: dict[str, set[str]] = {}
    for bridge in bridges:
        hosts.setdefault(bridge.name, set()).add(bridge.host)
    return hosts


def _parts(before: list[Part], after: list[Part]) -> Iterator[Change]:
    """Compare parts of the network by their identity, then by their settings."""
    old = {part.identity: part for part in before}
    new = {part.identity: part for part in after}
    # A part that another one replaces under its name and host is no plain removal.
    names = {(part.name, part.host) for part in after}
    for part in old.values():
        if part.identity not in new:
            is_replaced = (part.name, part.host) in names
            reason = "will be recreated" if is_replaced else "no longer needed"
            yield Change(ChangeKind.REMOVE, part.name, part.host, part.key, (reason,))
    for part in new.values():
        known = old.get(part.identity)
        if known is None:
            reason = "is new"
            yield Change(ChangeKind.CREATE, part.name, part.host, part.key, (reason,))
        elif known.settings != part.settings:
            reasons = tuple(_settings(known, part))
            yield Change(ChangeKind.CHANGE, part.name, part.host, part.key, reasons)


def _settings(old: Part, new: Part) -> Iterator[str]:
    for (what, before), (_, after) in zip(old.settings, new.settings, strict=True):
        if before == after:
            continue
        if isinstance(before, frozenset) and isinstance(after, frozenset):
            one, other = len(before), len(after)
            yield f"{what} {one} → {other}" if one != other else f"{what} change"
        else:
            yield f"{what} {before} → {after}"


def _hosts(deployed: State, wanted: State) -> Iterator[HostNeed]:
    before, after = _needs(deployed), _needs(wanted)
    for host in wanted.hosts:
        if host.name in before or host.name in after:
            memory_before, cpus_before = before.get(host.name, (0, 0))
            memory, cpus = after.get(host.name, (0, 0))
            yield HostNeed(
                host.name,
                memory_before,
                memory,
                host.memory_mib,
                cpus_before,
                cpus,
                host.cpus,
            )


def _needs(state: State) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for guest in state.guests:
        memory, cpus = found.get(guest.host, (0, 0))
        found[guest.host] = (memory + guest.memory_mib, cpus + guest.cpus)
    return found
