"""A run's doorbell: writers ring, followers listen, and both work without it.

`recorder` rings after each commit, `websocket.consumer` listens. The bell carries a
number, never text, and may get lost or find no Redis: followers read rows, and read
them periodically without it.
"""

import asyncio
import logging

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

TRY_AGAIN_S = 2.0


def ring(run_id: int, seq: int) -> None:
    """Announce events up to `seq` to the listeners; never fails."""
    layer = get_channel_layer()
    if layer is None:
        return
    message = {"type": "news", "seq": seq}
    try:
        async_to_sync(layer.group_send)(_group(run_id), message)
    except (OSError, RedisError, RuntimeError) as exc:
        logger.warning("the doorbell of run %s did not ring: %s", run_id, exc)


async def listen(run_id: int, news: asyncio.Event) -> None:
    """Set `news` at every ring, until cancelled."""
    while True:
        try:
            await _listen(run_id, news)
        except (OSError, RedisError) as exc:
            logger.warning("run %s is followed without a doorbell: %s", run_id, exc)
            await asyncio.sleep(TRY_AGAIN_S)


async def _listen(run_id: int, news: asyncio.Event) -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    group = _group(run_id)
    await layer.group_add(group, channel)
    try:
        while True:
            await layer.receive(channel)
            news.set()
    finally:
        try:
            await layer.group_discard(group, channel)
        except (OSError, RedisError) as exc:
            logger.debug("run %s: %s", run_id, exc)


def _group(run_id: int) -> str:
    """Return the channel layer group that receives a run's doorbell."""
    return f"run.{run_id}"
