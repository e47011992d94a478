"""The instructions for testbed hosts: check, folders, firewall, leftovers."""

import re
from pathlib import PurePosixPath

from orchestration.events import Status
from orchestration.files import PASSABLE
from orchestration.hosts import examine, host_network
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.providers.linux import firewall, ip_link
from orchestration.providers.linux.ruleset import Ruleset, build_ruleset
from orchestration.providers.ovs import bridges
from orchestration.state.model import HostNetwork
from orchestration.state.mtu import shrunk
from orchestration.transport.base import Scope, Transport, command

# The devices of `state/names.py`.
OURS = re.compile(r"t\d{1,4}(-|nat|mgmt|g|v|w)")


def check_hosts(task: Task) -> Outcome:
    """Check that SSH, libvirt and Open vSwitch of one host answer."""
    host = task.host
    facts = examine(host, scope=task.scope)
    task.log(
        f"{facts.cpus} CPUs, {facts.free_memory_mib} of {facts.memory_mib} MiB free, "
        f"{host.state.domain_type} guests, Open vSwitch {facts.switch_version} "
        f"({host.state.datapath} datapath)"
    )
    network = host_network(host, scope=task.scope)
    for message, hint in (
        (facts.remark, facts.hint),
        _firewall_problem(task, network),
        shrunk(task.state, host.state.name, network),
    ):
        if message:
            return Outcome(Status.WARNING, message, hint)
    return done("online")


def _firewall_problem(task: Task, network: HostNetwork) -> tuple[str, str]:
    if task.resource.host in task.policy.unguarded:
        return "", ""
    return firewall.problem(task.resource.host, network)


def prepare_hosts(task: Task) -> Outcome:
    """Make the folders that this testbed needs on a host."""
    host = task.host.state
    folders = {host.images_dir} | {
        g.artefacts_dir for g in task.state.guests if g.host == host.name
    }
    missing = task.host.transport.run(
        command("test", "-d", *_joined(sorted(folders))),
        scope=task.scope,
        check=False,
    )
    if missing.exit_code == 0:
        return unchanged()
    # Missing folders above them get the same mode.
    make = command("mkdir", "-p", *sorted(folders)).with_umask(0o777 & ~PASSABLE)
    task.host.transport.run(make.with_root(), scope=task.scope)
    return done()


def ensure_firewall(task: Task) -> Outcome:
    """Keep guests from one host's own services and from the lab's networks."""
    if task.resource.host in task.policy.unguarded:
        return unchanged("switched off for this host by an administrator")
    is_new = guard(task.host.transport, build_ruleset(task.policy), scope=task.scope)
    return done() if is_new else unchanged()


def guard(transport: Transport, ruleset: Ruleset, *, scope: Scope) -> bool:
    """Give a host its firewall; False when it has it. Raises: NetworkFailed."""
    if not firewall.ensure(transport, ruleset, scope=scope):
        return False
    # Devices of an earlier version: the firewall drops what guests send past bridges.
    ours = [d for d in ip_link.links(transport, scope=scope) if OURS.match(d)]
    if ours:
        ip_link.silence_host(transport, ours, scope=scope)
    return True


def clean_hosts(task: Task) -> Outcome:
    """Remove everything of this testbed that is left on a host."""
    host, testbed = task.host, task.state.testbed
    strays = [d for d in domains.observe(host.libvirt) if d.testbed == testbed]
    for stray in strays:
        task.log(f"domain {stray.name} was left over")
        domain = GuestDomain(testbed, stray.guest, stray.name, stray.uuid)
        domains.destroy(host.libvirt, domain)
        domains.undefine(host.libvirt, domain)
    left = bridges.tagged(host.transport, scope=task.scope).get(
        testbed, bridges.Tagged()
    )
    for port in left.ports:
        bridges.delete_port(host.transport, port, testbed=testbed, scope=task.scope)
    for bridge in left.bridges:
        bridges.delete_bridge(host.transport, bridge, testbed=testbed, scope=task.scope)
    nets = [n.name for n in networks.observe(host.libvirt) if n.testbed == testbed]
    for name in nets:
        networks.delete(host.libvirt, name, testbed=testbed)
    found = [*(stray.name for stray in strays), *left.ports, *left.bridges, *nets]
    return (
        done(f"removed {', '.join(found)}") if found else unchanged("nothing is left")
    )


def clear_hosts(task: Task) -> Outcome:
    """Remove this testbed's folder from a remote host."""
    host = task.host.state
    if host.is_main:
        return unchanged()
    folder = PurePosixPath(host.projects_dir) / task.state.testbed
    remove = command("rm", "-rf", "--", str(folder)).with_root()
    task.host.transport.run(remove, scope=task.scope)
    return done()


def _joined(folders: list[str]) -> list[str]:
    """Join tests as `test -d a -a -d b`, a form that busybox knows too."""
    words = folders[:1]
    for folder in folders[1:]:
        words += ["-a", "-d", folder]
    return words
