"""Runs the console gateway, a process beside the worker."""

import asyncio
from contextlib import closing

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from orchestration.errors import TestbedError
from orchestration.hosts import Hosts
from testbed.consoles.gateway import Gateway
from testbed.consoles.machines import Machines


class Command(BaseCommand):
    """`manage.py console_gateway`: until SIGTERM."""

    help = "Hold the consoles of guests for the web, until SIGTERM"

    def handle(self, **_options: object) -> None:
        """Serve on TESTBED_DATA_DIR/console.sock."""
        with closing(Hosts(settings.RUNTIME_DIR)) as hosts:
            gateway = Gateway(
                Machines(hosts),
                most=settings.CONSOLES,
                idle_s=60 * settings.CONSOLE_IDLE_MIN,
            )
            try:
                asyncio.run(gateway.serve(settings.CONSOLE_SOCKET))
            except TestbedError as exc:
                raise CommandError(exc.sentence) from exc
