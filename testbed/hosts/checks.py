"""Add, check and observe testbed hosts: the only way their rows change.

`examine_host` is called by the host check (an admin, `manage.py check_hosts`, the
periodic task); pages only read what it wrote.
"""

from pathlib import Path

from django.conf import settings
from django.utils import timezone

from orchestration.errors import TestbedError
from orchestration.hosts import Hosts, examine
from orchestration.transport.base import Scope
from testbed.models import Host


def add_host(host: Host) -> Host:
    """Save a new host and write down what it can do. Raises: TestbedError."""
    hosts = Hosts(Path(settings.RUNTIME_DIR))
    try:
        _note(host, hosts)
    finally:
        hosts.close()
    host.save()
    return host


def check_host(host: Host, hosts: Hosts) -> None:
    """Ask a host how it is, and save the answer or the reason why there is none."""
    try:
        _note(host, hosts)
    except TestbedError as exc:
        host.problem = exc.sentence
    host.checked_at = timezone.now()
    host.save()


def _note(host: Host, hosts: Hosts) -> None:
    facts = examine(hosts.open(host.to_state()), scope=Scope())
    host.cpus, host.memory_mib = facts.cpus, facts.memory_mib
    host.free_memory_mib, host.load = facts.free_memory_mib, facts.load
    host.domain_type, host.datapath = facts.domain_type, facts.datapath
    host.problem = f"{facts.remark} {facts.hint}".strip()
    host.checked_at = timezone.now()
