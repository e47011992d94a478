"""Frames that are none: each is answered, and too many or too large ones close.

None of them ends the run or changes it; what comes after them is understood.
"""

import pytest

from testbed.models import Run
from testbed.websocket import consumer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "",
        "[]",
        "{}",
        '{"type": "reboot"}',
        '{"type": "instruction"}',
        '{"type": "instruction", "index": "0", "kind": "init"}',
        '{"type": "instruction", "index": -1, "kind": "init"}',
        '{"type": "subscribe", "after": -4}',
        '{"type": "subscribe", "after": 1e99}',
        '{"type": ["instruction"]}',
        "[" * 5000,
    ],
)
async def test_malformed_frame_is_answered_and_does_not_end_the_run(
    tab, run, owner, doors, reload, text
):
    socket = await tab(run.pk, owner)

    message = {"type": "websocket.receive", "text": text}
    await socket.socket.send_input(message)
    answer = await socket.next()

    assert answer["type"] == "error"
    assert answer["message"].startswith("This frame was not understood.")
    await reload()
    assert run.status == Run.Status.PENDING
    await socket.send("instruction", index=0, kind="init")
    assert (await socket.until("ack"))["valid"]
    await socket.close()


async def test_pings_are_harmless(tab, run, owner):
    socket = await tab(run.pk, owner)

    await socket.send("ping")

    assert await socket.socket.receive_nothing(timeout=0.1)
    await socket.close()


async def test_ten_misunderstood_frames_in_a_row_close_with_4400(tab, run, owner):
    socket = await tab(run.pk, owner)

    for _ in range(consumer.MAX_BAD_FRAMES):
        await socket.socket.send_to(text_data="?")

    assert await socket.to_close() == 4400
    assert socket.seen[-2]["message"] == "Too many frames were no frames."


async def test_binary_frame_closes_with_4400_and_the_reason(tab, run, owner):
    socket = await tab(run.pk, owner)

    await socket.socket.send_to(bytes_data=b"\x00\x01")

    assert await socket.to_close() == 4400
    assert "binary" in socket.seen[0]["message"]


async def test_frame_above_64_kib_closes_with_4400(tab, run, owner, reload):
    socket = await tab(run.pk, owner)

    await socket.send("cancel", padding="x" * 70_000)

    assert await socket.to_close() == 4400
    await reload()
    assert run.cancel_requested_at is None
