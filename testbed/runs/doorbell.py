"""A run's doorbell: writers ring, followers listen, and both work without it.

`recorder` rings after each commit, `websocket.consumer` listens; `websocket.board` to the
bells of all runs, which ring for everything but lines of output. A bell carries a
number, never text, and may get lost or find no Redis: followers read rows, and read
them periodically without it.
"""

import asyncio
import logging
from collections.abc import Callable

from asgiref.sync import async_to_sync
from channels.layers import BaseChannelLayer, get_channel_layer
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

TRY_AGAIN_S = 2.0


# The group of the bells of all runs.
ALL = "runs"


def ring(run_id: int, seq: int, *, is_output: bool = False) -> None:
    """Announce events up to `seq` to the listeners; never fails.

    `is_output`: they are lines of output alone, which no list shows.
    """
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(_ring)(layer, run_id, seq, is_output=is_output)
    except (OSError, RedisError, RuntimeError) as exc:
        logger.warning("the doorbell of run %s did not ring: %s", run_id, exc)


async def listen(run_id: int, news: asyncio.Event) -> None:
    """Set `news` at every ring of one run, until cancelled."""
    await _listen(_group(run_id), lambda _: news.set())


async def listen_to_all(rung: Callable[[int], None]) -> None:
    """Call `rung` with the number of each run that rings, until cancelled."""
    await _listen(ALL, rung)


async def _ring(
    layer: BaseChannelLayer, run_id: int, seq: int, *, is_output: bool
) -> None:
    message = {"type": "news", "run": run_id, "seq": seq}
    await layer.group_send(_group(run_id), message)
    if not is_output:
        await layer.group_send(ALL, message)


async def _listen(group: str, rung: Callable[[int], None]) -> None:
    while True:
        try:
            await _hear(group, rung)
        except (OSError, RedisError) as exc:
            logger.warning("%s is followed without a doorbell: %s", group, exc)
            await asyncio.sleep(TRY_AGAIN_S)


async def _hear(group: str, rung: Callable[[int], None]) -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    try:
        while True:
            rung((await layer.receive(channel)).get("run", 0))
    finally:
        try:
            await layer.group_discard(group, channel)
        except (OSError, RedisError) as exc:
            logger.debug("%s: %s", group, exc)


def _group(run_id: int) -> str:
    """Return the channel layer group that receives a run's doorbell."""
    return f"run.{run_id}"
