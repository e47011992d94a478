"""Listen for a run's doorbell, and survive a Redis that is not there.

`recorder` rings, `consumers` listen. The bell carries nothing that is needed: whoever
hears it reads rows, and reads them now and then without it.
"""

import asyncio
import logging

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from testbed.recorder import group_name

logger = logging.getLogger(__name__)

TRY_AGAIN_S = 2.0


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
    group = group_name(run_id)
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
