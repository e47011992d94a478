"""A ring keeps the newest output within its bound, and every position means one byte."""

from hypothesis import given
from hypothesis import strategies as st

from testbed.consoles.ring import Piece, Ring


def test_output_is_read_from_any_position():
    ring = Ring(100)
    ring.append(b"hello ")
    ring.append(b"world")

    assert ring.read(0, 100) == Piece(0, b"hello world")
    assert ring.read(6, 3) == Piece(6, b"wor")
    assert ring.read(ring.end, 9) == Piece(11, b"")


def test_reader_that_was_left_behind_goes_on_with_the_oldest():
    ring = Ring(4)
    for number in range(10):
        ring.append(f"{number}\n".encode())

    position, data = ring.read(0, 100)

    assert position > 0
    assert b"".join(f"{n}\n".encode() for n in range(10)).endswith(data)
    assert position + len(data) == ring.end


@given(st.lists(st.binary(max_size=40)))
def test_ring_keeps_its_size_and_no_more_than_twice(pieces: list[bytes]):
    ring = Ring(32)
    for piece in pieces:
        ring.append(piece)
    whole = b"".join(pieces)

    position, data = ring.read(0, len(whole))

    assert whole[position:] == data
    assert min(32, len(whole)) <= len(data) <= 2 * 32


def test_past_comes_first_and_what_is_in_both_is_there_once():
    ring = Ring(100)
    ring.append(b"login: ")

    ring.put_before(b"booting\nlog")

    assert ring.read(0, 100) == Piece(0, b"booting\nlogin: ")


@given(st.text("ab", max_size=12), st.text("ab", max_size=12))
def test_longest_part_in_both_is_there_once(past: str, news: str):
    ring = Ring(100)
    ring.append(news.encode())

    ring.put_before(past.encode())

    both = next(n for n in range(len(news), -1, -1) if past.endswith(news[:n]))
    assert ring.read(0, 100).data.decode() == past + news[both:]


def test_past_of_a_ring_that_was_cut_is_left_out():
    ring = Ring(2)
    ring.append(b"abcdefgh")

    ring.put_before(b"past")

    assert b"past" not in ring.read(0, 100).data
