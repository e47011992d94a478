"""The folder, the table with targets and the /proc figures that benchmarks share.

Imported by each benchmark; prints to the terminal. Times are wall seconds unless a
name says otherwise; each benchmark decides itself which figures it takes.
"""

import argparse
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# QEMU's user must be able to pass through, so not below a home directory.
_BASE = Path("/var/tmp")  # nosec B108  # noqa: S108 - a fresh folder of our own is made in it


@dataclass(slots=True)
class Table:
    """Figures with their targets; prints itself and records missed targets."""

    title: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(
        self,
        what: str,
        value: float,
        unit: str = "",
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Add a figure; without a target it is only shown."""
        target = verdict = ""
        if at_most is not None:
            target, is_met = f"<= {at_most:g} {unit}".strip(), value <= at_most
            verdict = "met" if is_met else "missed"
        elif at_least is not None:
            target, is_met = f">= {at_least:g} {unit}".strip(), value >= at_least
            verdict = "met" if is_met else "missed"
        self.rows.append((what, f"{value:,.2f} {unit}".strip(), target, verdict))

    @property
    def is_missed(self) -> bool:
        """Return whether any target was missed."""
        return any(row[3] == "missed" for row in self.rows)

    def show(self) -> None:
        """Print the table."""
        head = (self.title, "measured", "target", "")
        widths = [max(len(row[i]) for row in (head, *self.rows)) for i in range(4)]
        print()
        for row in (head, *self.rows):
            first, *rest = row
            cells = [f"{c:>{w}}" for c, w in zip(rest, widths[1:], strict=True)]
            print(f"{first:<{widths[0]}}  {'  '.join(cells)}".rstrip())


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(prog="script/bench", description=description)
    made.add_argument("--strict", action="store_true", help="exit 1 on a missed target")
    made.add_argument(
        "--keep", action="store_true", help="keep the folder and its logs"
    )
    return made


def conclude(table: Table, *, strict: bool) -> int:
    """Print the table and return the exit status."""
    table.show()
    return 1 if strict and table.is_missed else 0


@contextmanager
def folder(*, keep: bool = False) -> Iterator[Path]:
    """Yield a folder that QEMU's user can reach, and remove it afterwards.

    From here on SIGTERM, like an interrupt, ends the started processes first.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    made = Path(tempfile.mkdtemp(prefix="testbed-bench-", dir=_BASE))
    made.chmod(0o755)
    try:
        yield made
    finally:
        if keep:
            print(f"kept: {made}")
        else:
            shutil.rmtree(made, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of all processes of one session; `peak_mib` sums their peaks."""

    cpu_s: float
    peak_mib: float
    largest_mib: float
    processes: int


def usage(session: int) -> Usage:
    """Sum up the living processes of a session and their ended children."""
    cpu_s, peaks_kib = 0.0, [0]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            status = (entry / "status").read_text()
        except OSError:
            continue
        if int(fields[3]) != session:
            continue
        # utime, stime and those of children that ended and were waited for.
        cpu_s += sum(int(value) for value in fields[11:15]) * _TICK_S
        peaks_kib += [
            int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")
        ]
    total, largest = sum(peaks_kib) / 1024, max(peaks_kib) / 1024
    return Usage(cpu_s, total, largest, len(peaks_kib) - 1)
