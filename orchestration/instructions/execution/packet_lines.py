"""Describes a packet of Ethernet on one line, for following a capture.

Only addresses, protocol, ports and length: the file has the rest. The packet is a
guest's, so that every length is checked before it is used.
"""

import ipaddress
from datetime import UTC, datetime

from orchestration.instructions.execution.pcap import Packet

_ARP, _IPV4, _IPV6, _VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
_WITH_PORTS = (6, 17, 132)


def packet_line(packet: Packet) -> str:
    """Return a packet's line."""
    at = datetime.fromtimestamp(packet.at, UTC)
    return f"{at:%H:%M:%S.%f} {_ethernet(packet.data)}, {packet.length} B"


def _ethernet(frame: bytes) -> str:
    kind, start = _number(frame, 12), 14
    if kind == _VLAN:
        kind, start = _number(frame, 16), 18
    body = frame[start:]
    if kind == _IPV4 and len(body) >= 20:
        return _internet(body[12:16], body[16:20], body[9], body[4 * (body[0] & 15) :])
    if kind == _IPV6 and len(body) >= 40:
        return _internet(body[8:24], body[24:40], body[6], body[40:])
    name = "ARP" if kind == _ARP else f"type 0x{kind:04x}"
    return f"{_mac(frame[6:12])} > {_mac(frame[:6])} {name}"


def _internet(source: bytes, target: bytes, protocol: int, body: bytes) -> str:
    has_ports = protocol in _WITH_PORTS and len(body) >= 4
    ports = [f" port {_number(body, at)}" if has_ports else "" for at in (0, 2)]
    name = _PROTOCOLS.get(protocol, f"protocol {protocol}")
    ends = (
        f"{ipaddress.ip_address(address)}{port}"
        for address, port in zip((source, target), ports, strict=True)
    )
    return f"{' > '.join(ends)} {name}"


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _mac(data: bytes) -> str:
    return data.hex(":")
