"""Deletes unused images from the hosts, and the leftovers of dead workers.

`--dry-run` only prints what would be deleted. Without `--yes` it asks on the terminal.
`--json` prints the same as JSON. The exit status is 1 when a host could not be asked.
"""

import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from orchestration.inventory.image_uses import Verdict
from testbed.celery import request_image_observation
from testbed.images.pruning import HostImages, Images
from testbed.images.report import Report
from testbed.models import Host
from testbed.worker import kept_hosts

DAY_S = 86400


class Command(BaseCommand):
    """`manage.py prune_images [--dry-run] [--host NAME] [--older-than DAYS]`."""

    help = "Delete images that no testbed, domain or disk uses"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments for the choice of images and for the confirmation."""
        parser.add_argument("--dry-run", action="store_true", help="delete nothing")
        parser.add_argument("--host", default="", metavar="NAME", help="only this one")
        parser.add_argument(
            "--older-than",
            type=float,
            default=0.0,
            metavar="DAYS",
            help="only images that were not used for so long",
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(
        self, *, dry_run: bool, host: str, older_than: float, **options: bool
    ) -> None:
        """Look, ask, delete, report."""
        if host and not Host.objects.filter(name=host).exists():
            raise CommandError(f"There is no host {host}.")

        def is_old(found: HostImages, verdict: Verdict) -> bool:
            age_s = max(0.0, found.store.now - verdict.image.used_at)
            return age_s >= older_than * DAY_S

        images = Images(kept_hosts())
        seen = images.observe([host] if host else ())
        plan = Report(seen, is_old, is_dry=True)
        shown = {
            (found.host.pk, verdict.image.name)
            for found in seen
            for verdict in found.verdicts
            if verdict.is_unused and is_old(found, verdict)
        }

        def may_go(found: HostImages, verdict: Verdict) -> bool:
            was_shown = (found.host.pk, verdict.image.name) in shown
            return was_shown and is_old(found, verdict)

        if dry_run:
            self._print(plan, is_json=options["json"])
        elif options["yes"] or self._is_wanted(plan):
            if not options["yes"]:  # the answer may have taken hours
                seen = images.observe([host] if host else ())
            for found in seen:
                images.prune(found, may_go)
                images.sweep(found)
            self._print(Report(seen, may_go, is_dry=False), is_json=options["json"])
            request_image_observation()
        if bad := [found.host.name for found in seen if found.problem]:
            raise CommandError(f"Not asked, or not to the end: {', '.join(bad)}.")

    def _is_wanted(self, plan: Report) -> bool:
        """Show the images to delete, and ask."""
        if not sys.stdin.isatty():
            raise CommandError("Nothing was deleted. Add --yes, or --dry-run to look.")
        self._print(plan, is_json=False)
        return input("Delete this? [y/N] ").strip().lower() in ("y", "yes")

    def _print(self, report: Report, *, is_json: bool) -> None:
        for line in [report.json()] if is_json else report.lines():
            self.stdout.write(line)
