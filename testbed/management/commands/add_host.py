"""Adds a testbed host, or updates its row, after a check of the host."""

from argparse import ArgumentParser
from pathlib import Path

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import BaseCommand, CommandError

from orchestration.errors import TestbedError
from orchestration.state.model import HostKind
from testbed.access.record import write
from testbed.hosts.checks import add_host
from testbed.models import Host
from testbed.models.record.entries import HOSTS


class Command(BaseCommand):
    """`manage.py add_host host-b --address 192.0.2.7 --host-key-file key.pub …`."""

    help = "Add a testbed host after checking that SSH, libvirt and Open vSwitch answer"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add an argument for each part of a host's row."""
        parser.add_argument("name")
        parser.add_argument("--main", action="store_true", help="this machine itself")
        parser.add_argument("--simulated", action="store_true", help="only rehearses")
        parser.add_argument("--address", default="", help="where its SSH answers")
        parser.add_argument("--port", type=int, default=22)
        parser.add_argument("--user", default="root")
        parser.add_argument("--identity-file", default="", help="private key on main")
        parser.add_argument("--host-key-file", help="its public SSH host key (pinned)")
        parser.add_argument("--tunnel-address", help="where tunnels end; else address")
        parser.add_argument("--projects-dir", default="/var/lib/testbed/projects")
        parser.add_argument("--images-dir", default="/var/lib/testbed/images")

    def handle(self, **options: str | int | bool | None) -> None:
        """Check the host and add it; a host that does not answer is not added."""
        name = str(options["name"])
        host = Host.objects.filter(name=name).first() or Host(name=name)
        host.is_main = bool(options["main"])
        host.kind = HostKind.SIMULATED if options["simulated"] else HostKind.REAL
        host.address = str(options["address"])
        host.port = int(options["port"] or 22)
        host.user = str(options["user"])
        host.identity_file = str(options["identity_file"])
        host.projects_dir = str(options["projects_dir"])
        host.images_dir = str(options["images_dir"])
        host.tunnel_address = str(options["tunnel_address"] or "") or None
        if options["host_key_file"]:
            host.host_key = _host_key(Path(str(options["host_key_file"])))
        try:
            host.full_clean()
            add_host(host)
            write("", HOSTS, "added or changed by manage.py", thing=f"host {name}")
        except ValidationError as exc:
            raise CommandError("\n".join(_in_words(exc))) from exc
        except TestbedError as exc:
            raise CommandError(f"{exc.sentence}\n{exc.detail}") from exc
        self.stdout.write(
            f"{name}: {host.cpus} CPUs, {host.memory_mib} MiB, {host.domain_type} "
            f"guests, {host.datapath} datapath"
        )
        if host.remark:
            self.stdout.write(f"{name}: {host.remark}")


def _in_words(error: ValidationError) -> list[str]:
    """Return the messages, each after the name of its argument."""
    lines = []
    for field, messages in error.message_dict.items():
        about = "" if field == NON_FIELD_ERRORS else f"{_argument(field)}: "
        lines += [f"{about}{message}" for message in messages]
    return lines


def _argument(field: str) -> str:
    return field if field == "name" else f"--{field.replace('_', '-')}"


def _host_key(path: Path) -> str:
    """Return the key of a public key file without its comment."""
    try:
        words = path.read_text().split()
    except (OSError, UnicodeDecodeError) as exc:
        raise CommandError(f"{path} cannot be read: {exc}.") from exc
    if len(words) < 2 or not words[1].startswith("AAAA"):
        raise CommandError(f"{path} is no public key: use `ssh-ed25519 AAAA…`.")
    return " ".join(words[:2])
