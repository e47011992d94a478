"""Checks every testbed host, and prints the result in one line each.

Below a host that is online come its orphans, a line for each name.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from orchestration.hosts import Hosts
from orchestration.terminal import plain_lines
from testbed.hosts.checks import check_host
from testbed.models import Host
from testbed.orphans.listing import counts, orphans_of
from testbed.ssh.jump_account import look_at_jump


class Command(BaseCommand):
    """`manage.py check_hosts`; the exit status is 1 when a host has a problem."""

    help = "Check that SSH, libvirt and Open vSwitch of every host answer"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the hosts to check, and the option that changes them."""
        parser.add_argument("names", nargs="*", help="these hosts only")
        parser.add_argument(
            "--set-up-jump",
            action="store_true",
            help="make the account for users' SSH on each host (docs/ssh.md)",
        )

    def handle(
        self,
        *,
        names: Sequence[str] = (),
        set_up_jump: bool = False,
        **_options: object,
    ) -> None:
        """Check the hosts one after the other."""
        rows = Host.objects.filter(name__in=names) if names else Host.objects.all()
        if unknown := set(names) - {row.name for row in rows}:
            raise CommandError(f"There is no host {', '.join(sorted(unknown))}.")
        hosts, bad = Hosts(Path(settings.RUNTIME_DIR)), 0
        for host in rows:
            check_host(host, hosts)
            remark = f"{host.remark} {_jump(host, hosts, sets_up=set_up_jump)}".strip()
            bad += bool(host.problem or remark)
            online = f"online. {remark}" if remark else "online"
            self.stdout.write(plain_lines(f"{host.name}: {host.problem or online}"))
            for line in counts(orphans_of(host, hosts)):
                self.stdout.write(plain_lines(line))
        hosts.close()
        if bad:
            everything = count_of(len(rows), "host")
            raise CommandError(f"Problems on {bad} of {everything}.")


def _jump(host: Host, hosts: Hosts, *, sets_up: bool) -> str:
    """Return what is wrong with a host's account for users' SSH."""
    if host.problem:
        return ""
    try:
        return look_at_jump(host, hosts, sets_up=sets_up)
    except TestbedError as exc:
        return exc.sentence
