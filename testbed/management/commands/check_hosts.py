"""Checks every testbed host, and prints the result in one line each.

Below a host that is online come its orphans, a line for each name.
"""

from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from orchestration.amounts import count_of
from orchestration.hosts import Hosts
from orchestration.terminal import plain_lines
from testbed.hosts.checks import check_host
from testbed.models import Host
from testbed.orphans.listing import counts, orphans_of


class Command(BaseCommand):
    """`manage.py check_hosts`; the exit status is 1 when a host has a problem."""

    help = "Check that SSH, libvirt and Open vSwitch of every host answer"

    def handle(self, **_options: object) -> None:
        """Check the hosts one after the other."""
        hosts, bad = Hosts(Path(settings.RUNTIME_DIR)), 0
        for host in Host.objects.all():
            check_host(host, hosts)
            bad += bool(host.problem or host.remark)
            online = f"online. {host.remark}" if host.remark else "online"
            self.stdout.write(plain_lines(f"{host.name}: {host.problem or online}"))
            for line in counts(orphans_of(host, hosts)):
                self.stdout.write(plain_lines(line))
        hosts.close()
        if bad:
            everything = count_of(Host.objects.count(), "host")
            raise CommandError(f"Problems on {bad} of {everything}.")
