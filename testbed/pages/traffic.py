"""The traffic of a guest's interface between two looks at its host.

`overview` reads it from the last look, which has the counts and their difference to
those of the look before. The diagram and the guest's page show it. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestration.amounts import size, speed

# From these bytes per second on, the busier way of a link draws it wider.
STEPS = (1 << 10, 100 << 10, 10 << 20)
_LITTLE = f"under {size(STEPS[0]).replace('.0', '')}/s"


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes per second that a guest received and sent in the `over_s` before `until`."""

    received: float
    sent: float
    until: datetime
    over_s: float

    @property
    def since(self) -> datetime:
        """The time of the former look."""
        return self.until - timedelta(seconds=self.over_s)

    @property
    def step(self) -> int:
        """Return how many of STEPS its busier way reaches."""
        return sum(max(self.received, self.sent) >= least for least in STEPS)

    @property
    def received_label(self) -> str:
        """The text beside its line of what it received; empty while that is little."""
        return _label("↓", self.received)

    @property
    def sent_label(self) -> str:
        """The same of what it sent."""
        return _label("↑", self.sent)

    @property
    def words(self) -> str:
        """Return both ways in words that stay the same while there is little."""
        if not self.step:
            return f"{_LITTLE} each way"
        return f"received {_text(self.received)}, sent {_text(self.sent)}"


def sum_of(rates: Sequence[Rate]) -> Rate | None:
    """Return the sum of some rates, over the time of all; None of none."""
    if not rates:
        return None
    since, until = min(one.since for one in rates), max(one.until for one in rates)
    received = sum(one.received for one in rates)
    over_s = (until - since).total_seconds()
    return Rate(received, sum(one.sent for one in rates), until, over_s)


def _text(rate: float) -> str:
    return _LITTLE if rate < STEPS[0] else speed(round(rate))


def _label(arrow: str, rate: float) -> str:
    return "" if rate < STEPS[0] else f"{arrow}{_text(rate)}"
