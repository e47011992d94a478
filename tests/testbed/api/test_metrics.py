"""`/metrics`: who may read it, and that Prometheus' own parser understands it."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from orchestration.plan.model import Command
from testbed.api import metrics
from testbed.environment import env_token
from testbed.models import Batch, Host, ObservedGuest, Run, Testbed
from tests.deployed_files import DEPLOY
from tests.testbed.conftest import MakeRun

pytestmark = pytest.mark.database
TOKEN = "a-token-of-thirty-two-characters"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def _quiet_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "waiting_messages", lambda: 3)


class Given(Collector):
    """One family, as it is given."""

    def __init__(self, family: Metric) -> None:
        self.family = family

    def collect(self) -> Iterator[Metric]:
        yield self.family


def read(client: Client) -> Samples:
    """Return each sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(answer.content.decode()))
    assert all(family.documentation for family in families)
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def bearer(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def scraper(settings: object) -> Client:
    settings.METRICS_TOKEN = TOKEN
    return bearer(TOKEN)


def test_hosts_and_guests_are_as_last_observed(
    scraper: Client, testbed: Testbed
) -> None:
    Host.objects.filter(name="main").update(
        cpus=2,
        load=9.8,
        memory_mib=1024,
        free_memory_mib=256,
        cpu_busy_s=12.5,
        cpu_total_s=100.0,
        disk_bytes=1000,
        disk_free_bytes=400,
        checked_at=timezone.now(),
    )
    Host.objects.filter(name="host-b").update(
        problem="host-b does not answer.", checked_at=timezone.now()
    )
    seen = ObservedGuest.objects.create(
        testbed=testbed,
        name='we"b\\',
        host="main",
        status="running",
        cpu_time_ns=2_500_000_000,
        memory_mib=256,
        disk_read_bytes=7,
        sent_bytes=9,
        observed_at=timezone.now(),
    )

    found = read(scraper)

    main = (("host", "main"),)
    assert found["testbed_host_up", main] == 1
    assert found["testbed_host_up", (("host", "host-b"),)] == 0
    assert found["testbed_host_load1", main] == 9.8
    assert ("testbed_host_load1", (("host", "host-b"),)) not in found
    assert found["testbed_host_memory_free_bytes", main] == 256 << 20
    assert found["testbed_host_cpu_busy_seconds_total", main] == 12.5
    assert found["testbed_host_disk_free_bytes", main] == 400
    guest = (("guest", 'we"b\\'), ("host", "main"), ("testbed", "olive/lab"))
    assert found["testbed_guest_up", guest] == 1
    assert found["testbed_guest_cpu_seconds_total", guest] == 2.5
    assert found["testbed_guest_memory_bytes", guest] == 256 << 20
    assert found["testbed_guest_disk_read_bytes_total", guest] == 7
    assert found["testbed_guest_network_sent_bytes_total", guest] == 9
    at = found["testbed_guest_observed_timestamp_seconds", guest]
    assert at == pytest.approx(seen.observed_at.timestamp(), abs=0.001)
    # Nobody counted it: there is no sample, which is no zero.
    assert ("testbed_guest_disk_written_bytes_total", guest) not in found


def test_host_that_was_never_looked_at_is_neither_up_nor_down(
    scraper: Client, testbed: Testbed
) -> None:
    assert ("testbed_host_up", (("host", "main"),)) not in read(scraper)


def test_runs_queue_and_workers_are_counted(scraper: Client, make_run: MakeRun) -> None:
    run = make_run(Command.UP)
    instruction = run.instructions.first()
    Batch.objects.all().delete()
    now = timezone.now()
    for host, status, worker, lease_s in (
        ("main", "running", "one", 10),
        ("host-b", "running", "two", -10),
        ("host-c", "queued", "", 0),
    ):
        Batch.objects.create(
            instruction=instruction,
            host=host,
            status=status,
            worker=worker,
            celery_id="12345678-1234-5678-1234-567812345678",
            lease_until=now + timedelta(seconds=lease_s),
        )
    Batch.objects.update(queued_at=now - timedelta(seconds=40))

    found = read(scraper)

    key = (("command", "up"), ("status", run.status))
    assert found["testbed_runs", key] == Run.objects.count() == 1
    assert found["testbed_testbeds", (("condition", run.testbed.condition),)] == 1
    assert found["testbed_batches", (("status", "running"),)] == 2
    assert found["testbed_batches", (("status", "queued"),)] == 1
    assert found["testbed_workers_busy", ()] == 1  # the other lease is over
    assert found["testbed_queue_oldest_seconds", ()] == pytest.approx(40, abs=5)
    assert found["testbed_queue_messages", ()] == 3


def test_queue_is_left_out_while_redis_is_away(
    scraper: Client, testbed: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "waiting_messages", lambda: None)

    found = read(scraper)

    assert ("testbed_queue_messages", ()) not in found
    assert found["testbed_queue_oldest_seconds", ()] == 0


def test_queries_do_not_grow_with_the_guests(scraper: Client, testbed: Testbed) -> None:
    counts = []
    for number in (1, 50):
        ObservedGuest.objects.bulk_create(
            ObservedGuest(
                testbed=testbed,
                name=f"g{number}-{n}",
                host="main",
                status="running",
                observed_at=timezone.now(),
            )
            for n in range(number)
        )
        with CaptureQueriesContext(connection) as queries:
            read(scraper)
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_lines_of_guests_are_those_that_the_library_writes(
    scraper: Client, testbed: Testbed
) -> None:
    labels, seen = ("testbed", "guest", "host"), timezone.now()
    rows = [
        ObservedGuest(
            testbed=testbed,
            name=name,
            host=host,
            status=status,
            cpu_time_ns=cpu_time_ns,
            memory_mib=512,
            sent_bytes=12_345_678_901,
            observed_at=seen,
        )
        for name, host, status, cpu_time_ns in (
            ("g0", "main", "running", 1_500_000_000),
            ('g"1', "host\\b\nx", "shutoff", 0),
        )
    ]
    ObservedGuest.objects.bulk_create(rows)
    registry = CollectorRegistry()
    for kind, table in (
        (GaugeMetricFamily, metrics.GUEST_GAUGES),
        (CounterMetricFamily, metrics.GUEST_COUNTERS),
    ):
        for name, (text, value) in table.items():
            family = kind(f"testbed_guest_{name}", text, labels=labels)
            for row in rows:
                if (number := value(row)) is not None:
                    words = (testbed.full_name, row.name, row.host)
                    family.add_metric(words, float(number))
            registry.register(Given(family))

    told = scraper.get("/metrics").content.decode()

    assert told.endswith(generate_latest(registry).decode())


def test_dashboard_asks_for_metrics_and_labels_that_there_are(
    scraper: Client, testbed: Testbed, make_run: MakeRun
) -> None:
    counters = ("disk_read_bytes", "disk_written_bytes", "received_bytes", "sent_bytes")
    host = dict.fromkeys(("load", "cpu_busy_s", "cpu_total_s"), 1.0)
    disk = dict.fromkeys(("disk_bytes", "disk_free_bytes"), 1)
    Host.objects.update(**host, **disk, checked_at=timezone.now())
    ObservedGuest.objects.create(
        testbed=testbed,
        name="web",
        host="main",
        status="running",
        observed_at=timezone.now(),
        **dict.fromkeys(counters, 1),
    )
    make_run(Command.UP)
    labels: dict[str, set[str]] = {}
    for name, pairs in read(scraper):
        labels.setdefault(name, set()).update(label for label, _ in pairs)
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    targets = [target for panel in panels for target in panel["targets"]]

    assert len(targets) >= len(panels) >= 10
    for target in targets:
        asked = re.findall(r"testbed_\w+", target["expr"])
        assert asked
        assert set(asked) <= set(labels), target["expr"]
        words = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        words += re.findall(r"[{,](\w+)=~?", target["expr"])
        words += re.findall(r"by \((\w+)\)", target["expr"])
        assert all(set(words) <= labels[name] for name in asked), target["expr"]


def test_documents_name_each_metric(scraper: Client, testbed: Testbed) -> None:
    answer = scraper.get("/metrics").content.decode()
    served = re.findall(r"^# TYPE (\S+)", answer, re.MULTILINE)
    text = (DEPLOY.parent / "docs/operations.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `testbed_")]

    named = []
    for row in rows:
        # `testbed_host_up`, `…_cpus`
        words = re.findall(r"`((?:testbed|…)_\w+)`", row.split("|")[1])
        kind = "_".join(words[0].split("_")[:2])
        named += [word.replace("…", kind) for word in words]

    assert sorted(named) == sorted(served)


