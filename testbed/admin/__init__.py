"""Django admin: users, the lab's own rows, and its snapshots.

Django finds the modules here. The rows that beat follows are nobody's to edit: those of
the settings are written again at each start, users' schedules are on their pages.
"""

from django.contrib import admin
from django_celery_beat import models as beat

from testbed.admin import lab, record, snapshots, users

for model in (
    beat.PeriodicTask,
    beat.CrontabSchedule,
    beat.IntervalSchedule,
    beat.SolarSchedule,
    beat.ClockedSchedule,
):
    admin.site.unregister(model)

__all__ = ["lab", "record", "snapshots", "users"]
