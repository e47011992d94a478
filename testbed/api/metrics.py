"""`/metrics` in Prometheus' text format: hosts, guests, runs, the queue and workers.

From the database, and the length of one list in Redis: no host is asked, so the answer
is as old as the last look, whose time is a metric. All web processes answer the same,
since nothing is counted in them. The token of TESTBED_METRICS_TOKEN lets a scraper in,
a session lab admins.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence

from django.conf import settings
from django.db.models import Count, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from testbed.celery import waiting_messages
from testbed.models import Batch, Host, ObservedGuest, Run, Testbed

RUNNING = ("running", "blocked")
_BEARER = "Bearer "

Value = Callable[[Host], float | None]
HOST_GAUGES: dict[str, tuple[str, Value]] = {
    "up": (
        "Whether the host answered when it was last observed.",
        lambda host: None if host.checked_at is None else not host.problem,
    ),
    "cpus": ("The CPUs of the host.", lambda host: host.cpus),
    "load1": (
        "The load average of one minute.",
        lambda host: host.load if host.is_answering else None,
    ),
    "memory_bytes": ("The memory of the host.", lambda host: host.memory_mib << 20),
    "memory_free_bytes": (
        "The memory that is free, with caches that the kernel would give back.",
        lambda host: host.free_memory_mib << 20 if host.is_answering else None,
    ),
    "disk_bytes": (
        "The size of the file system with the guests' disks.",
        lambda host: host.disk_bytes,
    ),
    "disk_free_bytes": (
        "The free space of the file system with the guests' disks.",
        lambda host: host.disk_free_bytes if host.is_answering else None,
    ),
    "checked_timestamp_seconds": (
        "When the host was last observed, since 1970.",
        lambda host: host.checked_at.timestamp() if host.checked_at else None,
    ),
}
HOST_COUNTERS: dict[str, tuple[str, Value]] = {
    "cpu_busy_seconds": (
        "The time for which the CPUs were busy since the host's boot, all together.",
        lambda host: host.cpu_busy_s,
    ),
    "cpu_seconds": (
        "The time of all CPUs, busy or not, since the host's boot.",
        lambda host: host.cpu_total_s,
    ),
}
GuestValue = Callable[[ObservedGuest], float | None]
GUEST_GAUGES: dict[str, tuple[str, GuestValue]] = {
    "up": (
        "Whether the guest ran when it was last observed.",
        lambda guest: guest.status in RUNNING,
    ),
    "memory_bytes": (
        "The memory that the guest uses, or QEMU on its host where it does not say.",
        lambda guest: guest.memory_mib << 20,
    ),
    "observed_timestamp_seconds": (
        "When the guest was last observed, since 1970.",
        lambda guest: guest.observed_at.timestamp(),
    ),
}
GUEST_COUNTERS: dict[str, tuple[str, GuestValue]] = {
    "cpu_seconds": (
        "The time for which the guest used CPUs since its start.",
        lambda guest: guest.cpu_time_ns / 1e9,
    ),
    "disk_read_bytes": (
        "What the guest read from its disks since its start.",
        lambda guest: guest.disk_read_bytes,
    ),
    "disk_written_bytes": (
        "What the guest wrote to its disks since its start.",
        lambda guest: guest.disk_written_bytes,
    ),
    "network_received_bytes": (
        "What the guest received by all its interfaces since its start.",
        lambda guest: guest.received_bytes,
    ),
    "network_sent_bytes": (
        "What the guest sent by all its interfaces since its start.",
        lambda guest: guest.sent_bytes,
    ),
}


@require_GET
@cache_control(no_store=True, private=True)
def metrics(request: HttpRequest) -> HttpResponse:
    """Return all metrics: 401 without a session and a good token, else 404."""
    if not _has_token(request):
        if not request.user.is_authenticated:
            refusal = HttpResponse(
                "A token is needed: see docs/operations.md.\n", status=401
            )
            refusal["WWW-Authenticate"] = "Bearer"
            return refusal
        if not request.user.is_superuser:
            raise Http404("This page is for admins.")
    registry = CollectorRegistry()
    registry.register(_Rows())
    text = generate_latest(registry) + "".join(_guest_lines()).encode()
    return HttpResponse(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _has_token(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "")
    token = settings.METRICS_TOKEN
    if not token or not given.startswith(_BEARER):
        return False
    word = given.removeprefix(_BEARER).strip()
    return secrets.compare_digest(word.encode(), token.encode())


class _Rows(Collector):
    """Reads the rows of all but the guests anew for each request."""

    def describe(self) -> list[Metric]:
        """Return nothing: registering would else read the rows once more."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        yield from _hosts()
        yield from _runs()
        yield from _queue()


