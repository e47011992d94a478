"""The garbage collector, in processes that start as the web and as a worker do."""

import os
import subprocess
import sys

import pytest

LOADED = {
    "web": "import testbed.asgi",
    "worker": """
import django
django.setup()
import testbed.tasks
from celery.signals import worker_before_create_process
worker_before_create_process.send(sender=None)
""",
}
COUNTED = """
import gc, sys
later = len(gc.get_objects())
print(gc.get_freeze_count(), later)
"""


@pytest.mark.parametrize("process", LOADED)
def test_full_collections_leave_out_what_a_process_loaded(process: str) -> None:
    loaded, later = _counted(LOADED[process])

    assert loaded > 20 * later


def _counted(code: str) -> tuple[int, int]:
    """Return how many objects are left out, and how many are looked at."""
    settings = {"DJANGO_SETTINGS_MODULE": "testbed.settings"}
    told = subprocess.run(
        [sys.executable, "-c", code + COUNTED],
        env=os.environ | settings,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return int(told[0]), int(told[1])


def test_web_has_its_views_loaded_before_the_first_request() -> None:
    code = "import sys, testbed.asgi; sys.exit('testbed.urls' not in sys.modules)"

    ended = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)

    assert ended.returncode == 0
