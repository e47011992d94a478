"""The Celery application, and the only door for messages to its workers.

`celery -A testbed worker` finds it here. A message that cannot be sent now is sent
again later: rows are the truth, messages only wake workers.
"""

import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
RUN_BATCH = "testbed.tasks.batches.run_batch"
ADOPT = "testbed.tasks.periodic.adopt"


def request_cleanup(cleanup_id: int) -> None:
    """Hand a cleanup to a worker; one that could not be sent is sent again later."""
    with _logged(f"cleanup {cleanup_id} is sent later"):
        app.send_task(CLEAN_UP, args=(cleanup_id,))


def request_observation() -> None:
    """Have the hosts observed now, for the pages that show what a run left."""
    with _logged("the hosts are observed later"):
        app.send_task(OBSERVE, expires=settings.OBSERVE_EVERY_S)


def request_image_observation() -> None:
    """Have the images observed now."""
    with _logged("the images are observed later"):
        app.send_task(OBSERVE_IMAGES, expires=settings.OBSERVE_IMAGES_EVERY_S)


def request_batch(batch_id: int, celery_id: uuid.UUID) -> None:
    """Send a batch to the workers; the sweeper sends again what could not be sent."""
    with _logged(f"batch {batch_id} has to wait for the queue"):
        app.send_task(RUN_BATCH, args=(batch_id,), task_id=str(celery_id))


def request_driver(run_id: int) -> None:
    """Have the server drive a run that no client drives in time."""
    with _logged(f"run {run_id} waits for the sweeper to be driven"):
        app.send_task(ADOPT, args=(run_id,), countdown=settings.DRIVER_PATIENCE_S)


def revoke(celery_ids: Sequence[str], signal: str) -> None:
    """Signal the workers; when that fails, each batch reads the wish itself."""
    with _logged("the workers could not be signalled"):
        # Without a broker, a revoke of a process that had one before tries for ever.
        with app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        app.control.revoke(list(celery_ids), terminate=True, signal=signal)


@contextmanager
def _logged(consequence: str) -> Iterator[None]:
    """Log, as a warning, that Redis did not take a message; raise nothing."""
    try:
        yield
    except (KombuError, RedisError, OSError) as exc:
        logger.warning("%s: %s", consequence, exc)
