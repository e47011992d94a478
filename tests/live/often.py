"""Lets the worker's own beat send one of its tasks every second or two.

For tests that wait for a task that the product's beat sends once or twice a minute. A
worker that starts goes back to the product's times.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.live.stack import Stack

EVERY_S = 2
SET = """
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every, _ = IntervalSchedule.objects.get_or_create(every={every_s}, period="seconds")
task = PeriodicTask.objects.get(name={name!r})
print(task.interval.every)
task.interval = every
task.save()
"""


@contextmanager
def sent_often(stack: Stack, name: str) -> Iterator[None]:
    """Have an entry of the beat schedule sent often; `name` is its key there."""
    usual = stack.shell(SET.format(name=name, every_s=EVERY_S)).strip()
    try:
        yield
    finally:
        stack.shell(SET.format(name=name, every_s=int(usual)))
