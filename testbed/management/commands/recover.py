"""`manage.py recover`: makes at once the repairs that the sweeper makes over time.

Use it after a crash, or where no worker runs with `-B`. `--lost RUN` declares that the
workers of a run are dead, without waiting for their leases to lapse. Orphans, as last
seen on the hosts, are named; deleting or adopting them is an admin's choice.
"""

import argparse

from django.core.management.base import BaseCommand, CommandError

from orchestration.terminal import plain_lines
from testbed.models import Batch, Run
from testbed.orphans.listing import counts
from testbed.runs.sweeper import sweep_once
from testbed.tasks import keep_house_once


class Command(BaseCommand):
    """Sweeps once and prints the repairs."""

    help = "End, join, send and drive on what a crash left behind."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the argument for a run whose workers are known to be dead."""
        parser.add_argument("--lost", type=int, metavar="RUN")

    def handle(self, *args: str, lost: int | None = None, **options: object) -> None:
        """Sweep, then print one line per step."""
        if lost is not None:
            self._declare_lost(lost)
        done = sweep_once() | keep_house_once()
        repaired = {name: count for name, count in done.items() if count}
        for name, count in repaired.items():
            self.stdout.write(f"{count} {name}")
        if not repaired:
            self.stdout.write("Nothing had to be repaired.")
        for line in counts():
            self.stdout.write(plain_lines(line))

    def _declare_lost(self, run_id: int) -> None:
        if not Run.objects.filter(pk=run_id).exists():
            raise CommandError(f"There is no run {run_id}.")
        Batch.objects.filter(
            instruction__run=run_id, status=Batch.Status.RUNNING
        ).update(lease_until=None)
