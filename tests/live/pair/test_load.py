"""The load of real guests over time: what they do is what their samples say."""

import time
from contextlib import closing
from datetime import datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.pair.conftest import SLUG
from tests.live.watch import Guest, wait_until

pytestmark = pytest.mark.live
MIB = 1 << 20
BUSY = "setsid timeout 60 sh -c 'while :; do :; done' >/dev/null 2>&1 </dev/null &"
IDLE = "pkill timeout"
READ = "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda of=/dev/null bs=1M count=12"
NAMES = {"near": "main", "away": "host-b"}


def load(client: Client, name: str) -> Frame:
    """Return the load of a guest, with its times in seconds."""
    found = client.get(SLUG, f"guests/{name}/load")
    times = [datetime.fromisoformat(at).timestamp() for at in found["times"]]
    return found | {"times": times}


def figures(client: Client, name: str, column: str, *, since: float) -> list[float]:
    """Return what was observed of a guest since then."""
    found = load(client, name)
    both = zip(found["times"], found["columns"][column], strict=True)
    return [value for at, value in both if value is not None and at > since]


def busy_samples(client: Client, name: str, *, since: float) -> list[float]:
    found = figures(client, name, "cpu_percent", since=since)
    return [percent for percent in found if percent > 10]


def carried(client: Client, name: str, column: str, *, since: float) -> float:
    """Return the bytes that the samples of a rate make, each since the one before.

    Times are whole seconds, so a sample may stand for up to a second more.
    """
    found = load(client, name)
    times, rates = found["times"], found["columns"][column]
    pairs = zip(times, times[1:], rates[1:], strict=False)
    return sum(
        (b - a + 1) * rate for a, b, rate in pairs if rate is not None and b > since
    )


@pytest.mark.parametrize("name", NAMES)
def test_busy_guest_is_seen(stack, owner, name):
    wait_until(  # the first samples may be of its boot
        lambda: min(figures(owner, name, "cpu_percent", since=0), default=100) < 5,
        "the idle guest was not seen",
    )
    began = time.time()
    guest = Guest(stack, SLUG, name)
    guest.run(BUSY)

    wait_until(  # a login is over in a sample or two; a busy host leaves it little
        lambda: len(busy_samples(owner, name, since=began)) >= 4,
        "the busy guest was not seen",
    )
    guest.run(IDLE)

    memory = figures(owner, name, "memory_bytes", since=0)
    assert 0 < memory[-1] < 1024 * MIB
    found = owner.server.get(f"/hosts/{NAMES[name]}/load")
    assert max(filter(None, found["columns"]["cpu_percent"])) > 10
    assert found["columns"]["disk_bytes"][-1] > 0


@pytest.mark.parametrize("name", NAMES)
def test_disk_and_network_are_counted_from_the_guests_side(stack, owner, name):
    guest = Guest(stack, SLUG, name)
    began = time.time()

    guest.run(READ)
    sent = guest.run("head -c 3145728 /dev/zero | tr '\\0' 'x'")

    assert len(sent) == 3 * MIB
    wait_until(
        lambda: carried(owner, name, "sent_bytes_per_s", since=began) > 2.5 * MIB,
        "what it sent was not seen",
    )
    wait_until(
        lambda: carried(owner, name, "disk_read_bytes_per_s", since=began) > 8 * MIB,
        "what it read was not seen",
    )
    received = carried(owner, name, "received_bytes_per_s", since=began)
    assert 0 < received < 2 * MIB


def test_metrics_have_both_guests(stack, owner):
    stack.add_user("metrics-admin", is_admin=True)
    with closing(stack.client("metrics-admin")) as admin:
        text = admin.pages.read("/metrics")

    families = text_string_to_metric_families(text)
    samples = {
        (sample.name, sample.labels.get("guest"), sample.labels.get("host")): sample
        for family in families
        for sample in family.samples
        if sample.labels.get("testbed", f"owner/{SLUG}") == f"owner/{SLUG}"
    }
    for name, host in NAMES.items():
        assert samples["testbed_guest_up", name, host].value == 1
        assert samples["testbed_guest_cpu_seconds_total", name, host].value > 1
        assert samples["testbed_host_cpu_busy_seconds_total", None, host].value > 1
    assert samples["testbed_queue_messages", None, None].value >= 0
