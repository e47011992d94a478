"""`script/bench faults`: the faults that a run survives, and the cost of each.

Each fault of tests/live/faults.py strikes `up` of two guests on two real hosts at a
random moment of a stage, another stage each time; `up` goes on, `down` follows. A
fault is survived when every promise of the product was kept.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measuring import Table, conclude, folder, parser
from tests.live.client import Client
from tests.live.faults import FAULTS
from tests.live.injection import resumed, strike, taken_down
from tests.live.invariants import Struck
from tests.live.stack import Stack, real_stack
from tests.live.watch import DATA, holdings

SLUG = "faults"
STAGES = ("Check hosts", "Network", "Distribute", "Start guests", "Set up guests")
TARGET_S = 30
HEAD = ("fault", "survived", "lost events", "leftovers", "recovered in")


@dataclass(slots=True)
class Tally:
    """The results of one fault, over all its turns."""

    name: str
    turns: list[Struck] = field(default_factory=list)

    @property
    def survived(self) -> int:
        """The number of turns in which every promise was kept."""
        return sum(not struck.problems for struck in self.turns)

    @property
    def lost_events(self) -> int:
        """The number of lost events in all turns."""
        return sum(struck.lost_events for struck in self.turns)

    @property
    def leftovers(self) -> int:
        """The number of leftovers in all turns."""
        return sum(len(struck.leftovers) for struck in self.turns)

    @property
    def slowest_s(self) -> float:
        """The longest time until every batch had a worker again."""
        return max(struck.recovered_s for struck in self.turns)

    def cells(self) -> tuple[str, ...]:
        """Return the tally's row of the table."""
        return (
            self.name,
            f"{self.survived} of {len(self.turns)}",
            str(self.lost_events),
            str(self.leftovers),
            f"{self.slowest_s:.1f} s",
        )


def main() -> int:
    """Run the benchmark."""
    options = parser("What a run survives")
    options.add_argument("--repeat", type=int, default=1, help="turns of each fault")
    options.add_argument("--seed", type=int, default=1, help="chooses the moments")
    options.add_argument(
        "--fault", action="append", choices=list(FAULTS), help="only this one"
    )
    chosen = options.parse_args()
    names = chosen.fault or list(FAULTS)
    with folder(keep=chosen.keep) as place, real_stack(place, label="tbf") as stack:
        stack.add_user("owner")
        tallies = measure(stack, names, repeat=chosen.repeat, seed=chosen.seed)
    show(tallies)
    return conclude(summed_up(tallies), strict=chosen.strict)


def measure(stack: Stack, names: list[str], *, repeat: int, seed: int) -> list[Tally]:
    """Strike with each fault repeatedly."""
    client = stack.client("owner")
    before = holdings(stack)
    client.create_testbed(SLUG, Path(DATA / "pair"))
    tallies = [Tally(name) for name in names]
    for turn in range(repeat):
        for number, tally in enumerate(tallies):
            stage = STAGES[(seed + turn + number) % len(STAGES)]
            struck = strike_once(stack, client, before, tally.name, stage, seed + turn)
            tally.turns.append(struck)
            print(f"  {struck}")
    client.close()
    return tallies


def strike_once(
    stack: Stack,
    client: Client,
    before: dict[str, set[str]],
    name: str,
    stage: str,
    seed: int,
) -> Struck:
    """Strike during `up`, continue it, and take the testbed down."""
    struck = strike(stack, client, SLUG, FAULTS[name], stage=stage, seed=seed)
    resumed(stack, client, SLUG, struck)
    taken_down(stack, client, SLUG, struck, before)
    return struck


def show(tallies: list[Tally]) -> None:
    """Print a row for each fault."""
    rows = [HEAD, *(tally.cells() for tally in tallies)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    print()
    for name, *rest in rows:
        cells = [f"{c:>{w}}" for c, w in zip(rest, widths[1:], strict=True)]
        print(f"{name:<{widths[0]}}  {'  '.join(cells)}")


def summed_up(tallies: list[Tally]) -> Table:
    """Compare the sums over all faults with the promises."""
    turns = sum(len(tally.turns) for tally in tallies)
    table = Table(f"faults, {turns} in all")
    survived = sum(tally.survived for tally in tallies)
    table.add("not survived", turns - survived, at_most=0)
    table.add("lost events", sum(t.lost_events for t in tallies), at_most=0)
    table.add("leftovers", sum(t.leftovers for t in tallies), at_most=0)
    slowest = max(tally.slowest_s for tally in tallies)
    table.add("strike to no batch without a worker", slowest, "s", at_most=TARGET_S)
    return table


if __name__ == "__main__":
    sys.exit(main())
