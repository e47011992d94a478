"""The requirements of a testbed host, each looked at by itself, with what mends it.

`REQUIREMENTS` is the order in which a person meets them. A check takes a `Site` and
returns a `Verdict`; one whose needs are lacking is not made. `adding` runs them in a
worker and saves the verdicts. Nothing here changes a host.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from functools import cached_property, partial
from ipaddress import ip_address, ip_network
from time import monotonic
from typing import NamedTuple
from uuid import uuid4

from orchestration.amounts import size
from orchestration.compose.pools import Pools
from orchestration.errors import TestbedError
from orchestration.hosts import Host as OpenHost
from orchestration.hosts import host_network
from orchestration.providers.libvirt.facts.node import node_facts
from orchestration.providers.linux import machine
from orchestration.providers.linux.basics import Basics, read_basics
from orchestration.providers.ovs import bridges
from orchestration.state.model import Claim, ClaimKind, HostNetwork, HostState
from orchestration.state.mtu import overhead
from orchestration.state.overlaps import overlapping, pool_overlaps
from orchestration.transport.base import Scope, command
from orchestration.transport.reachable import forwarding_problem
from orchestration.transport.ssh.waiting import start
from testbed.models import Host, HostFinding

logger = logging.getLogger(__name__)
Outcome = HostFinding.Outcome

# A look that does not end takes no worker: libvirt's calls have no deadline.
LOOK_S = 45.0
ALL_S = 240.0
LEAST_FREE_BYTES = 5 << 30
# IPv6 in guests needs it (RFC 8200).
LEAST_MTU = 1280
MOST_AHEAD_S = 2.0
ON_MAIN = "Main itself: the worker reaches it without SSH."
CAPTURES = "tcpdump"
INSTALL = "apt-get install --no-install-recommends"
_DEVICE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
SSHD_LINES = "DisableForwarding no\\nAllowTcpForwarding local\\nPermitOpen any\\n"


class Verdict(NamedTuple):
    """A look's finding, and the command that mends it, on the host or on main."""

    outcome: HostFinding.Outcome
    observed: str
    command: str = ""
    on_main: bool = False


@dataclass
class Site:
    """A host with what the looks at it share; `identity` is the worker's machine."""

    host: Host
    opened: OpenHost
    pools: Pools
    identity: str
    scope: Scope = field(default_factory=Scope)

    @cached_property
    def basics(self) -> Basics:
        """The machine's basics. Raises: HostUnreachable, CommandTimedOut."""
        folder = self.opened.state.projects_dir
        return read_basics(self.opened.transport, folder, scope=self.scope)

    @cached_property
    def network(self) -> HostNetwork:
        """The host's own network. Raises: HostUnreachable."""
        return host_network(self.opened, scope=self.scope)


