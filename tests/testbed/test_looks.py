"""Words, sizes and times as they are shown."""

from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from testbed.models import Instruction, Run, Task, Testbed
from testbed.templatetags.looks import LOOKS, ago, duration

ICONS = render_to_string("_sprite.html")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (timedelta(hours=2, minutes=5), "2 h 05 min"),
        (None, ""),
    ],
)
def test_durations(seconds: float | timedelta | None, shown: str):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("past", "shown"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(minutes=4), "4 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(days=1, hours=1), "yesterday"),
        (timedelta(days=3), "3 days ago"),
    ],
)
def test_moments(past: timedelta, shown: str):
    assert ago(timezone.now() - past) == shown


def test_every_status_of_ours_has_a_look_with_an_icon():
    choices = (Testbed.Condition, Run.Status, Instruction.Status, Task.Status)

    words = {word for kind in choices for word in kind.values}

    assert words <= set(LOOKS)
    assert all(f'id="icon-{icon}"' in ICONS for _, icon, _ in LOOKS.values())
