"""The Celery application, and the messages to its workers.

`celery -A testbed worker` finds it here. A message that cannot be sent now is sent
again later: rows are the truth, messages only wake workers.
"""

import logging
import os

from celery import Celery
from django.conf import settings
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testbed.settings")
logger = logging.getLogger(__name__)

app = Celery("testbed")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

CLEAN_UP = "testbed.tasks.cleanups.clean_up"
OBSERVE = "testbed.tasks.observe.observe"
OBSERVE_IMAGES = "testbed.tasks.images.observe_images"


def request_cleanup(cleanup_id: int) -> None:
    """Hand a cleanup to a worker; one that could not be sent is sent again later."""
    try:
        app.send_task(CLEAN_UP, args=(cleanup_id,))
    except (KombuError, RedisError, OSError) as exc:
        logger.warning("cleanup %s is sent later: %s", cleanup_id, exc)


def request_observation() -> None:
    """Have the hosts observed now, for the pages that show what a run left."""
    try:
        app.send_task(OBSERVE, expires=settings.OBSERVE_EVERY_S)
    except (KombuError, RedisError, OSError) as exc:
        logger.warning("the hosts are observed later: %s", exc)


def request_image_observation() -> None:
    """Have the images observed now."""
    try:
        app.send_task(OBSERVE_IMAGES, expires=settings.OBSERVE_IMAGES_EVERY_S)
    except (KombuError, RedisError, OSError) as exc:
        logger.warning("the images are observed later: %s", exc)
