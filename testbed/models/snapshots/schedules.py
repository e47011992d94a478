"""When snapshots of a testbed's guests are taken by themselves, and how many stay.

A schedule is a periodic task of django-celery-beat, whose rows Celery's beat follows: it
ends with its testbed, and with the user who set it.
"""

from datetime import datetime, time, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import models
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from orchestration.plan.snapshots import Rhythm
from testbed.models.runs import Run
from testbed.models.testbeds import Testbed

# The name of the Celery task.
TAKE_SNAPSHOTS = "testbed.tasks.snapshots.take"
RHYTHMS = [(rhythm.value, rhythm.value) for rhythm in Rhythm]
# Counted from midnight of each day, so that the clock alone says when.
HOURS = range(1, 24)
USUAL_HOURS = 6
DAYS = (
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
)
MOST_KEPT = 99
# A beat that was killed may send the last occasions once more.
TWICE_WITHIN_MIN = 20


def hours_in_words(every_h: int) -> str:
    """Return `every 6 hours`, or `every 18 hours from midnight (00, 18)`."""
    if every_h == 1:
        return "every hour"
    if 24 % every_h == 0:
        return f"every {every_h} hours"
    hours = ", ".join(f"{hour:02}" for hour in range(0, 24, every_h))
    return f"every {every_h} hours from midnight ({hours})"


class SnapshotSchedule(PeriodicTask):
    """One rhythm of a testbed: of each guest the last `keep` of its snapshots stay.

    `every_h` counts the hours of the hourly one, which begin at midnight; the others
    have a time `at`, the weekly one a `weekday`, 0 for Sunday. `tried_at` is the last
    occasion, of which `said` tells why nothing was taken, or `run` what was done.
    """

    testbed = models.ForeignKey(Testbed, on_delete=models.CASCADE, related_name="+")
    rhythm = models.CharField(max_length=8, choices=RHYTHMS)
    every_h = models.PositiveSmallIntegerField(default=USUAL_HOURS)
    at = models.TimeField(default=time(2))
    weekday = models.PositiveSmallIntegerField(default=0)
    keep = models.PositiveSmallIntegerField()
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    set_at = models.DateTimeField()
    tried_at = models.DateTimeField(null=True)
    said = models.TextField(blank=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")

    objects: ClassVar[models.Manager["SnapshotSchedule"]] = models.Manager()

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(
                fields=["testbed", "rhythm"], name="one_schedule_of_each_rhythm"
            ),
        )

    def __str__(self) -> str:
        return f"the {self.rhythm} schedule of {self.testbed}"

    @property
    def when(self) -> str:
        """Its rhythm in words: `every 6 hours`, `every Sunday at 02:00 UTC`."""
        if self.rhythm == Rhythm.HOURLY:
            return hours_in_words(self.every_h)
        day = "night" if self.rhythm == Rhythm.NIGHTLY else DAYS[self.weekday]
        return f"every {day} at {self.at:%H:%M} {settings.TIME_ZONE}"

    @property
    def next_at(self) -> datetime:
        """The next occasion, as long as beat runs."""
        now = timezone.now()
        remaining: timedelta = self.schedule.remaining_estimate(now)
        # The estimate is some milliseconds short.
        nearest = now + remaining + timedelta(seconds=30)
        return nearest.replace(second=0, microsecond=0)

    def set_time(self) -> None:
        """Save it with the entry that beat follows."""
        is_hourly, is_weekly = (
            self.rhythm == Rhythm.HOURLY,
            self.rhythm == Rhythm.WEEKLY,
        )
        when = {
            "minute": "0" if is_hourly else str(self.at.minute),
            "hour": f"*/{self.every_h}" if is_hourly else str(self.at.hour),
            "day_of_week": str(self.weekday) if is_weekly else "*",
            "day_of_month": "*",
            "month_of_year": "*",
            "timezone": ZoneInfo(settings.TIME_ZONE),
        }
        # Two users at once, or an admin, may have made two of one time.
        found = CrontabSchedule.objects.filter(**when).first()
        self.crontab = found or CrontabSchedule.objects.create(**when)
        self.name = f"{self.rhythm} snapshots of testbed {self.testbed.pk}"
        self.task = TAKE_SNAPSHOTS
        self.args = f'[{self.testbed.pk}, "{self.rhythm}"]'
        # A worker that is away for longer leaves the occasion out.
        self.expire_seconds = TWICE_WITHIN_MIN * 60
        self.save()
