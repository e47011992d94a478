"""The schedules of a testbed's snapshots, with what the last occasion of each said."""

from dataclasses import dataclass, field

from orchestration.plan.snapshots import Rhythm
from testbed.models import SnapshotSchedule, Testbed
from testbed.models.snapshots.schedules import DAYS, HOURS, MOST_KEPT, USUAL_HOURS

KEEP = {Rhythm.HOURLY: 4, Rhythm.NIGHTLY: 7, Rhythm.WEEKLY: 4}
TITLES = {
    Rhythm.HOURLY: "Every few hours",
    Rhythm.NIGHTLY: "Nightly",
    Rhythm.WEEKLY: "Weekly",
}


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One rhythm and its schedule, if it is set, with the choices of its form."""

    rhythm: Rhythm
    title: str
    found: SnapshotSchedule | None
    keep: int
    hours: range = HOURS
    days: list[tuple[int, str]] = field(default_factory=lambda: list(enumerate(DAYS)))
    most: int = MOST_KEPT

    @property
    def every_h(self) -> int:
        """The hours that its form shows first."""
        return self.found.every_h if self.found else USUAL_HOURS

    @property
    def at(self) -> str:
        """The time that its form shows first."""
        return f"{self.found.at:%H:%M}" if self.found else "02:00"

    @property
    def weekday(self) -> int:
        """The day that its form shows first."""
        return self.found.weekday if self.found else 0


def schedules_of(testbed: Testbed) -> list[ScheduleRow]:
    """Return a row of each rhythm."""
    people = ("set_by", "crontab", "run")
    rows = (
        SnapshotSchedule.objects.filter(testbed=testbed)
        .select_related(*people)
        .defer("run__plan")
    )
    found = {row.rhythm: row for row in rows}
    return [
        ScheduleRow(
            rhythm,
            TITLES[rhythm],
            found.get(rhythm),
            found[rhythm].keep if rhythm in found else KEEP[rhythm],
        )
        for rhythm in Rhythm
    ]


def shapes(testbed: Testbed) -> list[dict[str, object]]:
    """Return a testbed's schedules for programs."""
    return [
        {
            "rhythm": one.rhythm,
            "when": one.when,
            "keep": one.keep,
            "set_by": str(one.set_by),
            "set_at": one.set_at,
            "next_at": one.next_at,
            "tried_at": one.tried_at,
            "said": one.said,
            "run": one.run_id,
        }
        for one in SnapshotSchedule.objects.filter(testbed=testbed).select_related(
            "set_by", "crontab"
        )
    ]