@pytest.mark.parametrize("given", ["", "wrong-token-of-the-same-length!!", "ü" * 32])
def test_wrong_token_is_refused(testbed: Testbed, settings: object, given: str) -> None:
    settings.METRICS_TOKEN = TOKEN

    answer = Client().get(
        "/metrics",
        headers={"Authorization": f"Bearer {given}".encode().decode("latin1")},
    )

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("given", ["", "None", " "])
def test_without_a_token_in_the_settings_none_is_right(
    testbed: Testbed, settings: object, given: str
) -> None:
    settings.METRICS_TOKEN = ""

    assert bearer(given).get("/metrics").status_code == 401


def test_session_of_a_lab_admin_is_enough_and_of_others_is_not(
    testbed: Testbed, admin: User, owner: User
) -> None:
    answers = {}
    for user in (admin, owner):
        client = Client()
        client.force_login(user)
        answers[user.username] = client.get("/metrics").status_code

    assert answers == {admin.username: 200, owner.username: 404}


@pytest.mark.parametrize("word", ["short", "ü" * 32])
def test_token_that_could_be_guessed_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("TESTBED_METRICS_TOKEN", word)

    with pytest.raises(ImproperlyConfigured, match="at least 24") as caught:
        env_token("TESTBED_METRICS_TOKEN")

    assert word not in str(caught.value)
