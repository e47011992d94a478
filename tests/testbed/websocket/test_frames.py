"""The server's frames fit the size limits of servers and clients."""

import json

import pytest

from testbed.websocket.frames import MAX_SENT_BYTES, texts_of


def event(seq: int, text: str, html: str = "") -> dict[str, object]:
    return {"type": "event", "seq": seq, "text": text, "html": html}


def test_small_frame_is_one_text():
    frame = event(1, "é")

    (text,) = texts_of(frame)

    assert json.loads(text) == frame


@pytest.mark.parametrize("letter", ["x", "界", "\x1b"], ids=["one", "three", "escaped"])
def test_packed_events_are_spread_over_texts_that_fit(letter: str):
    events = [event(seq, letter * 4096) for seq in range(500)]

    texts = list(texts_of({"type": "events", "events": events}))

    assert max(len(text.encode()) for text in texts) <= MAX_SENT_BYTES
    frames = [json.loads(text) for text in texts]
    assert {frame["type"] for frame in frames} == {"events"}
    assert [one for frame in frames for one in frame["events"]] == events


@pytest.mark.parametrize("is_packed", [False, True])
def test_frame_too_large_alone_goes_without_its_html(is_packed: bool):
    large = event(7, "said", html="<p>" * MAX_SENT_BYTES)

    (text,) = texts_of({"type": "events", "events": [large]} if is_packed else large)

    assert json.loads(text) == {**large, "html": ""}
