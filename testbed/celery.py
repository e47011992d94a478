"""The Celery application, and the only module that sends messages to its workers.

`celery -A testbed worker` finds it here. The sweeper repeats a message that could not
be sent: rows are the truth, messages only wake workers.
"""

import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.signals import worker_before_create_process
from django.conf import settings
from kombu.exceptions import ChannelError, KombuError
from redis.exceptions import RedisError

from testbed.heap import keep_loaded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testbed.settings")
logger = logging.getLogger(__name__)

app = Celery("testbed")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# By name: only a worker imports it.
app.steps["worker"].add("testbed.beat:BeatWatch")
# A worker's processes are forks of one that has loaded everything.
worker_before_create_process.connect(lambda **_: keep_loaded(), weak=False)

CHECK_NEW_HOST = "testbed.tasks.hosts.check_new_host"
CLEAN_UP = "testbed.tasks.cleanups.clean_up"
DELIVER = "testbed.tasks.notifications.deliver"
FETCH = "testbed.tasks.sources.fetch"
MAIL_REGISTRATION = "testbed.tasks.accounts.mail_registration"
MAIL_RESET = "testbed.tasks.accounts.mail_reset"
OBSERVE = "testbed.tasks.observe.observe"
OBSERVE_IMAGES = "testbed.tasks.images.observe_images"
PUSH_KEYS = "testbed.tasks.ssh.push_keys"
REMOVE_UNSAVED = "testbed.tasks.images.remove_unsaved"
RUN_BATCH = "testbed.tasks.batches.run_batch"
ADOPT = "testbed.tasks.periodic.adopt"
START_RUNS = "testbed.tasks.periodic.start_runs"
# Later, a user who waits for a mail has asked for another.
MAIL_LATE_S = 600


def request_cleanup(cleanup_id: int) -> None:
    """Send a cleanup to the workers; a message that fails is sent again later."""
    with _logged(f"cleanup {cleanup_id} is sent later"):
        app.send_task(CLEAN_UP, args=(cleanup_id,))


def request_host_check(new_host_id: int) -> None:
    """Request the check of a new host; a message that fails is sent again later."""
    with _logged(f"new host {new_host_id} is checked later"):
        app.send_task(CHECK_NEW_HOST, args=(new_host_id,))


def request_deliveries() -> None:
    """Request that mails and webhooks are sent; the periodic task would later."""
    with _logged("notifications are delivered later"):
        app.send_task(DELIVER, expires=settings.DELIVER_EVERY_S)


def request_fetch(fetch_id: int) -> None:
    """Request a fetch of a testbed's files; a message that fails is sent again later."""
    with _logged(f"fetch {fetch_id} is sent later"):
        app.send_task(FETCH, args=(fetch_id,))


def request_registration_mail(email: str) -> None:
    """Request the mail with which a user registers; the user asks again without it."""
    with _logged("a registration is not mailed"):
        app.send_task(MAIL_REGISTRATION, args=(email,), expires=MAIL_LATE_S)


def request_reset_mail(email: str, address: str) -> None:
    """Request the mail for a new password; the user asks again without it."""
    with _logged("a link for a new password is not mailed"):
        app.send_task(MAIL_RESET, args=(email, address), expires=MAIL_LATE_S)


def request_observation() -> None:
    """Request an observation of the hosts, for the pages that show a run's result."""
    with _logged("the hosts are observed later"):
        app.send_task(OBSERVE, expires=settings.OBSERVE_EVERY_S)


def request_image_observation() -> None:
    """Request an observation of the images."""
    with _logged("the images are observed later"):
        app.send_task(OBSERVE_IMAGES, expires=settings.OBSERVE_IMAGES_EVERY_S)


def request_removal(files: Sequence[str]) -> None:
    """Request that files of images are removed; the hourly sweep would do it later."""
    with _logged("files of images that are not kept are removed later"):
        app.send_task(REMOVE_UNSAVED, args=(list(files),))


def request_key_pushes() -> None:
    """Request that guests get their users' SSH keys; the periodic task would later."""
    with _logged("SSH keys are written later"):
        app.send_task(PUSH_KEYS, expires=settings.PUSH_KEYS_EVERY_S)


def request_batch(batch_id: int, celery_id: uuid.UUID) -> None:
    """Send a batch to the workers; the sweeper repeats a message that fails."""
    with _logged(f"batch {batch_id} has to wait for the queue"):
        app.send_task(RUN_BATCH, args=(batch_id,), task_id=str(celery_id))


def request_driver(run_id: int) -> None:
    """Send the task that drives a run which no client drives in time."""
    with _logged(f"run {run_id} waits for the sweeper to be driven"):
        app.send_task(ADOPT, args=(run_id,), countdown=settings.DRIVER_PATIENCE_S)


def request_start() -> None:
    """Request that the runs whose turn it is start; the sweeper does it later."""
    with _logged("waiting runs start later"):
        app.send_task(START_RUNS, expires=settings.SWEEP_EVERY_S)


def revoke(celery_ids: Sequence[str], signal: str) -> None:
    """Signal the workers; when that fails, each batch reads the wish itself."""
    with _logged("the workers could not be signalled"):
        # Without a broker, a revoke in a process that was connected retries for ever.
        with app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        app.control.revoke(list(celery_ids), terminate=True, signal=signal)


def waiting_messages() -> int | None:
    """Return the number of messages that no worker took; None without Redis."""
    try:
        with app.connection_for_read() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            queue = settings.CELERY_TASK_DEFAULT_QUEUE
            channel: Any = broker.default_channel
            return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:  # an empty list of Redis is none
        return 0
    except (KombuError, RedisError, OSError) as exc:
        logger.warning("the queue's length is unknown: %s", exc)
        return None


@contextmanager
def _logged(consequence: str) -> Iterator[None]:
    """Log a warning when Redis does not take a message; raise nothing."""
    try:
        yield
    except (KombuError, RedisError, OSError) as exc:
        logger.warning("%s: %s", consequence, exc)
