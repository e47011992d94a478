"""`script/bench pages`: each page of a full lab, charts, lists and /metrics.

A real Daphne over loopback, hosts that only rehearse, one large testbed with a week of
samples of each of its guests, one of ten guests, and many small ones with five guests
and twenty runs each, on SQLite or with `--postgresql` on a cluster of its own. The floor
is a page that reads nothing from the database, in the same run. Times are those of a
client with one connection, an admin, so the web's and the database's without a network;
the first paint is computed for 50 KB/s, with nothing cached, from the p95.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

import httpx

from benchmarks.measuring import Table, conclude, folder, parser
from benchmarks.orchestrator import write_testbed
from benchmarks.requests.painting import Painting
from tests.live.client import Client
from tests.live.postgresql import cluster
from tests.live.stack import Stack, simulated_stack

TARGET_P95_MS = 150
TARGET_LIST_KIB = 60
TARGET_PAINT_S = 2
PAINTING = Painting()
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
# A database looks at its tables by itself, some time after they grew.
ANALYZE = """
from django.db import connection
with connection.cursor() as cursor: cursor.execute("ANALYZE")
"""
LARGE_PAGES = (
    "/testbeds/admin/large/",
    "/testbeds/admin/large/live/",
    "/testbeds/admin/large/guests/",
)
PAGES = (
    "/testbeds/admin/ten/",
    "/testbeds/admin/ten/live/",
    "/testbeds/admin/ten/budgets/",
    "/testbeds/admin/ten/guests/",
    "/testbeds/admin/ten/guests/g0/",
    "/testbeds/admin/ten/guests/g0/console/",
    "/testbeds/admin/ten/sharing/",
    "/testbeds/admin/ten/edit/",
    "/testbeds/admin/ten/snapshots/",
    "/testbeds/admin/ten/commands/",
    "/testbeds/admin/ten/artefacts/",
    "/testbeds/admin/ten/record/",
    "/testbeds/admin/ten/copy/",
    "/testbeds/admin/ten/disks/delete/",
    "/testbeds/new/",
    "/runs/{run}/",
    "/runs/{run}/answers/",
    "/runs/{run}/log/",
    "/hosts/",
    "/hosts/main/edit/",
    "/new-hosts/",
    "/reservations/",
    "/reservations/new/",
    "/catalogue/",
    "/images/",
    "/trash/",
    "/orphans/",
    "/record/",
    "/quotas/",
    "/groups/",
    "/notifications/",
    "/notifications/settings/",
    "/ssh-keys/",
    "/password/",
    "/admin/",
    "/admin/testbed/labsnapshot/",
    "/admin/auth/user/",
)
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
    options.add_argument("--hosts", type=int, default=100)
    options.add_argument("--seconds", type=float, default=3, help="of each row")
    options.add_argument("--postgresql", action="store_true", help="in SQLite's place")
    chosen = options.parse_args()
    with folder(keep=chosen.keep) as place, database(chosen.postgresql) as settings:
        write_testbed(place / "large", chosen.guests, chosen.hosts)
        write_testbed(place / "ten", 10, 2)
        # Tests have hosts looked at more often than a lab does.
        settings["TESTBED_OBSERVE_EVERY_S"] = "10"
        with simulated_stack(place, hosts=chosen.hosts, **settings) as stack:
            name = "PostgreSQL" if chosen.postgresql else "SQLite"
            table = Table(f"pages on {name}, {chosen.hosts} hosts")
            add_charts(table, stack, place / "large", chosen.guests, chosen.seconds)
            add_list(table, stack, chosen.testbeds, chosen.seconds)
            add_pages(table, stack, place / "ten", chosen.seconds)
    return conclude(table, strict=chosen.strict)


@contextmanager
def database(is_postgresql: bool) -> Iterator[dict[str, str]]:
    """Give the settings of the database."""
    if not is_postgresql:
        yield {}
        return
    with cluster() as url:
        yield {"TESTBED_DATABASE_URL": url}


def add_charts(
    table: Table, stack: Stack, testbed: Path, guests: int, seconds: float
) -> None:
    """Time the pages with charts and the metrics."""
    stack.add_user("admin", is_admin=True)
    client = stack.client("admin")
    client.create_testbed("large", testbed)
    client.run("large", "up", lambda frame: None)
    stack.shell(FILL + ANALYZE)
    guest = "/testbeds/admin/large/guests/g0/"
    for what, path in (
        ("floor: a page without the database", FLOOR),
        ("guest's page, last hour", guest),
        ("guest's page, last week", f"{guest}?load=week"),
        ("samples of an hour", f"{guest}load/"),
        ("samples of a week", f"{guest}load/?load=week"),
        ("host's page", "/hosts/main/"),
    ):
        add_page(table, what, client, path, seconds)
    # No page of a person: a scraper asks once in some seconds.
    metrics = f"metrics of {guests} guests"
    add_page(table, metrics, client, "/metrics", seconds, most_ms=None)
    looks_ms = sorted(float(line) for line in stack.shell(LOOK).split())
    table.add("CPU of one look at all hosts, with its samples", looks_ms[2], "ms")


def add_list(table: Table, stack: Stack, count: int, seconds: float) -> None:
    """Time the list of many testbeds, as an admin sees it."""
    stack.shell(FILL_LIST.format(count=count) + ANALYZE)
    client = stack.client("admin")
    for what, path in (
        (f"list of {count} testbeds", "/"),
        ("last page by guests up", "/?sort=-guests&page=last"),
        ("last run first", "/?sort=-run"),
        ("search", "/?q=description"),
        ("filters", "/?group=group3&tag=tag-3"),
        ("activity", "/activity/"),
    ):
        add_page(table, what, client, path, seconds)


def add_pages(table: Table, stack: Stack, testbed: Path, seconds: float) -> None:
    """Time every other page, of a testbed with ten guests and of the lab."""
    client = stack.client("admin")
    client.create_testbed("ten", testbed)
    client.run("ten", "up", lambda frame: None)
    wanted = {"form": "command", "words": ["true"], "selection": "@all"}
    executed = client.ask("ten", "exec", **wanted)
    client.drive(executed, lambda frame: None)
    for path in LARGE_PAGES:
        add_page(table, path, client, path, seconds, most_ms=None)
    for path in PAGES:
        shown = path.format(run=executed.number)
        add_page(table, shown, client, shown, seconds)


def add_page(
    table: Table,
    what: str,
    client: Client,
    path: str,
    seconds: float,
    *,
    most_ms: float | None = TARGET_P95_MS,
) -> None:
    """Ask for a page again and again, and add its quantiles and size on the wire."""
    late_ms, size, http = [], 0, client.pages.http
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at or len(late_ms) < 2:
        began_at = time.perf_counter()
        answer = http.get(path)
        late_ms.append(1000 * (time.perf_counter() - began_at))
        if answer.status_code != httpx.codes.OK:
            raise RuntimeError(f"{path} answers {answer.status_code}.")
        size = answer.num_bytes_downloaded
    cuts = quantiles(late_ms, n=100)
    table.add(f"{what}, p50", cuts[49], "ms")
    table.add("  p95", cuts[94], "ms", at_most=most_ms)
    most_kib = TARGET_LIST_KIB if path.split("?")[0] == "/" else None
    table.add("  size on the wire", size / 1024, "KiB", at_most=most_kib)
    if "</html>" in answer.text:
        painted_s = PAINTING.seconds(http, answer, cuts[94] / 1000)
        most_s = None if most_ms is None else TARGET_PAINT_S
        table.add("  first paint", painted_s, "s", at_most=most_s)


if __name__ == "__main__":
    sys.exit(main())
