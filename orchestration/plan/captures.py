"""A packet capture: which interface or bridge, which packets, how many.

A user names a guest or a bridge of the testbed; the device on the host follows from the
state. Nothing here touches a machine.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestration.errors import ExecutionRefused, SelectionFailed
from orchestration.state.model import State

LEAST_SNAPLEN, MOST_SNAPLEN = 64, 262_144
MOST_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Capture:
    """The packets, of a guest's interface or of a bridge, that a BPF filter passes.

    An empty `interface` is the guest's first, an empty `host` the first of a bridge that
    is on several. `snaplen` bytes of each packet are kept. It ends after `most_mib` or
    `most_s`; 0 stands for the usual value, filled in when the run is created.
    """

    guest: str = ""
    interface: str = ""
    bridge: str = ""
    host: str = ""
    filter: str = ""
    snaplen: int = MOST_SNAPLEN
    most_mib: int = 0
    most_s: int = 0

    @property
    def place(self) -> str:
        """Guest and interface, or the bridge, as titles have them."""
        if self.bridge:
            return f"bridge {self.bridge}{f' on {self.host}' if self.host else ''}"
        return f"{self.guest} {self.interface}".strip()


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """The usual and the largest size and time of a capture."""

    usual_mib: int
    usual_s: int
    most_mib: int
    most_s: int


@dataclass(frozen=True, slots=True)
class Point:
    """A place at which packets are captured: a tap of a bridge; without one, all of it.

    `capture` names it; `device` is the bridge's.
    """

    capture: Capture
    host: str
    bridge: str
    device: str
    tap: str = ""

    @property
    def name(self) -> str:
        """The guest, or the bridge, that a task is for."""
        return self.capture.guest or self.capture.place


def place_named(text: str) -> Capture:
    """Return the capture at a point, of whose capture this is the place."""
    match text.split():
        case ["bridge", bridge, "on", host]:
            return Capture(bridge=bridge, host=host)
    guest, _, interface = text.partition(" ")
    return Capture(guest, interface)


def points_of(state: State) -> Iterator[Point]:
    """Yield the interfaces of all guests, then the bridges on each of their hosts."""
    for guest in state.guests:
        for wire in guest.interfaces:
            named = Capture(guest.name, wire.name)
            yield Point(named, guest.host, wire.bridge, wire.device, wire.tap)
    for bridge in state.network.bridges:
        named = Capture(bridge=bridge.name, host=bridge.host)
        yield Point(named, bridge.host, bridge.name, bridge.device)


def point_of(state: State, capture: Capture) -> Point:
    """Return where a capture takes place. Raises: SelectionFailed."""
    if capture.bridge:
        return _bridge_of(state, capture)
    own = [point for point in points_of(state) if point.capture.guest == capture.guest]
    names = [point.capture.interface for point in own]
    if not own:
        raise SelectionFailed(
            f"There is no guest {capture.guest} with an interface in this testbed.",
            hint="Choose another guest.",
        )
    if capture.interface and capture.interface not in names:
        raise SelectionFailed(
            f"Guest {capture.guest} has no interface {capture.interface}.",
            hint=f"It has {', '.join(names)}.",
        )
    return own[names.index(capture.interface) if capture.interface else 0]


def _bridge_of(state: State, capture: Capture) -> Point:
    name, host = capture.bridge, capture.host
    own = [point for point in points_of(state) if point.capture.bridge == name]
    hosts = [point.host for point in own]
    if not own:
        raise SelectionFailed(
            f"There is no bridge {name} in this testbed.", hint="Choose another bridge."
        )
    if host and host not in hosts:
        raise SelectionFailed(
            f"Bridge {name} is not on {host}.", hint=f"It is on {', '.join(hosts)}."
        )
    return own[hosts.index(host) if host else 0]


def with_limits(capture: Capture, limits: CaptureLimits) -> Capture:
    """Fill in the usual limits. Raises: ExecutionRefused (one is too large)."""
    found = replace(
        capture,
        most_mib=capture.most_mib or limits.usual_mib,
        most_s=capture.most_s or limits.usual_s,
    )
    if found.most_mib > limits.most_mib or found.most_s > limits.most_s:
        raise ExecutionRefused(
            f"A capture of {found.most_mib} MiB in {found.most_s} s is more than one "
            "may take.",
            hint=f"Use at most {limits.most_mib} MiB and {limits.most_s} s.",
        )
    return found


def check_capture(capture: Capture) -> None:
    """Check everything that needs no state. Raises: ExecutionRefused."""
    if bool(capture.guest) is bool(capture.bridge):
        raise ExecutionRefused(
            "Packets are captured either of a guest or on a bridge.",
            hint="Name one of the two.",
        )
    if capture.host if capture.guest else capture.interface:
        raise ExecutionRefused("A guest has an interface, and a bridge a host.")
    if not LEAST_SNAPLEN <= capture.snaplen <= MOST_SNAPLEN:
        raise ExecutionRefused(
            f"{capture.snaplen} bytes of each packet cannot be kept.",
            hint=f"Use {LEAST_SNAPLEN} to {MOST_SNAPLEN}.",
        )
    if capture.most_mib < 0 or capture.most_s < 0:
        raise ExecutionRefused("The limits of a capture are 0 or more.")
    _check_filter(capture.filter)


# The filter's compiler would look other names up in the host's DNS.
_KEYWORDS = """
    host net port portrange src dst and or not proto protochain gateway broadcast
    multicast ether ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp igrp pim ah esp vrrp
    carp vlan mpls pppoed pppoes geneve vxlan less greater len llc stp lldp mask ra ta
    icmptype icmpcode icmp-echo icmp-echoreply icmp-unreach icmp-redirect
    icmp-timxceed icmp6type icmp6code tcpflags tcp-fin tcp-syn tcp-rst tcp-push tcp-ack
    tcp-urg ssh http https domain bootps bootpc ntp
"""
_WORDS = frozenset(_KEYWORDS.split())
_SPLIT = re.compile(r"[\s()\[\]!&|=<>+*%^~,]+")
_NUMBER = re.compile(
    r"\d+(\.\d+){0,3}(/\d+)?|\d+-\d+|\d+:\d+|0x[0-9a-f]+"
    r"|[0-9a-f]*:[0-9a-f]*:[0-9a-f:]*(\d+(\.\d+){3})?(/\d+)?",
    re.IGNORECASE,
)


def _check_filter(text: str) -> None:
    if len(text) > MOST_CHARACTERS or not text.isprintable():
        raise ExecutionRefused(
            f"A filter has at most {MOST_CHARACTERS} characters, on one line."
        )
    for word in filter(None, _SPLIT.split(text)):
        if word.lower() not in _WORDS and not _NUMBER.fullmatch(word):
            raise ExecutionRefused(
                f"The filter has the word `{word}`, which is none of a filter's.",
                hint="Write addresses and ports as numbers: icmp and host 10.0.0.1.",
            )
