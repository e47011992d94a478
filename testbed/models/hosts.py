"""Testbed hosts: how they are reached, and the result of the last check."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import ceil

from django.conf import settings
from django.core.validators import (
    MaxValueValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from orchestration.state.model import (
    ClaimKind,
    Datapath,
    DomainType,
    HostKind,
    HostNetwork,
    HostState,
)
from testbed.environment import MOST_FACTOR

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_IPV6 = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?"
# None of these ever looks like an option of a program.
ADDRESS_RULE = RegexValidator(
    rf"^({_LABEL}(\.{_LABEL})*\.?|{_IPV6})\Z",
    "Use an IP address or a DNS name, without a port or an account.",
)
ACCOUNT_RULE = RegexValidator(
    r"^[a-z_][a-z0-9_-]*\Z",
    "Use the name of an account: lower-case letters, digits, - and _; the first is a "
    "letter or _.",
)
# A quotation mark would end the path in ssh's configuration.
PATH_RULE = RegexValidator(
    r'^(?!.*/\.\.(/|\Z))/[^\x00-\x1f\x7f"\\]*\Z',
    "Use an absolute path, without `..`, quotation marks and control characters.",
)


class HostAccess(models.Model):
    """How a host is reached, and where its folders are: what an admin types.

    `host_key` is the pinned public key line, `identity_file` a path on main. Tunnels end
    at `tunnel_address`, or else at `address`.
    """

    name = models.SlugField(
        max_length=40,
        unique=True,
        error_messages={"invalid": "Use letters, digits, hyphens and underscores."},
    )
    is_main = models.BooleanField(default=False)
    address = models.CharField(max_length=255, blank=True, validators=[ADDRESS_RULE])
    port = models.PositiveIntegerField(
        default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    user = models.CharField(max_length=32, default="root", validators=[ACCOUNT_RULE])
    identity_file = models.CharField(max_length=255, blank=True, validators=[PATH_RULE])
    host_key = models.TextField(blank=True)
    tunnel_address = models.GenericIPAddressField(null=True, blank=True)
    projects_dir = models.CharField(
        max_length=255, default="/var/lib/testbed/projects", validators=[PATH_RULE]
    )
    images_dir = models.CharField(
        max_length=255, default="/var/lib/testbed/images", validators=[PATH_RULE]
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class Host(HostAccess):
    """A testbed host as an admin added it, and the result of the last check.

    When `address` is a name, `resolved_address` is its address at that time, for
    tunnels. `network` is a `HostNetwork` as it was at `network_seen_at`, so that
    planning asks no machine. A drained host gets no new guests, since and by
    `drained_by`, for the reason that they gave. `version` counts the edits.
    `cpu_busy_s` and `cpu_total_s` count since its boot, `cpu_percent` is what was busy
    between the last two looks, None before the second; the disk is that of the guests'
    disks. The overcommit factors bound the guests' vCPUs and memory together; None: the
    installation's. `versions` has those of its programs, by name. `jump` is what users' SSH clients need to go through this host. `problem` is
    empty while the host is online; `remark` says what has to be mended on an online one.
    """

    kind = models.CharField(
        max_length=10,
        choices=[(kind.value, kind.value) for kind in HostKind],
        default=HostKind.REAL.value,
    )
    resolved_address = models.GenericIPAddressField(null=True, blank=True)
    domain_type = models.CharField(
        max_length=8,
        choices=[(kind.value, kind.value) for kind in DomainType],
        default=DomainType.QEMU.value,
    )
    datapath = models.CharField(
        max_length=8,
        choices=[(kind.value, kind.value) for kind in Datapath],
        default=Datapath.SYSTEM.value,
    )
    compress_copies = models.BooleanField(
        "compress images on their way to it",
        default=False,
        help_text="Faster where its network is slower than about 1 Gbit/s, else slower.",
    )
    has_firewall = models.BooleanField(
        "firewall",
        default=True,
        help_text="Keep guests on this host from its services and from the lab's "
        "networks, by nftables. Without it, let a firewall of your own do so.",
    )
    vcpu_overcommit = models.FloatField(
        "overcommit of vCPUs",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(MOST_FACTOR)],
        help_text="The guests of all testbeds that are up may have so many vCPUs for "
        "each processor of this host. Empty: TESTBED_VCPU_OVERCOMMIT.",
    )
    memory_overcommit = models.FloatField(
        "overcommit of memory",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(MOST_FACTOR)],
        help_text="The same for memory. Empty: TESTBED_MEMORY_OVERCOMMIT.",
    )
    cpus = models.PositiveIntegerField(default=0)
    memory_mib = models.PositiveIntegerField(default=0)
    load = models.FloatField(default=0.0)
    free_memory_mib = models.PositiveIntegerField(default=0)
    cpu_busy_s = models.FloatField(default=0.0, editable=False)
    cpu_total_s = models.FloatField(default=0.0, editable=False)
    cpu_percent = models.FloatField(null=True, editable=False)
    disk_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    disk_free_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    network = models.JSONField(default=dict, blank=True)
    versions = models.JSONField(default=dict, blank=True, editable=False)
    jump = models.JSONField(default=dict, blank=True, editable=False)
    network_seen_at = models.DateTimeField(null=True, blank=True)
    problem = models.TextField(blank=True)
    remark = models.TextField(blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    drained_at = models.DateTimeField(null=True, blank=True, editable=False)
    drained_by = models.CharField(max_length=150, blank=True, editable=False)
    drain_reason = models.CharField(max_length=200, blank=True, editable=False)
    version = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ("-is_main", "name")
        constraints = (
            models.UniqueConstraint(
                fields=["is_main"],
                condition=Q(is_main=True),
                name="one_main_host",
                violation_error_message="Another host is main already, and exactly "
                "one can be.",
            ),
        )

    @property
    def is_answering(self) -> bool:
        """Whether the last look got an answer; else load and free space are old."""
        return not self.problem

    @property
    def availability(self) -> str:
        """Return `online`, `overloaded`, `offline`, or `unknown` before any check."""
        if self.problem:
            return "offline"
        if self.checked_at is None:
            return "unknown"
        return "overloaded" if self.load > self.cpus > 0 else "online"

    @property
    def drained_words(self) -> str:
        """Say since when it is drained, by whom and why; empty when it is not."""
        if self.drained_at is None:
            return ""
        since = timezone.localtime(self.drained_at)
        words = (
            f"{self.name} was drained by {self.drained_by} on {since:%d %b %Y %H:%M}"
        )
        return f"{words}: {self.drain_reason}" if self.drain_reason else words

    @property
    def busy_load(self) -> float:
        """The load from which its gauge warns: seven tenths of its CPUs."""
        return 0.7 * self.cpus

    @property
    def full_load(self) -> float:
        """The load from which its gauge is full: each CPU is busy."""
        return 0.95 * self.cpus

    @property
    def most_vcpus(self) -> int:
        """The vCPUs that guests may have on it together; 0 while its size is unknown."""
        factor = self.vcpu_overcommit or settings.VCPU_OVERCOMMIT
        return ceil(self.cpus * min(factor, MOST_FACTOR))

    @property
    def most_memory_mib(self) -> int:
        """The memory that guests may have on it together; 0 while it is unknown."""
        factor = self.memory_overcommit or settings.MEMORY_OVERCOMMIT
        return ceil(self.memory_mib * min(factor, MOST_FACTOR))

    @property
    def own_network(self) -> HostNetwork:
        """The host's network as last seen; empty before the first look."""
        return HostNetwork.model_validate(self.network)

    def to_state(self) -> HostState:
        """Return the host as the engine knows it."""
        main_dirs = (str(settings.TESTBEDS_DIR), str(settings.IMAGES_DIR))
        dirs = main_dirs if self.is_main else (self.projects_dir, self.images_dir)
        return HostState(
            name=self.name,
            kind=HostKind(self.kind),
            is_main=self.is_main,
            address=self.address,
            port=self.port,
            user=self.user,
            identity_file=self.identity_file,
            host_key=self.host_key,
            tunnel_address=(
                self.tunnel_address or self.resolved_address or self.address
            ),
            tunnel_mtu=self.own_network.tunnel_mtu,
            domain_type=DomainType(self.domain_type),
            datapath=Datapath(self.datapath),
            projects_dir=dirs[0],
            images_dir=dirs[1],
            cpus=self.cpus,
            memory_mib=self.memory_mib,
            compress_copies=self.compress_copies,
        )


def wait_for_other_plans() -> None:
    """Let one plan at a time go on; the lock ends with the caller's transaction.

    SQLite needs none: its transactions begin with the only lock for writers.
    """
    with transaction.atomic(savepoint=False):
        list(Host.objects.select_for_update(no_key=True).filter(is_main=True))


def addresses_of_lab(own: Iterable[str]) -> frozenset[IPv4Address | IPv6Address]:
    """Return all known addresses of the hosts, and `own`, those of this machine.

    A loopback's are left out: they are none of the lab's networks.
    """
    texts = {text for host in Host.objects.all() for text in _addresses_of(host)}
    found = (_address_or_none(text) for text in texts.union(own))
    return frozenset(one for one in found if one and not one.is_loopback)


def _addresses_of(host: Host) -> Iterator[str]:
    yield from (host.address, host.tunnel_address or "", host.resolved_address or "")
    for claim in host.own_network.claims:
        if claim.kind is ClaimKind.ADDRESS:
            yield claim.range.partition("/")[0]


def _address_or_none(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is, without its zone; None: it is a name."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