Look = Callable[[Site], Verdict]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row of the page: its look, and the requirement that comes before."""

    key: str
    title: str
    why: str
    look: Look
    needs: str = ""
    is_required: bool = True


def ok(observed: str) -> Verdict:
    """Return the verdict of a requirement that is met."""
    return Verdict(Outcome.OK, observed)


def lacking(observed: str, mend: str = "", *, on_main: bool = False) -> Verdict:
    """Return the verdict of one that is not, with the command that mends it."""
    return Verdict(Outcome.LACKING, observed, mend, on_main)


def check(
    site: Site, wanted: str = "", known: Mapping[str, str] | None = None
) -> Iterator[tuple[Requirement, Verdict]]:
    """Look at all requirements after the login, or at one and those that waited for it.

    `known` has the outcomes of earlier checks, by key.
    """
    outcomes, until = dict(known or {}), monotonic() + ALL_S
    for one in chosen(wanted, outcomes):
        if outcomes.get(one.needs, Outcome.OK) != Outcome.OK:
            verdict = skipped(one)
        elif monotonic() > until:
            verdict = Verdict(Outcome.SKIPPED, "The other checks took too long.")
        else:
            verdict = _looked(one, site)
        outcomes[one.key] = verdict.outcome
        yield one, verdict


def skipped(one: Requirement) -> Verdict:
    """Return the verdict of a requirement whose need is lacking."""
    before = TITLES[one.needs]
    return Verdict(Outcome.SKIPPED, f"Not checked: {before} comes first.")


def chosen(wanted: str, outcomes: Mapping[str, str]) -> list[Requirement]:
    """Return what is looked at: all, or one with what waits for it, in order."""
    if wanted not in TITLES or wanted in CONTACT:
        return [one for one in REQUIREMENTS if one.key not in CONTACT]
    found = {wanted}
    for one in REQUIREMENTS:
        if one.needs in found and outcomes.get(one.key) != Outcome.OK:
            found.add(one.key)
    return [one for one in REQUIREMENTS if one.key in found]


def _looked(one: Requirement, site: Site) -> Verdict:
    try:
        return start(partial(one.look, site)).result(LOOK_S)
    except NotInTime:
        return lacking(f"No answer within {LOOK_S:.0f} s.", MENDS.get(one.key, ""))
    except TestbedError as exc:
        return lacking(exc.sentence, MENDS.get(one.key, ""))
    except Exception:  # the other rows stay
        reference = uuid4().hex[:8]
        logger.exception("%s of %s, reference %s", one.key, site.host.name, reference)
        return lacking(
            f"The check ended with an unexpected error, reference {reference} in the "
            "worker's log."
        )


def _sudo(site: Site) -> Verdict:
    account = site.opened.state.user
    asked = command("id", "-u").with_root()
    said = site.opened.transport.run(asked, scope=site.scope, timeout_s=20, check=False)
    if said.stdout.strip() == "0":
        return ok("Commands run as root.")
    if site.host.is_main:
        return lacking(
            "The worker's account has no sudo without a password.",
            'echo "$(id -un) ALL=(root) NOPASSWD: ALL" | sudo tee /etc/sudoers.d/testbed',
            on_main=True,
        )
    rule = f"{account} ALL=(root) NOPASSWD: ALL"
    path = f"/etc/sudoers.d/{account}"
    return lacking(
        f"{account} has no sudo without a password.",
        f"echo '{rule}' > {path} && chmod 440 {path}",
    )


def _forwarding(site: Site) -> Verdict:
    forbidden = forwarding_problem(site.opened.transport)
    if forbidden is None:
        return ok("Its SSH server forwards connections to guests.")
    return lacking(forbidden.sentence, MENDS["forwarding"])


def _machine(site: Site) -> Verdict:
    if site.host.is_main:
        return ok(ON_MAIN)
    if site.identity and site.basics.identity == site.identity:
        return lacking(
            "This is main itself, by another name or address. Its guests would be "
            "counted twice: give the address of another machine."
        )
    return ok(f"{site.basics.system or 'Linux'}, kernel {site.basics.kernel}")


def _programs(site: Site) -> Verdict:
    missing = [name for name in site.basics.missing if name != CAPTURES]
    if not missing:
        return ok("All packages of docs/hosts.md are there.")
    return lacking(
        f"Missing: {', '.join(missing)}.",
        f"{INSTALL} {' '.join(missing)}",
    )


def _tcpdump(site: Site) -> Verdict:
    if CAPTURES in site.basics.missing:
        return lacking("Packets cannot be captured there.", MENDS["tcpdump"])
    return ok("Packets can be captured.")


def _libvirt(site: Site) -> Verdict:
    facts = node_facts(site.opened.libvirt)
    return ok(
        f"libvirt answers: {facts.cpus} CPUs, {size(facts.memory_mib << 20)} of memory."
    )


def _qemu(site: Site) -> Verdict:
    if site.basics.qemu:
        return ok(site.basics.qemu)
    return lacking("No QEMU for its processor.", MENDS["qemu"])


def _kvm(site: Site) -> Verdict:
    folder = site.opened.state.projects_dir
    seen = machine.observe(site.opened.transport, folder, scope=site.scope)
    if seen.remark:
        return lacking(seen.remark, MENDS["kvm"])
    if seen.kvm:
        return ok("Guests run with KVM.")
    return lacking(
        "It offers no KVM, or its processor has none: guests are emulated, and "
        "many times slower.",
        "modprobe kvm_intel || modprobe kvm_amd",
    )


def _switch(site: Site) -> Verdict:
    seen = bridges.check(site.opened.transport, scope=site.scope)
    path = "the kernel's datapath" if seen.datapath_ok_kernel else "userspace, slower"
    return ok(f"Open vSwitch {seen.version}, {path}.")


def _nftables(site: Site) -> Verdict:
    if site.network.lacks_nftables:
        return lacking(
            "nft is missing or refuses: guests would reach the host's own services.",
            MENDS["nftables"],
        )
    return ok("nftables works.")


def _mtu(site: Site) -> Verdict:
    network, address = site.network, site.opened.state.tunnel_address
    if not network.tunnel_device:
        return lacking(
            f"No device there has the address {address or 'for tunnels'}, where tunnels "
            "end; 1500 is assumed. Give the tunnel address where it is another one.",
            "ip -brief address",
        )
    least = LEAST_MTU + overhead(address)
    device, carried = network.tunnel_device, network.tunnel_mtu
    if carried < least:
        return lacking(
            f"{device} carries packets of {carried} bytes; guests need {least}.",
            f"ip link set dev {device} mtu 1500" if _DEVICE.fullmatch(device) else "",
        )
    return ok(f"{device} carries packets of {carried} bytes.")


def _ranges(site: Site) -> Verdict:
    is_main = site.host.is_main
    texts = pool_overlaps(site.network, site.pools, is_main=is_main)
    if not texts:
        return ok("None of its addresses, routes and filters overlap the testbeds'.")
    claims = overlapping(site.network, site.pools, is_main=is_main)
    mends = [mend for claim in claims if (mend := _freed(claim, site.opened.state))]
    return lacking(
        f"There {'; '.join(texts)}. Free it, also after the next boot, or move the "
        "testbeds' range with TESTBED_NAT_POOL or TESTBED_MANAGEMENT_POOL.",
        "\n".join(mends),
    )


def _freed(claim: Claim, host: HostState) -> str:
    """Return the command that frees a range; none where it would cut the host off.

    The words of a claim come from the host.
    """
    verbs = {ClaimKind.ADDRESS: "address", ClaimKind.ROUTE: "route"}
    if claim.kind not in verbs or not _DEVICE.fullmatch(claim.by):
        return ""
    ends = {host.address, host.tunnel_address} - {""}
    if any(_is_in(end, claim.range) for end in ends):
        return ""
    return f"ip {verbs[claim.kind]} delete {claim.range} dev {claim.by}"


def _is_in(address: str, range_: str) -> bool:
    try:
        return ip_address(address) in ip_network(range_, strict=False)
    except ValueError:  # a name: `resolved_address` is its tunnels' end
        return False


def _disk(site: Site) -> Verdict:
    free, folder = site.basics.free_bytes, site.opened.state.projects_dir
    if free is None:
        return lacking(f"It does not say how much is free below {folder}.")
    if free < LEAST_FREE_BYTES:
        return lacking(
            f"{size(free)} are free below {folder}; images and guests' disks need more "
            f"than {size(LEAST_FREE_BYTES)}.",
            "apt-get clean && journalctl --vacuum-size=100M",
        )
    return ok(f"{size(free)} are free below {folder}.")


def _clock(site: Site) -> Verdict:
    ahead_s = site.basics.ahead_s
    if ahead_s is None:
        return lacking("It does not say its time.", MENDS["clock"])
    word = "ahead of" if ahead_s > 0 else "behind"
    if abs(ahead_s) > MOST_AHEAD_S + site.basics.within_s:
        return lacking(
            f"Its clock is {abs(ahead_s):.0f} s {word} main's.", MENDS["clock"]
        )
    return ok("Its clock agrees with main's.")


def _contacted(site: Site) -> Verdict:
    """Stand for the rows that one login answers: `adding` fills them."""
    return ok(ON_MAIN)


# One login answers these three.
CONTACT = ("ssh", "host_key", "login")
MENDS = {
    "ssh": "systemctl enable --now ssh",
    "forwarding": f"printf '{SSHD_LINES}' > /etc/ssh/sshd_config.d/00-testbed.conf && "
    "systemctl reload ssh",
    "tcpdump": f"{INSTALL} {CAPTURES}",
    "libvirt": "systemctl enable --now libvirtd",
    "qemu": f"{INSTALL} qemu-system-x86",
    "kvm": "chgrp kvm /dev/kvm && chmod 660 /dev/kvm",
    "ovs": "systemctl enable --now openvswitch-switch",
    "nftables": f"{INSTALL} nftables && modprobe nf_tables",
    "clock": "timedatectl set-ntp true",
}
REQUIREMENTS = (
    Requirement("ssh", "SSH server", "answers at the address", _contacted),
    Requirement("host_key", "Host key", "confirmed by a lab admin", _contacted, "ssh"),
    Requirement("login", "Login", "with main's key", _contacted, "host_key"),
    Requirement("sudo", "Rights of root", "for bridges and disks", _sudo, "login"),
    Requirement("forwarding", "Forwarding", "to its guests", _forwarding, "login"),
    Requirement("machine", "Machine", "is none of the other hosts", _machine, "login"),
    Requirement("programs", "Programs", "of docs/hosts.md", _programs, "login"),
    Requirement("libvirt", "libvirt", "starts guests", _libvirt, "login"),
    Requirement("qemu", "QEMU", "runs guests", _qemu, "login"),
    Requirement("kvm", "KVM", "makes guests fast", _kvm, "login", is_required=False),
    Requirement("ovs", "Open vSwitch", "joins guests", _switch, "sudo"),
    Requirement("nftables", "nftables", "keeps guests inside", _nftables, "sudo"),
    Requirement("mtu", "MTU", "of tunnels", _mtu, "sudo", is_required=False),
    Requirement("ranges", "Address ranges", "are free", _ranges, "sudo"),
    Requirement("disk", "Disk", "for images and guests", _disk, "login"),
    Requirement(
        "tcpdump", "tcpdump", "captures packets", _tcpdump, "login", is_required=False
    ),
    Requirement("clock", "Clock", "agrees", _clock, "login", is_required=False),
)
TITLES = {one.key: one.title for one in REQUIREMENTS}