def _hosts() -> Iterator[Metric]:
    rows = list(Host.objects.all())
    for kind, table in (
        (GaugeMetricFamily, HOST_GAUGES),
        (CounterMetricFamily, HOST_COUNTERS),
    ):
        for name, (text, value) in table.items():
            family = kind(f"testbed_host_{name}", text, labels=("host",))
            for host in rows:
                if (number := value(host)) is not None:
                    family.add_metric((host.name,), float(number))
            yield family


def _guest_lines() -> Iterator[str]:
    """Yield the lines of the guests' families, as `generate_latest` writes them.

    It writes the labels of each sample anew: of 6,000 guests with eight samples each
    three quarters of the whole answer's time.
    """
    # Not joined: each row would bring all that is known of its testbed along.
    testbeds = Testbed.objects.select_related("owner").only("name", "owner__username")
    names = {testbed.pk: testbed.full_name for testbed in testbeds}
    observed = ObservedGuest.objects.defer("interfaces").order_by("pk")
    rows = [row for row in observed if row.testbed_id in names]
    labels = [
        f'{{guest="{_escaped(row.name)}",host="{_escaped(row.host)}",'
        f'testbed="{_escaped(names[row.testbed_id])}"}}'
        for row in rows
    ]
    for kind, end, table in (
        ("gauge", "", GUEST_GAUGES),
        ("counter", "_total", GUEST_COUNTERS),
    ):
        for name, (text, value) in table.items():
            family = f"testbed_guest_{name}{end}"
            yield f"# HELP {family} {text}\n# TYPE {family} {kind}\n"
            for guest, words in zip(rows, labels, strict=True):
                if (number := value(guest)) is not None:
                    # The library tells no types.
                    shown = floatToGoString(number)  # type: ignore[no-untyped-call]
                    yield f"{family}{words} {shown}\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _runs() -> Iterator[Metric]:
    testbeds = Testbed.objects.order_by().values_list("condition")
    yield _counted(
        "testbed_testbeds",
        "The testbeds by their condition.",
        ("condition",),
        testbeds.annotate(count=Count("pk")),
    )
    runs = Run.objects.order_by().values_list("command", "status")
    yield _counted(
        "testbed_runs",
        "The runs that are kept, by command and status.",
        ("command", "status"),
        runs.annotate(count=Count("pk")),
    )


def _queue() -> Iterator[Metric]:
    now = timezone.now()
    active = Batch.objects.filter(status__in=Batch.ACTIVE).order_by()
    batches = dict.fromkeys(map(str, Batch.ACTIVE), 0)
    batches |= dict(active.values_list("status").annotate(count=Count("pk")))
    yield _counted(
        "testbed_batches",
        "The work that waits for its turn or for a worker, and that which goes on.",
        ("status",),
        batches.items(),
    )
    queued = active.filter(status=Batch.Status.QUEUED)
    oldest = queued.aggregate(oldest=Min("queued_at"))["oldest"]
    age_s = (now - oldest).total_seconds() if oldest else 0.0
    yield GaugeMetricFamily(
        "testbed_queue_oldest_seconds", "How long the oldest work has waited.", age_s
    )
    messages = waiting_messages()
    if messages is not None:
        yield GaugeMetricFamily(
            "testbed_queue_messages",
            "The messages in Redis that no worker process has taken.",
            messages,
        )
    busy = active.filter(status=Batch.Status.RUNNING, lease_until__gt=now)
    yield GaugeMetricFamily(
        "testbed_workers_busy",
        "The worker processes that work on a run, by their leases.",
        busy.values("worker").distinct().count(),
    )
    yield GaugeMetricFamily(
        "testbed_workers_processes",
        "The processes that each worker is set to have.",
        settings.CELERY_WORKER_CONCURRENCY,
    )


def _counted(
    name: str,
    text: str,
    labels: Sequence[str],
    rows: Iterable[tuple[object, ...]],
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for *words, count in rows:
        family.add_metric([str(word) for word in words], float(str(count)))
    return family
