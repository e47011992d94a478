"""Amounts as text: counts, sizes, speeds, remaining times, progress of a copy.

Pure. Used by errors and logs of the engine, by pages through the template library, and
by clients of the protocol (`script/demo`). The words are few and change rarely, so that
lines that are renewed four times a second stay readable.
"""

from collections.abc import Mapping
from typing import Any

SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
WAITS = "waiting for data"


def count_of(number: int, noun: str) -> str:
    """Return `1 guest`, `2 guests`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(count: float) -> str:
    """Return a number of bytes as text."""
    value, unit = _scaled(count)
    return f"{value:.0f} {SIZES[unit]}" if unit == 0 else f"{value:.1f} {SIZES[unit]}"


def mib(count: int) -> str:
    """Return a number of MiB without needless digits: `512 MiB`, `1.5 GiB`."""
    return size(count * 1024 * 1024).replace(".0 ", " ")


def so_far(done: int, total: int, unit: str) -> str:
    """Return `48 of 200 MiB`, both in the unit of the total; `48 MiB` without one."""
    if unit != "B":
        return f"{done} of {total} {unit}".strip() if total else f"{done} {unit}"
    if not total:
        return size(done)
    value, step = _scaled(total)
    places = 1 if step and value < 100 else 0
    part = min(done, total) / 1024**step
    return f"{part:.{places}f} of {value:.{places}f} {SIZES[step]}"


def speed(rate: int) -> str:
    """Return bytes per second as text; a rate of 0 is shown as waiting."""
    if not rate:
        return WAITS
    value, unit = _scaled(rate)
    return f"{value:.{1 if unit and value < 10 else 0}f} {SIZES[unit]}/s"


def duration(seconds: float) -> str:
    """Return `0.4 s`, `12 s`, `3 min 07 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"


def time_left(left_s: int | None) -> str:
    """Return `12 s left`, `3 min left`, `2 h 05 min left`; empty when unknown."""
    if left_s is None:
        return ""
    if left_s == 0:
        return "finishing"
    if left_s < 60:
        return f"{left_s} s left"
    minutes = -(-left_s // 60)
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02} min left" if hours else f"{minutes} min left"


def progress_line(data: Mapping[str, Any]) -> str:
    """Return a `task-progressed` event as one line."""
    words = [so_far(data["done"], data["total"], data["unit"])]
    if data["unit"] == "B":
        words += [speed(data.get("rate", 0)), time_left(data.get("left_s"))]
    line = " · ".join(filter(None, words))
    return f"{data['note']}: {line}" if data["note"] else line


def _scaled(count: float) -> tuple[float, int]:
    value, unit = float(count), 0
    while value >= 1024 and unit < len(SIZES) - 1:
        value, unit = value / 1024, unit + 1
    return value, unit
