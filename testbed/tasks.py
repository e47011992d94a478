"""The Celery entry points, on one page: each module's tasks, and the housekeeping.

Celery finds them here. Tasks get ids, never objects, and are sent after commit. Beat
calls `keep_house`, beside the runs: each step is bounded, and harmless when repeated.
"""

from collections.abc import Callable

from celery import shared_task

from testbed.access.tokens import forget_old_tokens
from testbed.accounts.directory.checks import check_directory
from testbed.accounts.invitations import mail_registration
from testbed.accounts.resets import mail_reset
from testbed.api.keyed import forget_old_requests
from testbed.cleanups import clean_up, end_lost_cleanups, send_cleanups_again
from testbed.expiry.sweeping import expire, find_idle
from testbed.hosts.adding import check_new_host, send_checks_again
from testbed.hosts.observation import observe
from testbed.images.pruning import observe_images
from testbed.images.stale_files import remove_unsaved, sweep_files
from testbed.notifications.delivery import deliver
from testbed.notifications.telling import watch_hosts
from testbed.retention import (
    forget_old_cleanups,
    forget_old_entries,
    forget_old_invitations,
    forget_old_notifications,
    forget_old_sessions,
    remove_old_logs,
)
from testbed.runs.batches import run_batch
from testbed.runs.sweeper import adopt, start_runs, sweep
from testbed.samples.recording import fold_samples, forget_samples
from testbed.snapshots.orders import forget_old_orders, start_orders
from testbed.snapshots.schedules import order_deletions, take_snapshots
from testbed.sources.fetching import fetch, send_fetches_again
from testbed.sources.ups import bring_up_waiting
from testbed.ssh.pushes import push_keys
from testbed.testbeds.resumable.sweeping import forget_old_uploads
from testbed.testbeds.trash.folders import empty_trash
from testbed.testbeds.trash.items import remove_old_items

__all__ = [
    "adopt",
    "check_directory",
    "check_new_host",
    "clean_up",
    "deliver",
    "expire",
    "fetch",
    "find_idle",
    "keep_house",
    "mail_registration",
    "mail_reset",
    "observe",
    "observe_images",
    "push_keys",
    "remove_unsaved",
    "run_batch",
    "start_orders",
    "start_runs",
    "sweep",
    "sweep_files",
    "take_snapshots",
]


@shared_task(name="testbed.tasks.upkeep.keep_house", ignore_result=True)
def keep_house() -> None:
    """Run every step once."""
    keep_house_once()


def keep_house_once() -> dict[str, int]:
    """Run every step; return how many things each one handled."""
    steps: dict[str, Callable[[], int]] = {
        "deletions of orphans sent again": send_cleanups_again,
        "deletions of orphans whose worker was lost": end_lost_cleanups,
        "checks of new hosts sent again or ended": send_checks_again,
        "fetches sent again or ended": send_fetches_again,
        "testbeds brought up after a push": bring_up_waiting,
        "things removed from the trash": remove_old_items,
        "folders of deleted testbeds removed": empty_trash,
        "logs of old runs removed": remove_old_logs,
        "records of old deletions removed": forget_old_cleanups,
        "old entries of the record removed": forget_old_entries,
        "users told of hosts": watch_hosts,
        "old notifications removed": forget_old_notifications,
        "expired API tokens removed": forget_old_tokens,
        "old answers of the API removed": forget_old_requests,
        "unfinished uploads removed": forget_old_uploads,
        "old invitations removed": forget_old_invitations,
        "sessions that ended removed": forget_old_sessions,
        "scheduled snapshots above their number": order_deletions,
        "records of old acts on snapshots removed": forget_old_orders,
        "samples folded into minutes": fold_samples,
        "hours of old samples removed": forget_samples,
    }
    return {name: step() for name, step in steps.items()}
