"""The filter passes whole messages of RFB as QEMU reads them, in whatever pieces."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.consoles.messages import BadMessage
from testbed.consoles.rfb import VERSION, ClientFilter

HELLO = VERSION + b"\x01\x01"
FORMAT = b"\0" * 20
ENCODINGS = struct.pack(">BxHii", 2, 2, 7, -258)
ASK = struct.pack(">BBHHHH", 3, 1, 0, 0, 640, 480)
KEY = struct.pack(">BBxxI", 4, 1, 0x61)
POINTER = struct.pack(">BBHH", 5, 1, 10, 20)
CLIPBOARD = struct.pack(">BxxxI", 6, 9) + b"my secret"
EXTENDED_CLIPBOARD = struct.pack(">BxxxiI", 6, -8, 1) + b"text"
QEMU_KEY = struct.pack(">BBHII", 255, 0, 1, 0x61, 30)
READING = (FORMAT, ENCODINGS, ASK)
TYPING = (KEY, POINTER, QEMU_KEY)
CLIPBOARDS = (CLIPBOARD, EXTENDED_CLIPBOARD)


def new(*, may_type: bool = True) -> tuple[ClientFilter, list[None]]:
    typed: list[None] = []
    return ClientFilter(may_type=may_type, on_typing=lambda: typed.append(None)), typed


def test_typist_types_and_its_clipboard_stays_in_the_browser():
    rfb, typed = new()

    passed = rfb.feed(HELLO + b"".join((*READING, *CLIPBOARDS, *TYPING)))

    assert passed == HELLO + b"".join((*READING, *TYPING))
    assert len(typed) == len(TYPING)


def test_reader_asks_for_pictures_and_nothing_else():
    rfb, typed = new(may_type=False)

    passed = rfb.feed(HELLO + b"".join((*TYPING, *READING, *CLIPBOARDS, ASK)))

    assert passed == HELLO + b"".join((*READING, ASK))
    assert typed == []


def test_viewer_that_wants_to_be_alone_shares():
    rfb, _ = new()

    assert rfb.feed(VERSION + b"\x01\x00") == HELLO


@given(
    st.lists(st.sampled_from((*READING, *TYPING, *CLIPBOARDS)), max_size=12),
    st.booleans(),
    st.data(),
)
def test_pieces_make_no_difference(messages, may_type, data):
    said = HELLO + b"".join(messages)
    wanted = (*READING, *TYPING) if may_type else READING
    rfb, _ = new(may_type=may_type)

    passed = b""
    while said:
        size = data.draw(st.integers(1, len(said)))
        passed += rfb.feed(said[:size])
        said = said[size:]

    assert passed == HELLO + b"".join(m for m in messages if m in wanted)


def test_long_clipboard_is_dropped_as_it_comes():
    rfb, _ = new()
    rfb.feed(HELLO + struct.pack(">BxxxI", 6, 1 << 30))

    assert rfb.feed(KEY * 10_000) == b""


@pytest.mark.parametrize(
    "said",
    [
        b"RFB 003.003\n",
        b"GET / HTTP/1.1\r\n",
        VERSION + b"\x02",  # a password
        HELLO + bytes((1,)),  # no longer in use
        HELLO + bytes((150,)),  # continuous updates
        HELLO + bytes((250, 0, 1, 2)),  # power off
        HELLO + bytes((251,)) + b"\0" * 7,  # another size
        HELLO + b"\xff\x01" + b"\0" * 10,  # sound
    ],
)
def test_bytes_that_are_no_message_end_a_screen(said: bytes):
    rfb, _ = new()

    with pytest.raises(BadMessage):
        rfb.feed(said)
