"""The charts of guests and hosts: their lines, and the same as a table of words.

The table is what a screen reader reads and a browser without JavaScript shows; the
browser draws the columns over it (`static/js/charts.js`).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from orchestration.amounts import size
from testbed.models import Host, Testbed
from testbed.samples.reading import Period, Series, Summary, read
from testbed.samples.recording import Owner

Json = dict[str, object]
# A share of a host's CPUs, memory or disk from which it is full.
FULL = 0.95


def _percent(value: float) -> str:
    return f"{value:.{1 if value < 10 else 0}f} %"


def _bytes(value: float) -> str:
    number, unit = size(value).split()
    places = 0 if float(number) >= 100 else 1
    return f"{float(number):.{places}f}".removesuffix(".0") + f" {unit}"


def _per_second(value: float) -> str:
    return f"{_bytes(value)}/s"


def _plain(value: float) -> str:
    return f"{value:.2f}"


# The browser has the same four, for the axes and what the pointer shows.
UNITS: dict[str, Callable[[float], str]] = {
    "percent": _percent,
    "bytes": _bytes,
    "bytes/s": _per_second,
    "number": _plain,
}


class Line(NamedTuple):
    """One line of a chart: its column, and its name in the chart."""

    column: str
    label: str


class Chart(NamedTuple):
    """One chart: what is above `limit` is red; the axis goes up to `most` at least.

    0 stands for none.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    limit: float = 0.0
    most: float = 0.0


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line in words; empty ones where nothing was observed."""

    column: str
    label: str
    last: str = ""
    least: str = ""
    mean: str = ""
    most: str = ""


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """A chart with its table."""

    chart: Chart
    rows: tuple[TableRow, ...]

    @property
    def limit(self) -> str:
        """Return its limit in words."""
        return UNITS[self.chart.unit](self.chart.limit).removesuffix(".00")


@dataclass(frozen=True, slots=True)
class Load:
    """The charts of one guest or host over a period."""

    period: Period
    series: Series
    charts: tuple[DrawnChart, ...]

    @property
    def has_figures(self) -> bool:
        """Return whether anything was observed in this time."""
        return bool(self.series.times)

    def to_json(self) -> Json:
        """Return it for programs and the browser, as docs/protocol.md shows it."""
        rows = [row for drawn in self.charts for row in drawn.rows]
        return {
            "period": self.period,
            "begins_at": _moment(self.series.begins),
            "ends_at": _moment(self.series.ends),
            "times": [_moment(second) for second in self.series.times],
            "columns": self.series.rounded(),
            "table": {row.column: asdict(row) for row in rows},
        }


def _moment(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


def guest_load(testbed: Testbed, name: str, memory_mib: int, period: Period) -> Load:
    """Return the charts of a guest, which may use so much memory.

    A guest that uses all that it has is no overload.
    """
    cpu, memory = Line("cpu_percent", "of its vCPU"), Line("memory_bytes", "in use")
    disk = (
        Line("disk_read_bytes_per_s", "read"),
        Line("disk_written_bytes_per_s", "written"),
    )
    network = (
        Line("received_bytes_per_s", "received"),
        Line("sent_bytes_per_s", "sent"),
    )
    charts = (
        Chart("CPU", "percent", (cpu,), most=100.0),
        Chart("Memory", "bytes", (memory,), most=memory_mib << 20),
        Chart("Disk", "bytes/s", disk),
        Chart("Network", "bytes/s", network),
    )
    return _load(read(Owner(testbed.pk, None), name, period), period, charts)


def host_load(host: Host, period: Period) -> Load:
    """Return the charts of a host, which is overloaded where it has no more."""
    cpu, load = Line("cpu_percent", "of all CPUs"), Line("load", "in one minute")
    memory, disk = Line("memory_bytes", "in use"), Line("disk_bytes", "in use")
    memory_bytes = host.memory_mib << 20
    charts = (
        Chart("CPU", "percent", (cpu,), FULL * 100.0, 100.0),
        Chart("Load", "number", (load,), host.cpus, host.cpus),
        Chart("Memory", "bytes", (memory,), FULL * memory_bytes, memory_bytes),
        Chart("Disk", "bytes", (disk,), FULL * host.disk_bytes, host.disk_bytes),
    )
    return _load(read(Owner(None, host.pk), "", period), period, charts)


def _load(series: Series, period: Period, charts: Sequence[Chart]) -> Load:
    drawn = (
        DrawnChart(chart, tuple(_row(line, chart, series) for line in chart.lines))
        for chart in charts
    )
    return Load(period, series, tuple(drawn))


def _row(line: Line, chart: Chart, series: Series) -> TableRow:
    summary = series.summary(line.column)
    return TableRow(line.column, line.label, *_words(summary, UNITS[chart.unit]))


def _words(summary: Summary | None, shown: Callable[[float], str]) -> Sequence[str]:
    return [shown(value) for value in asdict(summary).values()] if summary else ()
