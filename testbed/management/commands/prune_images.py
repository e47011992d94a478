"""Deletes unused images from the hosts, and the leftovers of dead workers.

Names only the files that go, one a line; the page *Images* lists all with their users.
It says first how much each one takes. `--dry-run` deletes nothing; without `--yes` it
asks on the terminal. The exit status is 1 when a host could not be asked.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from django.core.management.base import BaseCommand, CommandError

from orchestration.amounts import size
from orchestration.inventory.image_uses import Verdict
from orchestration.inventory.images import freed_bytes
from testbed.celery import request_image_observation
from testbed.images.pruning import Choice, HostImages, Images
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

    def handle(
        self, *, dry_run: bool, host: str, older_than: float, yes: bool, **_: object
    ) -> None:
        """Observe, ask, delete, and name the files."""
        if host and not Host.objects.filter(name=host).exists():
            raise CommandError(f"There is no host {host}.")

        def is_old(found: HostImages, verdict: Verdict) -> bool:
            age_s = max(0.0, found.store.now - verdict.image.used_at)
            return age_s >= older_than * DAY_S

        images = Images(kept_hosts())
        seen = images.observe([host] if host else ())
        shown = {(found.host.pk, v.image.name) for found, v in _chosen(seen, is_old)}

        def may_go(found: HostImages, verdict: Verdict) -> bool:
            was_shown = (found.host.pk, verdict.image.name) in shown
            return was_shown and is_old(found, verdict)

        self._print(_planned(seen, is_old))
        if not dry_run and (yes or _is_wanted()):
            if not yes:  # the answer may have taken hours
                seen = images.observe([host] if host else ())
            for found in seen:
                images.prune(found, may_go)
                images.sweep(found)
            self._print(_done(seen))
            request_image_observation()
        if bad := [found.host.name for found in seen if found.problem]:
            raise CommandError(f"Not asked, or not to the end: {', '.join(bad)}.")

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)


def _is_wanted() -> bool:
    if not sys.stdin.isatty():
        raise CommandError("Nothing was deleted. Add --yes, or --dry-run to look.")
    return input("Delete this? [y/N] ").strip().lower() in ("y", "yes")


def _chosen(
    seen: Iterable[HostImages], choice: Choice
) -> Iterator[tuple[HostImages, Verdict]]:
    for found in seen:
        for verdict in found.verdicts:
            if verdict.is_unused and choice(found, verdict):
                yield found, verdict


def _planned(seen: list[HostImages], choice: Choice) -> Iterator[str]:
    """Yield a line for each file that would be deleted, and their size."""
    total = 0
    for found in seen:
        yield from _obstacles(found)
        images = [verdict.image for _, verdict in _chosen([found], choice)]
        total += freed_bytes(images) + sum(left.disk_bytes for left in found.ripe)
        for image in images:
            day = f"{datetime.fromtimestamp(image.used_at, UTC):%Y-%m-%d}"
            amount = size(image.disk_bytes)
            yield f"{found.host}: {image.name}: would go ({amount}, last used {day})"
        for left in found.ripe:
            yield f"{found.host}: {left.path}: would go (unfinished)"
    yield f"{size(total)} would be freed."


def _done(seen: list[HostImages]) -> Iterator[str]:
    """Yield a line for each file that was chosen, with its outcome."""
    for found in seen:
        yield from _obstacles(found)
        for name, kept in found.outcomes.items():
            yield f"{found.host}: {name}: {f'stays: {kept}' if kept else 'removed'}"
        for left in found.ripe:
            outcome = "removed" if left.path in found.swept else "stays"
            yield f"{found.host}: {left.path}: {outcome}"
    yield f"{size(sum(found.freed_bytes for found in seen))} freed."


def _obstacles(found: HostImages) -> Iterator[str]:
    """Yield why nothing, or not everything, is deleted on a host."""
    if found.problem:
        yield f"{found.host}: {found.problem}"
    for kept in dict.fromkeys(verdict.kept for verdict in found.verdicts):
        if kept:
            yield f"{found.host}: images that may be in use stay: {kept}"
