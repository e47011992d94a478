"""Keeping house beside the runs: deletions that nobody took, and what grew old.

Celery beat calls `keep_house`; `manage.py recover` calls its steps once. Runs and
batches are looked after by `periodic`. Each step is bounded, and harmless twice.
"""

from collections.abc import Callable

from celery import shared_task

from testbed.tasks.cleanups import end_lost_cleanups, send_cleanups_again
from testbed.tasks.retention import forget_old_cleanups, remove_old_logs
from testbed.tasks.trash import empty_trash


@shared_task(ignore_result=True)
def keep_house() -> None:
    """Do every step once."""
    keep_house_once()


def keep_house_once() -> dict[str, int]:
    """Do every step; return how many things each one took care of."""
    steps: dict[str, Callable[[], int]] = {
        "deletions of orphans sent again": send_cleanups_again,
        "deletions of orphans whose worker was lost": end_lost_cleanups,
        "folders of deleted testbeds removed": empty_trash,
        "logs of old runs removed": remove_old_logs,
        "records of old deletions removed": forget_old_cleanups,
    }
    return {name: step() for name, step in steps.items()}
