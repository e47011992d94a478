"""`script/bench pages`: the list, a guest's and a host's page with charts, and /metrics.

A real Daphne over loopback, hosts that only rehearse, one large testbed and a week of
samples of each of its guests. The floor is a page that reads nothing from the database,
in the same run. Then comes the cost of one look at all hosts with its samples, and last
the list of many small testbeds with five guests and twenty runs each.
"""

import sys
import time
from pathlib import Path
from statistics import quantiles

from benchmarks.measuring import Table, conclude, folder, parser
from benchmarks.orchestrator import write_testbed
from testbed.client.api import Client
from tests.live.stack import Stack, simulated_stack

TARGET_P95_MS = 300
TARGET_LIST_P95_MS = 150
FLOOR = "/kvm-compose.json"
# Looks of two hours, and the hours of a week, as if the testbed had been up for long.
FILL = """
from datetime import timedelta
from django.utils import timezone
from testbed.models import Host, SampleHour, Testbed
from testbed.samples.figures import GuestFigures, HostFigures, pack
from testbed.samples.recording import record
testbed, host = Testbed.objects.get(name="large"), Host.objects.get(name="main")
names = [guest.name for guest in testbed.project.read_state().guests]
for guest in names: testbed.observed_guests.update_or_create(name=guest, defaults=dict(
    host="main", status="running", observed_at=timezone.now()))
now = timezone.now()
figures = {name: GuestFigures(12.5, 2e8, 1e4, 2e4, 3e4, 4e4) for name in names}
load = {host.pk: HostFigures(50, 1.5, 4e9, 8e10)}
for n in range(720): record({testbed.pk: figures}, load, now - timedelta(seconds=10*n))
hour, packed = now.replace(minute=0, second=0, microsecond=0), pack([figures[names[0]]]*60)
SampleHour.objects.bulk_create(SampleHour(testbed=testbed, name=name, figures=packed,
    began_at=hour - timedelta(hours=n)) for name in names for n in range(3, 168))
"""
# Testbeds of thirty users, shared with groups; numbers are far above the large one's.
FILL_LIST = """
from django.contrib.auth.models import Group, User
from django.utils import timezone
from testbed.models import ObservedGuest, Run, Share, Tag, Testbed
now, count = timezone.now(), {count}
users = User.objects.bulk_create(User(username=f"user{{n}}") for n in range(30))
groups = Group.objects.bulk_create(Group(name=f"group{{n}}") for n in range(20))
made = Testbed.objects.bulk_create(Testbed(owner=users[n % 30], slug=f"small-{{n:04}}",
    name=f"small-{{n:04}}",
    number=2000 + n, condition=("up", "down", "empty")[n % 3],
    description=f"The description of testbed {{n}}") for n in range(count))
Share.objects.bulk_create(Share(testbed=one, group=groups[n % 20], role="operator",
    given_by=one.owner, given_at=now) for n, one in enumerate(made))
Tag.objects.bulk_create(Tag(testbed=one, name=f"tag-{{(n + k) % 40}}")
    for n, one in enumerate(made) for k in range(3))
ObservedGuest.objects.bulk_create(ObservedGuest(testbed=one, name=f"g{{k}}",
    host=f"host-{{k}}", status="running", observed_at=now) for one in made for k in range(5))
Run.objects.bulk_create((Run(testbed=one, command="up", plan={{}}, asked_by=one.owner,
    status="succeeded", started_at=now, ended_at=now) for one in made for _ in range(20)),
    batch_size=500)
"""
LOOK = """
import time
from testbed.hosts.observation import observe_all
from testbed.worker import kept_hosts
for n in range(5):
    began = time.process_time(); observe_all(kept_hosts())
    print(1000 * (time.process_time() - began))
"""


def main() -> int:
    """Run the benchmark."""
    options = parser("pages with charts, and metrics")
    options.add_argument("--guests", type=int, default=1000)
    options.add_argument("--testbeds", type=int, default=1000, help="of the list")
    options.add_argument("--hosts", type=int, default=20)
    options.add_argument("--seconds", type=float, default=5, help="of each row")
    chosen = options.parse_args()
    with folder(keep=chosen.keep) as place:
        write_testbed(place / "testbed", chosen.guests, chosen.hosts)
        with simulated_stack(place, hosts=chosen.hosts) as stack:
            table = measure(stack, place / "testbed", chosen.guests, chosen.seconds)
            add_list(table, stack, chosen.testbeds, chosen.seconds)
    return conclude(table, strict=chosen.strict)


def measure(stack: Stack, testbed: Path, guests: int, seconds: float) -> Table:
    """Time each page, one request after the other."""
    stack.add_user("admin", is_admin=True)
    client = stack.client("admin")
    client.create_testbed("large", testbed)
    client.run("large", "up", lambda frame: None)
    stack.shell(FILL)
    table = Table(f"pages with charts of {guests} guests")
    guest = "/testbeds/large/guests/g0/"
    for what, path in (
        ("floor: a page without the database", FLOOR),
        ("guest's page, last hour", guest),
        ("guest's page, last week", f"{guest}?load=week"),
        ("samples of an hour", f"{guest}load/"),
        ("samples of a week", f"{guest}load/?load=week"),
        ("host's page", "/hosts/main/"),
        (f"metrics of {guests} guests", "/metrics"),
    ):
        add_page(table, what, client, path, seconds)
    looks_ms = sorted(float(line) for line in stack.shell(LOOK).split())
    table.add("CPU of one look at all hosts, with its samples", looks_ms[2], "ms")
    return table


def add_list(table: Table, stack: Stack, count: int, seconds: float) -> None:
    """Time the list of many testbeds, as an admin sees it."""
    stack.shell(FILL_LIST.format(count=count))
    client = stack.client("admin")
    for what, path in (
        (f"list of {count} testbeds", "/"),
        ("last page by guests up", "/?sort=-guests&page=last"),
        ("last run first", "/?sort=-run"),
        ("search", "/?q=description"),
        ("filters", "/?group=group3&tag=tag-3"),
        ("activity", "/activity/"),
    ):
        add_page(table, what, client, path, seconds, at_most=TARGET_LIST_P95_MS)


def add_page(
    table: Table,
    what: str,
    client: Client,
    path: str,
    seconds: float,
    *,
    at_most: float = TARGET_P95_MS,
) -> None:
    """Ask for a page again and again, and add its quantiles and size."""
    late_ms, size = [], 0
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at or len(late_ms) < 2:
        began_at = time.perf_counter()
        size = len(client.page(path))
        late_ms.append(1000 * (time.perf_counter() - began_at))
    cuts = quantiles(late_ms, n=100)
    table.add(f"{what}, p50", cuts[49], "ms")
    table.add("  p95", cuts[94], "ms", at_most=at_most)
    table.add("  size", size / 1024, "KiB")


if __name__ == "__main__":
    sys.exit(main())
