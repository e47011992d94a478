"""Packets are read in pieces of any size, kept whole, and described on a line each."""

import struct
from itertools import chain

import pytest

from orchestration.errors import StateError
from orchestration.instructions.execution.packet_lines import packet_line
from orchestration.instructions.execution.pcap import LimitReached, Packet, PcapReader

HEAD = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
MACS = bytes.fromhex("525400000002525400000001")


def record(data: bytes, *, at: int = 3661, order: str = "<") -> bytes:
    return struct.pack(f"{order}IIII", at, 500_000, len(data), len(data) + 4) + data


def frame(kind: int, body: bytes) -> bytes:
    return MACS + kind.to_bytes(2, "big") + body


def ipv4(protocol: int, body: bytes = b"") -> bytes:
    head = bytearray(20)
    head[0], head[9] = 0x45, protocol
    head[12:20] = bytes([10, 0, 0, 1, 10, 0, 0, 2])
    return frame(0x0800, bytes(head) + body)


def read(stream: bytes, size: int, most_bytes: int = 10**6) -> tuple[bytes, PcapReader]:
    kept = bytearray()
    reader = PcapReader(kept.extend, most_bytes)
    for start in range(0, len(stream), size):
        reader.feed(stream[start : start + size])
    return bytes(kept), reader


@pytest.mark.parametrize("size", [1, 7, 24, 1000])
def test_stream_in_pieces_of_any_size_is_kept_as_it_is(size: int) -> None:
    stream = HEAD + record(b"a" * 60) + record(b"b" * 90)

    kept, reader = read(stream, size)

    assert kept == stream
    assert (reader.packets, reader.size_bytes) == (2, len(stream))


def test_packet_that_is_not_whole_is_not_kept() -> None:
    stream = HEAD + record(b"a" * 60)

    kept, reader = read(stream + record(b"b" * 90)[:-1], 50)

    assert kept == stream
    assert reader.packets == 1


def test_packet_beyond_the_limit_ends_the_capture_after_the_one_before() -> None:
    stream = HEAD + record(b"a" * 60)
    kept = bytearray()
    reader = PcapReader(kept.extend, len(stream) + 50)

    with pytest.raises(LimitReached):
        reader.feed(stream + record(b"b" * 60))

    assert kept == stream
    assert reader.packets == 1


def test_stream_of_a_host_with_the_other_order_of_bytes_is_read() -> None:
    head = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)

    _, reader = read(head + record(b"a" * 60, order=">"), 1000)

    assert reader.last == [Packet(3661.5, 64, b"a" * 60)]


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"tcpdump: what is this?  ", "The host sent no packets in the form of pcap."),
        (
            HEAD + struct.pack("<IIII", 1, 1, 10**9, 10**9),
            "The host sent a packet of 1,000,000,000 bytes.",
        ),
    ],
)
def test_stream_that_is_no_pcap_is_refused(stream: bytes, message: str) -> None:
    with pytest.raises(StateError) as caught:
        read(stream, 1000)

    assert caught.value.message == message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ipv4(1), "10.0.0.1 > 10.0.0.2 ICMP"),
        (
            ipv4(6, struct.pack(">HH", 4000, 22)),
            "10.0.0.1 port 4000 > 10.0.0.2 port 22 TCP",
        ),
        (ipv4(17), "10.0.0.1 > 10.0.0.2 UDP"),
        (ipv4(99), "10.0.0.1 > 10.0.0.2 protocol 99"),
        (
            frame(
                0x86DD, bytes(6) + b"\x3a" + bytes(1) + bytes(15) + b"\1" + bytes(16)
            ),
            "::1 > :: ICMPv6",
        ),
        (
            frame(0x0806, bytes(28)),
            "52:54:00:00:00:01 > 52:54:00:00:00:02 ARP",
        ),
        (
            frame(0x88CC, b""),
            "52:54:00:00:00:01 > 52:54:00:00:00:02 type 0x88cc",
        ),
        (MACS[:12] + b"\x81\0\0\5" + ipv4(1)[12:], "10.0.0.1 > 10.0.0.2 ICMP"),
    ],
)
def test_line_names_the_ends_and_the_protocol(data: bytes, words: str) -> None:
    line = packet_line(Packet(3661.5, 98, data))

    assert line == f"01:01:01.500000 {words}, 98 B"


def test_packet_that_is_cut_anywhere_has_a_line() -> None:
    whole = ipv4(6, struct.pack(">HH", 4000, 22))

    lines = [packet_line(Packet(0.0, 98, whole[:n])) for n in chain(range(len(whole)))]

    assert all(line.endswith("98 B") for line in lines)
