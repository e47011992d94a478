"""The messages to the workers: each one names a task, and none of them fails."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from testbed import celery, tasks
from tests.testbed.conftest import Doors

REQUESTS = [
    lambda: celery.request_cleanup(1),
    celery.request_observation,
    celery.request_image_observation,
    lambda: celery.request_batch(1, uuid.uuid4()),
    lambda: celery.request_driver(1),
    lambda: celery.revoke(["id"], "SIGUSR1"),
]


@pytest.mark.parametrize(
    "name", ["CLEAN_UP", "OBSERVE", "OBSERVE_IMAGES", "RUN_BATCH", "ADOPT"]
)
def test_every_sent_name_is_a_task_of_ours(name: str) -> None:
    known = {getattr(tasks, entry).name for entry in tasks.__all__}

    assert getattr(celery, name) in known


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("problem", [OperationalError(), RedisError(), OSError()])
def test_a_message_that_cannot_be_sent_is_logged(
    request_: Callable[[], None],
    problem: Exception,
    doors: Doors,
    caplog: pytest.LogCaptureFixture,
) -> None:
    doors.broken = problem

    request_()

    assert caplog.records[0].levelname == "WARNING"


def test_worker_carries_no_web_server() -> None:
    code = "import django, sys; django.setup(); import testbed.tasks; "
    code += "sys.exit('twisted' in sys.modules)"
    folder = {"DJANGO_SETTINGS_MODULE": "testbed.settings"}

    ended = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | folder, check=False
    )

    assert ended.returncode == 0
