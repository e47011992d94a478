"""`script/bench api`: lists of many testbeds and guests by the REST API, with a token.

A real Daphne over loopback and hosts that only rehearse, with the rows of
`script/bench pages`. The floor is an answer that reads nothing from the database. At the
end 50 requests a second are sent beside two runs (`load`).
"""

import sys
import time
from statistics import quantiles

import httpx

from benchmarks.measuring import Table, conclude, folder, parser
from benchmarks.orchestrator import write_testbed
from benchmarks.requests.load import add_load
from benchmarks.requests.pages import FILL, FILL_LIST, FLOOR
from tests.live.stack import Stack, simulated_stack

TARGET_P95_MS = 100
API = "/api/v1"


def main() -> int:
    """Run the benchmark."""
    options = parser("lists by the REST API")
    options.add_argument("--guests", type=int, default=1000)
    options.add_argument("--testbeds", type=int, default=1000)
    options.add_argument("--hosts", type=int, default=20)
    options.add_argument("--seconds", type=float, default=5, help="of each row")
    chosen = options.parse_args()
    with folder(keep=chosen.keep) as place:
        write_testbed(place / "testbed", chosen.guests, chosen.hosts)
        with simulated_stack(
            place, hosts=chosen.hosts, TESTBED_API_REQUESTS="1000000"
        ) as stack:
            stack.add_user("admin", is_admin=True)
            client = stack.client("admin")
            client.create_testbed("large", place / "testbed")
            client.run("large", "up", lambda frame: None)
            stack.shell(FILL)
            stack.shell(FILL_LIST.format(count=chosen.testbeds))
            headers = {"Authorization": f"Bearer {stack.tokens['admin']}"}
            table = measure(
                stack, headers, chosen.guests, chosen.testbeds, chosen.seconds
            )
            write_testbed(place / "small", 1, 1)
            add_load(table, stack, place / "small", headers, 4 * chosen.seconds)
    return conclude(table, strict=chosen.strict)


def measure(
    stack: Stack,
    headers: dict[str, str],
    guests: int,
    testbeds: int,
    seconds: float,
) -> Table:
    """Time each request, one after the other."""
    table = Table(f"REST API with {testbeds} testbeds and one of {guests} guests")
    large = f"{API}/testbeds/admin/large"
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
        for what, path, at_most in (
            ("floor: an answer without the database", FLOOR, None),
            ("the user of the token", f"{API}/me", TARGET_P95_MS),
            (f"50 of {testbeds} testbeds", f"{API}/testbeds", TARGET_P95_MS),
            (
                "the last of them by guests up",
                f"{API}/testbeds?sort=-guests&page={testbeds // 50}",
                TARGET_P95_MS,
            ),
            ("50 guests", f"{large}/guests", TARGET_P95_MS),
            (
                f"state of {guests} guests",
                f"{large}/guests?per_page={guests}",
                TARGET_P95_MS,
            ),
            ("one guest", f"{large}/guests/g0", TARGET_P95_MS),
            ("activity", f"{API}/activity", TARGET_P95_MS),
        ):
            add(table, what, client, path, seconds, at_most)
    return table


def add(
    table: Table,
    what: str,
    client: httpx.Client,
    path: str,
    seconds: float,
    at_most: float | None,
) -> None:
    """Send a request again and again, and add its quantiles and size."""
    late_ms, size = [], 0
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at or len(late_ms) < 2:
        began_at = time.perf_counter()
        size = len(client.get(path).raise_for_status().content)
        late_ms.append(1000 * (time.perf_counter() - began_at))
    cuts = quantiles(late_ms, n=100)
    table.add(f"{what}, p50", cuts[49], "ms")
    table.add("  p95", cuts[94], "ms", at_most=at_most)
    table.add("  size", size / 1024, "KiB")


if __name__ == "__main__":
    sys.exit(main())
