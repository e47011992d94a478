"""The placed parts of a testbed's diagram, in pixels, as the templates draw them.

Made by `layout.py`, `lines.py` and `tunnels.py`. No decision is made here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from testbed.pages.diagram.folding import Folding
from testbed.pages.traffic import Rate

# Percents of load from which a guest is busy, and has no more to give.
BUSY, FULL = 70, 90
# Left and right of the bar of a guest's load.
LOAD_MARGIN = 40


@dataclass(frozen=True, slots=True)
class Box:
    """One host. `management` is the subnet of its management network, or ''.

    `group` selects its guests, '' for none; `toggled` is the choice of folded hosts
    after a click on it.
    """

    name: str
    is_main: bool
    note: str
    management: str
    icon: str
    x: int
    y: int
    width: int
    height: int
    group: str = ""
    is_folded: bool = False
    toggled: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bridge on one host; `net` is the number of its colour, -1 for none.

    `is_gone`: the bridge is missing on its host, as last observed. `group` selects the
    guests on it, '' for none.
    """

    host: str
    label: str
    device: str
    net: int
    x: int
    y: int
    width: int
    height: int
    group: str = ""
    is_gone: bool = False

    @property
    def middle(self) -> int:
        """The y of its middle."""
        return self.y + self.height // 2


@dataclass(frozen=True, slots=True)
class GuestBox:
    """One guest, or the count of all guests of a bar (then `guest` is empty).

    `device` is that of its bar on `host`, '' where it hangs from none.
    `counts` are states with the number of guests in them, `group` selects those guests,
    `names` are their names. `load` is a guest's, in percent of its vCPUs.
    `rate` is the traffic of its line to the bar, of `drop` pixels in the colour `net`,
    and `traffic` that of all its lines in words; both are empty where it is not known.
    """

    guest: str
    host: str
    device: str
    title: str
    text: str
    status: str
    x: int
    y: int
    width: int
    height: int
    counts: tuple[tuple[str, int], ...] = ()
    group: str = ""
    names: tuple[str, ...] = ()
    load: int | None = None
    rate: Rate | None = None
    drop: int = 0
    net: int = -1
    traffic: str = ""

    @property
    def middle(self) -> int:
        """The x of its middle, and of its line to the bar."""
        return self.x + self.width // 2

    @property
    def leads(self) -> bool:
        """Return whether it leads to a page."""
        return bool(self.guest or self.group)

    @property
    def load_tone(self) -> str:
        """Return the tone of its load."""
        load = self.load or 0
        return "bad" if load >= FULL else "warn" if load >= BUSY else "good"

    @property
    def load_width(self) -> int:
        """Return the length of its load's bar."""
        return (self.load or 0) * (self.width - LOAD_MARGIN) // 100

    @property
    def words(self) -> str:
        """Return the words by which a search finds it."""
        words = self.names or (self.guest, self.text)
        return " ".join(words).lower()


@dataclass(frozen=True, slots=True)
class Line:
    """A connection. `kind`: bus, further, patch, tunnel, outside.

    It leads to the page of `guest`, or to the guests that `group` selects. `step` is
    that of its traffic, 0 where there is little or it is not known.
    """

    kind: str
    path: str
    title: str
    net: int = -1
    group: str = ""
    guest: str = ""
    step: int = 0
    label: str = ""
    label_x: int = 0
    label_y: int = 0
    label_width: int = 0

    @property
    def leads(self) -> bool:
        """Return whether it leads to a page."""
        return bool(self.guest or self.group)


@dataclass(frozen=True, slots=True)
class Cloud:
    """The outside: main's NAT network, with a line to the external bridge."""

    subnet: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One part of the legend: the width of a step, where there is one, and a text.

    `span` is the time that all drawn traffic was observed in.
    """

    text: str
    x: int
    y: int
    step: int = 0
    span: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, slots=True)
class Diagram:
    """Everything to draw, in a picture of `width` by `height`."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    bars: tuple[Bar, ...]
    cards: tuple[GuestBox, ...]
    lines: tuple[Line, ...]
    cloud: Cloud | None
    summary: str
    folding: Folding
    legend: tuple[Entry, ...] = ()


def bar_at(bars: Sequence[Bar], host: str, device: str) -> Bar | None:
    """Return the bar of a host's bridge."""
    here = (bar for bar in bars if bar.host == host)
    return next((bar for bar in here if bar.device == device), None)


def group_on(*bars: Bar) -> str:
    """Return a selection of the guests on any of the bars."""
    return ",".join(dict.fromkeys(bar.group for bar in bars if bar.group))
