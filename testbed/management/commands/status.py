"""Prints where guests run, as the testbed pages show it."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from orchestration.errors import TestbedError
from testbed.hosts.observation import observe_all
from testbed.models import Testbed
from testbed.templatetags.display import word
from testbed.worker import kept_hosts


class Command(BaseCommand):
    """`manage.py status [TESTBED]`: one line for each guest."""

    help = "Print the guests of one or all testbeds as last observed"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the testbed's name, and whether to look at the hosts first."""
        parser.add_argument("testbed", nargs="?", default="")
        parser.add_argument("--now", action="store_true", help="ask the hosts first")

    def handle(self, *, testbed: str, now: bool, **_options: object) -> None:
        """Print from rows and state."""
        if now:
            observe_all(kept_hosts())
        rows = Testbed.objects.select_related("owner")
        found = [
            row for row in rows if testbed in ("", row.slug, row.name, row.full_name)
        ]
        if testbed and not found:
            raise CommandError(f"There is no testbed {testbed}.")
        for row in found:
            self.stdout.write(f"{row.full_name} ({row.slug}): {word(row.condition)}")
            self._guests(row)

    def _guests(self, testbed: Testbed) -> None:
        if not testbed.project.has_state():
            return
        try:
            state = testbed.project.read_state()
        except TestbedError as exc:
            self.stdout.write(f"  {exc.sentence}")
            return
        status = dict(testbed.observed_guests.values_list("name", "status"))
        for guest in state.guests:
            addresses = [i.address for i in guest.interfaces if i.address]
            self.stdout.write(
                f"  {guest.name:<16} {word(status.get(guest.name, 'absent')):<10} "
                f"on {guest.host:<10} {', '.join(addresses):<16} "
                f"management {state.way_to(guest).address}"
            )
